//! One pass of the reconciler, from top to bottom: fetch → verify → parse → render → plan → store → publish → notify.
//!
//! A trigger (a file event, a poll, a report, a timer) only means "run now"; every decision comes from state.

use std::sync::Arc;

use bellwether_core::admission::{Admission, Admissions, Domain, Identity, VoidTokens};
use bellwether_core::certificates::SETTLE;
use bellwether_core::render::Content;
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::api::Condition;
use bellwether_schemas::head::HeadRecord;
use bellwether_schemas::report::{Directive, Reported};
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::{CommitId, DeviceName};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use crate::git::FetchError;
use crate::publish::{DeviceTargets, PublishError, Published, Publisher, SLICE};
use crate::repository::{Moved, SharedObjects};
use crate::serve::{Sessions, Views};
use crate::store::{AcceptError, HeadRow, PlanError, Store, StoreError};
use crate::world::{PresentedOffer, Publication, World};

/// What happened and was not taken by a pass yet.
#[derive(Default)]
pub struct Inbox {
    /// Where the branch was when an earlier run fetched last.
    pub mirrored: Option<(CommitId, SharedObjects)>,
    /// What the newest fetch brought.
    pub fetched: Option<Fetched>,
    /// Devices that enrolled.
    pub enrolled: Vec<Identity>,
    /// Reports, in the order they arrived.
    pub reports: Vec<Observation>,
}

/// What a fetch brought: the tip of the branch, and objects among which it is.
pub type Fetched = Result<(CommitId, SharedObjects), FetchError>;

/// One report.
pub struct Observation {
    /// Who reports, from the certificate.
    pub identity: Identity,
    /// When it arrived: some passes may fail before it is taken.
    pub at: Timestamp,
    /// What it says.
    pub reported: Reported,
    /// Whether it is the first of its session, or a poll: then the device is told the heartbeat.
    pub begins_session: bool,
    /// What it holds of ours, already checked.
    pub presented: Option<PresentedOffer>,
    /// The head record that it holds, if that is ours and not the one in the store.
    pub head: Option<HeadRecord>,
    /// What its operator allows, if it says so.
    pub allows: Option<Allowed>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Vec<Directive>>,
}

/// Where decisions go.
pub struct Outlets {
    /// The database.
    pub store: Store,
    /// The TUF repositories.
    pub publisher: Publisher,
    /// The open sessions.
    pub sessions: Arc<Sessions>,
    /// What page and API show.
    pub views: watch::Sender<Arc<Views>>,
    /// Who may enroll and who may speak; none before a history is accepted and stored.
    pub admissions: watch::Sender<Option<Arc<Admissions>>>,
    /// Which tokens are void.
    pub void: watch::Sender<VoidTokens>,
    /// Until when nobody relies on what is recorded of certificates.
    pub unsettled_until: watch::Sender<Timestamp>,
    /// The name in certificates.
    pub domain: Domain,
    /// The repository's address, for people.
    pub url: String,
}

/// Why a pass did not reach its end. What it decided is kept, and the next pass goes on with it.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// The accepted head could not be stored.
    #[error("the accepted head could not be stored")]
    Accept(#[from] AcceptError),
    /// The stored records could not be read.
    #[error("the records of rollouts could not be read")]
    Records(#[from] StoreError),
    /// The plan could not be stored.
    #[error("the plan could not be stored")]
    Plan(#[from] PlanError),
    /// The metadata could not be published.
    #[error("the metadata could not be published")]
    Publish(#[from] PublishError),
    /// A file of the repository could not be read for publication.
    #[error("a target could not be read")]
    Target(#[from] bellwether_core::objects::ObjectError),
}

impl TickError {
    /// Whether another reconciler works on the same state: then this one must end.
    pub const fn is_of_another_reconciler(&self) -> bool {
        matches!(
            self,
            Self::Plan(PlanError::Conflict { .. })
                | Self::Accept(AcceptError::Conflict { .. })
                | Self::Publish(PublishError::TakenOver { .. })
        )
    }
}

/// Runs one pass. What is in the inbox afterwards is for the next one: as long as the head cannot be stored, nobody is
/// judged by it, and no report is lost.
///
/// # Errors
/// When storing or publishing fails; nothing that was promised to a device depends on what was not stored.
pub async fn tick(world: &mut World, outlets: &Outlets, inbox: &mut Inbox, now: Timestamp) -> Result<(), TickError> {
    if let Some((tip, objects)) = inbox.mirrored.take() {
        let moved = advance(world, &tip, objects, now);
        take_moved(world, moved);
    }
    if let Some(outcome) = inbox.fetched.take() {
        take_fetched(world, outcome, now);
    }
    take_presented_heads(world, &outlets.publisher, &inbox.reports, now).await?;
    if world.repository.watch_silence(now) {
        tracing::info!(condition = ?world.repository.condition(), "the clock moved the repository's condition");
    }
    store_head(world, &outlets.store, &outlets.publisher).await?;
    settle_void_tokens(world, outlets).await?;
    announce_admissions(world, outlets);
    if let Some(record) = head_to_give(world, outlets) {
        outlets.sessions.announce_head(record);
    }

    for identity in inbox.enrolled.drain(..) {
        world.enrolled(&identity, now);
    }
    doubt_if_behind(world, outlets, &inbox.reports, now).await?;
    let mut replies = Vec::with_capacity(inbox.reports.len());
    for Observation { identity, at, reported, begins_session, presented, allows, reply, .. } in inbox.reports.drain(..)
    {
        // It was let in when it called; a head of this pass, or of one that failed since, may have ended that.
        let admitted = world.admissions().map(|all| all.admit(&identity));
        if let Some(Admission::Refused { code, why }) = admitted {
            tracing::info!(device = %identity.device, %code, "a report does not count any more: {why}");
            continue;
        }
        if is_ahead(world, outlets, &identity.device, presented.as_ref()) {
            world.records_are_behind(&identity.device, at);
        }
        world.observe(&identity, reported, presented, at);
        // What an earlier session said counts for nothing once another begins without it.
        if begins_session || allows.is_some() {
            world.hear_allows(&identity.device, allows);
        }
        replies.push((identity.device, begins_session, reply));
    }

    keep_spent(world, outlets).await;
    let departed = record_departures(world, outlets).await;
    announce_admissions(world, outlets);
    if world.wants_records(now) {
        world.recall(outlets.store.load_rollouts().await?, now);
    }
    world.plan(&outlets.domain, now);
    let reporters: Vec<DeviceName> = replies.iter().map(|(device, ..)| device.clone()).collect();
    world.acknowledge(&reporters, now);

    store_plan(world, outlets, now).await?;

    let published = match write_records(world, outlets, now).await {
        Ok(()) => publish(world, outlets, now).await,
        Err(error) => Err(error),
    };
    for device in published.iter().flatten() {
        outlets.sessions.send(device, Directive::SpecAvailable);
    }
    for (device, begins_session, reply) in replies {
        let mut answer = world.answer(&device);
        if begins_session {
            answer.insert(0, Directive::Interval { seconds: world.heartbeat().get() });
            answer.extend(head_to_give(world, outlets).map(|record| Directive::Head { record: record.to_vec() }));
        }
        // A device that hung up asks again when it is back.
        let _ = reply.send(answer);
    }
    // A store that fails keeps nobody from an answer: all would come back at once, and for nothing.
    published.map(drop).and(departed)
}

fn take_fetched(world: &mut World, outcome: Fetched, now: Timestamp) {
    let moved = match outcome {
        Ok((tip, objects)) => {
            let moved = advance(world, &tip, objects, now);
            world.fetched();
            moved
        }
        // Nobody is paused for a commit that could not be looked up.
        Err(error) => world.repository.unreachable(error.to_string(), now),
    };
    take_moved(world, moved);
}

fn advance(world: &mut World, tip: &CommitId, objects: SharedObjects, now: Timestamp) -> Moved {
    world.repository.reopen(objects);
    // A first clone takes seconds: the listeners go on meanwhile.
    tokio::task::block_in_place(|| world.repository.advance(tip, now))
}

fn take_moved(world: &mut World, moved: Moved) {
    let accepted = !moved.landings.is_empty();
    world.take_landings(moved.landings);
    if moved.condition || accepted {
        tracing::info!(condition = ?world.repository.condition(), head = ?world.repository.head(), "the repository moved");
        world.moved();
    }
}

/// Whether a device holds metadata of ours that is newer than everything known of: database and store were set back. What
/// keys signed that were rotated out proves nothing: whoever took them may have made it.
fn is_ahead(world: &World, outlets: &Outlets, device: &DeviceName, presented: Option<&PresentedOffer>) -> bool {
    let known = || world.known_metadata(device).max(outlets.publisher.signed_version(device));
    presented.is_some_and(|held| held.is_current && held.metadata_version > known())
}

/// Where records were set back, those of spent tokens are lost: until now is known what was listed, and void. So are those of
/// certificates that were used.
async fn doubt_if_behind(
    world: &mut World,
    outlets: &Outlets,
    reports: &[Observation],
    now: Timestamp,
) -> Result<(), TickError> {
    let tells = |report: &&Observation| is_ahead(world, outlets, &report.identity.device, report.presented.as_ref());
    if world.is_behind() || reports.iter().find(tells).is_none() {
        return Ok(());
    }
    let until = now + SETTLE;
    outlets.unsettled_until.send_replace(until);
    outlets.store.unsettle_certificates(until).await.map_err(PlanError::from)?;
    outlets.publisher.store_void_tokens(None).await?;
    settle_void_tokens(world, outlets).await
}

/// Takes the newest head record of ours that devices hold, if it stands above everything known of: then database and store
/// lost it. It is in the store before it counts.
async fn take_presented_heads(
    world: &mut World,
    publisher: &Publisher,
    reports: &[Observation],
    now: Timestamp,
) -> Result<(), TickError> {
    let presented = reports.iter().filter_map(|report| report.head.as_ref());
    let above = presented.filter(|record| world.repository.is_below(record));
    let Some(record) = above.max_by_key(|record| record.rank()) else { return Ok(()) };
    tracing::warn!(commit = %record.commit, landing = record.landing, "a device holds a newer accepted head than is known of");
    // Whoever lost the head lost which tokens were spent as well: that first, since a head that is stored is no news any more.
    publisher.store_void_tokens(Some(record.landing)).await?;
    publisher.store_head(record).await?;
    let moved = tokio::task::block_in_place(|| world.repository.take_anchor(record, now));
    take_moved(world, moved);
    world.look_up_anchor();
    Ok(())
}

/// Stores the accepted head before anything follows from it: its signed record, then the database.
///
/// # Errors
/// When either fails: then nothing may follow from the head yet.
pub async fn store_head(world: &mut World, store: &Store, publisher: &Publisher) -> Result<(), TickError> {
    // While the anchor is missing the store's record names that, which stands above what is accepted.
    if !world.repository.lacks_anchor()
        && let Some(record) = world.repository.head_record()
    {
        publisher.store_head(&record).await?;
    }
    if world.unstored.is_empty() {
        return Ok(());
    }
    let record = world.repository.head_record().expect("landings were accepted, so there is a head");
    let head = HeadRow::from(&record);
    let before = world.stored_head.as_ref().map(|head| head.commit);
    store.accept_head(before.as_ref(), &head, &world.unstored).await?;
    world.unstored.clear();
    world.stored_head = Some(head);
    Ok(())
}

/// Stores what was decided, in one transaction.
async fn store_plan(world: &mut World, outlets: &Outlets, now: Timestamp) -> Result<(), TickError> {
    let Some(change) = world.take_change() else { return Ok(()) };
    // Before the database forgets it: what only the store has would be taken for news that the database lost.
    let stored = match outlets.publisher.remove_fleets(&change.removed).await {
        Ok(()) => outlets.store.commit_plan(world.plan, &change, now).await.map_err(TickError::from),
        Err(error) => Err(error.into()),
    };
    match stored {
        Ok(plan) => world.plan = plan,
        Err(error) => {
            world.keep_change(change);
            return Err(error);
        }
    }
    Ok(())
}

/// Writes rollout records to the store, before the offers that they allow.
async fn write_records(world: &mut World, outlets: &Outlets, now: Timestamp) -> Result<(), TickError> {
    let due = world.due_records(now);
    if !due.is_empty() {
        outlets.publisher.store_fleets(due).await?;
        world.records_written();
    }
    Ok(())
}

/// Keeps tokens spent whose records may be lost: devices show certificates that were made with them.
async fn keep_spent(world: &mut World, outlets: &Outlets) {
    for (entry, token) in world.take_proven_tokens() {
        if let Err(error) = outlets.publisher.spend_again(&token).await {
            tracing::error!(%token, %error, "a token that a device proves to be spent cannot be recorded so; it is tried again");
            world.prove_again(entry);
        }
    }
}

/// Once a head is accepted after records of spent tokens were lost, it says which tokens are void: those that were listed
/// until then. Tells the listeners.
async fn settle_void_tokens(world: &mut World, outlets: &Outlets) -> Result<(), TickError> {
    let undecided = outlets.publisher.void_tokens() == VoidTokens::All;
    let head = world.repository.head().filter(|_| *world.repository.condition() == Condition::Verified);
    if let Some(head) = head.filter(|_| undecided && !world.repository.lacks_anchor()) {
        outlets.publisher.store_void_tokens(Some(head.number)).await?;
    }
    let void = outlets.publisher.void_tokens();
    world.void = void;
    outlets.void.send_if_modified(|told| std::mem::replace(told, void) != void);
    Ok(())
}

/// Writes down which devices left, as the history asked, or came back; then it counts, and the listeners are told.
async fn record_departures(world: &mut World, outlets: &Outlets) -> Result<(), TickError> {
    let departures = world.departures();
    if departures.is_empty() {
        return Ok(());
    }
    for (device, record) in departures {
        match record {
            Some(record) => outlets.publisher.store_decommissioned(&record).await?,
            None => outlets.publisher.forget_decommissioned(&device).await?,
        }
    }
    world.departures_written();
    Ok(())
}

/// Tells the listeners who may enroll and who may speak, once the head that says so is stored.
fn announce_admissions(world: &mut World, outlets: &Outlets) {
    let Some(newest) = world.admissions() else { return };
    outlets.admissions.send_if_modified(|current| {
        let changed = !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &newest));
        *current = Some(newest.clone());
        changed
    });
}

/// The newest signed head record, for devices to keep. One of an introduction that was replaced is nobody's business.
fn head_to_give(world: &World, outlets: &Outlets) -> Option<Bytes> {
    let head = outlets.publisher.head()?;
    world.repository.is_introduced_as(&head.record).then_some(head.bytes)
}

/// Writes the signed targets of the next devices whose targets are not what was decided; targets before metadata. What is
/// wrong with one device stops that device alone, and is tried again later.
async fn publish(world: &mut World, outlets: &Outlets, now: Timestamp) -> Result<Vec<DeviceName>, TickError> {
    let publications = world.publications(SLICE, now);
    if publications.is_empty() {
        return Ok(Vec::new());
    }
    let mut devices = Vec::with_capacity(publications.len());
    for publication in publications {
        let device = publication.binding.device.clone();
        match targets(world, &outlets.publisher, publication).await {
            Ok(targets) => devices.push(targets),
            Err(error) => put_off(world, device, error.into(), now),
        }
    }
    let Published { versions, failed } = outlets.publisher.publish(devices, now).await?;
    for (device, error) in failed {
        put_off(world, device, error.into(), now);
    }
    Ok(world.published(versions, now))
}

fn put_off(world: &mut World, device: DeviceName, error: anyhow::Error, now: Timestamp) {
    tracing::error!(%device, ?error, "the device cannot be published, and is tried again");
    world.put_off(device, now);
}

async fn targets(world: &World, publisher: &Publisher, publication: Publication) -> Result<DeviceTargets, TickError> {
    let Publication { binding, rendered, floor } = publication;
    if let Some(rendered) = rendered {
        let mut contents = Vec::new();
        for (target, content) in rendered.targets.iter().filter(|(target, _)| !publisher.has_target(target)) {
            match content {
                // One for each device, perhaps: they are written together.
                Content::Text(text) => contents.push((*target, Bytes::copy_from_slice(text.as_bytes()))),
                // Large, perhaps, and common to many: it is not kept in memory.
                Content::Blob(blob) => publisher.put_target(target, world.repository.blob(blob)?.into()).await?,
            }
        }
        let targets = rendered.targets.iter().map(|(target, _)| *target).collect();
        let spec = Some(Bytes::copy_from_slice(&rendered.canonical));
        return Ok(DeviceTargets { binding, spec, targets, contents, floor });
    }
    let spec = match &binding.offer {
        Some(offer) => Some(publisher.stored_spec(&offer.digest).await?),
        None => None,
    };
    let parsed = spec.as_ref().map(|spec| DeviceSpec::from_canonical(spec));
    let targets = match parsed {
        Some(Ok(spec)) => spec.targets().collect(),
        Some(Err(_)) | None => Vec::new(),
    };
    Ok(DeviceTargets { binding, spec, targets, contents: Vec::new(), floor })
}

#[cfg(test)]
mod tests;
