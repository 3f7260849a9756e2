use super::*;

fn entry(id: &str, device: Option<&str>) -> Entry {
    Entry {
        enrollment: "lab".parse().expect("a name"),
        id: id.parse().expect("an id"),
        proof: token_of(id),
        device: device.map(|name| name.parse().expect("a name")),
        revoked: false,
        since: 1,
    }
}

fn token_of(seed: &str) -> Proof {
    Proof::Token { hash: hash(seed), expires: "2030-01-01T00:00:00Z".parse().expect("a time") }
}

fn expired(seed: &str) -> Proof {
    Proof::Token { hash: hash(seed), expires: now() }
}

fn hash(seed: &str) -> Sha256Digest {
    Sha256Digest::of(seed.as_bytes())
}

fn identity(id: &str, device: &str) -> Identity {
    format!("bellwether://fleet.example/lab/{id}/{device}").parse().expect("an identity")
}

fn admissions(entries: impl IntoIterator<Item = Entry>) -> Admissions {
    let mut all = Admissions::default();
    entries.into_iter().for_each(|entry| all.insert(entry));
    all
}

fn code(admission: Admission) -> Option<Code> {
    match admission {
        Admission::Refused { code, .. } => Some(code),
        Admission::Full | Admission::ReportOnly { .. } => None,
    }
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

#[test]
fn an_identity_is_exactly_four_names() {
    let text = "bellwether://fleet.example/lab/t1/edge-1";
    assert_eq!(text.parse::<Identity>().expect("an identity").to_string(), text);
    for bad in [
        "",
        "bellwether://fleet.example/lab/t1",
        "bellwether://fleet.example/lab/t1/edge-1/",
        "bellwether://fleet.example/lab/t1/edge-1/x",
        "bellwether://fleet.example/lab//edge-1",
        "bellwether:///lab/t1/edge-1",
        "bellwether://fleet..example/lab/t1/edge-1",
        "bellwether://fleet.example:1/lab/t1/edge-1",
        "Bellwether://fleet.example/lab/t1/edge-1",
        "bellwether://fleet.example/lab/t1/edge%2d1",
        "bellwether://fleet.example/lab/t1/../edge-1",
        "https://fleet.example/lab/t1/edge-1",
        " bellwether://fleet.example/lab/t1/edge-1",
    ] {
        assert!(bad.parse::<Identity>().is_err(), "{bad}");
    }
}

#[test]
fn a_certificate_counts_while_the_last_word_on_its_entry_is_good() {
    let mut all = admissions([entry("t1", Some("edge-1")), entry("t2", None)]);
    assert_eq!(all.admit(&identity("t1", "edge-1")), Admission::Full);
    assert_eq!(all.admit(&identity("t2", "lab-0123456789abcdef")), Admission::Full);

    all.insert(Entry { revoked: true, ..entry("t1", Some("edge-1")) });
    assert_eq!(code(all.admit(&identity("t1", "edge-1"))), Some(codes::CERTIFICATE_REVOKED));
    all.insert(entry("t1", Some("edge-1")));
    assert_eq!(all.admit(&identity("t1", "edge-1")), Admission::Full, "the last word holds");
}

#[test]
fn an_entry_that_no_landing_lists_may_only_report() {
    let all = admissions([entry("t1", Some("edge-1"))]);
    assert!(matches!(all.admit(&identity("gone", "edge-9")), Admission::ReportOnly { .. }));
    let code = code(all.admit(&identity("gone", "edge-1")));
    assert_eq!(code, Some(codes::CERTIFICATE_REPLACED), "another entry names that device now");
}

#[test]
fn a_revoked_device_is_refused_under_every_entry_until_the_history_says_otherwise() {
    let mut all = admissions([entry("t1", Some("edge-1"))]);
    let device: DeviceName = "edge-1".parse().expect("a name");
    all.set_revoked(device.clone(), true);
    assert_eq!(code(all.admit(&identity("t1", "edge-1"))), Some(codes::DEVICE_REVOKED));
    assert_eq!(code(all.admit(&identity("gone", "edge-1"))), Some(codes::DEVICE_REVOKED));
    let refusal = all.token(&hash("t1"), now()).expect_err("its token is refused too");
    assert_eq!(refusal.code(), codes::TOKEN_REVOKED);
    all.set_revoked(device, false);
    assert_eq!(all.admit(&identity("t1", "edge-1")), Admission::Full);
}

#[test]
fn a_device_counts_under_its_last_listed_entry_only() {
    let mut all = admissions([entry("t1", Some("edge-1")), entry("t2", Some("edge-1"))]);
    assert_eq!(code(all.admit(&identity("t1", "edge-1"))), Some(codes::CERTIFICATE_REPLACED));
    assert_eq!(all.admit(&identity("t2", "edge-1")), Admission::Full);

    all.insert(Entry { proof: expired("t1"), ..entry("t1", Some("edge-1")) });
    assert_eq!(all.admit(&identity("t2", "edge-1")), Admission::Full, "an edit is no new listing");

    all.insert(entry("t1", Some("edge-2")));
    assert_eq!(code(all.admit(&identity("t1", "edge-9"))), Some(codes::CERTIFICATE_REPLACED));
    assert_eq!(all.admit(&identity("t1", "edge-2")), Admission::Full);
}

#[test]
fn a_token_allows_what_its_entry_says() {
    let all = admissions([
        entry("t1", Some("edge-1")),
        Entry { revoked: true, ..entry("t2", None) },
        Entry { proof: expired("t3"), ..entry("t3", None) },
        entry("old", Some("edge-4")),
        entry("new", Some("edge-4")),
    ]);
    let ask = |id: &str| all.token(&Sha256Digest::of(id.as_bytes()), now());
    assert_eq!(ask("t1").map(|grant| grant.device), Ok(entry("t1", Some("edge-1")).device));
    for (id, code) in [
        ("never-listed", codes::TOKEN_UNKNOWN),
        ("t2", codes::TOKEN_REVOKED),
        ("t3", codes::TOKEN_EXPIRED),
        ("old", codes::TOKEN_REVOKED),
    ] {
        assert_eq!(ask(id).map_err(|refusal| refusal.code()), Err(code), "{id}");
    }
    assert!(ask("new").is_ok());
}

#[test]
fn no_other_enrollment_takes_a_device_over_before_its_entry_is_revoked() {
    let other =
        |id: &str, device: &str| Entry { enrollment: "interns".parse().expect("a name"), ..entry(id, Some(device)) };
    let theirs = |id: &str, device: &str| -> Identity {
        format!("bellwether://fleet.example/interns/{id}/{device}").parse().expect("an identity")
    };
    let mut all = admissions([entry("t1", Some("router")), other("x", "router")]);
    assert_eq!(all.admit(&identity("t1", "router")), Admission::Full);
    assert_eq!(code(all.admit(&theirs("x", "router"))), Some(codes::CERTIFICATE_REPLACED));
    let refused = all.token(&hash("x"), now()).expect_err("the name is taken");
    assert!(refused.to_string().contains("counts under entry t1 of enrollment lab"), "{refused}");
    // In its own Enrollment the last one counts, before theirs and after it.
    all.insert(entry("t2", Some("router")));
    assert_eq!(all.entry_of(&"router".parse().expect("a name")).expect("named").1.as_str(), "t2");
    // Revoked, or naming another device, it gives the name free; in whatever order one landing says so.
    for freed in [Entry { revoked: true, ..entry("t2", Some("router")) }, entry("t2", Some("spare"))] {
        let mut all = all.clone();
        all.insert(freed);
        assert_eq!(all.admit(&theirs("x", "router")), Admission::Full);
        all.token(&hash("x"), now()).expect("it enrolls");
    }
    // Nor a device whose name its Enrollment made of its key.
    let made = "lab-0123456789abcdef";
    let mut all = admissions([entry("t2", None), other("y", made)]);
    all.set_open("lab".parse().expect("a name"), Open::default());
    assert_eq!(all.admit(&identity("t2", made)), Admission::Full);
    all.insert(entry("t3", Some(made)));
    assert_eq!(code(all.admit(&identity("t2", made))), Some(codes::CERTIFICATE_REPLACED));
}

#[test]
fn nobody_takes_over_a_token_by_listing_its_public_hash() {
    let other = Entry { enrollment: "other".parse().expect("a name"), ..entry("t1", Some("evil")) };
    let all = admissions([entry("t1", None), other]);
    let grant = all.token(&hash("t1"), now()).expect("a grant");
    assert_eq!(grant.enrollment.as_str(), "lab");
}

#[test]
fn an_entry_keeps_the_hash_that_it_was_first_listed_with() {
    let (fresh, proof) = (hash("fresh"), token_of("fresh"));
    let mut all = admissions([entry("t1", Some("edge-1")), Entry { proof, ..entry("t1", Some("edge-1")) }]);
    assert!(all.token(&hash("t1"), now()).is_ok());
    assert_eq!(all.token(&fresh, now()), Err(TokenRefusal::Unknown), "else two certificates counted for one entry");
    assert_eq!(all.proof_of(&("lab".parse().expect("a name"), "t1".parse().expect("an id"))), Some(&token_of("t1")));
    // What else the statement says holds; and the hash is free for an entry of its own.
    all.insert(Entry { proof, revoked: true, ..entry("t1", Some("edge-1")) });
    assert_eq!(code(all.admit(&identity("t1", "edge-1"))), Some(codes::CERTIFICATE_REVOKED));
    all.insert(Entry { proof, ..entry("t2", Some("edge-1")) });
    assert_eq!(all.token(&fresh, now()).map(|grant| grant.entry.to_string()), Ok("t2".to_owned()));
}

#[test]
fn tokens_are_void_up_to_the_landing_that_was_the_newest_when_their_records_were_lost() {
    // Restating an entry, or naming another device by it, makes it no newer.
    let again = Entry { since: 9, ..entry("old", Some("edge-1")) };
    let all = admissions([entry("old", None), again, Entry { since: 8, ..entry("new", None) }]);
    let ask = |id: &str, void: VoidTokens| {
        let grant = all.token(&Sha256Digest::of(id.as_bytes()), now()).expect("a grant");
        void.check(grant).map(|grant| grant.since).map_err(|refusal| refusal.code())
    };
    for (void, old, new) in [
        (VoidTokens::None, Ok(1), Ok(8)),
        (VoidTokens::UpTo(0), Ok(1), Ok(8)),
        (VoidTokens::UpTo(1), Err(codes::TOKEN_VOID), Ok(8)),
        (VoidTokens::UpTo(7), Err(codes::TOKEN_VOID), Ok(8)),
        (VoidTokens::UpTo(8), Err(codes::TOKEN_VOID), Err(codes::TOKEN_VOID)),
        (VoidTokens::All, Err(codes::TOKEN_VOID), Err(codes::TOKEN_VOID)),
    ] {
        assert_eq!((ask("old", void), ask("new", void)), (old, new), "{void:?}");
    }
}

#[test]
fn an_unbound_token_yields_a_name_made_from_the_key() {
    let key = Sha256Digest::of(b"key");
    let all = admissions([entry("t1", None)]);
    let grant = all.token(&hash("t1"), now()).expect("a grant");
    let name = all.name_for(&grant, &key).expect("a name");
    assert_eq!(name.to_string(), format!("lab-{}", &key.to_string()[..16]));

    let taken = admissions([entry("t1", None), entry("t2", Some(name.as_str()))]);
    assert_eq!(taken.name_for(&grant, &key).map_err(|refusal| refusal.code()), Err(codes::DEVICE_NAME_TAKEN));

    // Also where git knows the name only by a Device manifest, and while it does; nobody gets a revoked one.
    let mut known = all.clone();
    known.set_reserved(name.clone(), true);
    assert_eq!(known.name_for(&grant, &key).map_err(|refusal| refusal.code()), Err(codes::DEVICE_NAME_TAKEN));
    known.set_reserved(name.clone(), false);
    assert_eq!(known.name_for(&grant, &key).as_ref(), Ok(&name));
    known.set_revoked(name, true);
    assert_eq!(known.name_for(&grant, &key).map_err(|refusal| refusal.code()), Err(codes::TOKEN_REVOKED));

    let long = TokenGrant { enrollment: "x".repeat(47).parse().expect("a name"), ..grant };
    assert!(all.name_for(&long, &key).is_err());
}

#[test]
fn who_has_removed_everything_is_refused_by_the_entry_that_it_left_by_alone() {
    let mut all = admissions([entry("t1", Some("edge-1")), entry("t2", None)]);
    all.set_decommissioned("edge-1".parse().expect("a name"), true);
    assert_eq!(all.admit(&identity("t1", "edge-1")), Admission::Full, "it is to be told so");
    let refusal = all.token(&hash("t1"), now()).expect_err("nobody comes in to be sent away");
    assert_eq!(refusal.code(), codes::TOKEN_REVOKED);
    assert!(refusal.to_string().contains("decommissioned"), "{refusal}");

    let left = ("edge-1".parse().expect("a name"), ("lab".parse().expect("a name"), "t1".parse().expect("an id")));
    all.set_gone([left].into());
    assert_eq!(code(all.admit(&identity("t1", "edge-1"))), Some(codes::DEVICE_DECOMMISSIONED));
    all.set_decommissioned("edge-1".parse().expect("a name"), false);
    assert_eq!(code(all.admit(&identity("t1", "edge-1"))), Some(codes::DEVICE_DECOMMISSIONED), "its key was to go");
    all.insert(entry("t3", Some("edge-1")));
    assert_eq!(all.admit(&identity("t3", "edge-1")), Admission::Full, "enrolled anew it is another life");
}
