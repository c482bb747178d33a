//! Buckets of S3, Google Cloud Storage and Azure: the URLs that name them, the options they take, and how they are opened.
//!
//! Credentials come from the variables that each vendor's own tools read, as the caller hands them over, or from options.
//! Nothing here sends a request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
#[cfg(feature = "azure")]
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
#[cfg(feature = "gcs")]
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, Error as StoreError, ObjectStore, RetryConfig};
use rustls::crypto::{CryptoProvider, ring};
use url::Url;

/// How long one request is tried again, and how often: some 10 seconds where a connection is refused at once, little over
/// a minute where nothing answers. A scheduler starts the run again; a longer patience would only hide the trouble.
const RETRY_SECONDS: u64 = 60;
const RETRIES: usize = 9;

/// A kind of object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// An option of an object store, as `destination.options` names it.
#[derive(Debug)]
pub struct StoreOption {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: StoreOptionKind,
    /// What it does, for people.
    pub doc: &'static str,
    /// The name that the client library knows it by.
    key: &'static str,
}

/// What an option's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOptionKind {
    /// Any text.
    Text,
    /// True or false.
    Flag,
    /// The path of a file.
    File,
    /// A text that nobody must see.
    Secret,
}

/// What a bucket is opened with beside its URL. `Debug` shows names, never values.
#[derive(Clone, Default)]
pub struct StoreOptions {
    options: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
}

/// A bucket, or a container of Azure, and a prefix in it.
#[derive(Debug)]
pub(crate) struct BucketAddress {
    cloud: Cloud,
    url: Url,
    prefix: Path,
}

const fn text(name: &'static str, key: &'static str, doc: &'static str) -> StoreOption {
    StoreOption { name, kind: StoreOptionKind::Text, doc, key }
}

const fn flag(name: &'static str, key: &'static str, doc: &'static str) -> StoreOption {
    StoreOption { name, kind: StoreOptionKind::Flag, doc, key }
}

const fn secret(name: &'static str, key: &'static str, doc: &'static str) -> StoreOption {
    StoreOption { name, kind: StoreOptionKind::Secret, doc, key }
}

const ALLOW_HTTP: StoreOption = flag("allow_http", "allow_http", "Whether the endpoint may be http:// without TLS.");
const TIMEOUT: StoreOption = text("timeout", "timeout", "How long one request may take, such as 30s (the default).");

/// Options of S3. The endpoint has the key of `AWS_ENDPOINT_URL_S3`, so that the pipeline's wins over the environment's.
const S3: &[StoreOption] = &[
    text("endpoint", "aws_endpoint_url_s3", "Address of the server; Amazon's own where absent."),
    text("region", "region", "Region of the bucket; us-east-1 where neither this nor AWS_REGION says another."),
    ALLOW_HTTP,
    TIMEOUT,
    flag(
        "virtual_hosted_style_request",
        "virtual_hosted_style_request",
        "Whether the bucket is part of the host name; the endpoint then names it too.",
    ),
    secret("access_key_id", "access_key_id", "In place of AWS_ACCESS_KEY_ID."),
    secret("secret_access_key", "secret_access_key", "In place of AWS_SECRET_ACCESS_KEY."),
    secret("session_token", "session_token", "In place of AWS_SESSION_TOKEN."),
    flag("skip_signature", "skip_signature", "Whether requests go out unsigned."),
    flag("unsigned_payload", "unsigned_payload", "Whether bodies are left out of the signature."),
    text("checksum_algorithm", "checksum_algorithm", "sha256: the store checks every upload."),
    text("server_side_encryption", "server_side_encryption", "AES256, sse:kms or sse:kms:dsse."),
    text("sse_kms_key_id", "sse_kms_key_id", "Key of sse:kms."),
    flag("sse_bucket_key_enabled", "sse_bucket_key_enabled", "Whether sse:kms uses the bucket's key."),
    flag("request_payer", "request_payer", "Whether the requester pays."),
    flag("disable_bulk_delete", "disable_bulk_delete", "For servers that know no DeleteObjects."),
];

const GCS: &[StoreOption] = &[
    text("endpoint", "base_url", "Address of the server; Google's own where absent."),
    ALLOW_HTTP,
    TIMEOUT,
    StoreOption {
        name: "service_account",
        kind: StoreOptionKind::File,
        doc: "Path of the service account's JSON file.",
        key: "service_account",
    },
    flag("skip_signature", "skip_signature", "Whether requests go out unsigned."),
];

const AZURE: &[StoreOption] = &[
    text("endpoint", "endpoint", "Address of the account; Azure's own where absent."),
    ALLOW_HTTP,
    TIMEOUT,
    text("account_name", "account_name", "In place of AZURE_STORAGE_ACCOUNT_NAME."),
    secret("account_key", "account_key", "In place of AZURE_STORAGE_ACCOUNT_KEY."),
    secret("sas_token", "sas_token", "In place of AZURE_STORAGE_SAS_TOKEN."),
    text("client_id", "client_id", "In place of AZURE_CLIENT_ID."),
    secret("client_secret", "client_secret", "In place of AZURE_CLIENT_SECRET."),
    text("tenant_id", "tenant_id", "In place of AZURE_TENANT_ID."),
    text("authority_host", "authority_host", "Where tokens are asked for."),
    flag("use_azure_cli", "use_azure_cli", "Whether the sign-in of `az` is used."),
    flag("use_fabric_endpoint", "use_fabric_endpoint", "Whether the account is one of Microsoft Fabric."),
    flag("skip_signature", "skip_signature", "Whether requests go out unsigned."),
];

impl Cloud {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    /// Schemes of URLs, the usual one first.
    pub fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["s3", "s3a"],
            Self::Gcs => &["gs"],
            Self::Azure => &["az", "azure", "abfs", "abfss"],
        }
    }

    /// The kind that a URL's scheme names; `None` for schemes of no object store.
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.schemes().contains(&scheme))
    }

    /// The options that it takes.
    pub fn options(self) -> &'static [StoreOption] {
        match self {
            Self::S3 => S3,
            Self::Gcs => GCS,
            Self::Azure => AZURE,
        }
    }

    /// What the names of its environment variables begin with.
    fn variables(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Gcs => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }
}

impl StoreOptions {
    /// Options by their names in `destination.options`, and environment variables. Variables of no use to the store are
    /// passed over.
    pub fn new(
        options: impl IntoIterator<Item = (String, String)>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let known = |name: &str| Cloud::ALL.iter().any(|cloud| name.starts_with(cloud.variables()));
        Self {
            options: options.into_iter().collect(),
            variables: variables.into_iter().filter(|(name, _)| known(name)).collect(),
        }
    }

    /// All settings under the names of the client library; the later one of two wins, which is the option.
    fn settings(&self, cloud: Cloud) -> impl Iterator<Item = (String, &String)> {
        let variables = self.variables.iter().filter(move |(name, _)| name.starts_with(cloud.variables()));
        let variables = variables.map(|(name, value)| (name.to_ascii_lowercase(), value));
        let options = cloud.options().iter().filter_map(|option| {
            let value = self.options.get(option.name)?;
            Some((option.key.to_owned(), value))
        });
        variables.chain(options)
    }

    /// An option that the store does not take.
    fn unknown(&self, cloud: Cloud) -> Option<&str> {
        let known = |name: &str| cloud.options().iter().any(|option| option.name == name);
        self.options.keys().map(String::as_str).find(|name| !known(name))
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("options", &self.options.keys())
            .field("variables", &self.variables.keys())
            .finish()
    }
}

impl BucketAddress {
    /// Reads a URL with one of the schemes of `cloud`.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right. The text holds nothing of a user or password in it.
    pub(crate) fn parse(cloud: Cloud, url: &str) -> Result<Self, String> {
        let form = || format!("write {}://BUCKET/PREFIX", cloud.schemes()[0]);
        let url = Url::parse(url).map_err(|error| format!("it is not a valid URL ({error}), {}", form()))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("it names no bucket, {}", form()));
        }
        // abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX is the one form with something before an `@`.
        let container = cloud == Cloud::Azure && url.host_str().is_some_and(|host| host.contains('.'));
        if url.password().is_some() || (!url.username().is_empty() && !container) {
            return Err("it must not hold a user or a password; credentials come from the environment".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("it must not hold a `?` or a `#`, {}", form()));
        }
        if url.port().is_some() {
            return Err(format!("it must not hold a port, {} and set `endpoint` in `options`", form()));
        }
        let path = url.path().trim_matches('/');
        let prefix = Path::from_url_path(path).map_err(|error| format!("its path cannot be used ({error})"))?;
        Ok(Self { cloud, url, prefix })
    }

    /// The prefix in the bucket.
    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The URL as people are shown it; it holds no secret.
    pub(crate) fn shown(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Makes the client.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do. The text holds no value of a secret.
    pub(crate) fn open(&self, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, String> {
        if let Some(name) = options.unknown(self.cloud) {
            return Err(format!("it takes no option `{name}`"));
        }
        if CryptoProvider::get_default().is_none() {
            // Fails only if another thread was faster, which is as good.
            _ = ring::default_provider().install_default();
        }
        match self.cloud {
            Cloud::S3 => self.s3(options),
            #[cfg(feature = "gcs")]
            Cloud::Gcs => self.gcs(options),
            #[cfg(feature = "azure")]
            Cloud::Azure => self.azure(options),
            #[cfg(not(all(feature = "gcs", feature = "azure")))]
            cloud => Err(format!("this program was built without `{}://` stores", cloud.schemes()[0])),
        }
    }

    fn s3(&self, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, String> {
        use AmazonS3ConfigKey as Key;
        let mut builder = AmazonS3Builder::new();
        for (key, value) in options.settings(Cloud::S3) {
            if let Ok(key) = key.parse() {
                builder = builder.with_config(key, value);
            }
        }
        let set = |key: Key| builder.get_config_value(&key);
        let endpoint = set(Key::S3Endpoint).or_else(|| set(Key::Endpoint));
        encrypted(endpoint.as_deref(), set(Key::Client(ClientConfigKey::AllowHttp)))?;
        let sources = [
            Key::AccessKeyId,
            Key::SecretAccessKey,
            Key::WebIdentityTokenFile,
            Key::ContainerCredentialsRelativeUri,
            Key::ContainerCredentialsFullUri,
        ];
        let signs = sources.into_iter().any(|key| set(key).is_some());
        let profile = options.variables.contains_key("AWS_PROFILE");
        // Without a key, Amazon's own hosts are asked for one; that cannot help with another server, or where a profile is meant.
        if !signs && !is_true(set(Key::SkipSignature)) && (endpoint.is_some() || profile) {
            let also = if profile {
                "; AWS_PROFILE is not read, `aws configure export-credentials --format env` prints what to set"
            } else {
                ""
            };
            return Err(format!("no credentials are set: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY{also}"));
        }
        if set(Key::AccessKeyId).is_some() != set(Key::SecretAccessKey).is_some() {
            return Err("of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set: set both".to_owned());
        }
        let store = builder
            .with_url(self.url.as_str())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry())
            .build()
            .map_err(reason)?;
        Ok(Arc::new(store))
    }

    #[cfg(feature = "gcs")]
    fn gcs(&self, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, String> {
        let mut builder = GoogleCloudStorageBuilder::new();
        let mut endpoint = None;
        // The library allows http here, since its hosts' own metadata server has no TLS; an endpoint still has to say so.
        let mut allow_http = None;
        for (key, value) in options.settings(Cloud::Gcs) {
            match key.parse() {
                Ok(GoogleConfigKey::Client(ClientConfigKey::AllowHttp)) => allow_http = Some(value.clone()),
                Ok(key) => {
                    if key == GoogleConfigKey::BaseUrl {
                        endpoint = Some(value.as_str());
                    }
                    builder = builder.with_config(key, value);
                }
                Err(_) => {}
            }
        }
        encrypted(endpoint, allow_http)?;
        let store = builder.with_url(self.url.as_str()).with_retry(retry()).build().map_err(reason)?;
        Ok(Arc::new(store))
    }

    #[cfg(feature = "azure")]
    fn azure(&self, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, String> {
        use AzureConfigKey as Key;
        let mut builder = MicrosoftAzureBuilder::new();
        for (key, value) in options.settings(Cloud::Azure) {
            if let Ok(key) = key.parse() {
                builder = builder.with_config(key, value);
            }
        }
        let set = |key: Key| builder.get_config_value(&key);
        encrypted(set(Key::Endpoint).as_deref(), set(Key::Client(ClientConfigKey::AllowHttp)))?;
        let named = self.url.host_str().is_some_and(|host| host.contains('.'));
        if set(Key::AccountName).is_none() && !named && !is_true(set(Key::UseEmulator)) {
            return Err("no account is set: set AZURE_STORAGE_ACCOUNT_NAME, or `account_name` in `options`".to_owned());
        }
        let store = builder.with_url(self.url.as_str()).with_retry(retry()).build().map_err(reason)?;
        Ok(Arc::new(store))
    }
}

/// Refuses an endpoint without TLS unless that was asked for: credentials would go to whoever answers.
fn encrypted(endpoint: Option<&str>, allow_http: Option<String>) -> Result<(), String> {
    match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") && !is_true(allow_http) => {
            Err("its endpoint is http:// without TLS; set `allow_http: true` in `options` if that is intended"
                .to_owned())
        }
        Some(endpoint) if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") => {
            Err("its endpoint is not an http or https URL".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_true(value: Option<String>) -> bool {
    value.is_some_and(|value| ["true", "1", "yes", "on", "y"].contains(&value.to_ascii_lowercase().as_str()))
}

/// What kept a client from being made, without the library's own "Generic S3 error".
fn reason(error: StoreError) -> String {
    match error {
        StoreError::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(8),
            base: 3.0,
        },
        max_retries: RETRIES,
        retry_timeout: Duration::from_secs(RETRY_SECONDS),
    }
}
