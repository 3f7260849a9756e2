//! Commits, read strictly: what this accepts, git and every other reader understand in the same way.
//!
//! Header order as git writes it (`commit_tree_extended` in git's commit.c): tree, parents, author, committer, then
//! `encoding`, `mergetag`, `change-id` and one signature. Unknown headers are refused, because no one can say what they mean.

use std::ops::Range;

use bellwether_schemas::{CommitId, ObjectId, codes};
use jiff::Timestamp;

use super::refusal::Fault;

/// A commit as its bytes say. Whether it is signed well, and by whom, is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The root tree.
    pub tree: ObjectId,
    /// The parents, in order.
    pub parents: Vec<CommitId>,
    /// The committer's date, which the committer chose.
    pub committed: Timestamp,
    /// The first line of the message, without control characters, at most 200 characters.
    pub summary: String,
    /// The signature header's value, without its continuation spaces.
    pub signature: Option<String>,
    /// What a signature is over: the commit without its signature header.
    pub payload: Vec<u8>,
}

/// One header with its continuation lines, and where it stands.
struct Header<'a> {
    name: &'a [u8],
    value: &'a [u8],
    continued: bool,
    range: Range<usize>,
}

fn malformed(why: impl Into<String>) -> Fault {
    Fault::new(codes::COMMIT_MALFORMED, why)
}

/// The name of the signature header in repositories whose ids have `id_length` bytes (gitformat-signature).
pub(crate) const fn signature_header(id_length: usize) -> &'static str {
    if id_length == 32 { "gpgsig-sha256" } else { "gpgsig" }
}

impl Commit {
    /// Reads a commit object's content. `id_length` is the length of the repository's ids in bytes: 20 or 32.
    ///
    /// # Errors
    /// `BW-0203` for everything that git would not have written.
    pub fn parse(raw: &[u8], id_length: usize) -> Result<Self, Fault> {
        if memchr::memchr(0, raw).is_some() {
            return Err(Fault::new(codes::COMMIT_NUL, "the commit contains a NUL byte"));
        }
        let end = memchr::memmem::find(raw, b"\n\n");
        let end = end.ok_or_else(|| malformed("no empty line ends the commit's headers"))? + 1;
        let headers = split_headers(&raw[..end])?;
        let mut rest = headers.iter().peekable();
        let mut next = |name: &str| rest.next_if(|header| header.name == name.as_bytes());
        let tree = single_id(next("tree").ok_or_else(|| misplaced("tree", &headers))?, id_length)?;
        let mut parents = Vec::new();
        while let Some(parent) = next("parent") {
            parents.push(single_id(parent, id_length)?);
        }
        date_of(next("author").ok_or_else(|| misplaced("author", &headers))?)?;
        let committed = date_of(next("committer").ok_or_else(|| misplaced("committer", &headers))?)?;
        let signature = extra_headers(rest, signature_header(id_length))?;
        let (signature, payload) = match signature {
            Some(header) => {
                (Some(unfold(header.value)?), [&raw[..header.range.start], &raw[header.range.end..]].concat())
            }
            None => (None, raw.to_vec()),
        };
        Ok(Self { tree, parents, committed, summary: summary(&raw[end + 1..]), signature, payload })
    }

    /// Gives up what only a check of the signature needs, most of its memory.
    pub(crate) fn forget_signature(&mut self) {
        self.signature = None;
        self.payload = Vec::new();
    }

    /// Bytes of memory, about.
    pub(crate) fn size(&self) -> usize {
        let signature = self.signature.as_ref().map_or(0, String::len);
        size_of::<Self>() + size_of_val(&*self.parents) + self.summary.len() + signature + self.payload.len()
    }
}

/// Why the header `name` is not where it is expected: perhaps another stands there for the second time.
fn misplaced(name: &str, headers: &[Header<'_>]) -> Fault {
    let count = |name: &str| headers.iter().filter(|header| header.name == name.as_bytes()).count();
    match ["tree", "author", "committer"].into_iter().find(|name| count(name) > 1) {
        Some(doubled) => twice(doubled),
        None if count(name) == 0 => malformed(format!("the header {name} is missing")),
        None => Fault::new(codes::COMMIT_HEADER_MISPLACED, format!("the header {name} is not where git writes it")),
    }
}

fn twice(name: &str) -> Fault {
    Fault::new(codes::COMMIT_HEADER_TWICE, format!("the header {name} is there twice"))
}

/// Checks what follows the committer, and returns the signature header: the last, where git puts it. Anywhere else it
/// could be moved without breaking it, and the same signed content would have several ids.
fn extra_headers<'a, 'h: 'a>(
    rest: impl Iterator<Item = &'a Header<'h>>,
    signature_name: &str,
) -> Result<Option<&'a Header<'h>>, Fault> {
    let (mut signature, mut encoding, mut change_id) = (None, false, false);
    for header in rest {
        let name = String::from_utf8_lossy(header.name);
        match header.name {
            b"tree" | b"author" | b"committer" => return Err(twice(&name)),
            b"parent" => {
                let why = "a header parent is not where git writes it";
                return Err(Fault::new(codes::COMMIT_HEADER_MISPLACED, why));
            }
            b"gpgsig" | b"gpgsig-sha256" if signature.is_some() => {
                return Err(Fault::new(codes::COMMIT_TWO_SIGNATURES, "the commit has more than one signature"));
            }
            _ if signature.is_some() => {
                let why = format!("the header {:?} follows the signature", printable(&name));
                return Err(Fault::new(codes::COMMIT_HEADER_MISPLACED, why));
            }
            name if name == signature_name.as_bytes() => signature = Some(header),
            b"encoding" | b"change-id" => {
                let seen = if header.name == b"encoding" { &mut encoding } else { &mut change_id };
                if std::mem::replace(seen, true) {
                    return Err(twice(&name));
                }
                if header.continued {
                    return Err(malformed(format!("the header {name} has several lines")));
                }
            }
            b"mergetag" => {}
            _ => {
                let why = format!("the header {:?} is not known", printable(&name));
                return Err(Fault::new(codes::COMMIT_HEADER_UNKNOWN, why));
            }
        }
    }
    Ok(signature)
}

/// Splits `text`, of which every line ends with a newline, into headers.
fn split_headers(text: &[u8]) -> Result<Vec<Header<'_>>, Fault> {
    let mut headers: Vec<Header<'_>> = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let length = text[start..].iter().position(|byte| *byte == b'\n');
        let end = start + length.ok_or_else(|| malformed("a header is cut off"))?;
        let line = &text[start..end];
        if line.first() == Some(&b' ') {
            let last = headers.last_mut().ok_or_else(|| malformed("the commit begins with a continuation line"))?;
            last.value = &text[last.range.start + last.name.len() + 1..end];
            last.continued = true;
            last.range.end = end + 1;
        } else {
            let space = line.iter().position(|byte| *byte == b' ');
            let space = space.ok_or_else(|| malformed("a header has no value"))?;
            let (name, value) = (&line[..space], &line[space + 1..]);
            headers.push(Header { name, value, continued: false, range: start..end + 1 });
        }
        start = end + 1;
    }
    Ok(headers)
}

fn single_id(header: &Header<'_>, id_length: usize) -> Result<ObjectId, Fault> {
    parse_id(header.value, id_length)
        .filter(|_| !header.continued)
        .ok_or_else(|| malformed(format!("the header {} holds no object id", String::from_utf8_lossy(header.name))))
}

fn parse_id(text: &[u8], id_length: usize) -> Option<ObjectId> {
    let id: ObjectId = std::str::from_utf8(text).ok()?.parse().ok()?;
    (id.as_bytes().len() == id_length).then_some(id)
}

/// The date of `NAME <EMAIL> SECONDS ±HHMM`.
fn date_of(header: &Header<'_>) -> Result<Timestamp, Fault> {
    let fault = || malformed(format!("the {} is not NAME <EMAIL> DATE", String::from_utf8_lossy(header.name)));
    let value = header.value;
    let count = |wanted: u8| value.iter().filter(|byte| **byte == wanted).count();
    if header.continued || count(b'<') != 1 || count(b'>') != 1 {
        return Err(fault());
    }
    let open = value.iter().position(|byte| *byte == b'<').ok_or_else(fault)?;
    let close = value.iter().position(|byte| *byte == b'>').ok_or_else(fault)?;
    if close < open || (open > 0 && value[open - 1] != b' ') {
        return Err(fault());
    }
    let date = value[close + 1..].strip_prefix(b" ").and_then(|date| std::str::from_utf8(date).ok());
    let (seconds, zone) = date.and_then(|date| date.split_once(' ')).ok_or_else(fault)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let zone_digits = zone.strip_prefix(['+', '-']).ok_or_else(fault)?;
    if !digits(seconds)
        || (seconds.len() > 1 && seconds.starts_with('0'))
        || zone_digits.len() != 4
        || !digits(zone_digits)
    {
        return Err(fault());
    }
    let seconds = seconds.parse().map_err(|_| fault())?;
    Timestamp::from_second(seconds).map_err(|_| fault())
}

/// Takes the space off each continuation line.
fn unfold(value: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(value).map_err(|_| malformed("the signature is not text"))?;
    Ok(text.replace("\n ", "\n"))
}

fn summary(message: &[u8]) -> String {
    let line = message.split(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    printable(&String::from_utf8_lossy(line))
}

pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).take(200).collect()
}

/// What is read of a commit that is not judged, and may hold headers that a landing must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skeleton {
    pub(crate) tree: ObjectId,
    pub(crate) parents: Vec<CommitId>,
    /// As how many commits it counts where they are limited: a large one as more than one.
    pub(crate) weight: usize,
}

/// Bytes of a commit that count as one commit. One of git's with a signature has 1 to 4 KiB.
const BYTES_OF_ONE: usize = 4 << 10;

impl Skeleton {
    /// Reads tree and parents, as git does.
    pub(crate) fn parse(raw: &[u8], id_length: usize) -> Result<Self, Fault> {
        let mut lines = raw.split(|byte| *byte == b'\n');
        let tree = lines.next().and_then(|line| line.strip_prefix(b"tree "));
        let tree =
            tree.and_then(|id| parse_id(id, id_length)).ok_or_else(|| malformed("the first header is no tree"))?;
        let parents = lines
            .map_while(|line| line.strip_prefix(b"parent "))
            .map(|id| parse_id(id, id_length).ok_or_else(|| malformed("the header parent holds no object id")))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { tree, parents, weight: (raw.len() / BYTES_OF_ONE).max(1) })
    }

    /// The same where all parents are followed.
    pub(crate) fn cost(&self) -> usize {
        self.weight.max(self.parents.len())
    }
}

/// The value of the trailer `name` in a message: the last of that name in its last paragraph (git-interpret-trailers).
pub(crate) fn trailer<'a>(raw: &'a [u8], name: &str) -> Option<&'a str> {
    let message = &raw[memchr::memmem::find(raw, b"\n\n")? + 2..];
    let message = std::str::from_utf8(message).ok()?.trim_end();
    let (_, paragraph) = message.rsplit_once("\n\n")?;
    paragraph.lines().rev().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
