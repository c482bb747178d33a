//! Disks that fail: full, and read-only. Real ones: small file systems in a mount namespace of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ctct_test_support::skipped;
use tempfile::TempDir;

const PIPELINE: &str = "version: 1
name: disk
source:
  sandbox: {contacts: 3000, seed: 7, today: 2026-03-01, requests_per_second: 10000, burst: 10000}
destination: {url: disk/data}
reports:
  - {report: contacts, write_mode: replace}
";

/// Runs a script in `folder`, where `disk` is a file system of its own; nothing where this system gives none to us.
/// `run` is the program, started on the pipeline.
fn with_disk(folder: &Path, script: &str) -> Option<Output> {
    fs::create_dir(folder.join("disk")).unwrap();
    fs::write(folder.join("disk.yaml"), PIPELINE).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=700k tmpfs disk || exit 99\nrun() {{ {} --quiet run disk.yaml; echo \"exit $?\"; }}\n{script}",
        ctct_test_support::program::path().display()
    );
    let output =
        Command::new("unshare").args(["--map-root-user", "--mount", "sh", "-c", &script]).current_dir(folder).output();
    match output {
        Ok(output) if output.status.code() == Some(0) => Some(output),
        failed => {
            skipped(&format!("a disk of its own ({failed:?})"));
            None
        }
    }
}

#[test]
fn a_full_disk_is_told_and_the_next_run_with_space_brings_everything() {
    let folder = TempDir::new().unwrap();
    let script = "run; find disk -name '*#*' | sed 's/^/left /'; find disk/data/contacts* -name '*.parquet' 2>/dev/null | sed 's/^/seen /'
mount -o remount,size=64m disk; run; find disk/data/contacts -name '*.parquet'; find disk/data/_ctct/sandbox -name '*.json'";
    let Some(output) = with_disk(folder.path(), script) else { return };
    let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(told.contains("the disk is full, free some space and run again"), "{told}");
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("exit") || line.contains("disk/")).collect();
    assert_eq!(
        lines,
        [
            "exit 2",
            "exit 0",
            "disk/data/contacts/account=sandbox/part-00000.parquet",
            "disk/data/_ctct/sandbox/contacts/commits/00000000000000000001.json"
        ],
        "{told}"
    );
}

#[test]
fn a_disk_that_is_read_only_is_told() {
    let folder = TempDir::new().unwrap();
    let Some(output) = with_disk(folder.path(), "mount -o remount,ro disk; run") else { return };
    let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("exit 2"), "{said}");
    assert!(told.contains("the file system is read-only, choose another destination"), "{told}");
}
