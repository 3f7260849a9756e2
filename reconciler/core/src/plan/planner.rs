//! Plans one fleet, again and again, at the cost of what changed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use bellwether_schemas::api::{Condition, WaitingOn};
use bellwether_schemas::{DeviceName, Version};
use jiff::Timestamp;

use super::carry::{Carried, carry};
use super::clocks::Clocks;
use super::decide::{Aim, Goal, Want};
use super::place::{Placement, index, place};
use super::record::{MemberRecord, Members, RolloutRecord};
use super::slots::{Slots, Turn};
use super::standing::{Row, Rules, Standing};
use super::tally::{Count, Tally};
use super::timing::{Contact, Timing, after, silent_since};
use super::{Action, Changed, Landing, Member, Observed, Offer, Plan, Span, Terms};

/// The plan of one fleet, and everything that it follows from.
#[derive(Debug, Clone)]
pub struct Planner {
    pub(super) terms: Terms,
    pub(super) timing: Timing,
    /// What is recorded, but for its members, which are in `rows` and `departed`.
    pub(super) record: RolloutRecord,
    /// The record as it was, while nothing is recorded.
    frozen: Option<RolloutRecord>,
    pub(super) rows: Vec<Row>,
    /// Rows in the order in which they are taken.
    pub(super) sorted: Vec<u32>,
    pub(super) departed: Vec<(DeviceName, MemberRecord)>,
    /// How the members of each wave stand.
    pub(super) tallies: Vec<Tally>,
    pub(super) slots: Slots,
    pub(super) clocks: Clocks,
    pub(super) placement: Option<Placement>,
    /// Why the next wave is not open, once the waves have progressed.
    pub(super) blocked: Option<WaitingOn>,
    /// Members that have not reported since records were lost.
    awaited: usize,
    /// Rows that were observed since the last plan.
    fresh: BTreeSet<u32>,
    /// When rows have to be looked at again; entries that are not a row's `due` are old.
    timers: BinaryHeap<Reverse<(Timestamp, u32)>>,
    /// Whether what is noted of members changed since the last plan.
    pub(super) members_changed: bool,
}

/// What of a record decides what members may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stage {
    waves: usize,
    completed_at: Option<Timestamp>,
    advanced_at: Option<Timestamp>,
    /// Failures, and whether they are silence, and whether the target is given up.
    halted: Option<(u64, bool, bool)>,
    stable: Option<Landing>,
}

impl Planner {
    /// Plans a fleet anew: with these members, in the order of their names, and what was recorded before.
    pub fn begin(
        mut terms: Terms,
        members: impl IntoIterator<Item = Member>,
        record: Option<RolloutRecord>,
        timing: Timing,
    ) -> (Self, Plan) {
        let is_frozen = matches!(terms.condition, Condition::Rewound { .. });
        let frozen = record.clone().filter(|_| is_frozen);
        let before = record.as_ref().map(RolloutRecord::without_members);
        let Carried { record, mut rows, labels, departed, members_changed, goes_on } =
            carry(&terms, members, record, &timing);
        if goes_on {
            terms.decisions = terms.kept.clone();
        }
        let slots = Slots::of(&record.rollout, &mut rows, &labels);
        let clocks = Clocks::of(&record.rollout, &mut rows, &labels, timing.now);
        drop(labels);
        let mut sorted: Vec<u32> = (0..rows.len()).map(number).collect();
        sorted.sort_unstable_by_key(|i| (rows[index(*i)].order, *i));
        let is_awaited = |row: &&Row| row.observed.paused.as_deref() == Some(&WaitingOn::AwaitingReconnect);
        let mut planner = Self {
            tallies: vec![Tally::default(); record.rollout.waves.len()],
            awaited: rows.iter().filter(is_awaited).count(),
            terms,
            timing,
            record,
            frozen,
            rows,
            sorted,
            departed,
            slots,
            clocks,
            placement: None,
            blocked: None,
            fresh: BTreeSet::new(),
            timers: BinaryHeap::new(),
            members_changed,
        };
        planner.count_departed();
        let mut plan = planner.settle(None);
        if planner.frozen.is_none() && before.is_none_or(|before| before != planner.record) {
            plan.changed = Changed::Rollout;
        }
        (planner, plan)
    }

    /// Plans it anew after its terms or its members changed.
    pub fn replan(&mut self, terms: Terms, members: impl IntoIterator<Item = Member>, timing: Timing) -> Plan {
        let record = self.take_record();
        let (planner, plan) = Self::begin(terms, members, Some(record), timing);
        *self = planner;
        plan
    }

    /// Takes what is known of a member now. It counts with the next plan.
    pub fn observe(&mut self, device: &DeviceName, revision: Option<u32>, observed: Observed) {
        let Some(i) = self.row_of(device) else { return };
        let row = &mut self.rows[i];
        let is_awaited = |observed: &Observed| observed.paused.as_deref() == Some(&WaitingOn::AwaitingReconnect);
        self.awaited -= usize::from(is_awaited(&row.observed));
        self.awaited += usize::from(is_awaited(&observed));
        if row.observed.paused.is_some() != observed.paused.is_some() {
            self.placement = None;
        }
        (row.revision, row.observed) = (revision, observed);
        self.fresh.insert(number(i));
    }

    /// Takes that a member was heard of, and said nothing new. Whether that is news: it was silent.
    pub fn heard(&mut self, device: &DeviceName, at: Timestamp) -> bool {
        let Some(i) = self.row_of(device) else { return false };
        let row = &mut self.rows[i];
        row.observed.last_seen = Some(at);
        let was_silent = row.contact != Contact::Live;
        if was_silent {
            self.fresh.insert(number(i));
        }
        was_silent
    }

    /// Plans again, after what was observed and the time that passed.
    pub fn plan(&mut self, timing: Timing) -> Plan {
        self.timing = timing;
        let mut looked = std::mem::take(&mut self.fresh);
        while let Some(Reverse((at, i))) = self.timers.peek().copied()
            && at <= timing.now
        {
            self.timers.pop();
            if self.rows[index(i)].due == at {
                looked.insert(i);
            }
        }
        let windows_moved = self.clocks.advance(timing.now);
        self.settle(Some(Looked { rows: looked, windows_moved }))
    }

    /// The record as it is now.
    pub fn record(&self) -> RolloutRecord {
        if let Some(frozen) = &self.frozen {
            return frozen.clone();
        }
        let rows = self.rows.iter().map(|row| (row.device.clone(), row.note.clone()));
        let members = Members::of(rows.chain(self.departed.iter().cloned()).collect());
        RolloutRecord { members, ..self.record.clone() }
    }

    fn take_record(&mut self) -> RolloutRecord {
        if let Some(frozen) = self.frozen.take() {
            return frozen;
        }
        let rows = self.rows.drain(..).map(|row| (row.device, row.note));
        let members = Members::of(rows.chain(self.departed.drain(..)).collect());
        RolloutRecord { members, ..self.record.clone() }
    }

    /// The record without its members.
    pub fn rollout(&self) -> &RolloutRecord {
        &self.record
    }

    /// What is noted of a member.
    pub fn note(&self, device: &DeviceName) -> Option<&MemberRecord> {
        self.row_of(device).map(|i| &self.rows[i].note)
    }

    /// What git and people say, as it was planned with.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn row_of(&self, device: &DeviceName) -> Option<usize> {
        self.rows.binary_search_by(|row| row.device.cmp(device)).ok()
    }

    pub(super) fn is_frozen(&self) -> bool {
        matches!(self.terms.condition, Condition::Rewound { .. })
    }

    /// Whether records were lost, and devices had no time yet to report: some may even be unknown.
    pub(super) fn awaits_reconnect(&self) -> bool {
        let is_unknown = self.record.rebuilt || !self.departed.is_empty() || self.awaited > 0;
        self.timing.now < self.timing.grace_end() && is_unknown
    }

    /// Who would be in each wave that is not open.
    pub(super) fn place_now(&mut self) -> &Placement {
        if self.placement.is_none() {
            self.placement = Some(place(self));
        }
        self.placement.as_ref().expect("it was made just now")
    }

    pub(super) fn take_placement(&mut self) -> Placement {
        self.place_now();
        self.placement.take().expect("it was made just now")
    }

    fn rules(&self) -> Rules<'_> {
        Rules { timing: &self.timing, terms: &self.terms, record: &self.record }
    }

    fn stage(&self) -> Stage {
        let last = self.record.waves.last();
        Stage {
            waves: self.record.waves.len(),
            completed_at: last.and_then(|wave| wave.completed_at),
            advanced_at: last.and_then(|wave| wave.advanced_at),
            halted: self.record.halted.as_ref().map(|halt| (halt.failures, halt.silence, halt.reverts)),
            stable: self.record.stable,
        }
    }

    /// Plans: all rows, or those that are to be looked at and whoever is concerned by what comes of them.
    fn settle(&mut self, looked: Option<Looked>) -> Plan {
        let before = self.stage();
        let all = looked.is_none();
        let Looked { rows, windows_moved } = looked.unwrap_or_default();
        let rows: Vec<usize> = if all { (0..self.rows.len()).collect() } else { rows.into_iter().map(index).collect() };
        rows.iter().for_each(|i| self.judge(*i));
        if !self.is_frozen() {
            self.forget_departed();
            rows.iter().for_each(|i| self.admit_if_late(*i));
            self.progress();
        }
        let stage = self.stage();
        let moved = Stage { completed_at: None, ..before } != Stage { completed_at: None, ..stage };
        let mut actions =
            if all || moved || windows_moved { self.decide(0..self.rows.len()) } else { self.decide(rows.into_iter()) };
        actions.sort_unstable_by_key(|(i, _)| *i);
        let changed = match (before == stage, std::mem::take(&mut self.members_changed)) {
            _ if self.frozen.is_some() => Changed::Nothing,
            (false, _) => Changed::Rollout,
            (true, true) => Changed::Members,
            (true, false) => Changed::Nothing,
        };
        let named = actions.into_iter().map(|(i, action)| (self.rows[index(i)].device.clone(), action));
        Plan { actions: named.collect(), changed, wake_at: self.wake_at() }
    }

    /// Says how a row stands now.
    fn judge(&mut self, i: usize) {
        let rules = Rules { timing: &self.timing, terms: &self.terms, record: &self.record };
        let row = &mut self.rows[i];
        let noted = row.note.mark();
        row.contact = self.timing.contact(&row.observed);
        row.standing = row.judge(&rules);
        self.members_changed |= row.note.mark() != noted;
        self.count(i);
    }

    /// Changes what is noted of a row.
    pub(super) fn change(&mut self, i: usize, change: impl FnOnce(&mut Row)) {
        change(&mut self.rows[i]);
        self.members_changed = true;
        self.count(i);
    }

    /// Counts a row in its wave as what it is now.
    fn count(&mut self, i: usize) {
        let row = &mut self.rows[i];
        let now = row.note.wave.filter(|wave| *wave < self.tallies.len()).map(|wave| (wave, Count::of(row)));
        if let Some((wave, count)) = std::mem::replace(&mut row.counted, now) {
            self.tallies[wave].remove(count);
        }
        if let Some((wave, count)) = now {
            self.tallies[wave].add(count);
        }
    }

    fn count_departed(&mut self) {
        for (_, note) in &self.departed {
            if let Some(tally) = note.wave.and_then(|wave| self.tallies.get_mut(wave)) {
                tally.add(Count::of_departed(note));
            }
        }
    }

    /// Whoever did not come soon after a start has left, and counts only where a wave took it.
    fn forget_departed(&mut self) {
        if self.timing.now < self.timing.grace_end() || self.departed.is_empty() {
            return;
        }
        let goes_on = !self.record.is_complete();
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.departed).into_iter().partition(|(_, note)| goes_on && note.wave.is_some());
        self.departed = kept;
        self.members_changed |= !gone.is_empty();
        gone.iter().for_each(|(_, note)| self.uncount_departed(note));
    }

    pub(super) fn uncount_departed(&mut self, note: &MemberRecord) {
        if let Some(tally) = note.wave.and_then(|wave| self.tallies.get_mut(wave)) {
            tally.remove(Count::of_departed(note));
        }
    }

    /// Decides for these rows, and for those who waited for what they leave.
    fn decide(&mut self, rows: impl Iterator<Item = usize>) -> Vec<(u32, Action)> {
        let mut actions = Vec::new();
        let mut asking: Vec<Turn> = Vec::new();
        for i in rows {
            let turn = self.turn_of(i);
            self.slots.leave(&mut self.rows[i]);
            let (want, offered) = self.want(&self.rows[i]);
            match want {
                Want::Offer(..) => asking.push(turn),
                Want::Keep => self.note_offered(i, offered),
                Want::Withdraw => self.withdraw(i, offered, &mut actions),
            }
            self.hold(i);
        }
        asking.sort_unstable();
        let mut asking = asking.into_iter().peekable();
        loop {
            let next = [asking.peek().copied(), self.slots.next()].into_iter().flatten().min();
            let Some(turn) = next else { break };
            asking.next_if_eq(&turn);
            let i = index(turn.2);
            self.slots.leave(&mut self.rows[i]);
            self.ask(turn, &mut actions);
            self.hold(i);
        }
        actions
    }

    /// Offers a row what it may run, if there is a place; else it waits for one.
    fn ask(&mut self, turn: Turn, actions: &mut Vec<(u32, Action)>) {
        let i = index(turn.2);
        let (Want::Offer(goal, span), _) = self.want(&self.rows[i]) else { return };
        match self.slots.full_for(&self.rows[i], goal.hastens) {
            None => actions.push((turn.2, self.offer(i, &goal, span))),
            Some(group) => {
                let (left, offered) = self.leave(&self.rows[i], Some(goal));
                match left {
                    Want::Withdraw => self.withdraw(i, offered, actions),
                    Want::Keep | Want::Offer(..) => self.note_offered(i, offered),
                }
                self.slots.wait(group, turn, &mut self.rows[i]);
            }
        }
    }

    fn offer(&mut self, i: usize, goal: &Goal, window: Span) -> Action {
        let Landing { commit, number: landing } = self.terms.head;
        let row = &mut self.rows[i];
        let revision = row.revision.expect("only who has a next revision is offered anything");
        let version = Version { landing, commit, revision };
        row.revision = Some(revision.saturating_add(1));
        let Goal { template, digest, soak, aim, .. } = *goal;
        row.observed.offer = Some(Offer {
            version,
            template: template.commit,
            digest,
            offered_at: self.timing.now,
            is_visible: false,
            not_before: window.from,
            not_after: window.until,
            acknowledged_at: None,
        });
        self.note_offered(i, self.rows[i].note.offered || aim == Aim::Target);
        Action::Offer { version, template, digest, window, soak }
    }

    fn withdraw(&mut self, i: usize, offered: bool, actions: &mut Vec<(u32, Action)>) {
        self.rows[i].observed.offer = None;
        self.note_offered(i, offered);
        actions.push((number(i), Action::Withdraw));
    }

    fn note_offered(&mut self, i: usize, offered: bool) {
        if self.rows[i].note.offered != offered {
            self.change(i, |row| row.note.offered = offered);
        }
    }

    /// Brings the places that a row holds in line with it, and finds when it has to be looked at again.
    fn hold(&mut self, i: usize) {
        let rules = Rules { timing: &self.timing, terms: &self.terms, record: &self.record };
        let row = &self.rows[i];
        // Whatever else it was offered and began: it is where it shall be.
        let is_there =
            row.observed.applying.is_none() && self.goal(row).is_some_and(|goal| row.observed.runs(goal.digest));
        let moves = !is_there && row.is_on_the_way();
        let flies = moves && !row.is_paused() && row.note.failed.is_none();
        // Who is paused, or out of time, begins nothing, but is still at what it began.
        let holds = row.is_unavailable(&rules, flies || (moves && row.has_begun()));
        let due = self.due(row);
        let row = &mut self.rows[i];
        self.slots.hold(number(i), row, flies, holds);
        if row.due != due {
            row.due = due;
            if due < Timestamp::MAX {
                self.timers.push(Reverse((due, number(i))));
            }
        }
    }

    /// The next time at which silence, a timeout or the end of a window can change how a row stands.
    fn due(&self, row: &Row) -> Timestamp {
        let observed = &row.observed;
        let has_budget = !self.record.rollout.budget.is_empty();
        let is_done = row.is_at_target() && row.standing != Standing::Pending;
        let is_settled = row.is_paused() || (is_done && self.record.is_complete());
        let silence = self.timing.contact_changes_at(observed).filter(|_| has_budget || !is_settled);
        let lost = after(silent_since(observed), self.record.rollout.lost_after);
        let lost = Some(lost).filter(|_| has_budget && row.contact != Contact::Live);
        let runs_since = row.runs_since(&self.record.waves).filter(|_| !row.is_paused());
        let timeout = runs_since.map(|since| self.rules().times_out_at(since));
        let unbegun = observed.outstanding().filter(|offer| !observed.has_begun(offer));
        let closes = unbegun.and_then(|offer| offer.not_after);
        let awaited = row.is_awaited(&self.timing).then(|| self.timing.grace_end());
        let times = [silence, lost, timeout, closes, awaited].into_iter().flatten();
        times.filter(|at| *at > self.timing.now).min().unwrap_or(Timestamp::MAX)
    }

    /// The next time at which the plan can change by itself.
    fn wake_at(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((at, i))) = self.timers.peek()
            && self.rows[index(*i)].due != *at
        {
            self.timers.pop();
        }
        let rows = self.timers.peek().map(|Reverse((at, _))| *at);
        let open = self.open_waves().checked_sub(1).filter(|place| !self.has_advanced(*place));
        let soak = open.and_then(|place| self.soaks_until(place));
        let awaited = self.awaits_reconnect().then(|| self.timing.grace_end());
        let windows = self.clocks.changes_at();
        [rows, soak, awaited, windows].into_iter().flatten().filter(|at| *at > self.timing.now).min()
    }

    fn turn_of(&self, i: usize) -> Turn {
        let row = &self.rows[i];
        let wave = row.note.wave.and_then(|wave| u16::try_from(wave).ok()).unwrap_or(u16::MAX);
        (wave, row.order, number(i))
    }

    /// Whether what members were healthy on last has to be rendered for a plan, and was not.
    pub fn lacks_good(&self) -> bool {
        self.rows.iter().any(|row| row.note.good.is_some() && row.good.is_none())
    }
}

/// What a plan looks at.
#[derive(Debug, Default)]
struct Looked {
    rows: BTreeSet<u32>,
    windows_moved: bool,
}

fn number(i: usize) -> u32 {
    u32::try_from(i).expect("rows are counted in 32 bits")
}
