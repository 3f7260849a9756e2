//! Terms of a field selector, by the names that JSON has for what they look at.

use super::Fault;
use super::token::{Kind, Tokens};
use crate::api::{DeviceView, Summary, Updated, WaitingOn};
use crate::codes;
use crate::id::CommitId;
use crate::name::{DeviceName, EnrollmentName, EntryId, FleetName};
use crate::yaml::nearest;

/// The fewest digits that name a commit.
const SHORTEST_COMMIT: usize = 7;

/// What is expected of a name.
const NAME: &str = "a name: lower-case letters, digits and inner hyphens";

/// What a term looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Its name.
    Name,
    /// Its fleet.
    Fleet,
    /// The enrollment it came by.
    Enrollment,
    /// The entry of that.
    Entry,
    /// The version that runs, as text: `v412`.
    Version,
    /// That version's landing number.
    Landing,
    /// That version's commit, or its first digits.
    Commit,
    /// How it is.
    Summary,
    /// How it stands to its target.
    Updated,
    /// The kind of reason why it is not at its target.
    ReasonKind,
    /// The reason's code, or that of the failure it tells of.
    ReasonCode,
    /// A commit that the reason names, or its first digits.
    ReasonCommit,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 12] = [
        Self::Name,
        Self::Fleet,
        Self::Enrollment,
        Self::Entry,
        Self::Version,
        Self::Landing,
        Self::Commit,
        Self::Summary,
        Self::Updated,
        Self::ReasonKind,
        Self::ReasonCode,
        Self::ReasonCommit,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Fleet => "fleet",
            Self::Enrollment => "enrollment",
            Self::Entry => "entry",
            Self::Version => "version",
            Self::Landing => "version.landing",
            Self::Commit => "version.commit",
            Self::Summary => "status.summary.status",
            Self::Updated => "status.updated.status",
            Self::ReasonKind => "reason.kind",
            Self::ReasonCode => "reason.code",
            Self::ReasonCommit => "reason.commit",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// Checks a value that this field can have.
    fn check(self, value: &str) -> Result<(), String> {
        let one_of = |words: &mut dyn Iterator<Item = &'static str>| {
            let words: Vec<&str> = words.collect();
            if words.contains(&value) {
                return Ok(());
            }
            let meant = nearest(value, words.iter().copied());
            let meant = meant.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
            Err(format!("found {value:?}, expected one of {}{meant}", words.join(", ")))
        };
        let must = |fits: bool, expected: &str| match fits {
            true => Ok(()),
            false => Err(format!("found {value:?}, expected {expected}")),
        };
        // Values are compared as text, so another way to write one would choose nothing.
        let as_written = |written: Option<String>, expected: &str| match written {
            Some(written) if written == value => Ok(()),
            Some(written) => Err(format!("found {value:?}, which is written {written}")),
            None => must(false, expected),
        };
        match self {
            Self::Name => must(value.parse::<DeviceName>().is_ok(), NAME),
            Self::Fleet => must(value.parse::<FleetName>().is_ok(), NAME),
            Self::Enrollment => must(value.parse::<EnrollmentName>().is_ok(), NAME),
            Self::Entry => must(value.parse::<EntryId>().is_ok(), NAME),
            Self::Version => as_written(version(value), "a version, such as v412 or v412.1"),
            Self::Landing => as_written(landing(value), "a landing number, such as 412"),
            Self::Commit | Self::ReasonCommit => {
                let digits = value.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
                let length = (SHORTEST_COMMIT..=64).contains(&value.len());
                must(digits && length, "a commit: its first 7 to 64 digits, in lower case")
            }
            Self::Summary => one_of(&mut Summary::ALL.iter().map(|word| word.as_str())),
            Self::Updated => one_of(&mut Updated::ALL.iter().map(|word| word.as_str())),
            Self::ReasonKind => one_of(&mut WaitingOn::KINDS.iter().copied()),
            Self::ReasonCode => {
                let known = codes::explain(value).is_some_and(|known| known.code.as_str() == value);
                must(known, "a code of this release, such as BW-0301 (bellwether explain lists them)")
            }
        }
    }

    /// What a device has there: nothing, a value, or several.
    fn values(self, device: &DeviceView) -> Vec<String> {
        let one = |value: &dyn std::fmt::Display| vec![value.to_string()];
        let reason = device.reason.as_ref();
        match self {
            Self::Name => one(&device.name),
            Self::Fleet => device.fleet.iter().map(ToString::to_string).collect(),
            Self::Enrollment => one(&device.enrollment),
            Self::Entry => one(&device.entry),
            Self::Version => device.version.iter().map(ToString::to_string).collect(),
            Self::Landing => device.version.iter().map(|version| version.landing.to_string()).collect(),
            Self::Commit => device.version.iter().map(|version| version.commit.to_string()).collect(),
            Self::Summary => one(&device.status.summary.status),
            Self::Updated => one(&device.status.updated.status),
            Self::ReasonKind => reason.map(|reason| reason.kind().to_owned()).into_iter().collect(),
            Self::ReasonCode => {
                let failure = match reason {
                    Some(WaitingOn::Failed { failure: Some(failure), .. }) => Some(failure.code.clone()),
                    _ => None,
                };
                reason.and_then(WaitingOn::code).map(|code| code.to_string()).into_iter().chain(failure).collect()
            }
            Self::ReasonCommit => {
                let missing = device.conflict.iter().flat_map(|conflict| &conflict.missing);
                let named = reason.and_then(commit_of).into_iter().chain(missing.map(|missing| missing.commit));
                named.map(|commit| commit.to_string()).collect()
            }
        }
    }
}

/// The commit that a reason names.
fn commit_of(reason: &WaitingOn) -> Option<CommitId> {
    match reason {
        WaitingOn::Gate { commit, .. } | WaitingOn::Halted { commit, .. } | WaitingOn::Lookup { commit } => {
            Some(*commit)
        }
        WaitingOn::Paused { commit, .. } => *commit,
        _ => None,
    }
}

/// A landing number, as it is written.
fn landing(text: &str) -> Option<String> {
    let number: u64 = number(text)?;
    (number > 0).then(|| number.to_string())
}

/// A version, as it is written.
fn version(text: &str) -> Option<String> {
    let numbers = text.strip_prefix('v')?;
    let (first, revision) = numbers.split_once('.').map_or((numbers, "0"), |(first, revision)| (first, revision));
    let first = landing(first)?;
    match number::<u32>(revision)? {
        0 => Some(format!("v{first}")),
        revision => Some(format!("v{first}.{revision}")),
    }
}

/// A number in digits alone.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|c| c.is_ascii_digit()))
}

/// One term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldTerm {
    field: Field,
    equal: bool,
    /// The empty text is what a device has that has nothing there.
    value: String,
}

impl FieldTerm {
    pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Self, Fault> {
        let (name, at) = tokens.word("the name of a field")?;
        let field = Field::named(name).ok_or_else(|| Fault::new(at, unknown(name)))?;
        let equal = match tokens.next() {
            Some((Kind::Equal, _)) => true,
            Some((Kind::NotEqual, _)) => false,
            Some((found, at)) => return Err(Fault::new(at, format!("found {found}, expected =, == or !="))),
            None => return Err(tokens.ended("=, == or !=")),
        };
        let value = match tokens.peek() {
            None | Some(Kind::Comma) => String::new(),
            Some(_) => {
                let (word, at) = tokens.word("a value")?;
                field.check(word).map_err(|problem| Fault::new(at, format!("{name}: {problem}")))?;
                word.to_owned()
            }
        };
        Ok(Self { field, equal, value })
    }

    pub(super) fn matches(&self, device: &DeviceView) -> bool {
        let values = self.field.values(device);
        let is = match self.field {
            _ if self.value.is_empty() => values.is_empty(),
            Field::Commit | Field::ReasonCommit => values.iter().any(|value| value.starts_with(&self.value)),
            _ => values.contains(&self.value),
        };
        is == self.equal
    }
}

fn unknown(name: &str) -> String {
    let names = || Field::ALL.iter().map(|field| field.as_str());
    // `status.summary` and `summary` mean the longer name.
    let meant = nearest(name, names()).or_else(|| names().find(|known| known.split('.').any(|part| part == name)));
    let meant = meant.or_else(|| names().find(|known| known.starts_with(&format!("{name}."))));
    match meant {
        Some(meant) => format!("there is no field {name:?}; did you mean {meant}?"),
        None => format!("there is no field {name:?}; there are {}", names().collect::<Vec<_>>().join(", ")),
    }
}
