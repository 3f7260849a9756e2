//! The four listeners: `enroll`, `devices`, `updates` and `page`.
//!
//! In: requests from the world and from devices, snapshots of what the loop decided. Out: certificates for whom
//! admission allows, reports to the loop, published files, pages. Nothing here decides about a fleet.

mod api;
mod callers;
mod devices;
mod ends;
mod enroll;
mod events;
mod installer;
mod limits;
mod listen;
mod metrics;
mod names;
mod page;
mod problem;
mod rate;
mod requests;
mod sessions;
mod spent;
mod tls;
mod updates;
mod used;
mod views;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use bellwether_core::admission::{Admissions, Domain, VoidTokens};
use bellwether_schemas::Seconds;
use bellwether_schemas::codes::{self, Code};
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStore;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use devices::Incoming;
pub use enroll::Enrolled;
pub use listen::BindError;
pub use sessions::Sessions;
pub use tls::{TlsError, for_devices};
pub use views::Views;

use self::callers::CallerCheck;
use self::installer::{FirstSteps, Scripts};
use self::limits::{Limits, raise_open_files, tell_of_few_sessions};
use self::listen::{Listener, Service};
use self::names::PageNames;
use self::used::UsedCertificates;
use crate::installer::Source;
use crate::installer::agents::Agents;
use crate::pki::AuthorityWatch;
use crate::publish::Publisher;
use crate::store::{Store, StoreError};

/// Connections of the world: few, one request each. The longest is the download of an agent over a slow line. A site behind one
/// address has half of them.
const ENROLL: Limits =
    Limits { connections: 1_024, of_one: Some(512), streams: 4, age: Some(Duration::from_secs(1_800)) };
/// One connection for each device's session.
const DEVICES: Limits = Limits { connections: 200_000, of_one: None, streams: 4, age: None };
/// Downloads.
const UPDATES: Limits = Limits { connections: 50_000, of_one: None, streams: 8, age: None };
/// People and their tools.
const PAGE: Limits = Limits { connections: 256, of_one: None, streams: 32, age: Some(Duration::from_secs(600)) };

/// Where the listeners are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// HTTPS for the world.
    pub enroll: SocketAddr,
    /// gRPC over mutual TLS.
    pub devices: SocketAddr,
    /// TUF over mutual TLS.
    pub updates: SocketAddr,
    /// Page and API: HTTP on loopback, HTTPS elsewhere.
    pub page: SocketAddr,
}

/// Where devices are told to go, as `https://host:port`. A port of 0 stands for the one that the listener got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    /// The `devices` listener.
    pub devices: String,
    /// The `updates` listener.
    pub updates: String,
}

/// What the listeners are told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Their addresses; port 0 is any free one.
    pub listen: Listen,
    /// Where devices are told to go.
    pub advertise: Advertise,
    /// The name by which people reach `page`, if none of the others is it.
    pub page_name: Option<url::Host>,
    /// The domain in certificates.
    pub domain: Domain,
    /// How long after its end a device's certificate may still be renewed.
    pub renew_grace: Seconds,
    /// How long a certificate waits for its renewal whose use nobody remembers:
    /// [`SETTLE`](bellwether_core::certificates::SETTLE), but in tests.
    pub settle: SignedDuration,
    /// The file with the secret that calls of the webhook are signed with.
    pub webhook_secret: Option<PathBuf>,
    /// What the installer is made of. A port of 0 in its address stands for the one that `enroll` got.
    pub installer: Source,
    /// The directory of the agents that are offered.
    pub agents: PathBuf,
}

/// What the listeners share with the loop.
#[derive(Clone)]
pub struct Shared {
    /// Signs certificates.
    pub authority: AuthorityWatch,
    /// Reads what devices present.
    pub publisher: Publisher,
    /// Published files and the records of spent tokens.
    pub objects: Arc<dyn ObjectStore>,
    /// The database.
    pub store: Store,
    /// What the accepted history says on enrollment entries and devices; none before one is accepted and stored.
    pub admissions: watch::Receiver<Option<Arc<Admissions>>>,
    /// Tokens that are void because the records of spent ones were lost.
    pub void_tokens: watch::Receiver<VoidTokens>,
    /// Until when nobody relies on what is recorded of certificates, since it turned out to be older than what was used.
    pub unsettled_until: watch::Receiver<Timestamp>,
    /// What page and API show.
    pub views: watch::Receiver<Arc<Views>>,
    /// Reports to the loop.
    pub incoming: mpsc::Sender<Incoming>,
    /// New devices to the loop.
    pub enrolled: mpsc::Sender<Enrolled>,
    /// "Fetch now", to whoever fetches; of capacity 1, so that one is waiting at most.
    pub fetch_now: mpsc::Sender<()>,
    /// Open sessions, through which the loop reaches devices.
    pub sessions: Arc<Sessions>,
}

/// The listeners, serving.
#[derive(Debug)]
pub struct Bound {
    /// Address of `enroll`.
    pub enroll: SocketAddr,
    /// Address of `devices`.
    pub devices: SocketAddr,
    /// Address of `updates`.
    pub updates: SocketAddr,
    /// Address of `page`.
    pub page: SocketAddr,
    /// Whether `page` is HTTPS.
    pub page_tls: bool,
    /// The listeners' tasks; they end after the shutdown token was cancelled.
    pub tasks: TaskTracker,
}

/// Why the listeners could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What is recorded of certificates cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServeError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Bind(error) => error.code(),
            Self::Tls(_) => codes::AUTHORITY_FILES,
            Self::Store(_) => codes::DATABASE_FAILED,
        }
    }
}

/// Opens the four listeners and serves them until `shutdown`. When one cannot be opened, none is served.
pub async fn start(settings: Settings, shared: Shared, shutdown: CancellationToken) -> Result<Bound, ServeError> {
    let Settings { listen, advertise, page_name, domain, renew_grace, settle, webhook_secret, installer, agents } =
        settings;
    let files = raise_open_files();
    let sessions = DEVICES.within(files, 12);
    tell_of_few_sessions(sessions.connections, files);
    let enroll = Listener::bind("enroll", listen.enroll).await?;
    let devices = Listener::bind("devices", listen.devices).await?;
    let updates = Listener::bind("updates", listen.updates).await?;
    let page = Listener::bind("page", listen.page).await?;
    let tasks = TaskTracker::new();
    let tls = tls::configs(shared.authority.clone(), &tasks, shutdown.clone())?;
    let callers = CallerCheck {
        admissions: shared.admissions.clone(),
        authority: shared.authority.clone(),
        used: UsedCertificates::load(
            &shared.store,
            &domain,
            (settle, shared.unsettled_until.clone()),
            (&tasks, &shutdown),
        )
        .await?,
        sessions: shared.sessions.clone(),
        renew_grace: renew_grace.signed(),
    };
    let advertise = Advertise {
        devices: with_port(&advertise.devices, devices.address()),
        updates: with_port(&advertise.updates, updates.address()),
    };
    let source = Source { address: with_port(&installer.address, enroll.address()), ..installer };
    let scripts = Scripts::new(source, shared.authority.clone(), shared.publisher.clone());
    let first_steps = installer::router(FirstSteps { scripts, agents: Agents::new(agents) });
    let rate = middleware::from_fn_with_state(Arc::new(enroll::Limits::default()), enroll::within_limits);
    let names = PageNames { authority: shared.authority.clone(), advertised: page_name };
    let own_name = middleware::from_fn_with_state(Arc::new(names), names::own_name);
    let page_tls = !page.address().ip().is_loopback();
    let calls = Arc::new(webhook::Calls::default());
    let webhook = webhook::Webhook::new(webhook_secret, shared.fetch_now.clone(), calls.clone());
    let requests = Arc::new(requests::Requests::default());
    let bound = Bound {
        enroll: enroll.address(),
        devices: devices.address(),
        updates: updates.address(),
        page: page.address(),
        page_tls,
        tasks: tasks.clone(),
    };
    let services = [
        (
            enroll,
            Service {
                router: enroll_router(&shared, &domain, advertise, requests.clone(), callers.used.clone())
                    .merge(webhook::router(Arc::new(webhook)))
                    .merge(first_steps)
                    .layer(rate),
                tls: Some(tls.anyone.clone()),
                devices_of: None,
                limits: ENROLL.within(files, 1),
            },
        ),
        (
            devices,
            Service {
                router: devices_router(&shared, callers.clone(), &shutdown),
                tls: Some(tls.grpc),
                devices_of: Some(domain.clone()),
                limits: sessions,
            },
        ),
        (
            updates,
            Service {
                router: updates_router(&shared, callers),
                tls: Some(tls.mutual),
                devices_of: Some(domain),
                limits: UPDATES.within(files, 2),
            },
        ),
        (
            page,
            Service {
                router: page_router(&shared, calls, requests).layer(own_name),
                tls: page_tls.then_some(tls.anyone),
                devices_of: None,
                limits: PAGE.within(files, 1),
            },
        ),
    ];
    for (listener, service) in services {
        tasks.spawn(listener.serve(service, shutdown.clone()));
    }
    tasks.close();
    Ok(bound)
}

/// The advertised address with the port that was got, where it asks for that.
fn with_port(advertised: &str, bound: SocketAddr) -> String {
    match advertised.trim_end_matches('/') {
        address if address.ends_with(":0") => format!("{}:{}", &address[..address.len() - 2], bound.port()),
        address => address.to_owned(),
    }
}

fn enroll_router(
    shared: &Shared,
    domain: &Domain,
    advertise: Advertise,
    requests: Arc<requests::Requests>,
    used: UsedCertificates,
) -> axum::Router {
    enroll::router(Arc::new(enrollment(shared, domain, advertise, requests, used)))
}

fn enrollment(
    shared: &Shared,
    domain: &Domain,
    advertise: Advertise,
    requests: Arc<requests::Requests>,
    used: UsedCertificates,
) -> enroll::Enroll {
    enroll::Enroll {
        authority: shared.authority.clone(),
        domain: domain.clone(),
        advertise,
        admissions: shared.admissions.clone(),
        void: shared.void_tokens.clone(),
        views: shared.views.clone(),
        spent: spent::SpentTokens::new(shared.objects.clone(), shared.store.clone(), domain.clone()),
        used,
        enrolled: shared.enrolled.clone(),
        locks: enroll::Enroll::locks(),
        requests,
    }
}

fn devices_router(shared: &Shared, callers: CallerCheck, shutdown: &CancellationToken) -> axum::Router {
    devices::router(devices::DevicesListener {
        authority: shared.authority.clone(),
        publisher: shared.publisher.clone(),
        callers,
        renewals: rate::Pace::default(),
        incoming: shared.incoming.clone(),
        sessions: shared.sessions.clone(),
        shutdown: shutdown.clone(),
    })
}

fn updates_router(shared: &Shared, callers: CallerCheck) -> axum::Router {
    updates::router(Arc::new(updates::Updates {
        objects: shared.objects.clone(),
        callers,
        listed: updates::Listed::default(),
    }))
}

fn page_router(shared: &Shared, calls: Arc<webhook::Calls>, requests: Arc<requests::Requests>) -> axum::Router {
    let admissions = shared.admissions.clone();
    let ends = ends::ends(shared.authority.clone(), shared.publisher.clone());
    let waiting = page::Waiting { requests, admissions, ends };
    let page = page::Page::new(shared.views.clone(), shared.sessions.clone(), calls, waiting);
    page::router(page, events::router(shared.store.clone()))
}

#[cfg(test)]
mod tests;
