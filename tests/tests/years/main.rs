//! Years that nobody waits for: the real parts of reconciler and agent (authority, TLS, publisher, TUF verification, passes on a
//! database, state machine, files) by a clock that the test sets. What must hold is in `docs/reliability.md`.

mod server;

use std::collections::BTreeMap;

use bellwether_agent::by_hand::{Device, Given};
use bellwether_reconciler::config::Config;
use bellwether_reconciler::pki::Peer;
use bellwether_schemas::api::Condition;
use bellwether_schemas::codes;
use bellwether_schemas::report::Health;
use bellwether_tests::site::{ROLLOUT, policy};
use bellwether_tests::{Site, SiteBuilder};
use jiff::{SignedDuration, Timestamp};

use server::Server;

const PART: &str = env!("CARGO_BIN_EXE_part");
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Days that pass at once. What timers do every ten minutes is done only as often.
const STEP: usize = 2;

/// Three devices: one that is always there, one whose clock has no battery, and one that lies in a drawer most of the time.
const STEADY: &str = "edge-1";
const CLOCKLESS: &str = "edge-2";
const DRAWER: &str = "edge-3";

/// A site whose parts are driven by hand.
struct Years {
    site: Site,
    server: Option<Server>,
    devices: BTreeMap<&'static str, Held>,
    now: Timestamp,
    began: Timestamp,
}

/// A device, and what is outside of it.
struct Held {
    device: Device,
    /// By which certificate it has its session, if one is open.
    open: Option<Peer>,
    /// How far its clock is behind.
    lag: SignedDuration,
}

fn config(site: &Site) -> Config {
    Config::load(&site.path("reconciler/reconciler.yaml")).expect("a configuration")
}

impl Years {
    /// All three run the first message, under a policy that ends in a year and takes a silence of a month for too long.
    async fn begin() -> Self {
        // A device that reports every other day needs longer than half an hour to come further.
        let rollout = ROLLOUT.replace("  waves:", "  deviceTimeout: 7d\n  waves:");
        let site = SiteBuilder::new(PART, 3).heartbeat(86_400).rollout(&rollout).build();
        let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a second");
        let expires = format!("{}\n  maxSilence: 30d", now + DAY * 365);
        let short = policy(&site.engineer.public_key(), 2).replace("2099-01-01T00:00:00Z", &expires);
        site.engineer.write("trust/policy.yaml", &short);
        site.land("Look after it every year");
        let mut server = Server::start(config(&site), now).await;
        server.fetch(now).await;
        let mut devices = BTreeMap::new();
        for name in [STEADY, CLOCKLESS, DRAWER] {
            let given = Given {
                device: name.parse().expect("a name"),
                ca: std::fs::read_to_string(site.ca()).expect("an authority"),
                root_json: std::fs::read_to_string(site.root_json()).expect("a root"),
                store: site.store(),
            };
            let device = given.device.clone();
            let mut signed = None;
            let dir = site.path("by-hand").join(name);
            let device = Device::enroll(&dir, given, |csr| {
                signed = Some(server.sign(&device, csr, now));
                signed.clone().expect("it was signed just now").1
            });
            let device = device.await.expect("enrolled");
            server.enrolled(signed.expect("it asked").0, now).await;
            devices.insert(name, Held { device, open: None, lag: SignedDuration::ZERO });
        }
        let mut years = Self { site, server: Some(server), devices, now, began: now };
        years.until_all_show("message 1").await;
        years
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the server is there")
    }

    /// Two days pass for everybody; nobody does anything.
    async fn step(&mut self) {
        self.now += DAY * 2;
        let now = self.now;
        if let Some(server) = &mut self.server {
            server.timers(now).await;
        }
    }

    /// The number of the day.
    fn day(&self) -> i64 {
        self.began.duration_until(self.now).as_hours() / 24
    }

    /// A device is on: its session goes on, or is opened.
    async fn is_on(&mut self, name: &str) {
        let (now, day, held) = (self.now, self.day(), self.devices.get_mut(name).expect("it is there"));
        let Some(server) = &mut self.server else {
            held.open = None;
            return held.device.away(now - held.lag).await.expect("it goes on");
        };
        let clock = now - held.lag;
        let served = match &held.open {
            Some(peer) => server.heartbeat(&mut held.device, peer, clock, now).await,
            None => server.session(&mut held.device, clock, now).await,
        };
        held.open = Some(served.unwrap_or_else(|refused| panic!("{name} is stopped on day {day}: {refused}")));
    }

    /// The power of a device is cut and comes back; its clock shows 1970 if it has no battery.
    async fn power_cut(&mut self, name: &'static str) {
        let mut held = self.devices.remove(name).expect("it is there");
        held.device = held.device.restart().await.expect("it starts");
        held.open = None;
        if name == CLOCKLESS {
            let (believed, _) = held.device.believes(Timestamp::UNIX_EPOCH).expect("readable");
            held.lag = self.now.duration_since(believed).max(SignedDuration::ZERO);
        }
        self.devices.insert(name, held);
    }

    async fn restart_server(&mut self) {
        self.stop_server().await;
        self.start_server().await;
    }

    async fn stop_server(&mut self) {
        self.server.take().expect("the server is there").stop().await;
        self.devices.values_mut().for_each(|held| held.open = None);
    }

    async fn start_server(&mut self) {
        self.server = Some(Server::start(config(&self.site), self.now).await);
    }

    /// Whatever a device is at now, if it asked it would be served.
    async fn nobody_is_stopped(&self, whom: &[&str]) {
        let (now, server) = (self.now, self.server.as_ref().expect("the server is there"));
        let day = self.day();
        for name in whom {
            let Held { device, lag, .. } = &self.devices[name];
            let pulls = device.could_pull(now - *lag).await;
            pulls.unwrap_or_else(|problem| panic!("{name} cannot pull on day {day}: {problem}"));
            // Now by its clock, and after a power cut that leaves it none.
            for clock in [now - *lag, Timestamp::UNIX_EPOCH] {
                let (believed, _) = device.believes(clock).expect("readable");
                let admitted = server.admit(device.tls(believed).expect("usable"), now).await;
                admitted.unwrap_or_else(|refused| panic!("{name} is refused on day {day} at {believed}: {refused}"));
            }
        }
        let ends = server.authority().issuing().not_after;
        assert!(ends > now + DAY * 365, "the authority ends at {ends}");
    }

    fn shows(&self, name: &str, text: &str) -> bool {
        let shown = self.devices[name].device.read("/opt/bellwether/message").unwrap_or_default();
        shown == format!("{text} for {name}\n")
    }

    fn all_show(&self, text: &str) -> bool {
        [STEADY, CLOCKLESS, DRAWER].iter().all(|name| self.shows(name, text))
    }

    async fn all_are_on(&mut self) {
        for name in [STEADY, CLOCKLESS, DRAWER] {
            self.is_on(name).await;
        }
    }

    /// Time passes until all devices, which are on, show a text.
    async fn until_all_show(&mut self, text: &str) {
        for _ in 0..10 {
            self.step().await;
            self.all_are_on().await;
            if self.all_show(text) {
                return;
            }
        }
        panic!("{text:?} does not reach everybody in twenty days");
    }

    /// Somebody looks after it again: a policy that counts, and the next message.
    async fn lands(&mut self, text: &str) {
        let renewed = policy(&self.site.engineer.public_key(), 3);
        self.site.engineer.write("trust/policy.yaml", &renewed);
        self.site.engineer.replace("fleets/edge.yaml", "message 1", text);
        self.site.land(text);
        let now = self.now;
        self.server().fetch(now).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_years_with_nobody_looking_stop_no_device() {
    let mut years = Years::begin().await;
    for day in (STEP..=3_654).step_by(STEP) {
        years.step().await;
        if day % 98 == 0 {
            years.restart_server().await;
        }
        if day % 30 == 0 {
            let now = years.now;
            years.server().fetch(now).await;
        }
        years.is_on(STEADY).await;
        if day % 54 == 0 {
            years.power_cut(CLOCKLESS).await;
        }
        years.is_on(CLOCKLESS).await;
        // Its certificate, of 90 days, has ended for most of a year each time.
        if day % 440 == 0 {
            years.power_cut(DRAWER).await;
            years.is_on(DRAWER).await;
        }
        if day % 10 == 0 {
            years.nobody_is_stopped(&[STEADY, CLOCKLESS]).await;
        }
        let drawer = &years.devices[DRAWER].device;
        drawer.could_pull(years.now).await.unwrap_or_else(|problem| panic!("nothing for it on day {day}: {problem}"));
        assert!(years.all_show("message 1"), "on day {day}");
    }
    let condition = years.server().world.repository.condition().clone();
    assert!(matches!(condition, Condition::Frozen { .. }), "that nobody looks is seen: {condition:?}");

    years.power_cut(DRAWER).await;
    years.lands("message 2").await;
    years.until_all_show("message 2").await;
}

/// The policy has ended by then, and is nobody's reason to begin with it: what was accepted stays accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_lost_after_more_than_a_year_with_nobody_looking_comes_back_by_itself() {
    let mut years = Years::begin().await;
    while years.day() < 400 {
        years.step().await;
        years.is_on(STEADY).await;
        years.is_on(CLOCKLESS).await;
    }
    years.stop_server().await;
    for lost in ["state.db", "state.db-wal", "state.db-shm", "mirror.git"] {
        let path = years.site.path("reconciler").join(lost);
        let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        assert!(gone.is_ok() || !path.exists(), "{lost} can be lost");
    }
    years.start_server().await;
    let now = years.now;
    years.server().fetch(now).await;
    years.all_are_on().await;
    years.step().await;
    years.all_are_on().await;
    years.nobody_is_stopped(&[STEADY, CLOCKLESS, DRAWER]).await;
    assert!(years.all_show("message 1"));
    years.lands("message 2").await;
    years.until_all_show("message 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_days_without_the_server_stop_no_device() {
    // In the six days certificates of devices are due for renewal, and timestamps end.
    let mut years = Years::begin().await;
    while years.day() < 56 {
        years.step().await;
        years.all_are_on().await;
    }
    years.stop_server().await;
    for day in [2, 4, 6] {
        years.step().await;
        if day == 4 {
            years.power_cut(STEADY).await;
            years.power_cut(CLOCKLESS).await;
        }
        years.all_are_on().await;
        let now = years.now;
        for (name, held) in &mut years.devices {
            let report = held.device.report(now);
            assert!(report.running.is_some() && report.health == Health::Healthy, "{name} on day {day}: {report:?}");
            assert_eq!((report.applying, report.failure), (None, None), "{name} on day {day}");
        }
        assert!(years.all_show("message 1"), "on day {day}");
    }
    let ended = years.devices[STEADY].device.could_pull(years.now).await.expect_err("its timestamp has ended");
    assert_eq!(ended.code, codes::METADATA_REFUSED, "{ended}");

    years.start_server().await;
    years.nobody_is_stopped(&[STEADY, CLOCKLESS, DRAWER]).await;
    years.all_are_on().await;
    let (server, now) = (years.server.as_ref().expect("it is there"), years.now);
    for (name, device) in server.world.devices() {
        assert_eq!(device.row.last_seen, Some(now), "{name} is heard at once");
    }
    years.lands("message 2").await;
    years.until_all_show("message 2").await;
}
