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
