//! gitsign signatures: a CMS message by a key that lived for minutes, whose certificate names who signed, and the entry
//! of the transparency log that says when.
//!
//! Everything is checked against the pinned trusted root, by the time that the log signed; there is no network and no
//! clock (docs/decisions/0011). Only what `gitsign` writes with `rekorMode: offline` carries the entry.

mod cms;
mod fulcio;
pub(super) mod rekor;
mod root;

use bellwether_schemas::manifest::GitsignIdentity;
use sha2::{Digest as _, Sha256};

use super::super::refusal::Fault;
use super::armour::Armour;
use super::invalid;

pub(super) use root::SigstoreRoot;

/// As `gitsign` writes it.
const ARMOUR: Armour =
    Armour { begin: "-----BEGIN SIGNED MESSAGE-----", end: "-----END SIGNED MESSAGE-----", width: 64 };

/// Whether a signature says that it is of this kind.
pub(super) fn is(text: &str) -> bool {
    text.starts_with(ARMOUR.begin)
}

/// Checks an armoured signature over `payload`, and returns whose it is.
pub(super) fn verify(text: &str, payload: &[u8], root: &SigstoreRoot) -> Result<GitsignIdentity, Fault> {
    let bytes = ARMOUR.decode(ARMOUR.body(text)?)?;
    let message = cms::Message::parse(&bytes)?;
    if message.digest != Sha256::digest(payload).as_slice() {
        return Err(invalid("the gitsign signature is not over this commit"));
    }
    let leaf = fulcio::Leaf::parse(&message.certificate)?;
    leaf.verify(&message.signed, &message.signature)?;
    let signed_at = rekor::verify(&message, root)?;
    leaf.check(root, signed_at)?;
    leaf.identity()
}
