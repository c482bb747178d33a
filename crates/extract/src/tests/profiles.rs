//! Application profiles in files.

use std::fs;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::{Application, Applications};

fn application(secret: Option<&str>) -> Application {
    Application {
        name: "default".to_owned(),
        client_id: "the-api-key".to_owned(),
        client_secret: secret.map(Into::into),
    }
}

#[test]
fn a_profile_comes_back_as_it_was_written() {
    let folder = TempDir::new().unwrap();
    let applications = Applications::in_folder(folder.path().join("config/applications"));
    assert!(applications.read("default").unwrap().is_none());
    for secret in [None, Some("s3cr3t"), Some("s3cr3t \"2\"\n\u{e4}"), None] {
        applications.write(&application(secret)).unwrap();
        let read = applications.read("default").unwrap().unwrap();
        assert_eq!((read.name.as_str(), read.client_id.as_str()), ("default", "the-api-key"));
        assert_eq!(read.client_secret.as_ref().map(ExposeSecret::expose_secret), secret);
        assert!(!format!("{read:?}").contains("s3cr3t"));
    }
    let files: Vec<_> = fs::read_dir(folder.path().join("config/applications")).unwrap().collect();
    assert_eq!(files.len(), 1, "no temporary file is left");
}

#[cfg(unix)]
#[test]
fn a_profile_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let below = folder.path().join("applications");
    let applications = Applications::in_folder(below.clone());
    applications.write(&application(Some("s3cr3t"))).unwrap();
    let file = applications.path("default");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&below)), (0o600, 0o700));
    let mut texts = Vec::new();
    for (path, bits, good) in [(&file, 0o640, 0o600), (&file, 0o604, 0o600), (&below, 0o750, 0o700)] {
        fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
        texts.push(applications.read("default").unwrap_err().to_string());
        fs::set_permissions(path, fs::Permissions::from_mode(good)).unwrap();
        applications.read("default").unwrap().unwrap();
    }
    insta::assert_snapshot!(texts.join("\n").replace(folder.path().to_str().unwrap(), "[folder]"));
}

#[test]
fn a_file_that_is_no_profile_is_named_and_never_quoted() {
    let folder = TempDir::new().unwrap();
    let applications = Applications::in_folder(folder.path().join("applications"));
    applications.write(&application(None)).unwrap();
    for text in ["", "s3cr3t", "{\"client_secret\":\"s3cr3t\"}", "{\"client_id\":\"a\",\"s3cr3t\":1}"] {
        fs::write(applications.path("default"), text).unwrap();
        let error = applications.read("default").unwrap_err();
        assert!(error.to_string().contains("default.json: is no application profile"), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    }
}
