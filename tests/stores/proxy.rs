//! A way to a server on which answers get lost: HTTP passed on as it is, one request a connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is passed on, and so is the answer.
    Pass,
    /// It is passed on and carried out; the connection ends without an answer.
    LoseAnswer,
    /// The connection ends before it is passed on.
    Reset,
    /// It is answered with this status and not passed on.
    Answer(u16),
}

/// Listens, and passes everything on to `endpoint`; `fate` decides by the request line. Returns the address to use in place
/// of it. It lives as long as the test's runtime.
pub(crate) async fn start(endpoint: &str, fate: impl Fn(&str) -> Fate + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let host = endpoint.strip_prefix("http://").unwrap();
    let server: SocketAddr = host.split('/').next().unwrap().parse().unwrap();
    let fate = Arc::new(fate);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let fate = Arc::clone(&fate);
            // A client that goes away in the middle is no failure of the test.
            tokio::spawn(async move { pass_on(client, server, &*fate).await.ok() });
        }
    });
    format!("http://{address}")
}

async fn pass_on(
    mut client: TcpStream,
    server: SocketAddr,
    fate: &(impl Fn(&str) -> Fate + Sync),
) -> std::io::Result<()> {
    let Some((head, body)) = request(&mut client).await? else { return Ok(()) };
    let fate = fate(head.lines().next().unwrap_or_default());
    match fate {
        Fate::Reset => return Ok(()),
        Fate::Answer(status) => {
            let answer = format!("HTTP/1.1 {status} On Purpose\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return client.write_all(answer.as_bytes()).await;
        }
        Fate::Pass | Fate::LoseAnswer => {}
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(format!("{}\r\nConnection: close\r\n\r\n", head.trim_end()).as_bytes()).await?;
    upstream.write_all(&body).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    if fate == Fate::Pass { client.write_all(&answer).await } else { Ok(()) }
}

/// A request's head and body; nothing where the connection ends before one.
async fn request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = read.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, body)))
}
