//! Carries out what a plan decided: offers become signed targets. No choice is made here.

use bellwether_core::plan::{Action, Span};
use bellwether_core::render::Rendered;
use bellwether_schemas::targets::{Binding, SignedOffer};
use bellwether_schemas::{DeviceName, FleetName, Seconds};
use jiff::Timestamp;

use super::World;
use crate::store::{DeviceRow, EventRow, OfferRow, OfferedRow, PlanChange};

/// Events that wait for a database that fails, at most.
const KEPT_EVENTS: usize = 10_000;

/// What must be published for one device.
pub struct Publication {
    /// What its targets shall say.
    pub binding: Binding,
    /// The content, where this pass can render it; what was published before is in the store already.
    pub rendered: Option<Rendered>,
    /// A metadata version that the next one must be above.
    pub floor: u64,
}

impl World {
    pub(super) fn execute(&mut self, fleet: &FleetName, name: &DeviceName, action: Action, now: Timestamp) {
        let Some(device) = self.devices.get_mut(name) else { return };
        match action {
            Action::Offer { version, template, digest, window: Span { from, until }, soak } => {
                let signed = SignedOffer {
                    fleet: fleet.clone(),
                    version,
                    template: template.commit,
                    digest,
                    supersedes: device.supersedes(version, &self.repository),
                    not_before: from,
                    not_after: until,
                    soak,
                };
                self.offer(name, signed, now);
            }
            Action::Withdraw => self.withdraw(name, now),
        }
    }

    fn offer(&mut self, name: &DeviceName, signed: SignedOffer, now: Timestamp) {
        let device = self.devices.get_mut(name).expect("a decision is about a known device");
        let offered = OfferedRow {
            device: name.clone(),
            version: signed.version,
            fleet: signed.fleet.clone(),
            template: signed.template,
            digest: signed.digest,
            offered_at: now,
        };
        self.change.forgotten.extend(device.remember(offered.clone()));
        let event = EventRow {
            at: now,
            kind: "offered".to_owned(),
            device: Some(name.clone()),
            fleet: Some(signed.fleet.clone()),
            code: None,
            message: format!("{name} is offered {}", signed.version.long()),
        };
        device.row.offer = Some(OfferRow { signed, offered_at: now, acknowledged_at: None });
        self.change.offers.push(offered);
        self.unsaved.insert(name.clone());
        self.backlog.add(name.clone());
        self.event(event);
    }

    /// A withdrawn offer is replaced by what the device runs, or by nothing.
    pub(super) fn withdraw(&mut self, name: &DeviceName, now: Timestamp) {
        let device = self.devices.get_mut(name).expect("a decision is about a known device");
        let Some(before) = device.row.offer.take() else { return };
        device.row.offer = device.offer_of_running();
        let event = EventRow {
            at: now,
            kind: "withdrawn".to_owned(),
            device: Some(name.clone()),
            fleet: Some(before.signed.fleet),
            code: None,
            message: format!("the offer of {} to {name} is withdrawn", before.signed.version.long()),
        };
        self.unsaved.insert(name.clone());
        self.backlog.add_first(name.clone());
        self.event(event);
    }

    /// Takes everything that is not stored yet; `None` when there is nothing.
    pub fn take_change(&mut self) -> Option<PlanChange> {
        let mut change = std::mem::take(&mut self.change);
        let rows = self.unsaved.iter().filter_map(|name| self.devices.get(name));
        change.devices = rows.map(|device| device.row.clone()).collect::<Vec<DeviceRow>>();
        self.unsaved.clear();
        let nothing = change.devices.is_empty()
            && change.records.is_empty()
            && change.removed.is_empty()
            && change.offers.is_empty()
            && change.forgotten.is_empty()
            && change.events.is_empty();
        (!nothing).then_some(change)
    }

    /// Takes back a change that could not be stored, so that the next pass stores it. However long that takes, what is kept
    /// does not grow without bound: there is one record for each fleet, and the oldest events go.
    pub fn keep_change(&mut self, mut change: PlanChange) {
        self.unsaved.extend(change.devices.drain(..).map(|row| row.name));
        std::mem::swap(&mut self.change, &mut change);
        self.change.records.extend(change.records);
        self.change.removed.extend(change.removed);
        self.change.offers.extend(change.offers);
        self.change.forgotten.extend(change.forgotten);
        self.change.events.extend(change.events);
        let old = self.change.events.len().saturating_sub(KEPT_EVENTS);
        self.change.events.drain(..old);
    }

    /// The next devices whose signed targets must be written, at most `count`, and what they shall say.
    pub fn publications(&mut self, count: usize, now: Timestamp) -> Vec<Publication> {
        let names = self.backlog.next(count, now);
        let (objects, mut publications) = (self.repository.objects(), Vec::with_capacity(names.len()));
        for name in names {
            let Some(device) = self.devices.get(&name).filter(|device| !device.row.awaiting_reconnect) else {
                self.backlog.done(&name);
                continue;
            };
            let binding = device.row.binding();
            let rendered = binding.offer.as_ref().and_then(|offer| {
                let declared = self.repository.declared()?;
                let number = self.repository.history()?.number_of(&offer.template)?;
                let template = declared.template_in_force(&offer.fleet, number)?;
                let rendered = device.render(template, &objects, &mut self.blobs).ok()?;
                // Labels may have moved since the offer was made: then its content is in the store, and not this.
                (rendered.digest == offer.digest).then_some(rendered)
            });
            publications.push(Publication { binding, rendered, floor: device.row.metadata_version });
        }
        publications
    }

    /// Records that the metadata of devices was signed anew, as it was: what is decided for them may be something else.
    pub fn renewed(&mut self, versions: impl IntoIterator<Item = (DeviceName, u64)>) {
        for (name, version) in versions {
            if let Some(device) = self.devices.get_mut(&name) {
                device.row.metadata_version = version;
                self.unsaved.insert(name);
            }
        }
    }

    /// Records that what was decided for devices is published, with these metadata versions.
    pub fn published(
        &mut self,
        versions: impl IntoIterator<Item = (DeviceName, u64)>,
        now: Timestamp,
    ) -> Vec<DeviceName> {
        let mut names = Vec::new();
        for (name, version) in versions {
            if let Some(device) = self.devices.get_mut(&name) {
                device.published(version, now);
                self.unsaved.insert(name.clone());
                self.backlog.done(&name);
                self.due(&name);
                names.push(name);
            }
        }
        names
    }

    /// Records that a device could not be published: it is tried again in a while.
    pub fn put_off(&mut self, device: DeviceName, now: Timestamp) {
        self.backlog.put_off(device, now);
    }

    /// The heartbeat that devices are told.
    pub fn heartbeat(&self) -> Seconds {
        self.timing.heartbeat
    }
}
