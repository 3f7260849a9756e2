//! The words that every part of Bellwether shares.
//!
//! In: bytes from git, devices and disks. Out: typed values that can only be made from valid input.
//! Nothing here does I/O, reads a clock or makes a decision about a fleet.

pub mod allow;
pub mod api;
pub mod codes;
pub mod comparison;
pub mod diagnostic;
pub mod enroll;
pub mod error_pages;
pub mod head;
pub mod id;
pub mod json_schema;
pub mod lives;
pub mod manifest;
pub mod name;
pub mod quantity;
pub mod report;
pub mod select;
pub mod spec;
pub mod targets;
pub mod version;
#[cfg(feature = "wire")]
pub mod wire;
pub mod yaml;

pub use codes::Code;
pub use diagnostic::Diagnostic;
pub use id::{CommitId, ObjectId, Sha256Digest};
pub use name::{DeviceName, EnrollmentName, EntryId, FleetName, PersonName, RoleName, WaveName};
pub use quantity::{Percent, Seconds};
pub use version::Version;

/// The `apiVersion` of every manifest and spec that this crate reads and writes.
pub const API_VERSION: &str = "bellwether/v1";
