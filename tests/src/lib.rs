//! A whole Bellwether on one machine, for end-to-end tests and benches: real git, real signatures, real TLS, real
//! processes, in a temporary folder and on free loopback ports. What it starts it stops.

#![allow(clippy::missing_panics_doc, reason = "a harness fails the test by panicking")]

pub mod device;
pub mod engineer;
pub mod files;
pub mod fuzz;
pub mod hostile;
pub mod https;
pub mod process;
pub mod scenario;
pub mod site;

pub use device::Device;
pub use engineer::Engineer;
pub use process::Process;
pub use site::{Site, SiteBuilder};
