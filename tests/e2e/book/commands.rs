//! Every `sh` block of the book and of the README is run, as a reader would: with the program on the path, the blocks of a page
//! one after the other in one folder of their own, against the embedded API.
//!
//! A `yaml` block that begins with a line such as `# acme.yaml` is written to that file on the way. `console` blocks show what
//! needs more than that.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::page::{Block, split};
use super::{pages, read, root};
use crate::program::said;

/// A host of its own for one page: a home, a folder to work in, and the program on the path.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["home", "bin", "work"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        symlink(ctct_test_support::program::path(), folder.path().join("bin/ctct-etl")).unwrap();
        Self { folder }
    }

    fn work(&self) -> std::path::PathBuf {
        self.folder.path().join("work")
    }

    /// Runs a script; any command of it that fails ends it.
    fn run(&self, script: &str) -> Result<(), String> {
        let at = |name: &str| self.folder.path().join(name);
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-eux", "-o", "pipefail", "-c", script]).current_dir(at("work")).stdin(Stdio::null());
        // Not what this process happens to have: no sign-in, no key, no folder of somebody else's.
        bash.env_clear().env("PATH", path).env("HOME", at("home")).env("LANG", "C.UTF-8").env("TMPDIR", at("home"));
        let said = said(&mut bash);
        if said.code == Some(0) {
            Ok(())
        } else {
            Err(format!("exit {:?}\n{}\n{}", said.code, said.stdout, said.stderr))
        }
    }
}

/// The file that a block is to be written to: `acme.yaml` where its first line is `# acme.yaml`.
fn file_name(block: &Block) -> Option<&str> {
    let name = block.text.lines().next()?.strip_prefix("# ")?;
    let plain = name.strip_suffix(".yaml")?.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    (block.language == "yaml" && plain).then_some(name)
}

/// Writes the files of a page and runs its commands, in the order in which they stand there; gives what failed.
fn run_all(name: &str, text: &str, prepare: impl Fn(&Path), adapt: impl Fn(&str) -> String) -> Vec<String> {
    let (blocks, _) = split(text);
    if !blocks.iter().any(|block| block.language == "sh") {
        return Vec::new();
    }
    let host = Host::new();
    prepare(&host.work());
    for block in &blocks {
        if let Some(name) = file_name(block) {
            fs::write(host.work().join(name), &block.text).unwrap();
        }
        if block.language != "sh" {
            continue;
        }
        if let Err(why) = host.run(&adapt(&block.text)) {
            // Later blocks build on this one.
            return vec![format!("{name}:{}: {why}", block.line)];
        }
    }
    Vec::new()
}

#[test]
fn every_command_of_the_book_works() {
    let failed: Vec<String> =
        pages().iter().flat_map(|page| run_all(&format!("docs/{page}"), &read(page), |_| {}, str::to_owned)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_command_of_the_readme_works() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    // In the repository, whose examples are there; the demo on a smaller account, since this is not the release build.
    let prepare = |folder: &Path| {
        fs::create_dir(folder.join("pipelines")).unwrap();
        for entry in fs::read_dir(root().join("pipelines")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap().replace("contacts: 10000 ", "contacts: 60 ");
            fs::write(folder.join("pipelines").join(path.file_name().unwrap()), text).unwrap();
        }
    };
    let adapt = |script: &str| script.replace("cargo run --release -- ", "ctct-etl ");
    let failed = run_all("README.md", &text, prepare, adapt);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_tutorial_and_the_readme_have_commands_to_run() {
    let has = |text: &str| split(text).0.iter().any(|block| block.language == "sh" && block.text.contains("ctct-etl"));
    assert!(has(&read("tutorial/first-run.md")));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(
        split(&readme).0.iter().any(|block| block.language == "sh" && block.text.contains("cargo run --release -- "))
    );
}

/// The lines that show commands and are not run are at least commands that the program knows.
#[test]
fn commands_that_are_only_shown_are_known_to_the_program() {
    let readme = ("README.md".to_owned(), fs::read_to_string(root().join("README.md")).unwrap());
    let all = pages().into_iter().map(|page| (format!("docs/{page}"), read(&page))).chain([readme]);
    let mut wrong = Vec::new();
    for (name, text) in all {
        for block in
            split(&text).0.iter().filter(|block| ["console", "sh", "crontab"].contains(&block.language.as_str()))
        {
            for line in block.text.lines() {
                if let Err(why) = crate::help::understood(line) {
                    wrong.push(format!("{name}:{}: {line}: {why}", block.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
