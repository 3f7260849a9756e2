//! The next root while people sign it: what it changes, who signed, and whom it lacks. Pure but for the keys.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU64;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use jiff::Timestamp;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::Key;
use tough::schema::{Role as _, RoleKeys, RoleType, Root, Signature, Signed};

use bellwether_schemas::lives::ROOT;

use super::{ONE, OnlineKeys, SPEC_VERSION, SigningKey};

/// Root keys that a root may have. Devices verify all signatures of each.
const MAX_ROOT_KEYS: usize = 32;

/// A public root key, as its holder hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKey {
    pub(super) id: Decoded<Hex>,
    pub(super) key: Key,
}

impl RootKey {
    /// Reads what [`RootKey::to_json`] wrote; `None` for anything but an Ed25519 key.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let key: Key = serde_json::from_slice(bytes).ok()?;
        let is_ours = matches!(key, Key::Ed25519 { .. });
        is_ours.then(|| key.key_id().ok()).flatten().map(|id| Self { id, key })
    }

    /// The key in TUF's form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.key).expect("a key has string keys")
    }

    /// Its TUF key id, in hexadecimal.
    pub fn id(&self) -> String {
        shown(&self.id)
    }
}

/// What the next root changes. Its version and its end change always.
#[derive(Debug, Default)]
pub struct Change {
    /// Further root keys.
    pub add: Vec<RootKey>,
    /// Root keys that end, by their ids or the beginnings of these.
    pub remove: Vec<String>,
    /// How many root keys sign each root from then on.
    pub threshold: Option<NonZeroU64>,
}

/// Why no draft can be made, signed or finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DraftError {
    #[error("no root key begins with {0}, or several do")]
    NoSuchKey(String),
    #[error("{threshold} of {keys} root keys cannot sign: the threshold must be between 1 and the number of keys")]
    Threshold { threshold: NonZeroU64, keys: usize },
    #[error("{0} root keys are more than the {MAX_ROOT_KEYS} that are allowed")]
    TooMany(usize),
    #[error("the file is no root: {0}")]
    NoRoot(String),
    #[error("the file is another root than the draft")]
    Another,
    #[error("{0}")]
    Unsigned(Signatures),
    #[error("root {draft} does not come after root {newest}, which is the newest one beside the online keys")]
    NotNext { draft: NonZeroU64, newest: NonZeroU64 },
}

/// How many have signed a draft, of how many that must: by the keys of the root before, and by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signatures {
    /// By keys of the root before: there are, there must be.
    pub before: (u64, u64),
    /// By keys of the root itself.
    pub own: (u64, u64),
}

impl Signatures {
    /// Whether it counts for devices.
    pub fn are_enough(&self) -> bool {
        self.before.0 >= self.before.1 && self.own.0 >= self.own.1
    }
}

impl std::fmt::Display for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((before, before_of), (own, own_of)) = (self.before, self.own);
        write!(f, "signed by {before} of {before_of} keys of the root before and by {own} of {own_of} of its own")
    }
}

/// The next root with the signatures that it has so far.
#[derive(Debug, Clone)]
pub struct Draft(Signed<Root>);

impl Draft {
    /// The first root: these root keys, of which `threshold` sign each further root, and the online keys.
    pub(super) fn first(
        keys: Vec<RootKey>,
        threshold: NonZeroU64,
        online: &OnlineKeys,
        now: Timestamp,
    ) -> Result<Self, DraftError> {
        let mut root = Root {
            spec_version: SPEC_VERSION.to_owned(),
            consistent_snapshot: true,
            version: ONE,
            expires: ROOT.ends(now),
            keys: HashMap::new(),
            roles: HashMap::new(),
            _extra: HashMap::new(),
        };
        set_root_keys(&mut root, keys, threshold)?;
        set_online_keys(&mut root, online);
        Ok(Self(Signed { signed: root, signatures: Vec::new() }))
    }

    /// The root after `newest`.
    pub(super) fn next(
        newest: &Root,
        change: &Change,
        online: Option<&OnlineKeys>,
        now: Timestamp,
    ) -> Result<Self, DraftError> {
        let mut root = newest.clone();
        root.version = newest.version.saturating_add(1);
        root.expires = ROOT.ends(now);
        let held = newest.roles.get(&RoleType::Root);
        let ids = held.map(|role| role.keyids.clone()).unwrap_or_default();
        let mut keys: Vec<RootKey> =
            ids.into_iter().filter_map(|id| Some(RootKey { key: newest.keys.get(&id)?.clone(), id })).collect();
        for prefix in &change.remove {
            let found: Vec<_> = keys.iter().filter(|key| key.id().starts_with(prefix.as_str())).collect();
            let [found] = found.as_slice() else { return Err(DraftError::NoSuchKey(prefix.clone())) };
            let id = found.id.clone();
            keys.retain(|key| key.id != id);
        }
        let added = change.add.iter().filter(|added| !keys.contains(added)).cloned().collect::<Vec<_>>();
        keys.extend(added);
        let threshold = change.threshold.or(held.map(|role| role.threshold)).unwrap_or(ONE);
        set_root_keys(&mut root, keys, threshold)?;
        if let Some(online) = online {
            set_online_keys(&mut root, online);
        }
        Ok(Self(Signed { signed: root, signatures: Vec::new() }))
    }

    /// Reads a draft or a root.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, DraftError> {
        serde_json::from_slice(bytes).map(Self).map_err(|why| DraftError::NoRoot(why.to_string()))
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("a root has string keys")
    }

    /// What it says.
    pub fn root(&self) -> &Root {
        &self.0.signed
    }

    /// Signs it. A key signs once.
    pub(crate) fn sign(&mut self, key: &SigningKey) {
        let message = self.0.signed.canonical_form().expect("a root that was read has a canonical form");
        self.0.signatures.retain(|signature| signature.keyid != key.id);
        self.0.signatures.push(Signature { keyid: key.id.clone(), sig: key.sign_bytes(&message).into() });
    }

    /// Takes the signatures of another copy over.
    ///
    /// # Errors
    /// When the copy is of another root.
    pub fn merge(&mut self, other: &Self) -> Result<(), DraftError> {
        if other.0.signed != self.0.signed {
            return Err(DraftError::Another);
        }
        for signature in &other.0.signatures {
            if !self.0.signatures.iter().any(|held| held.keyid == signature.keyid) {
                self.0.signatures.push(signature.clone());
            }
        }
        Ok(())
    }

    /// How many have signed it, of those that must; `before` is the root before it.
    pub fn signatures(&self, before: Option<&Root>) -> Signatures {
        let by = |root: &Root| {
            let Some(role) = root.roles.get(&RoleType::Root) else { return (0, 1) };
            let message = self.0.signed.canonical_form().unwrap_or_default();
            let good = |id: &&Decoded<Hex>| {
                let by_key = self.0.signatures.iter().find(|signature| signature.keyid == **id);
                let key = root.keys.get(*id);
                by_key.zip(key).is_some_and(|(signature, key)| verify(key, &message, &signature.sig))
            };
            let signed = role.keyids.iter().collect::<BTreeSet<_>>().into_iter().filter(good).count();
            (u64::try_from(signed).unwrap_or(u64::MAX), role.threshold.get())
        };
        Signatures { before: before.map_or((0, 0), by), own: by(&self.0.signed) }
    }

    /// Whether both say the same, whoever signed.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.signed == other.0.signed
    }
}

fn set_root_keys(root: &mut Root, keys: Vec<RootKey>, threshold: NonZeroU64) -> Result<(), DraftError> {
    if keys.len() > MAX_ROOT_KEYS {
        return Err(DraftError::TooMany(keys.len()));
    }
    if usize::try_from(threshold.get()).map_or(true, |needed| needed > keys.len()) {
        return Err(DraftError::Threshold { threshold, keys: keys.len() });
    }
    let keyids = keys.iter().map(|key| key.id.clone()).collect();
    root.keys.extend(keys.into_iter().map(|key| (key.id, key.key)));
    root.roles.insert(RoleType::Root, RoleKeys { keyids, threshold, _extra: HashMap::new() });
    drop_unused(root);
    Ok(())
}

fn set_online_keys(root: &mut Root, online: &OnlineKeys) {
    for (role, key) in online.roles() {
        root.keys.insert(key.id.clone(), key.public());
        let keys = RoleKeys { keyids: vec![key.id.clone()], threshold: ONE, _extra: HashMap::new() };
        root.roles.insert(role, keys);
    }
    drop_unused(root);
}

/// All keys that we make are Ed25519.
fn verify(key: &Key, message: &[u8], signature: &[u8]) -> bool {
    let Key::Ed25519 { keyval, .. } = key else { return false };
    UnparsedPublicKey::new(&ED25519, &*keyval.public).verify(message, signature).is_ok()
}

/// Keys that no role names any more.
fn drop_unused(root: &mut Root) {
    let used: BTreeSet<_> = root.roles.values().flat_map(|role| role.keyids.clone()).collect();
    root.keys.retain(|id, _| used.contains(id));
}

pub(super) fn shown(id: &Decoded<Hex>) -> String {
    hex::encode(id.as_ref())
}
