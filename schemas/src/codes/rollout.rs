//! BW-04xx: rollouts and rendering.

use super::codes;

codes! { ROLLOUT:
    ROLLOUT_HALTED = "BW-0401", "the rollout halted",
        "More devices of a wave failed than its maxFailureRate allows. No device of the fleet is offered anything, and offers that were not begun are withdrawn.",
        "Look at the failed devices (bellwether why DEVICE), mend the fleet's manifest and push: the rollout begins again with the new commit. A commit that restores what was stable brings back the devices that left it.";
    ROLLOUT_HELD = "BW-0402", "a Hold stops offers",
        "A signed manifest in holds/ covers the fleet. As long as it is there, nothing is offered, and offers that were not begun are withdrawn.",
        "Remove the manifest when its reason is gone: bellwether hold --release.";
    GATE_CLOSED = "BW-0403", "the wave waits for an approval",
        "The wave has gate: manual, its turn has come, and no signed Approval names it for this commit.",
        "Look at the waves before it, then run bellwether approve FLEET WAVE --commit and push.";
    EMPTY_WAVE = "BW-0404", "a wave has no device that reports",
        "The wave selects no device, or all of its devices are silent or paused. A wave without a healthy device shows nothing, so it is not passed.",
        "Bring a device of the wave back, or give one the labels that the wave selects.";
    TOO_FEW_HEALTHY = "BW-0405", "a wave has too few healthy devices",
        "Every device of the wave that reports is done, but fewer than minHealthy are healthy on the new target.",
        "Mend the failed devices or the manifest, or let a later commit lower minHealthy.";
    DEVICE_FAILED = "BW-0406", "the last attempt of a device failed",
        "The device could not apply the version, undid it after a failed probe, or did not succeed before deviceTimeout. It is not offered the same target again.",
        "Read the failure (bellwether why DEVICE), mend the fleet's manifest and push.";
    RENDER_ERROR = "BW-0407", "a device's spec cannot be rendered",
        "The template names something that this device does not have. It counts as a failure of its wave.",
        "Define the label or variable for the device, or correct the template; bellwether render DEVICE shows the result.";
    DEVICE_STALE = "BW-0408", "a device is silent",
        "The device did not report for longer than staleAfter. It is offered nothing, and a wave does not wait for it.",
        "Look at its power, its network and bellwether-agent status; it goes on by itself once it reports.";
    DEVICE_ORPHANED = "BW-0409", "no fleet selects the device",
        "Its labels match no fleet's selector. It keeps what it runs.",
        "Give it the labels that a fleet selects, in devices/ or in its enrollment.";
    DEVICE_UNHEALTHY = "BW-0410", "what a device runs does not pass its probes",
        "The device runs its target, and its probes fail since; in a wave that rolls out it counts as failed. It keeps what it runs: going back by itself is for what it has just applied.",
        "On the device, bellwether-agent status names the probe. Mend what it runs into, or the content, and push: it takes the next offer at once.";
    COMMIT_REJECTED = "BW-0411", "the commit is rejected, and its devices go back",
        "Too many devices failed, and the Rollout has onFailure: revert. Every device that was offered the commit gets what was healthy on it before; a device that is off gets it when it reports, and nothing waits for that.",
        "Look at the failed devices (bellwether why DEVICE), mend the template and push. If the cause was outside and is gone: bellwether rollout resume FLEET.";
    AFTER_FLEET = "BW-0412", "a rollout waits for another fleet",
        "The Rollout lists the fleet under after, and that has not completed the same commit.",
        "See what the other fleet waits for (bellwether get rollouts). A fleet that is gone never completes: take it out of after, which counts from the next commit on.";
    ARTIFACT_LACKING = "BW-0413", "a file that the fleet needs cannot be had",
        "The rollout starts only when every file of the template is stored and is what the manifest says it is.",
        "Commit the file, or correct its path, sha256 or length; bellwether validate shows the place.";
    WINDOW_CLOSED = "BW-0414", "a device waits for its window",
        "The Rollout has windows, and it is none of those times where the device is. Offers go out up to an hour before, so that what is applied then is there by then.",
        "Wait for it. A window that never opens names a time zone or a label that is not there. For an emergency: bellwether rollout expedite FLEET --skip windows.";
    BUDGET_SPENT = "BW-0415", "a device waits for a place in its budget",
        "As many devices of its group are unavailable as the Rollout's budget allows: on their way, silent, or not passing their probes.",
        "Bring the devices back that are named. One that is silent for longer than lostAfter is not waited for.";
    MAX_IN_FLIGHT = "BW-0416", "a device waits for others that are on the way",
        "As many devices were offered something and are not done as maxInFlight allows.",
        "Nothing: it goes on as they come to an end, at the latest after deviceTimeout.";
    DEVICE_PINNED = "BW-0417", "a pin keeps a device at a commit",
        "The Device manifest has a pin. The device takes no part in the rollouts of its fleet.",
        "When its reason is gone: bellwether device pin DEVICE --unpin.";
    PLAN_UNSOUND = "BW-0418", "a plan breaks a rule, and is not carried out",
        "Every plan is held against the rules that none may break (waves, gates, holds, halts, windows, budgets) before anything of it is done. This one breaks one, by a mistake in Bellwether or a record that somebody changed. The fleet's devices stay as they are, and nobody in it begins anything.",
        "It is planned again every ten seconds from the stored record, and goes on if that holds. If not, report it with the event and fleets/FLEET.json from the store; a template commit begins a rollout of its own.";
}
