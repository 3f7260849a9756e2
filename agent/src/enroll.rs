//! Enrollment: a new key becomes a certificate, by a token, by a person's approval or by a factory's certificate.

use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_schemas::codes;
use bellwether_schemas::enroll::{Claim, ErrorBody};
use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::name::{DeviceName, EnrollmentName};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::identity::{Identity, KeyRequest};
use crate::state_dir::{StateDir, StateError};
use crate::trust::{Floors, Trust};
use crate::{pull, tls};

mod factory;
mod waiting;

/// What the installer hands to the device.
pub(crate) struct Invitation {
    /// `https://host:port` of the `enroll` listener.
    pub(crate) server: String,
    /// The CA, PEM.
    pub(crate) ca: String,
    /// The pinned `root.json`.
    pub(crate) root: String,
    /// By what right the device enrolls.
    pub(crate) right: Right,
    /// How long to wait for an answer that others must make possible; for ever where there is no limit.
    pub(crate) wait: Option<Duration>,
}

/// By what right a device enrolls.
pub(crate) enum Right {
    /// A token; a secret.
    Token(String),
    /// A person approves its key.
    Approval(EnrollmentName),
    /// Its factory gave it a certificate.
    Factory {
        enrollment: EnrollmentName,
        /// The certificate, and those between it and the authority, PEM.
        chain: String,
        /// Its key, PEM; a secret.
        key: String,
    },
}

impl Right {
    /// What stays the same while the device asks again, and is no secret.
    fn purpose(&self) -> Sha256Digest {
        match self {
            Self::Token(token) => Sha256Digest::of(token.as_bytes()),
            Self::Approval(enrollment) => Sha256Digest::of(format!("approval by {enrollment}").as_bytes()),
            Self::Factory { enrollment, .. } => Sha256Digest::of(format!("factory of {enrollment}").as_bytes()),
        }
    }

    fn claim(&self, request: &KeyRequest) -> Result<Claim, EnrollError> {
        Ok(match self {
            Self::Token(token) => Claim::Token(token.clone()),
            Self::Approval(enrollment) => Claim::Approval(enrollment.clone()),
            Self::Factory { enrollment, chain, key } => {
                let proof = factory::prove(enrollment, chain, key, &request.request_der);
                Claim::Factory(enrollment.clone(), proof.map_err(|e| EnrollError::Invitation(e.to_string()))?)
            }
        })
    }
}

/// What a person is told while the device enrolls.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The fingerprint of its key, before it is asked for approval.
    Fingerprint(Sha256Digest),
    /// It waits for an engineer.
    Waits(EnrollmentName, Sha256Digest),
    /// It could not ask just now, and asks again.
    Trouble(String),
}

/// Why a device could not be enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrollError {
    /// What was handed over is not usable.
    #[error("{0}")]
    Invitation(String),
    /// The pinned root.
    #[error("the pinned root is not usable")]
    Root(#[source] sigstore_tuf::Error),
    /// The connection.
    #[error("{}", .0.message)]
    Connection(Problem),
    /// The server said no, and why.
    #[error("{} refused: {}", server, body.message)]
    Refused { server: String, body: ErrorBody },
    /// The server said: not now.
    #[error("{}: {}", server, body.message)]
    Later { server: String, body: ErrorBody, class: waiting::Later, wait: Duration },
    /// The server said something else.
    #[error("{server}: {why}")]
    Answer { server: String, why: String },
    /// The key.
    #[error("no key could be made")]
    Key(#[source] rcgen::Error),
    /// The state directory.
    #[error("state directory")]
    State(#[from] StateError),
}

impl From<DiskError> for EnrollError {
    fn from(error: DiskError) -> Self {
        Self::State(error.into())
    }
}

/// The key of an enrollment that was not answered yet: the same key may ask again by the same right.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    /// The hash of the token, or of what stands for it.
    token: Sha256Digest,
    key: String,
}

/// Enrolls the device; on one that is enrolled it replaces certificate and pinned root, and keeps the version floor.
pub(crate) async fn enroll(
    state: &StateDir,
    invitation: &Invitation,
    tell: &dyn Fn(News),
) -> Result<DeviceName, EnrollError> {
    pull::check_root(invitation.root.as_bytes()).map_err(EnrollError::Root)?;
    if !invitation.server.starts_with("https://") {
        return Err(EnrollError::Invitation(format!("{} is not an https address", invitation.server)));
    }
    // A memory that cannot be read must be known before a token is spent.
    state.load_memory()?;
    let trust = next_trust(state, &invitation.root)?;
    let request = pending_key(state, &invitation.right.purpose())?;
    if let Right::Approval(_) = &invitation.right {
        tell(News::Fingerprint(request.fingerprint));
    }
    let answer = waiting::answer(invitation, &request, tell).await?;
    let identity = Identity {
        device: answer.device,
        key: request.key,
        certificate: answer.certificate,
        ca: invitation.ca.clone(),
        devices: answer.devices,
        updates: answer.updates,
    };
    let unusable = |why: String| EnrollError::Answer { server: invitation.server.clone(), why };
    if ![&identity.devices, &identity.updates].iter().all(|address| address.starts_with("https://")) {
        return Err(unusable("the addresses it names are not https".to_owned()));
    }
    // This also checks that the certificate is for the key.
    tls::client(&identity.ca, Some(&identity), None).map_err(|e| unusable(crate::cli::chain(&e)))?;
    if trust.is_some() {
        // Another root answers for other records; the reconciler gives its own with the next session.
        state.forget_head()?;
    }
    if let Some(trust) = match trust {
        None => trust_of_other_name(state, &identity.device)?,
        new => new,
    } {
        state.forget_metadata()?;
        state.store_trust(&trust)?;
    }
    // Before there is a new key: with this an agent would remove it.
    state.forget_decommissioned()?;
    state.store_identity(&identity)?;
    disk::remove(&state.path().join("pending.json"))?;
    Ok(identity.device)
}

/// The trust to begin with; `None` where the same root was pinned before, and what was learned since stays.
fn next_trust(state: &StateDir, root: &str) -> Result<Option<Trust>, EnrollError> {
    let pinned = Sha256Digest::of(root.as_bytes());
    let old = state.load_trust()?;
    if old.as_ref().is_some_and(|old| old.pinned == pinned) {
        return Ok(None);
    }
    let verified = old.and_then(|old| old.verified);
    Ok(Some(Trust { root: root.to_owned(), pinned, floors: Floors::default(), verified }))
}

/// The same root under another name: that device's metadata has versions of its own, so nothing held binds it.
fn trust_of_other_name(state: &StateDir, device: &DeviceName) -> Result<Option<Trust>, EnrollError> {
    if state.load_identity()?.is_none_or(|old| old.device == *device) {
        return Ok(None);
    }
    Ok(state.load_trust()?.map(|old| Trust { floors: Floors::default(), ..old }))
}

fn pending_key(state: &StateDir, purpose: &Sha256Digest) -> Result<KeyRequest, EnrollError> {
    let path = state.path().join("pending.json");
    if let Some(pending) = disk::read_json::<Pending>(&path)?
        && pending.token == *purpose
    {
        return KeyRequest::again(&pending.key).map_err(EnrollError::Key);
    }
    let request = KeyRequest::make().map_err(EnrollError::Key)?;
    disk::replace_json(&path, &Pending { token: *purpose, key: request.key.clone() })?;
    Ok(request)
}

impl EnrollError {
    /// The stable code: the server's own where it gave one.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Invitation(_) => codes::AGENT_CONFIG.to_string(),
            Self::Root(_) => codes::ROOT_UNUSABLE.to_string(),
            Self::Connection(problem) => problem.code.to_string(),
            Self::Refused { body, .. } | Self::Later { body, .. } => body.code.clone(),
            Self::Answer { .. } => codes::ANSWER_UNREADABLE.to_string(),
            Self::Key(_) => codes::AGENT_STATE.to_string(),
            Self::State(StateError::InUse(_)) => codes::AGENT_RUNNING.to_string(),
            Self::State(_) => codes::AGENT_STATE.to_string(),
        }
    }

    /// What the server says is to be done.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { body, .. } | Self::Later { body, .. } => Some(&body.hint),
            Self::Invitation(_)
            | Self::Root(_)
            | Self::Connection(_)
            | Self::Answer { .. }
            | Self::Key(_)
            | Self::State(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(device: &str) -> Identity {
        Identity {
            device: device.parse().expect("a name"),
            key: String::new(),
            certificate: String::new(),
            ca: String::new(),
            devices: String::new(),
            updates: String::new(),
        }
    }

    #[test]
    fn enrolling_again_keeps_the_metadata_floors_unless_root_or_name_are_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::lock(dir.path()).expect("locked");
        let first = next_trust(&state, "root").expect("readable").expect("there is none yet");
        let floors = Floors { timestamp: 7, snapshot: 7, targets: 7 };
        state.store_trust(&Trust { floors, ..first }).expect("stored");
        state.store_identity(&identity("edge-1")).expect("stored");
        assert_eq!(next_trust(&state, "root").expect("readable"), None);
        assert_eq!(next_trust(&state, "another").expect("readable").map(|t| t.floors), Some(Floors::default()));
        let named = |name: &str| trust_of_other_name(&state, &name.parse().expect("a name")).expect("readable");
        assert_eq!(named("edge-1"), None);
        assert_eq!(named("edge-2").map(|t| (t.floors, t.root)), Some((Floors::default(), "root".to_owned())));
    }

    #[test]
    fn the_same_token_asks_again_with_the_same_key_and_another_one_does_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::lock(dir.path()).expect("locked");
        let purpose = |token: &str| Right::Token(token.to_owned()).purpose();
        let key = |token: &str| pending_key(&state, &purpose(token)).expect("a key").key;
        let first = key("one");
        assert_eq!(key("one"), first);
        assert_ne!(key("a second one"), first);
        let pending = std::fs::read_to_string(dir.path().join("pending.json")).expect("kept");
        assert!(!pending.contains("a second"), "the token itself is not kept");
        std::fs::write(dir.path().join("pending.json"), "{").expect("written");
        assert!(matches!(pending_key(&state, &purpose("a second one")), Err(EnrollError::State(_))));
    }
}
