//! One device in memory: its stored row, and what follows from it at the accepted head.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bellwether_core::admission::{Domain, Identity};
use bellwether_core::classify::{Classified, Evidence, Standing, Who, classify, standing};
use bellwether_core::declare::{Declared, Facts, TemplateAt};
use bellwether_core::objects::{ObjectError, ObjectSource};
use bellwether_core::offer::{Furthest, Track};
use bellwether_core::plan::Landing;
use bellwether_core::render::{Contents, RenderError, Rendered, render};
use bellwether_schemas::api::{MissingCommit, WaitingOn};
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::report::{Claim, Health, Report, Reported};
use bellwether_schemas::spec::TargetRef;
use bellwether_schemas::targets::{SignedOffer, Supersedes};
use bellwether_schemas::{CommitId, DeviceName, FleetName, ObjectId, Seconds, Sha256Digest, Version, codes};
use jiff::{SignedDuration, Timestamp};

use crate::repository::Repository;
use crate::store::{DeviceRow, EventRow, OfferRow, OfferedRow};

/// How far a device's clock may differ from ours before people are told.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Offers of a device that are remembered, and a few more where they are needed.
const KEPT_OFFERS: usize = 8;

/// Which fleet a device is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Placement {
    /// Exactly one selects it.
    Member(FleetName),
    /// None selects it.
    #[default]
    Orphaned,
    /// Several select it: it keeps what its signed targets name.
    Overlap(Vec<FleetName>),
}

impl Placement {
    /// The fleet, if it is exactly one.
    pub fn fleet(&self) -> Option<&FleetName> {
        match self {
            Self::Member(fleet) => Some(fleet),
            Self::Orphaned | Self::Overlap(_) => None,
        }
    }

    /// Every fleet that claims it.
    pub fn fleets(&self) -> &[FleetName] {
        match self {
            Self::Member(fleet) => std::slice::from_ref(fleet),
            Self::Orphaned => &[],
            Self::Overlap(fleets) => fleets,
        }
    }
}

/// One device.
pub struct Device {
    /// What is stored.
    pub row: DeviceRow,
    /// Labels and variables at the head.
    pub facts: Facts,
    /// The fleet at the head.
    pub placement: Placement,
    /// Whether it takes part, and what its next offer gives up.
    pub standing: Standing,
    /// Its labels, as plans share them.
    pub labels: Arc<Labels>,
    /// Every offer it ever had.
    offered: BTreeMap<(CommitId, u32), OfferedRow>,
    /// The offer in metadata of ours that it presented.
    presented: Option<SignedOffer>,
    /// How far it came with its offer.
    furthest: Furthest,
    /// The offer during which it said that it was set up anew.
    begun_anew: Option<Version>,
    /// Whether the clock in its last report was far off.
    clock_is_off: bool,
    /// The version that was published last since the start.
    visible: Option<Version>,
    /// Since when it says that it does not pass its probes; none where it does, or said so before the start.
    pub(super) unwell_since: Option<Timestamp>,
    /// Since when it is out of every rollout as `row.paused` says; none where it is not, or that was long ago.
    pub(super) out_since: Option<Timestamp>,
    /// Digests of what templates render to, by template commit, for the labels and variables in `facts` and the fleet
    /// in `placement`.
    digests: HashMap<CommitId, Result<Sha256Digest, String>>,
}

impl Device {
    /// A device as it was stored.
    pub fn new(row: DeviceRow) -> Self {
        Self {
            row,
            facts: Facts::default(),
            placement: Placement::default(),
            standing: Standing::Normal { supersedes: None },
            labels: Arc::default(),
            offered: BTreeMap::new(),
            presented: None,
            furthest: Furthest::default(),
            begun_anew: None,
            clock_is_off: false,
            visible: None,
            unwell_since: None,
            out_since: None,
            digests: HashMap::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &DeviceName {
        &self.row.name
    }

    /// What it said last, if that can be read.
    pub fn report(&self) -> Option<&Report> {
        match &self.row.reported {
            Some(Reported::Readable(report)) => Some(report),
            Some(Reported::Unreadable { .. }) | None => None,
        }
    }

    /// Whether anything names a version of it. A device without one is as good as new.
    pub fn names_a_version(&self) -> bool {
        let claims = self.report().is_some_and(|report| report.running.is_some() || report.applying.is_some());
        claims || self.row.offer.is_some() || !self.offered.is_empty()
    }

    /// Takes an offer of ours that it presented and that is not remembered: records of it were lost. Returns what is to be
    /// stored, and what need not be any more.
    pub fn recall(&mut self, now: Timestamp) -> Option<(OfferedRow, Option<OfferedRow>)> {
        let signed = self.presented.clone()?;
        let key = (signed.version.commit, signed.version.revision);
        if self.offered.contains_key(&key) {
            return None;
        }
        let SignedOffer { fleet, version, template, digest, .. } = signed;
        let offered = OfferedRow { device: self.row.name.clone(), version, fleet, template, digest, offered_at: now };
        let forgotten = self.remember(offered.clone());
        if self.row.offer.is_none() {
            self.row.offer = self.offer_of_running();
        }
        Some((offered, forgotten))
    }

    /// What it runs, as it says.
    pub fn running(&self) -> Option<&Claim> {
        self.report().and_then(|report| report.running.as_ref())
    }

    /// Remembers an offer that it got. Returns one that need not be remembered any more: it is older than the last few,
    /// and nothing that the device runs, is offered or may still hold refers to it.
    pub fn remember(&mut self, offered: OfferedRow) -> Option<OfferedRow> {
        self.offered.insert((offered.version.commit, offered.version.revision), offered);
        if self.offered.len() <= KEPT_OFFERS {
            return None;
        }
        let claimed = self.report().into_iter().flat_map(|report| [report.running, report.applying]).flatten();
        let offer = self.row.offer.as_ref().map(|offer| offer.signed.version);
        // The device may have begun the highest, and refuses what is not above it.
        let highest = self.offered.values().map(|offered| offered.version).max_by_key(Version::rank);
        let needed: Vec<Version> = claimed.map(|claim| claim.version).chain(offer).chain(highest).collect();
        let spare = self.offered.values().filter(|offered| !needed.contains(&offered.version));
        let oldest = spare.min_by_key(|offered| (offered.offered_at, offered.version.rank()))?;
        self.offered.remove(&(oldest.version.commit, oldest.version.revision))
    }

    /// What was decided for it is published: from now on an offer can be seen, and its time-out runs.
    pub fn published(&mut self, metadata_version: u64, now: Timestamp) {
        self.row.metadata_version = metadata_version;
        let version = self.row.offer.as_ref().map(|offer| offer.signed.version);
        if let Some(offer) = self.row.offer.as_mut().filter(|offer| offer.acknowledged_at.is_none())
            && self.visible != version
        {
            offer.offered_at = now;
        }
        self.visible = version;
    }

    /// Remembers what metadata of ours says that it presented. Returns whether what was published last is older: then
    /// the device refuses it, until something newer is published.
    pub fn presents(&mut self, offer: Option<SignedOffer>, metadata_version: u64) -> bool {
        self.presented = offer;
        let is_above = metadata_version > self.row.metadata_version;
        self.row.metadata_version = self.row.metadata_version.max(metadata_version);
        is_above
    }

    /// Whether a report, which is not taken yet, shows it further with its offer than ever before.
    pub fn comes_further(&mut self, report: &Report) -> bool {
        // Another nonce: it was set up anew, and begins from nothing; once for an offer.
        let another = self.report().is_some_and(|before| before.nonce != report.nonce);
        let Some(version) = self.row.offer.as_ref().map(|offer| offer.signed.version) else { return another };
        let is_new = another && self.begun_anew != Some(version);
        self.begun_anew = if is_new { Some(version) } else { self.begun_anew };
        if is_new {
            self.furthest = Furthest::default();
        }
        self.furthest.reach(version, report) || is_new
    }

    /// Learns from a report, which is not taken yet, since when it is unwell.
    pub(super) fn hear_health(&mut self, report: &Report, now: Timestamp) {
        let was_well = self.report().is_some_and(|before| before.health != Health::Unhealthy);
        self.unwell_since = match report.health {
            Health::Unhealthy if was_well => Some(now),
            Health::Unhealthy => self.unwell_since,
            Health::Healthy | Health::Unknown => None,
        };
    }

    /// What people should know about the clock in a report: said when it gets far off, not each time.
    pub fn clock_event(&mut self, report: &Report, now: Timestamp) -> Option<EventRow> {
        let off = report.clock.duration_since(now);
        let is_off = off.abs() > CLOCK_TOLERANCE;
        if !std::mem::replace(&mut self.clock_is_off, is_off) && is_off {
            let (name, minutes) = (&self.row.name, off.abs().as_mins());
            let where_to = if off.is_negative() { "behind" } else { "ahead of" };
            let message =
                format!("the clock of {name} shows {}, {minutes} min {where_to} the reconciler's", report.clock);
            let (kind, code) = ("clock".to_owned(), Some(codes::DEVICE_CLOCK.to_string()));
            return Some(EventRow { at: now, kind, device: Some(name.clone()), fleet: None, code, message });
        }
        None
    }

    /// Finds labels and fleet at the head. Whether any of it is another than before.
    pub fn place(&mut self, declared: &Declared) -> bool {
        let facts = declared.inventory().facts(&self.row.name, &self.row.enrollment, &self.row.entry);
        let mut changed = facts != self.facts;
        if changed {
            self.labels = Arc::new(facts.labels.clone());
            self.facts = facts;
            self.digests.clear();
        }
        // It is in no fleet from the commit on that says so, whatever selects it.
        let leaves = declared.inventory().admissions().is_decommissioned(&self.row.name);
        let fleets = if leaves { Vec::new() } else { declared.fleets_of(&self.row.name, &self.facts) };
        let mut fleets = fleets.into_iter().cloned();
        let placement = match (fleets.next(), fleets.next()) {
            (None, _) => Placement::Orphaned,
            (Some(fleet), None) => Placement::Member(fleet),
            (Some(first), Some(second)) => Placement::Overlap([first, second].into_iter().chain(fleets).collect()),
        };
        if placement != self.placement {
            self.placement = placement;
            // One landing can be the template commit of several fleets.
            self.digests.clear();
            changed = true;
        }
        changed
    }

    /// The digest that a template renders to for this device, or why it cannot be rendered.
    ///
    /// # Errors
    /// When a file could not be read this time: all else depends on the inputs alone, and is remembered.
    pub fn digest_of(
        &mut self,
        template: &Arc<TemplateAt>,
        objects: &dyn ObjectSource,
        blobs: &mut HashMap<ObjectId, TargetRef>,
    ) -> Result<Result<Sha256Digest, String>, ObjectError> {
        let commit = template.landing.commit;
        if let Some(known) = self.digests.get(&commit) {
            return Ok(known.clone());
        }
        let digest = match self.render(template, objects, blobs) {
            Ok(rendered) => Ok(rendered.digest),
            Err(RenderError::Object(error)) if error.is_passing() => return Err(error),
            Err(error) => Err(error.to_string()),
        };
        if self.digests.len() >= 8 {
            self.digests.clear();
        }
        self.digests.insert(commit, digest.clone());
        Ok(digest)
    }

    /// The digest that a template is known to render to.
    pub fn known_digest(&self, template: &CommitId) -> Option<Sha256Digest> {
        self.digests.get(template)?.as_ref().ok().copied()
    }

    /// What a template renders to for this device.
    ///
    /// # Errors
    /// Why it cannot be rendered.
    pub fn render(
        &self,
        template: &TemplateAt,
        objects: &dyn ObjectSource,
        blobs: &mut HashMap<ObjectId, TargetRef>,
    ) -> Result<Rendered, RenderError> {
        render(template, &self.row.name, &self.facts, &mut Contents::new(objects, blobs))
    }

    /// Judges what it reported; `is_looked_up` says whether a missing commit was fetched for already. Returns the
    /// commit that must be fetched for before the device may be paused.
    pub fn judge(
        &mut self,
        repository: &Repository,
        blobs: &mut HashMap<ObjectId, TargetRef>,
        is_looked_up: impl Fn(&CommitId) -> bool,
    ) -> Option<CommitId> {
        let Some(reported) = self.row.reported.clone() else {
            self.standing = Standing::Normal { supersedes: None };
            return None;
        };
        let classification = self.classify(&reported, repository, blobs);
        let nonce = match &reported {
            Reported::Readable(report) => Some(report.nonce.as_str()),
            Reported::Unreadable { nonce, .. } => nonce.as_deref(),
        };
        let taken = self.row.offer.as_ref().filter(|offer| offer.acknowledged_at.is_some());
        let taken = taken.map(|offer| offer.signed.version.landing);
        let who = Who { device: &self.row.name, labels: &self.facts.labels, nonce, taken };
        let resumes = repository.declared().into_iter().flat_map(Declared::resumes);
        self.standing = standing(&classification, &who, resumes, repository.is_rewound());
        match &self.standing {
            // One fetch comes before the first pause; a device that is paused stays so under a new head.
            Standing::Paused(pause) => {
                pause.commit.filter(|commit| !self.is_paused_for(commit) && !is_looked_up(commit))
            }
            Standing::Normal { .. } => None,
        }
    }

    pub(super) fn is_paused_for(&self, missing: &CommitId) -> bool {
        matches!(&self.row.paused, Some(WaitingOn::Paused { commit: Some(commit), .. }) if commit == missing)
    }

    fn classify(
        &mut self,
        reported: &Reported,
        repository: &Repository,
        blobs: &mut HashMap<ObjectId, TargetRef>,
    ) -> Classified {
        // Rendered ahead, since the evidence is read-only: only a claim whose commit is missing can need it.
        let mut rendered: BTreeMap<u64, Sha256Digest> = BTreeMap::new();
        let claims = match reported {
            Reported::Readable(report) => [report.running, report.applying],
            Reported::Unreadable { .. } => [None, None],
        };
        let templates: Vec<_> = claims
            .into_iter()
            .flatten()
            .filter_map(|claim| {
                let history = repository.judging_history()?;
                if history.number_of(&claim.version.commit).is_some() {
                    return None;
                }
                let number = history.number_of(&claim.template)?;
                let template = repository.declared()?.template_in_force(self.placement.fleet()?, number)?;
                Some((number, template.clone()))
            })
            .collect();
        let objects = repository.objects();
        for (number, template) in templates {
            if let Ok(Ok(digest)) = self.digest_of(&template, &objects, blobs) {
                rendered.insert(number, digest);
            }
        }
        let Some(history) = repository.judging_history() else { return Classified::default() };
        let evidence = Evidence {
            history,
            signed: &|version| self.signed_digest(version),
            rendered: &|number| rendered.get(&number).copied(),
        };
        classify(reported, &evidence)
    }

    /// The digest in our signed targets for a version, stored or presented.
    fn signed_digest(&self, version: &Version) -> Option<Sha256Digest> {
        let stored = self.offered.get(&(version.commit, version.revision));
        stored
            .filter(|offered| offered.version == *version)
            .map(|offered| offered.digest)
            .or_else(|| self.presented.as_ref().filter(|offer| offer.version == *version).map(|offer| offer.digest))
    }

    /// What its offers are made from.
    fn track(&self) -> Track<'_> {
        let stored = self.offered.values().map(|offered| offered.version);
        let signed = stored.chain(self.presented.as_ref().map(|offer| offer.version)).collect();
        Track { standing: &self.standing, report: self.report(), signed }
    }

    /// The version of its next offer at `head`, where one can be made.
    pub fn next_version(&self, head: Landing, repository: &Repository) -> Option<Version> {
        self.track().next_version(head, repository.history())
    }

    /// What an offer of the version `next` must name as given up.
    pub fn supersedes(&self, next: Version, repository: &Repository) -> Option<Supersedes> {
        self.track().supersedes(next, repository.history())
    }

    /// Its offer, where that still stands: it runs it, or it was made in a history that still counts.
    pub fn standing_offer(&self, repository: &Repository) -> Option<&OfferRow> {
        let offer = self.row.offer.as_ref()?;
        let runs_it = self.running().is_some_and(|claim| claim.version == offer.signed.version);
        let judging = repository.judging_history()?;
        (runs_it || self.track().upholds(&offer.signed, judging, repository.history())).then_some(offer)
    }

    /// The offer of what it runs: what replaces an offer that is withdrawn.
    pub fn offer_of_running(&self) -> Option<OfferRow> {
        let claim = self.running()?;
        let offered = self.offered.get(&(claim.version.commit, claim.version.revision))?;
        let same = offered.version == claim.version && offered.digest == claim.digest;
        same.then(|| OfferRow {
            signed: SignedOffer {
                fleet: offered.fleet.clone(),
                version: offered.version,
                template: offered.template,
                digest: offered.digest,
                supersedes: None,
                not_before: None,
                not_after: None,
                soak: Seconds::ZERO,
            },
            offered_at: offered.offered_at,
            acknowledged_at: Some(offered.offered_at),
        })
    }

    /// Everything that it names, that the history lacks and that no Resume is over.
    pub fn missing(&self) -> &[MissingCommit] {
        match &self.standing {
            Standing::Paused(pause) => &pause.missing,
            Standing::Normal { .. } => &[],
        }
    }

    /// The commit that it names and the history lacks.
    pub fn missing_commit(&self) -> Option<CommitId> {
        match &self.standing {
            Standing::Paused(pause) => pause.commit,
            Standing::Normal { .. } => None,
        }
    }

    /// Who it is, as its certificate says.
    pub fn identity(&self, domain: &Domain) -> Identity {
        Identity {
            domain: domain.clone(),
            enrollment: self.row.enrollment.clone(),
            entry: self.row.entry.clone(),
            device: self.row.name.clone(),
        }
    }
}
