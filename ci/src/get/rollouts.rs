//! `bellwether get rollouts`: each rollout, and what each of its waves waits for.

use bellwether_schemas::api::{RolloutState, RolloutView, WaveView};

use super::printable;
use crate::output::{Paint, hanging};
use crate::told::{Told, coded, decided, waited};

/// The rollouts, one below the other. What several waves wait for is said at the first.
pub(super) fn describe(rollouts: &[RolloutView], paint: Paint) -> String {
    rollouts.iter().map(|rollout| of_rollout(rollout, paint)).collect::<Vec<_>>().join("\n\n")
}

fn of_rollout(rollout: &RolloutView, paint: Paint) -> String {
    let (fleet, state) = (rollout.fleet.as_str(), format!("{:?}", rollout.state));
    let state = match rollout.state {
        RolloutState::Complete => paint.green(&state),
        RolloutState::Progressing | RolloutState::Waiting => paint.yellow(&state),
        RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected => paint.red(&state),
    };
    let mut lines = vec![format!("{}  v{} ({})  {state}", paint.bold(fleet), rollout.landing, rollout.commit.short())];
    if let Some(origin) = &rollout.origin {
        let by = format!("{:?}, by {}", origin.summary, origin.signed_by());
        lines.push(hanging("  ", &printable(&by)));
    }
    lines.extend(lines_of(decided(&rollout.decided), "  "));
    if let Some(next) = rollout.next {
        lines.push(format!("  {} waits for it.", next.short()));
    }
    // What a wave waits for is said there.
    let is_of_wave = rollout.reason.is_some() && rollout.waves.iter().any(|wave| wave.reason == rollout.reason);
    if !is_of_wave {
        lines.push(hanging("  ", &printable(&coded(&rollout.why, rollout.code()))));
        lines.extend(lines_of(rollout.waits.iter().flat_map(waited), "  "));
    }
    let width = rollout.waves.iter().map(|wave| wave.name.as_str().chars().count()).max().unwrap_or(0);
    for (place, wave) in rollout.waves.iter().enumerate() {
        lines.push(format!("  {:<width$}  {}", wave.name.as_str(), standing(wave)));
        let Some(reason) = &wave.reason else { continue };
        let told = rollout.waves[..place].iter().find(|told| told.reason.as_ref() == Some(reason));
        match (told, &wave.why) {
            (Some(told), _) => lines.push(format!("    Waits for the same as {}.", told.name)),
            (None, why) => {
                lines.push(hanging("    ", &printable(&coded(why.as_deref().unwrap_or(reason.kind()), wave.code()))));
                lines.extend(lines_of(wave.waits.iter().flat_map(waited), "    "));
            }
        }
    }
    lines.join("\n")
}

fn standing(wave: &WaveView) -> String {
    let state = match (wave.open, wave.done) {
        (_, true) => "done",
        (true, false) => "open",
        (false, false) => "closed",
    };
    let failed = if wave.failed > 0 { format!(", {} failed", wave.failed) } else { String::new() };
    format!("{state:<6}  {} of {} healthy{failed}", wave.healthy, wave.members)
}

/// Lines with their names, one below the other.
fn lines_of(told: impl Iterator<Item = Told>, indent: &str) -> impl Iterator<Item = String> {
    told.map(move |(name, value)| hanging(&format!("{indent}{name:<7}  "), &printable(&value)))
}

#[cfg(test)]
mod tests {
    use bellwether_core::plan::sentence;
    use bellwether_schemas::api::WaitingOn;

    use super::*;
    use crate::told::examples;

    fn wave(name: &str, reason: Option<&WaitingOn>) -> WaveView {
        WaveView {
            name: examples::wave(name),
            open: reason.is_none() || name == "early",
            done: reason.is_none(),
            members: 20,
            offered: 5,
            healthy: 3,
            failed: u64::from(reason.is_some()),
            reason: reason.cloned(),
            why: reason.map(sentence),
            waits: reason.map(|reason| examples::told(reason, None)),
        }
    }

    fn rollout(waves: Vec<WaveView>) -> RolloutView {
        let waiting = waves.iter().find(|wave| !wave.done);
        RolloutView {
            fleet: examples::fleet(),
            commit: examples::commit(3),
            landing: 3,
            state: RolloutState::Waiting,
            reason: waiting.and_then(|wave| wave.reason.clone()),
            why: waiting.and_then(|wave| wave.why.clone()).unwrap_or_else(|| "Every wave completed.".to_owned()),
            waits: waiting.and_then(|wave| wave.waits.clone()),
            origin: Some(examples::landing(3, "Say hello \u{1b}[2J")),
            decided: Vec::new(),
            next: None,
            waves,
        }
    }

    #[test]
    fn a_rollout_is_told_with_its_waves_and_what_several_wait_for_once() {
        let reasons = examples::reasons();
        let of = |kind: &str| reasons.iter().find(|reason| reason.kind() == kind);
        let held = RolloutView {
            decided: examples::decided(),
            next: Some(examples::commit(5)),
            ..rollout(vec![wave("canary", None), wave("early", of("Held")), wave("broad", of("Held"))])
        };
        let soaking = rollout(vec![wave("canary", None), wave("early", of("Soak")), wave("broad", of("Wave"))]);
        let complete = RolloutView { state: RolloutState::Complete, ..rollout(vec![wave("all", None)]) };
        // What the rollout waits for is no wave's.
        let returning = of("Returning").expect("there is one");
        let returning = RolloutView {
            state: RolloutState::Reverting,
            reason: Some(returning.clone()),
            why: sentence(returning),
            waits: Some(examples::told(returning, None)),
            ..complete.clone()
        };
        let text = describe(&[held, soaking, complete, returning], Paint::none());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn each_reason_of_a_wave_is_told_with_code_time_end_and_rule() {
        let told = |reason: &WaitingOn| {
            let text = of_rollout(&rollout(vec![wave("early", Some(reason))]), Paint::none());
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            text.lines().skip(3).collect::<Vec<_>>().join("\n")
        };
        let all: Vec<String> = examples::reasons().iter().map(told).collect();
        insta::assert_snapshot!(all.join("\n"));
    }
}
