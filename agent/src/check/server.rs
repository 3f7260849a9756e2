//! What the reconciler's listeners show: names, ports, certificates, and whether this device may come in.

use std::sync::Arc;
use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_agent_core::check::{Finding, server_certificate};
use bellwether_schemas::codes;
use bellwether_schemas::enroll::{ENROLL_PATH, ErrorBody};
use jiff::Timestamp;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::local::Device;
use crate::identity::{Identity, life_of};
use crate::session::host_and_port;
use crate::trust::Trust;
use crate::updates::Updates;
use crate::{pull, tls, updates};

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take to say that it refuses the certificate.
const VERDICT: Duration = Duration::from_secs(2);

/// What was found at a listener, and what its clock shows.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) findings: Vec<Finding>,
    pub(super) time: Option<Timestamp>,
}

impl Looked {
    fn from(result: Result<Vec<Finding>, Finding>) -> Self {
        Self { findings: result.unwrap_or_else(|finding| vec![finding]), time: None }
    }
}

/// The `enroll` listener: for devices that have no certificate yet.
pub(super) async fn enroll(address: &str, ca: &str, verified: Option<Timestamp>) -> Looked {
    const WHAT: &str = "enroll";
    let tls = match tls::client(ca, None, verified) {
        Ok(tls) => tls,
        Err(error) => return Looked::from(Err(Finding::fail(WHAT, codes::TLS_UNTRUSTED, crate::cli::chain(&error)))),
    };
    let mut looked = Looked::from(reach(WHAT, address, &tls, verified).await);
    if looked.findings.iter().any(|finding| finding.code == Some(codes::SERVER_UNREACHABLE_AGENT)) {
        return looked;
    }
    let asked = async {
        let url = format!("{}{ENROLL_PATH}", address.trim_end_matches('/'));
        let answer = updates::http(tls)?.get(&url).timeout(PATIENCE).send().await?;
        let (status, time) = (answer.status(), time_of(&answer));
        let is_ours = answer.bytes().await.is_ok_and(|body| serde_json::from_slice::<ErrorBody>(&body).is_ok());
        Ok::<_, reqwest::Error>((status, time, is_ours))
    };
    // What cannot be reached was said already.
    let Ok((status, time, is_ours)) = asked.await else { return looked };
    looked.time = time;
    looked.findings.push(match (status.as_u16(), is_ours) {
        (405, true) => Finding::ok(WHAT, "devices are enrolled here"),
        _ => {
            let found = format!("{address} answers {status}: it is no listener for enrollment");
            Finding::fail(WHAT, codes::ANSWER_UNREADABLE, found)
        }
    });
    looked
}

/// The `devices` listener. Nothing is said there: a report would count.
pub(super) async fn devices(identity: &Identity, verified: Option<Timestamp>) -> Looked {
    const WHAT: &str = "devices";
    let Ok(mut tls) = tls::client(&identity.ca, Some(identity), verified) else { return Looked::default() };
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Looked::from(reach(WHAT, &identity.devices, &tls, verified).await)
}

/// The `updates` listener: reached, this device let in, its root in the chain, its metadata good.
pub(super) async fn updates(identity: &Identity, device: &Device, now: Timestamp) -> Looked {
    const WHAT: &str = "updates";
    let verified = device.trust.as_ref().and_then(|trust| trust.verified);
    let Ok(tls) = tls::client(&identity.ca, Some(identity), verified) else { return Looked::default() };
    let mut looked = match reach(WHAT, &identity.updates, &tls, verified).await {
        Ok(findings) => Looked::from(Ok(findings)),
        failed => return Looked::from(failed),
    };
    let updates = match Updates::connect(identity, verified) {
        Ok(updates) => updates,
        Err(problem) => return Looked::from(Err(Finding::of(WHAT, &problem))),
    };
    let asked = async {
        let answer = updates.ask("timestamp.json").await?;
        // Whoever refuses tells the time as well, and the clock may be why.
        looked.time = time_of(&answer);
        updates.admitted(answer).await
    };
    let answer = match timeout(PATIENCE * 2, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(problem)) => {
            looked.findings.push(Finding::of("admission", &problem));
            return looked;
        }
        Err(_) => {
            let found = format!("{}: no answer in time", identity.updates);
            looked.findings.push(Finding::fail("admission", codes::SERVER_UNREACHABLE_AGENT, found));
            return looked;
        }
    };
    looked.findings.push(Finding::ok("admission", format!("the reconciler lets {} in", identity.device)));
    let published = answer.status().is_success();
    if let Some(trust) = &device.trust {
        looked.findings.push(match metadata(&updates, trust, device, published, now).await {
            Ok(found) => Finding::ok("metadata", found),
            Err(problem) => Finding::of("metadata", &problem),
        });
    }
    looked
}

/// Verifies what is published for the device as a pull would, and keeps none of it.
async fn metadata(
    updates: &Updates,
    trust: &Trust,
    device: &Device,
    published: bool,
    now: Timestamp,
) -> Result<String, Problem> {
    let Some(identity) = &device.identity else { return Ok("none".to_owned()) };
    pull::check_chain(updates, trust).await?;
    let mut newer = trust.clone();
    pull::refresh_root(updates, &mut newer).await?;
    if !published {
        return Ok("its root is the reconciler's; nothing is published for this device yet".to_owned());
    }
    let held = device.metadata.clone();
    let found = pull::refresh(updates, &newer, held, &identity.device, now).await?;
    let offer =
        found.offered().map_or("no version is offered".to_owned(), |offer| format!("{} is offered", offer.long()));
    Ok(format!("it verifies, {offer}"))
}

/// Resolves, connects and shakes hands; each step that fails says so by itself.
async fn reach(
    what: &str,
    address: &str,
    tls: &rustls::ClientConfig,
    verified: Option<Timestamp>,
) -> Result<Vec<Finding>, Finding> {
    let unreachable = |why: String| Finding::fail(what, codes::SERVER_UNREACHABLE_AGENT, format!("{address}: {why}"));
    let (host, port) = host_and_port(address).ok_or_else(|| {
        Finding::fail(what, codes::AGENT_CONFIG, format!("{address} is not https://host:port"))
            .advise("Write the address as https://NAME:PORT.")
    })?;
    let resolved = match timeout(PATIENCE, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return Err(unreachable(format!("the name {host} cannot be resolved: {error}"))
                .advise("Check the name, and the device's resolver (/etc/resolv.conf)."));
        }
        Err(_) => {
            return Err(unreachable(format!("the resolver does not answer for {host}"))
                .advise("Check the device's network and resolver (/etc/resolv.conf)."));
        }
    };
    let stream = match timeout(PATIENCE, TcpStream::connect(resolved.as_slice())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(unreachable(format!("cannot connect to {}: {error}", shown(&resolved)))
                .advise("Check the port, firewalls on the way, and that the reconciler runs."));
        }
        Err(_) => {
            return Err(unreachable(format!("no answer from {} in {} s", shown(&resolved), PATIENCE.as_secs()))
                .advise("Check routes and firewalls on the way: packets are dropped rather than refused."));
        }
    };
    let at = stream.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| unreachable("is no name".to_owned()))?;
    let handshake = async {
        let mut stream = TlsConnector::from(Arc::new(tls.clone())).connect(name, stream).await?;
        // With TLS 1.3 a certificate is refused after the handshake. A server that says nothing is content.
        timeout(VERDICT, tls::hear_verdict(&mut stream)).await.unwrap_or(Ok(()))?;
        Ok::<_, std::io::Error>(stream)
    };
    let stream = match timeout(PATIENCE, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Finding::of(what, &tls::problem(address, &error))),
        Err(_) => return Err(unreachable(format!("no TLS handshake with {at} in {} s", PATIENCE.as_secs()))),
    };
    let mut found = vec![Finding::ok(what, format!("{address} is reached at {at}"))];
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if let Some((_, until)) = certificate.and_then(life_of) {
        found.push(server_certificate(what, crate::clock::now(verified).0, until));
    }
    Ok(found)
}

fn shown(addresses: &[std::net::SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What the server's clock shows, by its header `Date`.
fn time_of(answer: &reqwest::Response) -> Option<Timestamp> {
    let date = answer.headers().get("date")?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(date).ok().map(|zoned| zoned.timestamp())
}
