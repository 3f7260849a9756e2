//! What a person can do about a reason. One function, so that page and command say the same.

use bellwether_schemas::api::{Condition, WaitingOn};
use bellwether_schemas::{DeviceName, FleetName, codes};

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
        WaitingOn::Held { hold, .. } => Some(Advice::run(
            "When its reason is gone, release the hold:",
            format!("bellwether hold --name {} --release --commit && git push", hold_name(hold)),
        )),
        WaitingOn::Halted { commit, .. } => Some(Advice::run(
            "Mend what failed and push: the rollout begins again with that commit. To go back to what ran before:",
            format!("git revert --no-edit {commit} && git push"),
        )),
        WaitingOn::Failed { .. } => {
            Some(Advice::words("Mend what failed and push: the rollout begins again with that commit."))
        }
        WaitingOn::TooFewHealthy { .. } => {
            Some(Advice::words("See why the other devices of the wave are not healthy; mend it and push."))
        }
        WaitingOn::Paused { commit: Some(commit), .. } => Some(Advice::run(
            "Push the missing commit back, from a clone that has it: then the pause ends by itself. If it is lost, or \
             was given up on purpose, let git overrule what the devices run; that counts while the branch is verified:",
            format!("bellwether device resume --all --over {commit} --reason \"…\" --commit && git push"),
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
            "Give the device labels that a fleet selects: in devices/, in its enrollment, or change a selector.",
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
        WaitingOn::Revoked => Some(Advice::words("If it shall come back, mint a token for it and enroll it again.")),
        WaitingOn::Repository { condition } => condition_advice(condition, "BRANCH"),
        WaitingOn::Wave { .. }
        | WaitingOn::Soak { .. }
        | WaitingOn::InFlight { .. }
        | WaitingOn::Lookup { .. }
        | WaitingOn::AwaitingReconnect => None,
    }
}

/// What a person can do about the condition of a repository whose `branch` is watched.
pub fn condition_advice(condition: &Condition, branch: &str) -> Option<Advice> {
    match condition {
        Condition::Verified => None,
        Condition::Stalled { code, .. } => {
            Some(Advice::words(codes::explain(code).map_or("Read the reconciler's log.", |known| known.mend)))
        }
        Condition::Rewound { accepted, .. } => Some(Advice::run(
            "If the branch was set back on purpose, pin a new introduction in reconciler.yaml, start the reconciler again, \
             and resume the devices (bellwether device resume). If not, push the missing commits back from a clone that \
             has them; then everything goes on by itself:",
            format!("git push origin {accepted}:{branch}"),
        )),
        Condition::Unreachable { .. } => {
            Some(Advice::words("It is tried again by itself. See whether address, network and credentials are right."))
        }
    }
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
        let missing = WaitingOn::Paused { code: String::new(), why: String::new(), commit: Some(commit) };
        assert!(command(&missing).is_some_and(|c| c.contains(&format!("--over {id}"))));
        let altered = WaitingOn::Paused { code: String::new(), why: String::new(), commit: None };
        assert!(command(&altered).is_some_and(|c| c.contains("resume kiosk-7")));
        assert_eq!(command(&WaitingOn::AwaitingReconnect), None, "it passes by itself");
        assert_eq!(advice(&gate, None, None), None, "no command without the name that it needs");
    }

    #[test]
    fn a_refused_landing_comes_with_what_its_code_says() {
        let stalled =
            Condition::Stalled { commit: None, path: None, code: "BW-0204".to_owned(), why: "not signed".to_owned() };
        let said = condition_advice(&stalled, "main").expect("advice");
        assert!(said.text.contains("git commit --amend"), "{said:?}");
        assert_eq!(condition_advice(&Condition::Verified, "main"), None);
    }
}
