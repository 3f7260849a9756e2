//! Probes that ask a URL: plain HTTP, no redirect, no proxy, at most 64 KiB read.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bellwether_schemas::manifest::{HttpProbe, HttpUrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How much of an answer is read.
const MAX_ANSWER: u64 = 64 << 10;

pub(super) async fn ask(probe: &HttpProbe) -> Result<(), String> {
    let url = HttpUrl::parse(&probe.url).map_err(|why| why.to_string())?;
    let mut stream = connect(url).await.map_err(|e| e.to_string())?;
    let path = if url.path.is_empty() { "/" } else { url.path };
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.to_owned() };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: bellwether-agent\r\nConnection: close\r\n\r\n",
        url.port
    );
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let status = read_status(stream).await?;
    match probe.expect_status {
        Some(expected) if status == expected => Ok(()),
        Some(expected) => Err(format!("status {status}, expected {expected}")),
        None if (200..300).contains(&status) => Ok(()),
        None => Err(format!("status {status}, expected 200 to 299")),
    }
}

/// `localhost` is this machine, whatever a name server says (RFC 6761, section 6.3).
async fn connect(url: HttpUrl<'_>) -> std::io::Result<TcpStream> {
    if url.host.eq_ignore_ascii_case("localhost") {
        let here =
            [SocketAddr::from((Ipv4Addr::LOCALHOST, url.port)), SocketAddr::from((Ipv6Addr::LOCALHOST, url.port))];
        return TcpStream::connect(&here[..]).await;
    }
    TcpStream::connect((url.host, url.port)).await
}

async fn read_status(stream: TcpStream) -> Result<u16, String> {
    let mut answer = Vec::new();
    let mut limited = stream.take(MAX_ANSWER);
    loop {
        if let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
            return status_of(&answer[..end]).ok_or_else(|| "the answer is not HTTP".to_owned());
        }
        if limited.read_buf(&mut answer).await.map_err(|e| e.to_string())? == 0 {
            return Err("the answer is not HTTP".to_owned());
        }
    }
}

fn status_of(line: &[u8]) -> Option<u16> {
    let mut parts = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    parts.next().filter(|version| version.starts_with("HTTP/1."))?;
    parts.next()?.parse().ok().filter(|status| (100..600).contains(status))
}
