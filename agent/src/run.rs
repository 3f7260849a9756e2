//! The agent's loop: hands every event to the core, and carries out what comes back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwether_agent_core::{
    Clock, Effect, Event, Machine, NotApplied, Probed, Problem, Purpose, Status, Thoroughness,
};
use bellwether_schemas::allow::{Allowed, MAX_BYTES, MAX_ENTRIES};
use bellwether_schemas::codes;
use bellwether_schemas::head::MAX_HEAD;
use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::report::{Directive, Failure, FailureKind, Presented};
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::wire::proto::ReportMessage;
use bellwether_schemas::wire::{allows_message, report_message};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::apply::{Applier, ApplyError};
use crate::disk::DiskError;
use crate::head::{self, HeadError};
use crate::identity::Identity;
use crate::probe::Prober;
use crate::session::{self, Link};
use crate::state_dir::{StateDir, StateError};
use crate::supervisor::Supervisor;
use crate::updates::Updates;
use crate::{clock, pull, tls};

/// The version of this program, as it reports it.
pub(crate) const AGENT: &str = env!("CARGO_PKG_VERSION");
/// The heartbeat until the reconciler says another.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(60);
/// A heartbeat is no rarer, whatever the reconciler says: a device must be heard of, and retries hang on it.
const RAREST_HEARTBEAT: Duration = Duration::from_secs(3_600);
/// Pulls that may be made at once, and the time after which one more is allowed.
const PULLS: u32 = 16;
const PULL_AGAIN: Duration = Duration::from_secs(1);

/// Why the agent had to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The device is not enrolled.
    #[error("{} holds no certificate", .0.display())]
    NotEnrolled(PathBuf),
    /// Its state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is placed cannot be known.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The system.
    #[error("signals")]
    Signals(#[source] std::io::Error),
}

impl From<DiskError> for RunError {
    fn from(error: DiskError) -> Self {
        Self::State(error.into())
    }
}

/// The heartbeat that the reconciler wants.
pub(crate) fn heartbeat(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds.max(1))).min(RAREST_HEARTBEAT)
}

struct Agent {
    state: Arc<StateDir>,
    applier: Arc<Applier>,
    prober: Prober,
    machine: Machine,
    identity: Identity,
    verified: Option<Timestamp>,
    work: mpsc::Sender<Event>,
    session: Option<mpsc::Sender<ReportMessage>>,
    /// Tells that there is something to report, to whoever makes calls in place of a session.
    news: watch::Sender<()>,
    supervisor: Supervisor,
    heartbeat: Duration,
    tick: Instant,
    wakes: Vec<Timestamp>,
    retry: Option<Instant>,
    /// When as many pulls as may be are allowed again.
    pulls_free: Instant,
    link_trouble: Option<String>,
    clock_trouble: Option<String>,
    failure: Option<Failure>,
    /// The reconciler knows that everything is removed: keys and state go, and the agent ends.
    is_dismissed: bool,
    /// A head record that the accepted root does not answer for; the next pull may bring a newer root.
    unanswered_head: Option<Vec<u8>>,
    shown: Vec<u8>,
}

/// Runs until a signal ends it.
pub(crate) async fn run(state: StateDir, root: PathBuf, allowed: Allowed) -> Result<(), RunError> {
    let (mut agent, mut done) = Agent::new(state, root, allowed)?;
    if !agent.prober.allowed.is_reportable() {
        tracing::warn!(
            "agent.yaml allows more than a report may carry ({MAX_ENTRIES} entries, {MAX_BYTES} bytes): nobody is told before a \
             change that this device will refuse it"
        );
    }
    let unfinished = agent.applier.is_unfinished()?;
    let (link, mut links) = mpsc::channel(32);
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    agent.handle(Event::Started { unfinished })?;
    let session = tokio::spawn(session::keep(agent.state.clone(), link, agent.news.subscribe()));
    agent.supervisor.ready();
    loop {
        agent.supervisor.alive(Instant::now());
        if agent.is_dismissed {
            session.abort();
            // What works in the background holds the state directory as well, and ends with the runtime.
            return Ok(agent.state.forget_all(&agent.identity.device, clock::now(agent.verified).0)?);
        }
        tokio::select! {
            Some(event) = done.recv() => agent.worked(event)?,
            Some(link) = links.recv() => agent.linked(link)?,
            () = sleep_until(agent.next_timer()) => agent.timed()?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    agent.supervisor.stopping();
    session.abort();
    tracing::info!("stopped");
    Ok(())
}

impl Agent {
    /// The agent of a state directory, and where its work ends.
    fn new(state: StateDir, root: PathBuf, allowed: Allowed) -> Result<(Self, mpsc::Receiver<Event>), RunError> {
        let identity = state.load_identity()?.ok_or_else(|| RunError::NotEnrolled(state.path().to_owned()))?;
        let verified = state.load_trust()?.and_then(|trust| trust.verified);
        let machine = Machine::new(state.load_memory()?, allowed.clone());
        let applier = Applier::new(state.path().to_owned(), root.clone());
        let (work, done) = mpsc::channel(8);
        let agent = Self {
            state: Arc::new(state),
            applier: Arc::new(applier),
            prober: Prober { root, allowed },
            machine,
            identity,
            verified,
            work,
            session: None,
            news: watch::Sender::new(()),
            supervisor: Supervisor::from_environment(),
            heartbeat: HEARTBEAT,
            tick: Instant::now() + HEARTBEAT,
            wakes: Vec::new(),
            retry: None,
            pulls_free: Instant::now(),
            link_trouble: None,
            clock_trouble: None,
            failure: None,
            unanswered_head: None,
            is_dismissed: false,
            shown: Vec::new(),
        };
        Ok((agent, done))
    }

    fn handle(&mut self, event: Event) -> Result<(), RunError> {
        let (now, clock) = clock::now(self.verified);
        if clock == Clock::Plausible {
            self.clock_trouble = None;
        } else if self.clock_trouble.is_none() {
            let text = format!("{}: the clock shows {}, {now} is used instead", codes::CLOCK_BEHIND, Timestamp::now());
            tracing::warn!("{text}");
            self.clock_trouble = Some(text);
        }
        let effects = self.machine.handle(event, now);
        for effect in effects {
            self.carry_out(effect)?;
        }
        self.show(now);
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), RunError> {
        match effect {
            // The agent must not go on with a memory that is not on disk: this error ends it.
            Effect::Persist => self.state.store_memory(self.machine.memory())?,
            Effect::Note => unless_full(self.state.store_memory(self.machine.memory())),
            Effect::Report => {
                self.news.send_replace(());
                self.send_report(None);
            }
            Effect::Pull => {
                let wait = self.next_pull();
                let pull = pull_now(self.state.clone(), self.identity.clone(), self.verified);
                self.start(async move {
                    tokio::time::sleep(wait).await;
                    pull.await
                });
            }
            Effect::RetryPull(failures) => self.retry = Some(Instant::now() + session::jittered(failures)),
            Effect::Stage(spec) => self.start(stage(self.state.clone(), self.applier.clone(), *spec)),
            Effect::Apply { digest, previous } => self.start_apply(digest, previous),
            Effect::Undo { previous } => {
                self.start_blocking(Event::Undone, move |applier| applier.undo(previous.as_ref()));
            }
            Effect::Commit { digest, keep } => {
                self.start_blocking(Event::Committed, move |applier| applier.commit(&digest, keep.as_ref()));
            }
            Effect::Probe { purpose, how, digest } => self.start_probes(purpose, how, digest),
            Effect::WakeAt(at) => self.wakes.push(at),
            Effect::Clear => self.start_blocking(Event::Cleared, Applier::remove_all),
            Effect::Forget => self.is_dismissed = true,
        }
        Ok(())
    }

    fn start(&self, work: impl Future<Output = Event> + Send + 'static) {
        let sender = self.work.clone();
        tokio::spawn(async move {
            let _ = sender.send(work.await).await;
        });
    }

    /// How long the next pull has to wait, so that a reconciler that announces without end does not keep the device busy.
    fn next_pull(&mut self) -> Duration {
        let now = Instant::now();
        self.pulls_free = self.pulls_free.max(now) + PULL_AGAIN;
        (self.pulls_free - now).saturating_sub(PULL_AGAIN * PULLS)
    }

    fn start_apply(&self, digest: Sha256Digest, previous: Option<Sha256Digest>) {
        let applier = self.applier.clone();
        self.start(async move {
            let done = tokio::task::spawn_blocking(move || {
                let applied = applier.apply(&digest, previous.as_ref()).map_err(|e| e.problem());
                // Without a journal nothing was begun. Where that cannot be known, it is undone.
                applied.map_err(|problem| NotApplied { problem, changed: applier.is_unfinished().unwrap_or(true) })
            });
            Event::Applied(done.await.unwrap_or_else(|e| {
                Err(NotApplied { problem: Problem::lasting(codes::APPLY_FAILED, e.to_string()), changed: true })
            }))
        });
    }

    fn start_blocking<F>(&self, event: fn(Result<(), Problem>) -> Event, work: F)
    where
        F: FnOnce(&Applier) -> Result<(), ApplyError> + Send + 'static,
    {
        let applier = self.applier.clone();
        self.start(async move {
            let done = tokio::task::spawn_blocking(move || work(&applier)).await;
            event(match done {
                Ok(result) => result.map_err(|e| e.problem()),
                Err(e) => Err(Problem::lasting(codes::APPLY_FAILED, e.to_string())),
            })
        });
    }

    fn start_probes(&self, purpose: Purpose, how: Thoroughness, digest: Sha256Digest) {
        let (applier, prober) = (self.applier.clone(), self.prober.clone());
        self.start(async move {
            let result = match applier.load_spec(&digest) {
                Ok(spec) => prober.run(&spec.probes, how).await,
                Err(e) => Err(e.problem()),
            };
            Event::Probed(Probed { purpose, result })
        });
    }

    /// Work ended.
    fn worked(&mut self, event: Event) -> Result<(), RunError> {
        match &event {
            Event::Pulled(Ok(pulled)) => {
                self.retry = None;
                self.verified = self.state.load_trust()?.and_then(|trust| trust.verified);
                let offer = pulled.offer.as_ref().map(|found| found.0.version.long());
                tracing::info!(offer = offer.as_deref().unwrap_or("none"), "pulled");
                if let Some(record) = self.unanswered_head.take() {
                    self.keep_head(record);
                }
            }
            Event::Pulled(Err(p))
            | Event::Staged(Err(p))
            | Event::Applied(Err(NotApplied { problem: p, .. }))
            | Event::Undone(Err(p))
            | Event::Committed(Err(p))
            | Event::Cleared(Err(p)) => tracing::warn!(code = %p.code, "{}", p.message),
            Event::Probed(Probed { purpose, result: Err(p) }) => {
                tracing::warn!(code = %p.code, ?purpose, "{}", p.message);
            }
            _ => {}
        }
        self.handle(event)
    }

    fn linked(&mut self, link: Link) -> Result<(), RunError> {
        match link {
            Link::Opening(sender) => {
                self.refresh_identity();
                self.session = Some(sender);
                self.send_report(Some(presented(&self.state)));
                Ok(())
            }
            Link::Up => {
                tracing::info!(server = %self.identity.devices, "connected");
                self.link_trouble = None;
                self.handle(Event::Connected)
            }
            Link::Polling(reply) => {
                self.refresh_identity();
                let presented = presented(&self.state);
                // A poll that was given up in the meantime needs no report.
                let _ = reply.send(self.report(Some(presented)));
                Ok(())
            }
            Link::Down(problem) => {
                self.session = None;
                if problem.code == codes::DEVICE_DECOMMISSIONED {
                    self.handle(Event::Dismissed)?;
                }
                tracing::warn!(code = %problem.code, "{}", problem.message);
                self.link_trouble = Some(problem.to_string());
                self.refresh_identity();
                self.handle(Event::Disconnected)
            }
            Link::Said(Directive::Interval { seconds }) => {
                self.heartbeat = heartbeat(seconds);
                self.tick = Instant::now() + self.heartbeat;
                Ok(())
            }
            Link::Said(Directive::Head { record }) => {
                self.keep_head(record);
                Ok(())
            }
            Link::Said(directive) => {
                tracing::info!(?directive, "told");
                self.handle(Event::Directive(directive))
            }
        }
    }

    fn next_timer(&self) -> Instant {
        let now = clock::now(self.verified).0;
        let wakes = self
            .wakes
            .iter()
            .map(|at| Instant::now() + Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
        wakes.chain(self.retry).chain(self.supervisor.next()).fold(self.tick, Instant::min)
    }

    fn timed(&mut self) -> Result<(), RunError> {
        let now = clock::now(self.verified).0;
        let woken = self.wakes.iter().any(|at| *at <= now);
        self.wakes.retain(|at| *at > now);
        if self.retry.take_if(|at| *at <= Instant::now()).is_some() {
            self.machine.want_pull();
            self.handle(Event::Woke)?;
        } else if woken {
            self.handle(Event::Woke)?;
        }
        if self.tick <= Instant::now() {
            self.tick = Instant::now() + self.heartbeat;
            self.handle(Event::Tick)?;
        }
        Ok(())
    }

    /// Keeps a head record if it counts. One that does not, or that the disk has no room for, ends nothing.
    fn keep_head(&mut self, record: Vec<u8>) {
        let kept = self.state.load_trust().map_err(HeadError::from).and_then(|trust| match trust {
            Some(trust) => head::keep(&self.state, &trust, &record),
            None => Err(HeadError::Foreign),
        });
        self.unanswered_head = None;
        match kept {
            Ok(()) => {}
            Err(HeadError::Disk(error)) => unless_full(Err(error)),
            Err(error) => {
                tracing::warn!(code = %codes::HEAD_RECORD_REFUSED, "{}", crate::cli::chain(&error));
                self.unanswered_head = matches!(error, HeadError::Foreign).then_some(record);
            }
        }
    }

    /// Takes over what a renewal changed.
    fn refresh_identity(&mut self) {
        if let Ok(Some(identity)) = self.state.load_identity() {
            self.identity = identity;
        }
    }

    fn report(&self, presented: Option<Presented>) -> ReportMessage {
        let trusted = presented.as_ref().map(|_| tls::fingerprints(&self.identity.ca)).unwrap_or_default();
        let authorities = trusted.iter().map(|fingerprint| fingerprint.as_bytes().to_vec().into()).collect();
        // It changes only when the agent starts anew, and then so does the session.
        let allows = presented.as_ref().and_then(|_| allows_message(&self.prober.allowed));
        ReportMessage { authorities, allows, ..report_message(self.machine.report(AGENT, Timestamp::now()), presented) }
    }

    fn send_report(&mut self, presented: Option<Presented>) {
        let Some(session) = &self.session else { return };
        // A session that takes no reports is about to end; the next one begins with a report.
        if session.try_send(self.report(presented)).is_err() {
            self.session = None;
        }
    }

    /// An offer that was refused failed no work, so that no other line tells of it.
    fn say_refusal(&mut self, status: &Status) {
        if self.failure == status.failure {
            return;
        }
        self.failure.clone_from(&status.failure);
        if let Some(failure) = self.failure.as_ref().filter(|failure| failure.kind == FailureKind::Failed) {
            tracing::warn!(code = %failure.code, "{}", failure.message);
        }
    }

    /// Writes the status where it changed.
    fn show(&mut self, now: Timestamp) {
        let troubles: Vec<String> = self.clock_trouble.iter().chain(&self.link_trouble).cloned().collect();
        let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
        let mut status = self.machine.status(&self.identity.device, Timestamp::UNIX_EPOCH, trouble);
        let shown = serde_json::to_vec(&status).expect("a status has string keys");
        if shown != self.shown {
            self.shown = shown;
            tracing::info!(phase = ?status.phase, waiting = %status.waiting, "status");
            self.supervisor.status(&format!("waits for {}", status.waiting));
            self.say_refusal(&status);
            status.at = now;
            unless_full(self.state.store_status(&status));
        }
    }
}

/// What the device can show of what it holds. What is damaged is said, and does not keep the device from being heard.
pub(crate) fn presented(state: &StateDir) -> Presented {
    let damaged = |error| tracing::warn!(code = %codes::AGENT_STATE, "{}", crate::cli::chain(&error));
    let held = state.load_metadata().map_err(damaged).ok().flatten().unwrap_or_default();
    let head = state.load_head().map_err(damaged).unwrap_or_default();
    Presented {
        timestamp: held.timestamp.into_bytes(),
        snapshot: held.snapshot.into_bytes(),
        targets: held.targets.into_bytes(),
        head: if head.len() > MAX_HEAD { Vec::new() } else { head },
    }
}

/// What could not be written for people only: the disk may be full, and the device goes on.
fn unless_full(written: Result<(), DiskError>) {
    if let Err(error) = written {
        tracing::warn!(code = %codes::AGENT_STATE, "{}", crate::cli::chain(&error));
    }
}

async fn pull_now(state: Arc<StateDir>, identity: Identity, verified: Option<Timestamp>) -> Event {
    Event::Pulled(pull_all(&state, &identity, verified).await)
}

async fn pull_all(
    state: &StateDir,
    identity: &Identity,
    verified: Option<Timestamp>,
) -> Result<bellwether_agent_core::Pulled, Problem> {
    let damaged = |e: DiskError| Problem::transient(codes::AGENT_STATE, crate::cli::chain(&e));
    let identity = state.load_identity().map_err(damaged)?.unwrap_or_else(|| identity.clone());
    let updates = Updates::connect(&identity, verified)?;
    pull::keep(state, &updates, &identity.device, clock::now(verified).0).await
}

/// Downloads what a spec needs, and checks that nothing stands in its way.
async fn stage(state: Arc<StateDir>, applier: Arc<Applier>, spec: DeviceSpec) -> Event {
    Event::Staged(stage_all(&state, applier, spec).await)
}

async fn stage_all(state: &StateDir, applier: Arc<Applier>, spec: DeviceSpec) -> Result<(), Problem> {
    let damaged = |e: DiskError| Problem::transient(codes::AGENT_STATE, crate::cli::chain(&e));
    let (wanted, store): (Vec<_>, _) = (spec.targets().collect(), applier.clone());
    // A name is no proof: what lies there is hashed before it is taken for the content.
    let find = move || wanted.into_iter().filter(|target| !store.has_content(&target.sha256)).collect::<Vec<_>>();
    let needed = tokio::task::spawn_blocking(find).await;
    let needed = needed.map_err(|e| Problem::transient(codes::DOWNLOAD_FAILED, e.to_string()))?;
    if !needed.is_empty() {
        let identity = state.load_identity().map_err(damaged)?;
        let identity = identity.ok_or_else(|| Problem::transient(codes::NOT_ENROLLED, "identity.json is gone"))?;
        let verified = state.load_trust().map_err(damaged)?.and_then(|trust| trust.verified);
        let updates = Updates::connect(&identity, verified)?;
        for target in needed {
            updates.download(target, &target.name(), &applier.content(&target.sha256)).await?;
        }
    }
    let staged = tokio::task::spawn_blocking(move || applier.stage(&spec)).await;
    staged.map_err(|e| Problem::lasting(codes::APPLY_FAILED, e.to_string()))?.map_err(|e| e.problem())
}

#[cfg(test)]
mod tests;
