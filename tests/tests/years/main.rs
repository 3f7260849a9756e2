//! Years that nobody waits for: the real parts of reconciler and agent (authority, TLS, publisher, TUF verification, passes on a
//! database, state machine, files) by a clock that the test sets. What must hold is in `docs/reliability.md`.

mod server;

use std::collections::BTreeMap;

use bellwether_agent::by_hand::{Device, Given};
use bellwether_reconciler::config::Config;
use bellwether_reconciler::pki::Peer;
use bellwether_schemas::CommitId;
use bellwether_schemas::api::Condition;
use bellwether_tests::site::policy;
use bellwether_tests::{Site, SiteBuilder};
use jiff::{SignedDuration, Timestamp};

use server::Server;

const PART: &str = env!("CARGO_BIN_EXE_part");
const DAY: SignedDuration = SignedDuration::from_hours(24);
const DAY_SECONDS: u32 = 86_400;

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
        let site = SiteBuilder::new(PART, 3).heartbeat(DAY_SECONDS).build();
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
        years.until_all_show("message 1", 10).await;
        years
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the server is there")
    }

    /// A day passes for everybody; nobody does anything.
    async fn day(&mut self) {
        self.now += DAY;
        let now = self.now;
        if let Some(server) = &mut self.server {
            server.timers(now).await;
        }
    }

    /// A device is on: its session goes on, or is opened.
    async fn is_on(&mut self, name: &str) {
        let (now, held) = (self.now, self.devices.get_mut(name).expect("it is there"));
        let Some(server) = &mut self.server else {
            held.open = None;
            return held.device.away(now - held.lag).await.expect("it goes on");
        };
        let clock = now - held.lag;
        let served = match &held.open {
            Some(peer) => server.heartbeat(&mut held.device, peer, clock, now).await,
            None => server.session(&mut held.device, clock, now).await,
        };
        let on = self.began.duration_until(now).as_hours() / 24;
        held.open = Some(served.unwrap_or_else(|refused| panic!("{name} is stopped on day {on}: {refused}")));
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
        let server = self.server.take().expect("the server is there");
        self.server = Some(server.restart(self.now).await);
        self.devices.values_mut().for_each(|held| held.open = None);
    }

    /// Whatever a device is at now, if it asked it would be served.
    async fn nobody_is_stopped(&self, whom: &[&str]) {
        let (now, server) = (self.now, self.server.as_ref().expect("the server is there"));
        let day = self.began.duration_until(now).as_hours() / 24;
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

    /// Days pass until all devices, which are on, show a text.
    async fn until_all_show(&mut self, text: &str, days: usize) {
        for _ in 0..days {
            self.day().await;
            for name in [STEADY, CLOCKLESS, DRAWER] {
                self.is_on(name).await;
            }
            if [STEADY, CLOCKLESS, DRAWER].iter().all(|name| self.shows(name, text)) {
                return;
            }
        }
        panic!("{text:?} does not reach everybody in {days} days");
    }

    /// Somebody looks after it again: a policy that counts, and the next message.
    async fn lands(&mut self, text: &str) -> CommitId {
        let renewed = policy(&self.site.engineer.public_key(), 3);
        self.site.engineer.write("trust/policy.yaml", &renewed);
        self.site.engineer.replace("fleets/edge.yaml", "message 1", text);
        let commit = self.site.land(text);
        let now = self.now;
        self.server().fetch(now).await;
        commit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_years_with_nobody_looking_stop_no_device() {
    let mut years = Years::begin().await;
    for day in 1..=3_653 {
        years.day().await;
        if day % 97 == 0 {
            years.restart_server().await;
        }
        if day % 30 == 0 {
            let now = years.now;
            years.server().fetch(now).await;
        }
        years.is_on(STEADY).await;
        if day % 53 == 0 {
            years.power_cut(CLOCKLESS).await;
        }
        years.is_on(CLOCKLESS).await;
        // Its certificate, of 90 days, has ended for most of a year each time.
        if day % 440 == 0 {
            years.power_cut(DRAWER).await;
            years.is_on(DRAWER).await;
        }
        if day % 5 == 0 {
            years.nobody_is_stopped(&[STEADY, CLOCKLESS]).await;
        }
        let drawer = &years.devices[DRAWER].device;
        drawer.could_pull(years.now).await.unwrap_or_else(|problem| panic!("nothing for it on day {day}: {problem}"));
        assert!([STEADY, CLOCKLESS, DRAWER].iter().all(|name| years.shows(name, "message 1")), "on day {day}");
    }
    let condition = years.server().world.repository.condition().clone();
    assert!(matches!(condition, Condition::Frozen { .. }), "that nobody looks is seen: {condition:?}");

    years.power_cut(DRAWER).await;
    years.lands("message 2").await;
    years.until_all_show("message 2", 10).await;
}
