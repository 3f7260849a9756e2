use std::collections::BTreeSet;

use bellwether_schemas::api::{Condition, RepositoryView};

use super::*;

fn refused(answer: Result<EnrollResponse, (u16, ErrorBody)>) -> (u16, String) {
    let (status, body) = answer.expect_err("refused");
    assert!(!body.hint.is_empty() && !body.message.is_empty(), "{body:?}");
    (status, body.code)
}

#[tokio::test]
async fn a_token_becomes_a_certificate_and_the_loop_hears_of_it() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let answer = world.enroll(&token(1), &new_key()).await.expect("enrolled");
    assert_eq!(answer.device.as_str(), "edge-1");
    assert_eq!(answer.devices, format!("https://localhost:{}", world.bound.devices.port()));
    assert_eq!(answer.updates, "https://localhost:7777");
    let der = CertificateDer::from_pem_slice(answer.certificate.as_bytes()).expect("PEM");
    let peer = crate::pki::Peer::from_certificate(&der, &domain()).expect("a device");
    assert_eq!(peer.identity.to_string(), "bellwether://fleet.example/lab/t1/edge-1");
    let enrolled = world.enrolled.recv().await.expect("registered");
    assert_eq!((enrolled.identity, enrolled.facts["os"].as_str()), (peer.identity.clone(), "linux"));
    let rows = world.shared.store.enrolled(&domain()).await.expect("rows");
    assert_eq!(rows.iter().map(|row| &row.identity).collect::<Vec<_>>(), [&peer.identity]);
}

#[tokio::test]
async fn an_unbound_token_yields_a_name_made_from_the_key() {
    let world = World::start([entry(1, "t1", None)]).await;
    let key = new_key();
    let answer = world.enroll(&token(1), &key).await.expect("enrolled");
    let hash = Sha256Digest::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
    assert_eq!(answer.device.to_string(), format!("lab-{}", &hash.to_string()[..16]));
}

#[tokio::test]
async fn each_refusal_has_its_own_code() {
    let world = World::start([
        entry(1, "spent", None),
        Entry { proof: proof(2, Timestamp::now()), ..entry(2, "expired", None) },
        Entry { revoked: true, ..entry(3, "revoked", None) },
    ])
    .await;
    world.enroll(&token(1), &new_key()).await.expect("enrolled");
    for (n, status, code) in [
        (1, 409, codes::TOKEN_SPENT),
        (2, 403, codes::TOKEN_EXPIRED),
        (3, 403, codes::TOKEN_REVOKED),
        (4, 401, codes::TOKEN_UNKNOWN),
    ] {
        assert_eq!(refused(world.enroll(&token(n), &new_key()).await), (status, code.to_string()));
    }
    for bad in ["", "abc", &"g".repeat(64), &"a".repeat(63)] {
        assert_eq!(refused(world.enroll(bad, &new_key()).await), (400, codes::ENROLL_REQUEST.to_string()), "{bad}");
    }
}

#[tokio::test]
async fn a_device_that_is_there_before_the_history_enrolls_once_it_is_accepted() {
    let world = World::start([]).await;
    world.admissions.send_replace(None);
    let (token, key) = (token(1), new_key());
    let mut waiting = std::pin::pin!(world.enroll(&token, &key));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "there is nothing yet to judge the token by: {early:?}");
    world.say(|all| all.insert(entry(1, "t1", Some("edge-1"))));
    assert_eq!(waiting.await.expect("enrolled").device.as_str(), "edge-1");
}

#[tokio::test]
async fn an_accepted_history_without_any_enrollment_refuses_at_once() {
    let world = World::start([]).await;
    let begin = std::time::Instant::now();
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await), (401, codes::TOKEN_UNKNOWN.to_string()));
    assert!(begin.elapsed() < enroll::ACCEPT_TIME / 2, "nothing is waited for: {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_device_that_waits_in_vain_is_told_the_repositorys_condition() {
    let world = World::start([]).await;
    world.admissions.send_replace(None);
    let why = "secret.example has nothing";
    let condition = Condition::Stalled { commit: None, path: None, code: "BW-0221".to_owned(), why: why.to_owned() };
    let (url, branch, why) = (String::new(), "main".to_owned(), why.to_owned());
    let repository = Some(RepositoryView { url, branch, head: None, condition, why });
    world.views.send_replace(Arc::new(Views { repository, ..Views::default() }));
    let advertise = settings(world.dir.path(), None).advertise;
    let (store, tasks) = (&world.shared.store, TaskTracker::new());
    let settled = (SignedDuration::ZERO, world.shared.unsettled_until.clone());
    let used = UsedCertificates::load(store, &domain(), settled, (&tasks, &world.shutdown)).await.expect("it is empty");
    let error = enrollment(&world.shared, &domain(), advertise, Arc::default(), used).no_history();
    assert_eq!(error.code, codes::RECONCILER_BUSY);
    assert!(error.message.contains("Stalled (BW-0221)") && !error.message.contains("secret"), "{}", error.message);
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_never_quoted() {
    let world = World::start([]).await;
    let secret = token(9);
    for (body, status, code) in [
        (b"not JSON".to_vec(), 400, codes::ENROLL_REQUEST),
        (format!("{{\"token\":\"{secret}\"}}").into_bytes(), 400, codes::ENROLL_REQUEST),
        (format!("{{\"token\":\"{secret}\",\"csr\":\"x\"}}").into_bytes(), 400, codes::REQUEST_KEY),
        (vec![b' '; 64 * 1024 + 1], 413, codes::ENROLL_REQUEST),
    ] {
        let (found, error) = world.post(body).await.expect_err("refused");
        assert_eq!((found, error.code.as_str()), (status, code.as_str()));
        assert!(!error.message.contains(&secret));
    }
    let url = format!("https://localhost:{}{ENROLL_PATH}", world.bound.enroll.port());
    let got = http_client(world.client(None)).get(url).send().await.expect("an answer");
    assert_eq!((got.status().as_u16(), got.headers()["allow"].to_str().expect("text")), (405, "POST"));
}

#[tokio::test]
async fn the_same_key_gets_the_same_certificate_again_and_another_key_none() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let key = new_key();
    let first = world.enroll(&token(1), &key).await.expect("enrolled");
    let again = world.enroll(&token(1).to_uppercase(), &key).await.expect("the same again");
    assert_eq!(first, again);
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await).1, codes::TOKEN_SPENT.as_str());

    // The object store remembers what the database lost.
    forget(&world).await;
    assert_eq!(world.enroll(&token(1), &key).await.expect("the same again"), first);
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await).1, codes::TOKEN_SPENT.as_str());

    // A lost answer can be asked for after the token's time, by its key alone.
    world.say(|all| all.insert(Entry { proof: proof(1, Timestamp::now()), ..entry(1, "t1", Some("edge-1")) }));
    assert_eq!(world.enroll(&token(1), &key).await.expect("the same again"), first);
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await).1, codes::TOKEN_EXPIRED.as_str());

    // The database remembers what the object store lost.
    let record = format!("enrolled/{}", Sha256Digest::of(&[1; 32]));
    world.say(|all| all.insert(entry(1, "t1", Some("edge-1"))));
    for path in [record.clone(), format!("{record}.crt")] {
        world.shared.objects.delete(&Path::from(path)).await.expect("deleted");
    }
    assert_eq!(world.enroll(&token(1), &key).await.expect("the same again"), first);
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await).1, codes::TOKEN_SPENT.as_str());
}

#[tokio::test]
async fn a_void_token_enrolls_nobody_but_whose_answer_was_lost() {
    let world = World::start([entry(1, "t1", Some("edge-1")), entry(2, "t2", Some("edge-2"))]).await;
    let key = new_key();
    let first = world.enroll(&token(1), &key).await.expect("enrolled");
    world.void_tokens.send_replace(VoidTokens::UpTo(1));
    assert_eq!(world.enroll(&token(1), &key).await.expect("the same again"), first);
    for n in [1, 2] {
        let answer = refused(world.enroll(&token(n), &new_key()).await);
        assert_eq!(answer, (403, codes::TOKEN_VOID.to_string()), "whether it was spent is not said");
    }
    world.say(|all| all.insert(Entry { since: 2, ..entry(3, "t3", Some("edge-3")) }));
    world.enroll(&token(3), &new_key()).await.expect("listed after the loss");
    world.void_tokens.send_replace(VoidTokens::None);
    world.enroll(&token(2), &new_key()).await.expect("it was not spent by being refused");
}

async fn forget(world: &World) {
    world.shared.store.run("DELETE FROM tokens").await;
}

#[tokio::test]
async fn fifty_keys_that_use_one_token_at_once_get_one_certificate() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let keys: Vec<_> = (0..50).map(|_| new_key()).collect();
    let token = token(1);
    let answers = futures::future::join_all(keys.iter().map(|key| world.enroll(&token, key))).await;
    let (enrolled, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(enrolled.len(), 1);
    let codes: BTreeSet<_> = refusals.into_iter().map(|refusal| refused(refusal).1).collect();
    assert_eq!(codes, BTreeSet::from([codes::TOKEN_SPENT.to_string()]));
}

#[tokio::test]
async fn one_key_that_asks_many_times_at_once_gets_one_certificate() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let key = new_key();
    let token = token(1);
    let answers = futures::future::join_all((0..20).map(|_| world.enroll(&token, &key))).await;
    let certificates: BTreeSet<_> = answers.into_iter().map(|answer| answer.expect("enrolled").certificate).collect();
    assert_eq!(certificates.len(), 1);
}

#[tokio::test]
async fn a_use_that_ended_in_the_middle_goes_on_with_its_key_alone() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let key = new_key();
    let hash = Sha256Digest::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
    world.put(&format!("enrolled/{}", Sha256Digest::of(&[1; 32])), format!("{hash}\n")).await;
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await).1, codes::TOKEN_SPENT.as_str());
    // Nothing new comes of a token whose time is over.
    world.say(|all| all.insert(Entry { proof: proof(1, Timestamp::now()), ..entry(1, "t1", Some("edge-1")) }));
    assert_eq!(refused(world.enroll(&token(1), &key).await).1, codes::TOKEN_EXPIRED.as_str());
    world.say(|all| all.insert(entry(1, "t1", Some("edge-1"))));
    let first = world.enroll(&token(1), &key).await.expect("it is its own");
    assert_eq!(world.enroll(&token(1), &key).await.expect("the same again"), first);
}

#[tokio::test]
async fn a_torn_record_leaves_the_token_spent() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.put(&format!("enrolled/{}", Sha256Digest::of(&[1; 32])), "").await;
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await).1, codes::TOKEN_SPENT.as_str());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_recorded_comes_by_the_same_token_later() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    // A folder of the certificate's name that is not empty: the record can be made, the certificate cannot.
    let blocked = world.dir.path().join(format!("store/enrolled/{}.crt/x", Sha256Digest::of(&[1; 32])));
    std::fs::create_dir_all(&blocked).expect("a folder");
    let key = new_key();
    assert_eq!(refused(world.enroll(&token(1), &key).await), (500, codes::ISSUE_FAILED.to_string()));
    std::fs::remove_dir_all(blocked.parent().expect("a parent")).expect("removed");
    assert_eq!(refused(world.enroll(&token(1), &new_key()).await), (409, codes::TOKEN_SPENT.to_string()));
    world.enroll(&token(1), &key).await.expect("the store is mended");
}
