//! Asks until there is an answer, as slowly as the server says.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_agent_core::plain;
use bellwether_schemas::enroll::{ENROLL_PATH, EnrollRequest, EnrollResponse, ErrorBody};
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::time::{Instant, sleep};

use super::{EnrollError, Invitation, News, Right};
use crate::identity::KeyRequest;
use crate::session::anything_below;
use crate::{tls, updates};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;
/// How long to wait where the server does not say, and at most.
const USUAL: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// How long a device that needs nobody's approval puts up with a crowd.
const CROWD: Duration = Duration::from_secs(900);

/// What stands between the device and its certificate for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    /// A person must approve its key (202).
    Pending,
    /// Others ask, too (429).
    Crowd,
    /// The server cannot answer (503).
    Busy,
}

/// Asks until there is an answer.
pub(super) async fn answer(
    invitation: &Invitation,
    request: &KeyRequest,
    tell: &dyn Fn(News),
) -> Result<EnrollResponse, EnrollError> {
    let body =
        EnrollRequest { claim: invitation.right.claim(request)?, csr: request.request_pem.clone(), facts: facts() };
    let body = serde_json::to_vec(&body).expect("a request has string keys");
    let began = Instant::now();
    let (mut waits, mut trouble) = (false, String::new());
    loop {
        let error = match ask(invitation, body.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(wait) = wait_after(&error, waits) else { return Err(error) };
        let wait = wait + anything_below(wait);
        let limit = match invitation.right {
            Right::Approval(_) => invitation.wait,
            Right::Token(_) | Right::Factory { .. } => Some(invitation.wait.unwrap_or(CROWD)),
        };
        if limit.is_some_and(|limit| began.elapsed() + wait > limit) {
            return Err(error);
        }
        match (&error, &invitation.right) {
            (EnrollError::Later { class: Later::Pending, .. }, Right::Approval(enrollment)) => {
                if !std::mem::replace(&mut waits, true) {
                    tell(News::Waits(enrollment.clone(), request.fingerprint));
                }
                trouble.clear();
            }
            _ => {
                let now = format!("{}: {}", error.code(), crate::cli::chain(&error));
                if now != trouble {
                    tell(News::Trouble(now.clone()));
                    trouble = now;
                }
            }
        }
        sleep(wait).await;
    }
}

/// How long to wait at least before asking again; none where that is of no use. A device that waits for a person does not
/// give up because the network or the server is away for a while; one that asks for the first time is told at once.
fn wait_after(error: &EnrollError, waits: bool) -> Option<Duration> {
    match error {
        EnrollError::Later { class: Later::Pending | Later::Crowd, wait, .. } => Some((*wait).min(LONGEST)),
        EnrollError::Later { class: Later::Busy, wait, .. } if waits => Some((*wait).min(LONGEST)),
        EnrollError::Connection(_) if waits => Some(USUAL),
        EnrollError::Later { .. }
        | EnrollError::Connection(_)
        | EnrollError::Invitation(_)
        | EnrollError::Root(_)
        | EnrollError::Refused { .. }
        | EnrollError::Answer { .. }
        | EnrollError::Key(_)
        | EnrollError::State(_) => None,
    }
}

/// What the device says about itself, for whoever approves it.
fn facts() -> BTreeMap<String, String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let facts = [
        ("agent", env!("CARGO_PKG_VERSION").to_owned()),
        ("arch", std::env::consts::ARCH.to_owned()),
        ("host", host),
        ("os", std::env::consts::OS.to_owned()),
    ];
    facts.map(|(key, value)| (key.to_owned(), value.chars().take(64).collect())).into()
}

async fn ask(invitation: &Invitation, body: Vec<u8>) -> Result<EnrollResponse, EnrollError> {
    let server = invitation.server.trim_end_matches('/');
    let tls = tls::client(&invitation.ca, None, None).map_err(|e| EnrollError::Invitation(crate::cli::chain(&e)))?;
    let failed = |e: reqwest::Error| EnrollError::Connection(tls::problem(server, &e));
    let sent = updates::http(tls)
        .map_err(failed)?
        .post(format!("{server}{ENROLL_PATH}"))
        .header("content-type", "application/json")
        .body(body)
        .timeout(PATIENCE)
        .send();
    let mut answer = sent.await.map_err(failed)?;
    let status = answer.status();
    let wait = answer.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(EnrollError::Answer { server: server.to_owned(), why: "a very long answer".to_owned() });
        }
        bytes.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK {
        let unreadable = |e: serde_json::Error| EnrollError::Answer { server: server.to_owned(), why: e.to_string() };
        return serde_json::from_slice(&bytes).map_err(unreadable);
    }
    let Ok(ErrorBody { code, message, hint }) = serde_json::from_slice(&bytes) else {
        return Err(EnrollError::Answer { server: server.to_owned(), why: format!("the answer was {status}") });
    };
    let body = ErrorBody { code: plain(&code), message: plain(&message), hint: plain(&hint) };
    let server = server.to_owned();
    let class = match status {
        StatusCode::ACCEPTED => Later::Pending,
        StatusCode::TOO_MANY_REQUESTS => Later::Crowd,
        StatusCode::SERVICE_UNAVAILABLE => Later::Busy,
        _ => return Err(EnrollError::Refused { server, body }),
    };
    let wait = wait.map_or(USUAL, Duration::from_secs).max(Duration::from_secs(1));
    Err(EnrollError::Later { server, body, class, wait })
}

#[cfg(test)]
mod tests {
    use bellwether_agent_core::Problem;
    use bellwether_schemas::codes;

    use super::*;

    fn later(class: Later, seconds: u64) -> EnrollError {
        let body = ErrorBody { code: String::new(), message: String::new(), hint: String::new() };
        EnrollError::Later { server: String::new(), body, class, wait: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_device_waits_for_people_and_crowds_and_gives_up_on_what_does_not_change() {
        let seconds = |error: &EnrollError, waits| wait_after(error, waits).map(|wait| wait.as_secs());
        for waits in [false, true] {
            assert_eq!(seconds(&later(Later::Pending, 5), waits), Some(5));
            assert_eq!(seconds(&later(Later::Crowd, 7), waits), Some(7));
            assert_eq!(seconds(&later(Later::Pending, 1 << 40), waits), Some(600), "whatever a server says");
            assert_eq!(seconds(&EnrollError::Invitation(String::new()), waits), None);
        }
        let away = EnrollError::Connection(Problem::transient(codes::SERVER_UNREACHABLE_AGENT, "away"));
        assert_eq!((seconds(&away, false), seconds(&away, true)), (None, Some(10)));
        let busy = later(Later::Busy, 3);
        assert_eq!((seconds(&busy, false), seconds(&busy, true)), (None, Some(3)));
    }
}
