//! Who may do what, asked on every call: by the caller's certificate, by the newest one that the device has used, and by what
//! the accepted history's last word says.

use std::sync::Arc;

use bellwether_core::admission::{Admission, Admissions, Identity};
use bellwether_core::certificates::is_in_grace;
use bellwether_schemas::codes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::listen::Caller;
use super::problem::{Class, Problem};
use super::sessions::Sessions;
use super::used::{Seen, UsedCertificates};
use crate::pki::{Authority, AuthorityWatch, Peer};

/// Whether a device may do what devices do, or report only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    Everything,
    ReportOnly,
}

/// Judges callers; shared by the listeners for devices.
#[derive(Debug, Clone)]
pub(super) struct CallerCheck {
    pub(super) admissions: watch::Receiver<Option<Arc<Admissions>>>,
    pub(super) authority: AuthorityWatch,
    pub(super) used: UsedCertificates,
    pub(super) sessions: Arc<Sessions>,
    /// How long after its end a certificate may still be renewed.
    pub(super) renew_grace: SignedDuration,
}

impl CallerCheck {
    /// Judges a caller. As long as no history is accepted, whoever has a certificate may report.
    pub(super) async fn admit(&self, caller: &Caller) -> Result<(Identity, May), Problem> {
        ended_if_for_good(caller, self.judge_call(caller).await)
    }

    async fn judge_call(&self, caller: &Caller) -> Result<(Identity, May), Problem> {
        let peer = caller.peer(Timestamp::now())?;
        of_trusted(peer, &self.authority.borrow())?;
        let may = judge(&peer.identity, self.admissions.borrow().as_deref())?;
        self.see(peer).await?;
        Ok((peer.identity.clone(), may))
    }

    /// Judges a caller that asks for a new certificate: its own may have expired, for no longer than the grace.
    pub(super) async fn admit_renewal<'c>(&self, caller: &'c Caller) -> Result<&'c Peer, Problem> {
        ended_if_for_good(caller, self.judge_renewal(caller).await)
    }

    async fn judge_renewal<'c>(&self, caller: &'c Caller) -> Result<&'c Peer, Problem> {
        let (peer, now) = (caller.bearer()?, Timestamp::now());
        of_trusted(peer, &self.authority.borrow())?;
        let Identity { device, entry, enrollment, .. } = &peer.identity;
        if !is_in_grace(peer.not_after, self.renew_grace, now) {
            let message =
                format!("the certificate of {device} expired at {}, too long ago to be renewed", peer.not_after);
            return Err(Problem::new(Class::Unknown, codes::RENEWAL_TOO_LATE, message));
        }
        let may = judge(&peer.identity, self.admissions.borrow().as_deref())?;
        self.see(peer).await?;
        if let Some(left) = self.used.unsettled(peer, now) {
            let message = format!(
                "which certificate of {device} is the newest is not remembered; it can be renewed in {} s",
                left.as_secs() + 1
            );
            return Err(Problem::busy(message).after(left));
        }
        match may {
            May::Everything => Ok(peer),
            May::ReportOnly => {
                let message = format!("no accepted landing lists entry {entry} of {enrollment}");
                Err(Problem::new(Class::Forbidden, codes::ENTRY_UNLISTED, message))
            }
        }
    }

    /// Waits until the history refuses the caller, or its authority ends.
    pub(super) async fn refused(&self, caller: &Caller) -> Problem {
        let (mut admissions, mut authority) = (self.admissions.clone(), self.authority.clone());
        loop {
            let judged = caller.peer(Timestamp::now()).and_then(|peer| {
                of_trusted(peer, &authority.borrow_and_update())?;
                judge(&peer.identity, admissions.borrow_and_update().as_deref())
            });
            if let Err(problem) = ended_if_for_good(caller, judged) {
                return problem;
            }
            let changed = tokio::select! {
                changed = admissions.changed() => changed,
                changed = authority.changed() => changed,
            };
            if changed.is_err() {
                return Problem::busy("the reconciler is stopping");
            }
        }
    }

    /// Whether it is the newest certificate that the device has used. A first use ends what the one before it has open.
    async fn see(&self, peer: &Peer) -> Result<(), Problem> {
        let unrecorded = |_| Problem::busy("which certificate is the newest cannot be recorded now");
        match self.used.see(peer).await.map_err(unrecorded)? {
            Seen::Newest => Ok(()),
            Seen::Replaces => {
                let device = &peer.identity.device;
                tracing::info!(%device, "a renewed certificate is used, and replaces the one before");
                self.sessions.close_of_other_key(device, &peer.key, replaced(peer).into());
                Ok(())
            }
            Seen::Replaced(by) => {
                let device = &peer.identity.device;
                tracing::warn!(%device, code = %codes::CERTIFICATE_REPLACED, newest = %by.key, "a replaced certificate was used");
                Err(replaced(peer))
            }
        }
    }
}

/// Ends the connection of a caller that was refused for good: whoever bears a certificate that does not count any more holds
/// nothing here. One that has expired may yet be renewed, and an entry that is not listed yet be listed.
fn ended_if_for_good<T>(caller: &Caller, judged: Result<T, Problem>) -> Result<T, Problem> {
    if let Err(problem) = &judged {
        let is_forbidden = problem.class == Class::Forbidden && problem.code != codes::ENTRY_UNLISTED;
        if is_forbidden || problem.code == codes::RENEWAL_TOO_LATE {
            caller.end();
        }
    }
    judged
}

/// Whether the authority that issued the certificate is trusted still. TLS looked when the connection was made, which may be
/// long ago.
fn of_trusted(peer: &Peer, authority: &Authority) -> Result<(), Problem> {
    if authority.trusted().iter().any(|it| it.name == peer.issuer) {
        return Ok(());
    }
    let message = format!("the authority that issued the certificate of {} has ended", peer.identity.device);
    Err(Problem::new(Class::Forbidden, codes::AUTHORITY_ENDED, message))
}

fn replaced(peer: &Peer) -> Problem {
    let message = format!("{} has used a newer certificate since this one was issued", peer.identity.device);
    Problem::new(Class::Forbidden, codes::CERTIFICATE_REPLACED, message)
}

/// Judges an identity by the history.
fn judge(identity: &Identity, admissions: Option<&Admissions>) -> Result<May, Problem> {
    let Some(admissions) = admissions else { return Ok(May::ReportOnly) };
    match admissions.admit(identity) {
        Admission::Full => Ok(May::Everything),
        Admission::ReportOnly { .. } => Ok(May::ReportOnly),
        Admission::Refused { code, why } => Err(Problem::new(Class::Forbidden, code, why)),
    }
}
