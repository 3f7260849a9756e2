//! `POST /webhook` on the `enroll` listener: a hosting service says that something was pushed.
//!
//! It only means "fetch now". The signature is an HMAC-SHA-256 over the raw body with a secret from a file; it is made
//! while the body arrives, and nothing of the body is kept or parsed. A repeat of an old call costs a fetch at most, so
//! that its time is not judged.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_schemas::codes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use super::problem::{Class, Problem};
use super::rate::Rates;
use crate::git::secret_line;

/// Where the route is.
pub(super) const WEBHOOK_PATH: &str = "/webhook";
/// GitHub, Gitea and Forgejo: `sha256=` and the HMAC of the body in hexadecimal digits.
const HUB: &str = "x-hub-signature-256";
/// GitLab's signing token (Standard Webhooks): `v1,` and the HMAC of `id.timestamp.body` in Base64, once or more.
const STANDARD: [&str; 3] = ["webhook-signature", "webhook-id", "webhook-timestamp"];
/// GitLab's older way: the secret itself, which signs nothing.
const GITLAB_TOKEN: &str = "x-gitlab-token";
/// Before the Base64 of a signing token's key.
const SIGNING_TOKEN: &str = "whsec_";
/// Bytes of a body that are read; GitHub sends no more.
const MAX_BODY: usize = 25 << 20;
const PATIENCE: Patience = Patience { whole: Duration::from_secs(10), pause: Duration::from_secs(2) };
/// Bodies that are read at once.
pub(super) const AT_ONCE: usize = 16;
/// Characters that a secret has at least.
const SHORTEST: usize = 16;
/// Signatures in one header, as while a token is exchanged.
const SIGNATURES: usize = 8;

/// How long a body may take, and how long it may pause: who sends nothing, or drips, must not keep others from the few places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) whole: Duration,
    pub(super) pause: Duration,
}

/// How many calls there were since the start.
#[derive(Debug, Default)]
pub(super) struct Calls {
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl Calls {
    /// Accepted and refused ones.
    pub(super) fn counts(&self) -> [(&'static str, u64); 2] {
        [("accepted", self.accepted.load(Ordering::Relaxed)), ("refused", self.refused.load(Ordering::Relaxed))]
    }
}

/// What the route works with.
pub(super) struct Webhook {
    secret: Option<PathBuf>,
    fetch_now: mpsc::Sender<()>,
    calls: Arc<Calls>,
    rates: Mutex<Rates<()>>,
    places: Semaphore,
    patience: Patience,
}

impl Webhook {
    pub(super) fn new(secret: Option<PathBuf>, fetch_now: mpsc::Sender<()>, calls: Arc<Calls>) -> Self {
        let (rates, places) = (Mutex::default(), Semaphore::new(AT_ONCE));
        Self { secret, fetch_now, calls, rates, places, patience: PATIENCE }
    }

    /// The same with other patience.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}

pub(super) fn router(webhook: Arc<Webhook>) -> Router {
    Router::new().route(WEBHOOK_PATH, post(answer).fallback(other_method)).with_state(webhook)
}

async fn other_method() -> Response {
    let message = format!("{WEBHOOK_PATH} takes POST only");
    let mut response = Problem::new(Class::Method, codes::WEBHOOK_REQUEST, message).into_response();
    response.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("POST"));
    response
}

async fn answer(State(webhook): State<Arc<Webhook>>, request: Request) -> Result<StatusCode, Problem> {
    let answer = webhook.take(request).await;
    match &answer {
        Ok(_) => webhook.calls.accepted.fetch_add(1, Ordering::Relaxed),
        Err(_) => webhook.calls.refused.fetch_add(1, Ordering::Relaxed),
    };
    answer
}

impl Webhook {
    async fn take(&self, request: Request) -> Result<StatusCode, Problem> {
        let Some(path) = &self.secret else {
            let message = "there is no webhook: webhookSecretFile is not set in reconciler.yaml";
            return Err(Problem::new(Class::NotFound, codes::WEBHOOK_OFF, message));
        };
        let claim = Claim::from_headers(request.headers())?;
        let busy = || Problem::busy("too many webhook calls at once");
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let path = path.clone();
        let read = tokio::task::spawn_blocking(move || secret_line(&path)).await.map_err(|_| busy())?;
        let secret = read.map_err(|error| unusable(&error.to_string()))?;
        let signed = hmac::Context::with_key(&claim.key(&secret)?);
        if !claim.holds(&read_signed(request.into_body(), signed, &claim, self.patience).await?) {
            return Err(unsigned("the signature was not made with the secret, or for another body"));
        }
        let rate = self.rates.lock().unwrap_or_else(PoisonError::into_inner).take(&(), Instant::now());
        if let Err(wait) = rate {
            let message = format!("too many webhook calls: the next one counts in {} ms", wait.as_millis());
            return Err(Problem::new(Class::TooMany, codes::TOO_MANY_REQUESTS, message));
        }
        // A fetch that waits to begin already serves as well.
        let _ = self.fetch_now.try_send(());
        Ok(StatusCode::ACCEPTED)
    }
}

/// The HMAC of what the claim says was signed. Of the body only one piece at a time is in memory.
async fn read_signed(
    mut body: Body,
    mut signed: hmac::Context,
    claim: &Claim,
    Patience { whole, pause }: Patience,
) -> Result<hmac::Tag, Problem> {
    let problem = |class, why: String| Problem::new(class, codes::WEBHOOK_REQUEST, why);
    signed.update(&claim.before_body);
    let reading = async {
        let mut length = 0;
        let paused = |_| problem(Class::Malformed, format!("nothing of the call came for {pause:?}"));
        while let Some(frame) = timeout(pause, body.frame()).await.map_err(paused)? {
            let frame = frame.map_err(|_| problem(Class::Malformed, "the call breaks off".to_owned()))?;
            let Some(data) = frame.data_ref() else { continue };
            length += data.len();
            if length > MAX_BODY {
                return Err(problem(Class::TooLarge, format!("the call is larger than {MAX_BODY} bytes")));
            }
            signed.update(data);
        }
        Ok(signed.sign())
    };
    let late = |_| problem(Class::Malformed, format!("the call took longer than {whole:?}"));
    timeout(whole, reading).await.map_err(late)?
}

/// What the headers claim.
struct Claim {
    standard: bool,
    /// What was signed before the body.
    before_body: Vec<u8>,
    /// Signatures, one of which must hold.
    signatures: Vec<Vec<u8>>,
}

impl Claim {
    fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(hub) = only(headers, HUB)? {
            let malformed = || unsigned("X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits");
            let digits = hub.strip_prefix("sha256=").ok_or_else(malformed)?;
            let signature = hex::decode(digits).map_err(|_| malformed())?;
            return Ok(Self { standard: false, before_body: Vec::new(), signatures: vec![signature] });
        }
        let [signature, id, time] = STANDARD;
        if let Some(all) = only(headers, signature)? {
            let (Some(id), Some(time)) = (only(headers, id)?, only(headers, time)?) else {
                return Err(unsigned("webhook-signature comes without webhook-id or webhook-timestamp"));
            };
            let first = all.split(' ').take(SIGNATURES).filter_map(|one| one.strip_prefix("v1,"));
            let signatures = first.filter_map(|one| BASE64.decode(one).ok()).collect();
            return Ok(Self { standard: true, before_body: format!("{id}.{time}.").into_bytes(), signatures });
        }
        if headers.contains_key(GITLAB_TOKEN) {
            return Err(unsigned(
                "X-Gitlab-Token is the secret itself and signs nothing: give the webhook in GitLab a signing token instead, \
                 or remove it and let the reconciler poll",
            ));
        }
        Err(unsigned("the call is not signed: it has neither X-Hub-Signature-256 nor webhook-signature"))
    }

    /// The key that the secret is, or that it is the text of.
    fn key(&self, secret: &str) -> Result<hmac::Key, Problem> {
        if secret.len() < SHORTEST {
            return Err(unusable("the secret of the webhook is shorter than 16 characters"));
        }
        if !self.standard {
            return Ok(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        }
        let key = secret.strip_prefix(SIGNING_TOKEN).and_then(|key| BASE64.decode(key).ok());
        let key = key.filter(|key| key.len() >= SHORTEST).ok_or_else(|| {
            unusable("the call is signed with a signing token, and the secret here is none: those begin with whsec_")
        })?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    fn holds(&self, tag: &hmac::Tag) -> bool {
        self.signatures.iter().any(|signature| verify_slices_are_equal(signature, tag.as_ref()).is_ok())
    }
}

/// The only value of a header, if it has one.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| unsigned(&format!("{name} holds more than plain text")))
        }
        (Some(_), Some(_)) => Err(unsigned(&format!("{name} is there more than once"))),
    }
}

fn unsigned(why: &str) -> Problem {
    Problem::new(Class::Unknown, codes::WEBHOOK_SIGNATURE, why)
}

/// The log says which file it is; whoever calls need not know.
fn unusable(why: &str) -> Problem {
    tracing::error!(code = %codes::WEBHOOK_SECRET, why, "the webhook's secret cannot be used");
    Problem::new(
        Class::Unavailable,
        codes::WEBHOOK_SECRET,
        "the secret of the webhook cannot be used; the log says why",
    )
}
