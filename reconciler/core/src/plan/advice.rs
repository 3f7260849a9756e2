//! What a person can do about a reason. One function, so that page and command say the same.

use std::collections::BTreeSet;

use bellwether_schemas::api::{Condition, DeviceView, WaitingOn};
use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::{CommitId, DeviceName, FleetName};

use super::BRAKE;

/// What a person can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// In words.
    pub text: String,
    /// The command that does it, where there is one. It is for reading: names from git stand in it.
    pub command: Option<String>,
}

impl Advice {
    fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), command: None }
    }

    fn run(text: impl Into<String>, command: String) -> Self {
        Self { text: text.into(), command: Some(command) }
    }
}

/// What a person can do about `reason`; `None` where it passes by itself. A rollout has no `device`.
pub fn advice(reason: &WaitingOn, device: Option<&DeviceName>, fleet: Option<&FleetName>) -> Option<Advice> {
    match reason {
        WaitingOn::Gate { wave, commit } => Some(Advice::run(
            "Look at the waves before. If they are well, open the gate:",
            format!("bellwether approve {} {wave} --commit-id {commit} --reason \"…\" --commit && git push", fleet?),
        )),
        WaitingOn::Held { hold, .. } if hold == BRAKE => Some(Advice::run(
            "Whoever runs the reconciler holds it, beside git. When its reason is gone, there:",
            format!("{BRAKE} --release"),
        )),
        WaitingOn::Held { hold, .. } => Some(Advice::run(
            "When its reason is gone, release the hold:",
            format!("bellwether hold --name {} --release --commit && git push", hold_name(hold)),
        )),
        WaitingOn::Halted { commit, .. } => Some(Advice::run(
            "Mend what failed and push: the rollout begins again with that commit. If the cause was outside and is gone, \
             bellwether rollout resume goes on. To go back to what ran before:",
            format!("git revert --no-edit {commit} && git push"),
        )),
        WaitingOn::Rejected { .. } => Some(Advice::words(
            "Mend what failed and push: the rollout begins with that commit. If the cause was outside and is gone, \
             bellwether rollout resume brings this one back.",
        )),
        WaitingOn::After { fleet, .. } => Some(Advice::words(format!(
            "See what fleet {fleet} waits for (bellwether get rollouts). If it is gone for good, take it out of after in the \
             Rollout: that counts from the next commit on."
        ))),
        WaitingOn::Artifact { .. } => Some(Advice::run(
            "Commit the file, or correct what the manifest says of it, and push. The place:",
            "bellwether validate".to_owned(),
        )),
        WaitingOn::Window { opens: None, .. } => Some(Advice::words(
            "Correct the label or the windows, and push; a change of windows counts from the next commit on.",
        )),
        WaitingOn::Budget { .. } => {
            Some(Advice::words("Bring the devices that are named back: see what each waits for with bellwether why."))
        }
        WaitingOn::Pinned { why: None, .. } => Some(Advice::run(
            "When the pin's reason is gone:",
            format!("bellwether device pin {} --unpin --commit && git push", device?),
        )),
        WaitingOn::Pinned { why: Some(_), .. } => Some(Advice::words(
            "Pin it to a commit of the accepted history in which its fleet exists and renders for it.",
        )),
        WaitingOn::Failed { .. } => {
            Some(Advice::words("Mend what failed and push: the rollout begins again with that commit."))
        }
        WaitingOn::BackFailed { .. } => Some(Advice::words(
            "See on the device what stood in the way. Mend that, or the content, and push: the device takes part in the next \
             rollout as any other.",
        )),
        WaitingOn::Unhealthy { .. } => Some(Advice::words(
            "On the device, bellwether-agent status names the probe. Mend what it runs into, or the content, and push: the \
             device takes the next offer at once.",
        )),
        WaitingOn::TooFewHealthy { .. } => {
            Some(Advice::words("See why the other devices of the wave are not healthy; mend it and push."))
        }
        WaitingOn::Paused { commit: Some(commit), .. } => Some(missing_advice(&BTreeSet::from([*commit]), None)),
        // No Resume makes the history list an entry.
        WaitingOn::Paused { code, .. } if is(code, codes::ENTRY_UNLISTED) => Some(Advice::words(
            "Push the landing that lists its enrollment entry again: then it takes part by itself. If that is lost, mint a \
             token for it and enroll it anew (bellwether token mint, then bellwether-agent enroll).",
        )),
        WaitingOn::Paused { commit: None, .. } => Some(Advice::run(
            "Find out how the device came to run this. Then let git overrule it:",
            format!("bellwether device resume {} --reason \"…\" --commit && git push", device?),
        )),
        WaitingOn::EmptyWave { wave } => Some(Advice::words(format!(
            "Give a device that reports the labels that wave {wave} selects, or change the wave: a change of the \
             Rollout judges the next commit of the fleet."
        ))),
        WaitingOn::Orphaned => Some(Advice::words(
            "Give the device labels that a fleet selects (in devices/, in its enrollment, or change a selector), or its \
             Device manifest a template of its own.",
        )),
        WaitingOn::Overlap { .. } => {
            Some(Advice::run("Narrow a selector, so that one fleet selects it:", "bellwether validate".to_owned()))
        }
        WaitingOn::RenderError { .. } => Some(Advice::words(
            "Correct the template, or define the label or variable for this device; bellwether validate shows the place.",
        )),
        WaitingOn::Stale { .. } => Some(Advice::words(
            "See whether it has power and network. On the device, bellwether-agent status says what it waits for.",
        )),
        WaitingOn::Revoked { code, .. } => Some(Advice::words(if is(code, codes::CERTIFICATE_REPLACED) {
            "Nothing, once it is enrolled by the entry that counts: then this ends by itself. If it is not yet, enroll it \
             with that entry's token (bellwether-agent enroll)."
        } else if is(code, codes::DEVICE_REVOKED) {
            "If it shall come back, set revoked: false in its Device manifest and push."
        } else {
            "If it shall come back, mint a token for it and enroll it again (bellwether token mint, then bellwether-agent \
             enroll)."
        })),
        WaitingOn::Decommissioning => Some(Advice::words(
            "Nothing, if it is on its way: it does so when it connects. If it will not come back, revoke it instead \
             (bellwether device revoke). To keep it: bellwether device decommission DEVICE --undo.",
        )),
        WaitingOn::Decommissioned { .. } => Some(Advice::words(
            "Nothing. To bring it back: bellwether device decommission DEVICE --undo, a new token, and enroll it again.",
        )),
        WaitingOn::Unsound { .. } => Some(Advice::words(
            "Report it, with the reconciler's events and fleets/FLEET.json from the store. It is planned again every ten \
             seconds; a new template commit begins a rollout of its own.",
        )),
        WaitingOn::Repository { .. } => Some(Advice::run(
            "Nothing is offered before the repository is in order. What it waits for, and what to do:",
            "bellwether get repository".to_owned(),
        )),
        WaitingOn::Wave { .. }
        | WaitingOn::Soak { .. }
        | WaitingOn::InFlight { .. }
        | WaitingOn::MaxInFlight { .. }
        | WaitingOn::Window { opens: Some(_), .. }
        | WaitingOn::Reverting { .. }
        | WaitingOn::Returning { .. }
        | WaitingOn::Lookup { .. }
        | WaitingOn::AwaitingReconnect
        | WaitingOn::Reconnects { .. } => None,
    }
}

/// What a person can do for one device.
pub fn device_advice(device: &DeviceView) -> Option<Advice> {
    match (device.reason.as_ref()?, device.missing_commits()) {
        // No Resume makes the history list an entry, whatever else is missing.
        (WaitingOn::Paused { code, .. }, missing) if !missing.is_empty() && !is(code, codes::ENTRY_UNLISTED) => {
            Some(missing_advice(&missing, Some(&device.name)))
        }
        (reason, _) => advice(reason, Some(&device.name), device.fleet.as_ref()),
    }
}

/// What a person can do about commits that devices name and the history lacks: for one device, or for all of them.
pub fn missing_advice(missing: &BTreeSet<CommitId>, device: Option<&DeviceName>) -> Advice {
    let (commits, are, them) = match missing.len() {
        1 => ("commit", "it is lost, or was", "it"),
        _ => ("commits", "they are lost, or were", "them"),
    };
    let (whom, runs) = match device {
        Some(device) => (device.as_str(), "the device runs"),
        None => ("--all", "the devices run"),
    };
    let over: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Advice::run(
        format!(
            "Push the missing {commits} back, from a clone that has {them}: then the pause ends by itself. If {are} given up \
             on purpose, let git overrule what {runs}; that counts while the branch is verified:"
        ),
        format!("bellwether device resume {whom} --over {} --reason \"…\" --commit && git push", over.join(",")),
    )
}

/// What a person can do about the condition of a repository whose `branch` is watched.
pub fn condition_advice(condition: &Condition, branch: &str) -> Option<Advice> {
    match condition {
        Condition::Verified => None,
        Condition::Stalled { code, .. } => {
            Some(Advice::words(codes::explain(code).map_or("Read the reconciler's log.", |known| known.mend)))
        }
        Condition::Rewound { accepted, .. } => Some(Advice::run(
            "If the branch was set back on purpose, land a policy with abandons: the accepted head, signed as its rules for \
             trust/** ask, and resume the devices (bellwether device resume). If not, push the missing commits back from a \
             clone that has them; then everything goes on by itself:",
            format!("git push origin {accepted}:{branch}"),
        )),
        Condition::Frozen { .. } => Some(Advice::run(
            "Compare the branch on the git server with the clone of somebody who pushed: it may be keeping commits back. If \
             it is not, sign a heartbeat on the branch itself. An empty branch behind a merge button says nothing; one that \
             changes a path and is signed or endorsed does:",
            format!("git switch {branch} && git commit --allow-empty -S -m Heartbeat && git push"),
        )),
        Condition::Unreachable { .. } => {
            Some(Advice::words("It is tried again by itself. See whether address, network and credentials are right."))
        }
    }
}

fn is(code: &str, known: Code) -> bool {
    code == known.as_str()
}

/// A hold's name, given as such or as a path.
fn hold_name(hold: &str) -> &str {
    let file = hold.rsplit('/').next().unwrap_or(hold);
    file.strip_suffix(".yaml").unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(reason: &WaitingOn) -> Option<String> {
        let (device, fleet) = ("kiosk-7".parse().expect("a name"), "edge".parse().expect("a name"));
        advice(reason, Some(&device), Some(&fleet)).and_then(|advice| advice.command)
    }

    #[test]
    fn what_waits_for_people_comes_with_the_command() {
        let id = "9f3c2ab000000000000000000000000000000001";
        let commit = id.parse().expect("an id");
        let gate = WaitingOn::Gate { wave: "rest".parse().expect("a name"), commit };
        assert!(
            command(&gate).is_some_and(|c| c.starts_with(&format!("bellwether approve edge rest --commit-id {id}")))
        );
        let held = WaitingOn::Held { hold: "holds/stop.yaml".to_owned(), reason: String::new() };
        assert!(command(&held).is_some_and(|c| c.contains("--name stop --release")));
        let braked = WaitingOn::Held { hold: BRAKE.to_owned(), reason: String::new() };
        assert_eq!(command(&braked).as_deref(), Some("bellwether-reconciler hold --release"));
        let missing = WaitingOn::Paused { code: String::new(), why: String::new(), commit: Some(commit) };
        assert!(command(&missing).is_some_and(|c| c.contains(&format!("--over {id}"))));
        let altered = WaitingOn::Paused { code: String::new(), why: String::new(), commit: None };
        assert!(command(&altered).is_some_and(|c| c.contains("resume kiosk-7")));
        assert_eq!(command(&WaitingOn::AwaitingReconnect), None, "it passes by itself");
        assert_eq!(advice(&gate, None, None), None, "no command without the name that it needs");
    }

    #[test]
    fn advice_fits_the_code_of_what_was_found() {
        let said = |reason: &WaitingOn| {
            let said = advice(reason, Some(&"kiosk-7".parse().expect("a name")), None).expect("advice");
            format!("{} {}", said.text, said.command.unwrap_or_default())
        };
        let paused = |code: Code| WaitingOn::Paused { code: code.to_string(), why: "found".to_owned(), commit: None };
        let revoked = |code: Code| WaitingOn::Revoked { code: code.to_string(), why: "found".to_owned() };
        for (reason, wanted, unwanted) in [
            (paused(codes::ENTRY_UNLISTED), "Push the landing that lists", "device resume"),
            (paused(codes::VERSION_ALTERED), "bellwether device resume kiosk-7", "token"),
            (paused(codes::REPORT_UNREADABLE), "bellwether device resume kiosk-7", "token"),
            (revoked(codes::CERTIFICATE_REPLACED), "then this ends by itself", "mint"),
            (revoked(codes::DEVICE_REVOKED), "revoked: false", "mint"),
            (revoked(codes::CERTIFICATE_REVOKED), "bellwether token mint", "revoked: false"),
        ] {
            let said = said(&reason);
            assert!(said.contains(wanted) && !said.contains(unwanted), "{reason:?}: {said}");
            assert!(reason.code().is_some(), "{reason:?}");
        }
        let replaced = WaitingOn::Revoked { code: String::new(), why: "edge-1 counts under entry t2".to_owned() };
        let sentence = super::super::sentence(&replaced);
        assert_eq!(sentence, "Its certificate does not count: edge-1 counts under entry t2.");
    }

    #[test]
    fn a_refused_landing_comes_with_what_its_code_says() {
        let stalled =
            Condition::Stalled { commit: None, path: None, code: "BW-0204".to_owned(), why: "not signed".to_owned() };
        let said = condition_advice(&stalled, "main").expect("advice");
        assert!(said.text.contains("git commit --amend"), "{said:?}");
        assert_eq!(condition_advice(&Condition::Verified, "main"), None);
    }

    #[test]
    fn a_heartbeat_is_pushed_to_the_branch_itself() {
        let since = "2026-01-01T00:00:00Z".parse().expect("a time stamp");
        let frozen = Condition::Frozen { since, max_silence: "30d".parse().expect("a duration") };
        let said = condition_advice(&frozen, "live").expect("advice");
        assert!(said.text.contains("behind a merge button says nothing"), "{}", said.text);
        assert!(
            said.command.is_some_and(|command| command.starts_with("git switch live && git commit --allow-empty -S"))
        );
    }
}
