//! SIGTERM while a store does not answer: commands that only keep house end too, and say that they were stopped.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;

use crate::program::{Running, command};

/// A store that takes requests and never answers; tells of each request.
fn silent_store() -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, hears) = mpsc::channel();
    thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = listener.accept() {
            let mut first = [0; 1];
            if socket.read_exact(&mut first).is_ok() && told.send(()).is_err() {
                return;
            }
            open.push(socket);
        }
    });
    (url, hears)
}

#[test]
fn every_command_that_waits_for_a_store_ends_when_it_is_told_to() {
    for arguments in [
        &["verify", "p.yaml"][..],
        &["compact", "p.yaml"],
        &["state", "p.yaml"],
        &["state", "rebuild", "p.yaml"],
        &["replay", "p.yaml"],
        &["status", "p.yaml"],
        &["run", "p.yaml"],
    ] {
        let folder = TempDir::new().unwrap();
        let (store, asked) = silent_store();
        let text = format!(
            "version: 1\nname: p\nsource: {{sandbox: {{contacts: 5}}}}\ndestination:\n  url: s3://bucket/place\n  \
             options: {{endpoint: '{store}', allow_http: true}}\nreports: [{{report: contact_lists}}]\n"
        );
        fs::write(folder.path().join("p.yaml"), text).unwrap();
        let mut command = command(folder.path(), arguments);
        command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
        let running = Running::start(&mut command);
        asked.recv().unwrap();
        running.terminate();
        // The store's own time, after which it is given up, is half a minute.
        let end = running.end();
        assert_eq!(end.code, Some(12), "{arguments:?}: {}", end.stderr);
        assert!(end.stderr.contains("stopped"), "{arguments:?}: {}", end.stderr);
        assert!(!end.stderr.contains("the store failed"), "{arguments:?}, it waited: {}", end.stderr);
    }
}
