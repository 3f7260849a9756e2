//! When the certificate is renewed, and how: as soon as that is wanted, but no more than once in a heartbeat, whatever comes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_schemas::codes;
use bellwether_schemas::report::Directive;
use bellwether_schemas::wire::proto::{RenewRequest, RenewResponse};
use tokio::time::{Instant, sleep_until, timeout};

use super::{PATIENCE, Server, anything_below, slow};
use crate::identity::{Identity, KeyRequest};
use crate::run::{HEARTBEAT, heartbeat};
use crate::state_dir::StateDir;
use crate::tls;

/// What outlives the sessions, so that no number of them makes renewals more frequent.
pub(super) struct Renewals(Mutex<Pace>);

#[derive(Clone, Copy)]
struct Pace {
    wanted: bool,
    /// Nothing is tried before.
    free: Instant,
    heartbeat: Duration,
}

impl Renewals {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Pace { wanted: false, free: Instant::now(), heartbeat: HEARTBEAT }))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn want(&self) {
        self.pace().wanted = true;
    }

    /// Learns how often the device reports.
    pub(super) fn hear(&self, directive: &Directive) {
        if let Directive::Interval { seconds } = directive {
            self.pace().heartbeat = heartbeat(*seconds);
        }
    }

    /// How often the device reports.
    pub(super) fn heartbeat(&self) -> Duration {
        self.pace().heartbeat
    }

    /// Whether a renewal is wanted, and may be tried now.
    pub(super) fn is_due(&self) -> bool {
        let pace = self.pace();
        pace.wanted && pace.free <= Instant::now()
    }

    /// Waits until a renewal is due, for ever if none is wanted.
    pub(super) async fn wait(&self) {
        let Pace { wanted, free, .. } = *self.pace();
        if !wanted {
            std::future::pending::<()>().await;
        }
        sleep_until(free).await;
    }

    /// Tries once; whether there is a new certificate, which the next session uses. The old one is good until then.
    pub(super) async fn renew(&self, state: &StateDir, identity: &Identity, server: &mut Server) -> bool {
        self.rest();
        let renewed = renew(state, identity, server).await;
        if let Err(problem) = &renewed {
            tracing::warn!(code = %problem.code, "cannot renew the certificate: {}", problem.message);
        }
        self.rest();
        self.pace().wanted = renewed.is_err();
        renewed.is_ok()
    }

    /// Devices that were told to renew at the same moment must not come back at the same moment.
    fn rest(&self) {
        let mut pace = self.pace();
        pace.free = Instant::now() + pace.heartbeat + anything_below(pace.heartbeat);
    }
}

/// The authorities to trust from now on: those that the reconciler names, if one of them vouches for the server that is spoken
/// to. With others the device could never come back, so it keeps what it trusts.
fn next_ca(identity: &Identity, authorities: String, server: &Server) -> String {
    if authorities.is_empty() || authorities == identity.ca {
        return identity.ca.clone();
    }
    match tls::vouch(&authorities, &server.certificates, &server.address, server.verified) {
        Ok(()) => {
            tracing::info!("the authorities that this device trusts were replaced");
            authorities
        }
        Err(error) => {
            let why = crate::cli::chain(&error);
            tracing::warn!(code = %codes::AUTHORITIES_REFUSED, "the named authorities are not taken over: {why}");
            identity.ca.clone()
        }
    }
}

/// Gets a certificate for a new key. The old one is replaced on disk only when the new one is there as a whole.
async fn renew(state: &StateDir, identity: &Identity, server: &mut Server) -> Result<(), Problem> {
    let failed = |why: String| Problem::transient(codes::TLS_FAILED, format!("renewing the certificate: {why}"));
    let request = KeyRequest::make().map_err(|e| failed(e.to_string()))?;
    let call = server.client.renew(RenewRequest { csr: request.request_der.into() });
    let answer = timeout(PATIENCE, call).await.map_err(|_| slow(&server.address))?;
    let RenewResponse { certificate, authorities } = answer.map_err(|status| server.refused(&status))?.into_inner();
    let ca = next_ca(identity, authorities, server);
    take(state, &Identity { key: request.key, certificate, ca, ..identity.clone() })
}

/// Keeps a renewed identity, if TLS can be spoken with it.
pub(crate) fn take(state: &StateDir, renewed: &Identity) -> Result<(), Problem> {
    let failed = |why: String| Problem::transient(codes::TLS_FAILED, format!("renewing the certificate: {why}"));
    tls::client(&renewed.ca, Some(renewed), None).map_err(|e| failed(crate::cli::chain(&e)))?;
    state.store_identity(renewed).map_err(|e| failed(crate::cli::chain(&e)))?;
    tracing::info!("the certificate was renewed");
    Ok(())
}
