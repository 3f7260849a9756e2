//! The anchor: the newest head that we signed, wherever it is found. What is accepted must contain it.

use std::sync::Arc;

use bellwether_core::plan::Landing;
use bellwether_core::verify::{Refusal, Reset, Stop, VerifiedHistory, VerifiedLanding};
use bellwether_schemas::CommitId;
use bellwether_schemas::head::{HeadRank, HeadRecord};
use jiff::Timestamp;

use super::accepted::{Accepted, Unbegun};
use super::{Moved, Repository};
use crate::store::{HeadRow, LandingRow};

impl Repository {
    /// Brings back what an earlier run accepted, as the database and the store's signed record name it; the higher one is
    /// the anchor. Everything from the introduction on is verified again, since a database is a cache. A head of another
    /// introduction is none: the configuration replaced it.
    ///
    /// Returns the landings that the database lacks. An anchor whose commits are not in the mirror stays what the branch
    /// must lead to, and what the database names is in force meanwhile.
    pub fn restore(&mut self, database: Option<HeadRow>, record: Option<HeadRow>, now: Timestamp) -> Vec<LandingRow> {
        let ours = |head: &HeadRow| head.introduction == self.introduction.commit;
        let (database, record) = (database.filter(ours), record.filter(ours));
        // Of two that stand equally high the signed one counts.
        let anchor = [&database, &record].into_iter().flatten().max_by_key(|head| head.rank()).cloned();
        let is_stored = anchor.as_ref().map(|head| head.commit) == database.as_ref().map(|head| head.commit);
        self.anchor = anchor.clone();
        if anchor.is_none() {
            return Vec::new();
        }
        let unstored = match self.reach_anchor(now) {
            Ok(landings) if !is_stored => landings,
            Ok(_) => Vec::new(),
            Err(why) => {
                tracing::warn!(?why, "the accepted head cannot be verified from the mirror yet");
                // A device may bring a newer anchor, and then this is what is in force.
                self.database = database;
                self.fall_back(now);
                Vec::new()
            }
        };
        self.watch_silence(now);
        unstored
    }

    /// Whether a record of ours names a head above everything that is known of.
    pub fn is_below(&self, record: &HeadRecord) -> bool {
        self.is_introduced_as(record) && self.rank().is_none_or(|rank| rank < record.rank())
    }

    /// Takes a head that was accepted before and that [is above](Self::is_below) everything known of: a device kept its
    /// signed record when database and store lost it.
    pub fn take_anchor(&mut self, record: &HeadRecord, now: Timestamp) -> Moved {
        let is_known = |accepted: &Accepted| accepted.history.number_of(&record.commit).is_some();
        if !self.is_below(record) || self.accepted.as_ref().is_some_and(is_known) {
            return Moved::default();
        }
        self.anchor = Some(record.into());
        self.look(now)
    }

    /// What the branch must contain: the anchor, or the accepted head.
    pub(super) fn required(&self) -> Option<Landing> {
        let anchor = self.anchor.as_ref().map(|head| Landing { commit: head.commit, number: head.landing });
        anchor.or_else(|| self.head())
    }

    fn rank(&self) -> Option<HeadRank> {
        let anchor = self.anchor.as_ref().map(HeadRow::rank);
        anchor.or_else(|| Some(self.head_record()?.rank()))
    }

    /// Whether a head of ours is known of that what is accepted does not contain.
    pub fn lacks_anchor(&self) -> bool {
        self.anchor.is_some()
    }

    /// Makes what is accepted contain the anchor; or begins, where nothing is accepted. Returns what was accepted by that.
    pub(super) fn reach_anchor(&mut self, now: Timestamp) -> Result<Vec<LandingRow>, Unbegun> {
        let contains = |accepted: &Accepted| {
            self.anchor.as_ref().is_none_or(|anchor| accepted.history.number_of(&anchor.commit).is_some())
        };
        if self.accepted.as_ref().is_some_and(contains) {
            self.anchor = None;
            return Ok(Vec::new());
        }
        let (accepted, landings) = self.begin(self.anchor.as_ref(), now)?;
        Ok(self.replace(accepted, &landings))
    }

    /// Begins at what the database has, while the anchor is missing. Returns whether it did.
    pub(super) fn fall_back(&mut self, now: Timestamp) -> bool {
        let is_anchor = |head: &HeadRow| self.anchor.as_ref().is_some_and(|anchor| anchor.commit == head.commit);
        let database = self.database.as_ref().filter(|head| self.accepted.is_none() && !is_anchor(head));
        let Some(database) = database else { return false };
        let Ok((accepted, landings)) = self.begin(Some(database), now) else { return false };
        let anchor = self.anchor.take();
        self.replace(accepted, &landings);
        self.anchor = anchor;
        true
    }

    fn begin(&self, head: Option<&HeadRow>, now: Timestamp) -> Result<(Accepted, Vec<Arc<VerifiedLanding>>), Unbegun> {
        Accepted::begin(&self.objects, &self.introduction, &self.branch, head, now)
    }

    /// The anchor cannot be verified from what the repository has now. A branch that verifies without it was rewound; it is
    /// not taken as a new head.
    pub(super) fn without_anchor(&self, tip: &CommitId, now: Timestamp, refusal: Refusal) -> Stop {
        if self.anchor.is_none() {
            return Stop::Refused(refusal);
        }
        let branch = VerifiedHistory::introduce(&self.objects, &self.introduction, &self.branch);
        let Ok((mut branch, first)) = branch else { return Stop::Refused(refusal) };
        let advanced = branch.advance(&self.objects, tip, now);
        match advanced.stop {
            None => {
                let branch_landings = std::iter::once(first).chain(advanced.landings).collect();
                // Who may give up a head is said by its own policy, which cannot be read.
                Stop::Rewound { branch: Box::new(branch), branch_landings, reset: Reset::None }
            }
            Some(Stop::Refused(mut of_branch)) if of_branch.is_final_for_tip() => {
                of_branch.why = format!("{}; besides, {refusal}", of_branch.why);
                Stop::Refused(of_branch)
            }
            Some(_) => Stop::Refused(refusal),
        }
    }
}
