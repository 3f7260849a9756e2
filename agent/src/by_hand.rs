//! A device without loop and network, for simulations whose clock nobody waits for: who holds it says what time it is, and
//! carries its messages. What is decided, verified, written, placed and probed is so by the parts that `run` uses.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_agent_core::{Clock, Effect, Event, Machine, NotApplied, Probed, Problem, trusted_now};
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::codes;
use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::name::DeviceName;
use bellwether_schemas::report::{Directive, Presented, Report};
use bellwether_schemas::spec::TargetRef;
use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

use crate::apply::Applier;
use crate::identity::{Identity, KeyRequest};
use crate::probe::Prober;
use crate::pull::{self, Source};
use crate::run::{AGENT, presented};
use crate::session::renewal;
use crate::state_dir::StateDir;
use crate::trust::{Floors, Trust};
use crate::{clock, head, tls};

/// What a device gets when it enrolls.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name.
    pub device: DeviceName,
    /// The authority, PEM.
    pub ca: String,
    /// The pinned root.
    pub root_json: String,
    /// The reconciler's store, which it reads as the `updates` listener would show it.
    pub store: PathBuf,
}

/// A device. What it knows is on disk, as on a real one.
#[derive(Debug)]
pub struct Device {
    name: DeviceName,
    dir: PathBuf,
    store: Store,
    state: StateDir,
    applier: Applier,
    prober: Prober,
    machine: Machine,
    wants_renewal: bool,
    wants_report: bool,
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::transient(codes::AGENT_STATE, crate::cli::chain(error))
}

impl Device {
    /// Enrolls in a new folder. `sign` gets the request (PKCS#10, DER) and returns the certificate.
    ///
    /// # Errors
    /// Where the folder cannot be used, or the certificate is not for the key.
    pub async fn enroll(dir: &Path, given: Given, sign: impl FnOnce(&[u8]) -> String) -> Result<Self, Problem> {
        std::fs::create_dir_all(dir.join("root")).map_err(|e| failed(&e))?;
        let state = StateDir::lock(&dir.join("state")).map_err(|e| failed(&e))?;
        state.load_memory().map_err(|e| failed(&e))?;
        let pinned = Sha256Digest::of(given.root_json.as_bytes());
        let trust = Trust { root: given.root_json, pinned, floors: Floors::default(), verified: None };
        state.store_trust(&trust).map_err(|e| failed(&e))?;
        let request = KeyRequest::make().map_err(|e| failed(&e))?;
        let nowhere = "https://127.0.0.1:1".to_owned();
        let identity = Identity {
            device: given.device,
            certificate: sign(&request.request_der),
            key: request.key,
            ca: given.ca,
            devices: nowhere.clone(),
            updates: nowhere,
        };
        renewal::take(&state, &identity)?;
        drop(state);
        Self::start(dir, &given.store).await
    }

    /// Starts on what is on disk, as after a power cut.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub async fn start(dir: &Path, store: &Path) -> Result<Self, Problem> {
        let state = StateDir::lock(&dir.join("state")).map_err(|e| failed(&e))?;
        let name = identity(&state)?.device;
        let (root, allowed) = (dir.join("root"), Allowed::default());
        let machine = Machine::new(state.load_memory().map_err(|e| failed(&e))?, allowed.clone());
        let applier = Applier::new(state.path().to_owned(), root.clone());
        let unfinished = applier.is_unfinished().map_err(|e| failed(&e))?;
        let mut device = Self {
            store: Store { folder: store.to_owned(), device: name.clone() },
            name,
            dir: dir.to_owned(),
            state,
            applier,
            prober: Prober { root, allowed },
            machine,
            wants_renewal: false,
            wants_report: false,
        };
        let now = device.floor()?;
        device.happened(Event::Started { unfinished }, now).await?;
        Ok(device)
    }

    /// The power is cut, and comes back.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub async fn restart(self) -> Result<Self, Problem> {
        let (dir, store) = (self.dir.clone(), self.store.folder.clone());
        // The lock of the state directory goes with it.
        drop(self);
        Self::start(&dir, &store).await
    }

    /// Its name.
    pub fn name(&self) -> &DeviceName {
        &self.name
    }

    /// The time that it believes where its clock shows `clock`.
    ///
    /// # Errors
    /// Where its state cannot be read.
    pub fn believes(&self, clock: Timestamp) -> Result<(Timestamp, Clock), Problem> {
        let verified = self.state.load_trust().map_err(|e| failed(&e))?.and_then(|trust| trust.verified);
        Ok(trusted_now(clock, clock::built(), verified))
    }

    /// The earliest time that it believes.
    fn floor(&self) -> Result<Timestamp, Problem> {
        Ok(self.believes(Timestamp::UNIX_EPOCH)?.0)
    }

    /// What it speaks TLS with at this time.
    ///
    /// # Errors
    /// Where key, certificate and authority do not fit.
    pub fn tls(&self, now: Timestamp) -> Result<ClientConfig, Problem> {
        let identity = identity(&self.state)?;
        let mut config = tls::client(&identity.ca, Some(&identity), None).map_err(|e| failed(&e))?;
        config.time_provider = Arc::new(Stopped(now));
        Ok(config)
    }

    /// Whether it was told to renew its certificate, and has not yet.
    pub fn is_told_to_renew(&self) -> bool {
        self.wants_renewal
    }

    /// Whether it renews its certificate now: two thirds are over, or it was told so.
    ///
    /// # Errors
    /// Where its state cannot be read.
    pub fn is_to_renew(&self, now: Timestamp) -> Result<bool, Problem> {
        Ok(self.wants_renewal || identity(&self.state)?.is_renewable(now))
    }

    /// Renews: a new key, for which `sign` returns the certificate.
    ///
    /// # Errors
    /// Where the certificate is not for the key, or cannot be kept.
    pub fn renew(&mut self, sign: impl FnOnce(&[u8]) -> String) -> Result<(), Problem> {
        let request = KeyRequest::make().map_err(|e| failed(&e))?;
        let certificate = sign(&request.request_der);
        renewal::take(&self.state, &Identity { key: request.key, certificate, ..identity(&self.state)? })?;
        self.wants_renewal = false;
        Ok(())
    }

    /// Whether it could pull now. Keeps nothing of it.
    ///
    /// # Errors
    /// Why it could not.
    pub async fn could_pull(&self, now: Timestamp) -> Result<(), Problem> {
        let trust = self.state.load_trust().map_err(|e| failed(&e))?;
        let mut trust = trust.ok_or_else(|| Problem::lasting(codes::AGENT_STATE, "trust.json is gone"))?;
        pull::refresh_root(&self.store, &mut trust).await?;
        let held = self.state.load_metadata().map_err(|e| failed(&e))?;
        pull::refresh(&self.store, &trust, held, &self.name, now).await.map(drop)
    }

    /// What it reports, and whether it has something to say before the next heartbeat.
    pub fn report(&mut self, now: Timestamp) -> Report {
        self.wants_report = false;
        self.machine.report(AGENT, now)
    }

    /// Whether it has something to report before the next heartbeat.
    pub fn wants_report(&self) -> bool {
        self.wants_report
    }

    /// What it shows with the first report of a session.
    pub fn presented(&self) -> Presented {
        presented(&self.state)
    }

    /// A file that was placed, by its path on the device.
    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.join("root").join(path.trim_start_matches('/'))).ok()
    }

    /// It is told something.
    ///
    /// # Errors
    /// Where its state cannot be written.
    pub async fn told(&mut self, directive: Directive, now: Timestamp) -> Result<(), Problem> {
        match directive {
            Directive::Renew => self.wants_renewal = true,
            Directive::Interval { .. } => {}
            Directive::Head { record } => {
                let trust = self.state.load_trust().map_err(|e| failed(&e))?;
                let trust = trust.ok_or_else(|| Problem::lasting(codes::AGENT_STATE, "trust.json is gone"))?;
                head::keep(&self.state, &trust, &record).map_err(|e| failed(&e))?;
            }
            directive => self.happened(Event::Directive(directive), now).await?,
        }
        Ok(())
    }

    /// A heartbeat without a reconciler: the session is broken, or cannot be opened.
    ///
    /// # Errors
    /// As of [`Self::happened`].
    pub async fn away(&mut self, now: Timestamp) -> Result<(), Problem> {
        self.happened(Event::Disconnected, now).await?;
        self.happened(Event::Tick, now).await
    }

    /// Something happened. What follows is done at once, until the device waits for others.
    ///
    /// # Errors
    /// Where its state cannot be written, which ends a real agent as well.
    pub async fn happened(&mut self, event: Event, now: Timestamp) -> Result<(), Problem> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.machine.handle(event, now) {
                events.extend(self.carry_out(effect, now).await?);
            }
        }
        Ok(())
    }

    async fn carry_out(&mut self, effect: Effect, now: Timestamp) -> Result<Option<Event>, Problem> {
        Ok(Some(match effect {
            Effect::Persist | Effect::Note => {
                self.state.store_memory(self.machine.memory()).map_err(|e| failed(&e))?;
                return Ok(None);
            }
            Effect::Report => {
                self.wants_report = true;
                return Ok(None);
            }
            // The next heartbeat comes sooner than any wait of a simulation.
            Effect::RetryPull(_) => {
                self.machine.want_pull();
                return Ok(None);
            }
            Effect::WakeAt(_) | Effect::Forget => return Ok(None),
            Effect::Pull => Event::Pulled(pull::keep(&self.state, &self.store, &self.name, now).await),
            Effect::Stage(spec) => Event::Staged(self.applier.stage(&spec).map_err(|e| e.problem())),
            Effect::Apply { digest, previous } => {
                let applied = self.applier.apply(&digest, previous.as_ref()).map_err(|e| e.problem());
                Event::Applied(applied.map_err(|problem| NotApplied { problem, changed: true }))
            }
            Effect::Undo { previous } => Event::Undone(self.applier.undo(previous.as_ref()).map_err(|e| e.problem())),
            Effect::Commit { digest, keep } => {
                Event::Committed(self.applier.commit(&digest, keep.as_ref()).map_err(|e| e.problem()))
            }
            Effect::Clear => Event::Cleared(self.applier.remove_all().map_err(|e| e.problem())),
            Effect::Probe { purpose, how, digest } => {
                let result = match self.applier.load_spec(&digest) {
                    Ok(spec) => self.prober.run(&spec.probes, how).await,
                    Err(error) => Err(error.problem()),
                };
                Event::Probed(Probed { purpose, result })
            }
        }))
    }
}

fn identity(state: &StateDir) -> Result<Identity, Problem> {
    let identity = state.load_identity().map_err(|e| failed(&e))?;
    identity.ok_or_else(|| Problem::lasting(codes::NOT_ENROLLED, "identity.json is gone"))
}

/// The clock of one moment, for TLS.
#[derive(Debug)]
pub struct Stopped(pub Timestamp);

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The reconciler's store, read as the `updates` listener shows it to one device.
#[derive(Debug)]
struct Store {
    folder: PathBuf,
    device: DeviceName,
}

impl Source for Store {
    async fn metadata(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
        let path = if name.ends_with(".root.json") {
            self.folder.join("root").join(name)
        } else {
            self.folder.join("devices").join(self.device.as_str()).join(name)
        };
        match std::fs::read(&path) {
            Ok(bytes) if bytes.len() as u64 <= limit => Ok(Some(bytes)),
            Ok(_) => Err(Problem::transient(codes::METADATA_REFUSED, format!("{name}: more than {limit} bytes"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn download(&self, target: TargetRef, name: &str, to: &Path) -> Result<(), Problem> {
        let path = self.folder.join("targets").join(format!("{}.{name}", target.sha256));
        std::fs::copy(path, to).map(drop).map_err(|e| failed(&e))
    }
}
