//! The commit record as it is stored, destinations as they are opened, and every error as people read it.

use std::path::Path as FilePath;

use super::*;

async fn record(destination: &Destination) -> String {
    let path = "_ctct/acme/people/commits/00000000000000000001.json";
    String::from_utf8(bytes(destination, path).await.to_vec()).unwrap()
}

async fn overwrite(destination: &Destination, text: String) {
    let path = destination.key("_ctct/acme/people/commits/00000000000000000001.json").unwrap();
    destination.store.put(&path, text.into()).await.unwrap();
}

async fn committed() -> Destination {
    let destination = Destination::in_memory();
    let by = [PartitionBy::Month("created_at".to_owned())];
    let mut session = Session::begin(&destination, plan(WriteMode::Append, &by, "r1")).await.unwrap();
    session.write(page(1, &[person("a", "x", "2026-01-01").phone("1", &[])])).await.unwrap();
    session.dead_letter(&super::modes::letter("{}")).await.unwrap();
    session.commit(outcome()).await.unwrap();
    destination
}

#[tokio::test]
async fn the_record_holds_everything_that_the_next_run_needs() {
    let destination = committed().await;
    let text = record(&destination).await;
    insta::with_settings!({filters => vec![
        (r#""sha256": "[0-9a-f]{64}""#, r#""sha256": "<hex>""#),
        (r#""checksum": "[0-9a-f]{64}""#, r#""checksum": "<hex>""#),
        (r#""bytes": \d+"#, r#""bytes": <n>"#),
    ]}, {
        insta::assert_snapshot!(text);
    });
    let head = ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap().unwrap();
    assert_eq!(head.to_text().unwrap(), text);
    for file in &head.files {
        let stored = bytes(&destination, &file.path).await;
        assert_eq!(file.bytes, stored.len() as u64);
        assert_eq!(file.sha256, crate::destination::checksum::hex(&<sha2::Sha256 as sha2::Digest>::digest(&stored)));
    }
}

#[tokio::test]
async fn a_damaged_record_stops_the_run_and_says_which_file() {
    let destination = committed().await;
    let sound = record(&destination).await;
    let mut told = Vec::new();
    for broken in [
        String::new(),
        "[]".to_owned(),
        sound.replace("acme", "acne"),
        sound[..sound.len() / 2].to_owned(),
        sound.replace("checksum", "check"),
        sound.replace("\"format\": 1", "\"format\": 2"),
    ] {
        overwrite(&destination, broken).await;
        let error = Session::begin(&destination, plan(WriteMode::Append, &[], "r2")).await.unwrap_err();
        told.push(error.to_string());
    }
    insta::assert_snapshot!(told.join("\n"));
    overwrite(&destination, sound.clone()).await;
    ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap().unwrap();
    // A record under another's number is damage too.
    let other = destination.key("_ctct/acme/people/commits/00000000000000000002.json").unwrap();
    destination.store.put(&other, sound.into()).await.unwrap();
    let error = ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap_err();
    insta::assert_snapshot!(error, @"`memory://_ctct/acme/people/commits/00000000000000000002.json` is damaged: it says that it is version 1");
}

#[tokio::test]
async fn files_that_are_no_records_are_passed_over() {
    let destination = committed().await;
    for name in [".DS_Store", "1.json", "00000000000000000009.json.bak"] {
        let path = destination.key(&format!("_ctct/acme/people/commits/{name}")).unwrap();
        destination.store.put(&path, "x".into()).await.unwrap();
    }
    let head = ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap().unwrap();
    assert_eq!(head.version, 1);
}

#[tokio::test]
async fn a_committed_file_that_is_nowhere_is_reported() {
    let destination = committed().await;
    let log = ReportLog::new(&destination, "acme", "people").unwrap();
    let head = log.head().await.unwrap().unwrap();
    destination.delete(&head.files[0].path).await.unwrap();
    let lost = log.publish(&head, &crate::log::publish::moves(&head)).await.unwrap_err();
    insta::assert_snapshot!(lost, @"`memory://people/account=acme/created_at_month=2026-01/00000000000000000001-r1-00000.parquet` belongs to commit 1 but is neither published nor staged");
}

#[test]
fn destinations_are_opened_from_paths_and_urls() {
    let base = FilePath::new("/base/dir");
    let variables = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "czNjcmV0"),
    ];
    let options = StoreOptions::new([], variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let shown = |url: &str| match Destination::open(url, base, &options) {
        Ok(destination) => format!("{url} -> {}", destination.url()),
        Err(error) => format!("{url} -> error: {error}"),
    };
    let all = [
        "data",
        "./data/acme",
        "../data",
        "/data",
        "file:///data/with%20space",
        "file://./data/acme",
        "file://localhost/data",
        "memory://",
        "s3://bucket/prefix/",
        "s3a://bucket",
        "s3://bucket/a%20b/ü+=",
        "s3://key:secret@bucket/prefix",
        "s3://bucket/prefix?token=secret",
        "s3://bucket:9000/prefix",
        "s3:///prefix",
        "gs://bucket",
        "az://box/prefix",
        "abfss://box@account.dfs.core.windows.net/prefix",
        "https://user:secret@host/x",
        "s4://bucket",
        "",
    ];
    insta::assert_snapshot!(all.map(shown).join("\n"));
}

#[test]
fn a_store_that_cannot_be_opened_says_what_is_missing() {
    let refused = |url: &str, options: &[(&str, &str)], variables: &[(&str, &str)]| {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let options = StoreOptions::new(owned(options), owned(variables));
        Destination::open(url, FilePath::new("/"), &options).unwrap_err().to_string()
    };
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
    let told = [
        refused("s3://b/p", &[("endpoint", "https://s3.example.com")], &[]),
        refused("s3://b/p", &[], &[("AWS_PROFILE", "acme")]),
        refused("s3://b/p", &[], &keys[..1]),
        refused("s3://b/p", &[("endpoint", "http://127.0.0.1:9000")], &keys),
        refused("s3://b/p", &[("endpoint", "127.0.0.1:9000")], &keys),
        refused("s3://b/p", &[("reigon", "x")], &keys),
        refused("s3://b/p", &[("server_side_encryption", "rot13")], &keys),
        refused("s3://b/p", &[("timeout", "soon")], &keys),
        refused("az://b/p", &[], &[]),
        refused("az://b/p", &[("account_key", "no base64")], &[("AZURE_STORAGE_ACCOUNT_NAME", "acme")]),
        refused("gs://b/p", &[("endpoint", "http://127.0.0.1:9000")], &[]),
        refused("gs://b/p", &[], &[("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")]),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_pipelines_options_win_over_the_environment_and_no_key_is_shown() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let variables = [
        pair("AWS_ACCESS_KEY_ID", "k3y"),
        pair("AWS_SECRET_ACCESS_KEY", "s3cret"),
        pair("AWS_ENDPOINT_URL_S3", "http://elsewhere"),
        pair("PATH", "s3cret"),
    ];
    let options = StoreOptions::new([pair("endpoint", "https://here"), pair("session_token", "s3cret")], variables);
    let destination = Destination::open("s3://bucket/prefix", FilePath::new("/"), &options).unwrap();
    assert!(format!("{:?}", destination.store).contains("https://here/bucket"), "{:?}", destination.store);
    let shown = format!("{options:?} {destination:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("PATH"), "{shown}");
}

#[test]
fn names_that_are_no_folders_are_refused() {
    let destination = Destination::in_memory();
    let long = "x".repeat(300);
    let told: Vec<_> = ["", "__HIVE_DEFAULT_PARTITION__", &long]
        .iter()
        .map(|name| ReportLog::new(&destination, name, "people").unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn every_store_error_says_what_to_do() {
    use std::io::{Error, ErrorKind};
    let told: Vec<String> = [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::PermissionDenied,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::NotADirectory,
        ErrorKind::TimedOut,
    ]
    .map(|kind| object_store::Error::Generic { store: "LocalFileSystem", source: Error::from(kind).into() })
    .into_iter()
    .chain([
        object_store::Error::PermissionDenied { path: "x".to_owned(), source: "403".into() },
        object_store::Error::Unauthenticated { path: "x".to_owned(), source: "401".into() },
        object_store::Error::NotFound { path: "x".to_owned(), source: "404".into() },
    ])
    .map(|source| LoadError::Store { action: "write", path: "/data/people/x.parquet".to_owned(), source }.to_string())
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_other_errors_read_well() {
    let told = [
        LoadError::Task { task: "encode a row group of `contacts`".to_owned() }.to_string(),
        LoadError::DeadLetters { source: std::io::Error::other("x") }.to_string(),
        LoadError::Parquet {
            table: "contacts".to_owned(),
            action: "write",
            source: parquet::errors::ParquetError::General("x".to_owned()),
        }
        .to_string(),
        LoadError::Arrow {
            table: "contacts".to_owned(),
            action: "sort",
            source: arrow_schema::ArrowError::ComputeError("x".to_owned()),
        }
        .to_string(),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_page_of_another_shape_is_refused() {
    let destination = Destination::in_memory();
    let mut told = Vec::new();
    let mut session = Session::begin(&destination, plan(WriteMode::Append, &[], "r1")).await.unwrap();
    told.push(session.write(Vec::new()).await.unwrap_err().to_string());
    let mut swapped = page(1, &[person("a", "x", "")]);
    swapped.swap(0, 1);
    told.push(session.write(swapped).await.unwrap_err().to_string());
    let mut lost = page(1, &[person("a", "x", "").phone("1", &[])]);
    lost[1].parent_rows = None;
    told.push(session.write(lost).await.unwrap_err().to_string());
    let mut far = page(1, &[person("a", "x", "").phone("1", &[])]);
    far[1].parent_rows = Some(UInt32Array::from(vec![9]));
    told.push(session.write(far).await.unwrap_err().to_string());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_run_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let destination = Destination::in_memory();
    let run = run(&destination, plan(WriteMode::Append, &[], "r1"), &[]);
    is_send(&run);
}
