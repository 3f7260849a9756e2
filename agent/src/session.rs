//! The connection to the `devices` listener: a session where it holds, a poll where it broke, with full jitter between tries.
//!
//! This task moves messages and renews the certificate; what the messages mean is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_schemas::codes;
use bellwether_schemas::report::Directive;
use bellwether_schemas::wire::proto::{DirectiveMessage, ReportMessage};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::identity::Identity;
use crate::state_dir::StateDir;
use crate::tls;

mod proto {
    #![allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, clippy::pedantic)]
    tonic::include_proto!("bellwether.v1");
}
use proto::devices_client::DevicesClient;

mod polls;
pub(crate) mod renewal;
use polls::Polls;
use renewal::Renewals;

/// What the session tells the agent.
#[derive(Debug)]
pub(crate) enum Link {
    /// A session is about to open: its first report goes in here, then all others.
    Opening(mpsc::Sender<ReportMessage>),
    /// It is open.
    Up,
    /// The reconciler said something.
    Said(Directive),
    /// A poll is about to be made: the report goes in here.
    Polling(oneshot::Sender<ReportMessage>),
    /// The session, or the try to open one, ended.
    Down(Problem),
}

/// How long a handshake or a call may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to say that it refuses the certificate.
const VERDICT: Duration = Duration::from_secs(2);
/// Waiting times grow from the first to the second.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A session that lived this long was no failure.
const LIVED: Duration = Duration::from_secs(30);

/// Keeps a session for ever. `news` changes whenever there is something that the reconciler should hear of now.
pub(crate) async fn keep(state: Arc<StateDir>, link: mpsc::Sender<Link>, news: watch::Receiver<()>) {
    let mut failures = 0;
    let renewals = Renewals::new();
    let mut polls = Polls::new(&state, &link, &renewals, news);
    loop {
        let mut lived = Duration::ZERO;
        let ended = match polls.beside(open_session(&state, &link, &renewals)).await {
            Ok(Some(session)) => {
                let began = Instant::now();
                let ended = session.follow(&state, &link, &renewals).await;
                lived = began.elapsed();
                ended
            }
            Ok(None) => Ok(()),
            Err(problem) => Err(problem),
        };
        failures = if lived > LIVED { 0 } else { failures + 1 };
        if lived > LIVED {
            polls.end();
        }
        let Err(problem) = ended else {
            // Only a new certificate ends a session well. A reconciler that always wants another one is not served in a hurry.
            polls.beside(sleep(jittered(failures))).await;
            continue;
        };
        // By the reconciler's clock it has expired, whatever ours says.
        if problem.code == codes::CERTIFICATE_EXPIRED {
            renewals.want();
        }
        if link.send(Link::Down(problem)).await.is_err() {
            return;
        }
        polls.beside(sleep(jittered(failures))).await;
        // Where streams are cut, single calls may still pass.
        if failures > 1 && !polls.are_answered() && polls.begin().await {
            polls.beside(sleep(jittered(failures))).await;
        }
    }
}

/// Full jitter: anything from nothing to a bound that doubles with each failure.
pub(crate) fn jittered(failures: u32) -> Duration {
    anything_below(FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT))
}

pub(crate) fn anything_below(bound: Duration) -> Duration {
    let mut random = [0; 8];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return bound;
    }
    let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(u64::from_le_bytes(random) % bound)
}

/// A session that is open.
struct Session {
    identity: Identity,
    server: Server,
    incoming: Streaming<DirectiveMessage>,
}

fn agent_stops<T>(_: T) -> Problem {
    Problem::transient(codes::SERVER_UNREACHABLE_AGENT, "the agent stops")
}

/// Opens a session; none where there is a new certificate instead, to come back with.
async fn open_session(
    state: &StateDir,
    link: &mpsc::Sender<Link>,
    renewals: &Renewals,
) -> Result<Option<Session>, Problem> {
    let (identity, mut server) = connect(state).await?;
    if identity.is_renewable(crate::clock::now(server.verified).0) {
        renewals.want();
    }
    if renewals.is_due() && renewals.renew(state, &identity, &mut server).await {
        return Ok(None);
    }
    let (reports, outgoing) = mpsc::channel(32);
    link.send(Link::Opening(reports)).await.map_err(agent_stops)?;
    let opened = timeout(PATIENCE, server.client.session(ReceiverStream::new(outgoing))).await;
    let opened = opened.map_err(|_| slow(&server.address))?;
    let incoming = opened.map_err(|status| server.refused(&status))?.into_inner();
    link.send(Link::Up).await.map_err(agent_stops)?;
    Ok(Some(Session { identity, server, incoming }))
}

impl Session {
    /// Passes on what the reconciler says; ends well only to be opened again with a new certificate.
    async fn follow(mut self, state: &StateDir, link: &mpsc::Sender<Link>, renewals: &Renewals) -> Result<(), Problem> {
        let Self { identity, server, incoming } = &mut self;
        loop {
            let message = tokio::select! {
                message = incoming.message() => message,
                () = renewals.wait() => {
                    if renewals.renew(state, identity, server).await {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(message) = message.map_err(|status| server.refused(&status))? else { break };
            hear(message, link, renewals).await?;
        }
        let message = format!("{}: the session was closed", server.address);
        Err(Problem::transient(codes::SERVER_UNREACHABLE_AGENT, message))
    }
}

/// Passes on a directive, but what concerns the connection itself.
async fn hear(message: DirectiveMessage, link: &mpsc::Sender<Link>, renewals: &Renewals) -> Result<(), Problem> {
    match Directive::try_from(message) {
        Ok(Directive::Renew) => renewals.want(),
        Ok(directive) => {
            renewals.hear(&directive);
            link.send(Link::Said(directive)).await.map_err(agent_stops)?;
        }
        // A newer reconciler may say what this agent does not know yet.
        Err(why) => tracing::warn!(%why, "a directive that this agent does not know"),
    }
    Ok(())
}

async fn connect(state: &StateDir) -> Result<(Identity, Server), Problem> {
    let unusable = |e: &(dyn std::error::Error + 'static)| Problem::lasting(codes::AGENT_STATE, crate::cli::chain(e));
    let identity = state.load_identity().map_err(|e| unusable(&e))?;
    let identity = identity.ok_or_else(|| Problem::lasting(codes::NOT_ENROLLED, "identity.json is gone"))?;
    let verified = state.load_trust().map_err(|e| unusable(&e))?.and_then(|trust| trust.verified);
    let tls = tls::client(&identity.ca, Some(&identity), verified).map_err(|e| unusable(&e))?;
    let address = identity.devices.clone();
    let (host, port) = host_and_port(&address)
        .ok_or_else(|| Problem::lasting(codes::AGENT_STATE, format!("{address} is not https://host:port")))?;
    let stream = timeout(PATIENCE, open(tls, host, port)).await;
    let stream = stream.map_err(|_| slow(&address))?.map_err(|e| tls::problem(&address, &e))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    // The stream is there already; tonic asks for it once and is not told that it is encrypted.
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
        async move { stream }
    });
    let endpoint = Endpoint::from_shared(format!("http://{}", address.trim_start_matches("https://")));
    let endpoint = endpoint.map_err(|e| unusable(&e))?.connect_timeout(PATIENCE);
    let channel = endpoint.connect_with_connector(connector).await.map_err(|e| tls::problem(&address, &e))?;
    Ok((identity, Server { address, client: DevicesClient::new(channel), verified, certificates }))
}

async fn open(tls: rustls::ClientConfig, host: &str, port: u16) -> std::io::Result<TlsStream<TcpStream>> {
    let mut tls = tls;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let name =
        ServerName::try_from(host.to_owned()).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidInput, e))?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    // A peer that vanished is noticed by the next heartbeat, without any timer of our own.
    rustix::net::sockopt::set_tcp_user_timeout(&stream, 30_000)?;
    let mut stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
    // A server that says nothing is asked all the same.
    timeout(VERDICT, tls::hear_verdict(&mut stream)).await.unwrap_or(Ok(()))?;
    Ok(stream)
}

pub(crate) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let authority = address.strip_prefix("https://")?.trim_end_matches('/');
    let (host, port) = authority.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok()?))
}

fn slow(address: &str) -> Problem {
    Problem::transient(codes::SERVER_UNREACHABLE_AGENT, format!("{address}: no answer in time"))
}

/// A connection to the `devices` listener.
struct Server {
    address: String,
    client: DevicesClient<Channel>,
    /// What the time floor was when it was connected to.
    verified: Option<Timestamp>,
    /// What it showed when it was connected to.
    certificates: Vec<CertificateDer<'static>>,
}

impl Server {
    /// Why a call failed: what the reconciler said, or that it is out of reach.
    fn refused(&self, status: &tonic::Status) -> Problem {
        let address = &self.address;
        if let Some(source) = std::error::Error::source(status) {
            return tls::problem(address, source);
        }
        let code = status.metadata().get("bellwether-code").and_then(|code| code.to_str().ok());
        let code = code.and_then(codes::explain).map_or(codes::SERVER_UNREACHABLE_AGENT, |explained| explained.code);
        Problem::transient(code, format!("{address}: {} ({:?})", status.message(), status.code()))
    }
}

#[cfg(test)]
mod tests;
