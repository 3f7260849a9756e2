//! The `updates` listener: metadata and targets over HTTPS with the device's certificate.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_schemas::codes;
use bellwether_schemas::spec::TargetRef;
use jiff::Timestamp;
use sha2::Digest as _;

use crate::disk;
use crate::identity::Identity;
use crate::tls;

/// No answer may pause longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

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

    /// A metadata file; `None` only where the listener says that there is none.
    pub(crate) async fn metadata(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
        let url = format!("{}/devices/{}/{name}", self.base, self.device);
        let mut answer = self.http.get(&url).send().await.map_err(|e| tls::problem(&url, &e))?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            status => return Err(refused(&url, status)),
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
        let mut answer = self.http.get(&url).send().await.map_err(|e| tls::problem(&url, &e))?;
        match answer.status().as_u16() {
            200 => {}
            status => return Err(broken(format!("the answer was {status}"))),
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

fn refused(url: &str, status: u16) -> Problem {
    Problem::transient(codes::ANSWER_UNREADABLE, format!("{url}: the answer was {status}"))
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
