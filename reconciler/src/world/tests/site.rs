//! The world on a repository in memory, and a database in a folder: what a pass uses, but for publishing.

use bellwether_core::admission::Identity;
use bellwether_core::verify::Introduction;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::{Claim, Health, Phase, Report, Reported};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{DeviceName, Seconds};
use jiff::{SignedDuration, Timestamp};

use crate::repository::{Repository, SharedObjects};
use crate::store::{Loaded, PlanError, PlanId, Store};
use crate::testing::{Git, idle};
use crate::world::{Device, Timing, World};

/// The world with its database and its clock.
pub(super) struct Site {
    pub(super) world: World,
    pub(super) introduction: Introduction,
    pub(super) now: Timestamp,
    store: Store,
    _dir: tempfile::TempDir,
}

pub(super) const STALE: SignedDuration = SignedDuration::from_secs(180);

impl Site {
    /// Introduced at the tip of `git`, with what another database had; its own is empty.
    pub(super) async fn open(git: &Git, loaded: Loaded) -> Self {
        let loaded = Loaded { plan: PlanId::default(), ..loaded };
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&format!("sqlite://{}", dir.path().join("state.db").display())).await.expect("opened");
        let now = Timestamp::constant(1_800_000_000, 0);
        let introduction = git.introduction();
        let mut site = Self { world: world(git, introduction, loaded, now), introduction, now, store, _dir: dir };
        site.fetch(git);
        site
    }

    /// Fetches, and takes the tip.
    pub(super) fn fetch(&mut self, git: &Git) {
        self.world.repository.reopen(SharedObjects::new(git.objects.clone()));
        let moved = self.world.repository.advance(&git.tip.expect("a commit"), self.now);
        self.world.fetched();
        if moved.condition || !moved.landings.is_empty() {
            self.world.moved();
        }
    }

    /// A pass with these reports, stored.
    pub(super) async fn pass(&mut self, reports: &[(&str, Reported)]) -> Result<(), PlanError> {
        for (device, reported) in reports {
            self.world.observe(&identity(device), reported.clone(), None, self.now);
        }
        self.world.plan(&"example.org".parse().expect("a domain"), self.now);
        let reporters: Vec<DeviceName> = reports.iter().map(|(device, _)| device.parse().expect("a name")).collect();
        self.world.acknowledge(&reporters, self.now);
        if let Some(change) = self.world.take_change() {
            self.world.plan = self.store.commit_plan(self.world.plan, &change, self.now).await?;
        }
        Ok(())
    }

    pub(super) fn later(&mut self, span: SignedDuration) {
        self.now = self.now.checked_add(span).expect("a time");
    }

    pub(super) fn device(&self, name: &str) -> &Device {
        &self.world.devices()[&name.parse::<DeviceName>().expect("a name")]
    }

    pub(super) fn reason(&self, name: &str) -> Option<WaitingOn> {
        self.world.reason_of(&name.parse().expect("a name"))
    }

    pub(super) fn offer(&self, name: &str) -> Option<SignedOffer> {
        self.device(name).row.offer.as_ref().map(|offer| offer.signed.clone())
    }

    /// The database, as a start would read it.
    pub(super) async fn stored(&self) -> Loaded {
        self.store.load_all().await.expect("loaded")
    }
}

fn world(git: &Git, introduction: Introduction, loaded: Loaded, now: Timestamp) -> World {
    let mut repository = Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
    repository.restore(loaded.head.clone(), None, now);
    let hour = SignedDuration::from_hours(1);
    let timing = Timing {
        heartbeat: "1m".parse::<Seconds>().expect("a span"),
        stale_after: "3m".parse::<Seconds>().expect("a span"),
        serving_since: now.checked_sub(hour).expect("a time"),
    };
    World::new(repository, timing, loaded)
}

pub(super) fn identity(device: &str) -> Identity {
    format!("bellwether://example.org/plant/{device}/{device}").parse().expect("an identity")
}

/// What a device says that runs what it was offered, and is well.
pub(super) fn runs(offer: &SignedOffer) -> Report {
    Report { running: Some(claim(offer)), phase: Phase::Committed, health: Health::Healthy, ..idle() }
}

pub(super) fn claim(offer: &SignedOffer) -> Claim {
    Claim { version: offer.version, template: offer.template, digest: offer.digest }
}
