use super::super::{Admission, Entry, Identity, Open, Proof};
use super::*;

fn lab() -> EnrollmentName {
    "lab".parse().expect("a name")
}

fn key(seed: &str) -> Sha256Digest {
    Sha256Digest::of(seed.as_bytes())
}

/// An entry that approves the key of the same name as the entry.
fn entry(id: &str, device: &str) -> Entry {
    Entry {
        enrollment: lab(),
        id: id.parse().expect("an id"),
        proof: Proof::Key { fingerprint: key(id) },
        device: Some(device.parse().expect("a name")),
        revoked: false,
        since: 1,
    }
}

fn admissions(entries: impl IntoIterator<Item = Entry>) -> Admissions {
    let mut all = Admissions::default();
    all.set_open(lab(), Open { manual: true, ca: None });
    entries.into_iter().for_each(|entry| all.insert(entry));
    all
}

fn admit(all: &Admissions, entry: &str, device: &str) -> Result<(), Option<Code>> {
    let identity: Identity = format!("bellwether://fleet.example/lab/{entry}/{device}").parse().expect("an identity");
    match all.admit(&identity) {
        Admission::Full => Ok(()),
        Admission::ReportOnly { .. } => Err(None),
        Admission::Refused { code, .. } => Err(Some(code)),
    }
}

#[test]
fn a_key_waits_until_it_is_listed_and_only_where_people_approve() {
    let mut all = admissions([entry("k1", "edge-1")]);
    assert_eq!(all.key(&lab(), &key("k2")), Ok(None));
    assert!(all.awaits_approval(&lab(), &key("k2")) && !all.awaits_approval(&lab(), &key("k1")));
    let grant = all.key(&lab(), &key("k1")).expect("allowed").expect("listed");
    assert_eq!((grant.entry.as_str(), grant.device.as_str()), ("k1", "edge-1"));
    let other = "other".parse().expect("a name");
    assert_eq!(all.key(&other, &key("k1")).map_err(|e| e.code()), Err(codes::ENROLL_CLOSED), "listed elsewhere");

    // Back to tokens: who is listed may come, nobody else may ask.
    all.set_open(lab(), Open::default());
    assert_eq!(all.key(&lab(), &key("k2")).map_err(|e| e.code()), Err(codes::ENROLL_CLOSED));
    assert!(all.key(&lab(), &key("k1")).is_ok_and(|grant| grant.is_some()));
}

#[test]
fn what_the_history_said_last_on_an_approved_key_holds() {
    let code = |all: &Admissions, seed: &str| all.key(&lab(), &key(seed)).map_err(|refusal| refusal.code());
    let mut all = admissions([entry("k1", "edge-1")]);
    all.insert(Entry { revoked: true, ..entry("k1", "edge-1") });
    assert_eq!(code(&all, "k1"), Err(codes::APPROVAL_REVOKED));
    assert_eq!(admit(&all, "k1", "edge-1"), Err(Some(codes::CERTIFICATE_REVOKED)));

    // The same key may be approved again, by an entry of its own.
    all.insert(Entry { proof: Proof::Key { fingerprint: key("k1") }, ..entry("again", "edge-1") });
    let grant = all.key(&lab(), &key("k1")).expect("allowed").expect("listed");
    assert_eq!(grant.entry.as_str(), "again");
    assert_eq!(admit(&all, "again", "edge-1"), Ok(()));
    all.insert(Entry { revoked: true, ..entry("k1", "edge-1") });
    let grant = all.key(&lab(), &key("k1")).expect("stating the old entry once more is no new listing");
    assert_eq!(grant.map(|grant| grant.entry.to_string()), Some("again".to_owned()));

    // A newer entry for the device replaces it; a revoked device gets nothing.
    all.insert(entry("k3", "edge-1"));
    assert_eq!(code(&all, "k1"), Err(codes::APPROVAL_REVOKED));
    assert_eq!(admit(&all, "again", "edge-1"), Err(Some(codes::CERTIFICATE_REPLACED)));
    assert_eq!(admit(&all, "k3", "edge-1"), Ok(()));
    all.set_revoked("edge-1".parse().expect("a name"), true);
    assert_eq!(code(&all, "k3"), Err(codes::APPROVAL_REVOKED));
}

#[test]
fn an_entry_keeps_the_key_that_it_was_first_listed_with() {
    let fresh = Proof::Key { fingerprint: key("fresh") };
    let all = admissions([entry("k1", "edge-1"), Entry { proof: fresh, since: 2, ..entry("k1", "edge-1") }]);
    assert!(all.key(&lab(), &key("k1")).is_ok_and(|grant| grant.is_some()));
    assert_eq!(all.key(&lab(), &key("fresh")), Ok(None), "else two keys counted for one entry");
    let token = Proof::Token { hash: key("t"), expires: jiff::Timestamp::MAX };
    let mut all = all;
    all.insert(Entry { proof: token, ..entry("k1", "edge-1") });
    assert!(all.token(&key("t"), jiff::Timestamp::MIN).is_err(), "nor does a key become a token");
}

#[test]
fn a_factory_identity_always_yields_the_same_name() {
    let all = {
        let mut all = admissions([]);
        all.set_open(lab(), Open { manual: false, ca: Some(Arc::new(tests_ca())) });
        all
    };
    assert!(all.factory_ca(&lab()).is_ok());
    let grant = all.factory(&lab(), &key("widget")).expect("a grant");
    let device = grant.device.as_str();
    assert_eq!((device, grant.entry.as_str()), (&*format!("lab-{}", &key("widget").to_string()[..16]), "factory"));
    assert_eq!(admit(&all, "factory", device), Ok(()));

    // Nobody new once the manifest takes none; who is in stays in.
    let mut ended = all.clone();
    ended.set_open(lab(), Open::default());
    assert_eq!(ended.factory_ca(&lab()).map_err(|e| e.code()), Err(codes::ENROLL_CLOSED));
    assert_eq!(admit(&ended, "factory", device), Ok(()));
    assert_eq!(admit(&admissions([]), "factory", device), Err(None), "no landing ever took factory certificates");

    let mut revoked = all.clone();
    revoked.set_revoked(grant.device.clone(), true);
    assert_eq!(revoked.factory(&lab(), &key("widget")).map_err(|e| e.code()), Err(codes::APPROVAL_REVOKED));
    assert_eq!(admit(&revoked, "factory", device), Err(Some(codes::DEVICE_REVOKED)));

    // An entry that names the device takes it over.
    let mut named = all;
    named.insert(entry("k1", device));
    assert_eq!(named.factory(&lab(), &key("widget")).map_err(|e| e.code()), Err(codes::APPROVAL_REVOKED));
    assert_eq!(admit(&named, "factory", device), Err(Some(codes::CERTIFICATE_REPLACED)));
    assert_eq!(admit(&named, "k1", device), Ok(()));

    let long: EnrollmentName = "x".repeat(47).parse().expect("a name");
    assert_eq!(named.factory(&long, &key("widget")), Err(RequestRefusal::NoName(long.clone())));
}

fn tests_ca() -> FactoryCa {
    let yaml = include_str!("../../../../../schemas/testdata/valid/enrollments/factory-ca.yaml");
    match bellwether_schemas::yaml::parse("enrollments/factory-ca.yaml", yaml.as_bytes()).expect("a manifest") {
        bellwether_schemas::manifest::AnyManifest::Enrollment(manifest) => manifest.spec.ca.expect("authorities"),
        _ => panic!("an Enrollment"),
    }
}
