//! A team's line and two branches that take from it and from each other, keep what they like, and come back.

use bellwether_schemas::CommitId;
use bellwether_tests::hostile::{Draft, History, Who, reference};
use proptest::prelude::*;
use proptest::sample::Index;

use super::PATHS;

/// What is written to a path.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Value(u8),
    /// What an older commit of the line has there.
    Old(Index),
    /// What a branch has there.
    Branch(usize),
    Nothing,
}

/// What a branch takes in.
#[derive(Debug, Clone)]
pub(super) enum Other {
    Main,
    Landing(Index),
    Branch,
}

/// Whose entries a merge has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pick {
    Both,
    Ours,
    Theirs,
    /// One path from the branch, all else from the other side.
    OurPath(usize),
}

/// One thing that the team or an attacker does. Most name one of the branches first.
#[derive(Debug, Clone)]
pub(super) enum Move {
    /// Two people land a change of one path.
    Land(usize, Content),
    /// The branch begins anew at a commit of the line.
    Leave(usize, Index),
    Work(usize, usize, Content, Who),
    /// A merge into the branch; the parents may be swapped.
    Sync(usize, Other, Pick, bool, Who),
    Endorse(usize, Who),
    /// A path is written and written back beside the branch, and that is joined with it.
    ThereAndBack(usize, usize, Who),
    /// The branch is merged, and nothing of it is kept.
    Repair(usize),
    /// The branch is merged; an octopus is none of these.
    Button(usize, Pick, Who),
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::Nobody), 3 => Just(Who::Bob), 2 => Just(Who::Alice), 1 => Just(Who::Mallory)]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        2 => Just(Pick::Both),
        3 => Just(Pick::Ours),
        1 => Just(Pick::Theirs),
        2 => path().prop_map(Pick::OurPath),
    ]
}

/// Mostly one of two, so that histories come back to it.
fn path() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0_usize), 2 => Just(3_usize), 1 => 0..PATHS.len()]
}

fn branch() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0_usize), 1 => Just(1_usize)]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        6 => (0..3_u8).prop_map(Content::Value),
        2 => any::<Index>().prop_map(Content::Old),
        2 => branch().prop_map(Content::Branch),
        1 => Just(Content::Nothing),
    ]
}

/// What a team does. Some of its first branches are merged for nothing but to end a stall, and then go on.
pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let stalled = (who(), who()).prop_map(|(wrote, endorsed)| {
        vec![Move::Work(0, 0, Content::Value(2), wrote), Move::Repair(0), Move::Endorse(0, endorsed)]
    });
    let begin = prop_oneof![1 => Just(Vec::new()), 1 => stalled];
    (begin, prop::collection::vec(step(), 6..16)).prop_map(|(begin, moves)| [begin, moves].concat())
}

fn step() -> impl Strategy<Value = Move> {
    let other = prop_oneof![
        6 => Just(Other::Main),
        1 => any::<Index>().prop_map(Other::Landing),
        2 => Just(Other::Branch),
    ];
    prop_oneof![
        2 => (path(), content()).prop_map(|(path, content)| Move::Land(path, content)),
        1 => (branch(), any::<Index>()).prop_map(|(branch, at)| Move::Leave(branch, at)),
        4 => (branch(), path(), content(), who())
            .prop_map(|(branch, path, content, who)| Move::Work(branch, path, content, who)),
        6 => (branch(), other, pick(), any::<bool>(), who())
            .prop_map(|(branch, other, pick, swapped, who)| Move::Sync(branch, other, pick, swapped, who)),
        3 => (branch(), who()).prop_map(|(branch, who)| Move::Endorse(branch, who)),
        3 => (branch(), path(), who()).prop_map(|(branch, path, who)| Move::ThereAndBack(branch, path, who)),
        1 => branch().prop_map(Move::Repair),
        2 => (branch(), prop_oneof![3 => Just(Pick::Both), 1 => pick()], who())
            .prop_map(|(branch, pick, who)| Move::Button(branch, pick, who)),
    ]
}

/// Makes the moves, on top of an introduction, which is the second of the commits that are there. After each the button is
/// tried for the branch that moved, without landing it.
pub(super) fn write(h: &mut History, commits: &mut Vec<CommitId>, moves: &[Move]) {
    let introduction = commits[1];
    let mut team = Team { introduction, main: introduction, branches: [introduction; 2], commits };
    for step in moves {
        let before = team.branches;
        team.make(h, step);
        for branch in team.branches.into_iter().filter(|branch| !before.contains(branch)) {
            let button = merged(h, team.main, branch, Pick::Both).by(Who::Nobody);
            team.commits.push(button);
        }
    }
}

struct Team<'c> {
    introduction: CommitId,
    main: CommitId,
    branches: [CommitId; 2],
    commits: &'c mut Vec<CommitId>,
}

impl Team<'_> {
    fn make(&mut self, h: &mut History, step: &Move) {
        let main = self.main;
        match *step {
            Move::Land(path, ref content) => {
                let draft = h.on(main);
                let change = self.put(draft, PATHS[path], content).by(Who::Bob);
                let merge = h.merge(main, change).by(Who::Alice);
                self.commits.push(change);
                self.land(h, merge);
            }
            Move::Leave(branch, at) => {
                let line = reference::line(h, main);
                self.branches[branch] = *at.get(&line);
            }
            Move::Work(branch, path, ref content, who) => {
                let draft = h.on(self.branches[branch]);
                let work = self.put(draft, PATHS[path], content).by(who);
                self.go_on(branch, work);
            }
            Move::Sync(branch, ref other, pick, swapped, who) => {
                let ours = self.branches[branch];
                let theirs = match other {
                    Other::Main => main,
                    Other::Landing(at) => *at.get(&reference::line(h, main)),
                    Other::Branch => self.branches[1 - branch],
                };
                let parents = if swapped { [theirs, ours] } else { [ours, theirs] };
                let merge = merged(h, ours, theirs, pick).parents(&parents).by(who);
                self.go_on(branch, merge);
            }
            Move::Endorse(branch, who) => {
                let endorsed = h.endorse(self.branches[branch]).by(who);
                self.go_on(branch, endorsed);
            }
            Move::ThereAndBack(branch, path, who) => {
                let at = self.branches[branch];
                let there = h.on(at).write(PATHS[path], "there").by(Who::Nobody);
                let back = h.on(there).take_all(at).by(who);
                let joined = h.on(at).parents(&[at, back]).by(Who::Nobody);
                self.commits.extend([there, back]);
                self.go_on(branch, joined);
            }
            Move::Repair(branch) => {
                let merge = h.on(main).parents(&[main, self.branches[branch]]).by(Who::Alice);
                self.land(h, merge);
            }
            Move::Button(branch, pick, who) => {
                let merge = merged(h, main, self.branches[branch], pick).by(who);
                self.land(h, merge);
            }
        }
    }

    fn put<'h>(&self, draft: Draft<'h>, path: &str, content: &Content) -> Draft<'h> {
        match content {
            Content::Value(value) => draft.write(path, &value.to_string()),
            Content::Old(at) => draft.take(path, *at.get(self.commits)),
            Content::Branch(branch) => draft.take(path, self.branches[*branch]),
            Content::Nothing => draft.remove_if_there(path),
        }
    }

    fn go_on(&mut self, branch: usize, commit: CommitId) {
        self.commits.push(commit);
        self.branches[branch] = commit;
    }

    /// The line goes on by what counts.
    fn land(&mut self, h: &History, landing: CommitId) {
        self.commits.push(landing);
        if reference::judge(h, self.introduction, landing).is_empty() {
            self.main = landing;
        }
    }
}

fn merged(h: &mut History, ours: CommitId, theirs: CommitId, pick: Pick) -> Draft<'_> {
    match (pick, h.fork(ours, theirs)) {
        (Pick::Both, Some(fork)) => h.merge_from(fork, ours, theirs),
        (Pick::Ours | Pick::Both, _) => h.on(ours).parents(&[ours, theirs]),
        (Pick::Theirs, _) => h.on(theirs).parents(&[ours, theirs]),
        (Pick::OurPath(path), _) => h.on(theirs).parents(&[ours, theirs]).take(PATHS[path], ours),
    }
}
