//! The `devices` listener: sessions, polls and renewals over mutual TLS.
//!
//! Who calls is in the certificate; whether it may is asked on every message. What it reports goes to the loop as
//! [`Incoming`], and the loop's directives go back.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::admission::Identity;
use bellwether_core::certificates::{Held, is_to_renew};
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::head::{HeadRecord, MAX_HEAD};
use bellwether_schemas::lives::is_renewal_due;
use bellwether_schemas::report::{Directive, Presented, Reported};
use bellwether_schemas::wire::proto::{DirectiveMessage, PollResponse, RenewRequest, RenewResponse, ReportMessage};
use bellwether_schemas::wire::{read_allows, read_report};
use bellwether_schemas::{Sha256Digest, codes};
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::contract::devices_server::{Devices, DevicesServer};
use super::callers::{CallerCheck, May};
use super::listen::Caller;
use super::problem::{Class, Problem};
use super::rate::Pace;
use super::sessions::Sessions;
use crate::pki::{AuthorityError, AuthorityWatch, RequestedKey};
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
/// Authorities that a device may name.
const MAX_AUTHORITIES: usize = 16;
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
    /// What its operator allows, if it says so.
    pub allows: Option<Allowed>,
    /// Where the loop's answer goes.
    pub reply: oneshot::Sender<Vec<Directive>>,
}

/// What the listener works with.
pub(super) struct DevicesListener {
    pub(super) authority: AuthorityWatch,
    pub(super) publisher: Publisher,
    pub(super) callers: CallerCheck,
    /// How fast a change of the authority is passed on.
    pub(super) renewals: Pace,
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
        let identity = self.0.callers.admit(&caller).await?.0;
        let session = self.0.sessions.open(&identity.device, caller.bearer()?.key);
        let (id, directives, gone) = (session.id, session.directives, session.gone);
        let listener = self.0.clone();
        let reports = request.into_inner();
        tokio::spawn(async move {
            let end = tokio::select! {
                () = gone.cancelled() => None,
                () = listener.shutdown.cancelled() => Some(Problem::busy("the reconciler is stopping")),
                refused = listener.callers.refused(&caller) => Some(refused),
                end = listener.read(reports, &caller, &directives) => end,
            };
            listener.sessions.end(&identity.device, id, end.map(Status::from));
        });
        Ok(Response::new(Box::pin(session.stream.into_stream())))
    }

    async fn poll(&self, request: Request<ReportMessage>) -> Result<Response<PollResponse>, Status> {
        let caller = caller(&request)?;
        let (identity, _) = self.0.callers.admit(&caller).await?;
        self.0.within_rate(&identity)?;
        let directives = self.0.report(&caller, request.into_inner()).await?;
        Ok(Response::new(PollResponse { directives: directives.into_iter().map(Into::into).collect() }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.renew(&caller, &request.get_ref().csr).await?))
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Problem> {
    let unknown = || Problem::new(Class::Unknown, codes::CERTIFICATE_FOREIGN, "the connection bears no certificate");
    request.extensions().get::<Caller>().cloned().ok_or_else(unknown)
}

impl DevicesListener {
    fn within_rate(&self, identity: &Identity) -> Result<(), Problem> {
        self.sessions.take(&identity.device).map_err(|wait| {
            let message = format!("{} may call again in {} ms", identity.device, wait.as_millis());
            Problem::new(Class::TooMany, codes::TOO_MANY_REQUESTS, message)
        })
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

    async fn report(&self, caller: &Caller, mut message: ReportMessage) -> Result<Vec<Directive>, Problem> {
        let (identity, may) = self.callers.admit(caller).await?;
        check_size(&message)?;
        if let Some(authorities) = read_authorities(&std::mem::take(&mut message.authorities)) {
            let unrecorded = |_| Problem::busy("which authorities the device trusts cannot be recorded now");
            self.callers.used.trusts(caller.bearer()?, authorities).await.map_err(unrecorded)?;
        }
        let allows = message.allows.take().and_then(read_allows);
        let (reported, mut presented) = read_report(message);
        self.sessions.count_report();
        let (reply, answer) = oneshot::channel();
        let begins_session = presented.is_some();
        // Here, and not in the loop: what one device sends must not keep the others waiting.
        let head = presented.as_mut().map(|held| std::mem::take(&mut held.head));
        let head = head.and_then(|held| self.read_head(&identity, held.into()));
        let presented = presented.and_then(|held| self.read_presented(&identity, &held));
        let report_only = may == May::ReportOnly;
        let incoming = Incoming { identity, report_only, reported, begins_session, presented, head, allows, reply };
        if self.incoming.send_timeout(incoming, ANSWER_TIME).await.is_err() {
            return Err(Problem::busy("the reconciler does not take reports now"));
        }
        match timeout(ANSWER_TIME, answer).await {
            Ok(Ok(mut directives)) => {
                // A session may last for longer than its certificate.
                if !report_only && self.is_to_renew(caller)? {
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
            .read_presented(&identity.device, held, Timestamp::now())
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

    /// Whether the device is to be told to renew its certificate now. A change of the authority is passed on at a pace.
    fn is_to_renew(&self, caller: &Caller) -> Result<bool, Problem> {
        let now = Timestamp::now();
        let peer = caller.peer(now)?;
        let (issuing, authorities) = {
            let authority = self.authority.borrow();
            (authority.issuing().name, authority.fingerprints())
        };
        let trusts = self.callers.used.trusted_by(peer);
        let of_issuing = peer.issuer == issuing;
        let held = Held { from: peer.not_before, until: peer.not_after, of_issuing, trusts: trusts.as_deref() };
        Ok(is_to_renew(&held, &authorities, now)
            && (is_renewal_due(peer.not_before, peer.not_after, now)
                || self.renewals.take(tokio::time::Instant::now())))
    }

    async fn renew(&self, caller: &Caller, csr: &[u8]) -> Result<RenewResponse, Problem> {
        let peer = self.callers.admit_renewal(caller).await?;
        self.within_rate(&peer.identity)?;
        let malformed = |message: String| Problem::new(Class::Malformed, codes::REQUEST_KEY, message);
        let key = RequestedKey::from_der(csr).map_err(|error| malformed(error.to_string()))?;
        if *key.fingerprint() == peer.key {
            return Err(malformed("the request is for the key of the old certificate".to_owned()));
        }
        let authority = self.authority.borrow().clone();
        let certificate = authority.renew(&key, peer, Timestamp::now()).map_err(|error| match error {
            AuthorityError::TooOften => Problem::new(Class::TooMany, error.code(), error.to_string()),
            error => {
                let device = &peer.identity.device;
                tracing::error!(error = &error as &dyn std::error::Error, %device, "cannot renew");
                Problem::new(Class::Internal, codes::ISSUE_FAILED, "the certificate could not be signed")
            }
        })?;
        Ok(RenewResponse { certificate, authorities: authority.bundle() })
    }
}

/// The fingerprints of authorities in a report, sorted; nothing where it names none, or what cannot be some.
fn read_authorities(said: &[Bytes]) -> Option<Vec<Sha256Digest>> {
    let read = |bytes: &Bytes| <[u8; 32]>::try_from(bytes.as_ref()).map(Sha256Digest::from_bytes).ok();
    let mut all = said.iter().map(read).collect::<Option<Vec<_>>>()?;
    all.sort_unstable();
    all.dedup();
    (1..=MAX_AUTHORITIES).contains(&all.len()).then_some(all)
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
