//! Kind Fleet: which devices, and what they shall run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, NotYet, Vars, forms};
use crate::id::Sha256Digest;
use crate::name::ArtifactName;
use crate::quantity::Seconds;

/// Devices chosen by labels, and what they shall run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fleet {
    /// Which devices; an empty selector selects none. A device may be in one fleet only.
    pub selector: LabelSelector,
    /// Values for templates, as `{{ vars.<key> }}`; a Device may override them key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "forms::Vars", extend("default" = {}))]
    pub vars: Vars,
    /// What the devices shall run. A change of it rolls out as the Rollout of the same name says.
    pub template: Template,
    /// What a device that leaves the fleet does with what it runs. So far it keeps it.
    #[serde(default)]
    pub on_leave: OnLeave,
    /// What an agent does about files that somebody else changed. So far nothing: they are not reported yet.
    #[serde(default)]
    pub drift: Drift,
}

impl Fleet {
    /// The fleet of one that a Device's own template makes: no label leads into it, and the device brings its variables.
    pub fn of_one(template: Template) -> Self {
        let (selector, vars) = (LabelSelector::default(), Vars::new());
        Self { selector, vars, template, on_leave: OnLeave::default(), drift: Drift::default() }
    }
}

/// What happens on a device that no fleet selects any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnLeave {
    /// It keeps what it runs.
    #[default]
    Keep,
    /// It removes what was placed. Not supported yet.
    #[schemars(skip)]
    Remove,
}

/// What an agent does about files that somebody else changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Drift {
    /// It reports them. They are not reported yet.
    #[default]
    Report,
    /// It restores them. Not supported yet.
    #[schemars(skip)]
    Restore,
}

/// What a device shall run. Strings may use `{{ device.name }}`, `{{ labels.<key> }}`, `{{ vars.<key> }}` and `{{ fleet }}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Template {
    /// Files to place. What is not in the list any more is removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = []))]
    pub files: Vec<File>,
    /// Artifacts to place: programs, models and other large files. Each keeps its previous versions beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = []))]
    pub artifacts: Vec<Artifact>,
    /// How the device finds out whether it is healthy: a list of probes, or `none` in so many words.
    pub probes: Probes,
    /// systemd units to act on. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<NotYet>,
    /// Containers. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<NotYet>,
    /// Whole-system updates. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<NotYet>,
    /// Commands around an apply. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<NotYet>,
}

/// One file on the device. Exactly one of `content` and `source` must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [
        { "required": ["content"], "properties": { "template": { "const": false } } },
        { "required": ["source"] },
    ],
    "examples" = [
        { "path": "/etc/app/name", "content": "{{ device.name }}\n", "mode": "0644" },
        { "path": "/etc/app/config.ini", "source": "files/app/config.ini.j2", "template": true },
    ],
))]
pub struct File {
    /// Where it is placed: an absolute path on the device, no other file or artifact has it.
    #[schemars(with = "forms::DevicePath")]
    pub path: String,
    /// The content itself, always as a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Path under `files/` in the repository whose content is placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "forms::FilesPath")]
    pub source: Option<String>,
    /// Whether the content of `source` is a template itself. Not for `content`, which always is one.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(extend("default" = false))]
    pub template: bool,
    /// Permission bits as an octal string, in quotes; setuid, setgid and sticky bits are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0?[0-7]{3}$"), extend("default" = "0644", "examples" = ["0644", "0755", "600"]))]
    pub mode: Option<String>,
    /// Owner's user name; the agent's own if not given. Needs an agent that runs as root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["app"]))]
    pub owner: Option<String>,
    /// Owner's group name; the agent's own if not given. Needs an agent that runs as root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["app"]))]
    pub group: Option<String>,
    /// Whether a file that somebody else placed at this path may be replaced; it returns on removal. If not, such a
    /// version is refused by the device.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(extend("default" = false))]
    pub overwrite: bool,
}

/// Where a file's content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileContent<'a> {
    /// The content, as a template.
    Inline(&'a str),
    /// A path under `files/`.
    Source(&'a str),
}

impl File {
    /// The content's origin; `None` unless exactly one of `content` and `source` is there.
    pub fn content(&self) -> Option<FileContent<'_>> {
        match (&self.content, &self.source) {
            (Some(text), None) => Some(FileContent::Inline(text)),
            (None, Some(path)) => Some(FileContent::Source(path)),
            _ => None,
        }
    }
}

/// One artifact on the device: a file of any size, switched by a symbolic link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "name": "app",
    "source": { "path": "artifacts/app-1.2.3.bin" },
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "length": 3,
    "dest": "/opt/app/bin",
}]))]
pub struct Artifact {
    /// The artifact's name, and that of its file; unique in the template.
    pub name: ArtifactName,
    /// Where the repository has it.
    pub source: ArtifactSource,
    /// SHA-256 of its content. A device takes no other content.
    pub sha256: Sha256Digest,
    /// Length of its content in bytes, as `wc -c` prints it.
    #[schemars(example = 1_048_576)]
    pub length: u64,
    /// How it is unpacked. So far not at all.
    #[serde(default)]
    pub unpack: Unpack,
    /// Absolute path of a directory on the device; `current` and `previous` in it point to the versions.
    #[schemars(with = "forms::DevicePath")]
    pub dest: String,
    /// How many earlier versions stay on the device, at least 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub keep: u32,
    /// Required signer of the artifact. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigstore: Option<NotYet>,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["path"], "examples" = [{ "path": "artifacts/app-1.2.3.bin" }]))]
pub struct ArtifactSource {
    /// Path under `artifacts/` in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "forms::ArtifactsPath")]
    pub path: Option<String>,
    /// Address the reconciler fetches it from. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<NotYet>,
}

/// How an artifact is unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unpack {
    /// Not at all.
    #[default]
    #[serde(rename = "none")]
    None,
    /// A tar archive, compressed by zstd. Not supported yet.
    #[serde(rename = "tar.zst")]
    #[schemars(skip)]
    TarZst,
    /// A tar archive, compressed by gzip. Not supported yet.
    #[serde(rename = "tar.gz")]
    #[schemars(skip)]
    TarGz,
}

/// The probes of a template: a list, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probes {
    /// No probes, said in so many words: the device counts as healthy as soon as everything is placed.
    None,
    /// All of these must pass.
    All(Vec<Probe>),
}

impl Probes {
    /// The probes; none for `none`.
    pub fn as_slice(&self) -> &[Probe] {
        match self {
            Self::None => &[],
            Self::All(probes) => probes,
        }
    }
}

impl Serialize for Probes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::All(probes) => probes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Probes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Probes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of probes, or the word none")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Probes, E> {
                match text {
                    "none" => Ok(Probes::None),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Probes, A::Error> {
                let mut probes = Vec::new();
                while let Some(probe) = items.next_element()? {
                    probes.push(probe);
                }
                if probes.is_empty() {
                    return Err(serde::de::Error::invalid_length(0, &self));
                }
                Ok(Probes::All(probes))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Probes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Probes".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let probe = generator.subschema_for::<Probe>();
        schemars::json_schema!({
            "description": "How a device finds out whether it is healthy: probes of which all must pass, or the word none.",
            "oneOf": [
                {
                    "description": "No probes, said in so many words: the device counts as healthy as soon as everything is placed.",
                    "const": "none",
                },
                { "description": "All of these must pass.", "type": "array", "minItems": 1, "items": probe },
            ],
            "examples": [[{ "http": { "url": "http://127.0.0.1:8080/healthz" }, "timeout": "10s" }], "none"],
        })
    }
}

/// One probe. Exactly one of `exec`, `http` and `file` must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{ "required": ["exec"] }, { "required": ["http"] }, { "required": ["file"] }],
    "examples" = [
        { "exec": { "command": ["/usr/bin/systemctl", "is-active", "app"] }, "initialDelay": "5s" },
        { "http": { "url": "http://127.0.0.1:8080/healthz" }, "timeout": "10s" },
        { "file": { "path": "/run/app/ready" } },
    ],
))]
pub struct Probe {
    /// A command that must exit with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecProbe>,
    /// A URL that must answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A file that must exist and not be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileProbe>,
    /// Time before the first attempt, at most 1h: meanwhile the device takes no other version.
    #[serde(default, skip_serializing_if = "no_delay")]
    #[schemars(extend("pattern" = forms::AN_HOUR_AT_MOST, "examples" = ["5s"], "default" = "0s"))]
    pub initial_delay: Seconds,
    /// Time for one attempt, 1s to 300s. One that takes longer has failed.
    #[serde(default = "ten_seconds", skip_serializing_if = "is_ten_seconds")]
    #[schemars(extend("pattern" = forms::ATTEMPT, "examples" = ["10s"], "default" = "10s"))]
    pub timeout: Seconds,
    /// Attempts before the probe counts as failed, 1 to 10.
    #[serde(default = "three", skip_serializing_if = "is_three")]
    #[schemars(range(min = 1, max = 10), extend("default" = 3))]
    pub attempts: u32,
    /// Time between attempts, at most 1h.
    #[serde(default = "five_seconds", skip_serializing_if = "is_five_seconds")]
    #[schemars(extend("pattern" = forms::AN_HOUR_AT_MOST, "examples" = ["5s"], "default" = "5s"))]
    pub interval: Seconds,
    /// How long the probe must keep passing before it counts as passed. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NotYet")]
    pub stable_for: Option<Seconds>,
}

/// No action, and the defaults of everything else.
impl Default for Probe {
    fn default() -> Self {
        Self {
            exec: None,
            http: None,
            file: None,
            initial_delay: Seconds::ZERO,
            timeout: ten_seconds(),
            attempts: three(),
            interval: five_seconds(),
            stable_for: None,
        }
    }
}

/// What a probe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeAction<'a> {
    /// Runs a command.
    Exec(&'a ExecProbe),
    /// Asks a URL.
    Http(&'a HttpProbe),
    /// Looks at a file.
    File(&'a FileProbe),
}

impl Probe {
    /// The longest `initialDelay` and `interval`.
    pub const LONGEST_PAUSE: Seconds = Seconds::minutes(60);

    /// The one action; `None` unless exactly one is there.
    pub fn action(&self) -> Option<ProbeAction<'_>> {
        match (&self.exec, &self.http, &self.file) {
            (Some(exec), None, None) => Some(ProbeAction::Exec(exec)),
            (None, Some(http), None) => Some(ProbeAction::Http(http)),
            (None, None, Some(file)) => Some(ProbeAction::File(file)),
            _ => None,
        }
    }
}

/// A command that must exit with 0. No shell; the environment is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecProbe {
    /// Absolute path of the program, then its arguments. The device's operator must allow the program.
    #[schemars(with = "forms::Command")]
    pub command: Vec<String>,
}

/// A URL that must answer. No redirects, no proxy; https is not supported yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// The URL, `http://host[:port][/path]`. Its host must be one that the device's operator allows, loopback by default.
    #[schemars(with = "forms::HttpUrl")]
    pub url: String,
    /// The HTTP status it must answer with, 100 to 599; any from 200 to 299 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599), example = 204)]
    pub expect_status: Option<u16>,
}

/// A file that must exist and not be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileProbe {
    /// Absolute path of the file on the device.
    #[schemars(with = "forms::DevicePath")]
    pub path: String,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn five_seconds() -> Seconds {
    Seconds::new(5)
}

fn ten_seconds() -> Seconds {
    Seconds::new(10)
}

// The digest of a spec is taken over its text with defaults left out, so these belong to the format.
fn no_delay(value: &Seconds) -> bool {
    *value == Seconds::ZERO
}

fn is_three(value: &u32) -> bool {
    *value == three()
}

fn is_five_seconds(value: &Seconds) -> bool {
    *value == five_seconds()
}

fn is_ten_seconds(value: &Seconds) -> bool {
    *value == ten_seconds()
}
