//! Takes what was recorded over to the target and the members of now.

use std::collections::BTreeMap;

use bellwether_schemas::manifest::{Rollout, WaveMembers};
use bellwether_schemas::report::FailureKind;
use bellwether_schemas::{DeviceName, Sha256Digest};

use super::record::{FailureNote, MemberRecord, RolloutRecord};
use super::standing::{Row, Sheet, Standing};
use super::{FleetInput, Member};

/// What a target means beside what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It is the recorded one, or changes nothing for a rollout that is under way: that goes on.
    Continue,
    /// It is what stable was: offered at once to whoever left it.
    Return,
    /// It is news: the first wave. Whether a rollout was under way, which is abandoned.
    Begin { abandons: bool },
}

/// Takes the record over to the input's target.
pub(super) fn carry<'a>(input: &'a FleetInput<'a>) -> Sheet<'a> {
    let mut notes = input.record.map(|record| record.members.clone()).unwrap_or_default();
    let turn = turn(input, &notes);
    let mut record = match input.record {
        Some(old) => RolloutRecord {
            target: input.target,
            stable: old.stable,
            rollout: old.rollout.clone(),
            rebuilt: old.rebuilt,
            waves: old.waves.clone(),
            halted: old.halted.clone(),
            members: BTreeMap::new(),
        },
        None => RolloutRecord {
            target: input.target,
            stable: None,
            rollout: input.rollout.clone(),
            rebuilt: input.records_lost,
            waves: Vec::new(),
            halted: None,
            members: BTreeMap::new(),
        },
    };
    if turn != Turn::Continue {
        record.rollout = input.rollout.clone();
        record.rebuilt &= input.record.is_none();
        record.waves.clear();
        record.halted = None;
    }
    if turn == Turn::Return {
        record.stable = Some(input.target);
    }
    let rows = input.members.iter().map(|member| {
        let known = notes.remove(&member.device);
        let mut note = note(member, known, turn, &record);
        note.failed = note.failed.or_else(|| failed_before(member, &record));
        Row { member, note, contact: input.limits.contact(&member.observed), standing: Standing::Out }
    });
    let rows = rows.collect();
    // Who left the fleet still counts in its wave: a failed canary is not mended by moving it away. And whoever is not known of
    // soon after a start may still come.
    let goes_on = turn == Turn::Continue && !record.is_complete();
    let is_early = input.limits.now < input.limits.grace_end();
    let departed = notes.into_iter().filter_map(|(device, note)| match (goes_on && note.wave.is_some(), is_early) {
        (true, _) => Some((device, note)),
        (false, true) if turn == Turn::Continue => Some((device, note)),
        (false, true) => Some((device, MemberRecord::default())),
        (false, false) => None,
    });
    let departed: Vec<_> = departed.collect();
    let unknown = !departed.is_empty();
    Sheet { input, record, rows, departed, unknown, blocked: None }
}

fn turn(input: &FleetInput<'_>, notes: &BTreeMap<DeviceName, MemberRecord>) -> Turn {
    let Some(record) = input.record else { return Turn::Begin { abandons: false } };
    if record.target.commit == input.target.commit {
        return Turn::Continue;
    }
    let mut known = input.members.iter().filter_map(|m| Some((m, notes.get(&m.device)?))).peekable();
    // Without a single device to show it, nothing is known to be good: hence never vacuously.
    let is_stable = |m: &Member| match notes.get(&m.device) {
        Some(note) => note.stable() == digest(&m.target),
        None => m.stable.as_ref().is_some_and(|stable| digest(stable) == digest(&m.target)),
    };
    if record.stable.is_some() && !input.members.is_empty() && input.members.iter().all(is_stable) {
        return Turn::Return;
    }
    let unchanged = known.peek().is_some() && known.all(|(m, note)| note.target == digest(&m.target));
    let under_way = !record.is_complete();
    if unchanged && under_way { Turn::Continue } else { Turn::Begin { abandons: under_way } }
}

fn note(member: &Member, known: Option<MemberRecord>, turn: Turn, record: &RolloutRecord) -> MemberRecord {
    let target = digest(&member.target);
    let same = |note: &MemberRecord| note.target == target;
    match (turn, known) {
        (Turn::Continue, Some(note)) if same(&note) => note,
        // It came just now, or came again as somebody else (enrolled with other labels).
        (Turn::Continue, _) => {
            let stable = member.stable.as_ref().and_then(digest);
            MemberRecord {
                target,
                before: stable.filter(|_| stable != target),
                select: first_select(&record.rollout, member),
                joined: record.stable.is_some() && !record.is_complete(),
                ..MemberRecord::default()
            }
        }
        // Who failed at this very content is not offered it again by a commit that changes nothing for it.
        (Turn::Return, Some(note)) if same(&note) => {
            MemberRecord { target, offered: note.offered, failed: note.failed, ..MemberRecord::default() }
        }
        (Turn::Return, _) => MemberRecord { target, ..MemberRecord::default() },
        (Turn::Begin { abandons }, known) => {
            let stable = match &known {
                Some(note) => note.stable(),
                None => member.stable.as_ref().and_then(digest),
            };
            let left = known.as_ref().is_some_and(|note| abandons && (note.offered || note.follows));
            MemberRecord {
                target,
                before: stable.filter(|_| record.stable.is_some() && stable != target),
                select: first_select(&record.rollout, member),
                joined: known.is_none() && record.stable.is_some(),
                follows: left,
                ..MemberRecord::default()
            }
        }
    }
}

/// The failure at this very content, since it landed, that a device tells of, where the record does not: records may be older
/// than what devices say. What failed on a device is not tried again before somebody lands it again.
fn failed_before(member: &Member, record: &RolloutRecord) -> Option<FailureNote> {
    let observed = &member.observed;
    let failure = observed.failure.as_ref().filter(|failure| failure.kind != FailureKind::Transient)?;
    let since = observed.failed_at.is_some_and(|number| number >= record.target.number);
    let target = digest(&member.target).filter(|target| since && failure.digest == Some(*target))?;
    (!observed.runs(target)).then_some(FailureNote { version: failure.version?, silent: false })
}

fn digest(rendered: &Result<Sha256Digest, String>) -> Option<Sha256Digest> {
    rendered.as_ref().ok().copied()
}

fn first_select(rollout: &Rollout, member: &Member) -> Option<usize> {
    rollout.waves.iter().position(
        |wave| matches!(wave.members(), Some(WaveMembers::Select(selector)) if selector.matches(&member.wave_labels)),
    )
}
