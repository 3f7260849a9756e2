//! Names: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 63 characters (the label of RFC 1123).
//!
//! Names stand in many places at once, and share their text. A name is safe as a file name, a TUF path segment, a URL segment and an X.509 URI segment; nothing else is a name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The greatest number of characters in a name.
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: lower-case letters, digits and inner hyphens, 1 to {MAX_NAME} characters")]
pub struct InvalidName(pub String);

/// What a JSON Schema says of every name.
const GRAMMAR: &str = "Lower-case letters, digits and inner hyphens, at most 63.";

fn is_name(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            bytes.len() <= MAX_NAME
                && alphanumeric(*first)
                && alphanumeric(*last)
                && bytes.iter().all(|c| alphanumeric(*c) || *c == b'-')
        }
        _ => false,
    }
}

macro_rules! name {
    ($(#[doc = $doc:literal])* $name:ident, $example:literal) => {
        name!($(#[doc = $doc])* $name, $example, is_name, "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", MAX_NAME);
    };
    ($(#[doc = $doc:literal])* $name:ident, $example:literal, $is_name:ident, $pattern:literal, $max:expr) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $is_name(text) { Ok(Self(text.into())) } else { Err(InvalidName(text.to_owned())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                if $is_name(&text) { Ok(Self(text.into())) } else { Err(InvalidName(text)) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let what = concat!($($doc),*).trim();
                schemars::json_schema!({
                    "description": format!("{what} {GRAMMAR}"),
                    "type": "string",
                    "pattern": $pattern,
                    "minLength": 1,
                    "maxLength": $max,
                    "examples": [$example],
                })
            }
        }
    };
}

name!(
    /// A device, unique in the fleet of fleets; it is what the device's certificate names.
    DeviceName,
    "edge-1"
);
name!(
    /// A fleet: `metadata.name` of a Fleet, and of the Rollout of the same name; or `device.<name>`, the fleet of one that a
    /// Device's own template makes. No manifest has the latter form as its name, so the two never clash.
    FleetName,
    "edge",
    is_fleet,
    "^(device\\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    OF_DEVICE.len() + MAX_NAME
);

/// What the name of a device's own fleet begins with.
const OF_DEVICE: &str = "device.";

fn is_fleet(text: &str) -> bool {
    is_name(text.strip_prefix(OF_DEVICE).unwrap_or(text))
}

impl FleetName {
    /// The fleet of one that the device's own template makes.
    pub fn of_device(device: &DeviceName) -> Self {
        Self(format!("{OF_DEVICE}{device}").into())
    }

    /// The device whose own template makes this fleet; none for a fleet of a Fleet manifest.
    pub fn device(&self) -> Option<DeviceName> {
        self.0.strip_prefix(OF_DEVICE).map(|device| DeviceName(device.into()))
    }

    /// The path of the manifest that has its template.
    pub fn path(&self) -> String {
        match self.0.strip_prefix(OF_DEVICE) {
            Some(device) => format!("devices/{device}.yaml"),
            None => format!("fleets/{self}.yaml"),
        }
    }
}
name!(
    /// An enrollment: `metadata.name` of an Enrollment.
    EnrollmentName,
    "kiel"
);
name!(
    /// The id of a token or of an approved key inside an Enrollment.
    EntryId,
    "edge-1-token"
);

/// The entry of every device that enrolled by its factory certificate.
const FACTORY: &str = "factory";

impl EntryId {
    /// What comes before every other id, or is the first one: where those of an enrollment begin.
    pub fn first() -> Self {
        Self("0".into())
    }

    /// The entry of devices that enroll by their factory certificate; no token and no approved key has this id.
    pub fn factory() -> Self {
        Self(FACTORY.into())
    }

    /// Whether this is the entry of devices that enroll by their factory certificate.
    pub fn is_factory(&self) -> bool {
        *self.0 == *FACTORY
    }
}
name!(
    /// A person (or bot) in the trust policy.
    PersonName,
    "alice"
);
name!(
    /// A role in the trust policy.
    RoleName,
    "operators"
);
name!(
    /// A wave of a rollout.
    WaveName,
    "canary"
);
name!(
    /// The name of a manifest.
    ManifestName,
    "edge"
);
name!(
    /// The name of an artifact inside a fleet.
    ArtifactName,
    "app"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_grammar_says_and_nothing_else() {
        for good in ["a", "0", "edge-1", "a--b", &"x".repeat(63)] {
            assert!(good.parse::<DeviceName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "..", "a_b", "é", &"x".repeat(64)] {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad}");
            assert!(bad.parse::<FleetName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fleet_of_one_has_a_name_that_nothing_else_has() {
        let device: DeviceName = "x".repeat(63).parse().expect("a name");
        let own = FleetName::of_device(&device);
        assert_eq!(own.as_str().parse(), Ok(own.clone()));
        assert_eq!((own.path(), own.device()), (format!("devices/{device}.yaml"), Some(device)));
        let fleet: FleetName = "device-x".parse().expect("a name");
        assert_eq!((fleet.path(), fleet.device()), ("fleets/device-x.yaml".to_owned(), None));
        for bad in ["device.", ".x", "device..x", "device.device.x", "fleet.x", "Device.x", &format!("{own}x")] {
            assert!(bad.parse::<FleetName>().is_err(), "{bad}");
        }
    }
}
