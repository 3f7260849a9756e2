//! The `enroll` listener: a token that git lists becomes a certificate, once; so does a key that a person approved, and a
//! factory's certificate.
//!
//! Order: the token is judged by the history, spent, and only then signed for. From then on it is that key's alone: a repeat
//! by the same key gets the certificate that was issued, or goes on where a use was cut off.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use bellwether_core::admission::{Admissions, Domain, Identity, TokenRefusal, VoidTokens};
use bellwether_schemas::api::Condition;
use bellwether_schemas::codes;
use bellwether_schemas::enroll::{Claim, ENROLL_PATH, EnrollRequest, EnrollResponse};
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, Sha256Digest};
use jiff::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;

use super::Advertise;
use super::installer::SCRIPT_PATH;
use super::problem::{Class, Problem};
use super::requests::Requests;
use super::spent::{Spend, SpentTokens, Use};
use super::used::UsedCertificates;
use super::views::Views;
use super::webhook::WEBHOOK_PATH;
use crate::pki::{AuthorityWatch, Peer, RequestedKey};
use limits::origin;
pub(super) use limits::{Limits, within_limits};

/// Bytes of a request that are read.
const MAX_BODY: usize = 64 * 1024;
/// How long a request's body may take.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long the loop may take to hear of a new device.
const REGISTER_TIME: Duration = Duration::from_secs(10);
/// How long an enrollment waits for the first accepted history.
pub(super) const ACCEPT_TIME: Duration = Duration::from_secs(10);
/// Facts that a device may state, and bytes of each.
const FACTS: (usize, usize) = (32, 256);
/// Locks that keep two requests with one token, or one key, apart.
const LOCKS: usize = 64;
/// A device that enrolled, for the loop to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Who it is.
    pub identity: Identity,
    /// What it says about itself; nothing is decided by it.
    pub facts: BTreeMap<String, String>,
    /// When it enrolled.
    pub at: Timestamp,
}

pub(super) struct Enroll {
    pub(super) authority: AuthorityWatch,
    pub(super) domain: Domain,
    pub(super) advertise: Advertise,
    pub(super) admissions: watch::Receiver<Option<Arc<Admissions>>>,
    pub(super) void: watch::Receiver<VoidTokens>,
    pub(super) views: watch::Receiver<Arc<Views>>,
    pub(super) spent: SpentTokens,
    pub(super) used: UsedCertificates,
    pub(super) enrolled: mpsc::Sender<Enrolled>,
    pub(super) locks: Vec<Mutex<()>>,
    pub(super) requests: Arc<Requests>,
}

impl Enroll {
    pub(super) fn locks() -> Vec<Mutex<()>> {
        (0..LOCKS).map(|_| Mutex::new(())).collect()
    }
}

/// What a device asks, but for the right by which it does.
struct Asked {
    key: RequestedKey,
    csr: CertificateSigningRequestDer<'static>,
    facts: BTreeMap<String, String>,
    from: IpAddr,
    at: Timestamp,
}

impl Asked {
    fn read(csr: &str, facts: BTreeMap<String, String>, from: IpAddr, at: Timestamp) -> Result<Self, Problem> {
        let key = RequestedKey::from_pem(csr)
            .map_err(|error| Problem::new(Class::Malformed, error.code(), error.to_string()))?;
        let csr = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())
            .map_err(|_| malformed("the certificate request is not PEM"))?;
        Ok(Self { key, csr, facts, from, at })
    }
}

pub(super) fn router(enroll: Arc<Enroll>) -> Router {
    Router::new()
        .route(ENROLL_PATH, post(answer).fallback(other_method))
        .fallback(|| async {
            Problem::not_found(format!(
                "the enroll listener has POST {ENROLL_PATH}, POST {WEBHOOK_PATH}, GET {SCRIPT_PATH} and agents only"
            ))
        })
        .with_state(enroll)
}

async fn other_method() -> Response {
    let message = format!("{ENROLL_PATH} takes POST only");
    let mut response = Problem::new(Class::Method, codes::ENROLL_REQUEST, message).into_response();
    response.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("POST"));
    response
}

async fn answer(State(enroll): State<Arc<Enroll>>, request: Request) -> Result<Json<EnrollResponse>, Problem> {
    let from = origin(&request);
    let request = read(request.into_body()).await?;
    // A client that hangs up must not stop an enrollment between spending the token and recording the certificate.
    let task = tokio::spawn(async move { enroll.enroll(request, from, Timestamp::now()).await });
    let answer = task.await.map_err(|_| failed("the enrollment ended unexpectedly"))?;
    match &answer {
        Err(problem) if problem.class != Class::Pending => {
            tracing::warn!(code = %problem.code, %from, "an enrollment was refused: {}", problem.message);
        }
        Err(_) | Ok(_) => {}
    }
    answer.map(Json)
}

fn failed(message: &str) -> Problem {
    Problem::new(Class::Internal, codes::ISSUE_FAILED, message)
}

fn malformed(message: impl Into<String>) -> Problem {
    Problem::new(Class::Malformed, codes::ENROLL_REQUEST, message)
}

async fn read(body: Body) -> Result<EnrollRequest, Problem> {
    let bytes = match timeout(BODY_TIME, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let message = format!("the request breaks off or is larger than {MAX_BODY} bytes");
            return Err(Problem::new(Class::TooLarge, codes::ENROLL_REQUEST, message));
        }
        Err(_) => return Err(malformed(format!("the request took longer than {} s", BODY_TIME.as_secs()))),
    };
    // The parser's message could quote the token: only the place is told.
    let request: EnrollRequest = serde_json::from_slice(&bytes).map_err(|error| {
        malformed(format!("the request is not the JSON expected, line {} column {}", error.line(), error.column()))
    })?;
    let (count, length) = FACTS;
    if request.facts.len() > count || request.facts.iter().any(|(k, v)| k.len() > length || v.len() > length) {
        return Err(malformed(format!("more than {count} facts, or one longer than {length} bytes")));
    }
    Ok(request)
}

/// The hash by which git knows a token. Letters may be upper case: people type tokens.
fn token_hash(token: &str) -> Result<Sha256Digest, Problem> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(token.trim(), &mut bytes).map_err(|_| malformed("the token is not 64 hexadecimal digits"))?;
    Ok(Sha256Digest::of(&bytes))
}

fn refused(refusal: &TokenRefusal) -> Problem {
    let class = match refusal {
        TokenRefusal::Unknown => Class::Unknown,
        TokenRefusal::Expired { .. } | TokenRefusal::Void { .. } | TokenRefusal::Revoked(_) => Class::Forbidden,
        TokenRefusal::NoName(_) => Class::Taken,
    };
    Problem::new(class, refusal.code(), refusal.to_string())
}

fn spent() -> Problem {
    let message = "the token is spent: it was used with another key";
    Problem::new(Class::Taken, codes::TOKEN_SPENT, message)
}

fn store_failed(error: object_store::Error) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "the object store failed during an enrollment");
    Problem::busy("the record of spent tokens cannot be read or written now")
}

/// The condition and its code. The rest, which may name people's machines, is for the page: anybody may ask here.
fn condition_name(condition: &Condition) -> String {
    match condition {
        Condition::Verified => "Verified".to_owned(),
        Condition::Stalled { code, .. } => format!("Stalled ({code})"),
        Condition::Rewound { .. } => "Rewound".to_owned(),
        Condition::Frozen { .. } => "Frozen".to_owned(),
        Condition::Unreachable { .. } => "Unreachable".to_owned(),
    }
}

impl Enroll {
    /// Waits until a history is accepted. After a first start none is yet, and a device may be fast.
    async fn some_history(&self) -> Result<(), Problem> {
        let mut admissions = self.admissions.clone();
        match timeout(ACCEPT_TIME, admissions.wait_for(Option::is_some)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Problem::busy("the reconciler ends")),
            Err(_) => Err(self.no_history()),
        }
    }

    pub(super) fn no_history(&self) -> Problem {
        let views = self.views.borrow();
        let condition = views.repository.as_ref().map(|repository| condition_name(&repository.condition));
        let condition = condition.unwrap_or_else(|| "not read yet".to_owned());
        Problem::busy(format!("no history is accepted yet: the repository is {condition}"))
    }

    async fn enroll(&self, request: EnrollRequest, from: IpAddr, now: Timestamp) -> Result<EnrollResponse, Problem> {
        let EnrollRequest { claim, csr, facts } = request;
        match claim {
            Claim::Token(token) => {
                let token = token_hash(&token)?;
                self.by_token(token, Asked::read(&csr, facts, from, now)?).await
            }
            Claim::Approval(enrollment) => self.by_key(enrollment, Asked::read(&csr, facts, from, now)?).await,
            Claim::Factory(enrollment, proof) => {
                self.by_factory(enrollment, &proof, Asked::read(&csr, facts, from, now)?).await
            }
        }
    }

    /// Waits until whoever asks with the same token or key was answered; a repeat then finds the certificate.
    async fn alone(&self, hash: &Sha256Digest) -> tokio::sync::MutexGuard<'_, ()> {
        self.locks[usize::from(hash.as_bytes()[0]) % LOCKS].lock().await
    }

    fn identity(&self, enrollment: EnrollmentName, entry: EntryId, device: DeviceName) -> Identity {
        Identity { domain: self.domain.clone(), enrollment, entry, device }
    }

    async fn by_token(&self, token: Sha256Digest, asked: Asked) -> Result<EnrollResponse, Problem> {
        self.some_history().await?;
        let _alone = self.alone(&token).await;
        // What the history says now: it may have changed during the wait.
        let admissions = self.admissions.borrow().clone().ok_or_else(|| self.no_history())?;
        let void = *self.void.borrow();
        let key = asked.key.fingerprint();
        let granted = admissions.token(&token, asked.at).and_then(|grant| void.check(grant));
        let granted = granted.and_then(|grant| Ok((admissions.name_for(&grant, key)?, grant)));
        let (device, grant) = match granted {
            Ok(granted) => granted,
            // Whose answer was lost may still ask for it; nothing new is issued.
            Err(refusal @ (TokenRefusal::Expired { .. } | TokenRefusal::Void { .. } | TokenRefusal::NoName(_))) => {
                return match self.spent.look_up(&token, key).await.map_err(store_failed)? {
                    Some(Spend::Issued(certificate)) => self.response(certificate),
                    Some(Spend::Held | Spend::Spent) | None => Err(refused(&refusal)),
                };
            }
            Err(refusal) => return Err(refused(&refusal)),
        };
        let identity = self.identity(grant.enrollment, grant.entry, device);
        let used = Use { token, key: *key, identity, at: asked.at };
        match self.spent.spend(&used).await.map_err(store_failed)? {
            Spend::Held => self.issue_once(&used, asked).await,
            Spend::Issued(certificate) => self.response(certificate),
            Spend::Spent => Err(spent()),
        }
    }

    /// Issues the certificate of a use, and records it before anybody has it.
    async fn issue_once(&self, used: &Use, asked: Asked) -> Result<EnrollResponse, Problem> {
        let certificate = self.issue(&used.identity, &asked)?;
        let certificate = self.spent.record(used, certificate).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, device = %used.identity.device, "cannot record");
            failed("the certificate could not be recorded; try again with the same key")
        })?;
        self.welcome(used.identity.clone(), asked, certificate).await
    }

    fn issue(&self, identity: &Identity, asked: &Asked) -> Result<String, Problem> {
        let authority = self.authority.borrow().clone();
        let issued = match self.used.newest_of(identity) {
            Some(newest) => authority.issue_after(&asked.key, identity, (newest, asked.at)),
            None => authority.issue(&asked.key, identity, asked.at),
        };
        issued.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, device = %identity.device, "cannot issue");
            failed("the certificate could not be signed; try again with the same key")
        })
    }

    /// Tells the loop of a device that gets its certificate, and answers it.
    async fn welcome(&self, identity: Identity, asked: Asked, certificate: String) -> Result<EnrollResponse, Problem> {
        let Identity { device, enrollment, entry, .. } = &identity;
        tracing::info!(%device, %enrollment, %entry, from = %asked.from, "a device enrolled");
        let device = device.clone();
        let enrolled = Enrolled { identity, facts: asked.facts, at: asked.at };
        // The device has its certificate; if the loop does not hear of it now, it will with the first report.
        if self.enrolled.send_timeout(enrolled, REGISTER_TIME).await.is_err() {
            tracing::warn!(%device, "the loop did not hear of a new device");
        }
        self.response(certificate)
    }

    /// The answer to whoever holds the key of this certificate.
    fn response(&self, certificate: String) -> Result<EnrollResponse, Problem> {
        let peer = CertificateDer::from_pem_slice(certificate.as_bytes())
            .ok()
            .and_then(|der| Peer::from_certificate(&der, &self.domain).ok());
        // A record that was torn by a power cut: as if nothing had been issued.
        let Some(peer) = peer else { return Err(spent()) };
        let Advertise { devices, updates } = self.advertise.clone();
        Ok(EnrollResponse { device: peer.identity.device, certificate, devices, updates })
    }
}

mod limits;
mod without_token;
