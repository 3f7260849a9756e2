//! The accept loop that every listener shares: TLS, limits, who is calling, an orderly end.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bellwether_core::admission::Domain;
use bellwether_schemas::Sha256Digest;
use bellwether_schemas::codes::{self, Code};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::limits::{Limits, PER_CERTIFICATE, Places, TurnedAway};
use super::problem::{Class, Problem};
use super::rate::Network;
use super::tls::ConfigWatch;
use crate::pki::{Peer, PeerError};

/// How long a client may take for the TLS handshake, and then for the head of its first request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of an HTTP/1.1 request may take, and how long a connection may idle before it.
const HEAD: Duration = Duration::from_secs(15);
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));
/// How long calls in progress may take when the listener ends.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(200);
/// Bytes of headers that are read.
const HEADERS: u32 = 16 * 1024;

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener} cannot bind {address}")]
pub struct BindError {
    /// `enroll`, `devices`, `updates` or `page`.
    pub listener: &'static str,
    /// The address from the configuration.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

impl BindError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        codes::LISTENER_BIND
    }
}

/// A listener that is bound and not served yet.
pub(crate) struct Listener {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
}

/// What a listener serves, and to whom.
pub(crate) struct Service {
    pub(crate) router: Router,
    /// None serves plain HTTP.
    pub(crate) tls: Option<ConfigWatch>,
    /// The domain of the certificates that devices show here; none where nobody shows one.
    pub(crate) devices_of: Option<Domain>,
    pub(crate) limits: Limits,
}

/// Who is calling, as an extension of each request on a listener for devices.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    who: Arc<Result<Peer, PeerError>>,
    /// Cancelled when the connection shall end.
    end: CancellationToken,
}

/// The address that a request comes from, as an extension of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin(pub(crate) IpAddr);

impl Caller {
    /// The device, or why the certificate is no device's. TLS lets expired certificates pass; this does not.
    pub(crate) fn peer(&self, now: jiff::Timestamp) -> Result<&Peer, Problem> {
        let peer = self.bearer()?;
        if now < peer.not_after {
            return Ok(peer);
        }
        let message = format!("the certificate of {} expired at {}", peer.identity.device, peer.not_after);
        Err(Problem::new(Class::Unknown, codes::CERTIFICATE_EXPIRED, message))
    }

    /// The same, though the certificate may have expired: good for nothing but a renewal.
    pub(super) fn bearer(&self) -> Result<&Peer, Problem> {
        let foreign = |error: &PeerError| Problem::new(Class::Forbidden, error.code(), error.to_string());
        self.who.as_ref().as_ref().map_err(foreign)
    }

    /// Ends the connection once what is asked on it was answered: the caller gets nothing more on it.
    pub(super) fn end(&self) {
        self.end.cancel();
    }
}

impl Listener {
    pub(crate) async fn bind(name: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { listener: name, address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { name, socket, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets calls in progress end.
    pub(crate) async fn serve(self, service: Service, shutdown: CancellationToken) {
        let service = Arc::new(service);
        let places = Arc::new(Semaphore::new(service.limits.connections));
        let per_certificate = Arc::new(Places::new(PER_CERTIFICATE));
        let per_network = service.limits.of_one.map(Places::<Network>::new);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.accept(&places) => accepted,
            };
            let Some((stream, from, place)) = accepted else { continue };
            let of_one = match per_network.as_ref().map(|places| places.take(Network::from(from.ip()))) {
                Some(Err(turned_away)) => {
                    self.say_turned_away(turned_away, from);
                    continue;
                }
                Some(Ok(place)) => Some(place),
                None => None,
            };
            let (service, per_certificate, shutdown) = (service.clone(), per_certificate.clone(), shutdown.clone());
            connections.spawn(async move {
                connect(stream, &service, &per_certificate, shutdown).await;
                drop((place, of_one));
            });
        }
        connections.close();
        connections.wait().await;
    }

    fn say_turned_away(&self, turned_away: TurnedAway, from: SocketAddr) {
        if turned_away.is_first {
            let (code, listener) = (codes::TOO_MANY_CONNECTIONS, self.name);
            tracing::warn!(%code, listener, %from, "a connection is turned away: there are as many from this address as there may be");
        }
    }

    async fn accept(&self, places: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = places.clone().acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, from)) => Some((stream, from, place)),
            Err(error) => {
                use std::io::ErrorKind;
                // A client that left before it was accepted is no trouble; all else is (EMFILE, ENFILE, ENOMEM), and
                // asking again at once would only burn the processor.
                let left = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::Interrupted];
                if !left.contains(&error.kind()) {
                    tracing::warn!(listener = self.name, address = %self.address, %error, "cannot accept connections");
                    sleep(EXHAUSTED).await;
                }
                None
            }
        }
    }
}

async fn connect(stream: TcpStream, service: &Service, places: &Places<Sha256Digest>, shutdown: CancellationToken) {
    // Without it small answers wait for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok();
    let Some(tls) = &service.tls else {
        return drive(stream, service, (None, peer), shutdown).await;
    };
    let handshake = timeout(HANDSHAKE, TlsAcceptor::from(tls.borrow().clone()).accept(stream));
    let stream = tokio::select! {
        () = shutdown.cancelled() => return,
        stream = handshake => stream,
    };
    let stream = match stream {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return say_refused(&error, peer),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let caller = service.devices_of.as_ref().map(|domain| {
        let chain = stream.get_ref().1.peer_certificates();
        let peer = chain.and_then(<[_]>::first).ok_or(PeerError::NoIdentity);
        let who = peer.and_then(|certificate| Peer::from_certificate(certificate, domain));
        Caller { who: Arc::new(who), end: CancellationToken::new() }
    });
    let bearer = caller.as_ref().and_then(|caller| caller.who.as_ref().as_ref().ok());
    let _place = match bearer.map(|bearer| (bearer, places.take(bearer.key))) {
        Some((bearer, Err(turned_away))) => return say_turned_away(bearer, turned_away, peer),
        Some((_, Ok(place))) => Some(place),
        None => None,
    };
    drive(stream, service, (caller, peer), shutdown).await;
}

fn say_turned_away(bearer: &Peer, turned_away: TurnedAway, from: Option<SocketAddr>) {
    if turned_away.is_first {
        let (device, key) = (&bearer.identity.device, &bearer.key);
        tracing::warn!(code = %codes::TOO_MANY_CONNECTIONS, %device, %key, ?from, "a connection is turned away: there are as many with this certificate as there may be");
    }
}

/// A client that showed a certificate is worth a line; whatever else knocks at an open port is not.
fn say_refused(error: &std::io::Error, peer: Option<SocketAddr>) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => {
            tracing::warn!(code = %codes::CERTIFICATE_FOREIGN, ?peer, %error, "a client's certificate was refused");
        }
        // The agent says on the device what it did not like: names, issuer or time.
        Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA,
        )) => {
            tracing::warn!(code = %codes::SERVER_REFUSED, ?peer, %error, "a client refused our certificate");
        }
        _ => tracing::debug!(?peer, %error, "a TLS handshake failed"),
    }
}

async fn drive<S>(
    stream: S,
    service: &Service,
    (caller, peer): (Option<Caller>, Option<SocketAddr>),
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let origin = peer.map(|peer| Origin(peer.ip()));
    let asked = Arc::new(AtomicBool::new(false));
    let refused = caller.as_ref().map(|caller| caller.end.clone()).unwrap_or_default();
    let handler = hyper::service::service_fn({
        let (asked, router) = (asked.clone(), service.router.clone());
        move |mut request: http::Request<hyper::body::Incoming>| {
            asked.store(true, Ordering::Relaxed);
            if let Some(caller) = &caller {
                request.extensions_mut().insert(caller.clone());
            }
            if let Some(origin) = origin {
                request.extensions_mut().insert(origin);
            }
            router.clone().oneshot(request.map(Body::new))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(service.limits.streams)
        .max_header_list_size(HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), handler));
    let mut silence = pin!(sleep(HANDSHAKE));
    let mut end = pin!(async {
        match service.limits.age {
            Some(age) => tokio::select! { () = sleep(age) => {}, () = shutdown.cancelled() => {} },
            None => shutdown.cancelled().await,
        }
    });
    let mut has_asked = false;
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = &mut silence, if !has_asked => {
                has_asked = asked.load(Ordering::Relaxed);
                if !has_asked {
                    return;
                }
            }
            () = &mut end => break,
            () = refused.cancelled() => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}
