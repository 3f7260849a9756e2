//! What JSON Schemas say of texts that the types keep as plain strings, and of durations and percentages in a range.
//!
//! `crate::yaml` judges these texts. A form here says the same or less, never more; tests hold both together.

#[cfg(test)]
mod tests;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A duration that is not zero.
pub(super) const SOME_TIME: &str = "^[0-9]*[1-9][0-9]*[smhd]$";
/// A duration of at most an hour.
pub(super) const AN_HOUR_AT_MOST: &str =
    "^0*([0-9]{1,3}|[12][0-9]{3}|3[0-5][0-9]{2}|3600)s$|^0*([0-5]?[0-9]|60)m$|^0*[01]h$|^0+d$";
/// A duration from 1 s to 300 s.
pub(super) const ATTEMPT: &str = "^0*([1-9][0-9]?|[12][0-9]{2}|300)s$|^0*[1-5]m$";
/// A duration from 1 m to 24 h.
pub(super) const OPEN: &str = concat!(
    "^0*([6-9][0-9]|[1-9][0-9]{2,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400)s$|",
    "^0*([1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m$|^0*([1-9]|1[0-9]|2[0-4])h$|^0*1d$"
);
/// Text that is not blank.
pub(super) const WORDS: &str = "\\S";
/// A percentage that is not zero.
pub(super) const SOME_PERCENT: &str = "[1-9]";
/// How URLs of https begin, which are not supported yet.
const HTTPS: &str = "^[hH][tT][tT][pP][sS]://";

/// A part of a path: neither empty nor `.` nor `..`.
macro_rules! part {
    () => {
        "([^/.][^/]*|\\.[^/.][^/]*|\\.\\.[^/]+)"
    };
}

/// What a text contains that is a template.
macro_rules! template {
    () => {
        "\\{\\{|\\{%"
    };
}

/// The key of a label, without anchors.
macro_rules! label_key {
    () => {
        concat!(
            "([a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?",
            "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
        )
    };
}

/// The key of a label.
pub(super) const LABEL_KEY: &str = concat!("^", label_key!(), "$");
/// The value of a label.
pub(super) const LABEL_VALUE: &str = "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$";
/// The time zone that a label names.
pub(super) const ZONE_OF_LABEL: &str = concat!("^label:", label_key!(), "$");
/// A path on a device, or a template of one.
pub(super) const DEVICE_PATH: &str = concat!("^(/", part!(), ")+$|", template!());
/// A path of the repository below `files/`.
pub(super) const FILES_PATH: &str = concat!("^files(/", part!(), ")+$");
/// The same below `artifacts/`.
pub(super) const ARTIFACTS_PATH: &str = concat!("^artifacts(/", part!(), ")+$");
/// A glob of paths in the repository.
pub(super) const GLOB: &str = concat!("^", part!(), "(/", part!(), ")*$");
/// The URL of a probe, or a template of one.
pub(super) const HTTP_URL: &str =
    concat!("^http://(\\[[A-Za-z0-9.:-]+\\]|[A-Za-z0-9.-]+)(:[0-9]+)?(/[!\"$-?A-\\[\\]-~]*)?$|", template!());
/// An SSH public key on one line.
pub(super) const SSH_KEY: &str = "^(ssh-|ecdsa-sha2-|sk-)[^ \\n\\t]* [A-Za-z0-9+/=]{64,}( [^\\n\\t]*)?$";

/// A type that is there for its schema only.
macro_rules! form {
    ($(#[doc = $doc:literal])* $name:ident, $schema:tt) => {
        $(#[doc = $doc])*
        pub(super) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("description".to_owned(), concat!($($doc),*).trim().into());
                schema
            }
        }
    };
}

form!(
    /// The key of a label: 1 to 63 letters, digits, `-`, `_` and `.` (a letter or digit first and last), perhaps after a
    /// domain name and `/`.
    LabelKey,
    { "type": "string", "pattern": LABEL_KEY, "maxLength": 317, "examples": ["site", "example.com/rack"] }
);
form!(
    /// The value of a label: at most 63 letters, digits, `-`, `_` and `.` (a letter or digit first and last), or empty. What
    /// looks like a number or like true needs quotes.
    LabelValue,
    { "type": "string", "pattern": LABEL_VALUE, "examples": ["kiel", "canary"] }
);
form!(
    /// An absolute path on the device, at most 1024 bytes, without empty, `.` and `..` parts; or a template of one.
    DevicePath,
    {
        "type": "string",
        "pattern": DEVICE_PATH,
        "examples": ["/opt/app/config.ini", "/etc/app/{{ labels.site }}.conf"],
    }
);
form!(
    /// The path of a file of this repository, in `files/` or a folder beneath.
    FilesPath,
    { "type": "string", "pattern": FILES_PATH, "examples": ["files/app/config.ini", "files/app/config.ini.j2"] }
);
form!(
    /// The path of a file of this repository, in `artifacts/` or a folder beneath.
    ArtifactsPath,
    { "type": "string", "pattern": ARTIFACTS_PATH, "examples": ["artifacts/app-1.2.3.bin"] }
);
form!(
    /// A URL, `http://host[:port][/path]`, or a template of one. Letters, digits, `-` and `.` in the host; no user, no
    /// fragment. https is not supported yet.
    HttpUrl,
    {
        "type": "string",
        "pattern": HTTP_URL,
        "not": { "pattern": HTTPS },
        "examples": ["http://127.0.0.1:8080/healthz", "http://127.0.0.1:{{ vars.port }}/healthz"],
    }
);
form!(
    /// A moment in time with its offset from UTC, as RFC 3339 writes it.
    Moment,
    { "type": "string", "format": "date-time", "examples": ["2030-01-31T12:00:00Z", "2030-01-31T12:00:00+01:00"] }
);
form!(
    /// An SSH public key on one line, as it stands in its `.pub` file: its type, its base64 text and perhaps a comment; no
    /// options. Never a private key.
    SshKey,
    {
        "type": "string",
        "pattern": SSH_KEY,
        "examples": [
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtMUC0zKP3o8pVo4A3NSxxpcS9A1zPHnvvRdiF9s3lD alice@example.com"
        ],
    }
);
form!(
    /// An OpenPGP certificate (transferable public key) in ASCII armour, as `gpg --armor --export KEY` prints it. Never a
    /// private key.
    OpenPgp,
    {
        "type": "string",
        "pattern": "-----BEGIN PGP PUBLIC KEY BLOCK-----",
        "examples": ["-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME…\n-----END PGP PUBLIC KEY BLOCK-----\n"],
    }
);
form!(
    /// A glob of paths in the repository: `*` matches within a folder, `**` across folders.
    Glob,
    { "type": "string", "pattern": GLOB, "examples": ["fleets/**", "rollouts/*.yaml", "trust/**", "**"] }
);

/// Labels, as keys with values.
pub(super) enum Labels {}

impl JsonSchema for Labels {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Labels".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (key, value) = (generator.subschema_for::<LabelKey>(), generator.subschema_for::<LabelValue>());
        json_schema!({
            "description": "Labels, as key: value. Selectors choose by them, and templates use them as {{ labels.<key> }}.",
            "type": "object",
            "propertyNames": key,
            "additionalProperties": value,
            "examples": [{ "site": "kiel", "ring": "canary" }],
        })
    }
}

/// Annotations: the keys of labels, any text as value.
pub(super) enum Annotations {}

impl JsonSchema for Annotations {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Annotations".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<LabelKey>();
        json_schema!({
            "description": "Notes, as key: text. Keys are those of labels, values any text; Bellwether does not read them.",
            "type": "object",
            "propertyNames": key,
            "additionalProperties": { "type": "string" },
            "examples": [{ "example.com/ticket": "OPS-1234" }],
        })
    }
}

/// Variables: any key, any value.
pub(super) enum Vars {}

impl JsonSchema for Vars {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Vars".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Values for templates, as {{ vars.<key> }}: text, numbers, true and false, lists, fields.",
            "type": "object",
            "additionalProperties": true,
            "examples": [{ "port": 8080, "server": "https://hub.example.com" }],
        })
    }
}

/// The command of a probe.
pub(super) enum Command {}

impl JsonSchema for Command {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Command".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let program = generator.subschema_for::<DevicePath>();
        json_schema!({
            "description": "Absolute path of the program, then its arguments. No shell looks at them.",
            "type": "array",
            "minItems": 1,
            "prefixItems": [program],
            "items": { "type": "string" },
            "examples": [["/usr/bin/systemctl", "is-active", "app"]],
        })
    }
}
