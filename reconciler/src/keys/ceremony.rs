//! What people do with keys: make them, draft the next root, sign it one after another, put it in force.
//!
//! A draft is a folder: the next root, and the new online keys where these change. Only the root travels to those who sign.
//! Putting it in force can be asked for again after a crash, and overwrites nothing that it has not kept.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tough::schema::{RoleType, Root};

use super::draft::{Change, Draft, DraftError, RootKey, Signatures, shown};
use super::{
    Chain, KeyError, MAX_ROOT, ONE, OnlineKeys, ROOT_JSON, SigningKey, root_file, version_of_root_file, write_new,
};

/// The files of the online keys.
const ONLINE: [&str; 3] = ["targets.pem", "snapshot.pem", "timestamp.pem"];
const ROOT_KEY: &str = "root.pem";
const ROOT_PUBLIC: &str = "root.pub";

/// What [`init`] made, beside the key files.
#[derive(Debug, Clone)]
pub struct InitializedKeys {
    /// `1.root.json`: to be published, and pinned by every agent.
    pub root_json: Vec<u8>,
}

/// Where root keys go, and how many of them sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeys {
    /// A folder for each key; best each with another person.
    pub dirs: Vec<PathBuf>,
    /// How many of them sign each root.
    pub threshold: NonZeroU64,
}

/// A draft and who has signed it.
#[derive(Debug, Clone)]
pub struct Drafted {
    /// The file that travels.
    pub path: PathBuf,
    /// What it holds.
    pub draft: Draft,
    /// Who has signed it; by its own keys alone where the root before is not here.
    pub signatures: Signatures,
}

/// Makes the root key in `root_dir` and the online keys in `online_dir`, and signs the first root (1 of 1) with it.
///
/// # Errors
/// When one of the files exists or cannot be written; nothing is ever overwritten.
pub fn init(root_dir: &Path, online_dir: &Path, now: Timestamp) -> Result<InitializedKeys, KeyError> {
    init_with(&RootKeys { dirs: vec![root_dir.to_owned()], threshold: ONE }, online_dir, now)
}

/// The same with several root keys.
///
/// # Errors
/// Also when there are fewer keys than must sign.
pub fn init_with(root: &RootKeys, online_dir: &Path, now: Timestamp) -> Result<InitializedKeys, KeyError> {
    let root_files = root.dirs.iter().flat_map(|dir| [dir.join(ROOT_KEY), dir.join(ROOT_PUBLIC)]);
    let online_files = ONLINE.into_iter().chain([ROOT_JSON]).map(|file| online_dir.join(file));
    if let Some(path) = root_files.chain(online_files).find(|path| path.exists()) {
        return Err(KeyError::Exists { path });
    }
    let (online, texts) = OnlineKeys::generate()?;
    let made = root.dirs.iter().map(|_| SigningKey::generate()).collect::<Result<Vec<_>, _>>()?;
    let public = made.iter().map(|(key, _)| key.to_root_key()).collect();
    let failed = |why| KeyError::Draft { path: online_dir.to_owned(), why };
    let mut draft = Draft::first(public, root.threshold, &online, now).map_err(failed)?;
    for (dir, (key, text)) in root.dirs.iter().zip(&made) {
        write_root_key(dir, key, text)?;
        draft.sign(key);
    }
    for (file, text) in ONLINE.iter().zip(texts) {
        write_new(&online_dir.join(file), text.as_bytes(), 0o600)?;
    }
    let root_json = draft.to_bytes();
    write_new(&online_dir.join(ROOT_JSON), &root_json, 0o644)?;
    Ok(InitializedKeys { root_json })
}

/// Makes a root key of a further person in `dir`: `root.pem`, which stays there, and `root.pub`, which is handed over.
///
/// # Errors
/// When there is one, or it cannot be written.
pub fn make_root_key(dir: &Path) -> Result<RootKey, KeyError> {
    let (key, text) = SigningKey::generate()?;
    write_root_key(dir, &key, &text)?;
    Ok(key.to_root_key())
}

fn write_root_key(dir: &Path, key: &SigningKey, text: &str) -> Result<(), KeyError> {
    write_new(&dir.join(ROOT_KEY), text.as_bytes(), 0o600)?;
    write_new(&dir.join(ROOT_PUBLIC), &key.to_root_key().to_json(), 0o644)
}

/// Reads a public root key: the file, or `root.pub` in the folder.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read_root_key(path: &Path) -> Result<RootKey, KeyError> {
    let path = if path.is_dir() { path.join(ROOT_PUBLIC) } else { path.to_owned() };
    let bytes = read(&path)?;
    RootKey::from_json(&bytes).ok_or_else(|| KeyError::NoKey { path, why: "it is no public Ed25519 key".to_owned() })
}

/// The newest root beside the online keys.
///
/// # Errors
/// When there is none, or the roots are no chain.
pub fn newest(online_dir: &Path) -> Result<Root, KeyError> {
    let failed = |why: String| KeyError::Chain { dir: online_dir.to_owned(), why };
    let chain = Chain::read(online_dir).map_err(|why| failed(why.to_string()))?;
    chain.newest().cloned().ok_or_else(|| failed(format!("{ROOT_JSON} is missing")))
}

/// Drafts the root that comes after the newest one beside the online keys, in the new folder `to`; with `new_online` also new
/// online keys, all three together: metadata of lower versions counts then, so that a lost key can be recovered from.
///
/// # Errors
/// When the change cannot be, the folder exists, or a file cannot be read or written.
pub fn begin(
    online_dir: &Path,
    to: &Path,
    (change, new_online): (&Change, bool),
    now: Timestamp,
) -> Result<Drafted, KeyError> {
    let newest = newest(online_dir)?;
    let online = new_online.then(OnlineKeys::generate).transpose()?;
    let draft = Draft::next(&newest, change, online.as_ref().map(|(keys, _)| keys), now)
        .map_err(|why| KeyError::Draft { path: online_dir.to_owned(), why })?;
    if to.exists() {
        return Err(KeyError::Exists { path: to.to_owned() });
    }
    for (file, text) in ONLINE.iter().zip(online.map(|(_, texts)| texts).iter().flatten()) {
        write_new(&to.join(file), text.as_bytes(), 0o600)?;
    }
    let path = to.join(root_file(draft.root().version));
    write_new(&path, &draft.to_bytes(), 0o644)?;
    let signatures = draft.signatures(Some(&newest));
    Ok(Drafted { path, draft, signatures })
}

/// Signs the root in this file with the key in `root_dir`.
///
/// # Errors
/// When one of them cannot be read, or the file cannot be written.
pub fn sign_draft(path: &Path, root_dir: &Path) -> Result<Drafted, KeyError> {
    let key = SigningKey::load(&root_dir.join(ROOT_KEY))?;
    let mut draft = read_draft(path)?;
    draft.sign(&key);
    replace(path, &draft.to_bytes(), 0o644)?;
    let signatures = draft.signatures(None);
    Ok(Drafted { path: path.to_owned(), draft, signatures })
}

/// Puts a draft in force: the root goes beside the online keys, from where the reconciler publishes it, and new online keys
/// take the place of the old ones, which are kept. `copies` are copies of the root that others signed.
///
/// # Errors
/// When too few have signed, another root has come in between, or a file cannot be read or written.
pub fn finish(dir: &Path, online_dir: &Path, copies: &[PathBuf]) -> Result<Drafted, KeyError> {
    let path = find_root(dir)?;
    let mut draft = read_draft(&path)?;
    for copy in copies {
        let other = read_draft(copy)?;
        draft.merge(&other).map_err(|why| KeyError::Draft { path: copy.clone(), why })?;
    }
    let failed = |why| KeyError::Draft { path: path.clone(), why };
    let newest = newest(online_dir)?;
    let version = draft.root().version;
    let there = online_dir.join(root_file(version));
    if there.exists() && read_draft(&there)?.is_same(&draft) {
        take_online_keys(online_dir)?;
        let signatures = draft.signatures(None);
        return Ok(Drafted { path: there, draft, signatures });
    }
    if version != newest.version.saturating_add(1) {
        return Err(failed(DraftError::NotNext { draft: version, newest: newest.version }));
    }
    let signatures = draft.signatures(Some(&newest));
    if !signatures.are_enough() {
        return Err(failed(DraftError::Unsigned(signatures)));
    }
    let bytes = draft.to_bytes();
    // What devices will do, once more by another way.
    let mut chain = Chain::read(online_dir).map_err(|why| failed(DraftError::NoRoot(why.to_string())))?;
    chain.push(&bytes).map_err(|why| failed(DraftError::NoRoot(why.to_string())))?;
    stage_online_keys(dir, online_dir, &draft)?;
    write_new(&there, &bytes, 0o644)?;
    take_online_keys(online_dir)?;
    Ok(Drafted { path: there, draft, signatures })
}

/// Keeps the online keys that end, and puts the new ones beside them, to take their place.
fn stage_online_keys(dir: &Path, online_dir: &Path, draft: &Draft) -> Result<(), KeyError> {
    if !ONLINE.iter().all(|file| dir.join(file).exists()) {
        return Ok(());
    }
    let (old, new) = (OnlineKeys::load(online_dir)?, OnlineKeys::load(dir)?);
    for ((file, (_, old)), (role, new)) in ONLINE.iter().zip(old.roles()).zip(new.roles()) {
        if !draft.root().roles.get(&role).is_some_and(|keys| keys.keyids.contains(new.id())) {
            return Err(KeyError::Draft { path: dir.join(file), why: DraftError::Another });
        }
        let held = online_dir.join(file);
        let kept = online_dir.join(format!("{}-{}.pem", file.trim_end_matches(".pem"), &shown(old.id())[..16]));
        match write_new(&kept, &super::read_private(&held)?, 0o600) {
            Err(KeyError::Exists { .. }) => {}
            other => other?,
        }
        replace(&online_dir.join(format!("{file}.next")), &super::read_private(&dir.join(file))?, 0o600)?;
    }
    Ok(())
}

/// New online keys that wait and that the newest root lists take their place. Others are of a draft that was never put in
/// force, and are removed; that draft has them still.
fn take_online_keys(online_dir: &Path) -> Result<(), KeyError> {
    let root = newest(online_dir)?;
    for (file, role) in ONLINE.iter().zip([RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp]) {
        let (waiting, place) = (online_dir.join(format!("{file}.next")), online_dir.join(file));
        if !waiting.exists() {
            continue;
        }
        let new = SigningKey::load(&waiting)?;
        let is_listed = root.roles.get(&role).is_some_and(|keys| keys.keyids.contains(new.id()));
        let done = if is_listed { std::fs::rename(&waiting, &place) } else { std::fs::remove_file(&waiting) };
        done.map_err(|source| KeyError::File { path: waiting, doing: "written", source })?;
    }
    sync(online_dir)
}

/// The one root in the folder of a draft.
fn find_root(dir: &Path) -> Result<PathBuf, KeyError> {
    let failed = |source| KeyError::File { path: dir.to_owned(), doing: "read", source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().filter(|name| version_of_root_file(name).is_some()).map(|name| dir.join(name)));
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(found) => {
            let why =
                DraftError::NoRoot(format!("the folder has {} files N.root.json, and a draft has one", found.len()));
            Err(KeyError::Draft { path: dir.to_owned(), why })
        }
    }
}

fn read_draft(path: &Path) -> Result<Draft, KeyError> {
    Draft::read(&read(path)?).map_err(|why| KeyError::Draft { path: path.to_owned(), why })
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), doing: "read", source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_ROOT).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}

fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), KeyError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut staged = tempfile::Builder::new().prefix(".").tempfile_in(dir)?;
        staged.write_all(content)?;
        staged.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        staged.as_file().sync_all()?;
        staged.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| KeyError::File { path: path.to_owned(), doing: "written", source })?;
    sync(dir)
}

fn sync(dir: &Path) -> Result<(), KeyError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| KeyError::File { path: dir.to_owned(), doing: "written", source })
}

impl SigningKey {
    fn to_root_key(&self) -> RootKey {
        RootKey { id: self.id.clone(), key: self.public() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    /// Three people of whom two sign, and the online keys.
    struct Ceremony {
        dir: tempfile::TempDir,
    }

    impl Ceremony {
        fn new() -> Self {
            let this = Self { dir: tempfile::tempdir().expect("a folder") };
            let dirs = ["ada", "bob", "eve"].map(|name| this.path(name)).to_vec();
            init_with(&RootKeys { dirs, threshold: two() }, &this.path("online"), now()).expect("keys");
            this
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn begin(&self, to: &str, change: &Change, new_online: bool) -> Result<PathBuf, KeyError> {
            Ok(begin(&self.path("online"), &self.path(to), (change, new_online), now())?.path)
        }

        fn finish(&self, draft: &str) -> Result<Drafted, KeyError> {
            finish(&self.path(draft), &self.path("online"), &[])
        }

        fn ids(&self) -> Vec<String> {
            OnlineKeys::load(&self.path("online")).expect("keys").roles().map(|(_, key)| shown(key.id())).to_vec()
        }
    }

    fn two() -> NonZeroU64 {
        NonZeroU64::new(2).expect("not zero")
    }

    fn unsigned(result: Result<Drafted, KeyError>) -> Signatures {
        match result {
            Err(KeyError::Draft { why: DraftError::Unsigned(signatures), .. }) => signatures,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_of_three_put_new_online_keys_in_force_and_one_does_not() {
        let site = Ceremony::new();
        let before = site.ids();
        let draft = site.begin("draft", &Change::default(), true).expect("drafted");
        assert_eq!(unsigned(site.finish("draft")), Signatures { before: (0, 2), own: (0, 2) });
        for _ in 0..2 {
            sign_draft(&draft, &site.path("ada")).expect("signed");
        }
        assert_eq!(unsigned(site.finish("draft")).before, (1, 2), "a person counts once");
        assert_eq!((site.ids(), newest(&site.path("online")).expect("a root").version), (before.clone(), ONE));
        sign_draft(&draft, &site.path("eve")).expect("signed");
        site.finish("draft").expect("in force");
        let root = newest(&site.path("online")).expect("a chain");
        assert_eq!(root.version, two());
        for (role, key) in OnlineKeys::load(&site.path("online")).expect("keys").roles() {
            assert_eq!(root.roles[&role].keyids, [key.id().clone()]);
        }
        for (file, id) in ONLINE.iter().zip(&before) {
            let kept = site.path("online").join(format!("{}-{}.pem", file.trim_end_matches(".pem"), &id[..16]));
            assert_eq!(&shown(SigningKey::load(&kept).expect("kept").id()), id);
        }
        assert_ne!(site.ids(), before);
        site.finish("draft").expect("asking again does no harm");
    }

    #[test]
    fn people_on_different_machines_sign_copies() {
        let site = Ceremony::new();
        let draft = site.begin("draft", &Change::default(), false).expect("drafted");
        let copies = ["ada", "bob"].map(|name| {
            let copy = site.path(&format!("{name}.json"));
            std::fs::copy(&draft, &copy).expect("copied");
            sign_draft(&copy, &site.path(name)).expect("signed");
            copy
        });
        assert_eq!(unsigned(site.finish("draft")).own, (0, 2));
        let other = site.begin("other", &Change { threshold: Some(ONE), ..Change::default() }, false).expect("drafted");
        let mixed = finish(&site.path("draft"), &site.path("online"), &[copies[0].clone(), other]);
        assert!(matches!(mixed, Err(KeyError::Draft { why: DraftError::Another, .. })), "{mixed:?}");
        finish(&site.path("draft"), &site.path("online"), &copies).expect("in force");
        assert!(
            matches!(site.finish("other"), Err(KeyError::Draft { why: DraftError::NotNext { .. }, .. })),
            "another one came in between"
        );
    }

    #[test]
    fn a_person_is_replaced_and_old_and_new_people_sign() {
        let site = Ceremony::new();
        let eve = read_root_key(&site.path("eve")).expect("a key").id();
        let dan = make_root_key(&site.path("dan")).expect("made");
        assert_eq!(read_root_key(&site.path("dan").join("root.pub")).expect("a key"), dan);
        let change = Change { add: vec![dan.clone()], remove: vec![eve[..8].to_owned()], ..Change::default() };
        let draft = site.begin("draft", &change, false).expect("drafted");
        for name in ["dan", "ada"] {
            sign_draft(&draft, &site.path(name)).expect("signed");
        }
        assert_eq!(unsigned(site.finish("draft")), Signatures { before: (1, 2), own: (2, 2) });
        sign_draft(&draft, &site.path("eve")).expect("signed");
        site.finish("draft").expect("in force: who leaves may sign for the last time");
        let root = newest(&site.path("online")).expect("a chain");
        let keys = &root.roles[&tough::schema::RoleType::Root].keyids;
        assert!(keys.contains(&dan.id) && keys.len() == 3 && !root.keys.keys().any(|id| shown(id) == eve));
    }

    #[test]
    fn changes_that_cannot_be_are_refused() {
        let site = Ceremony::new();
        let refused = |change: &Change| match site.begin("draft", change, false) {
            Err(KeyError::Draft { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        let four = NonZeroU64::new(4).expect("not zero");
        let threshold = |n| Change { threshold: Some(n), ..Change::default() };
        assert_eq!(refused(&threshold(four)), DraftError::Threshold { threshold: four, keys: 3 });
        let remove = |id: &str| Change { remove: vec![id.to_owned()], ..Change::default() };
        assert_eq!(refused(&remove("zz")), DraftError::NoSuchKey("zz".to_owned()));
        assert_eq!(refused(&remove("")), DraftError::NoSuchKey(String::new()), "all three begin with nothing");
        assert!(!site.path("draft").exists());
        site.begin("draft", &threshold(ONE), false).expect("drafted");
        assert!(matches!(site.begin("draft", &threshold(ONE), false), Err(KeyError::Exists { .. })));
        let none = RootKeys { dirs: vec![site.path("a")], threshold: two() };
        assert!(matches!(init_with(&none, &site.path("b"), now()), Err(KeyError::Draft { .. })));
        assert!(!site.path("a").exists() && !site.path("b").exists(), "nothing is left of it");
    }

    #[test]
    fn a_finish_that_broke_off_is_finished_by_the_next() {
        let site = Ceremony::new();
        let draft = site.begin("draft", &Change::default(), true).expect("drafted");
        for name in ["ada", "bob"] {
            sign_draft(&draft, &site.path(name)).expect("signed");
        }
        let (before, online) = (site.ids(), site.path("online"));
        site.finish("draft").expect("in force");
        let after = site.ids();
        // The root is there, and the keys still wait.
        for (file, id) in ONLINE.iter().zip(&before) {
            let kept = online.join(format!("{}-{}.pem", file.trim_end_matches(".pem"), &id[..16]));
            std::fs::rename(online.join(file), online.join(format!("{file}.next"))).expect("renamed");
            std::fs::copy(kept, online.join(file)).expect("copied");
        }
        assert_eq!(site.ids(), before);
        site.finish("draft").expect("finished");
        assert_eq!(site.ids(), after);
    }

    #[test]
    fn new_online_keys_of_a_draft_that_was_given_up_are_not_taken() {
        let site = Ceremony::new();
        let (before, online) = (site.ids(), site.path("online"));
        let first = site.begin("first", &Change::default(), true).expect("drafted");
        let second =
            site.begin("second", &Change { threshold: Some(ONE), ..Change::default() }, false).expect("drafted");
        for (draft, name) in [(&first, "ada"), (&first, "bob"), (&second, "ada"), (&second, "bob")] {
            sign_draft(draft, &site.path(name)).expect("signed");
        }
        // The first one breaks off before its root is there.
        let draft = read_draft(&first).expect("a draft");
        stage_online_keys(&site.path("first"), &online, &draft).expect("staged");
        let waiting = ONLINE.map(|file| online.join(format!("{file}.next")));
        assert!(waiting.iter().all(|path| path.exists()) && !online.join("2.root.json").exists());

        site.finish("second").expect("in force");
        assert_eq!(site.ids(), before, "the newest root lists these");
        assert!(!waiting.iter().any(|path| path.exists()), "nothing waits for a later ceremony");
        let root = newest(&online).expect("a chain");
        for (role, key) in OnlineKeys::load(&online).expect("keys").roles() {
            assert_eq!(root.roles[&role].keyids, [key.id().clone()]);
        }
        assert!(matches!(site.finish("first"), Err(KeyError::Draft { why: DraftError::NotNext { .. }, .. })));
    }
}
