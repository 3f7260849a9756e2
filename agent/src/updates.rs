//! The `updates` listener: metadata and targets over HTTPS with the device's certificate.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_schemas::codes;
use bellwether_schemas::enroll::ErrorBody;
use bellwether_schemas::spec::TargetRef;
use jiff::Timestamp;
use sha2::Digest as _;

use crate::disk;
use crate::identity::Identity;
use crate::tls;

/// No answer may pause longer than this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes in a second below which a download is given up.
const SLOWEST: u64 = 1_024;
/// How much of a refusal is read.
const MAX_REFUSAL: usize = 16 << 10;

/// A client of the listener.
#[derive(Debug, Clone)]
pub(crate) struct Updates {
    http: reqwest::Client,
    base: String,
    device: String,
}

impl Updates {
    pub(crate) fn connect(identity: &Identity, verified: Option<Timestamp>) -> Result<Self, Problem> {
        let failed =
            |e: &(dyn std::error::Error + 'static)| Problem::transient(codes::TLS_FAILED, crate::cli::chain(e));
        let tls = tls::client(&identity.ca, Some(identity), verified).map_err(|e| failed(&e))?;
        let http = http(tls).map_err(|e| failed(&e))?;
        let base = identity.updates.trim_end_matches('/').to_owned();
        Ok(Self { http, base, device: identity.device.to_string() })
    }

    /// The answer to a request for a metadata file, whatever it is.
    pub(crate) async fn ask(&self, name: &str) -> Result<reqwest::Response, Problem> {
        let url = self.url(name);
        let sent = self.http.get(&url).timeout(PATIENCE * 2).send().await;
        sent.map_err(|e| tls::problem(&url, &e))
    }

    /// The same where it was not refused: the file is there, or the listener says that there is none.
    pub(crate) async fn admitted(&self, answer: reqwest::Response) -> Result<reqwest::Response, Problem> {
        match answer.status().as_u16() {
            200 | 404 => Ok(answer),
            _ => {
                let url = answer.url().to_string();
                Err(refused(&url, answer).await)
            }
        }
    }

    fn url(&self, name: &str) -> String {
        format!("{}/devices/{}/{name}", self.base, self.device)
    }

    /// A metadata file; `None` only where the listener says that there is none.
    pub(crate) async fn metadata(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
        let url = self.url(name);
        let mut answer = self.admitted(self.ask(name).await?).await?;
        if answer.status().as_u16() == 404 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| tls::problem(&url, &e))? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                let message = format!("{url}: more than {limit} bytes");
                return Err(Problem::transient(codes::METADATA_REFUSED, message));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    /// Streams a target to a file, under its signed length and digest; nothing bears the name before it is whole.
    pub(crate) async fn download(&self, target: TargetRef, name: &str, to: &Path) -> Result<(), Problem> {
        let url = format!("{}/targets/{}.{name}", self.base, target.sha256);
        let broken = |why: String| Problem::transient(codes::DOWNLOAD_FAILED, format!("{url}: {why}"));
        let state = |e: disk::DiskError| Problem::transient(codes::DOWNLOAD_FAILED, crate::cli::chain(&e));
        // A server that sends byte by byte must not keep the agent for ever.
        let longest = PATIENCE * 2 + Duration::from_secs(target.length / SLOWEST);
        let sent = self.http.get(&url).timeout(longest).send().await;
        let mut answer = sent.map_err(|e| tls::problem(&url, &e))?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Err(broken("the answer was 404".to_owned())),
            _ => return Err(refused(&url, answer).await),
        }
        let new = to.with_extension("part");
        let mut file = disk::create(&new).map_err(state)?;
        let mut hash = sha2::Sha256::new();
        let mut length = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|e| tls::problem(&url, &e))? {
            length += chunk.len() as u64;
            if length > target.length {
                return Err(broken(format!("more than the signed {} bytes", target.length)));
            }
            hash.update(&chunk);
            file.write_all(&chunk).map_err(|e| broken(format!("cannot write {}: {e}", new.display())))?;
        }
        let digest: [u8; 32] = hash.finalize().into();
        if length != target.length || digest != *target.sha256.as_bytes() {
            return Err(broken(format!("{length} bytes that are not what was signed ({} bytes)", target.length)));
        }
        file.sync_all().map_err(|e| broken(format!("cannot sync {}: {e}", new.display())))?;
        disk::install(&new, to).map_err(state)
    }
}

/// What the server says about its refusal, with its own code where it gives one.
async fn refused(url: &str, mut answer: reqwest::Response) -> Problem {
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await
        && bytes.len() + chunk.len() <= MAX_REFUSAL
    {
        bytes.extend_from_slice(&chunk);
    }
    refusal(url, status, &bytes)
}

fn refusal(url: &str, status: u16, body: &[u8]) -> Problem {
    let said = serde_json::from_slice::<ErrorBody>(body).ok();
    match said.and_then(|body| Some((codes::explain(&body.code)?.code, body.message))) {
        Some((code, message)) => Problem::transient(code, format!("{url}: {message} ({status})")),
        None => Problem::transient(codes::ANSWER_UNREADABLE, format!("{url}: the answer was {status}")),
    }
}

/// An HTTP client for one purpose: no proxy, no redirect, no pool that wakes up.
pub(crate) fn http(tls: rustls::ClientConfig) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .https_only(true)
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .pool_idle_timeout(Duration::from_secs(5))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_bears_the_code_that_the_server_gave() {
        let said = refusal("https://x", 403, br#"{"code":"BW-0340","message":"not\u001byours","hint":""}"#);
        assert_eq!((said.code, said.message.as_str()), (codes::NOT_YOURS, "https://x: not yours (403)"));
        for body in [&b"<html>"[..], br#"{"code":"BW-9999","message":"","hint":""}"#] {
            assert_eq!(refusal("https://x", 500, body).code, codes::ANSWER_UNREADABLE);
        }
    }
}
