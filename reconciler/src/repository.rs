//! The watched repository as far as it is accepted: verified history, what it declares, and its condition.
//!
//! In: the tip that a fetch brought. Out: landings that count from now on. All judgement is `bellwether-core`'s.

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_core::declare::Declared;
use bellwether_core::objects::{self, ObjectError, ObjectKind, ObjectSource};
use bellwether_core::plan::Landing;
use bellwether_core::verify::{Introduction, Refusal, Reset, Stop, VerifiedHistory, VerifiedLanding};
use bellwether_schemas::api::{CommitView, Condition};
use bellwether_schemas::{CommitId, ObjectId, codes};
use jiff::Timestamp;

use crate::store::{HeadRow, LandingRow};

/// How many accepted landings the page shows.
const SHOWN_LANDINGS: usize = 100;

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
}

/// The watched repository, as far as it is accepted.
pub struct Repository {
    objects: SharedObjects,
    introduction: Introduction,
    branch: String,
    accepted: Option<Accepted>,
    /// The head that an earlier run accepted and that this one has not verified again yet.
    stored: Option<HeadRow>,
    /// The history of the branch while the accepted head is not in it.
    rewound: Option<VerifiedHistory>,
    condition: Condition,
    /// The tip that was refused last, where it would be refused again for certain, and the head that it was judged from.
    refused: Option<(CommitId, CommitId)>,
    landings: VecDeque<CommitView>,
}

struct Accepted {
    history: VerifiedHistory,
    declared: Declared,
}

/// Why a history cannot begin.
#[derive(Debug)]
enum Unbegun {
    Refused(Box<Refusal>),
    Object(ObjectError),
}

impl From<Refusal> for Unbegun {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<ObjectError> for Unbegun {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

/// What a tip brought.
#[derive(Debug, Default)]
pub struct Moved {
    /// Landings that were accepted now, rising.
    pub landings: Vec<LandingRow>,
    /// Whether the condition is another one than before.
    pub condition: bool,
}

impl Repository {
    /// A repository of which nothing is accepted yet.
    pub fn new(objects: SharedObjects, introduction: Introduction, branch: &str) -> Self {
        Self {
            objects,
            introduction,
            branch: branch.to_owned(),
            accepted: None,
            stored: None,
            rewound: None,
            condition: Condition::Unreachable { why: "it was not fetched yet".to_owned() },
            refused: None,
            landings: VecDeque::new(),
        }
    }

    /// Brings back what an earlier run accepted: everything from the introduction to the stored head is verified again,
    /// since a database is a cache. A head of another introduction is none: the configuration replaced it.
    ///
    /// A head whose commits are not in the mirror stays the one that the branch must lead to.
    pub fn restore(&mut self, stored: Option<HeadRow>) {
        self.stored = stored.filter(|head| head.introduction == self.introduction.commit);
        if self.stored.is_some()
            && let Err(stop) = self.begin()
        {
            tracing::warn!(why = ?stop, "the accepted head cannot be verified from the mirror yet");
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
        let before = self.condition.clone();
        let mut moved = Moved::default();
        if self.accepted.is_some() && matches!(&before, Condition::Rewound { tip: known, .. } if known == tip) {
            // It was verified from the introduction when it was first seen, and no clock enters that.
            return moved;
        }
        let head = self.head().map(|head| head.commit);
        if matches!(before, Condition::Stalled { .. }) && head.is_some_and(|head| self.refused == Some((*tip, head))) {
            // Whoever may push could make every look at the branch a long one.
            return moved;
        }
        self.refused = None;
        self.condition = match self.try_advance(tip, now, &mut moved) {
            Ok(None) => Condition::Verified,
            Ok(Some(Stop::Refused(refusal))) => {
                let head = self.head().filter(|_| refusal.is_final_for_tip());
                self.refused = head.map(|head| (*tip, head.commit));
                stalled(&refusal)
            }
            Ok(Some(Stop::Rewound { branch, .. })) => {
                let condition = self.rewound_condition(tip);
                self.rewound = Some(*branch);
                condition
            }
            Err(error) => Condition::Stalled {
                commit: Some(*tip),
                path: None,
                code: codes::OBJECT_MISSING.to_string(),
                why: error.to_string(),
            },
        };
        if !matches!(self.condition, Condition::Rewound { .. }) {
            self.rewound = None;
        }
        moved.condition = self.condition != before;
        moved
    }

    fn try_advance(&mut self, tip: &CommitId, now: Timestamp, moved: &mut Moved) -> Result<Option<Stop>, ObjectError> {
        if self.accepted.is_none() {
            match self.begin() {
                Ok(landings) => moved.landings.extend(landings),
                Err(Unbegun::Object(error)) => return Err(error),
                Err(Unbegun::Refused(refusal)) => return Ok(Some(self.without_head(tip, now, *refusal))),
            }
        }
        if self.accepted.as_ref().is_some_and(|accepted| accepted.history.head() == tip) {
            return Ok(None);
        }
        let objects = &self.objects;
        let accepted = self.accepted.as_mut().expect("it began above");
        // The history takes a whole batch or nothing, so that it and what it declares never differ.
        let mut history = accepted.history.clone();
        let advanced = history.advance(objects, tip, now);
        let mut declared = accepted.declared.clone();
        for landing in &advanced.landings {
            declared.land(objects, landing)?;
        }
        *accepted = Accepted { history, declared };
        for landing in &advanced.landings {
            moved.landings.push(row(landing));
            self.show(landing);
        }
        Ok(advanced.stop)
    }

    /// Begins at the introduction, or at the head that an earlier run accepted.
    fn begin(&mut self) -> Result<Vec<LandingRow>, Unbegun> {
        let objects = self.objects.clone();
        let (history, landings) = match &self.stored {
            Some(head) => VerifiedHistory::restore(&objects, &self.introduction, &self.branch, &head.commit)?,
            None => {
                let (history, landing) = VerifiedHistory::introduce(&objects, &self.introduction, &self.branch)?;
                (history, vec![landing])
            }
        };
        let mut declared = None;
        for landing in &landings {
            match &mut declared {
                None => declared = Some(Declared::introduce(&objects, landing)?),
                Some(declared) => declared.land(&objects, landing)?,
            }
        }
        let declared = declared.expect("a history begins with its introduction");
        landings.iter().for_each(|landing| self.show(landing));
        self.accepted = Some(Accepted { history, declared });
        Ok(landings.iter().map(|landing| row(landing)).collect())
    }

    /// The head that was accepted cannot be verified from what the repository has now. A branch that verifies without
    /// it was rewound; it is not taken as a new head.
    fn without_head(&self, tip: &CommitId, now: Timestamp, refusal: Refusal) -> Stop {
        if self.stored.is_none() {
            return Stop::Refused(refusal);
        }
        let branch = VerifiedHistory::introduce(&self.objects, &self.introduction, &self.branch);
        let Ok((mut branch, first)) = branch else { return Stop::Refused(refusal) };
        let advanced = branch.advance(&self.objects, tip, now);
        match advanced.stop {
            None => {
                let branch_landings = std::iter::once(first).chain(advanced.landings).collect();
                Stop::Rewound { branch: Box::new(branch), branch_landings, reset: Reset::None }
            }
            Some(_) => Stop::Refused(refusal),
        }
    }

    fn show(&mut self, landing: &VerifiedLanding) {
        self.landings.push_front(CommitView {
            commit: *landing.id(),
            landing: landing.number(),
            signers: landing.signers().cloned().collect(),
            summary: landing.summary().to_owned(),
            committed: landing.committed(),
        });
        self.landings.truncate(SHOWN_LANDINGS);
    }

    fn rewound_condition(&self, tip: &CommitId) -> Condition {
        let accepted =
            self.head().or(self.stored.as_ref().map(|head| Landing { commit: head.commit, number: head.landing }));
        let head = accepted.expect("only an accepted head can be missing");
        Condition::Rewound { accepted: head.commit, landing: head.number, tip: *tip, reset: None }
    }

    /// Says that the repository could not be fetched. A rewound or stalled one stays so.
    pub fn unreachable(&mut self, why: String) -> Moved {
        let before = self.condition.clone();
        if matches!(self.condition, Condition::Verified | Condition::Unreachable { .. }) {
            self.condition = Condition::Unreachable { why };
        }
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

    /// The accepted head for the database.
    pub fn head_row(&self) -> Option<HeadRow> {
        let head = self.head()?;
        Some(HeadRow { introduction: self.introduction.commit, commit: head.commit, landing: head.number })
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

    /// The watched branch.
    pub fn branch(&self) -> &str {
        &self.branch
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
    let rule = refusal.rule.as_ref().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
    Condition::Stalled {
        commit: Some(refusal.commit),
        path: refusal.path.clone(),
        code: refusal.code.to_string(),
        why: format!("{}{rule}", refusal.why),
    }
}
