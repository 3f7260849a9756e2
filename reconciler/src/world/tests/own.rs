//! A device with a template of its own.

use bellwether_schemas::api::WaitingOn;

use super::*;

/// The Device of edge-1, with this role and this content.
fn own(role: &str, content: &str) -> String {
    format!(
        "{{labels: {{role: {role}}}, template: {{files: [{{path: /opt/bellwether/a, content: {content}}}], probes: none}}}}"
    )
}

const DEVICE: &str = "devices/edge-1.yaml";

#[tokio::test]
async fn what_a_device_of_its_own_shall_run_is_offered_to_it_alone_and_rolls_out_as_usual() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE), (DEVICE, &own("own", "mine"))]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle())), ("edge-2", readable(idle()))]).await.expect("stored");
    let (first, other) = (site.offer("edge-1").expect("an offer"), site.offer("edge-2").expect("an offer"));
    assert_eq!((first.fleet.as_str(), other.fleet.as_str()), ("device.edge-1", "edge"));
    assert_ne!(first.digest, other.digest);
    assert!(first.soak > bellwether_schemas::Seconds::ZERO, "the agent goes on probing, and goes back if it falls ill");

    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    git.land(&[(DEVICE, &own("own", "other"))]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&first))), ("edge-2", readable(idle()))]).await.expect("stored");
    let second = site.offer("edge-1").expect("an offer");
    assert_eq!((second.version.landing, second.fleet.as_str()), (2, "device.edge-1"));
    assert_eq!(site.offer("edge-2"), Some(other), "nobody else is touched");

    // What fails on it is not offered again.
    let failure = Failure {
        version: Some(second.version),
        digest: Some(second.digest),
        kind: FailureKind::RolledBack,
        code: "BW-0651".to_owned(),
        message: "a probe failed".to_owned(),
        at: site.now,
    };
    let failed = Report { failure: Some(failure), phase: Phase::RolledBack, ..runs(&first) };
    site.pass(&[("edge-1", readable(failed.clone()))]).await.expect("stored");
    assert!(matches!(site.reason("edge-1"), Some(WaitingOn::Failed { .. })), "{:?}", site.reason("edge-1"));
    assert_eq!(site.offer("edge-1").map(|offer| offer.version), Some(first.version));

    // A start finds all of it.
    let mut again = Site::open(&git, site.stored().await).await;
    again.pass(&[("edge-1", readable(failed))]).await.expect("stored");
    assert!(matches!(again.reason("edge-1"), Some(WaitingOn::Failed { .. })));
}

#[tokio::test]
async fn a_fleet_that_selects_it_wins_and_the_page_says_so() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE), (DEVICE, &own("own", "mine"))]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let first = site.offer("edge-1").expect("an offer");
    let told = |site: &Site| {
        let invalid = site.world.views("url", true, site.now).invalid;
        invalid.into_iter().find(|view| view.path == DEVICE).map(|view| view.problems.join("\n"))
    };
    assert_eq!(told(&site), None);

    git.land(&[(DEVICE, &own("edge", "mine"))]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    assert_eq!(site.offer("edge-1").map(|offer| offer.fleet.to_string()).as_deref(), Some("edge"));
    assert!(told(&site).is_some_and(|told| told.contains("BW-0118")), "{:?}", told(&site));

    git.land(&[(DEVICE, &own("own", "mine"))]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    assert_eq!((site.reason("edge-1"), told(&site)), (None, None), "it is where it shall be");

    // Without a template it is like any device that no fleet selects.
    git.land(&[(DEVICE, "{labels: {role: own}}")]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(runs(&first)))]).await.expect("stored");
    assert_eq!(site.reason("edge-1"), Some(WaitingOn::Orphaned));
    assert!(site.world.views("url", true, site.now).fleets.iter().all(|fleet| fleet.name.as_str() == "edge"));
}
