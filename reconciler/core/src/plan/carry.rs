//! Takes what was recorded over to the target and the members of now.

use std::iter::Peekable;
use std::sync::Arc;

use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::{Labels, OnNewer, Rollout, WaveMembers};

use super::place::order;
use super::record::{Good, MemberRecord, Members, RolloutRecord};
use super::standing::{Row, Standing};
use super::timing::Timing;
use super::{Gap, Gaps, Landing, Member, Terms};

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

/// What was recorded, on the target and the members of now.
pub(super) struct Carried {
    pub(super) record: RolloutRecord,
    pub(super) rows: Vec<Row>,
    /// The labels of each row, at the head.
    pub(super) labels: Vec<Arc<Labels>>,
    /// Members of open waves that left the fleet, and those that are not known of yet after a start.
    pub(super) departed: Vec<(DeviceName, MemberRecord)>,
    /// Whether something else is recorded of members than before.
    pub(super) members_changed: bool,
    /// Whether the rollout that was recorded goes on.
    pub(super) goes_on: bool,
}

/// The template commit that rolls out: the newest one, unless the Rollout that runs lets its own end first. A commit that brings
/// back what is stable does not wait, nor does an emergency fix, nor one that mends what stopped.
pub fn rolls(record: Option<&RolloutRecord>, newest: Landing, waits_for_nothing: bool) -> Landing {
    let running = record.filter(|record| !record.is_complete() && record.halted.is_none() && !waits_for_nothing);
    let first = running.filter(|record| record.rollout.on_newer == OnNewer::Finish && !record.waves.is_empty());
    first.map_or(newest, |record| record.target)
}

/// Takes the record over to the target.
pub(super) fn carry(
    terms: &Terms,
    members: impl IntoIterator<Item = Member>,
    old: Option<RolloutRecord>,
    timing: &Timing,
) -> Carried {
    let mut old = old;
    let notes = old.as_mut().map(|record| std::mem::take(&mut record.members)).unwrap_or_default();
    let mut met = meet(terms, members, notes, timing);
    let turn = turn(terms, old.as_ref(), &met.rows, &met.known);
    let record = record(terms, old.as_ref(), turn, timing);
    let was_rejected = old.as_ref().is_some_and(RolloutRecord::is_rejected);
    let was_complete = old.as_ref().is_some_and(RolloutRecord::is_complete);
    let was = old.as_ref().map(|record| record.target);
    let by = record.stable.unwrap_or(record.target).commit;
    let mut members_changed = false;
    for ((row, known), wave_labels) in met.rows.iter_mut().zip(&met.known).zip(&met.wave_labels) {
        let before = known.then(|| row.note.clone());
        let select = || first_select(&record.rollout, wave_labels);
        let change = Change { turn, was, was_rejected, was_complete, select };
        row.note = change.note(row, before.clone(), &record);
        row.order = order(&terms.fleet, &by, &row.device);
        members_changed |= before.as_ref() != Some(&row.note);
    }
    // Who left the fleet still counts in its wave: a failed canary is not mended by moving it away. And whoever is not known of
    // soon after a start may still come.
    let goes_on = turn == Turn::Continue && !record.is_complete();
    let is_early = timing.now < timing.grace_end();
    let left = met.departed.len();
    let departed =
        met.departed.into_iter().filter_map(|(device, note)| match (goes_on && note.wave.is_some(), is_early) {
            (true, _) => Some((device, note)),
            (false, true) if turn == Turn::Continue => Some((device, note)),
            (false, true) => Some((device, MemberRecord::default())),
            (false, false) => None,
        });
    let departed: Vec<_> = departed.collect();
    members_changed |= departed.len() != left || turn != Turn::Continue;
    let goes_on = turn == Turn::Continue;
    Carried { record, rows: met.rows, labels: met.labels, departed, members_changed, goes_on }
}

/// Members of now and what is recorded of them.
struct Met {
    rows: Vec<Row>,
    /// Whether something was recorded of a row.
    known: Vec<bool>,
    labels: Vec<Arc<Labels>>,
    wave_labels: Vec<Arc<Labels>>,
    departed: Vec<(DeviceName, MemberRecord)>,
}

/// Brings both lists together, which are in the order of the names.
fn meet(terms: &Terms, members: impl IntoIterator<Item = Member>, notes: Members, timing: &Timing) -> Met {
    let mut notes = notes.into_vec().into_iter().peekable();
    let mut met =
        Met { rows: Vec::new(), known: Vec::new(), labels: Vec::new(), wave_labels: Vec::new(), departed: Vec::new() };
    for member in members {
        let earlier = |notes: &mut Peekable<std::vec::IntoIter<(DeviceName, MemberRecord)>>| {
            notes.next_if(|(device, _)| *device < member.device)
        };
        while let Some(departed) = earlier(&mut notes) {
            met.departed.push(departed);
        }
        let note = notes.next_if(|(device, _)| *device == member.device).map(|(_, note)| note);
        met.known.push(note.is_some());
        let Member { device, labels, wave_labels, target, stable, good, pin, revision, observed } = member;
        debug_assert!(
            met.rows.last().is_none_or(|row: &Row| row.device < device),
            "members come in order: {}",
            terms.fleet
        );
        met.labels.push(labels);
        met.wave_labels.push(wave_labels);
        met.rows.push(Row {
            contact: timing.contact(&observed),
            device,
            order: 0,
            target: target.map_err(String::into_boxed_str),
            stable: stable.and_then(Result::ok),
            good: good.map(Box::new),
            pin: pin.map(Box::new),
            revision,
            observed,
            note: note.unwrap_or_default(),
            standing: Standing::Out,
            counted: None,
            groups: Box::default(),
            zone: 0,
            waits_at: None,
            holds: false,
            flies: false,
            due: jiff::Timestamp::MAX,
        });
    }
    met.departed.extend(notes);
    met
}

fn record(terms: &Terms, old: Option<&RolloutRecord>, turn: Turn, timing: &Timing) -> RolloutRecord {
    let begun = |stable| RolloutRecord {
        target: terms.target,
        earlier: Vec::new(),
        stable,
        rollout: (*terms.rollout).clone(),
        rebuilt: old.is_none() && terms.records_lost,
        waves: Vec::new(),
        halted: None,
        gaps: Gaps::default(),
        members: Members::default(),
    };
    match (old, turn) {
        (Some(old), Turn::Continue) => {
            let mut record = RolloutRecord { target: terms.target, ..old.clone() };
            if old.target != terms.target {
                record.earlier.push(old.target);
                let excess = record.earlier.len().saturating_sub(RolloutRecord::MAX_EARLIER);
                record.earlier.drain(..excess);
            }
            // Whoever could not report in that time is not judged by it.
            let is_told = record.gaps.reaches(timing.serving_since);
            // Without a database nothing but the record says when anything happened last.
            let heard = timing.heard_before.or_else(|| record.last_moment());
            if let Some(heard) = heard.filter(|heard| *heard < timing.serving_since && !is_told)
                && !record.is_complete()
            {
                record.gaps.add(Gap { from: heard, until: timing.serving_since });
            }
            record
        }
        (_, Turn::Return) => begun(Some(terms.target)),
        (old, _) => begun(old.and_then(|old| old.stable)),
    }
}

fn turn(terms: &Terms, old: Option<&RolloutRecord>, rows: &[Row], known: &[bool]) -> Turn {
    let Some(record) = old else { return Turn::Begin { abandons: false } };
    if record.target.commit == terms.target.commit {
        return Turn::Continue;
    }
    // A pin is no part of a rollout: what it keeps does not tell whether one changes anything.
    let rows = || rows.iter().zip(known).filter(|(row, _)| row.pin.is_none());
    let is_stable = |(row, known): (&Row, &bool)| match known {
        true => row.note.stable() == row.target(),
        false => row.stable.is_some() && row.stable == row.target(),
    };
    // Without a single device to show it, nothing is known to be good: hence never vacuously.
    if record.stable.is_some() && rows().next().is_some() && rows().all(is_stable) {
        return Turn::Return;
    }
    let mut old_members = rows().filter(|(_, known)| **known).peekable();
    let unchanged = old_members.peek().is_some() && old_members.all(|(row, _)| row.note.target == row.target());
    let under_way = !record.is_complete();
    if unchanged && under_way { Turn::Continue } else { Turn::Begin { abandons: under_way } }
}

/// What changes for a member.
struct Change<F: Fn() -> Option<usize>> {
    turn: Turn,
    /// The target before.
    was: Option<Landing>,
    was_rejected: bool,
    was_complete: bool,
    /// The first wave that selects it.
    select: F,
}

impl<F: Fn() -> Option<usize>> Change<F> {
    fn note(&self, row: &Row, known: Option<MemberRecord>, record: &RolloutRecord) -> MemberRecord {
        let target = row.target();
        let same = |note: &MemberRecord| note.target == target;
        let runs = |note: &MemberRecord| note.target.is_some_and(|digest| row.observed.runs(digest));
        let reached = |note: &MemberRecord| note.offered || note.follows || note.failed.is_some() || runs(note);
        // Who did not come to what is stable yet has not left it.
        let left = |note: &MemberRecord| note.returns || (!self.was_complete && reached(note));
        let is_away = !row.is_at_target() || row.has_begun();
        let returns = is_away && row.observed.running.is_some() && known.as_ref().is_some_and(left);
        match (self.turn, known) {
            (Turn::Continue, Some(note)) if same(&note) => note,
            // It came just now, or came again as somebody else (enrolled with other labels).
            (Turn::Continue, _) => MemberRecord {
                target,
                before: row.stable.filter(|stable| Some(*stable) != target),
                select: (self.select)(),
                joined: record.stable.is_some() && !record.is_complete(),
                ..MemberRecord::default()
            },
            // Who failed at this very content is not offered it again by a commit that changes nothing for it.
            (Turn::Return, Some(note)) if same(&note) => {
                MemberRecord { target, offered: note.offered, failed: note.failed, returns, ..MemberRecord::default() }
            }
            (Turn::Return, _) => MemberRecord { target, returns, ..MemberRecord::default() },
            (Turn::Begin { abandons }, known) => {
                let stable = known.as_ref().map_or(row.stable, MemberRecord::stable);
                // Who went back from what was rejected is at nothing that is abandoned.
                let had = |note: &MemberRecord| (note.offered || note.follows) && (!self.was_rejected || runs(note));
                MemberRecord {
                    target,
                    before: stable.filter(|_| record.stable.is_some() && stable != target),
                    select: (self.select)(),
                    joined: known.is_none() && record.stable.is_some(),
                    follows: known.as_ref().is_some_and(|note| abandons && had(note)),
                    good: known.and_then(|note| self.good(note, record)),
                    ..MemberRecord::default()
                }
            }
        }
    }

    /// What was healthy on it last, where that is not stable: the target before, unless that was rejected.
    fn good(&self, note: MemberRecord, record: &RolloutRecord) -> Option<Box<Good>> {
        let was_healthy = note.healthy && note.failed.is_none() && !self.was_rejected;
        let newer = self.was.zip(note.target).filter(|(was, _)| was_healthy && Some(*was) != record.stable);
        match newer {
            Some((template, digest)) => Some(Box::new(Good { template, digest })),
            None if was_healthy => None,
            None => note.good,
        }
    }
}

fn first_select(rollout: &Rollout, labels: &Labels) -> Option<usize> {
    rollout
        .waves
        .iter()
        .position(|wave| matches!(wave.members(), Some(WaveMembers::Select(selector)) if selector.matches(labels)))
}
