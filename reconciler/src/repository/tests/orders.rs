//! Whatever the order of pushes, restarts and losses: where the accepted head may be.

use proptest::prelude::*;

use super::*;

/// What happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// Landings on top of the branch.
    Push(usize),
    /// The branch is set back, so many landings.
    SetBack(usize),
    /// The same, and goes on elsewhere.
    Diverge(usize),
    /// From so many landings before the accepted head, a policy that abandons it.
    Reset(usize),
    /// The branch is set to a head that was accepted at some time.
    Return(usize),
    Fetch,
    Restart {
        without_mirror: bool,
        database: Kept,
        store: Kept,
    },
    /// A device presents a record that it was once given.
    Present(usize),
}

/// What a restart finds of database or store.
#[derive(Debug, Clone)]
enum Kept {
    All,
    Older(usize),
    Nothing,
}

fn kept() -> impl Strategy<Value = Kept> {
    prop_oneof![3 => Just(Kept::All), 2 => any::<usize>().prop_map(Kept::Older), 2 => Just(Kept::Nothing)]
}

/// Steps, and whether the branch is fetched after each.
fn steps() -> impl Strategy<Value = Vec<(Step, bool)>> {
    let restart = (any::<bool>(), kept(), kept()).prop_map(|(without_mirror, database, store)| Step::Restart {
        without_mirror,
        database,
        store,
    });
    let step = prop_oneof![
        4 => (1..3_usize).prop_map(Step::Push),
        2 => (1..4_usize).prop_map(Step::SetBack),
        2 => (1..4_usize).prop_map(Step::Diverge),
        2 => (1..4_usize).prop_map(Step::Reset),
        2 => any::<usize>().prop_map(Step::Return),
        4 => restart,
        4 => any::<usize>().prop_map(Step::Present),
    ];
    proptest::collection::vec((step, proptest::bool::weighted(0.7)), 1..32)
}

fn chosen<T: Clone>(from: &[T], number: usize) -> Option<T> {
    from.get(number.checked_rem(from.len())?).cloned()
}

/// A git server, a reconciler with its mirror, database and store, and devices.
struct Everything {
    git: Git,
    introduction: Introduction,
    branch: CommitId,
    policies: u64,
    abandoned: Vec<(CommitId, CommitId)>,
    /// What was fetched since the mirror was made.
    mirror: MemoryObjects,
    repository: Repository,
    database: Option<HeadRow>,
    store: Option<HeadRow>,
    /// What database and store were at some time.
    backups: Vec<(Option<HeadRow>, Option<HeadRow>)>,
    /// Every record that devices were given.
    held: Vec<HeadRecord>,
    /// The newest head of ours that is known of.
    known: Option<HeadRow>,
}

impl Everything {
    fn new() -> Self {
        let Site { git, introduction } = Site::begin();
        let branch = introduction.commit;
        let repository = Repository::new(SharedObjects::new(MemoryObjects::default()), introduction, "main");
        Self {
            git,
            introduction,
            branch,
            policies: 1,
            abandoned: Vec::new(),
            mirror: MemoryObjects::default(),
            repository,
            database: None,
            store: None,
            backups: Vec::new(),
            held: Vec::new(),
            known: None,
        }
    }

    fn mirror(&self) -> SharedObjects {
        SharedObjects::new(self.mirror.clone())
    }

    /// The commit so many landings before another, the introduction at the earliest.
    fn before(&self, commit: CommitId, back: usize) -> CommitId {
        self.git.line(commit).nth(back).unwrap_or(self.introduction.commit)
    }

    fn leads_to(&self, from: Option<&HeadRow>, to: CommitId) -> bool {
        from.is_none_or(|from| self.git.line(to).any(|commit| commit == from.commit))
    }

    /// Whether a branch gives up a head by a reset that counts.
    fn resets(&self, head: Option<CommitId>, branch: CommitId) -> bool {
        let gives_up =
            |commit| self.abandoned.iter().any(|(reset, given_up)| *reset == commit && Some(*given_up) == head);
        self.git.line(branch).any(gives_up)
    }

    fn go(&mut self, step: &Step) {
        let (before, known) = (head_of(&self.repository), self.known.clone());
        let mut moved = Vec::new();
        let mut restarted = false;
        match step {
            Step::Push(landings) => {
                self.git.checkout(self.branch);
                (0..*landings).for_each(|_| self.branch = self.git.land(&[]));
            }
            Step::SetBack(back) => self.branch = self.before(self.branch, *back),
            Step::Diverge(back) => {
                self.git.checkout(self.before(self.branch, *back));
                self.branch = self.git.land(&[]);
            }
            Step::Reset(back) => self.reset(*back),
            Step::Return(number) => {
                self.branch = chosen(&self.held, *number).map_or(self.branch, |record| record.commit);
            }
            Step::Fetch => {
                self.git.clone_into(self.branch, &mut self.mirror);
                self.repository.reopen(self.mirror());
                moved = self.repository.advance(&self.branch, at(0)).landings;
            }
            Step::Restart { without_mirror, database, store } => {
                restarted = true;
                self.lose(database, store);
                if *without_mirror {
                    self.mirror = MemoryObjects::default();
                }
                self.repository = Repository::new(self.mirror(), self.introduction, "main");
                moved = self.repository.restore(self.database.clone(), self.store.clone(), at(0));
            }
            Step::Present(number) => moved = self.present(*number),
        }
        let known = if restarted || matches!(step, Step::Present(_)) { self.known.clone() } else { known };
        self.check(before.filter(|_| !restarted), known.as_ref(), step);
        self.save(!moved.is_empty());
    }

    fn reset(&mut self, back: usize) {
        let Some(head) = head_of(&self.repository) else { return };
        self.git.checkout(self.before(head, back));
        self.policies += 1;
        let text = policy(self.policies, &format!("abandons: {head},"));
        self.branch = self.git.land(&[("trust/policy.yaml", &text)]);
        self.abandoned.push((self.branch, head));
    }

    fn lose(&mut self, database: &Kept, store: &Kept) {
        let older = |number| chosen(&self.backups, number).unwrap_or_default();
        (self.database, self.store) = (
            match database {
                Kept::All => self.database.clone(),
                Kept::Older(number) => older(*number).0,
                Kept::Nothing => None,
            },
            match store {
                Kept::All => self.store.clone(),
                Kept::Older(number) => older(*number).1,
                Kept::Nothing => None,
            },
        );
        let both = [&self.database, &self.store].into_iter().flatten();
        self.known = both.max_by_key(|head| head.rank()).cloned();
    }

    fn present(&mut self, number: usize) -> Vec<LandingRow> {
        let Some(record) = chosen(&self.held, number) else { return Vec::new() };
        let is_above = self.known.as_ref().is_none_or(|known| known.rank() < record.rank());
        assert_eq!(self.repository.is_below(&record), is_above, "{record:?}, known is {:?}", self.known);
        if !is_above {
            return Vec::new();
        }
        self.known = Some(HeadRow::from(&record));
        // As a pass does: it is stored before it counts.
        self.store.clone_from(&self.known);
        self.repository.take_anchor(&record, at(0)).landings
    }

    /// `known` is the newest head of ours that was known of before the repository could move.
    fn check(&self, before: Option<CommitId>, known: Option<&HeadRow>, step: &Step) {
        let head = head_of(&self.repository);
        let lacks = self.repository.lacks_anchor();
        let condition = self.repository.condition();
        if let Some(head) = head
            && before.is_some_and(|before| before != head)
        {
            let forward = self.git.line(head).any(|commit| Some(commit) == before);
            let to_known = known.is_some_and(|known| self.leads_to(Some(known), head));
            // A device may bring a newer head, and the branch may give up just that one.
            let resets = self.resets(before, head) || self.resets(known.map(|known| known.commit), head);
            assert!(forward || to_known || resets, "the head went from {before:?} to {head}");
        }
        assert!(before.is_none() || head.is_some(), "the head is lost");
        match head {
            // What the database has is in force while what is known to be newer is missing.
            Some(head) if lacks => {
                assert!(!self.leads_to(known, head) && (before == Some(head) || before.is_none()));
            }
            Some(head) => assert!(self.leads_to(known, head) || self.resets(known.map(|known| known.commit), head)),
            None => {}
        }
        assert!(*condition != Condition::Verified || !lacks);
        if matches!(step, Step::Fetch) {
            if self.leads_to(known, self.branch) {
                assert_eq!((head, condition), (Some(self.branch), &Condition::Verified), "the branch leads on");
            } else if !self.resets(known.map(|known| known.commit), self.branch) {
                let in_force = self.database.is_some() && self.leads_to(self.database.as_ref(), self.branch);
                assert!(head.is_some() || !in_force, "what the database has is in force");
                assert_eq!(rewound_for(&self.repository), known.map(|known| known.commit));
            }
        }
    }

    /// As a pass does: the signed record first, then the database.
    fn save(&mut self, has_landings: bool) {
        let Some(record) = self.repository.head_record() else { return };
        let row = HeadRow::from(&record);
        if !self.repository.lacks_anchor() {
            if let Some(stored) = &self.store {
                assert!(stored.rank() <= row.rank(), "the store would go back");
                assert!(stored.rank() < row.rank() || stored.commit == row.commit, "two heads stand equally high");
            }
            self.store = Some(row.clone());
            self.known = Some(row.clone());
            if self.held.last() != Some(&record) {
                self.held.push(record);
            }
        }
        if has_landings {
            self.database = Some(row);
        }
        self.backups.push((self.database.clone(), self.store.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_head_moves_forward_or_by_a_reset_whatever_is_pushed_restarted_or_lost(steps in steps()) {
        let mut everything = Everything::new();
        everything.go(&Step::Fetch);
        for (step, fetches) in &steps {
            everything.go(step);
            if *fetches {
                everything.go(&Step::Fetch);
            }
        }
    }
}
