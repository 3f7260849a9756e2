//! Since when something is waited for, by which rule, and what ends it: what follows from a reason and the record.

use bellwether_schemas::api::{Condition, WaitingOn, Waits};
use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{DeviceName, FleetName};
use jiff::Timestamp;

use super::sentence::moment;
use super::{HoldNote, RolloutRecord};

/// What there is beside a reason that says since when it holds, and by which rule. None of it has to be there: a device may
/// be in no fleet, or in one that was not planned yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ground<'a> {
    /// The device; none where a wave or a rollout waits.
    pub device: Option<&'a DeviceName>,
    /// The fleet.
    pub fleet: Option<&'a FleetName>,
    /// How its rollout stands.
    pub record: Option<&'a RolloutRecord>,
    /// What holds the fleet.
    pub holds: &'a [HoldNote],
    /// Since when the device is pinned to what its pin names.
    pub pinned_at: Option<Timestamp>,
    /// Since when the device does not pass its probes.
    pub unwell_since: Option<Timestamp>,
    /// Since when the device is out of every rollout.
    pub out_since: Option<Timestamp>,
}

/// Since when a device, a wave or a rollout waits as `reason` says, by which rule, and what ends it.
pub fn waits(reason: &WaitingOn, ground: Ground<'_>) -> Waits {
    Waits { since: since(reason, ground), rule: rule(reason, ground), ends: ends(reason) }
}

fn since(reason: &WaitingOn, ground: Ground<'_>) -> Option<Timestamp> {
    match reason {
        WaitingOn::Held { hold, .. } => ground.holds.iter().find(|known| known.path == *hold)?.since,
        WaitingOn::Pinned { .. } => ground.pinned_at,
        WaitingOn::BackFailed { failure, .. } => Some(failure.at),
        WaitingOn::InFlight { since, .. } => Some(*since),
        WaitingOn::Stale { last_seen, .. } => *last_seen,
        WaitingOn::Failed { failure, .. } => failure.as_ref().map(|failure| failure.at),
        WaitingOn::Decommissioned { at } => Some(*at),
        WaitingOn::Unhealthy { .. } => ground.unwell_since,
        WaitingOn::Paused { .. }
        | WaitingOn::Lookup { .. }
        | WaitingOn::AwaitingReconnect
        | WaitingOn::Decommissioning
        | WaitingOn::Revoked { .. } => ground.out_since,
        WaitingOn::Repository { condition: Condition::Frozen { since, .. } } => Some(*since),
        _ => since_in(reason, ground.record?),
    }
}

/// What the record of the rollout tells.
fn since_in(reason: &WaitingOn, record: &RolloutRecord) -> Option<Timestamp> {
    let last = record.waves.last();
    // Since when the wave that is open now is, or the next one could have been.
    let turn = || match last {
        Some(wave) => Some(wave.advanced_at.unwrap_or(wave.opened_at)),
        None => record.begun_at,
    };
    match reason {
        WaitingOn::Soak { wave, .. } => record.waves.iter().find(|known| known.name == *wave)?.completed_at,
        WaitingOn::Wave { .. }
        | WaitingOn::EmptyWave { .. }
        | WaitingOn::TooFewHealthy { .. }
        | WaitingOn::Gate { .. } => turn(),
        // Who comes later, or is pinned, does not wait since then.
        WaitingOn::Budget { .. } | WaitingOn::MaxInFlight { .. } | WaitingOn::Window { .. } => {
            last.filter(|_| !record.is_complete()).map(|wave| wave.opened_at)
        }
        WaitingOn::After { .. } | WaitingOn::Artifact { .. } | WaitingOn::Returning { .. } => record.begun_at,
        WaitingOn::Halted { .. } | WaitingOn::Rejected { .. } | WaitingOn::Reverting { .. } => {
            record.halted.as_ref().map(|halt| halt.at)
        }
        WaitingOn::Held { .. }
        | WaitingOn::Pinned { .. }
        | WaitingOn::BackFailed { .. }
        | WaitingOn::InFlight { .. }
        | WaitingOn::Stale { .. }
        | WaitingOn::Failed { .. }
        | WaitingOn::Decommissioned { .. }
        | WaitingOn::Unsound { .. }
        | WaitingOn::Unhealthy { .. }
        | WaitingOn::Paused { .. }
        | WaitingOn::Lookup { .. }
        | WaitingOn::AwaitingReconnect
        | WaitingOn::Reconnects { .. }
        | WaitingOn::RenderError { .. }
        | WaitingOn::Orphaned
        | WaitingOn::Overlap { .. }
        | WaitingOn::Repository { .. }
        | WaitingOn::Decommissioning
        | WaitingOn::Revoked { .. } => None,
    }
}

/// The manifest that says so, and its field.
fn rule(reason: &WaitingOn, Ground { device, fleet, .. }: Ground<'_>) -> Option<String> {
    match reason {
        WaitingOn::Held { hold, .. } => Some(hold.clone()),
        WaitingOn::Pinned { .. } => device.map(|device| format!("{}/{device}.yaml: pin", Kind::Device.folder())),
        WaitingOn::Overlap { fleets } => {
            let paths: Vec<String> = fleets.iter().map(FleetName::path).collect();
            Some(format!("{}: selector", paths.join(", ")))
        }
        _ => {
            // The fleet of one that a device's own template makes has no Rollout.
            let fleet = fleet.filter(|fleet| fleet.device().is_none())?;
            field(reason).map(|field| format!("{}/{fleet}.yaml: {field}", Kind::Rollout.folder()))
        }
    }
}

/// The field of the Rollout that says so.
fn field(reason: &WaitingOn) -> Option<String> {
    Some(match reason {
        WaitingOn::Wave { wave, .. } => format!("waves, {wave}"),
        WaitingOn::EmptyWave { wave } => format!("waves, {wave}, select"),
        WaitingOn::Soak { wave, .. } => format!("waves, {wave}, soak"),
        WaitingOn::Gate { wave, .. } => format!("waves, {wave}, gate"),
        WaitingOn::TooFewHealthy { .. } => "minHealthy".to_owned(),
        WaitingOn::Halted { wave, .. } => format!("maxFailureRate of wave {wave}"),
        WaitingOn::Rejected { wave, .. } => format!("maxFailureRate of wave {wave}, onFailure"),
        WaitingOn::Reverting { .. } | WaitingOn::BackFailed { .. } => "onFailure".to_owned(),
        WaitingOn::After { .. } => "after".to_owned(),
        WaitingOn::Window { .. } => "windows".to_owned(),
        WaitingOn::Budget { .. } => "budget".to_owned(),
        WaitingOn::MaxInFlight { .. } => "maxInFlight".to_owned(),
        WaitingOn::InFlight { .. } => "deviceTimeout".to_owned(),
        WaitingOn::Failed { .. } => "retries".to_owned(),
        _ => return None,
    })
}

/// What ends it, as the end of a sentence.
fn ends(reason: &WaitingOn) -> Option<String> {
    Some(match reason {
        WaitingOn::Wave { after, .. } => format!("when wave {after} has advanced"),
        WaitingOn::EmptyWave { .. } => "when a device of it reports".to_owned(),
        WaitingOn::Soak { until, .. } => format!("at {}, if nothing fails until then", moment(until)),
        WaitingOn::Gate { .. } => "when a signed Approval opens it".to_owned(),
        WaitingOn::TooFewHealthy { .. } => "when more devices are healthy, or the template changes".to_owned(),
        WaitingOn::Halted { .. } => {
            "when the template changes, or a signed Approval resumes it or lets what failed try again".to_owned()
        }
        WaitingOn::Rejected { .. } => "when the template changes, or a signed Approval brings it back".to_owned(),
        WaitingOn::Reverting { .. } => "when it reports that it is back".to_owned(),
        WaitingOn::BackFailed { .. } => {
            "when the template changes, or a signed Approval resumes the rollout".to_owned()
        }
        WaitingOn::Returning { .. } => "when they report that they are back".to_owned(),
        WaitingOn::After { fleet, .. } => format!("when {fleet} has completed it"),
        WaitingOn::Artifact { .. } => "when the file is there and is what the manifest says".to_owned(),
        WaitingOn::Window { opens, .. } => format!("at {}", moment(opens.as_ref()?)),
        WaitingOn::Budget { .. } => "when one of those comes back, or is given up after lostAfter".to_owned(),
        WaitingOn::MaxInFlight { .. } => "when one of those comes to an end".to_owned(),
        WaitingOn::InFlight { .. } => "when it reports how it went, at the latest after deviceTimeout".to_owned(),
        WaitingOn::Stale { .. } | WaitingOn::AwaitingReconnect => "when it reports".to_owned(),
        WaitingOn::Failed { .. } => "when the template changes, or a signed Approval lets it try again".to_owned(),
        WaitingOn::Unhealthy { .. } => "when its probes pass, or it is offered something else".to_owned(),
        WaitingOn::Held { .. } => "when the hold is released".to_owned(),
        WaitingOn::Unsound { .. } => "when its plan keeps every rule".to_owned(),
        WaitingOn::Pinned { .. } => "when the pin is taken away".to_owned(),
        WaitingOn::Paused { commit: Some(_), .. } => {
            "when the missing commits return, or a signed Resume is over them".to_owned()
        }
        WaitingOn::Paused { commit: None, .. } => "when a signed Resume names it".to_owned(),
        WaitingOn::Reconnects { until } => format!("at {}, or when all have reported", moment(until)),
        WaitingOn::RenderError { .. } => "when it can be rendered".to_owned(),
        WaitingOn::Orphaned => "when a fleet selects it".to_owned(),
        WaitingOn::Overlap { .. } => "when one fleet alone selects it".to_owned(),
        WaitingOn::Repository { .. } => "when the repository is in order".to_owned(),
        WaitingOn::Lookup { .. }
        | WaitingOn::Decommissioning
        | WaitingOn::Decommissioned { .. }
        | WaitingOn::Revoked { .. } => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_says_since_when_by_which_rule_and_until_when() {
        let record: RolloutRecord = serde_json::from_value(serde_json::json!({
            "target": {"commit": format!("{:040x}", 2), "number": 2},
            "rollout": {},
            "waves": [{"name": "canary", "openedAt": "2030-01-01T00:00:00Z", "completedAt": "2030-01-01T00:10:00Z"}],
        }))
        .expect("a record");
        let wave = || "canary".parse().expect("a name");
        let until = "2030-01-01T00:25:00Z".parse().expect("a time");
        let edge = "edge".parse().expect("a name");
        let of = |fleet| Ground { fleet: Some(fleet), record: Some(&record), ..Ground::default() };
        let said = waits(&WaitingOn::Soak { wave: wave(), until }, of(&edge));
        assert_eq!(said.since, record.waves[0].completed_at);
        assert_eq!(said.rule.as_deref(), Some("rollouts/edge.yaml: waves, canary, soak"));
        assert_eq!(said.ends.as_deref(), Some("at 2030-01-01 00:25:00 UTC, if nothing fails until then"));
        let held = WaitingOn::Held { hold: "holds/stop.yaml".to_owned(), reason: String::new() };
        assert_eq!(waits(&held, of(&edge)).rule.as_deref(), Some("holds/stop.yaml"));
        let own = "device.edge-1".parse().expect("a name");
        let said = waits(&WaitingOn::Wave { wave: wave(), after: wave() }, of(&own));
        assert_eq!((said.rule, said.since), (None, Some(record.waves[0].opened_at)), "it has no Rollout");
    }

    #[test]
    fn who_is_in_no_fleet_is_told_what_ends_it_and_what_is_known() {
        let names = ["core", "edge"].map(|name| name.parse().expect("a name")).to_vec();
        let said = waits(&WaitingOn::Overlap { fleets: names }, Ground::default());
        assert_eq!(said.rule.as_deref(), Some("fleets/core.yaml, fleets/edge.yaml: selector"));
        assert_eq!(said.ends.as_deref(), Some("when one fleet alone selects it"));
        let said = waits(&WaitingOn::Orphaned, Ground::default());
        assert_eq!(said, Waits { ends: Some("when a fleet selects it".to_owned()), ..Waits::default() });
        let at = "2030-01-01T00:00:00Z".parse().expect("a time");
        assert_eq!(waits(&WaitingOn::Decommissioned { at }, Ground::default()).since, Some(at));
    }

    #[test]
    fn before_the_first_wave_it_waits_since_the_rollout_began() {
        let record = |more: serde_json::Value| -> RolloutRecord {
            let mut all = serde_json::json!({
                "target": {"commit": format!("{:040x}", 2), "number": 2}, "rollout": {},
            });
            all.as_object_mut().expect("fields").append(&mut more.as_object().expect("fields").clone());
            serde_json::from_value(all).expect("a record")
        };
        let since = |reason: &WaitingOn, record: &RolloutRecord| {
            waits(reason, Ground { record: Some(record), ..Ground::default() }).since
        };
        let commit = format!("{:040x}", 2).parse().expect("an id");
        let wave = || "canary".parse().expect("a name");
        let first = [
            WaitingOn::Gate { wave: wave(), commit },
            WaitingOn::EmptyWave { wave: wave() },
            WaitingOn::After { fleet: "core".parse().expect("a name"), commit },
            WaitingOn::Artifact { name: "player".to_owned(), why: String::new() },
        ];
        let begun = record(serde_json::json!({"begunAt": "2030-01-01T00:00:00Z"}));
        let older = record(serde_json::json!({}));
        for reason in first {
            assert_eq!(since(&reason, &begun), begun.begun_at, "{reason:?}");
            assert_eq!(since(&reason, &older), None, "a record of before does not say so");
        }
        let later = record(serde_json::json!({"begunAt": "2030-01-01T00:00:00Z", "waves": [
            {"name": "canary", "openedAt": "2030-01-01T00:05:00Z", "advancedAt": "2030-01-01T00:10:00Z"},
        ]}));
        assert_eq!(since(&WaitingOn::Gate { wave: wave(), commit }, &later), later.waves[0].advanced_at);
        let window = WaitingOn::Window { opens: None, why: None };
        assert_eq!(since(&window, &later), Some(later.waves[0].opened_at));
        let complete = RolloutRecord { stable: Some(later.target), ..later };
        assert_eq!(since(&window, &complete), None, "who came since does not wait since then");
    }

    #[test]
    fn what_a_file_decides_holds_since_that_landed() {
        let at = |second| Timestamp::constant(second, 0);
        let note = |path: &str, since| HoldNote { path: path.to_owned(), reason: String::new(), since };
        let holds = [note("holds/a.yaml", None), note("holds/b.yaml", Some(at(7)))];
        let device = "edge-1".parse().expect("a name");
        let ground = Ground { device: Some(&device), holds: &holds, pinned_at: Some(at(8)), ..Ground::default() };
        let held = |hold: &str| WaitingOn::Held { hold: hold.to_owned(), reason: String::new() };
        let since = |hold: &str| waits(&held(hold), ground).since;
        assert_eq!((since("holds/a.yaml"), since("holds/b.yaml")), (None, Some(at(7))));
        let commit = format!("{:040x}", 2).parse().expect("an id");
        let pinned = waits(&WaitingOn::Pinned { commit, why: None }, ground);
        assert_eq!((pinned.since, pinned.rule.as_deref()), (Some(at(8)), Some("devices/edge-1.yaml: pin")));
    }
}
