use std::path::Path;

use bellwether_agent_core::Purpose;
use bellwether_schemas::report::FailureKind;
use bellwether_schemas::wire::read_allows;

use super::*;
use crate::head::tests::{Rig as Signer, record as head_record};
use crate::trust::Metadata;

struct Rig {
    dir: tempfile::TempDir,
    agent: Agent,
}

fn rig() -> Rig {
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::lock(&dir.path().join("state")).expect("locked");
    state.load_memory().expect("a new memory");
    let identity = Identity {
        device: "edge-1".parse().expect("a name"),
        key: String::new(),
        certificate: String::new(),
        ca: String::new(),
        devices: "https://localhost:1".to_owned(),
        updates: "https://localhost:1".to_owned(),
    };
    state.store_identity(&identity).expect("stored");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).expect("made");
    let (agent, _) = Agent::new(state, root, Allowed::default()).expect("an agent");
    Rig { dir, agent }
}

impl Rig {
    fn told(&mut self, directive: Directive) {
        self.agent.linked(Link::Said(directive)).expect("no directive ends the agent");
    }

    fn state(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("state").join(name)
    }
}

/// A reconciler whose root the device accepts.
fn signer(rig: &Rig) -> Signer {
    let signer = Signer::new();
    rig.agent.state.store_trust(&signer.trust).expect("stored");
    signer
}

/// From here on nothing can be written to this file of the state directory.
fn break_writes(path: &Path) {
    std::fs::create_dir(path.with_extension("new")).expect("made");
}

#[tokio::test]
async fn intervals_and_head_records_have_bounds() {
    let mut rig = rig();
    for (seconds, expected) in [(0, 1), (30, 30), (u32::MAX, 3_600)] {
        rig.told(Directive::Interval { seconds });
        assert_eq!(rig.agent.heartbeat, Duration::from_secs(expected));
    }
    let signer = signer(&rig);
    let record = signer.sign(&head_record(1, 5));
    rig.told(Directive::Head { record: record.clone() });
    for other in [signer.sign(&head_record(1, 4)), vec![b' '; MAX_HEAD + 1], b"{}".to_vec()] {
        rig.told(Directive::Head { record: other });
    }
    assert_eq!(presented(&rig.agent.state).head, record, "the newest that counts, as it came");
    std::fs::write(rig.state("head.json"), vec![b' '; MAX_HEAD + 1]).expect("written");
    assert!(presented(&rig.agent.state).head.is_empty(), "what a report cannot carry is not presented");
}

#[tokio::test]
async fn a_session_begins_with_what_the_operator_allows() {
    let mut rig = rig();
    let allowed = Allowed { exec: vec!["/bin/true".into()], ..Allowed::default() };
    rig.agent.prober.allowed = allowed.clone();
    let says = |agent: &Agent, presented| agent.report(presented).allows.and_then(read_allows);
    assert_eq!(says(&rig.agent, Some(Presented::default())), Some(allowed));
    assert_eq!(says(&rig.agent, None), None, "it does not change in a session");
    rig.agent.prober.allowed.paths = vec!["/srv".into(); MAX_ENTRIES + 1];
    assert_eq!(says(&rig.agent, Some(Presented::default())), None, "more than a report may carry");
}

#[tokio::test]
async fn announcements_without_end_do_not_become_pulls_without_end() {
    let mut rig = rig();
    assert!((0..PULLS).all(|_| rig.agent.next_pull().is_zero()));
    let waits: Vec<Duration> = (0..10).map(|_| rig.agent.next_pull()).collect();
    assert!(waits.is_sorted() && waits[9] > PULL_AGAIN * 8, "{waits:?}");
    rig.agent.pulls_free = Instant::now();
    assert!(rig.agent.next_pull().is_zero(), "after a while they are free again");
}

#[tokio::test]
async fn a_damaged_cache_keeps_nobody_from_being_heard() {
    let rig = rig();
    let held = Metadata { timestamp: "t".into(), snapshot: "s".into(), targets: "r".into() };
    rig.agent.state.store_metadata(&held).expect("stored");
    assert_eq!(presented(&rig.agent.state).targets, b"r");
    std::fs::write(rig.state("metadata.json"), "{\"timest").expect("written");
    assert_eq!(presented(&rig.agent.state), Presented::default());
}

#[tokio::test]
async fn what_cannot_be_noted_ends_nothing_and_what_must_be_remembered_does() {
    let mut rig = rig();
    break_writes(&rig.state("memory.json"));
    break_writes(&rig.state("status.json"));
    break_writes(&rig.state("head.json"));
    let record = signer(&rig).sign(&head_record(1, 5));
    rig.told(Directive::Head { record });
    let problem = Problem::transient(codes::DOWNLOAD_FAILED, "no space left");
    rig.agent.handle(Event::Pulled(Err(problem))).expect("a note is no reason to end");
    let failure = rig.agent.machine.memory().failure.clone().expect("it is reported all the same");
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(matches!(rig.agent.carry_out(Effect::Persist), Err(RunError::State(_))));
}

#[tokio::test]
async fn troubles_of_clock_and_connection_are_both_shown_and_each_ends_by_itself() {
    let mut rig = rig();
    let trouble = |rig: &Rig| crate::state_dir::load_status(&rig.dir.path().join("state")).expect("a status")?.trouble;
    rig.agent.verified = Some("2199-01-01T00:00:00Z".parse().expect("a time"));
    let down = Link::Down(Problem::transient(codes::TLS_UNTRUSTED, "another CA"));
    rig.agent.linked(down).expect("handled");
    let said = trouble(&rig).expect("two troubles");
    assert!(said.starts_with("BW-0605") && said.contains("BW-0612: another CA"), "{said}");
    rig.agent.linked(Link::Up).expect("handled");
    assert!(trouble(&rig).is_some_and(|said| said.starts_with("BW-0605") && !said.contains("BW-0612")));
    rig.agent.verified = None;
    rig.agent.handle(Event::Woke).expect("handled");
    assert_eq!(trouble(&rig), None);
}

#[tokio::test]
async fn why_what_runs_is_ill_is_in_the_status() {
    let mut rig = rig();
    let sick = Problem::lasting(codes::PROBE_FAILED, "probe file \"/x\" failed");
    rig.agent.linked(Link::Up).expect("handled");
    rig.agent
        .handle(Event::Pulled(Ok(bellwether_agent_core::Pulled { offer: None, decommission: false })))
        .expect("handled");
    rig.agent.handle(Event::Probed(Probed { purpose: Purpose::Running, result: Err(sick) })).expect("handled");
    let status = crate::state_dir::load_status(&rig.dir.path().join("state")).expect("read").expect("a status");
    assert!(status.waiting.contains("BW-0651") && status.waiting.contains("/x"), "{}", status.waiting);
}

#[tokio::test]
async fn a_record_that_a_newer_root_answers_for_is_kept_after_the_pull_that_brings_it() {
    let mut rig = rig();
    signer(&rig);
    let rotated = Signer::new();
    let record = rotated.sign(&head_record(1, 5));
    rig.told(Directive::Head { record: record.clone() });
    assert!(presented(&rig.agent.state).head.is_empty());
    rig.agent.state.store_trust(&rotated.trust).expect("stored");
    rig.agent
        .worked(Event::Pulled(Ok(bellwether_agent_core::Pulled { offer: None, decommission: false })))
        .expect("handled");
    assert_eq!(presented(&rig.agent.state).head, record);
}

#[test]
fn what_happens_while_no_session_holds_is_news() {
    let mut rig = rig();
    let mut news = rig.agent.news.subscribe();
    rig.agent.carry_out(Effect::Report).expect("nothing ends the agent");
    assert!(news.has_changed().expect("the agent is there"));
    news.mark_unchanged();
    rig.agent.handle(Event::Tick).expect("nothing ends the agent");
    assert!(news.has_changed().expect("the agent is there"), "the heartbeat is one");
}
