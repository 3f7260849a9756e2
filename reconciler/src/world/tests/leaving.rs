//! Devices that are decommissioned.

use bellwether_core::admission::Admission;
use bellwether_schemas::api::{Summary, WaitingOn};
use bellwether_schemas::{DeviceName, codes};

use super::*;

const LEAVES: &str = "{decommission: true}";

fn name(device: &str) -> DeviceName {
    device.parse().expect("a name")
}

fn summary(site: &Site, device: &str) -> Summary {
    let views = site.world.views("", true, site.now);
    let view = views.devices.iter().find(|view| view.name.as_str() == device).expect("a device");
    view.status.summary.status
}

fn admitted(site: &mut Site, device: &str) -> Admission {
    site.world.admissions().expect("a head").admit(&identity(device))
}

/// What `edge-1` is told by its signed targets, if anything is to be published for it.
fn told(site: &mut Site) -> Option<bool> {
    let all = site.world.publications(100, site.now);
    let mine = all.into_iter().find(|it| it.binding.device == name("edge-1"))?;
    assert!(!mine.binding.decommission || mine.binding.offer.is_none());
    Some(mine.binding.decommission)
}

/// As a pass does: the store has what is to be recorded.
async fn record(site: &mut Site) -> Vec<crate::publish::DecommissionRecord> {
    let records = site.world.departures().into_iter().filter_map(|(_, record)| record).collect();
    site.world.departures_written();
    site.pass(&[]).await.expect("stored");
    records
}

/// `edge-1` runs what it was offered, and a commit says that it leaves.
async fn leaving(git: &mut Git) -> (Site, Report) {
    let mut site = Site::open(git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    let running = runs(&offer);
    site.pass(&[("edge-1", readable(running.clone())), ("edge-2", readable(idle()))]).await.expect("stored");
    site.world.published([(name("edge-1"), 1), (name("edge-2"), 1)], site.now);
    git.land(&[("devices/edge-1.yaml", LEAVES)]);
    site.later(SignedDuration::from_mins(1));
    site.fetch(git);
    site.pass(&[]).await.expect("stored");
    let events = site.stored().await.events;
    let told = events.iter().find(|stored| stored.event.kind == "decommissioning").expect("people are told");
    assert_eq!(told.event.at, site.now, "when it was decided, not when the device was heard of last");
    (site, running)
}

fn removed(report: &Report) -> Report {
    Report { running: None, phase: Phase::Decommissioned, ..report.clone() }
}

#[tokio::test]
async fn from_the_commit_on_it_is_out_of_every_fleet_and_refused_once_it_has_removed_everything() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let (mut site, running) = leaving(&mut git).await;
    assert_eq!(site.reason("edge-1"), Some(WaitingOn::Decommissioning));
    assert_eq!((site.device("edge-1").placement.fleet(), site.offer("edge-1")), (None, None));
    assert_eq!(summary(&site, "edge-1"), Summary::Online, "it is there, and has not done it");
    assert_eq!(told(&mut site), Some(true));
    site.pass(&[("edge-1", readable(running.clone()))]).await.expect("stored");
    assert!(site.world.departures().is_empty() && admitted(&mut site, "edge-1") == Admission::Full);

    site.pass(&[("edge-1", readable(removed(&running)))]).await.expect("stored");
    assert_eq!(admitted(&mut site, "edge-1"), Admission::Full, "nothing counts before it is recorded");
    let records = record(&mut site).await;
    assert_eq!(records.len(), 1);
    assert!(matches!(site.reason("edge-1"), Some(WaitingOn::Decommissioned { .. })));
    assert_eq!(summary(&site, "edge-1"), Summary::Decommissioned);
    let refused = admitted(&mut site, "edge-1");
    assert!(matches!(refused, Admission::Refused { code, .. } if code == codes::DEVICE_DECOMMISSIONED), "{refused:?}");
    let again = site.world.admissions();
    assert!(std::sync::Arc::ptr_eq(&again.expect("a head"), &site.world.admissions().expect("a head")), "told once");

    // The database is lost: the record is in the store.
    let mut site = Site::open(&git, Loaded::default()).await;
    site.world.take_decommissioned(records);
    assert!(matches!(admitted(&mut site, "edge-1"), Admission::Refused { .. }));
    assert_eq!(admitted(&mut site, "edge-2"), Admission::Full);
    site.world.enrolled_before(&identity("edge-1"), site.now);
    site.pass(&[]).await.expect("stored");
    assert_eq!(summary(&site, "edge-1"), Summary::Decommissioned);
}

#[tokio::test]
async fn it_wins_over_a_pause_and_a_word_of_the_device_alone_ends_nothing() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    site.pass(&[("edge-1", readable(idle()))]).await.expect("stored");
    let offer = site.offer("edge-1").expect("an offer");
    // Nobody asked for it.
    site.pass(&[("edge-1", readable(removed(&runs(&offer))))]).await.expect("stored");
    assert!(site.world.departures().is_empty());

    let ahead = Claim { version: bellwether_schemas::Version { landing: 99, ..offer.version }, ..claim(&offer) };
    let ahead = Report { running: Some(ahead), ..runs(&offer) };
    site.pass(&[("edge-1", readable(ahead.clone()))]).await.expect("stored");
    assert_eq!(summary(&site, "edge-1"), Summary::ConflictPaused);
    git.land(&[("devices/edge-1.yaml", LEAVES)]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(ahead.clone()))]).await.expect("stored");
    assert_eq!(site.reason("edge-1"), Some(WaitingOn::Decommissioning));
    assert_eq!(told(&mut site), Some(true));
    site.pass(&[("edge-1", readable(removed(&ahead)))]).await.expect("stored");
    assert_eq!(record(&mut site).await.len(), 1);
}

#[tokio::test]
async fn taken_back_it_takes_part_again_unless_it_has_removed_everything() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let (mut site, running) = leaving(&mut git).await;
    told(&mut site);
    site.world.published([(name("edge-1"), 2)], site.now);
    // Leaving it out says nothing.
    git.land(&[("devices/edge-1.yaml", "{labels: {a: b}}")]);
    site.fetch(&git);
    site.pass(&[]).await.expect("stored");
    assert_eq!(site.reason("edge-1"), Some(WaitingOn::Decommissioning));
    git.land(&[("devices/edge-1.yaml", "{decommission: false}")]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(running.clone()))]).await.expect("stored");
    assert_eq!((site.reason("edge-1"), told(&mut site)), (None, Some(false)));
    assert!(site.device("edge-1").placement.fleet().is_some());

    git.land(&[("devices/edge-1.yaml", LEAVES)]);
    site.fetch(&git);
    site.pass(&[("edge-1", readable(removed(&running)))]).await.expect("stored");
    site.pass(&[("edge-1", readable(removed(&running)))]).await.expect("stored");
    record(&mut site).await;
    git.land(&[("devices/edge-1.yaml", "{decommission: false}")]);
    site.fetch(&git);
    site.pass(&[]).await.expect("stored");
    assert_eq!(summary(&site, "edge-1"), Summary::Decommissioned, "its keys are gone");
    // By the same entry, which a factory's always is, it comes back when it gets a certificate.
    site.world.enrolled(&identity("edge-1"), site.now);
    assert_eq!(site.world.departures(), [(name("edge-1"), None)]);
    record(&mut site).await;
    assert_eq!(admitted(&mut site, "edge-1"), Admission::Full);
}
