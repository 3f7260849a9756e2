//! Names in trees: which of them mean the same on every system.

use bellwether_schemas::codes;
use unicode_normalization::UnicodeNormalization as _;

use super::commit::printable;
use super::refusal::Fault;

const MAX_NAME: usize = 255;

/// Refuses a name that could mean something else on another system.
pub(super) fn check(raw: &[u8]) -> Result<(), Fault> {
    if is_plain(raw) {
        return Ok(());
    }
    let odd = |why: &str| Err(Fault::new(codes::TREE_ENTRY, format!("has a name that {why}")).path(shown(raw)));
    let Ok(name) = std::str::from_utf8(raw) else { return odd("is not UTF-8") };
    if name.is_empty() || name.len() > MAX_NAME {
        return odd("is empty or longer than 255 bytes");
    }
    if is_special(name) {
        let why = "has a name that is special to a file system or to git";
        return Err(Fault::new(codes::TREE_NAME, why).path(shown(raw)));
    }
    if name.contains(['/', '\\']) {
        return odd("contains a separator");
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return odd("contains control or invisible characters");
    }
    Ok(())
}

/// Nearly every name: letters, digits, `-`, `_` and `.`, the last neither first nor last.
fn is_plain(raw: &[u8]) -> bool {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    raw.len() <= MAX_NAME
        && raw.iter().all(plain)
        && raw.first().is_some_and(|c| *c != b'.')
        && raw.last().is_some_and(|c| *c != b'.')
}

/// `.` and `..`, and what a file system may take for `.git` (git's `verify_path`): upper case, the short name of NTFS,
/// dots, spaces and streams that Windows drops at the end, characters that HFS+ leaves out.
fn is_special(name: &str) -> bool {
    let visible: String = name.chars().filter(|c| !is_invisible(*c)).collect();
    let stem = visible.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    stem.is_empty() && !visible.starts_with(':')
        || stem.eq_ignore_ascii_case(".git")
        || stem.eq_ignore_ascii_case("git~1")
        || visible.nfkc().collect::<String>().eq_ignore_ascii_case(".git")
}

/// Characters that show nothing or change the direction of text; some file systems ignore them in names.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether the name is its own folded form for certain.
pub(super) fn is_folded(raw: &[u8]) -> bool {
    raw.iter().all(|c| c.is_ascii() && !c.is_ascii_uppercase())
}

/// The form that names have in common which a file system may hold to be one: without accents' variants and case.
pub(super) fn fold(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    text.nfkd().flat_map(char::to_lowercase).nfkd().collect()
}

/// A name or path for people.
pub(super) fn shown(raw: &[u8]) -> String {
    printable(&String::from_utf8_lossy(raw))
}
