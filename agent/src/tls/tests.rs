use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use super::*;

/// A CA by its name, with a key of its own.
fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), Issuer::new(params, key))
}

/// A server's certificate for `localhost`, valid in these years.
fn server(issuer: &Issuer<'static, KeyPair>, from: i32, until: i32) -> ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a server")
}

/// What is said about a handshake with `localhost`, if it fails.
fn shake_hands(client: ClientConfig, server: ServerConfig, name: &str) -> Result<(), Problem> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    while client.is_handshaking() {
        let mut sent = Vec::new();
        client.write_tls(&mut sent).expect("written");
        server.read_tls(&mut sent.as_slice()).expect("read");
        server.process_new_packets().expect("a client that is understood");
        let mut answer = Vec::new();
        server.write_tls(&mut answer).expect("written");
        client.read_tls(&mut answer.as_slice()).expect("read");
        // An error of TLS comes wrapped in one of the connection.
        let heard = client.process_new_packets().map(drop).map_err(io::Error::other);
        heard.map_err(|error| problem("https://localhost:1", &error))?;
    }
    Ok(())
}

#[test]
fn a_server_of_the_pinned_authority_is_trusted_and_any_other_is_not() {
    let (ca, issuer) = authority("ours");
    let trusting = || client(&ca, None, None).expect("a client");
    shake_hands(trusting(), server(&issuer, 2000, 2100), "localhost").expect("it is trusted");
    for name in ["ours", "another"] {
        let (_, foreign) = authority(name);
        let refused = shake_hands(trusting(), server(&foreign, 2000, 2100), "localhost").expect_err("not trusted");
        assert_eq!(refused.code, codes::TLS_UNTRUSTED, "{name}: {refused}");
        assert!(refused.message.contains("pinned CA") && refused.message.contains("set up anew"), "{refused}");
    }
    let refused = shake_hands(trusting(), server(&issuer, 2000, 2100), "other.example").expect_err("another name");
    assert_eq!(refused.code, codes::TLS_NAME_MISMATCH, "{refused}");
    assert!(refused.message.ends_with("the names in it: localhost"), "{refused}");
}

#[test]
fn a_certificate_that_has_ended_is_said_with_both_times() {
    let (ca, issuer) = authority("ours");
    let trusting = |verified| client(&ca, None, verified).expect("a client");
    let year = |time: Timestamp| time.to_string()[..5].to_owned();
    let refused = shake_hands(trusting(None), server(&issuer, 2000, 2001), "localhost").expect_err("not valid");
    assert_eq!(refused.code, codes::TLS_TIME, "{refused}");
    let clock = format!("this device's clock shows {}", year(Timestamp::now()));
    assert!(refused.message.contains("expired at 2001-01-01") && refused.message.contains(&clock), "{refused}");
    // The clock is behind what is known to have passed.
    let floor: Timestamp = "2150-06-01T00:00:00Z".parse().expect("a time");
    let refused = shake_hands(trusting(Some(floor)), server(&issuer, 2000, 2100), "localhost").expect_err("not valid");
    assert_eq!(refused.code, codes::TLS_TIME, "{refused}");
    let clock = format!("though this device's clock shows {}", year(Timestamp::now()));
    assert!(refused.message.contains("it is 2150-06-01") && refused.message.contains(&clock), "{refused}");
}

/// A device without a battery knows no later time than what it verified last, and the server's certificate was renewed since.
#[test]
fn a_certificate_that_begins_later_than_the_clock_shows_proves_that_the_clock_is_behind() {
    let (ca, issuer) = authority("ours");
    let trusting = || client(&ca, None, None).expect("a client");
    shake_hands(trusting(), server(&issuer, 2100, 2101), "localhost").expect("it is trusted");
    let refused =
        shake_hands(trusting(), server(&issuer, 2100, 2099), "localhost").expect_err("it ends before it begins");
    assert_eq!(refused.code, codes::TLS_TIME, "{refused}");
    let (_, foreign) = authority("ours");
    let refused = shake_hands(trusting(), server(&foreign, 2100, 2101), "localhost").expect_err("not of our authority");
    assert_eq!(refused.code, codes::TLS_UNTRUSTED, "{refused}");
    let refused = shake_hands(trusting(), server(&issuer, 2100, 2101), "other.example").expect_err("another name");
    assert_eq!(refused.code, codes::TLS_NAME_MISMATCH, "{refused}");
}

#[test]
fn what_is_no_tls_is_unreachable() {
    let error = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(problem("https://localhost:1", &error).code, codes::SERVER_UNREACHABLE_AGENT);
    let odd = rustls::Error::General("odd".to_owned());
    assert_eq!(problem("https://localhost:1", &odd).code, codes::TLS_FAILED);
}
