//! BW-08xx: what is dangerous about a change, before it is merged.

use super::codes;

codes! { CHANGE:
    CHANGE_TRUST = "BW-0801", "a change asks less for a signature",
        "A rule of the policy is gone, asks for fewer people, or more people and keys can give a signature.",
        "Look at each of them with the people whom it concerns; whoever may sign trust/** decides.";
    CHANGE_REVOKES = "BW-0802", "a change shuts devices out",
        "The certificates of these devices, or the entries they came by, are refused once it lands. They keep what they run, and get nothing any more.",
        "If one of them is not meant, take its line out of the change. bellwether device revoke --undo takes a device back later.";
    CHANGE_ORPHANS = "BW-0803", "a change leaves devices without a fleet",
        "No fleet selects these devices any more. They keep what they run, and no change reaches them.",
        "Compare their labels with the selectors that changed.";
    CHANGE_DELETES_FLEET = "BW-0804", "a change deletes a fleet",
        "The fleet's file is gone. Its devices keep what they run until another fleet selects them.",
        "If it is meant, name another fleet for its devices, or decommission them.";
    CHANGE_DROPS_PROBE = "BW-0805", "a change drops a probe",
        "The device finds out by its probes whether a release is bad, and goes back by itself. What no probe looks at, it does not notice.",
        "Keep the probe, or put another in its place.";
    CHANGE_WIDENS = "BW-0806", "a change lets more through than before",
        "A limit of the Rollout was made wider: more devices may fail, or be unavailable, or follow sooner.",
        "Look at bellwether simulate with --failure-rate before and after.";
    CHANGE_BOTH = "BW-0807", "a fleet and its Rollout change together",
        "A change is judged by the Rollout as it was before: otherwise one commit could switch its own brake off. What the Rollout says now counts from the next change on.",
        "Land the Rollout first, if this change is to go by it.";
    CHANGE_OFFLINE = "BW-0808", "many devices that a change reaches are offline",
        "They are outside of what waves count, and get the change when they are back, with nobody watching.",
        "Find out why they are silent (bellwether get devices), or land it when they are back.";
    CHANGE_NOT_ALLOWED = "BW-0809", "devices do not allow what a change wants",
        "The operator of a device says in agent.yaml which paths, programs and hosts it allows. The device refuses a spec that wants another, and stays at what it runs.",
        "Change agent.yaml on these devices first, or what the template wants.";
    CHANGE_UNCOUNTED = "BW-0810", "a change would not count, as it is",
        "The verifier would refuse it: a signature is missing, both sides changed a file, or a rule of the policy asks for more people.",
        "bellwether validate --base says what is missing, and who could give it.";
    CHANGE_RELEASES = "BW-0811", "a change lets something go on that was stopped",
        "No Hold stops a fleet any more, an Approval goes on after a halt, an Expedite skips steps, a Resume overrules what devices report, or a factory's devices may enroll.",
        "Look at why it was stopped, and at what is offered once it lands: bellwether get rollouts.";
    CHANGE_READMITS = "BW-0812", "a change lets devices in again that were shut out",
        "The certificates of these devices, or the entries they came by, count again once it lands.",
        "If a device was shut out because its key is in other hands, enroll it anew with another key instead.";
}
