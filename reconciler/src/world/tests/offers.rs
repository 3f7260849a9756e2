//! Offers: what still stands behind them, when their time runs, and which are remembered.

use bellwether_schemas::report::Directive;

use super::*;
use crate::world::FleetState;

fn applying(offer: &bellwether_schemas::targets::SignedOffer, report: Report) -> Reported {
    readable(Report { applying: Some(claim(offer)), phase: Phase::Applying, ..report })
}

fn told_to_go_on(site: &Site) -> bool {
    let told = site.world.answer(&"edge-1".parse().expect("a name"));
    told.iter().any(|directive| matches!(directive, Directive::Proceed { .. }))
}

#[tokio::test]
async fn an_offer_of_a_history_that_was_given_up_is_withdrawn_and_never_begun() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let first = site.offer("edge-1").expect("an offer");
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    let mut fork = git.clone();
    git.land(&[("fleets/edge.yaml", &fleet("bad"))]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    let bad = site.offer("edge-1").expect("an offer");
    assert_eq!(bad.version.landing, 2);

    // The history goes back, with a Resume over the bad landing; the device would begin what it was offered there.
    let resume = format!("{{over: [{}], devices: [edge-1], reason: lost}}", bad.version.commit);
    fork.land(&[("resumes/lost.yaml", &resume)]);
    for report in [readable(runs(&first)), applying(&bad, runs(&first))] {
        let mut site = Site::open(&fork, site.stored().await).await;
        site.pass(&[("edge-1", report)]).await.expect("stored");
        assert_ne!(site.offer("edge-1"), Some(bad.clone()), "it cannot be found any more");
        assert!(!told_to_go_on(&site));
    }
    // Also where its word to go on was given, and lost.
    let asks = applying(&bad, runs(&first));
    site.pass(&[("edge-1", asks.clone())]).await.expect("stored");
    assert!(told_to_go_on(&site));
    let mut site = Site::open(&fork, site.stored().await).await;
    site.pass(&[("edge-1", asks)]).await.expect("stored");
    assert!(!told_to_go_on(&site));
}

#[tokio::test]
async fn nobody_begins_while_the_repository_is_rewound() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let before = git.clone();
    git.land(&[]);
    let mut site = Site::open(&before, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    site.fetch(&git);
    site.fetch(&before);
    assert!(site.world.repository.is_rewound());
    site.pass(&[("edge-1", applying(&offer, idle()))]).await.expect("stored");
    assert!(!told_to_go_on(&site), "a halt would go unseen");
    site.fetch(&git);
    site.pass(&[("edge-1", applying(&offer, idle()))]).await.expect("stored");
    assert!(told_to_go_on(&site));
}

#[tokio::test]
async fn the_time_of_an_offer_runs_from_when_it_can_be_seen() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    let failed = |site: &Site| {
        let record = site.world.fleets.values().next().and_then(FleetState::rollout);
        record.is_some_and(|record: &bellwether_core::plan::RolloutRecord| record.halted.is_some())
    };
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let name: bellwether_schemas::DeviceName = "edge-1".parse().expect("a name");
    // The store fails for two hours, in which the device reports and sees nothing.
    for _ in 0..4 {
        site.later(SignedDuration::from_mins(30));
        site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    }
    assert!(!failed(&site) && site.offer("edge-1") == Some(offer));
    assert!(site.world.answer(&name).is_empty(), "it is not sent for what it would not find");
    site.world.published([(name.clone(), 7)], site.now);
    assert_eq!(site.world.answer(&name), [Directive::SpecAvailable]);
    site.later(SignedDuration::from_mins(29));
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    assert!(!failed(&site));
    // Signing it again is no reason for more time.
    site.world.published([(name, 8)], site.now);
    site.later(SignedDuration::from_mins(2));
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    assert!(failed(&site), "a device that sees its offer and does nothing has failed");
}

#[tokio::test]
async fn only_offers_that_may_matter_are_remembered() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let first = site.offer("edge-1").expect("an offer");
    let runs_first = readable(runs(&first));
    let mut git = git;
    for number in 0..30 {
        git.land(&[("fleets/edge.yaml", &fleet(&format!("content {number}")))]);
        site.fetch(&git);
        site.later(SignedDuration::from_secs(1));
        site.pass(&[("edge-1", runs_first.clone())]).await.expect("stored");
    }
    let stored = site.stored().await.offered;
    assert!((8..=10).contains(&stored.len()), "{}", stored.len());
    assert!(stored.iter().any(|offered| offered.version == first.version), "it runs that");
    assert_eq!(stored.iter().map(|offered| offered.version.landing).max(), Some(31));
}

#[tokio::test]
async fn two_nonces_in_turn_put_no_timeout_off() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let mut progress = Vec::new();
    for nonce in ["n-2", "n-3", "n-2", "n-3"] {
        site.later(SignedDuration::from_secs(60));
        site.pass(&[("edge-1", readable(Report { nonce: nonce.to_owned(), ..idle() }))]).await.expect("stored");
        progress.push(site.device("edge-1").row.last_progress);
    }
    assert!(progress[0].is_some() && progress.iter().all(|at| *at == progress[0]), "{progress:?}");
}

#[tokio::test]
async fn a_commit_that_could_not_be_looked_up_pauses_nobody_yet() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let version = bellwether_schemas::Version { commit: "a".repeat(40).parse().expect("an id"), ..offer.version };
    let unknown = Claim { version, digest: Sha256Digest::of(b"other"), ..claim(&offer) };
    site.pass(&[("edge-1", readable(Report { running: Some(unknown), ..runs(&offer) }))]).await.expect("stored");
    assert!(matches!(site.device("edge-1").row.paused, Some(bellwether_schemas::api::WaitingOn::Lookup { .. })));
    assert!(site.world.wants_fetch());
    site.fetch(&git);
    site.pass(&[]).await.expect("stored");
    assert!(matches!(site.device("edge-1").row.paused, Some(bellwether_schemas::api::WaitingOn::Paused { .. })));
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_told_once() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    for minutes in [0, 4, -600, -599, 0, 600] {
        site.later(SignedDuration::from_secs(1));
        let clock = site.now + SignedDuration::from_mins(minutes);
        site.pass(&[("edge-1", readable(Report { clock, ..idle() }))]).await.expect("stored");
    }
    let events = site.stored().await.events;
    let told: Vec<_> =
        events.iter().filter(|stored| stored.event.kind == "clock").map(|stored| &stored.event).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|event| event.code.as_deref() == Some("BW-0304")));
    assert!(told[1].message.contains("600 min behind") && told[0].message.contains("600 min ahead"), "{told:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_this_time_is_nobodys_failure() {
    let spec = EDGE.replace("content: one", "source: files/one");
    let git = Git::begin(&[("fleets/edge.yaml", &spec), ("files/one", "one")]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.fetch(&git.without("one"));
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    assert!(site.offer("edge-1").is_none() && site.stored().await.rollouts.is_empty(), "nothing is decided");
    assert!(site.world.wake_at().is_some_and(|at| at > site.now));
    site.fetch(&git);
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    assert!(site.offer("edge-1").is_some());
}

#[tokio::test]
async fn nobody_begins_in_a_fleet_that_cannot_be_planned() {
    let spec = EDGE.replace("content: one", "source: files/one, template: true");
    let text = "{{ device.name }}";
    let git = Git::begin(&[("fleets/edge.yaml", &spec), ("files/one", text)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    // What edge-1 runs is known already; for edge-2 the file is needed, and cannot be read.
    site.fetch(&git.without(text));
    site.pass(&[("edge-2", readable(idle())), ("edge-1", applying(&offer, idle()))]).await.expect("stored");
    assert!(!told_to_go_on(&site), "a Hold would go unseen");
    site.fetch(&git);
    site.later(SignedDuration::from_secs(10));
    site.pass(&[("edge-1", applying(&offer, idle()))]).await.expect("stored");
    assert!(told_to_go_on(&site));
}

#[tokio::test]
async fn a_commit_cannot_take_its_canary_out_of_the_first_wave() {
    let rollout = "{waves: [{name: canary, select: {matchLabels: {ring: canary}}}, {name: rest, percent: 100}]}";
    let plant = |ring: &str| {
        let token = |id: &str, labels: &str| {
            let hash = Sha256Digest::of(id.as_bytes());
            format!("{{id: {id}, sha256: \"{hash}\", expires: \"2100-01-01T00:00:00Z\"{labels}}}")
        };
        let first = token("edge-1", ring);
        format!("{{labels: {{role: edge}}, tokens: [{first}, {}]}}", token("edge-2", ""))
    };
    let canary = plant(", labels: {ring: canary}");
    let mut git =
        Git::begin(&[("fleets/edge.yaml", EDGE), ("rollouts/edge.yaml", rollout), ("enrollments/plant.yaml", &canary)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    // Names that the enrollment made: git does not know them.
    let names = ["plant-00000000000000aa", "plant-00000000000000bb"];
    let entries = ["edge-1", "edge-2"];
    let observe = |site: &mut Site| {
        for (name, entry) in names.iter().zip(entries) {
            let identity = format!("bellwether://example.org/plant/{entry}/{name}").parse().expect("an identity");
            site.world.observe(&identity, readable(idle()), None, site.now);
        }
        site.world.plan(&"example.org".parse().expect("a domain"), site.now);
    };
    git.land(&[("fleets/edge.yaml", &fleet("two")), ("enrollments/plant.yaml", &plant(""))]);
    site.fetch(&git);
    observe(&mut site);
    assert!(site.offer(names[0]).is_some(), "it was the canary before the commit");
    assert!(site.offer(names[1]).is_none(), "the rest waits for it");
}
