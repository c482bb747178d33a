//! A pipeline means the same place from wherever the program is started, however its path is spelled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Said, command, said};

fn pipeline(name: &str, url: &str) -> String {
    format!(
        "version: 1\nname: {name}\nschedule: {{every: 1d}}\nsource:\n  account: acme\n  sandbox: {{contacts: 5, requests_per_second: 5000, burst: \
         5000, today: 2026-03-01}}\ndestination: {{url: {url}}}\nmetrics: {{textfile: ./prom}}\nreports:\n  - {{report: contacts, \
         write_mode: append, keep_raw: true}}\n  - {{report: contact_lists, write_mode: merge}}\n"
    )
}

/// A folder of pipelines in a home, with links to the file and to the folder.
struct Scene {
    _folder: TempDir,
    home: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let home = folder.path().canonicalize().unwrap();
        for name in ["etl/pipelines/prom", "elsewhere", "links"] {
            fs::create_dir_all(home.join(name)).unwrap();
        }
        fs::write(home.join("etl/pipelines/acme.yaml"), pipeline("acme", "../data")).unwrap();
        symlink(home.join("etl/pipelines"), home.join("links/folder")).unwrap();
        Self { _folder: folder, home }
    }

    fn call(&self, folder: &Path, arguments: &[&str]) -> Said {
        let mut command = command(folder, arguments);
        command.env("CTCT_CONFIG_DIR", self.home.join("config")).env("CTCT_STATE_DIR", self.home.join("state"));
        said(&mut command)
    }

    /// Folders to start in, with a spelling of the pipeline's path there.
    fn spellings(&self) -> Vec<(PathBuf, String)> {
        let whole = self.home.join("etl/pipelines/acme.yaml").to_str().unwrap().to_owned();
        let at = |folder: &str, file: &str| (self.home.join(folder), file.to_owned());
        vec![
            at("etl/pipelines", "acme.yaml"),
            at("etl/pipelines", "./acme.yaml"),
            at("etl", "pipelines/acme.yaml"),
            at("elsewhere", "../etl/pipelines/acme.yaml"),
            at("elsewhere", "../etl/./pipelines/../pipelines/acme.yaml"),
            at("links", "folder/acme.yaml"),
            at("links", "folder/../pipelines/acme.yaml"),
            (self.home.join("links/folder"), "acme.yaml".to_owned()),
            (PathBuf::from("/"), whole.clone()),
            (self.home.join("elsewhere"), whole),
        ]
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn every_command_means_the_same_place_from_every_folder() {
    let scene = Scene::new();
    let data = scene.home.join("etl/data");
    let place = data.to_str().unwrap();
    // Where nothing is stored, each says where it looked.
    for (folder, file) in scene.spellings() {
        for (arguments, code) in [
            (&["status", &file][..], 20),
            (&["state", &file], 0),
            (&["verify", &file], 0),
            (&["compact", &file, "--dry-run"], 0),
            (&["state", "rebuild", &file, "--dry-run"], 0),
            (&["views", &file, "--dialect", "duckdb"], 0),
            (&["plan", &file], 0),
            (&["run", &file, "--dry-run"], 0),
            (&["schema", &file, "--format", "ddl"], 0),
            (&["schedule", &file, "--target", "systemd"], 0),
        ] {
            let end = scene.call(&folder, arguments);
            let text = end.stdout + &end.stderr;
            let wanted = if arguments.contains(&"views") { format!("in {place}:") } else { place.to_owned() };
            assert!(text.contains(&wanted), "{arguments:?} in {}: {text}", folder.display());
            assert_eq!(end.code, Some(code), "{arguments:?} in {}: {text}", folder.display());
        }
    }
    assert!(!data.exists(), "looking leaves nothing");
    for (folder, file) in scene.spellings() {
        let end = scene.call(&folder, &["replay", &file]);
        let what = format!(": {place} has no saved responses");
        assert!(end.stderr.contains(&what), "{file}: {}", end.stderr);
    }

    // One run from each: the first stores, the others find it.
    let mut stored = None;
    for (folder, file) in scene.spellings() {
        let end = scene.call(&folder, &["run", &file, "--output", "json"]);
        assert_eq!(end.code, Some(0), "{file} in {}: {}", folder.display(), end.stderr);
        let summary: Value = serde_json::from_str(&end.stdout).unwrap();
        assert_eq!(summary["destination"], place);
        let contacts = files(&data.join("contacts"));
        assert!(!contacts.is_empty());
        assert_eq!(*stored.get_or_insert_with(|| contacts.clone()), contacts, "{file} in {}", folder.display());
        let end = scene.call(&folder, &["status", &file, "--max-age", "1d"]);
        assert_eq!(end.code, Some(0), "{}{}", end.stdout, end.stderr);
    }
    assert!(scene.home.join("etl/pipelines/prom/ctct_etl_acme@acme.prom").is_file());
    let strange: Vec<PathBuf> = files(&scene.home)
        .into_iter()
        .filter(|path| {
            let known =
                ["etl/data", "etl/pipelines", "links/folder", "config", "state"].map(|name| scene.home.join(name));
            !known.iter().any(|known| path.starts_with(known))
        })
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn a_link_to_the_file_belongs_to_the_links_folder_and_a_pipe_to_the_current_one() {
    let scene = Scene::new();
    symlink(scene.home.join("etl/pipelines/acme.yaml"), scene.home.join("links/acme.yaml")).unwrap();
    let end = scene.call(Path::new("/"), &["run", scene.home.join("links/acme.yaml").to_str().unwrap()]);
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(scene.home.join("data/contacts").is_dir() && !scene.home.join("etl/data").exists());

    for file in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let mut command = command(&scene.home.join("elsewhere"), &["plan", file]);
        command.stdin(Stdio::from(fs::File::open(scene.home.join("etl/pipelines/acme.yaml")).unwrap()));
        let end = said(&mut command);
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        assert!(
            end.stdout.contains(&format!("destination  {}/data\n", scene.home.display())),
            "{file}: {}",
            end.stdout
        );
    }
}

#[test]
fn several_files_of_one_command_have_each_their_own_folder() {
    let scene = Scene::new();
    for name in ["one", "other"] {
        fs::create_dir(scene.home.join(name)).unwrap();
        fs::write(scene.home.join(name).join("p.yaml"), pipeline(name, "./data")).unwrap();
    }
    let all = ["one/p.yaml", "other/p.yaml", "etl/pipelines/acme.yaml"];
    let end = scene.call(&scene.home, &[&["run"], &all[..]].concat());
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    for data in ["one/data", "other/data", "etl/data"] {
        assert!(scene.home.join(data).join("contacts").is_dir(), "{data}");
    }
    let end = scene.call(&scene.home.join("elsewhere"), &["status", "../one/p.yaml", "../other/p.yaml"]);
    assert_eq!(end.code, Some(0), "{}{}", end.stdout, end.stderr);
}

#[test]
fn secrets_and_stores_of_state_are_beside_the_pipeline_too() {
    let scene = Scene::new();
    let folder = scene.home.join("etl/pipelines");
    let text = "version: 1\nname: acme\nsource:\n  account: acme\n  access_token: {file: token}\n  base_url: http://127.0.0.1:9\n  \
                state: {url: ./shared}\ndestination: {url: ./data}\nretry: {attempts: 1}\nreports: [{report: contacts}]\n";
    fs::write(folder.join("acme.yaml"), text).unwrap();
    let end = scene.call(&scene.home, &["run", "etl/pipelines/acme.yaml"]);
    let token = folder.join("token");
    assert_eq!(end.code, Some(2), "{}", end.stderr);
    assert!(end.stderr.contains(token.to_str().unwrap()), "the file that was looked for is named: {}", end.stderr);
    fs::write(&token, "a-token\n").unwrap();
    // The server is not there; the token was found, and requests are counted where the pipeline says.
    let end = scene.call(&scene.home, &["run", "etl/pipelines/acme.yaml"]);
    assert_ne!(end.code, Some(2), "{}", end.stderr);
    assert!(folder.join("shared").is_dir() && !scene.home.join("shared").exists(), "{}", end.stderr);
}
