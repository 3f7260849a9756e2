//! The world between reports, plans and the database.

mod allows;
mod leaving;
mod offers;
mod own;
mod site;
mod told;
mod unreadable;

use bellwether_schemas::api::{Summary, WaitingOn};
use bellwether_schemas::report::{Claim, Failure, FailureKind, Phase, Report, Reported};
use bellwether_schemas::targets::Supersedes;
use bellwether_schemas::{Sha256Digest, wire};
use jiff::SignedDuration;

use self::site::{STALE, Site, claim, identity, runs};
use super::observe::MAX_LOOKUPS;
use crate::store::Loaded;
use crate::testing::{Git, idle};

const EDGE: &str = "{selector: {matchLabels: {role: edge}}, template: {files: [{path: /opt/bellwether/a, content: one}], \
                    probes: none}}";

fn fleet(text: &str) -> String {
    EDGE.replace("content: one", &format!("content: {text}"))
}

fn nobody(fleet: &str) -> String {
    fleet.replace("role: edge", "role: none")
}

fn readable(report: Report) -> Reported {
    Reported::Readable(report)
}

#[tokio::test]
async fn no_report_uses_the_revisions_up() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let says = |revision: u32| {
        let version = bellwether_schemas::Version { revision, ..offer.version };
        let claim = Claim { version, template: offer.template, digest: Sha256Digest::of(b"other") };
        wire::read_report(wire::report_message(Report { running: Some(claim), ..idle() }, None)).0
    };
    assert!(matches!(says(u32::MAX), Reported::Unreadable { .. }));
    // The greatest number that counts, and an offer after it that the device does not take.
    let greatest = says(u32::MAX / 2);
    assert!(matches!(greatest, Reported::Readable(_)));
    site.pass(&[("edge-1", greatest.clone())]).await.expect("stored");
    for _ in 0..3 {
        site.later(STALE + STALE);
        site.pass(&[]).await.expect("the offer is withdrawn from a silent device");
        site.pass(&[("edge-1", greatest.clone())]).await.expect("a version is never given twice");
    }
    let again = site.offer("edge-1").expect("an offer");
    assert!(again.version.revision > u32::MAX / 2, "{again:?}");
}

#[tokio::test]
async fn a_device_that_the_database_forgot_gets_no_version_twice() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let loaded = Loaded { devices: Vec::new(), rollouts: Vec::new(), ..site.stored().await };
    assert_eq!(loaded.offered.len(), 1);
    let mut site = Site::open(&git, loaded).await;
    site.world.enrolled(&identity("edge-1"), site.now);
    site.world.observe(&identity("edge-1"), readable(idle()), None, site.now);
    site.world.plan(&"example.org".parse().expect("a domain"), site.now);
    assert_eq!(site.offer("edge-1").map(|offer| offer.version.revision), Some(1));
}

#[tokio::test]
async fn a_start_makes_no_device_stale_before_it_had_time_to_report() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    site.pass(&[("edge-1", readable(runs(&offer)))]).await.expect("stored");
    let summary = |site: &Site| site.world.views("", true, site.now).devices[0].status.summary.status;
    assert_eq!(summary(&site), Summary::Online);
    site.later(STALE * 10);
    assert_eq!(summary(&site), Summary::Stale);
    site.world.timing.serving_since = site.now;
    assert_eq!(summary(&site), Summary::Online);
    site.later(STALE);
    assert_eq!(summary(&site), Summary::Online);
    // It was silent already when others were heard of last.
    site.world.heard_before = Some(site.now);
    assert_eq!(summary(&site), Summary::Stale);
    site.world.heard_before = None;
    site.later(SignedDuration::from_secs(1));
    assert_eq!(summary(&site), Summary::Stale);
}

#[tokio::test]
async fn trying_again_puts_no_timeout_off() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let progress = |site: &Site| site.device("edge-1").row.last_progress;
    let fetching = readable(Report { phase: Phase::Fetching, ..idle() });
    site.later(SignedDuration::from_secs(60));
    site.pass(&[("edge-1", fetching.clone())]).await.expect("stored");
    let first = progress(&site);
    assert_eq!(first, Some(site.now));
    for _ in 0..3 {
        site.later(SignedDuration::from_secs(60));
        let failure = Failure {
            version: None,
            digest: None,
            kind: FailureKind::Transient,
            code: "BW-0001".to_owned(),
            message: "no route".to_owned(),
            at: site.now,
        };
        site.pass(&[("edge-1", readable(Report { failure: Some(failure), ..idle() }))]).await.expect("stored");
        site.pass(&[("edge-1", fetching.clone())]).await.expect("stored");
    }
    assert_eq!(progress(&site), first);
    let applying = Report { applying: Some(claim(&offer)), phase: Phase::Applying, ..idle() };
    site.pass(&[("edge-1", readable(applying))]).await.expect("stored");
    assert_eq!(progress(&site), Some(site.now));
    // Set up anew, it begins from nothing.
    site.later(SignedDuration::from_secs(60));
    site.pass(&[("edge-1", readable(Report { nonce: "n-2".to_owned(), ..idle() }))]).await.expect("stored");
    assert_eq!(progress(&site), Some(site.now));
}

#[tokio::test]
async fn who_leaves_every_fleet_keeps_what_it_runs() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let mut begun = Site::open(&git, Loaded::default()).await;
    begun.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let applying = Report { applying: Some(claim(&offer)), phase: Phase::Applying, ..idle() };
    begun.pass(&[("edge-1", readable(applying.clone()))]).await.expect("stored");

    git.land(&[("fleets/edge.yaml", &nobody(EDGE))]);
    for site in [&mut site, &mut begun] {
        site.fetch(&git);
        site.pass(&[]).await.expect("stored");
    }
    assert_eq!(site.offer("edge-1"), None, "what it has not begun is withdrawn");
    assert_eq!(begun.offer("edge-1").as_ref(), Some(&offer), "what it has begun it ends");
    site.pass(&[("edge-1", readable(applying))]).await.expect("stored");
    assert!(site.world.answer(&"edge-1".parse().expect("a name")).is_empty());
}

#[tokio::test]
async fn one_commit_is_the_template_of_two_fleets() {
    let other = fleet("two");
    let mut git = Git::begin(&[("fleets/a.yaml", EDGE), ("fleets/b.yaml", &nobody(&other))]);
    let mut site = Site::open(&git, Loaded::default()).await;
    let first = git.tip.expect("a commit");
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let of_a = site.device("edge-1").known_digest(&first);
    assert!(of_a.is_some());
    git.land(&[("fleets/a.yaml", &nobody(EDGE)), ("fleets/b.yaml", &other)]);
    site.fetch(&git);
    assert_ne!(site.device("edge-1").known_digest(&first), of_a, "it is in b now");
}

#[tokio::test]
async fn a_history_that_replaces_another_does_not_take_over_its_stable() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let fork = git.clone();
    git.land(&[("fleets/edge.yaml", &fleet("bad"))]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let bad = site.offer("edge-1").expect("an offer");
    assert_eq!(bad.version.landing, 2);
    site.pass(&[("edge-1", readable(runs(&bad)))]).await.expect("stored");
    site.later(SignedDuration::from_hours(1));
    site.pass(&[("edge-1", readable(runs(&bad)))]).await.expect("stored");
    for _ in 0..3 {
        site.later(SignedDuration::from_secs(1));
        site.later(SignedDuration::from_hours(1));
        site.pass(&[("edge-1", readable(runs(&bad)))]).await.expect("stored");
    }
    let loaded = site.stored().await;
    assert_eq!(loaded.rollouts[0].record["stable"]["number"], 2, "{}", loaded.rollouts[0].record);

    // Another landing 2 is the new introduction.
    let mut git = fork;
    git.land(&[("fleets/edge.yaml", &fleet("good"))]);
    let mut site = Site::open(&git, loaded).await;
    site.pass(&[("edge-1", readable(runs(&bad))), ("edge-2", readable(idle()))]).await.expect("stored");
    assert!(site.device("edge-1").row.paused.is_some(), "it runs what the history lacks");
    // The template of the new landing 2 is the target, and waits for its wave like any other.
    let offer = site.offer("edge-2");
    assert!(offer.as_ref().is_none_or(|offer| Some(offer.template) == git.tip), "{offer:?}");
}

#[tokio::test]
async fn an_offer_below_one_that_left_the_history_names_what_runs() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let fork = git.clone();
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let first = site.offer("edge-1").expect("an offer");
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    git.land(&[]);
    git.land(&[("fleets/edge.yaml", &fleet("lost"))]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    let lost = site.offer("edge-1").expect("an offer");
    assert_eq!((lost.version.landing, lost.supersedes), (3, None));

    // It began that, failed, and runs the first version again; meanwhile the history was replaced by a shorter one.
    let mut git = fork;
    git.land(&[("fleets/edge.yaml", &fleet("kept"))]);
    let mut site = Site::open(&git, site.stored().await).await;
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let running = Supersedes::Running { version: first.version, digest: first.digest };
    assert_eq!((offer.version.landing, offer.supersedes.clone()), (2, Some(running)));
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    assert_eq!(site.offer("edge-1"), Some(offer), "it is made once");
}

#[tokio::test]
async fn commits_that_are_missing_are_looked_up_once_and_forgotten() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let says = |digit: &str| {
        let version = bellwether_schemas::Version { commit: digit.repeat(40).parse().expect("an id"), ..offer.version };
        readable(Report { running: Some(Claim { version, ..claim(&offer) }), ..runs(&offer) })
    };
    let elsewhere = |digit: &str| match says(digit) {
        Reported::Readable(mut report) => {
            if let Some(claim) = &mut report.running {
                claim.digest = Sha256Digest::of(b"other");
            }
            readable(report)
        }
        other => other,
    };
    for digit in ["a", "b", "c"] {
        site.pass(&[("edge-1", elsewhere(digit))]).await.expect("stored");
        assert!(site.world.wants_fetch());
        site.fetch(&git);
        assert!(!site.world.wants_fetch());
    }
    assert_eq!(site.world.lookups.done.len(), 1);
    git.land(&[]);
    site.fetch(&git);
    assert!(!site.world.wants_fetch(), "the fetch that brought the head looked it up");

    // Somebody names ever new ones while git cannot be reached.
    let id = |number: usize| format!("{number:040x}").parse::<bellwether_schemas::CommitId>().expect("an id");
    let many = (0..MAX_LOOKUPS).map(id);
    site.world.lookups.wanted.extend(many);
    site.pass(&[("edge-1", elsewhere("d"))]).await.expect("stored");
    assert_eq!(site.world.lookups.wanted.len(), MAX_LOOKUPS);
    let paused = site.device("edge-1").row.paused.clone();
    assert!(matches!(paused, Some(WaitingOn::Paused { .. })), "without a look: {paused:?}");
}

#[tokio::test]
async fn devices_that_lack_one_commit_name_it_and_are_told_of_once() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let claim = |digit: &str, landing: u64| {
        let version =
            bellwether_schemas::Version { commit: digit.repeat(40).parse().expect("an id"), landing, revision: 0 };
        Claim { version, template: version.commit, digest: Sha256Digest::of(b"other") }
    };
    let lacks = |applying: Option<Claim>| readable(Report { running: Some(claim("a", 7)), applying, ..runs(&offer) });
    let told = |site: &Site| -> Vec<String> {
        let alarms = site.world.change.events.iter().filter(|event| event.code.as_deref() == Some("BW-0305"));
        alarms.map(|event| event.message.clone()).collect()
    };
    let domain = "example.org".parse().expect("a domain");
    let report = |site: &mut Site, name: &str, report: Reported| {
        site.world.observe(&identity(name), report, None, site.now);
        site.fetch(&git);
        site.world.plan(&domain, site.now);
    };
    report(&mut site, "edge-1", lacks(None));
    assert_eq!(told(&site), [""; 0], "one device may be the one at fault");
    report(&mut site, "edge-2", lacks(Some(claim("b", 1))));
    let message = format!("2 devices report commit {}, which is missing from the git history", "a".repeat(40));
    assert_eq!(told(&site), std::slice::from_ref(&message));
    report(&mut site, "edge-3", lacks(None));
    assert_eq!(told(&site), [message], "it is told once");

    let views = site.world.views("", true, site.now);
    let conflict = |name: &str| {
        let view = views.devices.iter().find(|view| view.name.as_str() == name).expect("a device");
        let missing = view.conflict.iter().flat_map(|conflict| &conflict.missing);
        let shown =
            missing.map(|m| format!("{} {} {:?} {:?}", &m.commit.to_string()[..1], m.landing, m.claim, m.stand));
        (view.status.summary.status.as_str(), shown.collect::<Vec<_>>())
    };
    assert_eq!(conflict("edge-1"), ("ConflictPaused", vec!["a 7 Running Ahead".to_owned()]));
    let both = vec!["a 7 Running Ahead".to_owned(), "b 1 Applying Diverged".to_owned()];
    assert_eq!(conflict("edge-2"), ("ConflictPaused", both));
}

#[tokio::test]
async fn without_a_verified_head_nobody_is_told_to_go_on() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let mut loaded = site.stored().await;
    loaded.head = None;
    let name = "edge-1".parse().expect("a name");
    let mut blind = Site::open(&git, Loaded::default()).await;
    blind.world = {
        let timing = site.world.timing;
        let objects = crate::repository::SharedObjects::new(bellwether_core::objects::MemoryObjects::default());
        let repository = crate::repository::Repository::new(objects, site.introduction, "main");
        crate::world::World::new(repository, timing, loaded)
    };
    let applying = Report { applying: Some(claim(&offer)), phase: Phase::Applying, ..idle() };
    blind.world.observe(&identity("edge-1"), readable(applying.clone()), None, blind.now);
    blind.world.acknowledge(std::slice::from_ref(&name), blind.now);
    assert!(blind.world.answer(&name).is_empty());
    site.pass(&[("edge-1", readable(applying))]).await.expect("stored");
    assert_eq!(site.world.answer(&name).len(), 1, "with one it is");
}

#[tokio::test]
async fn a_branch_that_was_set_back_pauses_who_is_ahead_also_where_nothing_is_accepted() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let before = git.clone();
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let first = site.offer("edge-1").expect("an offer");
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    git.land(&[("fleets/edge.yaml", &fleet("two"))]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    let second = site.offer("edge-1").expect("an offer");
    let head = site.world.repository.head_record().map(|record| crate::store::HeadRow::from(&record));
    assert!(head.as_ref().is_some_and(|head| head.landing == 2));

    // Database and mirror are lost; the store names a head that the branch does not have.
    let mut lost = Site::open(&before, Loaded::default()).await;
    let timing = lost.world.timing;
    let objects = crate::repository::SharedObjects::new(before.objects.clone());
    let mut repository = crate::repository::Repository::new(objects, lost.introduction, "main");
    repository.restore(None, head, lost.now);
    lost.world = crate::world::World::new(repository, timing, Loaded::default());
    lost.fetch(&before);
    assert!(lost.world.repository.is_rewound() && lost.world.repository.head().is_none());
    lost.pass(&[("edge-1", readable(runs(&second))), ("edge-2", readable(runs(&first)))]).await.expect("stored");
    lost.fetch(&before);
    lost.pass(&[]).await.expect("stored");
    let paused = |site: &Site, name: &str| site.device(name).row.paused.clone();
    let commit = Some(second.version.commit);
    assert!(
        matches!(paused(&lost, "edge-1"), Some(bellwether_schemas::api::WaitingOn::Paused { commit: found, .. }) if found == commit)
    );
    assert_eq!(paused(&lost, "edge-2"), None);
    lost.fetch(&git);
    lost.pass(&[]).await.expect("stored");
    assert_eq!(paused(&lost, "edge-1"), None, "the missing commit is back");
}
