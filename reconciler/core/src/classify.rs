//! Judges what a device reports against the history of git: the heart of the pause.
//!
//! A device can only ever pause itself: what one says moves no head, no other device and no rollout.

mod alarm;

use bellwether_schemas::api::{ClaimKind, MissingCommit};
use bellwether_schemas::codes;
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::report::{Claim, Reported};
use bellwether_schemas::targets::Supersedes;
use bellwether_schemas::{Code, CommitId, DeviceName, Sha256Digest, Version};

pub use alarm::Alarms;
pub use bellwether_schemas::api::Stand;

use crate::declare::ResumeAt;
use crate::verify::VerifiedHistory;

/// What a claim is, against the history. Ordered: the later one is the worse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classification {
    /// No version yet.
    Empty,
    /// The commit is a landing of the accepted history, with its true number.
    InHistory,
    /// The commit is missing, but what the device runs is what the history says: its template commit is a landing, and
    /// rendering it at the head gives the same digest.
    Equivalent(Claim),
    /// The commit is not in the history.
    Missing {
        /// What the device claims.
        claim: Claim,
        /// How it stands to the history.
        stand: Stand,
    },
    /// The commit is known, and the digest differs from the one in our signed targets for that version.
    Altered {
        /// What the device claims.
        claim: Claim,
        /// The digest we signed.
        signed: Sha256Digest,
    },
    /// Malformed, or a known commit with a wrong number.
    Unreadable {
        /// Why.
        why: String,
        /// What the device claims, where that could be read.
        claim: Option<Claim>,
    },
}

impl Classification {
    fn rank(&self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::InHistory => 1,
            Self::Equivalent(_) => 2,
            Self::Missing { .. } => 3,
            Self::Altered { .. } => 4,
            Self::Unreadable { .. } => 5,
        }
    }
}

/// What a report is, against the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classified {
    /// What it claims to run and to apply, the worse one first.
    claims: Vec<Judged>,
    /// What it claims to run: what an offer names that gives it up.
    running: Option<Claim>,
}

/// One claim, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    /// What the device does with it.
    kind: ClaimKind,
    /// What it is.
    found: Classification,
}

impl Classified {
    /// The worse one of what it claims to run and to apply.
    pub fn worst(&self) -> &Classification {
        self.claims.first().map_or(&Classification::Empty, |claim| &claim.found)
    }
}

/// What the history and our own signatures say; the caller looks it up, [`classify`] decides.
pub struct Evidence<'a> {
    /// The history: the accepted one, or the branch's while the repository is rewound.
    pub history: &'a VerifiedHistory,
    /// The digest in our signed targets for a version of this device, stored or presented.
    pub signed: &'a dyn Fn(&Version) -> Option<Sha256Digest>,
    /// The digest of the template in force at a landing, rendered for this device at the head.
    pub rendered: &'a dyn Fn(u64) -> Option<Sha256Digest>,
}

/// Judges running and applying; the worse one wins.
pub fn classify(reported: &Reported, evidence: &Evidence<'_>) -> Classified {
    match reported {
        Reported::Unreadable { why, .. } => {
            let found = Classification::Unreadable { why: why.clone(), claim: None };
            Classified { claims: vec![Judged { kind: ClaimKind::Running, found }], running: None }
        }
        Reported::Readable(report) => {
            let claims = [(ClaimKind::Running, report.running), (ClaimKind::Applying, report.applying)];
            let judged = |(kind, claim): (_, Option<Claim>)| Some(Judged { kind, found: judge(claim?, evidence) });
            let mut claims: Vec<_> = claims.into_iter().filter_map(judged).collect();
            claims.sort_by_key(|claim| std::cmp::Reverse(claim.found.rank()));
            Classified { claims, running: report.running }
        }
    }
}

fn judge(claim: Claim, evidence: &Evidence<'_>) -> Classification {
    let version = claim.version;
    match evidence.history.number_of(&version.commit) {
        Some(number) if number != version.landing => Classification::Unreadable {
            why: format!(
                "it names commit {} as landing {}, which is landing {number}",
                version.commit.short(),
                version.landing
            ),
            claim: Some(claim),
        },
        Some(_) => match (evidence.signed)(&version) {
            Some(signed) if signed != claim.digest => Classification::Altered { claim, signed },
            Some(_) | None => Classification::InHistory,
        },
        None => {
            let template = evidence.history.number_of(&claim.template);
            if template.and_then(|number| (evidence.rendered)(number)) == Some(claim.digest) {
                Classification::Equivalent(claim)
            } else if version.landing > evidence.history.head_number() {
                Classification::Missing { claim, stand: Stand::Ahead }
            } else {
                Classification::Missing { claim, stand: Stand::Diverged }
            }
        }
    }
}

/// What follows from a classification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It takes part.
    Normal {
        /// What its next offer must name as given up, because its version may be above the head's.
        supersedes: Option<Supersedes>,
    },
    /// It is paused (`ConflictPaused`).
    Paused(Pause),
}

/// A pause, with what people need to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The stable code of the finding.
    pub code: Code,
    /// The finding in a sentence.
    pub why: String,
    /// The commit that is missing, where one is.
    pub commit: Option<CommitId>,
    /// Every commit that it names, that the history lacks and that no Resume is over: each pauses it.
    pub missing: Vec<MissingCommit>,
}

/// The device whose standing is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// Its name.
    pub device: &'a DeviceName,
    /// Its labels at the head.
    pub labels: &'a Labels,
    /// Its persistent nonce, where its report could be read that far.
    pub nonce: Option<&'a str>,
    /// The landing of the offer that it was seen to take last.
    pub taken: Option<u64>,
}

/// Decides between going on, going on by force of a signed Resume, and the pause. Nothing that pauses hides behind
/// something worse that a Resume covers.
///
/// While the repository is rewound nothing is offered at all, so a device that is merely `Equivalent` waits as well.
pub fn standing<'a>(
    classified: &Classified,
    who: &Who<'_>,
    resumes: impl Iterator<Item = ResumeAt<'a>>,
    rewound: bool,
) -> Standing {
    let resumes: Vec<_> = resumes.filter(|at| !rewound && at.resume.covers(who.device, who.labels)).collect();
    let mut pauses = classified.claims.iter().filter_map(|claim| pause(claim, who, &resumes, rewound));
    if let Some(mut pause) = pauses.next() {
        pause.missing.extend(pauses.flat_map(|other| other.missing));
        return Standing::Paused(pause);
    }
    if matches!(classified.worst(), Classification::Empty | Classification::InHistory) {
        return Standing::Normal { supersedes: None };
    }
    match given_up(classified.running.as_ref(), who) {
        Some(supersedes) => Standing::Normal { supersedes: Some(supersedes) },
        None => Standing::Paused(unreadable("it names neither what it runs nor its nonce")),
    }
}

/// Why one claim pauses the device, if it does.
fn pause(judged: &Judged, who: &Who<'_>, resumes: &[ResumeAt<'_>], rewound: bool) -> Option<Pause> {
    let mut naming = resumes.iter().filter(|at| at.resume.devices.contains(who.device));
    match &judged.found {
        Classification::Empty | Classification::InHistory => None,
        Classification::Equivalent(claim) => rewound.then(|| missing(judged.kind, claim, Stand::Ahead)),
        Classification::Missing { claim, stand } => {
            let is_over = resumes.iter().any(|at| at.resume.over.contains(&claim.version.commit));
            (!is_over).then(|| missing(judged.kind, claim, *stand))
        }
        Classification::Altered { claim, signed } => {
            // A Resume that names the device speaks of what was offered before it, not of what is altered afterwards.
            let is_over = naming.any(|at| claim.version.landing < at.since);
            (!is_over).then(|| altered(claim, signed))
        }
        Classification::Unreadable { why, .. } => {
            // Once it has taken what came of a Resume, that is used up: whatever it says from then on is another matter.
            let is_over = naming.any(|at| who.taken.is_none_or(|taken| taken < at.since));
            (!is_over).then(|| unreadable(why))
        }
    }
}

/// What names exactly what a device runs: that itself, or the nonce of a device that does not say.
fn given_up(running: Option<&Claim>, who: &Who<'_>) -> Option<Supersedes> {
    let nonce = || who.nonce.map(|nonce| Supersedes::Nonce(nonce.to_owned()));
    running.map(|claim| Supersedes::Running { version: claim.version, digest: claim.digest }).or_else(nonce)
}

fn altered(claim: &Claim, signed: &Sha256Digest) -> Pause {
    let why = format!(
        "it runs {} with digest {}, but what was signed for it has digest {}",
        claim.version.long(),
        claim.digest.short(),
        signed.short()
    );
    Pause { code: codes::VERSION_ALTERED, why, commit: None, missing: Vec::new() }
}

fn unreadable(why: &str) -> Pause {
    let why = format!("its report cannot be relied on: {why}");
    Pause { code: codes::REPORT_UNREADABLE, why, commit: None, missing: Vec::new() }
}

fn missing(kind: ClaimKind, claim: &Claim, stand: Stand) -> Pause {
    let Version { commit, landing, .. } = claim.version;
    let named = MissingCommit { commit, landing, claim: kind, stand };
    let stand = match stand {
        Stand::Ahead => "is ahead of the git history",
        Stand::Diverged => "has left the git history",
    };
    let why = format!("it reports {}, which {stand}: commit {commit} is missing", claim.version);
    Pause { code: codes::VERSION_MISSING, why, commit: Some(commit), missing: vec![named] }
}

#[cfg(test)]
mod tests;
