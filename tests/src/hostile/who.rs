//! The people of the histories, and their keys.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};

/// Whoever signs a commit: a key, or nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// An owner and operator.
    Alice,
    /// An operator.
    Bob,
    /// An owner and operator, by her first key.
    Carol,
    /// Carol by her second key.
    CarolsLaptop,
    /// An operator, until a policy removes her.
    Mallory,
    /// A program that the policy knows as one.
    Bot,
    /// A hosting service's key, which no policy knows.
    Forge,
    /// A commit without signature.
    Nobody,
}

impl Who {
    /// Everybody.
    pub const ALL: [Self; 8] =
        [Self::Alice, Self::Bob, Self::Carol, Self::CarolsLaptop, Self::Mallory, Self::Bot, Self::Forge, Self::Nobody];

    /// The key; each is the same in each run.
    pub fn key(self) -> Option<&'static PrivateKey> {
        KEYS.get(&self)
    }

    /// The public key as a policy lists it.
    ///
    /// # Panics
    /// For nobody.
    pub fn key_line(self) -> String {
        self.key().expect("somebody").public_key().to_openssh().expect("a plain key has a line")
    }
}

static KEYS: LazyLock<BTreeMap<Who, PrivateKey>> = LazyLock::new(|| {
    let key = |(who, seed)| {
        let pair = Ed25519Keypair::from_seed(&[seed; 32]);
        (who, PrivateKey::new(KeypairData::Ed25519(pair), "").expect("a plain key"))
    };
    Who::ALL.into_iter().filter(|who| *who != Who::Nobody).zip(1..).map(key).collect()
});
