//! Gives out what members want, and keeps their places and timers in line with it.

use std::cmp::Reverse;

use bellwether_schemas::Version;
use jiff::Timestamp;

use super::decide::{Aim, Goal, Want};
use super::place::{index, number};
use super::planner::Planner;
use super::slots::Turn;
use super::standing::{Row, Rules, Standing};
use super::timing::{Contact, after, silent_since};
use super::{Action, Landing, Offer, Span};

/// What a plan does, by row.
#[derive(Debug, Default)]
pub(super) struct Acts {
    pub(super) actions: Vec<(u32, Action)>,
    /// Rows that took places with it.
    pub(super) grants: Vec<Grant>,
}

/// Places that a row took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) row: u32,
    /// Whether it held no place of its budgets before.
    pub(super) in_budget: bool,
    /// Whether it held no place of `maxInFlight` before.
    pub(super) in_flight: bool,
    /// Whether it goes without one of `maxInFlight`.
    pub(super) hastens: bool,
}

impl Planner {
    /// Decides for these rows, and for those who waited for what they leave.
    pub(super) fn decide(&mut self, rows: impl Iterator<Item = usize>) -> Acts {
        let mut acts = Acts::default();
        let mut asking: Vec<Turn> = Vec::new();
        for i in rows {
            let turn = self.turn_of(i);
            self.slots.leave(number(i), &mut self.rows[i]);
            let (want, offered) = self.want(&self.rows[i]);
            match want {
                Want::Offer(..) => asking.push(turn),
                Want::Keep => self.note_offered(i, offered),
                Want::Withdraw => self.withdraw(i, offered, &mut acts),
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
            self.slots.leave(number(i), &mut self.rows[i]);
            self.ask(turn, &mut acts);
            self.hold(i);
        }
        acts.actions.sort_unstable_by_key(|(i, _)| *i);
        acts
    }

    /// Offers a row what it may run, if there is a place; else it waits for one.
    fn ask(&mut self, turn: Turn, acts: &mut Acts) {
        let i = index(turn.2);
        let (Want::Offer(goal, span), _) = self.want(&self.rows[i]) else { return };
        match self.slots.full_for(&self.rows[i], goal.hastens) {
            None => {
                let Row { holds, flies, .. } = *self.rows[i];
                let (row, hastens) = (turn.2, goal.hastens);
                acts.grants.push(Grant { row, in_budget: !holds, in_flight: !flies, hastens });
                acts.actions.push((row, self.offer(i, &goal, span)));
            }
            Some(group) => {
                let (left, offered) = self.leave(&self.rows[i], Some(goal));
                match left {
                    Want::Withdraw => self.withdraw(i, offered, acts),
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

    fn withdraw(&mut self, i: usize, offered: bool, acts: &mut Acts) {
        self.rows[i].observed.offer = None;
        self.note_offered(i, offered);
        acts.actions.push((number(i), Action::Withdraw));
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
            || row.observed.applying.is_none() && self.goal(row).is_some_and(|goal| row.observed.runs(goal.digest));
        let moves = row.is_on_the_way() && !is_there();
        // Who is paused, or out of time with the target, begins nothing, but is still at what it began.
        let leads_elsewhere = row.observed.outstanding().is_some_and(|offer| Some(offer.digest) != row.target());
        let flies = moves && !row.is_paused() && (row.note.failed.is_none() || leads_elsewhere);
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
        let silence = self.timing.contact_changes_at(observed, row.contact).filter(|_| has_budget || !is_settled);
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

    fn turn_of(&self, i: usize) -> Turn {
        let row = &self.rows[i];
        let wave = row.note.wave.and_then(|wave| u16::try_from(wave).ok()).unwrap_or(u16::MAX);
        (wave, row.order, number(i))
    }
}
