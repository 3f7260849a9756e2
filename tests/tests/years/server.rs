//! The reconciler's parts without its listeners and timers: who holds it says what time it is, and which timer is due.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bellwether_agent::by_hand::{Device, Stopped};
use bellwether_agent_core::Event;
use bellwether_core::admission::{Admission, Domain, Identity};
use bellwether_core::certificates::{Held, Use, is_in_grace, is_to_renew, judge_use};
use bellwether_reconciler::begin::{Ground, begin};
use bellwether_reconciler::config::Config;
use bellwether_reconciler::git::Mirror;
use bellwether_reconciler::keys::OnlineKeys;
use bellwether_reconciler::pki::{Authority, Peer, RequestedKey, renew_if_due};
use bellwether_reconciler::publish::{Objects, Publisher, publish_roots};
use bellwether_reconciler::renewal::renew;
use bellwether_reconciler::repository::{Repository, SharedObjects};
use bellwether_reconciler::serve::for_devices;
use bellwether_reconciler::store::{CertificateRow, Store, check_instance};
use bellwether_reconciler::tick::{Inbox, Observation, Outlets, tick};
use bellwether_reconciler::world::{PresentedOffer, Timing, World};
use bellwether_schemas::DeviceName;
use bellwether_schemas::report::{Directive, Presented, Reported};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tokio::sync::{oneshot, watch};

/// Why a device was not served.
pub(crate) type Refused = String;

/// A reconciler that runs.
pub(crate) struct Server {
    config: Config,
    authority: Authority,
    mirror: Mirror,
    pub(crate) world: World,
    pub(crate) outlets: Outlets,
}

impl Server {
    /// Starts on what is on disk, as `bellwether-reconciler run` does.
    pub(crate) async fn start(config: Config, now: Timestamp) -> Self {
        let domain: Domain = config.domain.parse().expect("a domain");
        let store = Store::open(&config.state).await.expect("a database");
        let objects = Objects::in_directory(&config.store).expect("a store");
        let instance = check_instance(&store, objects.store().as_ref()).await.expect("they belong together");
        publish_roots(&objects, &config.keys).await.expect("roots");
        let keys = OnlineKeys::load(&config.keys).expect("online keys");
        let publisher = Publisher::open(objects, keys).await.expect("a publisher");
        let authority = authority(&config.ca, now);
        let mirror = Mirror::open_or_create(&config.mirror, &config.repository, &config.branch, Default::default())
            .expect("a mirror");
        let objects = SharedObjects::new(mirror.objects().expect("objects"));
        let repository = Repository::new(objects, config.introduction(), &config.branch);
        let timing = Timing { heartbeat: config.heartbeat, stale_after: config.stale_after(), serving_since: now };
        let ground = Ground { store: &store, publisher: &publisher, domain: &domain, instance: &instance };
        let mut world = begin(&ground, repository, timing).await.expect("a start");
        let admitted = world.admissions();
        let outlets = Outlets {
            admissions: watch::channel(admitted).0,
            void: watch::channel(publisher.void_tokens()).0,
            unsettled_until: watch::channel(Timestamp::MIN).0,
            views: watch::channel(Arc::default()).0,
            sessions: Arc::default(),
            url: mirror.shown(),
            store,
            publisher,
            domain,
        };
        let mut server = Self { config, authority, mirror, world, outlets };
        let tip = server.mirror.tip().expect("a tip");
        let mirrored = tip.map(|tip| (tip, server.world.repository.objects()));
        server.pass(Inbox { mirrored, ..Inbox::default() }, now).await;
        server.timers(now).await;
        server
    }

    /// Ends.
    pub(crate) async fn stop(self) {
        self.outlets.store.close().await;
    }

    /// Fetches, and takes what there is.
    pub(crate) async fn fetch(&mut self, now: Timestamp) {
        let tip = self.mirror.fetch(&AtomicBool::new(false)).expect("fetched");
        let objects = SharedObjects::new(self.mirror.objects().expect("objects"));
        self.pass(Inbox { fetched: Some(Ok((tip, objects))), ..Inbox::default() }, now).await;
    }

    /// What timers do that come round more often than a simulation steps.
    pub(crate) async fn timers(&mut self, now: Timestamp) {
        if self.authority.is_server_due(now) {
            self.authority = authority(&self.config.ca, now);
        }
        renew(&mut self.world, &self.outlets, now).await;
        self.pass(Inbox::default(), now).await;
    }

    async fn pass(&mut self, mut inbox: Inbox, now: Timestamp) {
        for _ in 0..100 {
            tick(&mut self.world, &self.outlets, &mut inbox, now).await.expect("a pass");
            if !self.world.has_backlog() {
                return;
            }
        }
        panic!("what is to be published does not get less");
    }

    /// Signs the certificate of a device that enrolls by its entry.
    pub(crate) fn sign(&self, device: &DeviceName, csr: &[u8], now: Timestamp) -> (Identity, String) {
        let uri = format!("bellwether://{}/factory/{device}/{device}", self.outlets.domain);
        let identity = uri.parse().expect("an identity");
        let key = RequestedKey::from_der(csr).expect("a request");
        let certificate = self.authority.issue(&key, &identity, now).expect("issued");
        (identity, certificate)
    }

    /// A device has its certificate.
    pub(crate) async fn enrolled(&mut self, identity: Identity, now: Timestamp) {
        self.pass(Inbox { enrolled: vec![identity], ..Inbox::default() }, now).await;
    }

    /// A TLS handshake of both configurations, and what `devices` and `updates` ask on each call.
    pub(crate) async fn admit(&self, tls: ClientConfig, now: Timestamp) -> Result<Peer, Refused> {
        let peer = self.shake_hands(tls, now)?;
        if now >= peer.not_after {
            return Err(format!("BW-0331: expired at {}", peer.not_after));
        }
        self.judge(&peer).await.map(|()| peer)
    }

    fn shake_hands(&self, tls: ClientConfig, now: Timestamp) -> Result<Peer, Refused> {
        let mut server = ServerConfig::clone(&for_devices(&self.authority).expect("a configuration"));
        server.time_provider = Arc::new(Stopped(now));
        let certificate = shake_hands(tls, server).map_err(|error| error.to_string())?;
        Peer::from_certificate(&certificate, &self.outlets.domain).map_err(|error| error.to_string())
    }

    async fn judge(&self, peer: &Peer) -> Result<(), Refused> {
        let admissions = self.outlets.admissions.borrow().clone();
        match admissions.map(|admissions| admissions.admit(&peer.identity)) {
            Some(Admission::Full) => {}
            other => return Err(format!("{other:?}")),
        }
        let rows = self.outlets.store.certificates(&self.outlets.domain).await.expect("read");
        let known = rows.into_iter().find(|row| row.identity == peer.identity).map(|row| row.issued);
        match judge_use(known.as_ref(), &peer.issued()) {
            Use::Newest => {}
            Use::Replaced => return Err("BW-0332: a newer certificate was used".to_owned()),
            Use::First => {
                let (identity, issued, issuer) = (peer.identity.clone(), peer.issued(), peer.issuer);
                let row = CertificateRow { identity, issued, issuer, authorities: None, unsettled_until: None };
                self.outlets.store.save_certificates(&[row]).await.expect("stored");
            }
        }
        Ok(())
    }

    /// Signs the next certificate of a device, by the one that it has.
    pub(crate) async fn renew(&self, device: &mut Device, believed: Timestamp, now: Timestamp) -> Result<(), Refused> {
        let peer = self.shake_hands(device.tls(believed).map_err(|e| e.message)?, now)?;
        if !is_in_grace(peer.not_after, self.config.renew_grace.signed(), now) {
            return Err(format!("BW-0333: ended at {}", peer.not_after));
        }
        self.judge(&peer).await?;
        let sign = |csr: &[u8]| {
            let key = RequestedKey::from_der(csr).expect("a request");
            self.authority.renew(&key, &peer, now).expect("renewed")
        };
        device.renew(sign).map_err(|problem| problem.message)
    }

    /// A device that shows this time connects: it renews if that is due, reports, and pulls.
    pub(crate) async fn session(
        &mut self,
        device: &mut Device,
        clock: Timestamp,
        now: Timestamp,
    ) -> Result<Peer, Refused> {
        let said = |problem: bellwether_agent_core::Problem| problem.to_string();
        let (believed, _) = device.believes(clock).map_err(said)?;
        if device.is_to_renew(believed).map_err(said)? {
            self.renew(device, believed, now).await?;
        }
        let admitted = self.admit(device.tls(believed).map_err(said)?, now).await;
        let peer = match admitted {
            // By the reconciler's clock it has expired, whatever the device's shows.
            Err(refused) if refused.starts_with("BW-0331") => {
                self.renew(device, believed, now).await?;
                self.admit(device.tls(believed).map_err(said)?, now).await?
            }
            admitted => admitted?,
        };
        let presented = device.presented();
        let answer = self.report(device, &peer, Some(presented), now).await;
        device.happened(Event::Connected, believed).await.map_err(said)?;
        self.tell(device, answer, believed).await;
        self.talk(device, &peer, clock, now).await;
        Ok(peer)
    }

    /// The heartbeat of a device whose session is open; the session opens again where the certificate asks for that.
    pub(crate) async fn heartbeat(
        &mut self,
        device: &mut Device,
        peer: &Peer,
        clock: Timestamp,
        now: Timestamp,
    ) -> Result<Peer, Refused> {
        let said = |problem: bellwether_agent_core::Problem| problem.to_string();
        let (believed, _) = device.believes(clock).map_err(said)?;
        device.happened(Event::Tick, believed).await.map_err(said)?;
        if now >= peer.not_after {
            return self.session(device, clock, now).await;
        }
        let answer = self.report(device, peer, None, now).await;
        self.tell(device, answer, believed).await;
        self.talk(device, peer, clock, now).await;
        if device.is_told_to_renew() {
            return self.session(device, clock, now).await;
        }
        Ok(peer.clone())
    }

    /// Goes on as long as the device has something to say.
    async fn talk(&mut self, device: &mut Device, peer: &Peer, clock: Timestamp, now: Timestamp) {
        for _ in 0..100 {
            if !device.wants_report() {
                return;
            }
            let answer = self.report(device, peer, None, now).await;
            let (believed, _) = device.believes(clock).expect("readable");
            self.tell(device, answer, believed).await;
        }
        panic!("{} never comes to rest", device.name());
    }

    async fn tell(&self, device: &mut Device, answer: Vec<Directive>, believed: Timestamp) {
        for directive in answer {
            device.told(directive, believed).await.expect("it goes on");
        }
    }

    async fn report(
        &mut self,
        device: &mut Device,
        peer: &Peer,
        presented: Option<Presented>,
        now: Timestamp,
    ) -> Vec<Directive> {
        let reported = Reported::Readable(device.report(now));
        let begins_session = presented.is_some();
        let publisher = &self.outlets.publisher;
        let head = presented.as_ref().filter(|held| !held.head.is_empty());
        let head = head.map(|held| publisher.read_head(&held.head.clone().into()).expect("it is ours").record);
        let presented = presented
            .filter(|held| !held.targets.is_empty())
            .map(|held| PresentedOffer::from(publisher.read_presented(device.name(), &held, now).expect("it is ours")));
        let (reply, answer) = oneshot::channel();
        let identity = peer.identity.clone();
        let report = Observation { identity, at: now, reported, begins_session, presented, head, allows: None, reply };
        self.pass(Inbox { reports: vec![report], ..Inbox::default() }, now).await;
        let mut answer = answer.await.expect("each report is answered");
        let held = Held {
            from: peer.not_before,
            until: peer.not_after,
            of_issuing: peer.issuer == self.authority.issuing().name,
            trusts: None,
        };
        if is_to_renew(&held, &self.authority.fingerprints(), now) {
            answer.push(Directive::Renew);
        }
        answer
    }

    /// What its authority has, and what it needs for years.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// The authority as its files are, after the server's certificate was renewed if that is due.
fn authority(ca: &Path, now: Timestamp) -> Authority {
    renew_if_due(ca, &Authority::load(ca).expect("an authority"), now);
    Authority::load(ca).expect("an authority")
}

/// A handshake in memory; the certificate that the client showed.
fn shake_hands(client: ClientConfig, server: ServerConfig) -> Result<CertificateDer<'static>, rustls::Error> {
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        client.write_tls(&mut wire).expect("memory");
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent).expect("memory");
        }
        server.process_new_packets()?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            client.read_tls(&mut sent).expect("memory");
            client.process_new_packets()?;
        }
        wire.clear();
    }
    let shown = server.peer_certificates().and_then(<[_]>::first);
    Ok(shown.ok_or(rustls::Error::NoCertificatesPresented)?.clone().into_owned())
}
