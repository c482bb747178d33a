//! Starts the program as a user does and keeps what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What one call of the program said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote there.
    pub stdout: String,
    /// What it wrote there.
    pub stderr: String,
}

/// Where the program is: cargo puts binaries above the folder of the test programs.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("ctct-etl-under-test")
}

/// The program, about to run in a folder, with no variable of the tests' own environment that it would read.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["CTCT_LOG", "CTCT_ACCESS_TOKEN", "NO_COLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE", "COLUMNS"] {
        command.env_remove(name);
    }
    for (name, below) in [("CTCT_CONFIG_DIR", "config"), ("CTCT_STATE_DIR", "state")] {
        command.env(name, folder.join(".host").join(below));
    }
    command
}

/// Runs the program to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Said {
    said(&mut command(folder, arguments))
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A program that goes on while the test does.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    stdout: BufReader<std::process::ChildStdout>,
    seen: String,
}

impl Running {
    /// Starts a command whose stdout and stderr are pipes.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stderr, stdout, seen: String::new() }
    }

    /// Waits for a line on stderr that contains `text`, and gives it.
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(
                self.stderr.read_line(&mut line).unwrap() > 0,
                "the program ended without `{text}`:\n{}",
                self.seen
            );
            self.seen += &line;
        }
        line
    }

    /// Types something in, for a command with a pipe for its stdin; nothing follows it.
    pub fn type_in(&mut self, text: &str) {
        self.child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The next line on stdout that contains `text`.
    pub fn line_with(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the program ended without `{text}`");
        }
        line
    }

    /// Sends SIGTERM, as a scheduler does.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end.
    pub fn end(mut self) -> Said {
        let (mut stdout, mut stderr) = (String::new(), std::mem::take(&mut self.seen));
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        Said { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

/// A test that fails leaves no program behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
