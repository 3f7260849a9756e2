//! The `devices` listener: sessions, polls and renewals over mutual TLS.
//!
//! Who calls is in the certificate; whether it may is asked on every message. What it reports goes to the loop as
//! [`Incoming`], and the loop's directives go back.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::admission::{Admission, Admissions, Identity};
use bellwether_schemas::codes;
use bellwether_schemas::head::{HeadRecord, MAX_HEAD};
use bellwether_schemas::report::{Directive, Presented, Reported};
use bellwether_schemas::wire::proto::{DirectiveMessage, PollResponse, RenewRequest, RenewResponse, ReportMessage};
use bellwether_schemas::wire::read_report;
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::contract::devices_server::{Devices, DevicesServer};
use super::listen::Caller;
use super::problem::{Class, Problem};
use super::sessions::Sessions;
use crate::pki::{Authority, DEVICE_LIFE, Peer, RequestedKey};
use crate::publish::{PresentedMetadata, Publisher};

/// The service of `schemas/proto`.
#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]
pub(super) mod contract {
    include!(concat!(env!("OUT_DIR"), "/bellwether.v1.rs"));
}

/// Bytes of a report without presented metadata.
const MAX_REPORT: usize = 64 * 1024;
/// Bytes of presented metadata.
const MAX_PRESENTED: usize = 1024 * 1024;
/// How long the loop may take to answer a report.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A report on its way to the loop, which must answer it.
#[derive(Debug)]
pub struct Incoming {
    /// Who reports, from its certificate.
    pub identity: Identity,
    /// The history does not list its enrollment entry: it may be seen, and gets nothing.
    pub report_only: bool,
    /// What it says.
    pub reported: Reported,
    /// Whether it is the first of its session, or a poll.
    pub begins_session: bool,
    /// What metadata of ours that it holds says; what others signed counts for nothing.
    pub presented: Option<PresentedMetadata>,
    /// The head record that it holds, if that is ours and not the one in the store.
    pub head: Option<HeadRecord>,
    /// Where the loop's answer goes.
    pub reply: oneshot::Sender<Vec<Directive>>,
}

/// What the listener works with.
pub(super) struct DevicesListener {
    pub(super) authority: Arc<Authority>,
    pub(super) publisher: Publisher,
    pub(super) admissions: watch::Receiver<Option<Arc<Admissions>>>,
    pub(super) incoming: mpsc::Sender<Incoming>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) shutdown: CancellationToken,
}

pub(super) fn router(listener: DevicesListener) -> axum::Router {
    let service = DevicesServer::new(Service(Arc::new(listener)))
        .max_decoding_message_size(MAX_REPORT + MAX_PRESENTED)
        .max_encoding_message_size(4 * 1024 * 1024);
    axum::Router::new().route_service("/bellwether.v1.Devices/{*method}", service).fallback(|| async {
        let status = Status::from(Problem::not_found("the devices listener speaks gRPC: bellwether.v1.Devices"));
        status.into_http::<axum::body::Body>()
    })
}

#[derive(Clone)]
struct Service(Arc<DevicesListener>);

type Directives = Pin<Box<dyn futures::Stream<Item = Result<DirectiveMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Devices for Service {
    type SessionStream = Directives;

    async fn session(&self, request: Request<Streaming<ReportMessage>>) -> Result<Response<Directives>, Status> {
        let caller = caller(&request)?;
        let identity = self.0.admitted(&caller)?.0;
        let session = self.0.sessions.open(&identity.device);
        let (id, directives, gone) = (session.id, session.directives, session.gone);
        let listener = self.0.clone();
        let reports = request.into_inner();
        tokio::spawn(async move {
            let end = tokio::select! {
                () = gone.cancelled() => None,
                () = listener.shutdown.cancelled() => Some(Problem::busy("the reconciler is stopping")),
                refused = listener.refused(&caller) => Some(refused),
                end = listener.read(reports, &caller, &directives) => end,
            };
            listener.sessions.end(&identity.device, id, end.map(Status::from));
        });
        Ok(Response::new(Box::pin(session.stream.into_stream())))
    }

    async fn poll(&self, request: Request<ReportMessage>) -> Result<Response<PollResponse>, Status> {
        let caller = caller(&request)?;
        self.0.within_rate(&caller)?;
        let directives = self.0.report(&caller, request.into_inner()).await?;
        Ok(Response::new(PollResponse { directives: directives.into_iter().map(Into::into).collect() }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let caller = caller(&request)?;
        self.0.within_rate(&caller)?;
        Ok(Response::new(RenewResponse { certificate: self.0.renew(&caller, &request.get_ref().csr)? }))
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Problem> {
    let unknown = || Problem::new(Class::Unknown, codes::CERTIFICATE_FOREIGN, "the connection bears no certificate");
    request.extensions().get::<Caller>().cloned().ok_or_else(unknown)
}

/// Whether a device may do what devices do, or report only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    Everything,
    ReportOnly,
}

/// Judges a caller by its certificate and the history. As long as none is accepted, whoever has a certificate may report.
pub(super) fn judge(caller: &Caller, admissions: Option<&Admissions>) -> Result<(Identity, May), Problem> {
    let Peer { identity, .. } = caller.peer(Timestamp::now())?;
    let Some(admissions) = admissions else { return Ok((identity.clone(), May::ReportOnly)) };
    match admissions.admit(identity) {
        Admission::Full => Ok((identity.clone(), May::Everything)),
        Admission::ReportOnly { .. } => Ok((identity.clone(), May::ReportOnly)),
        Admission::Refused { code, why } => Err(Problem::new(Class::Forbidden, code, why)),
    }
}

impl DevicesListener {
    fn admitted(&self, caller: &Caller) -> Result<(Identity, May), Problem> {
        judge(caller, self.admissions.borrow().as_deref())
    }

    fn within_rate(&self, caller: &Caller) -> Result<(), Problem> {
        let (identity, _) = self.admitted(caller)?;
        self.sessions.take(&identity.device).map_err(|wait| {
            let message = format!("{} may call again in {} ms", identity.device, wait.as_millis());
            Problem::new(Class::TooMany, codes::TOO_MANY_REQUESTS, message)
        })
    }

    /// Waits until the history refuses the caller.
    async fn refused(&self, caller: &Caller) -> Problem {
        let mut admissions = self.admissions.clone();
        loop {
            let judged = judge(caller, admissions.borrow_and_update().as_deref());
            if let Err(problem) = judged {
                return problem;
            }
            if admissions.changed().await.is_err() {
                return Problem::busy("the reconciler is stopping");
            }
        }
    }

    /// Reads reports and sends the loop's answers, until the device ends the session or must not go on.
    async fn read(
        &self,
        mut reports: Streaming<ReportMessage>,
        caller: &Caller,
        directives: &mpsc::Sender<DirectiveMessage>,
    ) -> Option<Problem> {
        let mut first = true;
        loop {
            let mut message = reports.message().await.ok().flatten()?;
            if !std::mem::take(&mut first) {
                message.presented = None;
            }
            let device = &caller.peer(Timestamp::now()).ok()?.identity.device;
            // Not refused but read later: a device that reports in a hurry is slowed down to the rate.
            while let Err(wait) = self.sessions.take(device) {
                sleep(wait).await;
            }
            match self.report(caller, message).await {
                Ok(answer) => {
                    for directive in answer {
                        directives.send(directive.into()).await.ok()?;
                    }
                }
                Err(problem) => return Some(problem),
            }
        }
    }

    async fn report(&self, caller: &Caller, message: ReportMessage) -> Result<Vec<Directive>, Problem> {
        let (identity, may) = self.admitted(caller)?;
        check_size(&message)?;
        let (reported, mut presented) = read_report(message);
        self.sessions.count_report();
        let (reply, answer) = oneshot::channel();
        let begins_session = presented.is_some();
        // Here, and not in the loop: what one device sends must not keep the others waiting.
        let head = presented.as_mut().map(|held| std::mem::take(&mut held.head));
        let head = head.and_then(|held| self.read_head(&identity, held.into()));
        let presented = presented.and_then(|held| self.read_presented(&identity, &held));
        let report_only = may == May::ReportOnly;
        let incoming = Incoming { identity, report_only, reported, begins_session, presented, head, reply };
        if self.incoming.send_timeout(incoming, ANSWER_TIME).await.is_err() {
            return Err(Problem::busy("the reconciler does not take reports now"));
        }
        match timeout(ANSWER_TIME, answer).await {
            Ok(Ok(mut directives)) => {
                // A session may last for longer than its certificate.
                if !report_only && is_renewal_due(caller.peer(Timestamp::now())?, Timestamp::now()) {
                    directives.push(Directive::Renew);
                }
                Ok(directives)
            }
            Ok(Err(_)) | Err(_) => Err(Problem::busy("the reconciler did not answer the report")),
        }
    }

    fn read_presented(&self, identity: &Identity, held: &Presented) -> Option<PresentedMetadata> {
        if held.targets.is_empty() {
            return None;
        }
        self.publisher
            .read_presented(&identity.device, held)
            .inspect_err(|error| {
                tracing::warn!(device = %identity.device, code = %error.code(), %error, "presented metadata is not ours");
            })
            .ok()
    }

    /// What a device's `head.json` says, if a key of ours signed it and the store does not hold the same.
    fn read_head(&self, identity: &Identity, held: Bytes) -> Option<HeadRecord> {
        let known = self.publisher.head();
        if held.is_empty() || held.len() > MAX_HEAD || known.is_some_and(|known| known.bytes == held) {
            return None;
        }
        let read = self.publisher.read_head(&held).inspect_err(|error| {
            tracing::warn!(device = %identity.device, code = %error.code(), %error, "a presented head record is not ours");
        });
        Some(read.ok()?.record)
    }

    fn renew(&self, caller: &Caller, csr: &[u8]) -> Result<String, Problem> {
        let (identity, may) = self.admitted(caller)?;
        if may == May::ReportOnly {
            let message = format!("no accepted landing lists entry {} of {}", identity.entry, identity.enrollment);
            return Err(Problem::new(Class::Forbidden, codes::ENTRY_UNLISTED, message));
        }
        let now = Timestamp::now();
        let malformed = |message: String| Problem::new(Class::Malformed, codes::REQUEST_KEY, message);
        let key = RequestedKey::from_der(csr).map_err(|error| malformed(error.to_string()))?;
        if *key.fingerprint() == caller.peer(now)?.key {
            return Err(malformed("the request is for the key of the old certificate".to_owned()));
        }
        self.authority.issue(&key, &identity, now).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, device = %identity.device, "cannot renew");
            Problem::new(Class::Internal, codes::ISSUE_FAILED, "the certificate could not be signed")
        })
    }
}

/// Whether two thirds of a certificate's life are over.
fn is_renewal_due(peer: &Peer, now: Timestamp) -> bool {
    peer.not_after.duration_since(now) <= DEVICE_LIFE / 3
}

fn check_size(message: &ReportMessage) -> Result<(), Problem> {
    let presented = message.presented.as_ref().map_or(0, |held| held.encoded_len());
    let rest = message.encoded_len().saturating_sub(presented);
    if presented > MAX_PRESENTED || rest > MAX_REPORT {
        let message =
            format!("a report of {rest} bytes and {presented} of metadata; at most {MAX_REPORT} and {MAX_PRESENTED}");
        return Err(Problem::new(Class::TooLarge, codes::MESSAGE_TOO_LARGE, message));
    }
    Ok(())
}
