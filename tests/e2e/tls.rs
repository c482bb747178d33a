//! A server with a certificate of its own: refused where nobody trusts it, read where `SSL_CERT_FILE` names it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ctct_test_support::skipped;
use tempfile::TempDir;

use crate::harness::pipeline_at;
use crate::program::{command, said};

/// OpenSSL's own server, which answers every request with a page of its own.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", "-www"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let place = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        let port = place.rsplit(':').next().unwrap().parse().unwrap();
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_certificate_counts_where_it_is_named_and_nowhere_else() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let names = "subjectAltName=IP:127.0.0.1";
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(at)
        .output();
    let Ok(made) = made else {
        skipped("there is no `openssl`");
        return;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Server::start(at);
    let place = format!("127.0.0.1:{}", server.port);
    let text = pipeline_at(&format!("https://{place}/v3"), "  - report: contact_lists\n");
    fs::write(at.join("p.yaml"), text.replace("  url: .\n", "  url: ./out\n") + "retry: {attempts: 1}\n").unwrap();
    let run = |variables: &[(&str, &Path)]| {
        said(
            command(at, &["run", "p.yaml"])
                .env("TOKEN", "t")
                .env_remove("SSL_CERT_FILE")
                .envs(variables.iter().copied()),
        )
    };

    let refused = run(&[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("SSL_CERT_FILE") && refused.stderr.contains(&place), "{}", refused.stderr);

    // Now it is asked, and its page is none of the API.
    let read = run(&[("SSL_CERT_FILE", &at.join("cert.pem"))]);
    assert_eq!(read.code, Some(12), "{}", read.stderr);
    assert!(!read.stderr.contains("SSL_CERT_FILE"), "{}", read.stderr);
}
