//! The `page` listener: what is and why, for people and tools. It reads, and cannot change anything.
//!
//! Every text that is shown may come from a device or a commit: templates escape, and the policy allows no script.

use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use bellwether_core::admission::Admissions;
use bellwether_core::plan::{Advice, device_advice};
use bellwether_schemas::api::{
    CommitView, Condition, DeviceView, RepositoryView, RequestView, RolloutState, RolloutView, Summary, Updated,
    WaitingOn,
};
use bellwether_schemas::select::DeviceSelector;
use bellwether_schemas::{EnrollmentName, Sha256Digest};
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use jiff::Timestamp;
use tokio::sync::watch;

use super::ends::{End, Ends, near};
use super::problem::Problem;
use super::requests::Requests;
use super::sessions::Sessions;
use super::updates::get_only;
use super::views::Views;
use super::webhook::Calls;
use super::{api, metrics};
use attention::{Attention, attention};

/// Devices and commits on one page; the API has all of them.
const SHOWN: usize = 200;
/// No script, nothing from elsewhere, in no frame.
const POLICY: &str =
    "default-src 'self'; script-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the listener works with.
#[derive(Clone)]
pub(super) struct Page {
    views: watch::Receiver<Arc<Views>>,
    sessions: Arc<Sessions>,
    webhook: Arc<Calls>,
    waiting: Waiting,
    devices_json: Arc<Mutex<Option<DevicesJson>>>,
}

/// What waits for a person: devices whose key is to be approved, and what only people renew.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) requests: Arc<Requests>,
    pub(super) admissions: watch::Receiver<Option<Arc<Admissions>>>,
    pub(super) ends: Ends,
}

/// All devices as JSON, and the snapshot that they are of.
struct DevicesJson {
    of: Arc<Views>,
    json: Bytes,
}

impl Page {
    pub(super) fn new(
        views: watch::Receiver<Arc<Views>>,
        sessions: Arc<Sessions>,
        webhook: Arc<Calls>,
        waiting: Waiting,
    ) -> Self {
        Self { views, sessions, webhook, waiting, devices_json: Arc::default() }
    }

    /// The devices that wait for a person to approve their key.
    pub(super) fn requests(&self) -> Vec<RequestView> {
        let admissions = self.waiting.admissions.borrow().clone();
        let awaits = |enrollment: &EnrollmentName, key: &Sha256Digest| {
            admissions.as_ref().is_some_and(|admissions| admissions.awaits_approval(enrollment, key))
        };
        self.waiting.requests.list(awaits, Timestamp::now())
    }

    /// All devices as JSON: made once for each snapshot, however many ask.
    pub(super) fn devices_json(&self) -> Bytes {
        let views = self.views();
        let mut made = self.devices_json.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some(made) if Arc::ptr_eq(&made.of, &views) => made.json.clone(),
            _ => {
                let json = Bytes::from(serde_json::to_vec(&views.devices).expect("views have string keys"));
                *made = Some(DevicesJson { of: views, json: json.clone() });
                json
            }
        }
    }

    pub(super) fn views(&self) -> Arc<Views> {
        self.views.borrow().clone()
    }
}

/// The page and its API; `more` are routes of the API that show something else than views.
pub(super) fn router(page: Page, more: Router) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/devices/{name}", get(device))
        .route("/style.css", get(style))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(api::routes())
        .with_state(page)
        .merge(more)
        .fallback(async || Problem::not_found("there is no such page"))
        .layer(middleware::from_fn(get_only))
        .layer(middleware::map_response(guard))
}

async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn ready(State(page): State<Page>) -> Result<&'static str, Problem> {
    match page.views().ready {
        true => Ok("ready\n"),
        false => Err(Problem::busy("the first pass has not ended")),
    }
}

async fn metrics_text(State(page): State<Page>) -> Response {
    let requests = page.requests().len();
    let text = metrics::render(&page.views(), requests, &page.sessions, &page.webhook, &(page.waiting.ends)());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=300")];
    (headers, include_str!("../../templates/style.css")).into_response()
}

#[derive(serde::Deserialize)]
struct Filter {
    /// A selector, a fleet's name, or part of a device's.
    #[serde(default)]
    q: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    views: &'a Views,
    requests: &'a [RequestView],
    attention: Vec<Attention<'a>>,
    q: &'a str,
    /// Why `q` is no selector, although it has operators.
    fault: Option<String>,
    devices: Vec<&'a DeviceView>,
    matching: usize,
    /// Those that are not gone for good, and how many of them are up to date.
    counted: usize,
    up_to_date: usize,
    paused: usize,
    /// How many devices there are of each word that is true of any.
    summaries: Vec<(Summary, usize)>,
    updates: Vec<(Updated, usize)>,
    commits: &'a [CommitView],
}

#[derive(Template)]
#[template(path = "device.html")]
struct Device<'a> {
    views: &'a Views,
    device: &'a DeviceView,
    advice: Option<Advice>,
}

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing<'a> {
    views: &'a Views,
    name: &'a str,
}

async fn overview(State(page): State<Page>, filter: Result<Query<Filter>, QueryRejection>) -> Response {
    let q = filter.map(|Query(filter)| filter.q).unwrap_or_default();
    let (views, requests) = (page.views(), page.requests());
    let ends = near((page.waiting.ends)(), Timestamp::now());
    render(&overview_of(&views, (&requests, &ends), q.trim()))
}

fn overview_of<'a>(views: &'a Views, (requests, ends): (&'a [RequestView], &'a [End]), q: &'a str) -> Overview<'a> {
    let search = DeviceSelector::search(q);
    let matches = |device: &&DeviceView| match &search {
        Ok(Some(selector)) => selector.matches(device),
        Ok(None) => device.name.as_str().contains(q) || device.fleet.as_ref().is_some_and(|fleet| fleet.as_str() == q),
        Err(_) => false,
    };
    let mut devices: Vec<_> = views.devices.iter().filter(matches).collect();
    let matching = devices.len();
    // Who waits for something comes first, so that a long list does not hide it.
    devices.sort_by_key(|device| device.reason.is_none());
    devices.truncate(SHOWN);
    let of = |word: Updated| views.devices.iter().filter(|device| device.status.updated.status == word).count();
    let summed = |word: Summary| views.devices.iter().filter(|device| device.status.summary.status == word).count();
    let is_gone = |device: &DeviceView| device.reason.as_ref().is_some_and(WaitingOn::is_gone);
    let counted: Vec<_> = views.devices.iter().filter(|device| !is_gone(device)).collect();
    let summaries = Summary::ALL.iter().map(|word| (*word, summed(*word)));
    let updates = Updated::ALL.iter().map(|word| (*word, of(*word)));
    Overview {
        attention: attention(views, requests, ends),
        requests,
        q,
        fault: search.as_ref().err().map(ToString::to_string),
        devices,
        matching,
        counted: counted.len(),
        up_to_date: counted.iter().filter(|device| device.status.updated.status == Updated::UpToDate).count(),
        paused: summed(Summary::ConflictPaused),
        summaries: summaries.filter(|(_, devices)| *devices > 0).collect(),
        updates: updates.filter(|(_, devices)| *devices > 0).collect(),
        commits: &views.commits[..views.commits.len().min(20)],
        views,
    }
}

async fn device(State(page): State<Page>, Path(name): Path<String>) -> Response {
    let views = page.views();
    match views.devices.iter().find(|device| device.name.as_str() == name) {
        Some(device) => render(&Device { views: &views, device, advice: device_advice(device) }),
        None => (StatusCode::NOT_FOUND, render(&Missing { views: &views, name: &name })).into_response(),
    }
}

fn render(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            Problem::busy("the page cannot be rendered").into_response()
        }
    }
}

/// Words that templates use for values.
mod words {
    use super::{Condition, RepositoryView, RolloutState, RolloutView, Summary, Timestamp, Updated};

    pub(super) use bellwether_core::plan::missing_sentence as missing;
    pub(super) use bellwether_core::plan::moment as time;

    /// How long before `now`, in the largest unit that fits: `3 s ago`.
    pub(super) fn ago(at: &Timestamp, now: Option<&Timestamp>) -> String {
        let Some(now) = now else { return time(at) };
        match now.as_second().saturating_sub(at.as_second()) {
            ..1 => "now".to_owned(),
            seconds @ 1..120 => format!("{seconds} s ago"),
            seconds @ 120..7200 => format!("{} min ago", seconds / 60),
            seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
            seconds => format!("{} days ago", seconds / 86_400),
        }
    }

    /// A status word as people write it: `UpToDate` becomes `up to date`.
    pub(super) fn plain(word: &impl std::fmt::Debug) -> String {
        let mut text = String::new();
        for c in format!("{word:?}").chars() {
            if c.is_uppercase() && !text.is_empty() {
                text.push(' ');
            }
            text.extend(c.to_lowercase());
        }
        text
    }

    /// A search, as it stands in an address.
    pub(super) fn search(q: &str) -> String {
        url::form_urlencoded::byte_serialize(q.as_bytes()).collect()
    }

    /// The class of a badge: whether somebody must look.
    pub(super) fn summary(word: &Summary) -> &'static str {
        match word {
            Summary::Online => "good",
            Summary::Stale | Summary::AwaitingReconnect | Summary::Decommissioned => "wait",
            Summary::Degraded | Summary::Error | Summary::ConflictPaused | Summary::Revoked => "bad",
        }
    }

    pub(super) fn updated(word: &Updated) -> &'static str {
        match word {
            Updated::UpToDate => "good",
            Updated::OutOfDate | Updated::Offered | Updated::Updating | Updated::Reverting | Updated::Unknown => "wait",
            Updated::Failed => "bad",
        }
    }

    pub(super) fn rollout(state: &RolloutState) -> &'static str {
        match state {
            RolloutState::Complete => "good",
            RolloutState::Progressing | RolloutState::Waiting => "wait",
            RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected => "bad",
        }
    }

    /// Whether a rollout has or had anything to do; its waves say nothing otherwise.
    pub(super) fn concerns_devices(rollout: &RolloutView) -> bool {
        rollout.reason.is_some() || rollout.waves.iter().any(|wave| wave.members > 0)
    }

    pub(super) fn condition(repository: &RepositoryView) -> (&'static str, &'static str) {
        match repository.condition {
            Condition::Verified => ("good", "Verified"),
            Condition::Unreachable { .. } => ("wait", "Unreachable"),
            Condition::Stalled { .. } => ("bad", "Stalled"),
            Condition::Rewound { .. } => ("bad", "Rewound"),
            Condition::Frozen { .. } => ("bad", "Frozen"),
        }
    }
}

mod attention;
#[cfg(test)]
mod tests;
