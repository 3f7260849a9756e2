//! What people decide with a change: Holds, Approvals, Expedites, Resumes, pins, Rollouts and who may enroll.

use std::collections::BTreeSet;

use bellwether_schemas::manifest::{
    AnyManifest, Approval, ApprovalMode, Enrollment, Expedite, Gate, Hold, HoldScope, Kind, Resume, Rollout, Wave,
    WaveMembers,
};
use bellwether_schemas::{CommitId, FleetName};

use super::Sides;
use crate::declare::Declared;
use crate::plan::Landing;

/// Something that is decided in one of both sides only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The file that decides it.
    pub path: String,
    /// What it decides, as a sentence without a subject.
    pub says: String,
    /// Whether it is decided from now on; else it is decided no more.
    pub comes: bool,
    /// Whether something goes on by it that was stopped, or goes without a step that protects.
    pub(super) releases: bool,
}

/// What one file decides.
struct Clause {
    says: String,
    releases: bool,
}

impl Clause {
    const fn plain(says: String) -> Self {
        Self { says, releases: false }
    }

    const fn releasing(says: String) -> Self {
        Self { says, releases: true }
    }
}

/// What is decided otherwise, by path; what comes first.
pub(super) fn decisions(sides: &Sides<'_>) -> Vec<Decision> {
    let mut found = Vec::new();
    for change in sides.changes {
        let Some(kind) = Kind::of_path(&change.path) else { continue };
        let path = change.path.as_str();
        let before = clauses(sides, sides.before, kind, path);
        let after = clauses(sides, sides.after.declared(), kind, path);
        let said = |clauses: &[Clause]| clauses.iter().map(|clause| clause.says.clone()).collect::<BTreeSet<_>>();
        let (was, is) = (said(&before), said(&after));
        let decision = |clause: Clause, comes| {
            let releases = clause.releases && comes;
            Decision { path: path.to_owned(), says: clause.says, comes, releases }
        };
        let comes = after.into_iter().filter(|clause| !was.contains(&clause.says));
        found.extend(comes.map(|clause| decision(clause, true)));
        let goes = before.into_iter().filter(|clause| !is.contains(&clause.says));
        found.extend(goes.map(|clause| decision(clause, false)));
    }
    found
}

/// The fleets to which offers go on because no Hold covers them any more.
pub(super) fn released<'a>(sides: &'a Sides<'_>) -> impl Iterator<Item = &'a FleetName> {
    let is_hold = |path: &str| Kind::of_path(path) == Some(Kind::Hold);
    let after = sides.after.declared();
    let some = sides.changes.iter().any(|change| is_hold(&change.path));
    let fleets = after.fleets().keys().filter(move |_| some);
    let is_held = |declared: &Declared, fleet: &FleetName| declared.holds(fleet).next().is_some();
    fleets.filter(move |fleet| is_held(sides.before, fleet) && !is_held(after, fleet))
}

fn clauses(sides: &Sides<'_>, declared: &Declared, kind: Kind, path: &str) -> Vec<Clause> {
    if kind == Kind::Rollout {
        let fleet = crate::declare::stem(path).parse::<FleetName>().ok();
        let line = fleet.and_then(|fleet| declared.fleets().get_key_value(&fleet));
        return line.map(|(fleet, line)| of_rollout(fleet, line.next_rollout())).unwrap_or_default();
    }
    match declared.counting(path).map(|(manifest, _)| manifest) {
        Some(AnyManifest::Hold(hold)) => of_hold(&hold.spec),
        Some(AnyManifest::Approval(approval)) => of_approval(sides, declared, path, &approval.spec),
        Some(AnyManifest::Expedite(expedite)) => of_expedite(sides, declared, path, &expedite.spec),
        Some(AnyManifest::Resume(resume)) => vec![of_resume(&resume.spec)],
        Some(AnyManifest::Device(device)) => {
            let pin = device.spec.pin.as_ref();
            let says = |commit| format!("keeps {} at {}", crate::declare::stem(path), at(sides, commit));
            pin.map(|pin| Clause::plain(says(&pin.commit))).into_iter().collect()
        }
        Some(AnyManifest::Enrollment(enrollment)) => of_enrollment(&enrollment.spec),
        Some(AnyManifest::Fleet(_) | AnyManifest::Rollout(_) | AnyManifest::TrustPolicy(_)) => Vec::new(),
        // Of a Hold that nobody can read nobody knows what it means to stop.
        None if kind == Kind::Hold && declared.invalid().any(|(invalid, _)| invalid == path) => {
            vec![Clause::plain("stops all offers: it cannot be read".to_owned())]
        }
        None => Vec::new(),
    }
}

fn of_hold(hold: &Hold) -> Vec<Clause> {
    match hold.scope() {
        Some(HoldScope::Fleets(fleets)) => {
            fleets.iter().map(|fleet| Clause::plain(format!("stops offers to {fleet}"))).collect()
        }
        Some(HoldScope::All) | None => vec![Clause::plain("stops all offers".to_owned())],
    }
}

fn of_approval(sides: &Sides<'_>, declared: &Declared, path: &str, approval: &Approval) -> Vec<Clause> {
    let fleet = &approval.fleet;
    let at = about(sides, declared, path, fleet, &approval.commit);
    let opens = approval.open.iter().map(|wave| Clause::plain(format!("opens wave {wave} of {fleet} at {at}")));
    let resumes = approval.resume.map(|resume| {
        let failures = counted(resume.failures as usize, "failure");
        Clause::releasing(format!("acknowledges {failures} of {fleet} at {at}: what halted goes on"))
    });
    let retries = approval.retry.as_ref().map(|retry| {
        let devices = list(&retry.devices);
        Clause::plain(format!("lets {devices} of {fleet} try {at} again"))
    });
    opens.chain(resumes).chain(retries).collect()
}

fn of_expedite(sides: &Sides<'_>, declared: &Declared, path: &str, expedite: &Expedite) -> Vec<Clause> {
    let Expedite { fleet, commit, skip, .. } = expedite;
    let at = about(sides, declared, path, fleet, commit);
    skip.iter().map(|step| Clause::releasing(format!("lets {fleet} skip {step} at {at}"))).collect()
}

fn of_resume(resume: &Resume) -> Clause {
    let over = match resume.over.as_slice() {
        [] => "whatever they report".to_owned(),
        over => over.iter().map(|commit| commit.short().to_string()).collect::<Vec<_>>().join(", "),
    };
    let whom = match (resume.devices.as_slice(), &resume.selector) {
        ([], None) => "every device".to_owned(),
        ([], Some(_)) => "each device that its selector takes".to_owned(),
        (devices, None) => list(devices),
        (devices, Some(_)) => format!("those of {} that its selector takes", list(devices)),
    };
    Clause::releasing(format!("ends the pause of {whom}, and overrules {over}"))
}

fn of_enrollment(enrollment: &Enrollment) -> Vec<Clause> {
    let factory = enrollment.ca.is_some().then(|| {
        Clause::releasing("lets every device enroll that has a certificate of this factory's authority".to_owned())
    });
    let manual = enrollment.approval == ApprovalMode::Manual;
    let manual = manual.then(|| Clause::plain("takes requests of devices without a token, to be approved".to_owned()));
    factory.into_iter().chain(manual).collect()
}

fn of_rollout(fleet: &FleetName, rollout: &Rollout) -> Vec<Clause> {
    let waves: Vec<_> = rollout.waves.iter().map(wave).collect();
    let waves = format!("the next change of {fleet} goes in waves: {}", waves.join(", "));
    let windows = rollout.windows.iter().map(|window| format!("the next change of {fleet} may be applied {window}"));
    let after = rollout.after.iter().map(|other| format!("the next change of {fleet} waits for {other}"));
    std::iter::once(waves).chain(windows).chain(after).map(Clause::plain).collect()
}

fn wave(wave: &Wave) -> String {
    let members = match wave.members() {
        Some(WaveMembers::Percent(percent)) => format!("to {percent}%"),
        Some(WaveMembers::Select(_)) | None => "by labels".to_owned(),
    };
    let gate = if wave.gate == Gate::Manual { ", once approved" } else { "" };
    format!("{} ({members}{gate}, soaks {})", wave.name, wave.soak)
}

/// The landing that a decision is about, and whether that decides anything now. What rolls out is in records, which are not
/// known here: a rollout may have begun before the fleet got its target and go on to it (docs/decisions/0023), or end first.
fn about(sides: &Sides<'_>, declared: &Declared, path: &str, fleet: &FleetName, commit: &CommitId) -> String {
    let at = at(sides, commit);
    let Some(line) = declared.fleets().get(fleet) else { return format!("{at}, and there is no such fleet") };
    let Some(number) = sides.history.number_of(commit) else { return at };
    let Some(named) = declared.template_in_force(fleet, number) else {
        return format!("{at}, and there was no such fleet then");
    };
    let counts_after = |earlier: &[Landing]| {
        let decisions = declared.decisions(&line.target, earlier, |commit| sides.history.number_of(commit));
        decisions.files.contains(path)
    };
    if counts_after(&[]) {
        at
    } else if counts_after(&[named.landing]) {
        format!("{at}, which counts if the rollout that began there goes on to what {fleet} has now")
    } else {
        format!("{at}, which is not what {fleet} has now, and counts only while that still rolls out")
    }
}

/// A commit as people know it.
fn at(sides: &Sides<'_>, commit: &CommitId) -> String {
    match sides.history.number_of(commit) {
        Some(number) => format!("v{number} ({})", commit.short()),
        None => format!("{}, which is not in the accepted history", commit.short()),
    }
}

fn list(of: &[impl ToString]) -> String {
    super::risk::named(&of.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
