//! The gRPC contract's messages (`proto/bellwether/v1/device.proto`) and their conversions, both ways in one place.
//!
//! What a device sends is hostile: a report that does not convert is [`Reported::Unreadable`], never a guess.

use std::str::FromStr;

use crate::allow::Allowed;
use crate::report::{Claim, Directive, Failure, FailureKind, Health, MAX_MESSAGE, Phase, Presented, Report, Reported};
use crate::version::Version;

/// The generated messages.
#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/bellwether.v1.rs"));
}

use proto::directive_message::Directive as Word;

/// The greatest length of a nonce and of an agent version in a report, in bytes.
const MAX_SHORT: usize = 128;

/// The greatest revision in a report. Offers at one head are far fewer, and beyond it there is room for further ones.
const MAX_REVISION: u32 = u32::MAX / 2;

/// Why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// A field that must be there is not.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// A field has a value that it cannot have.
    #[error("field {field}: {why}")]
    Field {
        /// The field.
        field: &'static str,
        /// Why the value cannot be.
        why: String,
    },
    /// A text is longer than it may be.
    #[error("field {0} is too long")]
    TooLong(&'static str),
}

fn parse<T: FromStr>(field: &'static str, text: &str) -> Result<T, InvalidMessage>
where
    T::Err: std::fmt::Display,
{
    if text.len() > MAX_SHORT {
        return Err(InvalidMessage::TooLong(field));
    }
    text.parse().map_err(|e: T::Err| InvalidMessage::Field { field, why: e.to_string() })
}

fn short(field: &'static str, text: String) -> Result<String, InvalidMessage> {
    match text {
        text if text.len() > MAX_SHORT => Err(InvalidMessage::TooLong(field)),
        text if text.chars().any(char::is_control) => {
            Err(InvalidMessage::Field { field, why: "control characters".to_owned() })
        }
        text => Ok(text),
    }
}

impl From<Version> for proto::VersionMessage {
    fn from(version: Version) -> Self {
        Self { landing: version.landing, commit: version.commit.to_string(), revision: version.revision }
    }
}

impl TryFrom<proto::VersionMessage> for Version {
    type Error = InvalidMessage;
    fn try_from(message: proto::VersionMessage) -> Result<Self, InvalidMessage> {
        let commit = parse("version.commit", &message.commit)?;
        // What a device says that it runs counts as given: one that names the last number leaves none for its next offer.
        if message.revision > MAX_REVISION {
            let why = format!("{} is no revision", message.revision);
            return Err(InvalidMessage::Field { field: "version.revision", why });
        }
        // The databases and JSON readers of this world hold 63 bits; no history is that long.
        match message.landing {
            0 => Err(InvalidMessage::Field { field: "version.landing", why: "0 is no landing".to_owned() }),
            landing if i64::try_from(landing).is_err() => {
                Err(InvalidMessage::Field { field: "version.landing", why: format!("{landing} is no landing") })
            }
            landing => Ok(Self { landing, commit, revision: message.revision }),
        }
    }
}

impl From<Claim> for proto::ClaimMessage {
    fn from(claim: Claim) -> Self {
        Self {
            version: Some(claim.version.into()),
            template: claim.template.to_string(),
            digest: claim.digest.to_string(),
        }
    }
}

impl TryFrom<proto::ClaimMessage> for Claim {
    type Error = InvalidMessage;
    fn try_from(message: proto::ClaimMessage) -> Result<Self, InvalidMessage> {
        Ok(Self {
            version: message.version.ok_or(InvalidMessage::Missing("version"))?.try_into()?,
            template: parse("template", &message.template)?,
            digest: parse("digest", &message.digest)?,
        })
    }
}

impl From<Phase> for proto::PhaseMessage {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Idle => Self::PhaseIdle,
            Phase::Fetching => Self::PhaseFetching,
            Phase::Verifying => Self::PhaseVerifying,
            Phase::Staged => Self::PhaseStaged,
            Phase::Applying => Self::PhaseApplying,
            Phase::Probing => Self::PhaseProbing,
            Phase::Soaking => Self::PhaseSoaking,
            Phase::Committed => Self::PhaseCommitted,
            Phase::RollingBack => Self::PhaseRollingBack,
            Phase::RolledBack => Self::PhaseRolledBack,
            Phase::Degraded => Self::PhaseDegraded,
            Phase::Decommissioned => Self::PhaseDecommissioned,
        }
    }
}

fn phase(number: i32) -> Result<Phase, InvalidMessage> {
    match proto::PhaseMessage::try_from(number) {
        Ok(proto::PhaseMessage::PhaseIdle) => Ok(Phase::Idle),
        Ok(proto::PhaseMessage::PhaseFetching) => Ok(Phase::Fetching),
        Ok(proto::PhaseMessage::PhaseVerifying) => Ok(Phase::Verifying),
        Ok(proto::PhaseMessage::PhaseStaged) => Ok(Phase::Staged),
        Ok(proto::PhaseMessage::PhaseApplying) => Ok(Phase::Applying),
        Ok(proto::PhaseMessage::PhaseProbing) => Ok(Phase::Probing),
        Ok(proto::PhaseMessage::PhaseSoaking) => Ok(Phase::Soaking),
        Ok(proto::PhaseMessage::PhaseCommitted) => Ok(Phase::Committed),
        Ok(proto::PhaseMessage::PhaseRollingBack) => Ok(Phase::RollingBack),
        Ok(proto::PhaseMessage::PhaseRolledBack) => Ok(Phase::RolledBack),
        Ok(proto::PhaseMessage::PhaseDegraded) => Ok(Phase::Degraded),
        Ok(proto::PhaseMessage::PhaseDecommissioned) => Ok(Phase::Decommissioned),
        Ok(proto::PhaseMessage::PhaseUnspecified) => Err(InvalidMessage::Missing("phase")),
        Err(_) => Err(InvalidMessage::Field { field: "phase", why: format!("{number} is no phase") }),
    }
}

fn health(number: i32) -> Result<Health, InvalidMessage> {
    match proto::HealthMessage::try_from(number) {
        Ok(proto::HealthMessage::HealthUnknown) => Ok(Health::Unknown),
        Ok(proto::HealthMessage::HealthHealthy) => Ok(Health::Healthy),
        Ok(proto::HealthMessage::HealthUnhealthy) => Ok(Health::Unhealthy),
        Err(_) => Err(InvalidMessage::Field { field: "health", why: format!("{number} is no health") }),
    }
}

impl From<Failure> for proto::FailureMessage {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Failed => proto::FailureKindMessage::FailureKindFailed,
            FailureKind::RolledBack => proto::FailureKindMessage::FailureKindRolledBack,
            FailureKind::Transient => proto::FailureKindMessage::FailureKindTransient,
        };
        Self {
            version: failure.version.map(Into::into),
            kind: kind.into(),
            code: failure.code,
            message: failure.message,
            at: failure.at.to_string(),
            digest: failure.digest.map(|digest| digest.to_string()).unwrap_or_default(),
        }
    }
}

impl TryFrom<proto::FailureMessage> for Failure {
    type Error = InvalidMessage;
    fn try_from(message: proto::FailureMessage) -> Result<Self, InvalidMessage> {
        let kind = match proto::FailureKindMessage::try_from(message.kind) {
            Ok(proto::FailureKindMessage::FailureKindFailed) => FailureKind::Failed,
            Ok(proto::FailureKindMessage::FailureKindRolledBack) => FailureKind::RolledBack,
            Ok(proto::FailureKindMessage::FailureKindTransient) => FailureKind::Transient,
            Ok(proto::FailureKindMessage::FailureKindUnspecified) => {
                return Err(InvalidMessage::Missing("failure.kind"));
            }
            Err(_) => {
                let why = format!("{} is no kind of failure", message.kind);
                return Err(InvalidMessage::Field { field: "failure.kind", why });
            }
        };
        if message.message.len() > MAX_MESSAGE {
            return Err(InvalidMessage::TooLong("failure.message"));
        }
        Ok(Self {
            version: message.version.map(TryInto::try_into).transpose()?,
            digest: match message.digest.as_str() {
                "" => None,
                digest => Some(parse("failure.digest", digest)?),
            },
            kind,
            code: short("failure.code", message.code)?,
            message: message.message,
            at: parse("failure.at", &message.at)?,
        })
    }
}

/// The message for a report, with or without the metadata that the device holds.
pub fn report_message(report: Report, presented: Option<Presented>) -> proto::ReportMessage {
    proto::ReportMessage {
        nonce: report.nonce,
        agent: report.agent,
        running: report.running.map(Into::into),
        applying: report.applying.map(Into::into),
        begun: report.begun.map(Into::into),
        phase: proto::PhaseMessage::from(report.phase).into(),
        health: match report.health {
            Health::Unknown => proto::HealthMessage::HealthUnknown,
            Health::Healthy => proto::HealthMessage::HealthHealthy,
            Health::Unhealthy => proto::HealthMessage::HealthUnhealthy,
        }
        .into(),
        failure: report.failure.map(Into::into),
        clock: report.clock.to_string(),
        presented: presented.map(|held| proto::PresentedMessage {
            timestamp: held.timestamp.into(),
            snapshot: held.snapshot.into(),
            targets: held.targets.into(),
            head: held.head.into(),
        }),
        authorities: Vec::new(),
        allows: None,
    }
}

/// Reads a report, and takes the presented metadata out of it.
pub fn read_report(mut message: proto::ReportMessage) -> (Reported, Option<Presented>) {
    let presented = message.presented.take().map(|held| Presented {
        timestamp: held.timestamp.into(),
        snapshot: held.snapshot.into(),
        targets: held.targets.into(),
        head: held.head.into(),
    });
    let nonce = short("nonce", message.nonce.clone()).ok().filter(|nonce| !nonce.is_empty());
    let reported = match readable(message) {
        Ok(report) => Reported::Readable(report),
        Err(why) => Reported::Unreadable { why: why.to_string(), nonce },
    };
    (reported, presented)
}

fn readable(message: proto::ReportMessage) -> Result<Report, InvalidMessage> {
    if message.nonce.is_empty() {
        return Err(InvalidMessage::Missing("nonce"));
    }
    Ok(Report {
        nonce: short("nonce", message.nonce)?,
        agent: short("agent", message.agent)?,
        running: message.running.map(TryInto::try_into).transpose()?,
        applying: message.applying.map(TryInto::try_into).transpose()?,
        begun: message.begun.map(TryInto::try_into).transpose()?,
        phase: phase(message.phase)?,
        health: health(message.health)?,
        failure: message.failure.map(TryInto::try_into).transpose()?,
        clock: parse("clock", &message.clock)?,
    })
}

/// The message for what a device allows; none where that is more than a report may carry.
pub fn allows_message(allowed: &Allowed) -> Option<proto::AllowsMessage> {
    let Allowed { exec, paths, units, probe_hosts } = allowed.is_reportable().then(|| allowed.clone())?;
    Some(proto::AllowsMessage { exec, paths, units, probe_hosts })
}

/// Reads what a device allows; none where that is more than a report may carry. It is not cut: a list that lacks something would
/// say that it is not allowed.
pub fn read_allows(message: proto::AllowsMessage) -> Option<Allowed> {
    let proto::AllowsMessage { exec, paths, units, probe_hosts } = message;
    Some(Allowed { exec, paths, units, probe_hosts }).filter(Allowed::is_reportable)
}

impl From<Directive> for proto::DirectiveMessage {
    fn from(directive: Directive) -> Self {
        use proto::directive_message as word;
        let directive = match directive {
            Directive::SpecAvailable => Word::SpecAvailable(word::SpecAvailable {}),
            Directive::Proceed { version } => Word::Proceed(word::Proceed { version: Some(version.into()) }),
            Directive::Paused { code, reason, commit } => {
                let commit = commit.map(|commit| commit.to_string()).unwrap_or_default();
                Word::Paused(word::Paused { code, reason, commit })
            }
            Directive::Renew => Word::Renew(word::Renew {}),
            Directive::Interval { seconds } => Word::Interval(word::Interval { seconds }),
            Directive::Head { record } => Word::Head(word::Head { record: record.into() }),
        };
        Self { directive: Some(directive) }
    }
}

impl TryFrom<proto::DirectiveMessage> for Directive {
    type Error = InvalidMessage;
    fn try_from(message: proto::DirectiveMessage) -> Result<Self, InvalidMessage> {
        Ok(match message.directive.ok_or(InvalidMessage::Missing("directive"))? {
            Word::SpecAvailable(_) => Self::SpecAvailable,
            Word::Proceed(proceed) => {
                Self::Proceed { version: proceed.version.ok_or(InvalidMessage::Missing("version"))?.try_into()? }
            }
            Word::Paused(paused) => Self::Paused {
                code: short("code", paused.code)?,
                reason: paused.reason,
                commit: match paused.commit.as_str() {
                    "" => None,
                    commit => Some(parse("commit", commit)?),
                },
            },
            Word::Renew(_) => Self::Renew,
            Word::Interval(interval) => Self::Interval { seconds: interval.seconds.max(1) },
            Word::Head(head) => Self::Head { record: head.record.into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::allow::{MAX_BYTES, MAX_ENTRIES};

    fn report() -> Report {
        let commit = "9f3c2ab000000000000000000000000000000001".parse().expect("an id");
        let version = Version { landing: 7, commit, revision: 1 };
        let claim = Claim { version, template: commit, digest: crate::Sha256Digest::of(b"x") };
        let at = "2026-01-02T03:04:05Z".parse().expect("a time");
        let failure = Failure {
            version: Some(version),
            digest: Some(crate::Sha256Digest::of(b"x")),
            kind: FailureKind::RolledBack,
            code: "BW-0601".into(),
            message: "probe failed\nexit 1".into(),
            at,
        };
        Report {
            nonce: "ab12".into(),
            agent: "0.1.0".into(),
            running: Some(claim),
            applying: Some(claim),
            begun: Some(Version { revision: 2, ..version }),
            phase: Phase::Probing,
            health: Health::Unhealthy,
            failure: Some(failure),
            clock: at,
        }
    }

    #[test]
    fn a_report_survives_the_wire() {
        let held = Presented { timestamp: b"t".to_vec(), ..Presented::default() };
        let (read, presented) = read_report(report_message(report(), Some(held.clone())));
        assert_eq!((read, presented), (Reported::Readable(report()), Some(held)));
    }

    #[test]
    fn what_is_allowed_survives_the_wire_and_is_not_known_where_it_is_not_said() {
        let nothing = Allowed { exec: vec![], paths: vec![], units: vec![], probe_hosts: vec![] };
        let all = Allowed {
            exec: vec!["/bin/true".into()],
            paths: vec!["/srv".into(), "/opt/a b".into()],
            units: vec!["kiosk.service".into()],
            probe_hosts: vec!["::1".into()],
        };
        for allowed in [nothing, all] {
            let said = proto::ReportMessage { allows: allows_message(&allowed), ..report_message(report(), None) };
            let mut heard = proto::ReportMessage::decode(said.encode_to_vec().as_slice()).expect("it is one");
            assert_eq!(heard.allows.take().and_then(read_allows), Some(allowed));
            assert_eq!(read_report(heard).0, Reported::Readable(report()));
        }
        // An agent of an earlier release.
        let silent = report_message(report(), None).encode_to_vec();
        assert_eq!(proto::ReportMessage::decode(silent.as_slice()).expect("it is one").allows, None);
    }

    #[test]
    fn what_is_too_much_for_a_report_is_neither_said_nor_believed() {
        let long = vec!["/srv/x".to_owned(); MAX_ENTRIES + 1];
        assert_eq!(allows_message(&Allowed { paths: long.clone(), ..Allowed::default() }), None);
        let hostile = [
            proto::AllowsMessage { exec: long, ..proto::AllowsMessage::default() },
            proto::AllowsMessage { units: vec!["x".repeat(MAX_BYTES + 1)], ..proto::AllowsMessage::default() },
            proto::AllowsMessage { probe_hosts: vec!["a\u{1b}[2J".to_owned()], ..proto::AllowsMessage::default() },
        ];
        for message in hostile {
            assert_eq!(read_allows(message.clone()), None, "{message:?}");
        }
    }

    #[test]
    fn hostile_reports_are_unreadable_and_say_why() {
        type Break = fn(&mut proto::ReportMessage);
        let breaks: [(Break, &str); 8] = [
            (|m| m.nonce.clear(), "nonce"),
            (|m| m.nonce = "x".repeat(1_000), "nonce"),
            (|m| m.phase = 99, "phase"),
            (|m| m.clock = "yesterday".into(), "clock"),
            (|m| m.running.as_mut().expect("running").digest = "zz".into(), "digest"),
            (|m| m.running.as_mut().expect("running").version = None, "version"),
            (|m| m.begun.as_mut().expect("begun").commit = "HEAD".into(), "commit"),
            (
                |m| m.applying.as_mut().expect("applying").version.as_mut().expect("version").landing = u64::MAX,
                "landing",
            ),
        ];
        for (break_it, field) in breaks {
            let mut message = report_message(report(), None);
            break_it(&mut message);
            match read_report(message).0 {
                Reported::Unreadable { why, .. } => assert!(why.contains(field), "{why}"),
                Reported::Readable(_) => panic!("{field} must make it unreadable"),
            }
        }
    }

    #[test]
    fn directives_survive_the_wire() {
        let version = report().running.expect("running").version;
        for directive in [
            Directive::SpecAvailable,
            Directive::Proceed { version },
            Directive::Paused { code: "BW-0301".into(), reason: "missing".into(), commit: Some(version.commit) },
            Directive::Paused { code: "BW-0303".into(), reason: "unreadable".into(), commit: None },
            Directive::Renew,
            Directive::Interval { seconds: 30 },
            Directive::Head { record: b"{}".to_vec() },
        ] {
            let back = Directive::try_from(proto::DirectiveMessage::from(directive.clone()));
            assert_eq!(back, Ok(directive));
        }
    }
}
