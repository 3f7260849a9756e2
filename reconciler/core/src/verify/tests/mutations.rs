//! A commit that was altered in any way is never accepted.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::objects::read;
use crate::verify::Commit;

/// A repository, and two commits that could be its second landing.
struct Signed {
    repository: Repository,
    history: VerifiedHistory,
    one: Vec<u8>,
    other: Vec<u8>,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let (mut repository, history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let one = repository.commit(&[*first.id()], Some(BOB));
    repository.put(FLEET, "v3");
    let other = repository.commit(&[*first.id()], Some(ADA));
    let bytes = |id| read(&repository.objects, &id, ObjectKind::Commit).expect("just written");
    let (one, other) = (bytes(one), bytes(other));
    Signed { repository, history, one, other }
});

fn accepted(raw: &[u8]) -> bool {
    let mut objects = SIGNED.repository.objects.clone();
    let tip = objects.insert(ObjectKind::Commit, raw);
    !SIGNED.history.clone().advance(&objects, &tip, NOW).landings.is_empty()
}

/// The same signature written in other lines is the same signature.
fn says_the_same(a: &[u8], b: &[u8]) -> bool {
    let read =
        |raw: &[u8]| Commit::parse(raw, 20).ok().map(|c| (c.payload, c.signature.map(|text| text.replace('\n', ""))));
    read(a) == read(b)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes(at in any::<prop::sample::Index>(), mask in 1..=255_u8) {
        let mut raw = SIGNED.one.clone();
        let original = raw.clone();
        let at = at.index(raw.len());
        raw[at] ^= mask;
        prop_assert!(!accepted(&raw) || says_the_same(&original, &raw), "byte {at} ^ {mask}");
    }

    #[test]
    fn removed_and_repeated_lines(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), remove in any::<bool>()) {
        let raw = &SIGNED.one;
        let mut lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
        let line = lines[from.index(lines.len())];
        if remove {
            lines.remove(from.index(lines.len()));
        } else {
            lines.insert(to.index(lines.len()), line);
        }
        let altered = lines.concat();
        prop_assert!(altered == *raw || !accepted(&altered));
    }

    #[test]
    fn inserted_text(at in any::<prop::sample::Index>(), text in "[ -~\n]{1,12}") {
        let raw = &SIGNED.one;
        let at = at.index(raw.len());
        let altered = [&raw[..at], text.as_bytes(), &raw[at..]].concat();
        prop_assert!(!accepted(&altered) || says_the_same(raw, &altered));
    }
}

#[test]
fn the_untouched_commit_is_accepted() {
    assert!(accepted(&SIGNED.one) && accepted(&SIGNED.other));
}

#[test]
fn swapped_and_doubled_signatures() {
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).expect("text");
    let (one, other) = (text(&SIGNED.one), text(&SIGNED.other));
    let header = |raw: &str| {
        let start = raw.find("gpgsig ").expect("a signature");
        let end = raw.find("-----END SSH SIGNATURE-----\n").expect("a signature") + 28;
        raw[start..end].to_owned()
    };
    let (mine, theirs) = (header(&one), header(&other));
    for altered in [
        one.replace(&mine, &theirs),
        one.replace(&mine, &format!("{mine}{theirs}")),
        one.replace(&mine, &format!("{theirs}{mine}")),
        one.replace(&mine, &format!("{mine}{mine}")),
        one.replace(&mine, ""),
        one.replace(&mine, "").replacen("\n\n", &format!("\n\n{mine}"), 1),
        one.replace("gpgsig", "gpgsig-sha256"),
        one.replace("gpgsig", "GPGSIG"),
    ] {
        assert_ne!(altered, one);
        assert!(!accepted(altered.as_bytes()), "{altered}");
    }
}
