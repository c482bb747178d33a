//! A place to write to, by our own way in (a pipeline's `destination`) and by another one: a client of its own, or the disk.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::path::Path as FilePath;
use std::sync::Arc;

use ctct_load::{Destination, StoreOptions};
use ctct_pipeline::{Context, Environment};
use ctct_test_support::skipped;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;

use crate::harness::Harness;
use crate::tables::{self, Row};

/// The bucket, or container, that `.ci/stores` makes.
const BUCKET: &str = "ctct-test";

/// One prefix of one store; nobody else uses it.
pub(crate) struct Store {
    pub(crate) name: &'static str,
    /// For `destination.url`.
    pub(crate) url: String,
    /// For `destination.options`.
    pub(crate) options: BTreeMap<String, String>,
    /// Credentials.
    pub(crate) variables: BTreeMap<String, String>,
    /// The folder of a store that is the local disk.
    folder: Option<TempDir>,
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Store {
    /// The local disk.
    pub(crate) fn local() -> Self {
        let folder = TempDir::new().unwrap();
        let url = folder.path().join("data").to_str().unwrap().to_owned();
        Self { name: "local", url, options: owned([]), variables: owned([]), folder: Some(folder) }
    }

    /// An S3 server, where the variable names one.
    pub(crate) fn s3(variable: &str, prefix: &str) -> Option<Self> {
        let (name, key) = match variable {
            "CTCT_TEST_S3_MOTO" => ("moto", "test"),
            "CTCT_TEST_S3_CEPH" => ("ceph", "test"),
            "CTCT_TEST_S3_S3RVER" => ("s3rver", "S3RVER"),
            other => panic!("no store is named by {other}"),
        };
        let endpoint = endpoint(variable)?;
        Some(Self {
            name,
            url: format!("s3://{BUCKET}/{}", unique(prefix)),
            options: owned([("endpoint", &endpoint), ("allow_http", "true")]),
            variables: owned([("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", key)]),
            folder: None,
        })
    }

    /// Azurite, where it is there, with the account and key that every Azurite has.
    pub(crate) fn azurite(prefix: &str) -> Option<Self> {
        const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
        let account = "devstoreaccount1";
        let endpoint = format!("{}/{account}", endpoint("CTCT_TEST_AZURITE")?);
        Some(Self {
            name: "azurite",
            url: format!("az://{BUCKET}/{}", unique(prefix)),
            options: owned([("endpoint", &endpoint), ("allow_http", "true")]),
            variables: owned([("AZURE_STORAGE_ACCOUNT_NAME", account), ("AZURE_STORAGE_ACCOUNT_KEY", KEY)]),
            folder: None,
        })
    }

    /// Every object store that is there.
    pub(crate) fn clouds(prefix: &str) -> Vec<Self> {
        let s3 = ["CTCT_TEST_S3_MOTO", "CTCT_TEST_S3_CEPH"].map(|variable| Self::s3(variable, prefix));
        s3.into_iter().chain([Self::azurite(prefix)]).flatten().collect()
    }

    /// The same without moto, which looks whether a key is there and then writes it: two creates at one instant can both
    /// succeed there.
    pub(crate) fn atomic(prefix: &str) -> Vec<Self> {
        Self::all(prefix).into_iter().filter(|store| store.name != "moto").collect()
    }

    /// The local disk, and every object store that is there.
    pub(crate) fn all(prefix: &str) -> Vec<Self> {
        [Self::local()].into_iter().chain(Self::clouds(prefix)).collect()
    }

    /// The address of its server.
    pub(crate) fn endpoint(&self) -> &str {
        &self.options["endpoint"]
    }

    /// The same store behind another address.
    pub(crate) fn behind(mut self, endpoint: &str) -> Self {
        let account = if self.name == "azurite" { "/devstoreaccount1" } else { "" };
        self.options.insert("endpoint".to_owned(), format!("{endpoint}{account}"));
        self
    }

    /// The text of a pipeline that writes here.
    pub(crate) fn pipeline(&self, harness: &Harness, reports: &str) -> String {
        let mut destination = format!("  url: {}\n", self.url);
        if !self.options.is_empty() {
            destination.push_str("  options:\n");
        }
        for (name, value) in &self.options {
            writeln!(destination, "    {name}: {value}").unwrap();
        }
        harness.pipeline(reports).replace("  url: .\n", &destination)
    }

    /// What a run needs to write here.
    pub(crate) fn context(&self, harness: &Harness, run_id: &str) -> Context {
        let token = ("TOKEN".to_owned(), harness.sandbox.access_token());
        let variables = self.variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        let environment: Environment = variables.chain([token]).collect();
        Context { environment, ..harness.context(run_id) }
    }

    /// The destination, as a run opens it.
    pub(crate) fn destination(&self) -> Destination {
        let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter();
        let options = StoreOptions::new(pairs(&self.options), pairs(&self.variables));
        Destination::open(&self.url, FilePath::new("/"), &options).unwrap()
    }

    /// A client that owes nothing to the program's own.
    pub(crate) fn client(&self) -> Arc<dyn ObjectStore> {
        if let Some(folder) = &self.folder {
            let data = folder.path().join("data");
            std::fs::create_dir_all(&data).unwrap();
            return Arc::new(LocalFileSystem::new_with_prefix(data).unwrap());
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let variables = self.variables.iter().map(|(name, value)| (name.to_lowercase(), value));
        let options = self.options.iter().map(|(name, value)| (name.clone(), value)).chain(variables);
        let (store, prefix) = object_store::parse_url_opts(&self.url.parse().unwrap(), options).unwrap();
        Arc::new(PrefixStore::new(store, prefix))
    }

    /// Keys below a folder, sorted, without the one that shows to every run that the store never overwrites.
    pub(crate) async fn keys(&self, folder: &str) -> Vec<String> {
        let found: Vec<_> = self.client().list(Some(&Path::parse(folder).unwrap())).try_collect().await.unwrap();
        let mut keys: Vec<String> = found.into_iter().map(|object| object.location.to_string()).collect();
        keys.retain(|key| key != "_ctct/.probe/created" && !key.starts_with("_ctct/.leases/"));
        keys.sort();
        keys
    }

    /// All rows of a table: what a reader finds that takes every Parquet file below its folder.
    pub(crate) async fn rows(&self, table: &str) -> Vec<Row> {
        let copy = TempDir::new().unwrap();
        let client = self.client();
        for (at, key) in self.keys(table).await.into_iter().enumerate() {
            let bytes = client.get(&Path::parse(&key).unwrap()).await.unwrap().bytes().await.unwrap();
            std::fs::write(copy.path().join(format!("{at}.parquet")), bytes).unwrap();
        }
        tables::rows(copy.path())
    }
}

/// The address of a server, and a word about it where there is none.
fn endpoint(variable: &str) -> Option<String> {
    let endpoint = env::var(variable).ok().filter(|endpoint| !endpoint.is_empty());
    if endpoint.is_none() {
        skipped(&format!("{variable} is not set"));
    }
    endpoint
}

/// A prefix that no other test and no earlier run of this one has used.
fn unique(prefix: &str) -> String {
    let folder = TempDir::with_prefix("ctct-").unwrap();
    format!("{prefix}/{}", folder.path().file_name().unwrap().to_str().unwrap())
}
