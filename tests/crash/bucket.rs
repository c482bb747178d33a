//! A prefix of the bucket that `.ci/stores` makes, on an S3 server that an environment variable names.

use std::collections::BTreeMap;
use std::env;
use std::time::SystemTime;

use ctct_test_support::skipped;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::stored::Files;

const BUCKET: &str = "ctct-test";
/// Both servers take it for both parts of the key.
const KEY: &str = "test";

/// A prefix that nobody else uses.
pub(crate) struct Bucket {
    pub(crate) name: &'static str,
    endpoint: String,
    prefix: String,
}

impl Bucket {
    /// On each server that is there. Those that are not are told in a line.
    pub(crate) fn all(test: &str) -> Vec<Self> {
        let servers = [("moto", "CTCT_TEST_S3_MOTO"), ("ceph", "CTCT_TEST_S3_CEPH")];
        let there = servers.into_iter().filter_map(|(name, variable)| {
            let Ok(endpoint) = env::var(variable) else {
                skipped(&format!("{variable} is not set, so {name} is not there"));
                return None;
            };
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
            Some(Self { name, endpoint, prefix: format!("crash-{test}-{now}") })
        });
        there.collect()
    }

    /// The pipeline's destination, as YAML in one line.
    pub(crate) fn destination(&self) -> String {
        let Self { endpoint, prefix, .. } = self;
        format!("{{url: \"s3://{BUCKET}/{prefix}\", options: {{endpoint: \"{endpoint}\", allow_http: true}}}}")
    }

    /// What the program finds its key by.
    pub(crate) fn variables() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", KEY)])
    }

    /// Everything below the prefix, by a client of the test's own.
    pub(crate) async fn files(&self) -> Files {
        let client = self.client();
        let prefix = Path::from(self.prefix.as_str());
        let mut files = Files::new();
        for object in client.list(Some(&prefix)).try_collect::<Vec<_>>().await.unwrap() {
            let bytes = client.get(&object.location).await.unwrap().bytes().await.unwrap();
            let below = object.location.as_ref().strip_prefix(prefix.as_ref()).unwrap().trim_start_matches('/');
            files.insert(below.to_owned(), bytes);
        }
        files
    }

    fn client(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(BUCKET)
            .with_access_key_id(KEY)
            .with_secret_access_key(KEY)
            .build()
            .unwrap()
    }
}
