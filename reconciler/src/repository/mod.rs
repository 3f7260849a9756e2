//! The watched repository as far as it is accepted: verified history, what it declares, and its condition.
//!
//! In: the tip that a fetch brought, and heads of ours that were accepted before, wherever they are found. Out: landings
//! that count from now on. All judgement of commits is `bellwether-core`'s.
//!
//! The head moves forward along first parents, or to where a signed reset leads. The newest head of ours that is known of
//! is the anchor: while what is accepted does not contain it, nothing moves.

mod accepted;
mod anchor;
mod expiry;
mod silence;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_core::declare::Declared;
use bellwether_core::objects::{self, ObjectError, ObjectKind, ObjectSource};
use bellwether_core::plan::Landing;
use bellwether_core::verify::{Advanced, Introduction, Refusal, Reset, Stop, VerifiedHistory, VerifiedLanding};
use bellwether_schemas::api::{CommitView, Condition};
use bellwether_schemas::head::HeadRecord;
use bellwether_schemas::{CommitId, ObjectId, codes};
use jiff::Timestamp;

use self::accepted::{Accepted, Unbegun};
use self::silence::is_calm;
use crate::store::{HeadRow, LandingRow};

/// How many accepted landings the page shows.
pub(crate) const SHOWN_LANDINGS: usize = 100;

/// The objects of the mirror, for the loop and whatever it lends them to.
#[derive(Clone)]
pub struct SharedObjects(Arc<dyn ObjectSource + Send + Sync>);

impl SharedObjects {
    /// Shares the objects of a mirror.
    pub fn new(objects: impl ObjectSource + Send + 'static) -> Self {
        Self(Arc::new(objects))
    }
}

impl ObjectSource for SharedObjects {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        self.0.raw(id)
    }

    fn header(&self, id: &ObjectId) -> Result<(ObjectKind, usize), ObjectError> {
        self.0.header(id)
    }
}

/// The watched repository, as far as it is accepted.
pub struct Repository {
    objects: SharedObjects,
    introduction: Introduction,
    branch: String,
    /// Where the branch was last.
    tip: Option<CommitId>,
    accepted: Option<Accepted>,
    /// The newest head of ours that is known of, while what is accepted does not contain it.
    anchor: Option<HeadRow>,
    /// What the database has, below the anchor: in force while that is missing and nothing else is.
    database: Option<HeadRow>,
    /// The history of the branch while the accepted head is not in it.
    rewound: Option<VerifiedHistory>,
    /// What the branch is, whatever the clock says.
    found: Condition,
    /// The same, or `Frozen`.
    condition: Condition,
    /// The tip that was refused last, where it would be refused again for certain, and the head that it must contain.
    refused: Option<(CommitId, CommitId)>,
    landings: VecDeque<CommitView>,
}

/// What a tip brought.
#[derive(Debug, Default)]
pub struct Moved {
    /// Landings that were accepted now, rising. They replace those that were accepted with the same numbers.
    pub landings: Vec<LandingRow>,
    /// Whether the condition is another one than before, or an older head that the database has is in force again.
    pub condition: bool,
}

impl Repository {
    /// A repository of which nothing is accepted yet.
    pub fn new(objects: SharedObjects, introduction: Introduction, branch: &str) -> Self {
        let condition = Condition::Unreachable { why: "it was not fetched yet".to_owned() };
        Self {
            objects,
            introduction,
            branch: branch.to_owned(),
            tip: None,
            accepted: None,
            anchor: None,
            database: None,
            rewound: None,
            found: condition.clone(),
            condition,
            refused: None,
            landings: VecDeque::new(),
        }
    }

    /// Takes the objects that a fetch brought; a handle that was opened before does not find them for ever.
    pub fn reopen(&mut self, objects: SharedObjects) {
        self.objects = objects;
    }

    /// Its objects.
    pub fn objects(&self) -> SharedObjects {
        self.objects.clone()
    }

    /// Takes the tip of the branch.
    pub fn advance(&mut self, tip: &CommitId, now: Timestamp) -> Moved {
        self.tip = Some(*tip);
        self.look(now)
    }

    /// Judges the branch as it was fetched last.
    fn look(&mut self, now: Timestamp) -> Moved {
        let mut moved = Moved::default();
        let before = self.condition.clone();
        let is_first = self.accepted.is_none() && self.anchor.is_none();
        let reached = self.reach_anchor(now).map(|landings| moved.landings = landings);
        let fell_back = reached.is_err() && self.fall_back(now);
        if let Some(tip) = self.tip
            && !(moved.landings.is_empty() && self.was_judged(&tip))
        {
            self.refused = None;
            let outcome = match reached {
                Ok(()) => self.follow(&tip, now, &mut moved.landings),
                Err(Unbegun::Object(error)) => Err(error),
                Err(Unbegun::Refused(refusal)) => Ok(Some(self.without_anchor(&tip, now, *refusal))),
            };
            let outcome = outcome.and_then(|stop| self.settle(tip, stop, now, &mut moved.landings));
            self.found = outcome.unwrap_or_else(|error| unreadable(&tip, &error));
            if !matches!(self.found, Condition::Rewound { .. }) {
                self.rewound = None;
            }
            if is_first {
                self.give_up_expired(now, &mut moved.landings);
            }
        }
        self.watch_silence(now);
        moved.condition = self.condition != before || fell_back;
        moved
    }

    /// Whether this tip would be judged as it was last time. Whoever may push could make every look at the branch a long one.
    fn was_judged(&self, tip: &CommitId) -> bool {
        let required = self.required().map(|landing| landing.commit);
        required.is_some_and(|required| self.refused == Some((*tip, required)))
    }

    /// Notes a tip that the head does not move to, and whether another look at it would find the same.
    fn refuse(&mut self, tip: CommitId, is_final: bool) {
        let required = self.required().filter(|_| is_final);
        self.refused = required.map(|required| (tip, required.commit));
    }

    /// Accepts another history as a whole.
    fn replace(&mut self, accepted: Accepted, landings: &[Arc<VerifiedLanding>]) -> Vec<LandingRow> {
        self.accepted = Some(accepted);
        (self.anchor, self.rewound) = (None, None);
        self.landings.clear();
        landings.iter().for_each(|landing| self.show(landing));
        landings.iter().map(|landing| row(landing)).collect()
    }

    /// Moves the head towards the tip, landing by landing. Where one cannot be read it stays at the one before.
    fn follow(
        &mut self,
        tip: &CommitId,
        now: Timestamp,
        taken: &mut Vec<LandingRow>,
    ) -> Result<Option<Stop>, ObjectError> {
        let accepted = self.accepted.as_mut().expect("it began before");
        let Advanced { landings, stop } = accepted.history.judge(&self.objects, tip, now);
        for landing in &landings {
            let accepted = self.accepted.as_mut().expect("it began before");
            accepted.take(&self.objects, landing, now)?;
            self.show(landing);
            taken.push(row(landing));
        }
        Ok(stop)
    }

    /// What the condition is after a stop; a signed reset makes the branch the accepted history.
    fn settle(
        &mut self,
        tip: CommitId,
        stop: Option<Stop>,
        now: Timestamp,
        taken: &mut Vec<LandingRow>,
    ) -> Result<Condition, ObjectError> {
        let (branch, branch_landings, reset) = match stop {
            None => return Ok(Condition::Verified),
            Some(Stop::Refused(refusal)) => {
                self.refuse(tip, refusal.is_final_for_tip());
                return Ok(stalled(&refusal));
            }
            Some(Stop::Rewound { branch, branch_landings, reset }) => (branch, branch_landings, reset),
        };
        let reset = match reset {
            Reset::Signed => {
                let accepted = Accepted::of(&self.objects, *branch, &branch_landings, now)?;
                *taken = self.replace(accepted, &branch_landings);
                return Ok(Condition::Verified);
            }
            Reset::Refused(refusal) => {
                self.refuse(tip, refusal.is_final_for_tip());
                Some(format!("{} ({})", refusal.why, refusal.code))
            }
            Reset::None => {
                self.refuse(tip, true);
                None
            }
        };
        self.rewound = Some(*branch);
        let required = self.required().expect("only a head that was accepted can be missing");
        Ok(Condition::Rewound { accepted: required.commit, landing: required.number, tip, reset })
    }

    fn show(&mut self, landing: &VerifiedLanding) {
        self.landings.push_front(view(landing));
        self.landings.truncate(SHOWN_LANDINGS);
    }

    /// Says that the repository could not be fetched. A rewound or stalled one stays so.
    pub fn unreachable(&mut self, why: String, now: Timestamp) -> Moved {
        let before = self.condition.clone();
        if is_calm(&self.found) {
            self.found = Condition::Unreachable { why };
        }
        self.watch_silence(now);
        Moved { landings: Vec::new(), condition: self.condition != before }
    }

    /// The accepted head.
    pub fn head(&self) -> Option<Landing> {
        self.accepted.as_ref().map(|accepted| accepted.declared.head())
    }

    /// The content of a blob.
    ///
    /// # Errors
    /// When it cannot be read, or is not what its id says.
    pub fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, ObjectError> {
        objects::read(&self.objects, id, ObjectKind::Blob)
    }

    /// Whether a record is of the introduction that the configuration pins.
    pub fn is_introduced_as(&self, record: &HeadRecord) -> bool {
        record.introduction == self.introduction.commit
    }

    /// The accepted head as it is signed, and stored.
    pub fn head_record(&self) -> Option<HeadRecord> {
        self.accepted.as_ref().map(Accepted::record)
    }

    /// The history that devices are judged by: the accepted one, or the branch's while the repository is rewound.
    pub fn judging_history(&self) -> Option<&VerifiedHistory> {
        self.rewound.as_ref().or(self.accepted.as_ref().map(|accepted| &accepted.history))
    }

    /// What the accepted history declares.
    pub fn declared(&self) -> Option<&Declared> {
        self.accepted.as_ref().map(|accepted| &accepted.declared)
    }

    /// The accepted history.
    pub fn history(&self) -> Option<&VerifiedHistory> {
        self.accepted.as_ref().map(|accepted| &accepted.history)
    }

    /// Whether the accepted head is missing from the branch.
    pub fn is_rewound(&self) -> bool {
        matches!(self.condition, Condition::Rewound { .. })
    }

    /// The condition.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The newest accepted landings, newest first.
    pub fn landings(&self) -> impl Iterator<Item = &CommitView> {
        self.landings.iter()
    }

    /// An accepted landing, whatever its age.
    pub fn landing(&self, commit: &CommitId) -> Option<CommitView> {
        let history = self.history()?;
        let landing = history.landing_at(history.number_of(commit)?)?;
        Some(view(landing))
    }

    /// The landing since which the manifest at a path decides what it does, whatever its age.
    pub fn decided_at(&self, path: &str) -> Option<CommitView> {
        let (_, since) = self.declared()?.counting(path)?;
        self.history()?.landing_at(since).map(|landing| view(landing))
    }

    /// The watched branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }
}

fn view(landing: &VerifiedLanding) -> CommitView {
    CommitView {
        commit: *landing.id(),
        landing: landing.number(),
        signers: landing.signers().cloned().collect(),
        summary: landing.summary().to_owned(),
        committed: landing.committed(),
    }
}

fn row(landing: &VerifiedLanding) -> LandingRow {
    LandingRow {
        commit: *landing.id(),
        number: landing.number(),
        signers: landing.signers().cloned().collect(),
        policy_version: landing.policy_version(),
        summary: landing.summary().to_owned(),
        committed: landing.committed(),
    }
}

fn stalled(refusal: &Refusal) -> Condition {
    let rule = refusal.untold_rule().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
    Condition::Stalled {
        commit: Some(refusal.commit),
        path: refusal.path.clone(),
        code: refusal.code.to_string(),
        why: format!("{}{rule}", refusal.why),
    }
}

fn unreadable(tip: &CommitId, error: &ObjectError) -> Condition {
    Condition::Stalled {
        commit: Some(*tip),
        path: None,
        code: codes::OBJECT_MISSING.to_string(),
        why: error.to_string(),
    }
}
