//! What only a server can do: go away, and demand a password or a certificate.

use bellwether_postgres::Server;
use rcgen::{CertificateParams, Issuer, KeyPair};

use super::*;

/// A server's address over TCP, where it has to be found free first.
fn over_tcp(server: &mut Server) -> (u16, String) {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    server.set("listen_addresses", "127.0.0.1");
    server.set("port", &port.to_string());
    (port, format!("postgres://bellwether@127.0.0.1:{port}/postgres"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_is_used_again_when_it_is_back() {
    let Some(mut place) = Place::postgres() else { return };
    let store = open(&place).await;
    store.save_devices(&[device("a")]).await.expect("stored");
    let Place::Postgres(server) = &mut place else { unreachable!("it is PostgreSQL") };
    server.stop();
    let away = store.save_devices(&[device("b")]).await.expect_err("it is away");
    assert_eq!(away.code(), codes::DATABASE_FAILED);
    server.start_again();
    for round in ["once", "and with every connection"] {
        let all = futures::future::join_all((0..8).map(|_| store.load_all())).await;
        assert!(
            all.iter().all(|loaded| loaded.as_ref().is_ok_and(|loaded| loaded.devices.len() == 1)),
            "{round}: {all:?}"
        );
    }
    store.save_devices(&[device("b")]).await.expect("stored");
    server.kill();
    server.start_again();
    assert_eq!(store.load_all().await.expect("loaded").devices.len(), 2, "what was acknowledged survives a crash");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_a_crash_cut_off_leaves_nothing() {
    let Some(mut place) = Place::postgres() else { return };
    let store = open(&place).await;
    let mut transaction = store.write().await.expect("begun");
    super::devices::upsert_devices(&mut transaction, &[device("a")]).await.expect("stored");
    let Place::Postgres(server) = &mut place else { unreachable!("it is PostgreSQL") };
    server.kill();
    server.start_again();
    transaction.commit().await.expect_err("the server knows nothing of it");
    assert_eq!(store.load_all().await.expect("loaded").devices, []);
    store.save_devices(&[device("b")]).await.expect("nobody holds the write lock any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_to_prove_who_it_is_where_the_address_says_so() {
    let Some(mut server) = Server::start() else { return };
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, key);
    let served = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
    let certificate = certificate.signed_by(&served, &issuer).expect("signed").pem();
    let (cert, key) = (server.write("server.crt", &certificate), server.write("server.key", &served.serialize_pem()));
    let ca = server.write("ca.crt", &ca);
    server.stop();
    let (_, url) = over_tcp(&mut server);
    server.set("ssl", "on");
    server.set("ssl_cert_file", &cert.display().to_string());
    server.set("ssl_key_file", &key.display().to_string());
    let hba = server.write("tls_only.conf", "hostssl all all 127.0.0.1/32 trust\n");
    server.set("hba_file", &hba.display().to_string());
    server.start_again();

    let refused = Store::open(&format!("{url}?sslmode=verify-full")).await.expect_err("nobody knows its authority");
    let said = format!("{:#}", anyhow::Error::from(refused));
    assert!(said.contains("UnknownIssuer") || said.contains("unknown"), "{said}");
    Store::open(&format!("{url}?sslmode=disable")).await.expect_err("the server wants TLS");
    let known = format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display());
    let store = Store::open(&known).await.expect("it proves who it is");
    let row = query("SELECT version AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetch_one(store.database());
    assert_eq!(row.await.expect("read").text("tls").expect("text").as_deref(), Some("TLSv1.3"));
    Store::lock(&known).await.expect("the lock's connection is the same").release().await;
}

#[test]
fn a_server_elsewhere_must_be_known_unless_the_address_says_otherwise() {
    use sqlx::postgres::PgSslMode::{Disable, Prefer, Require, VerifyFull};
    let mode = |url: &str| match Address::parse(url).expect("an address") {
        Address::Postgres(options) => options.get_ssl_mode(),
        Address::Sqlite(_) => panic!("{url} is PostgreSQL"),
    };
    for (url, expected) in [
        ("postgres://bw@db.example.org/x", VerifyFull),
        ("postgresql://bw@192.0.2.1/x", VerifyFull),
        ("postgres://bw@db.example.org/x?sslmode=require", Require),
        ("postgres://bw@db.example.org/x?sslmode=disable", Disable),
        ("postgres://bw@localhost/x", Prefer),
        ("postgres://bw@127.0.0.1/x", Prefer),
        ("postgres://bw@[::1]/x", Prefer),
        ("postgres://bw@%2Frun%2Fpostgresql/x", Prefer),
        ("postgres://bw@db.example.org/x?host=/run/postgresql", Prefer),
    ] {
        assert!(std::mem::discriminant(&mode(url)) == std::mem::discriminant(&expected), "{url}: {:?}", mode(url));
    }
}
