//! Plans one fleet, again and again, at the cost of what changed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use bellwether_schemas::DeviceName;
use bellwether_schemas::api::WaitingOn;
use jiff::Timestamp;

use super::carry::{Before, Carried, Known, carry};
use super::clocks::Clocks;
use super::lint::{Unsound, lint};
use super::place::{Order, Placement, index, number, place};
use super::record::{HaltRecord, MemberRecord, Members, RolloutRecord};
use super::slots::{Grouping, Slots};
use super::standing::{Row, Rows, Rules};
use super::tally::{Count, Tally};
use super::timing::{Contact, Timing};
use super::{Changed, Landing, Member, Observed, Plan, Terms};

/// The plan of one fleet, and everything that it follows from.
#[derive(Debug, Clone)]
pub struct Planner {
    pub(super) terms: Terms,
    pub(super) timing: Timing,
    /// What is recorded, but for its members, which are in `rows` and `departed`.
    pub(super) record: RolloutRecord,
    /// The record as it was, while nothing is recorded.
    frozen: Option<RolloutRecord>,
    pub(super) rows: Rows,
    pub(super) order: Order,
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
    pub(super) timers: BinaryHeap<Reverse<(Timestamp, u32)>>,
    /// Whether what is noted of members changed since the last plan.
    pub(super) members_changed: bool,
    /// The rule that its last plan breaks: it plans no more.
    pub(super) unsound: Option<Unsound>,
}

/// What of a record decides what members may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) waves: usize,
    /// How many of them are done.
    pub(super) advanced: usize,
    pub(super) completed_at: Option<Timestamp>,
    advanced_at: Option<Timestamp>,
    pub(super) halted: Option<HaltRecord>,
    pub(super) stable: Option<Landing>,
}

impl Planner {
    /// Plans a fleet anew: with these members, in the order of their names, and what was recorded before. A plan that breaks a
    /// rule is none: then this planner only says so, and the fleet must be planned anew by what was recorded before.
    pub fn begin(
        terms: Terms,
        members: impl IntoIterator<Item = Member>,
        record: Option<RolloutRecord>,
        timing: Timing,
    ) -> (Self, Result<Plan, Unsound>) {
        let frozen = record.clone().filter(|_| terms.is_frozen());
        Self::anew(terms, members, record.into(), frozen, timing)
    }

    fn anew(
        mut terms: Terms,
        members: impl IntoIterator<Item = Member>,
        before: Before,
        frozen: Option<RolloutRecord>,
        timing: Timing,
    ) -> (Self, Result<Plan, Unsound>) {
        let Before { record, known, order } = before;
        let recorded = record.as_ref().map(RolloutRecord::without_members);
        let carried = carry(&terms, members, (record, known), &timing);
        let Carried { record, change, mut rows, origins, departed, mut members_changed, goes_on } = carried;
        if goes_on {
            terms.decisions = terms.kept.clone();
        }
        let mut tallies = vec![Tally::default(); record.rollout.waves.len()];
        let mut awaited = 0;
        let mut groups = Grouping::of(&record.rollout);
        let rules = Rules { timing: &timing, terms: &terms, record: &record };
        // Rows are many and large: each is read once here.
        for (row, origin) in rows.iter_mut().zip(&origins) {
            members_changed |= change.take_over(row, origin, &record);
            groups.join(row, &origin.labels);
            awaited += usize::from(row.observed.is_awaited());
            members_changed |= judge(row, &rules, &mut tallies);
        }
        let slots = groups.finish();
        let clocks = Clocks::of(&record.rollout, &mut rows, origins.iter().map(|origin| &*origin.labels), timing.now);
        drop(origins);
        let order = Order::of(&terms.fleet, record.stable.unwrap_or(record.target).commit, &mut rows, order);
        let mut planner = Self {
            awaited,
            terms,
            timing,
            record,
            frozen,
            timers: BinaryHeap::with_capacity(rows.len()),
            rows,
            order,
            departed,
            tallies,
            slots,
            clocks,
            placement: None,
            blocked: None,
            fresh: BTreeSet::new(),
            members_changed,
            unsound: None,
        };
        planner.count_departed();
        let plan = planner.settle(None).map(|plan| {
            let is_news = planner.frozen.is_none() && recorded.is_none_or(|recorded| recorded != planner.record);
            Plan { changed: if is_news { Changed::Rollout } else { plan.changed }, ..plan }
        });
        (planner, plan)
    }

    /// Plans it anew after its terms or its members changed.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn replan(
        &mut self,
        terms: Terms,
        members: impl IntoIterator<Item = Member>,
        timing: Timing,
    ) -> Result<Plan, Unsound> {
        if let Some(unsound) = &self.unsound {
            return Err(unsound.clone());
        }
        let frozen = terms.is_frozen().then(|| self.record());
        let before = self.take();
        let (planner, plan) = Self::anew(terms, members, before, frozen, timing);
        *self = planner;
        plan
    }

    /// Takes what is known of a member now. It counts with the next plan.
    pub fn observe(&mut self, device: &DeviceName, revision: Option<u32>, observed: Observed) {
        let Some(i) = self.row_of(device) else { return };
        let row = &mut self.rows[i];
        self.awaited -= usize::from(row.observed.is_awaited());
        self.awaited += usize::from(observed.is_awaited());
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
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn plan(&mut self, timing: Timing) -> Result<Plan, Unsound> {
        if let Some(unsound) = &self.unsound {
            return Err(unsound.clone());
        }
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

    /// Takes what it knows, for the planner that comes after it.
    fn take(&mut self) -> Before {
        if let Some(frozen) = self.frozen.take() {
            return Some(frozen).into();
        }
        let mut known: Vec<Known> = std::mem::take(&mut self.rows).into_iter().map(Known::Planned).collect();
        if !self.departed.is_empty() {
            known.extend(self.departed.drain(..).map(|noted| Known::Noted(Box::new(noted))));
            known.sort_by(|a, b| a.device().cmp(b.device()));
        }
        Before { record: Some(self.record.clone()), known, order: Some(self.order.clone()) }
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
        self.terms.is_frozen()
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

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules { timing: &self.timing, terms: &self.terms, record: &self.record }
    }

    pub(super) fn stage(&self) -> Stage {
        let last = self.record.waves.last();
        Stage {
            waves: self.record.waves.len(),
            advanced: self.record.waves.iter().filter(|wave| wave.advanced_at.is_some()).count(),
            completed_at: last.and_then(|wave| wave.completed_at),
            advanced_at: last.and_then(|wave| wave.advanced_at),
            halted: self.record.halted.clone(),
            stable: self.record.stable,
        }
    }

    /// Plans: all rows, which are judged, or those that are to be looked at and whoever is concerned by what comes of them.
    fn settle(&mut self, looked: Option<Looked>) -> Result<Plan, Unsound> {
        let before = self.stage();
        let all = looked.is_none();
        let Looked { rows, windows_moved } = looked.unwrap_or_default();
        let rows: Vec<usize> = if all { (0..self.rows.len()).collect() } else { rows.into_iter().map(index).collect() };
        if !all {
            rows.iter().for_each(|i| self.judge(*i));
        }
        if !self.is_frozen() {
            self.forget_departed();
            if self.open_waves() > 0 {
                rows.iter().for_each(|i| self.admit_if_late(*i));
            }
            self.progress();
        }
        let stage = self.stage();
        let moved = before != (Stage { completed_at: before.completed_at, ..stage.clone() });
        let acts =
            if all || moved || windows_moved { self.decide(0..self.rows.len()) } else { self.decide(rows.into_iter()) };
        if let Err(unsound) = lint(self, &before, &acts) {
            self.unsound = Some(unsound.clone());
            return Err(unsound);
        }
        let changed = match (before == stage, std::mem::take(&mut self.members_changed)) {
            _ if self.frozen.is_some() => Changed::Nothing,
            (false, _) => Changed::Rollout,
            (true, true) => Changed::Members,
            (true, false) => Changed::Nothing,
        };
        let named = acts.actions.into_iter().map(|(i, action)| (self.rows[index(i)].device.clone(), action));
        Ok(Plan { actions: named.collect(), changed, wake_at: self.wake_at() })
    }

    /// Says how a member stands now, and counts it in its wave.
    fn judge(&mut self, i: usize) {
        let rules = Rules { timing: &self.timing, terms: &self.terms, record: &self.record };
        self.members_changed |= judge(&mut self.rows[i], &rules, &mut self.tallies);
    }

    /// Changes what is noted of a row.
    pub(super) fn change(&mut self, i: usize, change: impl FnOnce(&mut Row)) {
        change(&mut self.rows[i]);
        self.members_changed = true;
        count(&mut self.rows[i], &mut self.tallies);
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

    /// The next time at which the plan can change by itself.
    fn wake_at(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((at, i))) = self.timers.peek()
            && self.rows[index(*i)].due != *at
        {
            self.timers.pop();
        }
        let rows = self.timers.peek().map(|Reverse((at, _))| *at);
        let open = self.open_waves().checked_sub(1).filter(|place| !self.has_advanced(*place));
        let soak =
            open.and_then(|place| Some([self.soaks_until(place)?, self.advances_at(place)?])).into_iter().flatten();
        let awaited = self.awaits_reconnect().then(|| self.timing.grace_end());
        let windows = self.clocks.changes_at();
        [rows, awaited, windows].into_iter().flatten().chain(soak).filter(|at| *at > self.timing.now).min()
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

/// Says how a row stands now, and counts it in its wave. Whether what is noted of it changed.
fn judge(row: &mut Row, rules: &Rules<'_>, tallies: &mut [Tally]) -> bool {
    let noted = row.note.mark();
    row.contact = rules.timing.contact(&row.observed);
    row.standing = row.judge(rules);
    count(row, tallies);
    row.note.mark() != noted
}

/// Counts a row in its wave as what it is now.
fn count(row: &mut Row, tallies: &mut [Tally]) {
    let wave = row.note.wave.filter(|wave| *wave < tallies.len()).and_then(|wave| u16::try_from(wave).ok());
    let now = wave.map(|wave| (wave, Count::of(row)));
    let before = std::mem::replace(&mut row.counted, now);
    if before == now {
        return;
    }
    if let Some((wave, count)) = before {
        tallies[usize::from(wave)].remove(count);
    }
    if let Some((wave, count)) = now {
        tallies[usize::from(wave)].add(count);
    }
}
