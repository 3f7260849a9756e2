//! Takes what was recorded over to the target and the members of now.

use std::sync::Arc;

use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::{Labels, OnNewer, Rollout, WaveMembers};

use super::place::Order;
use super::record::{Good, MemberRecord, Members, RolloutRecord};
use super::standing::{Row, Rows};
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

/// What there was before.
pub(super) struct Before {
    /// Without its members.
    pub(super) record: Option<RolloutRecord>,
    /// Its members, in the order of their names.
    pub(super) known: Vec<Known>,
    /// The order of the plan before.
    pub(super) order: Option<Order>,
}

/// A device of which something is recorded.
pub(super) enum Known {
    /// It is as the record has it.
    Noted(Box<(DeviceName, MemberRecord)>),
    /// The plan before has a row of it, which is used again.
    Planned(Box<Row>),
}

impl From<Option<RolloutRecord>> for Before {
    fn from(mut record: Option<RolloutRecord>) -> Self {
        let members = record.as_mut().map(|record| std::mem::take(&mut record.members)).unwrap_or_default();
        let known = members.into_vec().into_iter().map(|noted| Known::Noted(Box::new(noted))).collect();
        Self { record, known, order: None }
    }
}

impl Known {
    pub(super) fn device(&self) -> &DeviceName {
        match self {
            Self::Noted(noted) => &noted.0,
            Self::Planned(row) => &row.device,
        }
    }

    fn into_noted(self) -> (DeviceName, MemberRecord) {
        match self {
            Self::Noted(noted) => *noted,
            Self::Planned(row) => (row.device, row.note),
        }
    }

    /// The row of a member of now, with what is noted of it.
    fn into_row(self, member: Member, timing: &Timing) -> Box<Row> {
        match self {
            Self::Noted(noted) => Box::new(Row::of(member, noted.1, timing)),
            Self::Planned(mut row) => {
                let (note, order) = (std::mem::take(&mut row.note), row.order);
                *row = Row { order, ..Row::of(member, note, timing) };
                row
            }
        }
    }
}

/// What was recorded, on the target and the members of now; the notes of members are still to be taken over.
pub(super) struct Carried {
    pub(super) record: RolloutRecord,
    pub(super) change: Change,
    pub(super) rows: Rows,
    /// Where each row comes from.
    pub(super) origins: Vec<Origin>,
    /// Members of open waves that left the fleet, and those that are not known of yet after a start.
    pub(super) departed: Vec<(DeviceName, MemberRecord)>,
    /// Whether something else is recorded of members than before.
    pub(super) members_changed: bool,
    /// Whether the rollout that was recorded goes on.
    pub(super) goes_on: bool,
}

/// Where a row comes from.
pub(super) struct Origin {
    /// Whether something was recorded of it.
    pub(super) known: bool,
    /// Its labels at the head.
    pub(super) labels: Arc<Labels>,
    wave_labels: Arc<Labels>,
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
    (old, known): (Option<RolloutRecord>, Vec<Known>),
    timing: &Timing,
) -> Carried {
    let met = meet(members, known, timing);
    let turn = turn(terms, old.as_ref(), &met);
    let record = record(terms, old.as_ref(), turn, timing);
    let was_rejected = old.as_ref().is_some_and(RolloutRecord::is_rejected);
    let was_complete = old.as_ref().is_some_and(RolloutRecord::is_complete);
    let was = old.as_ref().map(|record| record.target);
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
    let goes_on = turn == Turn::Continue;
    let members_changed = !goes_on || departed.len() != left;
    let change = Change { turn, was, was_rejected, was_complete };
    Carried { record, change, rows: met.rows, origins: met.origins, departed, members_changed, goes_on }
}

/// Members of now and what is recorded of them.
struct Met {
    rows: Rows,
    origins: Vec<Origin>,
    /// Who is no member any more.
    departed: Vec<(DeviceName, MemberRecord)>,
}

/// Brings both lists together, which are in the order of the names.
fn meet(members: impl IntoIterator<Item = Member>, known: Vec<Known>, timing: &Timing) -> Met {
    let members = members.into_iter();
    let many = members.size_hint().0;
    let mut met = Met { rows: Vec::with_capacity(many), origins: Vec::with_capacity(many), departed: Vec::new() };
    let mut known = known.into_iter().peekable();
    for member in members {
        debug_assert!(met.rows.last().is_none_or(|row| row.device < member.device), "members come in order");
        while let Some(departed) = known.next_if(|known| *known.device() < member.device) {
            met.departed.push(departed.into_noted());
        }
        let known = known.next_if(|known| *known.device() == member.device);
        let (labels, wave_labels) = (Arc::clone(&member.labels), Arc::clone(&member.wave_labels));
        met.origins.push(Origin { known: known.is_some(), labels, wave_labels });
        met.rows.push(match known {
            Some(known) => known.into_row(member, timing),
            None => Box::new(Row::of(member, MemberRecord::default(), timing)),
        });
    }
    met.departed.extend(known.map(Known::into_noted));
    met
}

fn record(terms: &Terms, old: Option<&RolloutRecord>, turn: Turn, timing: &Timing) -> RolloutRecord {
    let rebuilt = old.is_none() && terms.records_lost;
    let begun = |stable| RolloutRecord {
        target: terms.target,
        earlier: Vec::new(),
        begun_at: (!rebuilt).then_some(timing.now),
        stable,
        rollout: (*terms.rollout).clone(),
        rebuilt,
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
            // What has begun since then counts no time before.
            let had_begun = record.waves.first().is_some_and(|wave| wave.opened_at < timing.serving_since);
            // Without a database nothing but the record says when anything happened last.
            let heard = timing.heard_before.or_else(|| record.last_moment());
            if let Some(heard) = heard.filter(|heard| *heard < timing.serving_since && !is_told)
                && had_begun
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

fn turn(terms: &Terms, old: Option<&RolloutRecord>, met: &Met) -> Turn {
    let Some(record) = old else { return Turn::Begin { abandons: false } };
    if record.target.commit == terms.target.commit {
        // No version of its Rollout could be read until now, and nobody was offered anything.
        let is_judged_anew = record.waves.is_empty() && !record.is_complete() && record.rollout != *terms.rollout;
        return if is_judged_anew { Turn::Begin { abandons: false } } else { Turn::Continue };
    }
    // A pin is no part of a rollout: what it keeps does not tell whether one changes anything.
    let rows = || {
        met.rows
            .iter()
            .zip(&met.origins)
            .filter(|(row, _)| row.pin.is_none())
            .map(|(row, origin)| (&**row, origin.known))
    };
    let is_stable = |(row, known): (&Row, bool)| match known {
        true => row.note.stable() == row.target(),
        false => row.stable.is_some() && row.stable == row.target(),
    };
    // Without a single device to show it, nothing is known to be good: hence never vacuously.
    if record.stable.is_some() && rows().next().is_some() && rows().all(is_stable) {
        return Turn::Return;
    }
    let mut old_members = rows().filter(|(_, known)| *known).peekable();
    let unchanged = old_members.peek().is_some() && old_members.all(|(row, _)| row.note.target == row.target());
    let under_way = !record.is_complete();
    if unchanged && under_way { Turn::Continue } else { Turn::Begin { abandons: under_way } }
}

/// What changes for a member.
pub(super) struct Change {
    turn: Turn,
    /// The target before.
    was: Option<Landing>,
    was_rejected: bool,
    was_complete: bool,
}

impl Change {
    /// Takes what is noted of a row over to the target. Whether that is something else.
    pub(super) fn take_over(&self, row: &mut Row, origin: &Origin, record: &RolloutRecord) -> bool {
        if self.turn == Turn::Continue && origin.known && row.note.target == row.target() {
            return false;
        }
        let note = std::mem::take(&mut row.note);
        let select = || first_select(&record.rollout, &origin.wave_labels);
        row.note = self.note(row, origin.known.then_some(note), record, select);
        true
    }

    /// `select` is the first wave that selects it.
    fn note(
        &self,
        row: &Row,
        known: Option<MemberRecord>,
        record: &RolloutRecord,
        select: impl Fn() -> Option<usize>,
    ) -> MemberRecord {
        let target = row.target();
        let same = |note: &MemberRecord| note.target == target;
        let runs = |note: &MemberRecord| note.target.is_some_and(|digest| row.observed.runs(digest));
        let reached = |note: &MemberRecord| note.offered || note.follows || note.failed.is_some() || runs(note);
        // Who did not come to what is stable yet has not left it.
        let left = |note: &MemberRecord| note.returns || (!self.was_complete && reached(note));
        let is_away = !row.is_at_target() || row.has_begun();
        let returns = is_away && row.observed.running.is_some() && known.as_ref().is_some_and(left);
        match (self.turn, known) {
            // It came just now, or came again as somebody else (enrolled with other labels).
            (Turn::Continue, _) => MemberRecord {
                target,
                before: row.stable.filter(|stable| Some(*stable) != target),
                select: select(),
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
                    select: select(),
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
