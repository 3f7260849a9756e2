//! The device spec: what one device shall run.
//!
//! `spec.json` is RFC 8785 canonical JSON with defaults left out. Its SHA-256 is its digest and its TUF target hash.
//! Neither the device nor the version is in it, so devices with equal content share one file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::Sha256Digest;
use crate::manifest::{ApiVersion, HttpUrl, Probe};
use crate::name::ArtifactName;

/// The greatest length of `spec.json` in bytes.
pub const MAX_SPEC: usize = 4 << 20;

/// The TUF target name under which a device finds its spec.
pub const SPEC_TARGET: &str = "spec.json";

/// What one device shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceSpec {
    /// Always `bellwether/v1`.
    pub api_version: ApiVersion,
    /// Files to place, in the order of the template; no path twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<SpecFile>,
    /// Artifacts to place, in the order of the template; no name and no destination twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<SpecArtifact>,
    /// Probes that must pass, in the order of the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
}

/// One file of a spec. Exactly one of `content` and `source` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpecFile {
    /// Where it is placed.
    pub path: DevicePath,
    /// The content itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The target whose content is placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TargetRef>,
    /// Permission bits.
    #[serde(default, skip_serializing_if = "FileMode::is_default")]
    pub mode: FileMode,
    /// Owner's user name; the agent's own if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Owner's group name; the agent's own if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether a file that somebody else placed may be replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
}

/// One artifact of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpecArtifact {
    /// Its name, and that of its file.
    pub name: ArtifactName,
    /// The target with its content.
    pub source: TargetRef,
    /// The directory whose `current` and `previous` links switch.
    pub dest: DevicePath,
    /// How many earlier versions stay, at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub keep: u32,
}

/// A target by its content. Its TUF name is [`TargetRef::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRef {
    /// SHA-256 of the content.
    pub sha256: Sha256Digest,
    /// Length of the content in bytes.
    pub length: u64,
}

impl TargetRef {
    /// A reference to `content`.
    pub fn to(content: &[u8]) -> Self {
        Self { sha256: Sha256Digest::of(content), length: content.len() as u64 }
    }

    /// The TUF target name, made from the content so that equal contents are one target: flat, `[a-z0-9-]`.
    pub fn name(&self) -> String {
        format!("blob-{}", &self.sha256.to_string()[..16])
    }
}

/// Why bytes are not a spec.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSpec {
    /// More bytes than [`MAX_SPEC`].
    #[error("spec of {0} bytes, at most {MAX_SPEC} are allowed")]
    TooLong(usize),
    /// Not JSON of the expected form.
    #[error("not a device spec")]
    Malformed(#[source] serde_json::Error),
    /// JSON of the expected form, but not in its canonical text.
    #[error("spec is not canonical JSON (RFC 8785) with defaults left out")]
    NotCanonical,
    /// A file with both or none of `content` and `source`, a path twice, a probe without exactly one action, or one that
    /// asks what is no URL for it.
    #[error("spec contradicts itself: {0}")]
    Contradiction(String),
}

impl DeviceSpec {
    /// The canonical text, which is what is stored, signed and hashed.
    pub fn canonical(&self) -> Vec<u8> {
        serde_json_canonicalizer::to_vec(self).expect("a spec has string keys and integers only")
    }

    /// The spec's digest: SHA-256 of its canonical text.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.canonical())
    }

    /// Reads a spec from its canonical text, and refuses every other text of the same value.
    pub fn from_canonical(text: &[u8]) -> Result<Self, InvalidSpec> {
        if text.len() > MAX_SPEC {
            return Err(InvalidSpec::TooLong(text.len()));
        }
        let spec: Self = serde_json::from_slice(text).map_err(InvalidSpec::Malformed)?;
        if spec.canonical() != text {
            return Err(InvalidSpec::NotCanonical);
        }
        spec.check_structure()?;
        Ok(spec)
    }

    /// Checks what the types alone do not say.
    pub fn check(&self) -> Result<(), InvalidSpec> {
        self.check_structure()?;
        // A template may render to a URL that no device asks. A device that is sent one says so itself.
        for http in self.probes.iter().filter_map(|probe| probe.http.as_ref()) {
            if let Err(why) = HttpUrl::parse(&http.url) {
                return Err(InvalidSpec::Contradiction(format!("probe http {:?}: {why}", http.url)));
            }
        }
        Ok(())
    }

    fn check_structure(&self) -> Result<(), InvalidSpec> {
        let fail = |what: String| Err(InvalidSpec::Contradiction(what));
        let mut paths = std::collections::BTreeSet::new();
        let mut names = std::collections::BTreeSet::new();
        for file in &self.files {
            if file.content.is_some() == file.source.is_some() {
                return fail(format!("file {} needs exactly one of content and source", file.path));
            }
            if !paths.insert(&file.path) {
                return fail(format!("path {} is there twice", file.path));
            }
        }
        for artifact in &self.artifacts {
            if !names.insert(&artifact.name) || !paths.insert(&artifact.dest) {
                return fail(format!("artifact {} or its destination {} is there twice", artifact.name, artifact.dest));
            }
            if artifact.keep == 0 {
                return fail(format!("artifact {} must keep at least one earlier version", artifact.name));
            }
        }
        // A path below another one would need the same name to be a file and a directory.
        for path in &paths {
            if let Some(parent) = path.ancestors().find(|parent| paths.iter().any(|p| p.as_str() == *parent)) {
                return fail(format!("{path} lies below {parent}, which is itself placed"));
            }
        }
        if self.probes.iter().any(|probe| probe.action().is_none()) {
            return fail("a probe needs exactly one of exec, http and file".to_owned());
        }
        Ok(())
    }

    /// Every target that the spec needs beside itself, each once.
    pub fn targets(&self) -> impl Iterator<Item = TargetRef> {
        let files = self.files.iter().filter_map(|file| file.source);
        let all: std::collections::BTreeSet<_> = files.chain(self.artifacts.iter().map(|a| a.source)).collect();
        all.into_iter()
    }
}

/// An absolute path on a device: `/`-separated, without empty, `.` or `..` parts, control characters or a final `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DevicePath(String);

/// Why a text is not a path on a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a device path: absolute, at most 1024 bytes, without empty, . or .. parts and control characters"
)]
pub struct InvalidDevicePath(String);

impl DevicePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its leading `/`, to be opened beneath a root directory.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// Every proper ancestor below `/`, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let cut = rest.rfind('/').filter(|cut| *cut > 0)?;
            rest = &rest[..cut];
            Some(rest)
        })
    }
}

impl TryFrom<String> for DevicePath {
    type Error = InvalidDevicePath;
    fn try_from(text: String) -> Result<Self, InvalidDevicePath> {
        let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
        let good = text.len() <= 1024
            && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part))
            && !text.chars().any(char::is_control);
        if good { Ok(Self(text)) } else { Err(InvalidDevicePath(text)) }
    }
}

impl FromStr for DevicePath {
    type Err = InvalidDevicePath;
    fn from_str(text: &str) -> Result<Self, InvalidDevicePath> {
        text.to_owned().try_into()
    }
}

impl From<DevicePath> for String {
    fn from(path: DevicePath) -> String {
        path.0
    }
}

impl fmt::Display for DevicePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Permission bits of a file, 0 to 0777; 0644 by default. Written as four octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u16);

/// Why a text is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mode: three octal digits, with or without a leading 0; setuid, setgid and sticky are refused")]
pub struct InvalidFileMode(String);

impl FileMode {
    /// The bits, 0 to 0o777.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self(0o644)
    }
}

impl FromStr for FileMode {
    type Err = InvalidFileMode;
    fn from_str(text: &str) -> Result<Self, InvalidFileMode> {
        let digits = if text.len() == 4 { text.strip_prefix('0') } else { Some(text) };
        digits
            .filter(|d| d.len() == 3 && d.bytes().all(|c| (b'0'..=b'7').contains(&c)))
            .and_then(|d| u16::from_str_radix(d, 8).ok())
            .map(Self)
            .ok_or_else(|| InvalidFileMode(text.to_owned()))
    }
}

impl TryFrom<String> for FileMode {
    type Error = InvalidFileMode;
    fn try_from(text: String) -> Result<Self, InvalidFileMode> {
        text.parse()
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> String {
        format!("{:04o}", mode.0)
    }
}

fn one() -> u32 {
    1
}

fn is_one(value: &u32) -> bool {
    *value == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::HttpProbe;

    fn spec(files: &[(&str, &str)]) -> DeviceSpec {
        let file = |(path, content): &(&str, &str)| SpecFile {
            path: path.parse().expect("a device path"),
            content: Some((*content).to_owned()),
            source: None,
            mode: FileMode::default(),
            owner: None,
            group: None,
            overwrite: false,
        };
        DeviceSpec {
            api_version: ApiVersion::V1,
            files: files.iter().map(file).collect(),
            artifacts: Vec::new(),
            probes: Vec::new(),
        }
    }

    #[test]
    fn canonical_text_and_digest_are_fixed_for_ever() {
        let spec = spec(&[("/opt/bellwether/motd", "hello\n")]);
        let text = br#"{"apiVersion":"bellwether/v1","files":[{"content":"hello\n","path":"/opt/bellwether/motd"}]}"#;
        assert_eq!(spec.canonical(), text);
        assert_eq!(spec.digest(), Sha256Digest::of(text));
        assert_eq!(DeviceSpec::from_canonical(text).expect("canonical"), spec);
    }

    #[test]
    fn another_text_of_the_same_value_is_refused() {
        let spaced = br#"{"apiVersion": "bellwether/v1"}"#;
        assert!(matches!(DeviceSpec::from_canonical(spaced), Err(InvalidSpec::NotCanonical)));
        let with_default = br#"{"apiVersion":"bellwether/v1","files":[{"content":"x","mode":"0644","path":"/a"}]}"#;
        assert!(matches!(DeviceSpec::from_canonical(with_default), Err(InvalidSpec::NotCanonical)));
        let unknown = br#"{"apiVersion":"bellwether/v1","more":1}"#;
        assert!(matches!(DeviceSpec::from_canonical(unknown), Err(InvalidSpec::Malformed(_))));
    }

    #[test]
    fn contradictions_are_refused() {
        for files in [&[("/a", "1"), ("/a", "2")][..], &[("/a", "1"), ("/a/b", "2")]] {
            assert!(matches!(spec(files).check(), Err(InvalidSpec::Contradiction(_))), "{files:?}");
        }
        assert!(spec(&[("/a", "1"), ("/ab", "2")]).check().is_ok());
    }

    #[test]
    fn a_url_that_no_device_asks_is_refused() {
        let probing = |url: &str| DeviceSpec {
            probes: vec![Probe {
                http: Some(HttpProbe { url: url.to_owned(), expect_status: None }),
                ..Probe::default()
            }],
            ..spec(&[])
        };
        assert!(probing("http://127.0.0.1:8080/healthz").check().is_ok());
        let unusual = probing("https://127.0.0.1/");
        let said = unusual.check().expect_err("it is refused").to_string();
        assert!(said.contains("https is not supported yet"), "{said}");
        assert!(
            DeviceSpec::from_canonical(&unusual.canonical()).is_ok(),
            "what reads it says which probe it cannot run"
        );
    }

    #[test]
    fn device_paths_cannot_escape() {
        for bad in ["", "/", "a", "/a/", "//a", "/a//b", "/./a", "/a/..", "/a\0", "/a\nb"] {
            assert!(bad.parse::<DevicePath>().is_err(), "{bad:?}");
        }
        let path: DevicePath = "/a/b/c".parse().expect("a path");
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["/a/b", "/a"]);
    }

    #[test]
    fn modes_have_no_special_bits() {
        assert_eq!("0755".parse::<FileMode>().map(FileMode::bits), Ok(0o755));
        assert_eq!("600".parse::<FileMode>().map(FileMode::bits), Ok(0o600));
        for bad in ["", "4755", "1777", "0o755", "75", "0888", "07777", "+755"] {
            assert!(bad.parse::<FileMode>().is_err(), "{bad}");
        }
    }
}
