//! What is told of a wait: since when, by which rule, until when, which landing, and who decided.

use bellwether_schemas::CommitId;
use bellwether_schemas::api::{CommitView, DecisionView, DeviceView, RolloutView};
use bellwether_schemas::report::Health;

use super::*;

const TWO_WAVES: &str = "{waves: [{name: one, percent: 50, soak: 1m}, {name: rest, percent: 100, gate: manual}]}";

fn view(site: &Site, device: &str) -> DeviceView {
    let devices = site.world.views("", true, site.now).devices;
    devices.into_iter().find(|view| view.name.as_str() == device).expect("a known device")
}

fn rollout(site: &Site) -> RolloutView {
    site.world.views("", true, site.now).rollouts.remove(0)
}

fn land(site: &mut Site, git: &mut Git, files: &[(&str, &str)]) -> CommitId {
    let commit = git.land(files);
    site.fetch(git);
    commit
}

/// What is decided, as the file, what it does and the landing.
fn decided(views: &[DecisionView]) -> Vec<(&str, &str, u64)> {
    let landing = |view: &DecisionView| view.origin.as_ref().map_or(0, |landing| landing.landing);
    views.iter().map(|view| (view.file.as_str(), view.says.as_str(), landing(view))).collect()
}

fn number(landing: Option<&CommitView>) -> Option<u64> {
    landing.map(|landing| landing.landing)
}

#[tokio::test]
async fn gate_approval_and_hold_are_told_with_who_decided() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE), ("rollouts/edge.yaml", TWO_WAVES)]);
    let first = git.tip.expect("a commit");
    let mut site = Site::open(&git, Loaded::default()).await;
    let began = site.now;
    site.pass(&[("edge-1", readable(idle())), ("edge-2", readable(idle()))]).await.expect("stored");
    let (canary, other) = if site.offer("edge-1").is_some() { ("edge-1", "edge-2") } else { ("edge-2", "edge-1") };
    let waits = rollout(&site).waves[1].waits.clone().expect("it waits");
    assert_eq!(waits.since, Some(began), "since the first wave opened");
    assert_eq!(waits.rule.as_deref(), Some("rollouts/edge.yaml: waves, rest"));

    let both = |site: &Site| {
        let runs = readable(runs(&site.offer(canary).expect("an offer")));
        [(canary, runs), (other, readable(idle()))]
    };
    site.pass(&both(&site)).await.expect("stored");
    site.later(SignedDuration::from_mins(2));
    site.pass(&both(&site)).await.expect("stored");
    let device = view(&site, other);
    assert!(matches!(device.reason, Some(WaitingOn::Gate { .. })), "{device:?}");
    let waits = device.waits.expect("it waits");
    assert_eq!((waits.since, waits.rule.as_deref()), (Some(site.now), Some("rollouts/edge.yaml: waves, rest, gate")));
    let origin = device.origin.expect("a landing");
    assert_eq!((origin.commit, origin.landing, origin.signed_by().as_str()), (first, 1, "ada"));

    let approval = format!("{{fleet: edge, commit: {first}, open: [rest], reason: well}}");
    land(&mut site, &mut git, &[("approvals/go.yaml", &approval), ("holds/stop.yaml", "{all: true, reason: wait}")]);
    site.pass(&both(&site)).await.expect("stored");
    let held = view(&site, other);
    assert!(matches!(held.reason, Some(WaitingOn::Held { .. })), "{held:?}");
    let (hold, go) = (("holds/stop.yaml", "stops offers", 2), ("approvals/go.yaml", "opens rest", 2));
    assert_eq!(decided(&rollout(&site).decided), [hold, go]);
    assert_eq!(decided(&held.decided), [hold], "its wave is not open yet");
    let since = site.world.repository.decided_at("holds/stop.yaml").map(|landing| landing.committed);
    assert!(since.is_some() && held.waits.is_some_and(|waits| waits.since == since));
    assert!(rollout(&site).waves[1].waits.as_ref().is_some_and(|waits| waits.since == since));

    land(&mut site, &mut git, &[("holds/stop.yaml", "{fleets: [others], reason: wait}")]);
    site.pass(&both(&site)).await.expect("stored");
    assert_eq!(decided(&view(&site, other).decided), [go]);
    assert_eq!(decided(&view(&site, canary).decided), [], "it needed no gate");
}

#[tokio::test]
async fn a_pinned_device_goes_to_the_landing_of_its_pin_however_old_that_is() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let first = git.tip.expect("a commit");
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    land(&mut site, &mut git, &[("devices/edge-1.yaml", &format!("{{pin: {{commit: {first}}}}}"))]);
    land(&mut site, &mut git, &[("fleets/edge.yaml", &fleet("two"))]);
    for landing in 0..crate::repository::SHOWN_LANDINGS {
        git.land(&[("files/unnamed", &landing.to_string())]);
    }
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&offer))), ("edge-2", readable(idle()))]).await.expect("stored");
    let pinned = view(&site, "edge-1");
    assert!(matches!(pinned.reason, Some(WaitingOn::Pinned { .. })), "{pinned:?}");
    assert_eq!(number(pinned.origin.as_ref()), Some(1), "not its fleet's target");
    let pins = format!("pins it to {}", first.short());
    assert_eq!(decided(&pinned.decided), [("devices/edge-1.yaml", pins.as_str(), 2)]);
    let waits = pinned.waits.expect("it waits");
    assert_eq!(waits.rule.as_deref(), Some("devices/edge-1.yaml: pin"));
    assert_eq!(waits.since, pinned.decided[0].origin.as_ref().map(|landing| landing.committed));
    assert_eq!(number(rollout(&site).origin.as_ref()), Some(3), "older than what is listed");
    assert_eq!(number(view(&site, "edge-2").origin.as_ref()), Some(3));
    let listed = site.world.views("", true, site.now).commits;
    assert!(listed.iter().all(|landing| landing.landing > 3), "{:?}", listed.last());
}

#[tokio::test]
async fn who_is_in_no_fleet_is_told_what_ends_that() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    site.pass(&[("edge-1", readable(runs(&offer)))]).await.expect("stored");
    land(&mut site, &mut git, &[("fleets/edge.yaml", &nobody(EDGE))]);
    site.pass(&[("edge-1", readable(runs(&offer)))]).await.expect("stored");
    let orphan = view(&site, "edge-1");
    assert_eq!(orphan.reason, Some(WaitingOn::Orphaned));
    assert_eq!(orphan.waits.and_then(|waits| waits.ends).as_deref(), Some("when a fleet selects it"));
    assert_eq!(number(orphan.origin.as_ref()), Some(1), "what it runs");
    land(&mut site, &mut git, &[("fleets/edge.yaml", EDGE), ("fleets/more.yaml", EDGE)]);
    site.pass(&[("edge-1", readable(runs(&offer)))]).await.expect("stored");
    let overlap = view(&site, "edge-1").waits.expect("it waits");
    assert_eq!(overlap.rule.as_deref(), Some("fleets/edge.yaml, fleets/more.yaml: selector"));
}

#[tokio::test]
async fn who_is_paused_is_told_since_when_across_a_restart() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let altered = Claim { digest: Sha256Digest::of(b"other"), ..claim(&offer) };
    let report = || readable(Report { running: Some(altered), ..runs(&offer) });
    let since = |site: &Site| view(site, "edge-1").waits.and_then(|waits| waits.since);
    site.later(SignedDuration::from_secs(30));
    site.pass(&[("edge-1", report())]).await.expect("stored");
    assert!(matches!(view(&site, "edge-1").reason, Some(WaitingOn::Paused { .. })));
    let paused = site.now;
    site.later(SignedDuration::from_mins(1));
    site.pass(&[("edge-1", report())]).await.expect("stored");
    assert_eq!(since(&site), Some(paused));
    let mut later = Site::open(&git, site.stored().await).await;
    later.later(SignedDuration::from_mins(5));
    later.pass(&[("edge-1", report())]).await.expect("stored");
    assert_eq!(since(&later), Some(paused), "as the events tell");
    later.pass(&[("edge-1", readable(runs(&offer)))]).await.expect("stored");
    assert_eq!(since(&later), None, "it takes part again");
}

#[tokio::test]
async fn who_fails_its_probes_is_told_since_when() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    site.pass(&[("edge-1", readable(runs(&offer)))]).await.expect("stored");
    let unwell = || readable(Report { health: Health::Unhealthy, ..runs(&offer) });
    let since = |site: &Site| view(site, "edge-1").waits.and_then(|waits| waits.since);
    site.later(SignedDuration::from_mins(1));
    let began = site.now;
    for _ in 0..3 {
        site.pass(&[("edge-1", unwell())]).await.expect("stored");
        assert!(matches!(view(&site, "edge-1").reason, Some(WaitingOn::Unhealthy { .. })));
        assert_eq!(since(&site), Some(began));
        site.later(SignedDuration::from_mins(1));
    }
    site.pass(&[("edge-1", readable(runs(&offer)))]).await.expect("stored");
    assert_eq!(since(&site), None);
}

#[tokio::test]
async fn the_events_tell_what_becomes_of_a_rollout() {
    let waves =
        "{waves: [{name: one, percent: 50, soak: 0s}, {name: rest, percent: 100, soak: 0s}], deviceTimeout: 10m}";
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE), ("rollouts/edge.yaml", waves)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    let told = async |site: &Site| -> Vec<(Option<String>, String)> {
        let events = site.stored().await.events.into_iter().rev().map(|stored| stored.event);
        let of_rollout = events.filter(|event| event.kind == "rollout");
        of_rollout.map(|event| (event.code, event.message)).collect()
    };
    let quiet = |message: &str| (None, format!("edge: {message}"));
    site.pass(&[("edge-1", readable(idle())), ("edge-2", readable(idle()))]).await.expect("stored");
    let (canary, other) = if site.offer("edge-1").is_some() { ("edge-1", "edge-2") } else { ("edge-2", "edge-1") };
    let first = git.tip.expect("a commit").short().to_owned();
    let mut expected =
        vec![quiet(&format!("the rollout of v1 ({first}) begins")), quiet(&format!("wave one opens for v1 ({first})"))];
    assert_eq!(told(&site).await, expected);
    let mut at_first = Vec::new();
    for name in [canary, other] {
        at_first.push((name, runs(&site.offer(name).expect("an offer"))));
        let reports: Vec<_> = at_first.iter().map(|(name, report)| (*name, readable(report.clone()))).collect();
        site.pass(&reports).await.expect("stored");
    }
    expected.push(quiet(&format!("wave rest opens for v1 ({first})")));
    expected.push(quiet(&format!("the rollout of v1 ({first}) is complete. Every wave completed.")));
    assert_eq!(told(&site).await, expected);

    let second = land(&mut site, &mut git, &[("fleets/edge.yaml", &fleet("bad"))]).short().to_owned();
    site.pass(&[]).await.expect("stored");
    let is_taken = |(name, _): &&(&str, Report)| site.offer(name).is_some_and(|offer| offer.version.landing == 2);
    let (taken, report) = at_first.iter().find(is_taken).cloned().expect("one is offered it");
    let tries = claim(&site.offer(taken).expect("an offer"));
    let applying = Report { applying: Some(tries), phase: Phase::Applying, ..report.clone() };
    site.pass(&[(taken, readable(applying))]).await.expect("stored");
    let token = format!("{{id: t1, sha256: {:064x}, expires: 2030-01-31T12:00:00Z}}", 1);
    let plant = format!("{{labels: {{role: edge}}, tokens: [{token}]}}");
    let third = land(&mut site, &mut git, &[("enrollments/plant.yaml", &plant)]).short().to_owned();
    site.pass(&[]).await.expect("stored");
    let failure = Failure {
        version: Some(tries.version),
        digest: Some(tries.digest),
        kind: FailureKind::RolledBack,
        code: "BW-0406".to_owned(),
        message: "probe failed".to_owned(),
        at: site.now,
    };
    let back = Report { phase: Phase::RolledBack, failure: Some(failure), ..report };
    site.pass(&[(taken, readable(back))]).await.expect("stored");
    expected.push(quiet(&format!("the rollout of v2 ({second}) begins")));
    expected.push(quiet(&format!("wave one opens for v2 ({second})")));
    expected.push(quiet(&format!("the rollout of v2 ({second}) goes on as that of v3 ({third})")));
    let why = format!("edge: The rollout of {third} halted: 1 of 1 offered devices failed in wave one.");
    expected.push((Some("BW-0401".to_owned()), why));
    assert_eq!(told(&site).await, expected);
    let mut site = Site::open(&git, site.stored().await).await;
    site.pass(&[]).await.expect("stored");
    assert_eq!(told(&site).await, [], "a start is no news");
}
