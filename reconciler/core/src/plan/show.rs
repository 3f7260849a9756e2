//! What people see of a rollout.

use bellwether_schemas::api::{Condition, RolloutState, WaitingOn, WaveView};

use super::decide::waits_for;
use super::place::Placement;
use super::progress::{Tally, tallies};
use super::standing::{Sheet, Standing};
use super::{Decision, RolloutStanding};

/// Shows the rollout as it stands after the plan.
pub(super) fn show(sheet: &Sheet<'_>, placement: &Placement, decisions: &[Decision]) -> RolloutStanding {
    let complete = sheet.record.is_complete();
    let first_pending = first_pending(sheet);
    let wave = |(place, tally): (usize, Tally)| {
        let open = place < sheet.open_waves();
        let done = complete || sheet.has_advanced(place);
        let pending = first_pending[place].and_then(|i| decisions[i].reason.clone());
        let reason = match (done, open) {
            (true, _) => None,
            (false, true) => sheet.stop().or(pending).or_else(|| waits_for(sheet, place)),
            (false, false) => sheet.stop().or_else(|| waits_for(sheet, place)),
        };
        WaveView {
            name: sheet.wave(place).name.clone(),
            open,
            done,
            members: tally.members + count(placement.rows(place).len()),
            offered: tally.offered,
            healthy: tally.healthy,
            failed: tally.failed,
            reason,
        }
    };
    let waves: Vec<WaveView> = tallies(sheet).into_iter().enumerate().map(wave).collect();
    let reason = match sheet.input.condition {
        _ if complete => None,
        condition @ Condition::Rewound { .. } => Some(WaitingOn::Repository { condition: condition.clone() }),
        _ => waves.iter().find(|wave| !wave.done).and_then(|wave| wave.reason.clone()),
    };
    let state = match &reason {
        _ if complete => RolloutState::Complete,
        Some(WaitingOn::Halted { .. }) => RolloutState::Halted,
        Some(WaitingOn::Gate { .. } | WaitingOn::Held { .. } | WaitingOn::Repository { .. }) => RolloutState::Waiting,
        _ => RolloutState::Progressing,
    };
    RolloutStanding { state, waves, reason }
}

/// The first member that holds each wave's completion.
fn first_pending(sheet: &Sheet<'_>) -> Vec<Option<usize>> {
    let mut first = vec![None; sheet.all_waves()];
    for (i, row) in sheet.rows.iter().enumerate() {
        if row.standing == Standing::Pending
            && !row.note.late
            && let Some(slot) = row.note.wave.and_then(|place| first.get_mut(place))
        {
            *slot = slot.or(Some(i));
        }
    }
    first
}

fn count(n: usize) -> u64 {
    u64::try_from(n).expect("a count fits into 64 bits")
}
