//! Mirrors over https and ssh, from real servers on this machine.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt as _;

use super::*;

/// What git's own server needs to know.
#[derive(Clone)]
struct Backend {
    root: PathBuf,
    token: String,
    /// The version of the protocol that is spoken whatever the client asks for.
    protocol: Option<&'static str>,
    /// Why nobody is sent any objects.
    refusal: Option<&'static str>,
}

impl Backend {
    fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), token: "sesame".to_owned(), protocol: None, refusal: None }
    }
}

/// Serves the repositories below a folder by `git http-backend`, to whoever shows the token.
async fn backend(State(backend): State<Backend>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let expected =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("git:{}", backend.token)));
    let header =
        |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if header("authorization") != expected {
        return (http::StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"git\"")]).into_response();
    }
    let protocol = backend.protocol.map_or_else(|| header("git-protocol"), |version| format!("version={version}"));
    let mut git = tokio::process::Command::new("git");
    git.arg("http-backend").env("GIT_PROJECT_ROOT", &backend.root).env("GIT_HTTP_EXPORT_ALL", "1");
    git.env("HOME", &backend.root).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_PROTOCOL", protocol);
    git.env("REQUEST_METHOD", request.method.as_str()).env("PATH_INFO", request.uri.path());
    git.env("QUERY_STRING", request.uri.query().unwrap_or_default()).env("CONTENT_TYPE", header("content-type"));
    git.stdin(Stdio::piped()).stdout(Stdio::piped());
    if !header("content-encoding").is_empty() {
        git.env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    if let Some(why) = backend.refusal.filter(|_| body.windows(5).any(|word| word == b"want ")) {
        let kind = [("content-type", "application/x-git-upload-pack-result")];
        return (kind, format!("{:04x}ERR {why}", why.len() + 8)).into_response();
    }
    git.env("CONTENT_LENGTH", body.len().to_string());
    let mut git = git.spawn().expect("git is installed");
    let mut stdin = git.stdin.take().expect("a pipe");
    stdin.write_all(&body).await.expect("taken");
    drop(stdin);
    let output = git.wait_with_output().await.expect("an answer").stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("CGI headers");
    let mut response = Response::new(Body::from(output[end + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        match name {
            "Status" => *response.status_mut() = value[..3].parse().expect("a status"),
            _ => drop(response.headers_mut().insert(
                http::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                value.parse().expect("a value"),
            )),
        }
    }
    response
}

/// An https server with a certificate of its own, as long as the runtime lives. Returns its port and the certificate, PEM.
fn serve_https(runtime: &tokio::runtime::Runtime, backend_of: Backend) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("set");
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let router = axum::Router::new().fallback(backend).with_state(backend_of);
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, made.cert.pem())
}

/// Writes a file that only its owner reads.
fn secret(path: PathBuf, content: &str) -> PathBuf {
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    path
}

#[test]
fn a_repository_behind_https_is_mirrored_with_a_token_and_a_certificate_of_ones_own() {
    let source = Source::new();
    source.bare();
    let first = source.commit("two");
    source.git(&["push", "-q", "../bare.git", "main"]);
    let dir = source.dir.path();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (port, certificate) = serve_https(&runtime, Backend::of(dir));
    let (token_file, ca_file) = (secret(dir.join("token"), "sesame\n"), secret(dir.join("ca.pem"), &certificate));
    let url = format!("https://localhost:{port}/bare.git");
    let open = |access| Mirror::open_or_create(&dir.join("mirror.git"), &url, "main", access).expect("a mirror");
    let full = Access { token_file: Some(token_file.clone()), ca_file: Some(ca_file), ..Access::default() };

    let mirror = open(full.clone());
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), first);
    let second = source.commit("three");
    source.git(&["push", "-q", "../bare.git", "main"]);
    assert_eq!(mirror.fetch(&NEVER).expect("fetched again"), second);

    let refused = |access| open(access).fetch(&NEVER).expect_err("refused");
    let unknown_issuer = refused(Access { ca_file: None, ..full.clone() });
    assert_eq!(unknown_issuer.code(), codes::REPOSITORY_UNREACHABLE, "{unknown_issuer}");
    let no_token = refused(Access { token_file: None, ..full.clone() });
    assert!(no_token.to_string().contains("repositoryAccess.tokenFile"), "{no_token}");
    secret(token_file.clone(), "simsim\n");
    let wrong = refused(full.clone());
    assert!(wrong.to_string().contains("not accepted") && !wrong.to_string().contains("simsim"), "{wrong}");
    std::fs::remove_file(token_file).expect("removed");
    assert_eq!(refused(full).code(), codes::REPOSITORY_ACCESS);
}

/// We ask for version 2; who knows none answers in version 0, and nobody in version 1.
#[test]
fn servers_that_know_no_version_of_the_protocol_are_understood() {
    let source = Source::new();
    source.bare();
    let tip = source.git(&["rev-parse", "HEAD"]).parse::<CommitId>().expect("an id");
    for version in ["0", "2"] {
        let backend = Backend { protocol: Some(version), ..Backend::of(source.dir.path()) };
        assert_eq!(fetch_over_https(backend, "bare.git").expect(version), tip);
    }
}

#[test]
fn only_a_shallow_remote_is_called_one() {
    let source = Source::new();
    source.commit("two");
    let shallow = source.dir.path().join("short.git");
    source.git(&["clone", "-q", "--bare", "--depth", "1", &format!("file://{}", text(&source.work)), text(&shallow)]);
    source.bare();
    for version in ["0", "2"] {
        let backend = Backend { protocol: Some(version), ..Backend::of(source.dir.path()) };
        let refused = fetch_over_https(backend, "short.git").expect_err(version);
        assert_eq!(refused.code(), codes::REPOSITORY_SHALLOW, "{refused}");
    }
    // Whatever another one says.
    let backend = Backend { refusal: Some("clone.rejectShallow: I am shallow"), ..Backend::of(source.dir.path()) };
    let refused = fetch_over_https(backend, "bare.git").expect_err("refused");
    assert_eq!(refused.code(), codes::REPOSITORY_UNREACHABLE, "{refused}");
    assert!(refused.to_string().contains("I am shallow"), "{refused}");
}

/// Fetches `main` of a repository below the backend's folder into a new mirror.
fn fetch_over_https(backend: Backend, repository: &str) -> Result<CommitId, FetchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir_in(&backend.root).expect("a folder");
    let (port, certificate) = serve_https(&runtime, backend);
    let (token, ca) = (secret(dir.path().join("token"), "sesame\n"), secret(dir.path().join("ca.pem"), &certificate));
    let access = Access { token_file: Some(token), ca_file: Some(ca), ..Access::default() };
    let url = format!("https://localhost:{port}/{repository}");
    Mirror::open_or_create(&dir.path().join("mirror.git"), &url, "main", access)?.fetch(&NEVER)
}

/// A server of ssh for this user alone, ended with the test.
struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SSHD: &str = "/usr/sbin/sshd";

/// Starts sshd on a free port, and waits until it listens. `None` where there is no sshd.
fn serve_ssh(dir: &Path) -> Option<(Sshd, u16)> {
    if !Path::new(SSHD).exists() {
        return None;
    }
    for key in ["host", "user", "stranger"] {
        let path = dir.join(key);
        let done = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", text(&path)]).status();
        assert!(done.expect("ssh-keygen is installed").success());
    }
    // As root it insists on this folder, which its package makes only at a boot.
    let _ = std::fs::create_dir_all("/run/sshd");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let config = dir.join("sshd_config");
    let lines = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/user.pub\nPidFile none\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        dir.display()
    );
    std::fs::write(&config, lines).expect("written");
    let mut sshd = Command::new(SSHD);
    sshd.args(["-D", "-e", "-f", text(&config)]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut sshd = Sshd(sshd.spawn().expect("sshd starts"));
    let mut log = std::io::BufReader::new(sshd.0.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("Server listening") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut log, &mut line).expect("text"), 0, "sshd ended");
    }
    // Read on, so that it never waits for its log to be taken.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Some((sshd, port))
}

#[test]
fn a_repository_behind_ssh_is_mirrored_with_a_key_and_known_hosts_of_ones_own() {
    let source = Source::new();
    let dir = source.dir.path();
    let Some((_sshd, port)) = serve_ssh(dir) else {
        let _ = writeln!(std::io::stderr(), "skipped: {SSHD} is not installed");
        return;
    };
    let bare = source.bare();
    let tip = source.git(&["rev-parse", "HEAD"]).parse::<CommitId>().expect("an id");
    let host_key = std::fs::read_to_string(dir.join("host.pub")).expect("a key");
    // A space in a path must not end a word.
    std::fs::create_dir(dir.join("my hosts")).expect("a folder");
    let known_hosts = dir.join("my hosts/known");
    std::fs::write(&known_hosts, format!("[127.0.0.1]:{port} {host_key}")).expect("written");
    let user = String::from_utf8(Command::new("id").arg("-un").output().expect("id").stdout).expect("text");
    let url = format!("ssh://{}@127.0.0.1:{port}{}", user.trim(), bare.display());
    let open = |access| Mirror::open_or_create(&dir.join("mirror.git"), &url, "main", access).expect("a mirror");
    let full = Access { ssh_key: Some(dir.join("user")), known_hosts: Some(known_hosts.clone()), ..Access::default() };
    assert_eq!(open(full.clone()).fetch(&NEVER).expect("fetched"), tip);

    let stranger = open(Access { ssh_key: Some(dir.join("stranger")), ..full.clone() });
    let refused = stranger.fetch(&NEVER).expect_err("refused");
    assert_eq!(refused.code(), codes::REPOSITORY_UNREACHABLE, "{refused}");
    std::fs::write(&known_hosts, "").expect("written");
    let refused = open(full).fetch(&NEVER).expect_err("a host that is not known");
    assert_eq!(refused.code(), codes::REPOSITORY_UNREACHABLE, "{refused}");
}
