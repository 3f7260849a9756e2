//! Devices and reconcilers to which anything happens, in any order.

use bellwether_core::classify::{Pause, Standing};
use bellwether_schemas::CommitId;
use proptest::prelude::*;

use super::lines::{FIRST, Head, SECOND};
use super::server::{Known, RECORDS, Records, Server};
use super::unit::{Beginning, Unit};
use super::{LINES, Two, resume};

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The history that counts becomes another one.
    Head(Head),
    /// The branch lacks the accepted head, or has it again.
    Rewound(bool),
    /// The records are set back.
    Restore(Records),
    /// Somebody overrules what the device is paused for, whatever that is then.
    Resume,
    /// The device reports.
    Report,
    /// Its power is cut.
    Restart,
    /// Changes of the device take their time from now on.
    Slow,
    /// They come to their end.
    Finish,
    /// The content at this landing fails its probes from now on.
    Bad(Head),
    /// All contents are healthy from now on.
    Good,
}

fn any_head() -> impl Strategy<Value = Head> {
    let heads: Vec<_> = (1..=FIRST).map(Head::First).chain((3..=SECOND).map(Head::Second)).collect();
    prop::sample::select(heads)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_head().prop_map(Step::Head),
        1 => any::<bool>().prop_map(Step::Rewound),
        2 => prop::sample::select(RECORDS.to_vec()).prop_map(Step::Restore),
        1 => Just(Step::Resume),
        8 => Just(Step::Report),
        1 => Just(Step::Restart),
        1 => Just(Step::Slow),
        1 => Just(Step::Finish),
        1 => any_head().prop_map(Step::Bad),
        1 => Just(Step::Good),
    ]
}

/// A walk, and what was known when the records were copied last.
struct Walk {
    two: Two,
    copy: Known,
}

impl Walk {
    fn take(&mut self, step: Step) {
        let Two { unit, server } = &mut self.two;
        match step {
            Step::Head(head) => {
                self.copy = server.known.clone();
                server.head = head;
            }
            Step::Rewound(rewound) => server.rewound = rewound,
            Step::Restore(records) => server.restore(server.head, records, self.copy.clone(), unit),
            Step::Resume => {
                if let Standing::Paused(Pause { commit: Some(commit), .. }) = server.standing(&unit.report()) {
                    server.resumes.push(resume(&[commit]));
                }
            }
            Step::Report => {
                self.two.pass();
            }
            Step::Restart => unit.restart(server.known.offer.as_ref()),
            Step::Slow => unit.slow = true,
            Step::Finish => unit.finish(server.known.offer.as_ref()),
            Step::Bad(head) => {
                unit.bad.insert(LINES.target(LINES.history(head)));
            }
            Step::Good => unit.bad.clear(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// A device never begins what is not above everything before, unless that gives up what runs; while it is paused it begins
    /// nothing; and whatever happened, in the end it can be brought to what the history says, by overruling what is missing.
    #[test]
    fn pairs_that_walk_never_go_back_by_themselves_and_are_never_stuck(
        start in any_head(), steps in prop::collection::vec(any_step(), 1..40), end in any_head(),
    ) {
        let mut walk = Walk { two: Two { unit: Unit::new(&LINES), server: Server::new(&LINES, start) }, copy: Known::default() };
        for step in &steps {
            let before = walk.two.unit.begun.len();
            let paused = matches!(walk.two.server.standing(&walk.two.unit.report()), Standing::Paused(_));
            walk.take(*step);
            let begun = &walk.two.unit.begun;
            prop_assert!(begun.iter().all(Beginning::is_allowed), "{:?}: {:?}", step, begun.last());
            if paused && matches!(step, Step::Report) {
                prop_assert_eq!(begun.len(), before, "a paused device began {:?}", begun.last());
            }
        }
        // Contents that failed on it are not tried again, so the end is one that it never saw.
        let Two { unit, server } = &mut walk.two;
        unit.bad.clear();
        server.rewound = false;
        server.head = match end {
            Head::First(number) => Head::AboveFirst(number),
            Head::Second(number) => Head::AboveSecond(number),
            above => above,
        };
        for _ in 0..3 {
            let Some(pause) = walk.two.settle() else { break };
            let missing: Vec<CommitId> = pause.commit.into_iter().collect();
            walk.two.server.resumes.push(resume(&missing));
        }
        prop_assert_eq!(walk.two.settle(), None);
        let begun = &walk.two.unit.begun;
        prop_assert!(begun.iter().all(Beginning::is_allowed), "{:?}", begun.last());
        prop_assert!(walk.two.is_at_target(), "it is stuck: {:?}", walk.two.unit.report());
    }
}
