//! A site: engineers, a reconciler, devices and a clock. What happens is written to a log.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use bellwether_core::admission::Identity;
use bellwether_reconciler::brake::LocalHolds;
use bellwether_reconciler::repository::SharedObjects;
use bellwether_reconciler::serve::Views;
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::{DeviceName, FleetName, Seconds};
use jiff::{SignedDuration, Timestamp};

use super::check::Checks;
use super::clock::Clock;
use super::device::Device;
use super::git::{Git, Signers};
use super::server::{Arrived, Database, Server, Settings, Store};
use super::show::Log;
use super::truth::Truth;

/// A device with what git says of it at first.
pub(super) struct Placed {
    pub(super) device: Device,
    pub(super) enrollment: String,
    pub(super) labels: Labels,
}

/// Everything that a scenario moves.
pub(super) struct Site {
    pub(super) clock: Clock,
    pub(super) heartbeat: Seconds,
    pub(super) git: Git,
    pub(super) people: Vec<String>,
    /// Paths that two people must sign.
    pub(super) doubled: Vec<String>,
    pub(super) devices: BTreeMap<DeviceName, Placed>,
    pub(super) server: Option<Server>,
    pub(super) database: Database,
    pub(super) store: Store,
    pub(super) local: LocalHolds,
    pub(super) log: Log,
    pub(super) views: Views,
    checks: Checks,
    /// How many decisions were made as files.
    pub(super) decisions: u32,
}

impl Site {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::new(),
            heartbeat: Seconds::minutes(1),
            git: Git::default(),
            people: vec!["ada".to_owned()],
            doubled: Vec::new(),
            devices: BTreeMap::new(),
            server: None,
            database: Database::default(),
            store: Store::default(),
            local: LocalHolds::default(),
            log: Log::default(),
            views: Views::default(),
            checks: Checks::default(),
            decisions: 0,
        }
    }

    /// Lands what is staged.
    pub(super) fn commit(&mut self, message: &str, signers: &Signers) {
        self.git.commit(message, signers, self.clock.now);
    }

    /// The first of its people, alone.
    pub(super) fn first_person(&self) -> Signers {
        Signers { by: self.people[0].clone(), with: None }
    }

    /// The reconciler takes the tip of the branch.
    pub(super) fn push(&mut self) -> Result<(), String> {
        let (objects, tip) = self.branch();
        if let Some(server) = &mut self.server {
            server.fetch(objects, &tip, self.clock.now);
            self.pass(Vec::new())?;
            self.tell_devices();
        }
        Ok(())
    }

    fn branch(&self) -> (SharedObjects, bellwether_schemas::CommitId) {
        (SharedObjects::new(self.git.objects.clone()), *self.git.line.last().expect("something landed"))
    }

    /// A reconciler starts.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let settings = Settings {
            introduction: self.git.introduction(),
            heartbeat: self.heartbeat,
            domain: "example.org".parse().expect("a domain"),
        };
        let branch = self.branch();
        let mut server = Server::start(&settings, (&mut self.database, &self.store), branch, self.clock.now);
        server.world.take_local_holds(self.local.clone());
        self.server = Some(server);
        self.checks.silence = self.heartbeat.signed() * 3;
        self.checks.started = self.clock.now;
        for placed in self.devices.values_mut() {
            placed.device.is_new_session = true;
        }
        self.pass(Vec::new())
    }

    /// Devices enroll that git lists.
    pub(super) fn enroll(&mut self, names: &BTreeSet<DeviceName>) -> Result<(), String> {
        let identities: Vec<Identity> = names.iter().map(|name| self.identity(name)).collect();
        if let Some(server) = &mut self.server {
            for identity in &identities {
                server.world.enrolled(identity, self.clock.now);
            }
            self.pass(Vec::new())?;
            self.beat(|name| names.contains(name))?;
        }
        Ok(())
    }

    fn identity(&self, name: &DeviceName) -> Identity {
        let enrollment = &self.devices[name].enrollment;
        format!("bellwether://example.org/{enrollment}/{name}/{name}").parse().expect("an identity")
    }

    /// Time passes.
    pub(super) fn advance(&mut self, until: Timestamp) -> Result<(), String> {
        while self.clock.now < until {
            let beat = self.next_beat();
            let woken = self.server.as_ref().and_then(|server| server.world.wake_at());
            let woken = woken.filter(|at| *at > self.clock.now).unwrap_or(Timestamp::MAX);
            self.clock.now = beat.min(woken).min(until);
            if self.clock.now == beat {
                self.beat(|_| true)?;
            } else {
                self.pass(Vec::new())?;
                self.tell_devices();
            }
        }
        Ok(())
    }

    fn next_beat(&self) -> Timestamp {
        let every = i64::from(self.heartbeat.get());
        let beats = self.clock.now.duration_since(self.clock.origin).as_secs().div_euclid(every) + 1;
        self.clock.origin + SignedDuration::from_secs(beats * every)
    }

    /// A heartbeat: devices go on with what they do, and report.
    pub(super) fn beat(&mut self, who: impl Fn(&DeviceName) -> bool) -> Result<(), String> {
        let now = self.clock.now;
        let since = now.duration_since(self.clock.origin);
        let mut reporters = Vec::new();
        for (name, placed) in self.devices.iter_mut().filter(|(name, _)| who(name)) {
            let device = &mut placed.device;
            if let Some(every) = device.flaps {
                let is_on = since.as_secs().div_euclid(every.as_secs()) % 2 == 0;
                device.is_new_session |= is_on && !device.is_on;
                device.is_on = is_on;
            }
            if device.is_on {
                device.work(now);
                self.log.device(name, device.news());
                reporters.push(name.clone());
            }
        }
        if self.server.is_none() {
            self.log.flush(&self.clock, &self.git);
            return Ok(());
        }
        let mut arrived = Vec::with_capacity(reporters.len());
        for name in &reporters {
            let identity = self.identity(name);
            let device = &mut self.devices.get_mut(name).expect("a reporter is a device").device;
            let presented = mem::take(&mut device.is_new_session).then(|| self.store.presented(name)).flatten();
            arrived.push(Arrived { identity, report: device.report(now), presented });
        }
        self.pass(arrived)?;
        let Some(server) = &self.server else { return Ok(()) };
        for name in reporters.iter().filter(|name| !server.refused.contains(*name)) {
            let device = &mut self.devices.get_mut(name).expect("a reporter is a device").device;
            device.hear(&server.answer(name), self.store.offer(name), now);
        }
        Ok(())
    }

    /// What was published is pulled at once by those who are connected.
    fn tell_devices(&mut self) {
        let now = self.clock.now;
        for (name, placed) in
            self.devices.iter_mut().filter(|(_, placed)| placed.device.is_on && !placed.device.is_new_session)
        {
            placed.device.hear(&[], self.store.offer(name), now);
        }
    }

    /// Passes until nothing is left to do now.
    pub(super) fn pass(&mut self, arrived: Vec<Arrived>) -> Result<(), String> {
        let now = self.clock.now;
        let Some(server) = &mut self.server else { return Ok(()) };
        // A heartbeat that brings nothing new changes nothing that is seen.
        let mut news = arrived.is_empty();
        let mut next = arrived;
        for round in 0.. {
            self.checks.before(&server.world, now);
            let change = server.pass(mem::take(&mut next), (&mut self.database, &mut self.store), now);
            news |= !change.records.is_empty() || !change.devices.is_empty() || !change.events.is_empty();
            self.log.events(&change.events, &server.world);
            self.checks.after(&server.world, &self.database, &change, now)?;
            if server.world.wake_at().is_none_or(|at| at > now) {
                let again = server.pass(Vec::new(), (&mut self.database, &mut self.store), now);
                if let Some(event) = again.events.first() {
                    return Err(format!("planning again without news is no no-op: {}", event.message));
                }
                break;
            }
            if round > 20 {
                return Err("the reconciler never comes to rest".to_owned());
            }
        }
        if news {
            self.look()?;
        }
        self.log.flush(&self.clock, &self.git);
        Ok(())
    }

    /// Looks at how everything stands.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let now = self.clock.now;
        let Some(server) = &self.server else { return Ok(()) };
        let views = server.world.views("", true, now);
        self.checks.reasons(&views)?;
        Truth::of(&self.checks, &server.world, &self.database, now).check(&views)?;
        let database = &self.database;
        self.log.views(&self.views, &views, |fleet| database.began_before(fleet, now));
        self.views = views;
        self.log.flush(&self.clock, &self.git);
        Ok(())
    }

    /// Planning everything anew at the end must come to what was planned step by step.
    pub(super) fn plan_anew(&mut self) -> Result<(), String> {
        let now = self.clock.now;
        let Some(server) = &mut self.server else { return Ok(()) };
        let before = server.world.views("", true, now);
        server.world.moved();
        let change = server.pass(Vec::new(), (&mut self.database, &mut self.store), now);
        let after = server.world.views("", true, now);
        if let Some(event) = change.events.first() {
            return Err(format!("planning everything anew decides something else: {}", event.message));
        }
        let differs = before.devices.iter().zip(&after.devices).find(|(before, after)| before.why != after.why);
        match differs {
            Some((before, after)) => Err(format!(
                "planning everything anew gives {} another reason: {:?} instead of {:?}",
                before.name, after.why, before.why
            )),
            None if before.rollouts != after.rollouts => {
                Err("planning everything anew shows another rollout".to_owned())
            }
            None => Ok(()),
        }
    }

    /// The devices that a text names: by name, `all`, or those with a label.
    pub(super) fn set(&self, text: &str) -> Result<BTreeSet<DeviceName>, String> {
        if text == "all" {
            return Ok(self.devices.keys().cloned().collect());
        }
        if let Some((key, value)) = text.split_once('=') {
            let has = |placed: &Placed| placed.labels.get(key).is_some_and(|found| found == value);
            return Ok(self.devices.iter().filter(|(_, placed)| has(placed)).map(|(name, _)| name.clone()).collect());
        }
        let names = super::names::expand(text)?;
        match names.iter().find(|name| !self.devices.contains_key(*name)) {
            Some(unknown) => Err(format!("there is no device {unknown}")),
            None => Ok(names),
        }
    }

    /// The fleet that a text names.
    pub(super) fn fleet(text: &str) -> Result<FleetName, String> {
        text.parse().map_err(|_| format!("{text:?} is no fleet"))
    }
}
