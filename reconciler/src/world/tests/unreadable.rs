//! What is told of devices and rollouts when the records, or the devices themselves, are in the middle of something.

use bellwether_schemas::report::{Failure, FailureKind, Phase, Report};

use super::site::{STALE, Site, runs};
use super::{EDGE, fleet, readable};
use crate::store::{Loaded, StoredEvent};
use crate::testing::{Git, idle};

#[tokio::test]
async fn a_record_of_a_newer_release_counts_as_lost_and_what_failed_is_not_tried_again() {
    let at_once = "{waves: [{name: all, percent: 100, soak: 0s}]}";
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE), ("rollouts/edge.yaml", at_once)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle())), ("edge-2", readable(idle()))]).await.expect("stored");
    let first = site.offer("edge-1").expect("an offer");
    let here = readable(runs(&site.offer("edge-2").expect("an offer")));
    site.pass(&[("edge-1", readable(runs(&first))), ("edge-2", here.clone())]).await.expect("stored");
    git.land(&[("fleets/edge.yaml", &fleet("two"))]);
    site.fetch(&git);
    site.pass(&[]).await.expect("stored");
    let second = site.offer("edge-1").expect("an offer");
    let failed = Failure {
        version: Some(second.version),
        digest: Some(second.digest),
        kind: FailureKind::RolledBack,
        code: "BW-0651".to_owned(),
        message: "no".to_owned(),
        at: site.now,
    };
    let failed = readable(Report { failure: Some(failed), ..runs(&first) });
    site.pass(&[("edge-1", failed.clone())]).await.expect("stored");
    assert_eq!(site.stored().await.rollouts[0].record["halted"]["failures"], 1);

    let mut loaded = site.stored().await;
    let sequence = loaded.rollouts[0].sequence;
    loaded.rollouts[0].record["ofANewerRelease"] = true.into();
    let mut older = Site::open(&git, loaded).await;
    older.pass(&[("edge-1", failed), ("edge-2", here)]).await.expect("stored");
    let stored = older.stored().await.rollouts.remove(0);
    assert!(stored.record["rebuilt"] == true && stored.sequence > sequence, "{stored:?}");
    assert_eq!(stored.record["halted"]["failures"], 1, "what the device says is enough: {stored:?}");
    assert_ne!(older.offer("edge-1").map(|offer| offer.digest), Some(second.digest));
    assert_ne!(older.offer("edge-2").map(|offer| offer.digest), Some(second.digest));
    let events = older.stored().await.events;
    let told = |event: &StoredEvent| {
        event.event.code.as_deref() == Some("BW-0530") && event.event.message.contains("edge's rollout cannot be read")
    };
    assert!(events.iter().any(told), "{events:?}");
}

#[tokio::test]
async fn who_falls_silent_on_the_way_back_shows_reverting_until_it_reports() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let failure = Failure {
        version: Some(offer.version),
        digest: Some(offer.digest),
        kind: FailureKind::RolledBack,
        code: "BW-0651".to_owned(),
        message: "no".to_owned(),
        at: site.now,
    };
    let back = |phase| readable(Report { phase, failure: Some(failure.clone()), ..idle() });
    site.pass(&[("edge-1", back(Phase::RollingBack))]).await.expect("stored");
    site.later(STALE + STALE);
    site.pass(&[]).await.expect("stored");
    let words = |site: &Site| {
        let views = site.world.views("", false, site.now);
        let status = &views.devices.first().expect("a device").status;
        (status.summary.status.as_str(), status.updated.status.as_str())
    };
    assert_eq!(words(&site), ("Stale", "Reverting"));
    site.pass(&[("edge-1", back(Phase::RolledBack))]).await.expect("stored");
    assert_eq!(words(&site), ("Error", "Failed"));
}
