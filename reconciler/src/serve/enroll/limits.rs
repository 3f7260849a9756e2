//! How much the world may ask of the listener `enroll`, whatever it asks for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bellwether_schemas::codes;
use tokio::time::Instant;

use super::super::listen::Origin;
use super::super::problem::{Class, Problem};
use super::super::rate::{Network, Rates};

/// Requests of one address, and of all: a burst, and the time after which one more is taken. A thousand devices behind one
/// address may be installed at once, each by four requests (the script, an agent, its digest, the enrollment); and as many as
/// may wait for approval there ask less often than that.
const OF_ONE: (u32, Duration) = (4_096, Duration::from_millis(50));
const OF_ALL: (u32, Duration) = (16_384, Duration::from_millis(5));

/// The requests that are left.
#[derive(Debug)]
pub(in crate::serve) struct Limits(Mutex<(Rates<Network>, Rates<()>)>);

impl Default for Limits {
    fn default() -> Self {
        Self(Mutex::new((Rates::new(OF_ONE.0, OF_ONE.1), Rates::new(OF_ALL.0, OF_ALL.1))))
    }
}

impl Limits {
    /// Takes one request of an address, or says how long it must wait. What one address has too much of is not taken from
    /// all others.
    pub(in crate::serve) fn take(&self, network: Network, now: Instant) -> Result<(), Duration> {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of_one, of_all) = &mut *rates;
        of_one.take(&network, now)?;
        of_all.take(&(), now)
    }
}

/// Where a request comes from.
pub(super) fn origin(request: &Request) -> IpAddr {
    request.extensions().get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Origin(address)| *address)
}

/// Lets a request pass that is within the limits: before anything of it is read, so that whoever floods the listener gets no
/// work done and no line in the log.
pub(in crate::serve) async fn within_limits(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let from = origin(&request);
    limits.take(from.into(), Instant::now()).map_err(|wait| {
        tracing::debug!(%from, ?wait, "too many requests");
        Problem::new(Class::TooMany, codes::ENROLL_RATE, "too many requests from this address, or from all").after(wait)
    })?;
    Ok(next.run(request).await)
}
