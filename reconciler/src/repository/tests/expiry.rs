//! What a clock that is years ahead of the history means.

use super::*;

const IN_2027: &str = "2027-01-01T00:00:00Z";
const NEVER: &str = "2100-01-01T00:00:00Z";

fn in_2030() -> Timestamp {
    "2030-06-01T00:00:00Z".parse().expect("a time")
}

/// The manifest of a policy that expires.
fn expiring(version: u64, at: &str) -> String {
    policy(version, "").replace(NEVER, at)
}

/// A server whose introduction's policy expired in 2027.
fn begin() -> Site {
    let mut git = Git::default();
    git.land(&[("trust/policy.yaml", &expiring(1, IN_2027)), ("fleets/edge.yaml", EDGE)]);
    Site { introduction: git.introduction(), git }
}

fn assert_nothing_counts(repository: &Repository, says: &str) {
    assert_eq!((head_of(repository), repository.head_record()), (None, None));
    assert!(repository.declared().is_none() && repository.landings().next().is_none());
    assert!(
        matches!(repository.condition(), Condition::Stalled { code, why, .. }
            if *code == codes::POLICY_EXPIRED.as_str() && why.contains("expired at 2027") && why.contains(says)),
        "{:?}",
        repository.condition()
    );
}

#[test]
fn a_first_start_accepts_nothing_whose_policy_has_expired() {
    let mut site = begin();
    let first = site.git.tip.expect("a commit");
    let second = site.fleet("two");
    site.git.checkout(first);
    let bad = site.git.land(&[("trust/policy.yaml", &expiring(1, NEVER))]);
    for (tip, says) in [(first, ""), (second, ""), (bad, "version")] {
        let mut repository = site.on(site.git.clone_of(tip));
        for _ in 0..2 {
            let moved = repository.advance(&tip, in_2030());
            assert!(moved.landings.is_empty());
            assert_nothing_counts(&repository, says);
        }
    }
}

#[test]
fn a_renewal_ends_it_and_brings_the_whole_history() {
    let mut site = begin();
    let expired = site.fleet("two");
    let mut repository = site.on(site.git.objects.clone());
    repository.advance(&expired, in_2030());
    assert_nothing_counts(&repository, "");
    let renewed = site.git.land(&[("trust/policy.yaml", &expiring(2, NEVER))]);
    repository.reopen(SharedObjects::new(site.git.objects.clone()));
    let moved = repository.advance(&renewed, in_2030());
    assert_eq!((head_of(&repository), numbers(&moved.landings)), (Some(renewed), vec![1, 2, 3]));
    assert_eq!(repository.condition(), &Condition::Verified);
}

#[test]
fn a_first_start_in_2030_accepts_what_was_accepted_in_2026() {
    let mut site = begin();
    site.fleet("two");
    site.git.land(&[("trust/policy.yaml", &expiring(2, "2028-01-01T00:00:00Z"))]);
    site.fleet("three");
    let tip = site.git.land(&[("trust/policy.yaml", &expiring(3, NEVER))]);
    let heads = ["2026-06-01T00:00:00Z".parse().expect("a time"), in_2030()].map(|now| {
        let mut repository = site.on(site.git.clone_of(tip));
        let moved = repository.advance(&tip, now);
        assert_eq!((numbers(&moved.landings), repository.condition()), (vec![1, 2, 3, 4, 5], &Condition::Verified));
        head_of(&repository)
    });
    assert_eq!(heads, [Some(tip), Some(tip)]);
}

#[test]
fn what_was_accepted_before_its_policy_expired_stays() {
    let mut site = begin();
    let (first, second) = (site.git.tip.expect("a commit"), site.fleet("two"));
    for (database, record) in [(site.row(first), None), (None, site.row(first)), (site.row(first), site.row(first))] {
        let mut repository = site.on(site.git.clone_of(second));
        repository.restore(database, record, in_2030());
        let moved = repository.advance(&second, in_2030());
        assert_eq!((head_of(&repository), moved.landings.len()), (Some(first), 0));
        let code = codes::POLICY_EXPIRED.as_str();
        assert!(matches!(repository.condition(), Condition::Stalled { code: found, .. } if found == code));
    }
    // Also one that a device kept, when all else is lost and the branch was refused already.
    let mut repository = site.on(site.git.clone_of(second));
    repository.advance(&second, in_2030());
    assert_nothing_counts(&repository, "");
    let moved = repository.take_anchor(&site.record(first), in_2030());
    assert_eq!((head_of(&repository), numbers(&moved.landings)), (Some(first), vec![1]));
}

#[test]
fn an_object_that_fails_on_the_way_leaves_no_expired_head_either() {
    let mut site = begin();
    site.fleet("two");
    let tip = site.git.land(&[("trust/policy.yaml", &expiring(2, NEVER))]);
    let one = objects::object_id(ObjectKind::Blob, site.git.file("fleets/edge.yaml").as_bytes());
    let failing = Failing { objects: site.git.objects.clone(), one, reads: AtomicU32::new(1) };
    let mut repository = Repository::new(SharedObjects::new(failing), site.introduction, "main");
    let moved = repository.advance(&tip, in_2030());
    assert!(moved.landings.is_empty());
    assert_nothing_counts(&repository, codes::OBJECT_MISSING.as_str());
    repository.reopen(SharedObjects::new(site.git.objects.clone()));
    repository.advance(&tip, in_2030());
    assert_eq!((head_of(&repository), repository.condition()), (Some(tip), &Condition::Verified));
}
