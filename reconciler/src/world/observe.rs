//! What devices say, taken into the world; and what they are told in return.

use std::sync::Arc;

use bellwether_core::admission::{Admissions, Identity};
use bellwether_core::classify::Standing;
use bellwether_core::declare::EntryKey;
use bellwether_core::offer::{asks_for, shall_look};
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::{Directive, Phase, Report, Reported};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{DeviceName, Sha256Digest, codes};
use jiff::{SignedDuration, Timestamp};

use super::{Device, World};
use crate::publish::PresentedMetadata;
use crate::repository::Repository;
use crate::store::{DeviceRow, EventRow, OfferRow};

/// How often it is stored that some device was heard of, where none says anything new.
const HEARD: SignedDuration = SignedDuration::from_secs(60);
/// Missing commits that are looked up together.
pub(super) const MAX_LOOKUPS: usize = 10_000;

/// What a device that reported is told, once everything it depends on is stored and published.
pub type Answer = Vec<Directive>;

/// Metadata of ours that a device presented and that bears our signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedOffer {
    /// What it offers.
    pub offer: Option<SignedOffer>,
    /// The highest version in it.
    pub metadata_version: u64,
    /// Whether the newest root lists the keys that signed it: only then it proves that records are behind.
    pub is_current: bool,
}

impl From<PresentedMetadata> for PresentedOffer {
    fn from(read: PresentedMetadata) -> Self {
        Self { offer: read.binding.offer, metadata_version: read.version, is_current: read.is_current }
    }
}

impl World {
    /// Takes a device that got its certificate.
    pub fn enrolled(&mut self, identity: &Identity, now: Timestamp) {
        let event = EventRow {
            at: now,
            kind: "enrolled".to_owned(),
            device: Some(identity.device.clone()),
            fleet: None,
            code: None,
            message: format!("{} enrolled by entry {} of {}", identity.device, identity.entry, identity.enrollment),
        };
        self.event(event);
        self.gone.came_back(identity);
        self.admit(identity, now);
    }

    /// Takes a device that got its certificate in an earlier run, unless it is known already.
    pub fn enrolled_before(&mut self, identity: &Identity, now: Timestamp) {
        if !self.devices.contains_key(&identity.device) {
            self.admit(identity, now);
        }
    }

    /// Makes sure that a device with a valid certificate is known. One that the database lost is known by its certificate.
    fn admit(&mut self, identity: &Identity, now: Timestamp) -> bool {
        let name = &identity.device;
        let same = |row: &DeviceRow| row.enrollment == identity.enrollment && row.entry == identity.entry;
        match self.devices.get_mut(name) {
            Some(device) if same(&device.row) => return false,
            Some(device) => {
                device.row.enrollment = identity.enrollment.clone();
                device.row.entry = identity.entry.clone();
                // Its metadata says by what it enrolled.
                self.backlog.add(name.clone());
            }
            None => {
                let row = DeviceRow {
                    name: name.clone(),
                    enrollment: identity.enrollment.clone(),
                    entry: identity.entry.clone(),
                    enrolled_at: now,
                    reported: None,
                    last_seen: None,
                    last_progress: None,
                    offer: None,
                    paused: None,
                    awaiting_reconnect: false,
                    metadata_version: 0,
                    allows: None,
                };
                let mut device = Device::new(row);
                for offered in self.past.remove(name).into_iter().flatten() {
                    self.change.forgotten.extend(device.remember(offered));
                }
                self.devices.insert(name.clone(), device);
                // Its first pull finds signed metadata, even if that offers nothing yet.
                self.backlog.add_first(name.clone());
            }
        }
        self.place(name);
        self.unsaved.insert(name.clone());
        true
    }

    /// The tokens that devices prove to be spent, by certificates that were not known of: the records of it may be lost. What
    /// no landing lists waits, for git may have been set back too.
    pub fn take_proven_tokens(&mut self) -> Vec<(EntryKey, Sha256Digest)> {
        let Some(declared) = self.repository.declared() else { return Vec::new() };
        let admissions = declared.inventory().admissions();
        let proven = std::mem::take(&mut self.proven).into_iter();
        let (listed, unlisted) = proven.partition::<Vec<_>, _>(|entry| admissions.proof_of(entry).is_some());
        self.proven.extend(unlisted);
        listed.into_iter().filter_map(|entry| Some((entry.clone(), *admissions.token_of(&entry)?))).collect()
    }

    /// Keeps in mind that an entry's token is spent, which could not be recorded.
    pub fn prove_again(&mut self, entry: EntryKey) {
        self.proven.insert(entry);
    }

    /// The highest metadata version of ours that is known of a device.
    pub fn known_metadata(&self, device: &DeviceName) -> u64 {
        self.devices.get(device).map_or(0, |device| device.row.metadata_version)
    }

    /// Whether it is known that database and store were set back.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// A device holds what was signed after everything that is known: database and store were set back. Nobody else is judged
    /// by them before reporting.
    pub fn records_are_behind(&mut self, device: &DeviceName, now: Timestamp) {
        if std::mem::replace(&mut self.is_behind, true) {
            return;
        }
        let since = self.timing.serving_since;
        let unheard =
            |device: &Device| device.row.last_seen.is_none_or(|seen| seen < since) && device.names_a_version();
        let names: Vec<DeviceName> =
            self.devices.values().filter(|device| unheard(device)).map(|device| device.name().clone()).collect();
        let message = format!(
            "{device} holds metadata of ours that is newer than all records: {} devices are waited for",
            names.len()
        );
        for name in names {
            if let Some(device) = self.devices.get_mut(&name) {
                device.row.awaiting_reconnect = true;
            }
            self.touched.insert(name.clone());
            self.unsaved.insert(name);
        }
        let (kind, code) = ("restored".to_owned(), Some(codes::RECORDS_BEHIND.to_string()));
        self.event(EventRow { at: now, kind, device: Some(device.clone()), fleet: None, code, message });
    }

    /// Takes a report. Who it is from comes from the certificate alone.
    pub fn observe(
        &mut self,
        identity: &Identity,
        reported: Reported,
        presented: Option<PresentedOffer>,
        now: Timestamp,
    ) {
        if self.admit(identity, now) {
            self.proven.insert((identity.enrollment.clone(), identity.entry.clone()));
        }
        let name = &identity.device;
        let Some(device) = self.devices.get_mut(name) else { return };
        if let Some(presented) = presented
            && device.presents(presented.offer, presented.metadata_version)
        {
            self.unsaved.insert(name.clone());
            self.backlog.add(name.clone());
        }
        let news = is_news(device.row.reported.as_ref(), &reported);
        let returned =
            device.row.last_seen.is_none_or(|seen| now.duration_since(seen) > self.timing.stale_after.signed());
        device.row.last_seen = Some(now);
        if std::mem::take(&mut device.row.awaiting_reconnect) {
            // Nothing was published for it until now.
            self.backlog.add_first(name.clone());
            self.touched.insert(name.clone());
        }
        if let Reported::Readable(report) = &reported {
            device.hear_health(report, now);
            if device.comes_further(report) {
                device.row.last_progress = Some(now);
            }
        }
        let clock = match &reported {
            Reported::Readable(report) => device.clock_event(report, now),
            Reported::Unreadable { .. } => None,
        };
        device.row.reported = Some(reported);
        if let Some((offered, forgotten)) = device.recall(now) {
            self.change.offers.push(offered);
            self.change.forgotten.extend(forgotten);
            self.unsaved.insert(name.clone());
        }
        clock.into_iter().for_each(|event| self.event(event));
        self.leaves(identity, now);
        if news || returned {
            self.unsaved.insert(name.clone());
            self.judge(name);
            self.due(name);
        } else {
            self.heard(name, now);
            // A start has to know until when devices could report.
            if now.duration_since(self.heard_stored) >= HEARD {
                self.heard_stored = now;
                self.unsaved.insert(name.clone());
            }
        }
    }

    /// Takes what the operator of a device allows; none where the device does not say.
    pub fn hear_allows(&mut self, name: &DeviceName, said: Option<Allowed>) {
        let Some(device) = self.devices.get_mut(name) else { return };
        let said = said.map(|allowed| self.allowlists.share(allowed));
        if device.row.allows != said {
            device.row.allows = said;
            self.unsaved.insert(name.clone());
        }
    }

    /// A device that says that it has removed everything, as it was told, is to be let go.
    fn leaves(&mut self, identity: &Identity, now: Timestamp) {
        let Some(device) = self.devices.get(&identity.device) else { return };
        let has_removed = device.report().is_some_and(|report| report.phase == Phase::Decommissioned);
        if has_removed && device.row.paused == Some(WaitingOn::Decommissioning) {
            self.gone.leaves(identity, now);
        }
    }

    /// Records of devices that left or came back are written: from now on it counts.
    pub fn departures_written(&mut self) {
        let names = self.gone.written();
        self.touched.extend(names.into_iter().filter(|name| self.devices.contains_key(name)));
    }

    /// Who may enroll and who may speak: what the history says, but for devices that have removed everything.
    pub fn admissions(&mut self) -> Option<Arc<Admissions>> {
        let declared = self.repository.declared()?;
        Some(self.gone.within(declared.inventory().admissions()))
    }

    /// Judges a device; a commit that is missing is fetched for once before anybody is paused for it.
    pub(super) fn judge(&mut self, name: &DeviceName) {
        let Some(device) = self.devices.get_mut(name) else { return };
        self.touched.insert(name.clone());
        let before = std::mem::discriminant(&device.standing);
        let lookups = &self.lookups;
        let lookup = device.judge(&self.repository, &mut self.blobs, |commit| lookups.done.contains(commit));
        if before != std::mem::discriminant(&device.standing) {
            self.due(name);
        }
        // Whoever names ever new ones while git cannot be reached is paused without a look.
        let room = MAX_LOOKUPS.saturating_sub(self.lookups.wanted.len());
        self.lookups.wanted.extend(lookup.into_iter().take(room));
    }

    pub(super) fn judge_all(&mut self) {
        let names: Vec<DeviceName> = self.devices.keys().cloned().collect();
        for name in &names {
            self.judge(name);
        }
    }

    /// Has the fleet of a device planned with what is known of it now.
    pub(super) fn due(&mut self, name: &DeviceName) {
        let fleet = self.devices.get(name).and_then(|device| device.placement.fleet());
        if let Some(fleet) = fleet.and_then(|fleet| self.fleets.get_mut(fleet)) {
            fleet.look_at(name);
        }
    }

    /// Has all of the fleet of a device planned: whoever is gone is counted nowhere.
    pub(super) fn count_again(&mut self, name: &DeviceName) {
        let fleet = self.devices.get(name).and_then(|device| device.placement.fleet());
        if let Some(fleet) = fleet.and_then(|fleet| self.fleets.get_mut(fleet)) {
            fleet.anew = true;
        }
    }

    /// A device was heard of, and said nothing new.
    fn heard(&mut self, name: &DeviceName, now: Timestamp) {
        let fleet = self.devices.get(name).and_then(|device| device.placement.fleet());
        if let Some(fleet) = fleet.and_then(|fleet| self.fleets.get_mut(fleet))
            && let Some(planner) = &mut fleet.planner
        {
            fleet.due |= planner.heard(name, now);
        }
    }

    /// Records that the devices which are about to apply what they are offered may do so. Runs after the plan, so that
    /// an offer that was just withdrawn is not acknowledged. Where nothing is planned (without a verified head, while the
    /// repository is rewound, in a fleet that could not be planned) nobody may: a halt would go unseen.
    pub fn acknowledge(&mut self, reporters: &[DeviceName], now: Timestamp) {
        if self.repository.head().is_none() || self.repository.is_rewound() {
            return;
        }
        for name in reporters {
            let Some(device) = self.devices.get_mut(name) else { continue };
            let Some(version) = applying(device, &self.repository) else { continue };
            let fleet = device.placement.fleet().and_then(|fleet| self.fleets.get(fleet));
            if fleet.is_none_or(|fleet| fleet.unplanned) {
                continue;
            }
            let waits = |offer: &&mut OfferRow| offer.signed.version == version && offer.acknowledged_at.is_none();
            if let Some(offer) = device.row.offer.as_mut().filter(waits) {
                offer.acknowledged_at = Some(now);
                self.unsaved.insert(name.clone());
                self.due(name);
            }
        }
    }

    /// What a device that reported is told.
    pub fn answer(&self, name: &DeviceName) -> Answer {
        let Some(device) = self.devices.get(name) else { return Answer::new() };
        let mut directives = Answer::new();
        if let Some(WaitingOn::Paused { code, why, commit }) = &device.row.paused {
            directives.push(Directive::Paused { code: code.clone(), reason: why.clone(), commit: *commit });
            return directives;
        }
        let Some(offer) = device.standing_offer(&self.repository).filter(|_| self.repository.head().is_some()) else {
            return directives;
        };
        let version = offer.signed.version;
        match device.report() {
            Some(_) if applying(device, &self.repository) == Some(version) && offer.acknowledged_at.is_some() => {
                directives.push(Directive::Proceed { version });
            }
            // What is not published yet it would not find.
            Some(report) if shall_look(report, version) && !self.backlog.contains(name) => {
                directives.push(Directive::SpecAvailable);
            }
            Some(_) | None => {}
        }
        directives
    }
}

/// The version that a device is about to apply, if it may: it is what it is offered, still, and the device takes part in
/// its fleet's rollout.
fn applying(device: &Device, repository: &Repository) -> Option<bellwether_schemas::Version> {
    device.placement.fleet()?;
    let version = asks_for(device.report()?, &device.standing_offer(repository)?.signed)?;
    let takes_part = matches!(device.standing, Standing::Normal { .. });
    (takes_part && device.row.paused.is_none()).then_some(version)
}

/// Whether a report says something else than the one before, but for its clock.
fn is_news(before: Option<&Reported>, now: &Reported) -> bool {
    match (before, now) {
        (Some(Reported::Readable(before)), Reported::Readable(now)) => {
            let same_clock = Report { clock: now.clock, ..before.clone() };
            same_clock != *now
        }
        (before, now) => before != Some(now),
    }
}
