//! The way onto a device, on the listener `enroll`: the installer script, and the agents that the operator offers.
//!
//! `GET /install.sh`, `GET /agent/<target>/bellwether-agent` and the same with `.sha256`. Anybody may read them: none
//! holds a secret.

use std::num::NonZeroU64;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bellwether_schemas::codes;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use tokio::sync::Mutex;

use super::problem::{Class, Problem};
use crate::installer::Source;
use crate::installer::agents::{Agent, Agents, PROGRAM};
use crate::pki::{Authority, AuthorityWatch};
use crate::publish::Publisher;

/// Where the script is.
pub(super) const SCRIPT_PATH: &str = "/install.sh";

/// What devices are given before they are enrolled.
pub(super) struct FirstSteps {
    pub(super) scripts: Scripts,
    pub(super) agents: Agents,
}

/// The script: made when it is asked for first, and again when the authority or the newest root has changed since.
pub(super) struct Scripts {
    source: Source,
    authority: AuthorityWatch,
    publisher: Publisher,
    made: Mutex<Option<Made>>,
}

/// A script, and what it was made for.
struct Made {
    authority: Arc<Authority>,
    root: NonZeroU64,
    text: Bytes,
}

impl Scripts {
    pub(super) fn new(source: Source, authority: AuthorityWatch, publisher: Publisher) -> Self {
        Self { source, authority, publisher, made: Mutex::default() }
    }

    async fn text(&self) -> Result<Bytes, Problem> {
        // Whoever asks while it is being made waits for that one.
        let mut made = self.made.lock().await;
        // Asked before the files are read: should these be newer, it is made again.
        let (authority, root) = (self.authority.borrow().clone(), self.publisher.newest_root().version);
        if let Some(made) = made.as_ref().filter(|made| Arc::ptr_eq(&made.authority, &authority) && made.root == root) {
            return Ok(made.text.clone());
        }
        let source = self.source.clone();
        let script = tokio::task::spawn_blocking(move || source.make()).await;
        let script = script.map_err(|_| Problem::busy("the installer could not be made"))?.map_err(|error| {
            tracing::error!(code = %error.code(), error = &error as &dyn std::error::Error, "the installer cannot be made");
            Problem::new(Class::Internal, error.code(), "the installer cannot be made; the reconciler's log says why")
        })?;
        let text = Bytes::from(script.text);
        *made = Some(Made { authority, root, text: text.clone() });
        Ok(text)
    }
}

pub(super) fn router(steps: FirstSteps) -> Router {
    Router::new()
        .route(SCRIPT_PATH, get(script))
        .route("/agent/{target}/{file}", get(agent))
        .with_state(Arc::new(steps))
}

async fn script(State(steps): State<Arc<FirstSteps>>) -> Result<Response, Problem> {
    let text = steps.scripts.text().await?;
    Ok(([(CONTENT_TYPE, "text/x-shellscript; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response())
}

async fn agent(
    State(steps): State<Arc<FirstSteps>>,
    Path((target, file)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let is_digest = match file.strip_prefix(PROGRAM) {
        Some("") => false,
        Some(".sha256") => true,
        _ => return Err(Problem::not_found(format!("of an agent there are {PROGRAM} and {PROGRAM}.sha256 only"))),
    };
    let agents = &steps.agents;
    let Some(found) = agents.open(&target).await.map_err(|error| unreadable(&target, &error))? else {
        return Err(absent(&target, &agents.targets().await));
    };
    if is_digest {
        let digest = agents.digest(&target, found).await.map_err(|error| unreadable(&target, &error))?;
        return Ok(format!("{digest}  {PROGRAM}\n").into_response());
    }
    Ok(send(found))
}

fn send(agent: Agent) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, agent.length.to_string()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Body::from_stream(agent.stream())).into_response()
}

fn absent(target: &str, others: &[String]) -> Problem {
    let others =
        if others.is_empty() { "there is none at all".to_owned() } else { format!("there is {}", others.join(", ")) };
    // The target is the asker's word: as much of it as a target may have.
    let target: String = target.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).take(64).collect();
    Problem::new(Class::NotFound, codes::AGENT_ABSENT, format!("no agent for {target} is offered here; {others}"))
}

fn unreadable(target: &str, error: &std::io::Error) -> Problem {
    tracing::error!(code = %codes::AGENT_ABSENT, %target, %error, "an agent cannot be read");
    Problem::new(Class::Internal, codes::AGENT_ABSENT, "the agent cannot be read; the reconciler's log says why")
}
