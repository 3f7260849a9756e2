use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use bellwether_schemas::id::CommitId;
use bellwether_schemas::report::{Health, Phase, Report};
use bellwether_schemas::version::Version;
use bellwether_schemas::wire::proto::{PollResponse, RenewRequest, RenewResponse};
use bellwether_schemas::wire::report_message;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::codegen::{Body, StdError};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::*;
use crate::trust::{Floors, Trust};

#[test]
fn waits_are_random_and_bounded() {
    for failures in 0..40 {
        assert!(jittered(failures) <= LONGEST_WAIT);
    }
    assert!((0..50).map(|_| jittered(8)).collect::<std::collections::HashSet<_>>().len() > 1);
}

#[test]
fn addresses_have_host_and_port() {
    assert_eq!(host_and_port("https://[::1]:8443"), Some(("::1", 8443)));
    assert_eq!(host_and_port("https://bw.example:1/"), Some(("bw.example", 1)));
    assert_eq!(host_and_port("http://bw.example:1"), None);
    assert_eq!(host_and_port("https://bw.example"), None);
}

/// A reconciler that says what it is told to say.
struct Reconciler {
    issuer: Issuer<'static, KeyPair>,
    /// What the session says that was opened last.
    session: Mutex<Option<mpsc::Sender<Result<DirectiveMessage, Status>>>>,
    streams: Mutex<Streams>,
    poll: Mutex<Vec<Directive>>,
    /// When it was asked for a certificate, and whether it gives any.
    asked: Mutex<Vec<Instant>>,
    renews: Mutex<bool>,
    /// The authorities that it names with a certificate.
    authorities: Mutex<String>,
}

/// What becomes of sessions on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    Pass,
    Refused,
    /// They are held back, and nobody says so.
    Swallowed,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reconciler {
    async fn say(&self, directive: Directive) {
        let session = locked(&self.session).clone().expect("a session");
        session.send(Ok(directive.into())).await.expect("it is open");
    }

    fn asked(&self) -> usize {
        locked(&self.asked).len()
    }

    fn open(&self) -> ReceiverStream<Result<DirectiveMessage, Status>> {
        let (sender, receiver) = mpsc::channel(32);
        *locked(&self.session) = Some(sender);
        ReceiverStream::new(receiver)
    }

    fn renew(&self, request: &RenewRequest) -> Result<RenewResponse, Status> {
        locked(&self.asked).push(Instant::now());
        if !*locked(&self.renews) {
            return Err(Status::unavailable("not now"));
        }
        let request = CertificateSigningRequestParams::from_der(&request.csr.to_vec().into()).expect("a request");
        let certificate = request.signed_by(&self.issuer).expect("a certificate").pem();
        Ok(RenewResponse { certificate, authorities: locked(&self.authorities).clone() })
    }

    async fn answer<B>(self: Arc<Self>, request: http::Request<B>) -> http::Response<tonic::body::Body>
    where
        B: Body + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        match method.as_str() {
            "Session" => {
                let open = move |_: Request<Streaming<ReportMessage>>| {
                    let reconciler = self.clone();
                    async move {
                        let streams = *locked(&reconciler.streams);
                        match streams {
                            Streams::Pass => Ok::<_, Status>(Response::new(reconciler.open())),
                            Streams::Refused => Err(Status::unavailable("no streams here")),
                            Streams::Swallowed => std::future::pending().await,
                        }
                    }
                };
                let codec = ProstCodec::<DirectiveMessage, ReportMessage>::default();
                tonic::server::Grpc::new(codec).streaming(tower::service_fn(open), request).await
            }
            "Poll" => {
                let poll = move |_: Request<ReportMessage>| {
                    let directives = locked(&self.poll).drain(..).map(DirectiveMessage::from).collect();
                    std::future::ready(Ok::<_, Status>(Response::new(PollResponse { directives })))
                };
                let codec = ProstCodec::<PollResponse, ReportMessage>::default();
                tonic::server::Grpc::new(codec).unary(tower::service_fn(poll), request).await
            }
            _ => {
                let renew = move |request: Request<RenewRequest>| {
                    std::future::ready(self.renew(request.get_ref()).map(Response::new))
                };
                let codec = ProstCodec::<RenewResponse, RenewRequest>::default();
                tonic::server::Grpc::new(codec).unary(tower::service_fn(renew), request).await
            }
        }
    }
}

/// A reconciler, and the state directory of a device that is enrolled there; its certificate is good for these years.
struct Rig {
    _dir: tempfile::TempDir,
    state: Arc<StateDir>,
    reconciler: Arc<Reconciler>,
}

async fn rig(from: i32, until: i32) -> Rig {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca_params = CertificateParams::default();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca_params.self_signed(&ca_key).expect("a certificate").pem();
    let issuer = Issuer::new(ca_params, ca_key);

    let server_key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let server = params.signed_by(&server_key, &issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(
            vec![server.der().clone()],
            PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key"),
        )
        .expect("a server");
    tls.alpn_protocols = vec![b"h2".to_vec()];

    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();

    let listener = TcpListener::bind("localhost:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let reconciler = Arc::new(Reconciler {
        issuer,
        session: Mutex::new(None),
        streams: Mutex::new(Streams::Pass),
        poll: Mutex::new(Vec::new()),
        asked: Mutex::new(Vec::new()),
        renews: Mutex::new(false),
        authorities: Mutex::default(),
    });
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), reconciler.clone()));

    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::lock(&dir.path().join("state")).expect("locked");
    let address = format!("https://localhost:{port}");
    let device = "edge-1".parse().expect("a name");
    let identity =
        Identity { device, key: key.serialize_pem(), certificate, ca, devices: address.clone(), updates: address };
    state.store_identity(&identity).expect("stored");
    Rig { _dir: dir, state: Arc::new(state), reconciler }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, reconciler: Arc<Reconciler>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, reconciler) = (tls.clone(), reconciler.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = tower::service_fn(move |request: http::Request<_>| {
                let answer = reconciler.clone().answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let serving = Builder::new(TokioExecutor::new());
            let _ =
                serving.http2_only().serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
        });
    }
}

impl Rig {
    fn certificate(&self) -> String {
        self.state.load_identity().expect("read").expect("an identity").certificate
    }

    /// Keeps a session, and waits until it is open.
    async fn connected(&self) -> mpsc::Receiver<Link> {
        let (sender, mut links) = mpsc::channel(32);
        tokio::spawn(keep(self.state.clone(), sender, watch::channel(()).1));
        opened(&mut links).await;
        links
    }
}

async fn next(links: &mut mpsc::Receiver<Link>) -> Link {
    timeout(Duration::from_secs(20), links.recv()).await.expect("something happens").expect("the session is kept")
}

async fn opened(links: &mut mpsc::Receiver<Link>) {
    assert!(matches!(next(links).await, Link::Opening(_)));
    assert!(matches!(next(links).await, Link::Up));
}

async fn said(links: &mut mpsc::Receiver<Link>) -> Directive {
    match next(links).await {
        Link::Said(directive) => directive,
        other => panic!("{other:?}"),
    }
}

fn version() -> Version {
    Version { landing: 7, commit: CommitId::from_bytes(&[7; 20]).expect("20 bytes"), revision: 0 }
}

#[tokio::test]
async fn a_certificate_is_renewed_in_an_open_session_and_a_failure_ends_nothing() {
    let rig = rig(2000, 4000).await;
    let (before, mut links) = (rig.certificate(), rig.connected().await);
    let interval = Directive::Interval { seconds: 1 };
    rig.reconciler.say(interval.clone()).await;
    assert_eq!(said(&mut links).await, interval);
    // It says so again and again; the work that it speaks of in between is not dropped.
    for _ in 0..3 {
        rig.reconciler.say(Directive::Renew).await;
        rig.reconciler.say(Directive::Proceed { version: version() }).await;
        assert_eq!(said(&mut links).await, Directive::Proceed { version: version() });
    }
    assert!(rig.reconciler.asked() >= 1, "it was tried at once");
    assert_eq!(rig.certificate(), before, "which failed");
    *locked(&rig.reconciler.renews) = true;
    opened(&mut links).await;
    assert_ne!(rig.certificate(), before, "a new session uses the new one");
    // A reconciler that always wants another one gets it no more often than that.
    rig.reconciler.say(Directive::Renew).await;
    opened(&mut links).await;
    let asked = locked(&rig.reconciler.asked).clone();
    let apart = |pair: &[Instant]| pair[1] - pair[0] >= Duration::from_secs(1);
    assert!(asked.len() >= 3 && asked.windows(2).all(apart), "a heartbeat lies between any two: {asked:?}");
}

fn other_authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").pem()
}

#[tokio::test]
async fn authorities_are_taken_over_with_a_renewal_if_one_of_them_vouches_for_the_server() {
    let rig = rig(2000, 4000).await;
    let identity = || rig.state.load_identity().expect("read").expect("an identity");
    *locked(&rig.reconciler.renews) = true;
    let pinned = identity().ca;
    let both = pinned.clone() + &other_authority();
    for (named, trusted) in [
        // Old reconcilers name none.
        (String::new(), &pinned),
        (other_authority(), &pinned),
        ("not PEM".to_owned(), &pinned),
        (both.clone() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &pinned),
        (both.clone(), &both),
        (pinned.clone(), &pinned),
    ] {
        let before = identity().certificate;
        *locked(&rig.reconciler.authorities) = named.clone();
        let (held, mut server) = connect(&rig.state).await.expect("connected");
        assert!(Renewals::new().renew(&rig.state, &held, &mut server).await);
        assert_eq!(identity().ca, *trusted, "{named}");
        assert_ne!(identity().certificate, before, "the certificate is good all the same");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_renewed_before_anything_else() {
    let rig = rig(2000, 2001).await;
    *locked(&rig.reconciler.renews) = true;
    let before = rig.certificate();
    let (sender, mut links) = mpsc::channel(32);
    tokio::spawn(keep(rig.state.clone(), sender, watch::channel(()).1));
    opened(&mut links).await;
    assert_eq!(rig.reconciler.asked(), 1);
    assert_ne!(rig.certificate(), before, "no session was opened with the one before");
}

#[tokio::test]
async fn a_renewal_that_fails_in_a_poll_keeps_nothing_back() {
    let rig = rig(2000, 4000).await;
    let proceed = Directive::Proceed { version: version() };
    let (sender, mut links) = mpsc::channel(32);
    let renewals = Renewals::new();
    for round in 0..2 {
        *locked(&rig.reconciler.poll) = vec![Directive::Renew, proceed.clone(), Directive::Renew];
        let (polled, ()) = tokio::join!(polls::poll(&rig.state, &sender, &renewals), async {
            let Link::Polling(reply) = next(&mut links).await else { panic!("no poll") };
            reply.send(report()).expect("it is waited for");
            assert!(matches!(next(&mut links).await, Link::Up));
            assert_eq!(said(&mut links).await, proceed);
        });
        assert_eq!(polled, Ok(()), "round {round}");
        assert_eq!(rig.reconciler.asked(), 1, "no more than once in a heartbeat");
    }
}

/// Answers polls; when each report was made.
struct Polled {
    links: mpsc::Receiver<Link>,
    reports: Vec<Instant>,
}

impl Polled {
    /// The next report of a poll. One that begins a session nobody hears.
    async fn next(&mut self, rig: &Rig, interval: u32) -> Instant {
        loop {
            if let Link::Polling(reply) = self.links.recv().await.expect("the session is kept") {
                *locked(&rig.reconciler.poll) = vec![Directive::Interval { seconds: interval }];
                reply.send(report()).expect("it is waited for");
                self.reports.push(Instant::now());
                return Instant::now();
            }
        }
    }

    fn longest_gap(&self) -> Duration {
        self.reports.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_session_passes_a_device_is_heard_of_as_often_as_by_one() {
    for streams in [Streams::Refused, Streams::Swallowed] {
        let rig = rig(2000, 4000).await;
        *locked(&rig.reconciler.streams) = streams;
        let (news, heard) = watch::channel(());
        let (sender, links) = mpsc::channel(32);
        tokio::spawn(keep(rig.state.clone(), sender, heard));
        let mut polled = Polled { links, reports: Vec::new() };
        for _ in 0..100 {
            polled.next(&rig, 30).await;
        }
        let (longest, rare) = (polled.longest_gap(), Duration::from_secs(60));
        assert!(longest <= rare, "{streams:?}: silent for {longest:?}, and a heartbeat is 30 s");
        let all = polled.reports[99] - polled.reports[0];
        assert!(all > Duration::from_secs(30 * 99), "{streams:?}: no more often than that, either: {all:?}");

        // What is new is told at once, also while another session is tried; and together what comes together.
        for _ in 0..20 {
            let before = polled.next(&rig, 30).await;
            sleep(Duration::from_millis(2_500) + anything_below(Duration::from_secs(20))).await;
            let happens = Instant::now();
            (0..3).for_each(|_| news.send_replace(()));
            let told = polled.next(&rig, 30).await;
            assert!(told - happens <= Duration::from_secs(3), "{streams:?}: told after {:?}", told - happens);
            assert!(polled.next(&rig, 30).await - told > Duration::from_secs(30), "{streams:?} {before:?}");
        }

        // Streams pass again.
        *locked(&rig.reconciler.streams) = Streams::Pass;
        let again = Instant::now();
        loop {
            match polled.links.recv().await.expect("the session is kept") {
                Link::Polling(reply) => reply.send(report()).expect("it is waited for"),
                Link::Up if locked(&rig.reconciler.session).is_some() => break,
                _ => {}
            }
        }
        assert!(again.elapsed() <= Duration::from_secs(120), "{streams:?}: a session after {:?}", again.elapsed());
        let quiet = timeout(Duration::from_secs(600), polled.links.recv()).await;
        assert!(quiet.is_err(), "{streams:?}: no polls beside a session: {quiet:?}");
    }
}

fn report() -> ReportMessage {
    let report = Report {
        nonce: "n".to_owned(),
        agent: "0".to_owned(),
        running: None,
        applying: None,
        begun: None,
        phase: Phase::Idle,
        health: Health::Unknown,
        failure: None,
        clock: Timestamp::UNIX_EPOCH,
    };
    report_message(report, None)
}

#[tokio::test]
async fn whether_a_certificate_is_old_is_judged_by_the_time_that_has_certainly_come() {
    let rig = rig(2000, 2200).await;
    *locked(&rig.reconciler.renews) = true;
    let before = rig.certificate();
    let mut links = rig.connected().await;
    assert_eq!((rig.reconciler.asked(), rig.certificate()), (0, before), "by the clock it is young");
    links.close();

    let verified = Some("2190-01-01T00:00:00Z".parse().expect("a time"));
    let trust = Trust { root: String::new(), pinned: sha256(), floors: Floors::default(), verified };
    rig.state.store_trust(&trust).expect("stored");
    rig.connected().await;
    assert_eq!(rig.reconciler.asked(), 1, "metadata of a later time was verified");
}

fn sha256() -> bellwether_schemas::Sha256Digest {
    bellwether_schemas::Sha256Digest::of(b"root")
}
