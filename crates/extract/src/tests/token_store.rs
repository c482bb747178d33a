//! The token store: what is kept, who may read it, what a damaged one says, and that nothing is half written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::server::{ACCESS, CLIENT_SECRET, REFRESH, noon};
use crate::{AccessToken, Accounts, ExtractError, RetryAdvice, SignIn};

/// A sign-in of an account, an hour of its day gone.
pub(super) fn sign_in(account: &str) -> SignIn {
    SignIn {
        account: account.to_owned(),
        application: "default".to_owned(),
        client_id: "the-api-key".to_owned(),
        client_secret: Some(CLIENT_SECRET.into()),
        token_url: "http://127.0.0.1:9/oauth2/default/v1/token".parse().unwrap(),
        scopes: vec!["contact_data".to_owned(), "offline_access".to_owned()],
        access_token: Some(AccessToken::new(ACCESS)),
        expires_at: Some(noon() + Duration::from_hours(23)),
        refresh_token: Some(REFRESH.into()),
        server: None,
        identity: crate::Identity::default(),
        signed_in_at: noon() - Duration::from_hours(1),
        renewed_at: noon() - Duration::from_hours(1),
        generation: 0,
    }
}

/// A folder that is not there yet.
fn folder() -> (TempDir, Accounts) {
    let temp = tempfile::tempdir().unwrap();
    let accounts = Accounts::in_folder(temp.path().join("deep").join("accounts"));
    (temp, accounts)
}

fn file(temp: &TempDir, name: &str) -> std::path::PathBuf {
    temp.path().join("deep").join("accounts").join(name)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_was_stored_is_read_back_whole() {
    let (_temp, accounts) = folder();
    assert_eq!(accounts.names().await.unwrap(), [""; 0]);
    assert!(accounts.read("b").await.unwrap().is_none());
    for name in ["b", "a.x_example", "B-2"] {
        accounts.store(sign_in(name)).await.unwrap();
    }
    assert_eq!(accounts.names().await.unwrap(), ["B-2", "a.x_example", "b"]);
    let (read, stored) = (accounts.read("b").await.unwrap().unwrap(), sign_in("b"));
    assert_eq!(read.generation, 1);
    assert_eq!(
        (&read.account, &read.application, &read.client_id),
        (&stored.account, &stored.application, &stored.client_id)
    );
    assert_eq!(
        (&read.token_url, &read.scopes, read.expires_at),
        (&stored.token_url, &stored.scopes, stored.expires_at)
    );
    assert_eq!((read.signed_in_at, read.renewed_at), (stored.signed_in_at, stored.renewed_at));
    assert_eq!(read.client_secret.unwrap().expose_secret(), CLIENT_SECRET);
    assert_eq!(read.refresh_token.unwrap().expose_secret(), REFRESH);
    assert_eq!(read.access_token.unwrap().header().unwrap(), format!("Bearer {ACCESS}"));

    accounts.store(sign_in("b")).await.unwrap();
    assert_eq!(accounts.read("b").await.unwrap().unwrap().generation, 2);
    assert!(accounts.remove("b").await.unwrap());
    assert!(!accounts.remove("b").await.unwrap());
    assert!(accounts.read("b").await.unwrap().is_none());
    assert_eq!(accounts.names().await.unwrap(), ["B-2", "a.x_example"]);
}

#[tokio::test]
async fn names_that_could_lead_elsewhere_are_refused() {
    let (_temp, accounts) = folder();
    for name in ["", ".", "..", ".a", "a/b", "../a", "a b", "ä", "a\n", &"a".repeat(101)] {
        for error in [
            accounts.store(sign_in(name)).await.unwrap_err(),
            accounts.read(name).await.unwrap_err(),
            accounts.remove(name).await.unwrap_err(),
        ] {
            assert!(matches!(error, ExtractError::Config { key: "account", .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn only_the_owner_may_read_and_looser_modes_are_refused_with_the_right_one() {
    let (temp, accounts) = folder();
    accounts.store(sign_in("a")).await.unwrap();
    let (json, dir) = (file(&temp, "a.json"), temp.path().join("deep").join("accounts"));
    assert_eq!((mode(&json), mode(&dir), mode(&file(&temp, "a.lock"))), (0o600, 0o700, 0o600));
    for (path, loose, tight) in
        [(&json, 0o640, 0o600), (&json, 0o604, 0o600), (&dir, 0o750, 0o700), (&dir, 0o701, 0o700)]
    {
        set_mode(path, loose);
        let error = accounts.read("a").await.unwrap_err();
        assert!(error.to_string().ends_with(&format!("(mode {loose:o}, which should be {tight:o})")), "{error}");
        assert_eq!(error.retry(), RetryAdvice::Never);
        set_mode(path, tight);
    }
    set_mode(&dir, 0o755);
    assert!(matches!(accounts.names().await, Err(ExtractError::TokensOpen { mode: 0o755, .. })));
    assert!(matches!(accounts.store(sign_in("b")).await, Err(ExtractError::TokensOpen { .. })));
    set_mode(&dir, 0o700);
    set_mode(&json, 0o400);
    accounts.read("a").await.unwrap().unwrap();
}

#[tokio::test]
async fn a_damaged_file_names_itself_and_the_command_that_mends_it_and_signing_in_mends_it() {
    let (temp, accounts) = folder();
    accounts.store(sign_in("a")).await.unwrap();
    let json = file(&temp, "a.json");
    let whole = fs::read_to_string(&json).unwrap();
    let broken = [
        String::new(),
        " \n".to_owned(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace(r#""format": 1"#, r#""format": 2"#),
        whole.replace(r#""account": "a""#, r#""account": "b""#),
        whole.replace(r#""generation": 1"#, r#""generation": "s3cr3t""#),
        "s3cr3t".to_owned(),
        r#"["s3cr3t"]"#.to_owned(),
    ];
    let mut said = Vec::new();
    for text in broken {
        fs::write(&json, text).unwrap();
        let error = accounts.read("a").await.unwrap_err();
        assert_eq!((error.retry(), error.ends_run()), (RetryAdvice::AfterSignIn, true));
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
        said.push(error.to_string().replace(temp.path().to_str().unwrap(), "CONFIG"));
    }
    insta::assert_snapshot!(said.join("\n"));
    accounts.store(sign_in("a")).await.unwrap();
    assert_eq!(accounts.read("a").await.unwrap().unwrap().refresh_token.unwrap().expose_secret(), REFRESH);
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
    let (temp, accounts) = folder();
    accounts.store(sign_in("a")).await.unwrap();
    // A folder in the way of the new file: the write fails before it replaces anything.
    let in_the_way = file(&temp, ".a.json.new");
    fs::create_dir(&in_the_way).unwrap();
    let error = accounts.store(sign_in("a")).await.unwrap_err();
    let ExtractError::TokenStore { action: "write", path, .. } = &error else { panic!("{error}") };
    assert!(path.ends_with("a.json"), "{path}");
    assert_eq!(accounts.read("a").await.unwrap().unwrap().generation, 1);
    fs::remove_dir(&in_the_way).unwrap();
    // What a process that died while writing left is written over.
    fs::write(&in_the_way, "half of a s").unwrap();
    accounts.store(sign_in("a")).await.unwrap();
    assert_eq!(accounts.read("a").await.unwrap().unwrap().generation, 2);
    let mut left: Vec<_> =
        fs::read_dir(in_the_way.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a.json", "a.lock"]);
}

#[tokio::test]
async fn many_that_store_at_once_each_make_a_generation() {
    let (_temp, accounts) = folder();
    let stores = (0..20).map(|_| {
        let accounts = accounts.clone();
        async move { accounts.store(sign_in("a")).await.unwrap() }
    });
    futures::future::join_all(stores).await;
    assert_eq!(accounts.read("a").await.unwrap().unwrap().generation, 20);
}

#[tokio::test]
async fn debug_hides_every_secret() {
    let (_temp, accounts) = folder();
    let stored = sign_in("a");
    accounts.store(stored.clone()).await.unwrap();
    let said = format!("{stored:?} {accounts:?} {:?}", accounts.read("a").await.unwrap());
    assert!(!said.contains("s3cr3t"), "{said}");
}
