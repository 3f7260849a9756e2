//! What is stored before what.

use bellwether_schemas::api::Condition;
use bellwether_schemas::report::Report;
use bellwether_schemas::{Seconds, Sha256Digest, codes};

use super::*;
use crate::repository::Repository;
use crate::restore::{Start, start};
use crate::store::{Instance, Loaded};
use crate::testing::{BEGUN, Git, Installation, idle, policy};
use crate::world::Timing;

mod unsound;

/// A loop without its listeners.
struct Bench {
    installed: Installation,
    git: Git,
    introduction: bellwether_core::verify::Introduction,
    outlets: Outlets,
    world: World,
}

fn now() -> Timestamp {
    Timestamp::from_second(BEGUN + 1_000).expect("a time")
}

impl Bench {
    async fn new() -> Self {
        let installed = Installation::new().await;
        let database = format!("sqlite://{}", installed.dir.path().join("state.db").display());
        let store = Store::open(&database).await.expect("opened");
        let outlets = Outlets {
            store,
            publisher: installed.publisher.clone(),
            sessions: Arc::default(),
            views: watch::channel(Arc::default()).0,
            admissions: watch::channel(None).0,
            void: watch::channel(VoidTokens::None).0,
            unsettled_until: watch::channel(Timestamp::MIN).0,
            domain: "example.org".parse().expect("a domain"),
            url: String::new(),
        };
        let git = Git::begin(&[]);
        let introduction = git.introduction();
        let repository = Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
        let world = World::new(repository, timing(), Loaded::default());
        Self { installed, git, introduction, outlets, world }
    }

    /// A process that is started again on what the files are now.
    async fn restart(&mut self) {
        self.outlets.publisher = self.installed.restarted().await.expect("a publisher");
        let Outlets { store, publisher, domain, .. } = &self.outlets;
        let known = Instance::Known("blue".to_owned());
        let Start { loaded, .. } = start(store, publisher, domain, &known, now()).await.expect("they belong together");
        let mut repository = Repository::new(SharedObjects::new(self.git.objects.clone()), self.introduction, "main");
        let record = self.outlets.publisher.head().map(|head| HeadRow::from(&head.record));
        let unstored = repository.restore(loaded.head.clone(), record, now());
        self.world = World::new(repository, timing(), loaded);
        self.world.take_landings(unstored);
        self.world_stored().await.expect("stored");
    }

    async fn world_stored(&mut self) -> Result<(), TickError> {
        store_head(&mut self.world, &self.outlets.store, &self.outlets.publisher).await
    }

    async fn pass(&mut self, mut inbox: Inbox) -> Result<(), TickError> {
        self.pass_over(&mut inbox).await
    }

    async fn pass_over(&mut self, inbox: &mut Inbox) -> Result<(), TickError> {
        tick(&mut self.world, &self.outlets, inbox, now()).await
    }

    async fn fetch(&mut self) -> Result<(), TickError> {
        self.pass(self.fetched()).await
    }

    fn fetched(&self) -> Inbox {
        let tip = self.git.tip.expect("a commit");
        Inbox { fetched: Some(Ok((tip, SharedObjects::new(self.git.objects.clone())))), ..Inbox::default() }
    }

    /// Has another reconciler write a record of the branch that stands above any other.
    async fn block_record(&self) {
        let mut fork = Repository::new(SharedObjects::new(self.git.objects.clone()), self.introduction, "main");
        fork.advance(&self.git.tip.expect("a commit"), now());
        let mut higher = fork.head_record().expect("a head");
        higher.policy_version += 1;
        let other = self.installed.restarted().await.expect("a publisher");
        other.store_head(&higher).await.expect("stored");
    }

    fn unblock_record(&self) {
        std::fs::remove_file(self.installed.head()).expect("removed");
    }

    async fn database(&self) -> Option<CommitId> {
        self.outlets.store.load_all().await.expect("loaded").head.map(|head| head.commit)
    }

    /// Whether the listeners know the token of `edge-1`.
    fn lets_enroll(&self) -> bool {
        let known = self.outlets.admissions.borrow().clone();
        known.is_some_and(|known| known.token(&Sha256Digest::of(b"edge-1"), now()).is_ok())
    }

    fn record(&self) -> Option<CommitId> {
        self.outlets.publisher.head().map(|head| head.record.commit)
    }
}

fn timing() -> Timing {
    Timing { heartbeat: Seconds::new(60), stale_after: Seconds::new(180), serving_since: now() }
}

/// The first report of a session of `edge-1`, which holds this head record, and the answer to it.
fn observation(head: Option<HeadRecord>) -> (Observation, oneshot::Receiver<Vec<Directive>>) {
    let (reply, answer) = oneshot::channel();
    let report = Report { clock: now(), ..idle() };
    let identity = "bellwether://example.org/plant/edge-1/edge-1".parse().expect("an identity");
    let reported = Reported::Readable(report);
    (
        Observation { identity, at: now(), reported, begins_session: true, presented: None, head, allows: None, reply },
        answer,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_stored_before_the_database_and_both_before_the_head_counts() {
    let mut bench = Bench::new().await;
    let tip = bench.git.tip.expect("a commit");
    bench.block_record().await;
    let refused = bench.fetch().await.expect_err("nothing is accepted");
    assert!(matches!(&refused, TickError::Publish(error) if error.code() == codes::HEAD_RECORD_OLDER), "{refused:?}");
    assert_eq!(bench.database().await, None, "the database waits for the record");
    assert!(!bench.lets_enroll(), "and the listeners for both");
    bench.unblock_record();
    bench.pass(Inbox::default()).await.expect("tried again");
    assert_eq!((bench.database().await, bench.record()), (Some(tip), Some(tip)));
    assert!(bench.lets_enroll());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_comes_while_the_head_cannot_be_stored_is_taken_by_the_next_pass() {
    let mut bench = Bench::new().await;
    let tip = bench.git.tip.expect("a commit");
    // Nothing is accepted yet; then what is accepted cannot be stored; then a head that a device holds cannot.
    let second = bench.git.clone().land(&[]);
    for head in [None, Some(second)] {
        bench.block_record().await;
        let record = head.map(|commit| HeadRecord { commit, ..bench.world.repository.head_record().expect("a head") });
        let record = record.map(|record| HeadRecord { landing: record.landing + 1, ..record });
        let (mut observation, mut answer) = observation(record);
        observation.at -= jiff::SignedDuration::from_secs(30);
        let (reporter, at) = (observation.identity.device.clone(), observation.at);
        let identity: Identity = "bellwether://example.org/plant/edge-2/edge-2".parse().expect("an identity");
        let mut inbox = Inbox { reports: vec![observation], enrolled: vec![identity], ..bench.fetched() };
        bench.pass_over(&mut inbox).await.expect_err("the record stands above");
        assert!(inbox.fetched.is_none(), "the branch is not judged twice");
        assert_eq!((inbox.reports.len(), inbox.enrolled.len()), (1, 1));
        answer.try_recv().expect_err("nobody has answered yet");
        assert_eq!(bench.world.devices().len(), if head.is_none() { 0 } else { 2 }, "nobody is judged meanwhile");
        bench.unblock_record();
        bench.pass_over(&mut inbox).await.expect("stored");
        assert_eq!((inbox.reports.len(), inbox.enrolled.len(), bench.world.devices().len()), (0, 0, 2));
        assert_eq!(bench.world.devices()[&reporter].row.last_seen, Some(at), "it may have died since");
        let directives = answer.try_recv().expect("an answer");
        assert!(directives.iter().any(|directive| matches!(directive, Directive::Head { .. })), "{directives:?}");
        assert_eq!((bench.database().await, bench.record()), (Some(tip), head.or(Some(tip))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_record_and_database_is_mended_by_the_next_start() {
    let mut bench = Bench::new().await;
    bench.fetch().await.expect("stored");
    let second = bench.git.land(&[("trust/policy.yaml", &policy(2, "maxSilence: 7d,"))]);
    bench.world.repository.reopen(SharedObjects::new(bench.git.objects.clone()));
    bench.world.repository.advance(&second, now());
    let record = bench.world.repository.head_record().expect("a head");
    bench.outlets.publisher.store_head(&record).await.expect("stored");
    assert_ne!(bench.database().await, Some(second));

    bench.restart().await;
    assert_eq!((bench.database().await, bench.record()), (Some(second), Some(second)));
    let landings = bench.outlets.store.load_all().await.expect("loaded").landings;
    assert_eq!(landings.iter().map(|landing| landing.number).collect::<Vec<_>>(), [1, 2]);
    bench.restart().await;
    assert_eq!(bench.database().await, Some(second), "nothing is left to store");

    // A store whose record is gone gets it again from the database.
    std::fs::remove_file(bench.installed.head()).expect("removed");
    bench.restart().await;
    assert_eq!(bench.outlets.publisher.head().map(|head| head.record), Some(record));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_head_that_a_device_holds_is_stored_and_looked_up_before_anything_moves() {
    let mut bench = Bench::new().await;
    bench.fetch().await.expect("stored");
    let (first, mut ahead) = (bench.git.tip.expect("a commit"), bench.git.clone());
    let second = ahead.land(&[]);
    let mut elsewhere = Repository::new(SharedObjects::new(ahead.objects.clone()), bench.introduction, "main");
    elsewhere.advance(&second, now());
    let record = elsewhere.head_record().expect("a head");

    let (observation, mut answer) = observation(Some(record));
    bench.pass(Inbox { reports: vec![observation], ..Inbox::default() }).await.expect("a pass");
    assert_eq!((bench.database().await, bench.record()), (Some(first), Some(second)));
    assert!(matches!(bench.world.repository.condition(), Condition::Rewound { accepted, .. } if *accepted == second));
    assert!(bench.world.wants_fetch());
    let bytes = bench.outlets.publisher.head().expect("a record").bytes.to_vec();
    assert!(answer.try_recv().expect("an answer").contains(&Directive::Head { record: bytes }));
    // It is not forgotten by a restart, and ends when the branch leads there.
    bench.restart().await;
    bench.fetch().await.expect("a pass");
    assert!(!bench.world.wants_fetch());
    assert!(matches!(bench.world.repository.condition(), Condition::Rewound { accepted, .. } if *accepted == second));
    assert_eq!((bench.database().await, bench.record()), (Some(first), Some(second)));
    bench.git = ahead;
    bench.fetch().await.expect("a pass");
    assert_eq!((bench.database().await, bench.record()), (Some(second), Some(second)));
    assert_eq!(bench.world.repository.condition(), &Condition::Verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_void_before_a_newer_head_is_known_of_and_no_news_any_more() {
    let mut bench = Bench::new().await;
    bench.fetch().await.expect("stored");
    let mut ahead = bench.git.clone();
    let second = ahead.land(&[]);
    let mut elsewhere = Repository::new(SharedObjects::new(ahead.objects.clone()), bench.introduction, "main");
    elsewhere.advance(&second, now());
    let record = elsewhere.head_record().expect("a head");
    let landing = record.landing;
    bench.block_record().await;
    let (observation, _) = observation(Some(record));
    bench.pass(Inbox { reports: vec![observation], ..Inbox::default() }).await.expect_err("it cannot be stored");
    assert_eq!(bench.outlets.publisher.void_tokens(), VoidTokens::UpTo(landing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_sees_a_silence_and_the_loop_wakes_for_it() {
    let mut bench = Bench::new().await;
    bench.git.land(&[("trust/policy.yaml", &policy(2, "maxSilence: 7d,"))]);
    bench.fetch().await.expect("stored");
    let wakes = bench.world.wake_at().expect("a time");
    tick(&mut bench.world, &bench.outlets, &mut Inbox::default(), wakes).await.expect("a pass");
    assert!(matches!(bench.world.repository.condition(), Condition::Frozen { .. }));
    assert_eq!(bench.world.wake_at(), None, "once is enough");
    let view = bench.world.views("", true, wakes).repository.expect("a view");
    assert!(view.why.contains("Nobody has signed") && view.why.contains("7d"), "{}", view.why);
}

const EDGE: &str = "{selector: {matchLabels: {role: edge}}, template: {files: [{path: /opt/bellwether/a, content: one}], \
                    probes: none}}";

impl Bench {
    fn of(&self, device: &str) -> &crate::world::Device {
        &self.world.devices()[&device.parse::<DeviceName>().expect("a name")]
    }

    /// What a device finds in the store: the landing that it is offered.
    async fn finds(&self, device: &str) -> Option<u64> {
        let survey = self.outlets.publisher.survey().await.expect("read");
        let found = survey.devices.into_iter().find(|found| found.device.as_str() == device)?;
        found.offer.map(|offer| offer.version.landing)
    }

    async fn recorded(&self) -> Vec<u64> {
        let records = self.outlets.publisher.fleets().await.expect("read");
        let landing = |record: &crate::publish::FleetRecord| record.record["target"]["number"].as_u64();
        records.iter().filter_map(landing).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_recorded_in_the_store_before_the_offers_that_it_allows() {
    let mut bench = Bench::new().await;
    bench.git.land(&[("fleets/edge.yaml", EDGE)]);
    let fleets = bench.installed.store().join("fleets");
    std::fs::write(&fleets, "in the way").expect("written");
    let (observation, mut answer) = observation(None);
    let failed = bench.pass(Inbox { reports: vec![observation], ..bench.fetched() }).await;
    assert!(matches!(failed, Err(TickError::Publish(_))), "{failed:?}");
    assert!(
        bench.of("edge-1").row.offer.is_some() && bench.finds("edge-1").await.is_none(),
        "decided, and not offered"
    );
    answer.try_recv().expect("the device is answered all the same");

    std::fs::remove_file(&fleets).expect("removed");
    bench.pass(Inbox::default()).await.expect("tried again");
    assert_eq!((bench.recorded().await, bench.finds("edge-1").await), (vec![2], Some(2)));
    // A fleet that ended leaves nothing that a lost database would be filled with.
    bench.git.land(&[("fleets/other.yaml", &EDGE.replace("role: edge", "role: none"))]);
    bench.git.remove("fleets/edge.yaml");
    bench.fetch().await.expect("a pass");
    assert_eq!(bench.recorded().await, [3], "of the other one alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_waited_for_the_head_that_ends_its_right_counts_for_nothing() {
    let mut bench = Bench::new().await;
    bench.fetch().await.expect("stored");
    bench.git.land(&[("devices/edge-1.yaml", "{revoked: true}")]);
    let (report, mut answer) = observation(None);
    bench.pass(Inbox { reports: vec![report], ..bench.fetched() }).await.expect("a pass");
    assert!(bench.world.devices().is_empty(), "it is not taken for a device that was lost");
    answer.try_recv().expect_err("no answer: the listener refuses it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_remembers_proves_that_its_token_is_spent() {
    let mut bench = Bench::new().await;
    bench.fetch().await.expect("stored");
    let folder = bench.installed.store().join("enrolled");
    let spent = folder.join(Sha256Digest::of(b"edge-1").to_string());
    assert!(!folder.exists());
    std::fs::write(&folder, "in the way").expect("written");
    bench.pass(Inbox { reports: vec![observation(None).0], ..Inbox::default() }).await.expect("a pass");
    std::fs::remove_file(&folder).expect("removed");
    bench.pass(Inbox::default()).await.expect("a pass");
    assert!(spent.exists(), "what could not be written is kept in mind");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_newer_than_all_records_has_everybody_waited_for() {
    let mut bench = Bench::new().await;
    bench.git.land(&[("fleets/edge.yaml", EDGE)]);
    bench.fetch().await.expect("stored");
    let report = |device: &str, version: Option<u64>| {
        let (mut observation, answer) = observation(None);
        observation.identity =
            format!("bellwether://example.org/plant/{device}/{device}").parse().expect("an identity");
        observation.presented =
            version.map(|metadata_version| PresentedOffer { offer: None, metadata_version, is_current: true });
        drop(answer);
        observation
    };
    let mut reports = vec![report("edge-1", None), report("edge-2", None)];
    reports.iter_mut().for_each(|report| report.at -= jiff::SignedDuration::from_secs(1));
    bench.pass(Inbox { reports, ..Inbox::default() }).await.expect("a pass");
    assert!(bench.of("edge-2").row.offer.is_some());
    let known = bench.of("edge-1").row.metadata_version;

    bench.restart().await;
    // What is known is no news, and what was signed since the start is not either.
    for version in [known, known + 1] {
        bench.world.republish(["edge-1".parse().expect("a name")]);
        bench.pass(Inbox { reports: vec![report("edge-1", Some(version))], ..Inbox::default() }).await.expect("a pass");
        assert!(!bench.of("edge-2").row.awaiting_reconnect, "{version}");
    }
    let ahead = bench.of("edge-1").row.metadata_version + 1_000;
    // Nor is what whoever took keys made, that were rotated out since.
    let mut made = report("edge-1", Some(ahead));
    made.presented.as_mut().expect("presented").is_current = false;
    bench.pass(Inbox { reports: vec![made], ..Inbox::default() }).await.expect("a pass");
    assert!(!bench.of("edge-2").row.awaiting_reconnect);
    assert_eq!(bench.outlets.publisher.void_tokens(), VoidTokens::None);
    assert_eq!(*bench.outlets.unsettled_until.borrow(), Timestamp::MIN);
    let ahead = bench.of("edge-1").row.metadata_version + 1_000;
    // As long as that cannot be said of tokens, nothing else follows from it.
    let void = bench.installed.store().join("enrolled/void.json");
    std::fs::create_dir_all(void.join("in the way")).expect("made");
    let mut inbox = Inbox { reports: vec![report("edge-1", Some(ahead))], ..Inbox::default() };
    bench.pass_over(&mut inbox).await.expect_err("it cannot be written");
    assert!(inbox.reports.len() == 1 && !bench.of("edge-2").row.awaiting_reconnect);
    std::fs::remove_dir_all(&void).expect("removed");
    bench.pass(Inbox { reports: vec![report("edge-1", Some(ahead))], ..Inbox::default() }).await.expect("a pass");
    assert!(bench.of("edge-2").row.awaiting_reconnect && !bench.of("edge-1").row.awaiting_reconnect);
    assert_eq!(bench.outlets.publisher.void_tokens(), VoidTokens::All, "who was admitted since is not known");
    assert_eq!(*bench.outlets.unsettled_until.borrow(), now() + SETTLE, "nor which certificates were used");
    let events = bench.outlets.store.load_all().await.expect("loaded").events;
    assert!(events.iter().any(|stored| stored.event.code.as_deref() == Some(codes::RECORDS_BEHIND.as_str())));
    // It passes with the report, and is found once.
    bench.pass(Inbox { reports: vec![report("edge-2", None)], ..Inbox::default() }).await.expect("a pass");
    bench
        .pass(Inbox { reports: vec![report("edge-1", Some(ahead + 9_000))], ..Inbox::default() })
        .await
        .expect("a pass");
    assert!(!bench.of("edge-2").row.awaiting_reconnect);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_void_until_a_head_is_accepted_and_those_up_to_it_stay_so() {
    let mut bench = Bench::new().await;
    bench.outlets.publisher.store_void_tokens(None).await.expect("stored");
    bench.pass(Inbox::default()).await.expect("a pass");
    assert_eq!(*bench.outlets.void.borrow(), VoidTokens::All);
    bench.fetch().await.expect("stored");
    assert_eq!(*bench.outlets.void.borrow(), VoidTokens::UpTo(1));
    bench.git.land(&[]);
    bench.fetch().await.expect("stored");
    assert_eq!(*bench.outlets.void.borrow(), VoidTokens::UpTo(1), "what is listed since counts");
    // A device holds a newer head: what was spent up to that is not known either.
    let second = bench.git.tip.expect("a commit");
    let mut record = bench.world.repository.head_record().expect("a head");
    assert_eq!(record.commit, second);
    (record.commit, record.landing) = (bench.git.clone().land(&[]), 3);
    bench.pass(Inbox { reports: vec![observation(Some(record)).0], ..Inbox::default() }).await.expect("a pass");
    assert_eq!(*bench.outlets.void.borrow(), VoidTokens::UpTo(3));
    bench.outlets.publisher = bench.installed.restarted().await.expect("a publisher");
    assert_eq!(bench.outlets.publisher.void_tokens(), VoidTokens::UpTo(3), "also after a start");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_allows_counts_until_a_session_begins_without_it() {
    let mut bench = Bench::new().await;
    bench.fetch().await.expect("stored");
    let said = Allowed { exec: vec!["/bin/true".into()], ..Allowed::default() };
    for (begins_session, allows, expected) in [
        (true, Some(&said), Some(&said)),
        (false, None, Some(&said)),
        (true, None, None),
        (false, Some(&said), Some(&said)),
    ] {
        let (report, _answer) = observation(None);
        let device = report.identity.device.clone();
        let report = Observation { begins_session, allows: allows.cloned(), ..report };
        bench.pass(Inbox { reports: vec![report], ..Inbox::default() }).await.expect("stored");
        assert_eq!(bench.world.devices()[&device].row.allows.as_deref(), expected);
    }
}
