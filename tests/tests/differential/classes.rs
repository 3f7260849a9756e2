//! Where git accepts and this verifier does not, and why that is so. What fits in no class fails the test.

use bellwether_schemas::{Code, codes};

/// A kind of disagreement.
pub(crate) struct Class {
    /// What git does.
    pub(crate) name: &'static str,
    /// With what the verifier refuses.
    codes: &'static [Code],
    /// The only mutations and signers that may lead to it; none: any.
    only: &'static [&'static str],
    /// Why the verifier does not.
    pub(crate) why: &'static str,
}

const fn class(name: &'static str, codes: &'static [Code], only: &'static [&'static str], why: &'static str) -> Class {
    Class { name, codes, only, why }
}

/// All of them.
pub(crate) const CLASSES: &[Class] = &[
    class(
        "git takes headers that it does not know",
        &[codes::COMMIT_HEADER_UNKNOWN],
        &[],
        "what is signed must mean the same to every program, and nobody can say what an unknown header means",
    ),
    class(
        "git takes a header twice",
        &[codes::COMMIT_HEADER_TWICE],
        &[],
        "of two trees, authors or committers each program could read another",
    ),
    class(
        "git takes headers, and the signature among them, in another order",
        &[codes::COMMIT_HEADER_MISPLACED],
        &[],
        "programs that read in the order in which git writes would see another commit",
    ),
    class(
        "git leaves out every signature header, and its helper reads the first signature",
        &[codes::COMMIT_TWO_SIGNATURES],
        &[],
        "programs differ in which of several signatures they check",
    ),
    class(
        "git takes a NUL",
        &[codes::COMMIT_NUL],
        &[],
        "some programs stop reading there, and would see less than was signed",
    ),
    class(
        "git takes ids, names, dates, folds and ends of headers that it would not write",
        &[codes::COMMIT_MALFORMED],
        &[],
        "one commit, one way to write it: what git does not write, no other program reads for certain",
    ),
    class(
        "git verify-commit looks at the signature only, not at trees and parents",
        &[codes::OBJECT_MISSING, codes::INTRODUCTION_OFF_BRANCH],
        &[
            "signed with a folded header",
            "signed with a header twice",
            "signed with an unknown header",
            "signed with another tree or parent",
            "signed with headers in another order",
            "the signature elsewhere",
            "insert a header",
            "drop a line",
        ],
        "a landing stands on the accepted head and holds a tree that can be read",
    ),
    class(
        "ssh-keygen takes RSA of 2048 bits",
        // The second is said of a merge that such a key signed.
        &[codes::SIGNATURE_UNSUPPORTED, codes::MERGE_UNCLEAN],
        &["rsa-2048"],
        "keys that a policy may list have 3072 bits at least",
    ),
    class(
        "ssh-keygen and gpg read armour loosely: other white space, text around it, bits beyond the last byte, no end",
        &[codes::SIGNATURE_NOT_CANONICAL, codes::SIGNATURE_INVALID, codes::SIGNATURE_UNSUPPORTED],
        &[
            "drop a line",
            "flip a byte",
            "flip a byte of the armour",
            "insert bytes",
            "other line endings",
            "repeat a line",
            "swap two lines",
            "the armour written otherwise",
            "the signature folded otherwise",
        ],
        "one signature, one way to write it",
    ),
    class(
        "ssh-keygen does not look at what is reserved in a signature",
        &[codes::SIGNATURE_NOT_CANONICAL, codes::SIGNATURE_INVALID],
        &["a blob written otherwise", "flip a byte in the signature"],
        "what the format reserves is empty (PROTOCOL.sshsig); bytes that nobody reads are refused",
    ),
    class(
        "ssh-keygen refuses versions of the format above its own only, and takes 0",
        &[codes::SIGNATURE_UNSUPPORTED],
        &["flip a byte in the signature"],
        "the format has one version, 1 (PROTOCOL.sshsig), and a signature is written in one way",
    ),
];

/// The class of a disagreement.
pub(crate) fn classify(mutation: &str, signer: &str, code: Code) -> Option<&'static Class> {
    let may = |class: &&Class| class.only.is_empty() || class.only.contains(&mutation) || class.only.contains(&signer);
    CLASSES.iter().filter(may).find(|class| class.codes.contains(&code))
}
