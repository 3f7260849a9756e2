//! The listeners as clients meet them: real sockets, real TLS, a real database and object store.

mod certificates;
mod enrollment;
mod heads;
mod installer;
mod listeners;
mod page;
mod sessions;
mod updates;
mod webhook;
mod without_token;

use bellwether_core::admission::{Entry, Proof};
use bellwether_schemas::Sha256Digest;
use bellwether_schemas::enroll::{Claim, ENROLL_PATH, EnrollRequest, EnrollResponse, ErrorBody};
use bellwether_schemas::report::Directive;
use jiff::{SignedDuration, Timestamp};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStoreExt as _, path::Path};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::pki::Authority;
use crate::testing::Installation;

/// A running set of listeners, and all that they share with a loop.
struct World {
    dir: tempfile::TempDir,
    shared: Shared,
    /// The authority as it is on disk; what is sent here is what the listeners go on with.
    authority: watch::Sender<Arc<Authority>>,
    bound: Bound,
    admissions: watch::Sender<Option<Arc<Admissions>>>,
    void_tokens: watch::Sender<VoidTokens>,
    views: watch::Sender<Arc<Views>>,
    enrolled: mpsc::Receiver<Enrolled>,
    incoming: Option<mpsc::Receiver<Incoming>>,
    fetch_asked: mpsc::Receiver<()>,
    shutdown: CancellationToken,
    unsettled_until: watch::Sender<Timestamp>,
    settle: SignedDuration,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn domain() -> Domain {
    "fleet.example".parse().expect("a domain")
}

/// The token whose 32 bytes all are `n`.
fn token(n: u8) -> String {
    hex::encode([n; 32])
}

/// What the token of `n` is listed as.
fn proof(n: u8, expires: Timestamp) -> Proof {
    Proof::Token { hash: Sha256Digest::of(&[n; 32]), expires }
}

fn entry(n: u8, id: &str, device: Option<&str>) -> Entry {
    Entry {
        enrollment: "lab".parse().expect("a name"),
        id: id.parse().expect("an id"),
        proof: proof(n, "2100-01-01T00:00:00Z".parse().expect("a time")),
        device: device.map(|name| name.parse().expect("a name")),
        revoked: false,
        since: 1,
    }
}

fn settings(dir: &std::path::Path, webhook_secret: Option<PathBuf>) -> Settings {
    let any = "127.0.0.1:0".parse().expect("an address");
    Settings {
        listen: Listen { enroll: any, devices: any, updates: any, page: any },
        advertise: Advertise { devices: "https://localhost:0".into(), updates: "https://localhost:7777".into() },
        page_name: Some(url::Host::Domain("fleet.example".to_owned())),
        domain: domain(),
        renew_grace: Seconds::new(30 * 86_400),
        settle: SignedDuration::ZERO,
        webhook_secret,
        installer: Source { ca: dir.join("ca"), keys: dir.join("online"), address: "https://localhost:0".to_owned() },
        agents: dir.join("agents"),
    }
}

fn authority(dir: &std::path::Path) -> Authority {
    let names = ["localhost", "127.0.0.1"].map(|name| name.parse().expect("a name"));
    Authority::init(dir, &names, Timestamp::now()).expect("made");
    Authority::load(dir).expect("loaded")
}

impl World {
    async fn start(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self::start_with(entries, |_| None).await
    }

    async fn start_with(
        entries: impl IntoIterator<Item = Entry>,
        webhook_secret: impl FnOnce(&std::path::Path) -> Option<PathBuf>,
    ) -> Self {
        let Installation { dir, publisher, .. } = Installation::new().await;
        let (authority, authority_seen) = watch::channel(Arc::new(authority(&dir.path().join("ca"))));
        let objects = Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("store")).expect("a store"));
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let store = Store::open(&url).await.expect("a database");
        let mut all = Admissions::default();
        entries.into_iter().for_each(|entry| all.insert(entry));
        let (admissions, admissions_seen) = watch::channel(Some(Arc::new(all)));
        let (void_tokens, void_tokens_seen) = watch::channel(VoidTokens::None);
        let (unsettled_until, unsettled_until_seen) = watch::channel(Timestamp::MIN);
        let (views, views_seen) = watch::channel(Arc::default());
        let (incoming_sender, incoming) = mpsc::channel(64);
        let (enrolled_sender, enrolled) = mpsc::channel(64);
        let (fetch_now, fetch_asked) = mpsc::channel(1);
        let shared = Shared {
            authority: authority_seen,
            publisher,
            objects,
            store,
            admissions: admissions_seen,
            void_tokens: void_tokens_seen,
            unsettled_until: unsettled_until_seen,
            views: views_seen,
            incoming: incoming_sender,
            enrolled: enrolled_sender,
            fetch_now,
            sessions: Arc::default(),
        };
        let shutdown = CancellationToken::new();
        let bound = start(settings(dir.path(), webhook_secret(dir.path())), shared.clone(), shutdown.clone())
            .await
            .expect("serving");
        Self {
            dir,
            shared,
            authority,
            bound,
            admissions,
            void_tokens,
            unsettled_until,
            views,
            enrolled,
            incoming: Some(incoming),
            fetch_asked,
            shutdown,
            settle: SignedDuration::ZERO,
        }
    }

    /// Other listeners on the same database, as after a restart.
    async fn restart(&mut self) {
        self.shutdown.cancel();
        self.shutdown = CancellationToken::new();
        let settings = Settings { settle: self.settle, ..settings(self.dir.path(), None) };
        let started = start(settings, self.shared.clone(), self.shutdown.clone());
        self.bound = started.await.expect("serving");
    }

    /// Loads the authority's files again.
    fn reload(&self) {
        let authority = Authority::load(&self.dir.path().join("ca")).expect("loaded");
        self.authority.send_replace(Arc::new(authority));
    }

    /// Changes what the history says; the first word is an accepted history.
    fn say(&self, change: impl FnOnce(&mut Admissions)) {
        self.admissions.send_modify(|admissions| change(Arc::make_mut(admissions.get_or_insert_default())));
    }

    /// Answers every report as `answer` does, in a task.
    fn answer_reports(&mut self, answer: impl Fn(&Incoming) -> Vec<Directive> + Send + 'static) {
        let mut incoming = self.incoming.take().expect("answered once");
        tokio::spawn(async move {
            while let Some(report) = incoming.recv().await {
                let directives = answer(&report);
                let _ = report.reply.send(directives);
            }
        });
    }

    async fn enroll(&self, token: &str, key: &KeyPair) -> Result<EnrollResponse, (u16, ErrorBody)> {
        self.ask(Claim::Token(token.to_owned()), key).await
    }

    async fn ask(&self, claim: Claim, key: &KeyPair) -> Result<EnrollResponse, (u16, ErrorBody)> {
        let csr = CertificateParams::default().serialize_request(key).expect("a request").pem().expect("PEM");
        let request = EnrollRequest { claim, csr, facts: [("os".into(), "linux".into())].into() };
        self.post(serde_json::to_vec(&request).expect("JSON")).await
    }

    async fn post(&self, body: Vec<u8>) -> Result<EnrollResponse, (u16, ErrorBody)> {
        let url = format!("https://localhost:{}{ENROLL_PATH}", self.bound.enroll.port());
        let answer = http_client(self.client(None)).post(url).body(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.expect("a body");
        if status == 200 {
            Ok(serde_json::from_slice(&bytes).expect("an enrollment"))
        } else {
            Err((status, serde_json::from_slice(&bytes).expect("an error body")))
        }
    }

    /// Enrolls a device with a new key.
    async fn device(&self, token: &str) -> Device {
        let key = new_key();
        let answer = self.enroll(token, &key).await.expect("enrolled");
        Device { certificate: answer.certificate, key: key.serialize_pem() }
    }

    fn client(&self, device: Option<&Device>) -> ClientConfig {
        client(&self.shared.authority.borrow(), device)
    }

    async fn get(&self, device: &Device, path: &str) -> reqwest::Result<(u16, Vec<u8>)> {
        let url = format!("https://localhost:{}{path}", self.bound.updates.port());
        let answer = http_client(self.client(Some(device))).get(url).send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }

    async fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.shared.objects.put(&Path::from(path), bytes.into().into()).await.expect("stored");
    }
}

/// A device's certificate and key, PEM.
struct Device {
    certificate: String,
    key: String,
}

impl Device {
    /// A device with a certificate that no token was spent for.
    fn forged(authority: &Authority, uri: &str, now: Timestamp) -> Self {
        let key = new_key();
        let csr = CertificateParams::default().serialize_request(&key).expect("a request");
        let requested = crate::pki::RequestedKey::from_der(csr.der()).expect("accepted");
        let identity = uri.parse().expect("an identity");
        let certificate = authority.issue(&requested, &identity, now).expect("issued");
        Self { certificate, key: key.serialize_pem() }
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

fn client(authority: &Authority, device: Option<&Device>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(authority.roots().expect("roots"));
    match device {
        None => builder.with_no_client_auth(),
        Some(device) => {
            let chain = vec![CertificateDer::from_pem_slice(device.certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(device.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    }
}

fn http_client(tls: ClientConfig) -> reqwest::Client {
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client")
}
