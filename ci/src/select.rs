//! Options that choose devices.

use bellwether_schemas::manifest::LabelSelector;
use bellwether_schemas::select::{self, DeviceSelector, SelectorError};
use clap::Args;

use crate::failure::Failure;

/// Options of every subcommand that can be about some of the devices.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SelectorOptions {
    /// Only devices with these labels, as in Kubernetes: 'site=kiel,ring!=canary,env in (a,b),!retired'
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Only devices that are so: 'status.summary.status=ConflictPaused,fleet!=edge'. Fields: name, fleet, enrollment, entry,
    /// version, version.landing, version.commit, status.summary.status, status.updated.status, reason.kind, reason.code,
    /// reason.commit. A field without a value, 'fleet=', chooses devices that have none
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) field_selector: Option<String>,
}

impl SelectorOptions {
    /// Whether neither was given.
    pub(crate) fn is_all(&self) -> bool {
        self.selector.is_none() && self.field_selector.is_none()
    }

    /// What they choose.
    pub(crate) fn read(&self) -> Result<DeviceSelector, Failure> {
        DeviceSelector::read(self.selector.as_deref(), self.field_selector.as_deref()).map_err(unreadable)
    }

    /// The label selector, as manifests have it.
    pub(crate) fn labels(&self) -> Result<Option<LabelSelector>, Failure> {
        self.selector.as_deref().map(select::labels).transpose().map_err(unreadable)
    }

    /// The same as parameters of the API.
    pub(crate) fn query(&self) -> Vec<(&str, &str)> {
        let labels = self.selector.as_deref().map(|text| ("labelSelector", text));
        let fields = self.field_selector.as_deref().map(|text| ("fieldSelector", text));
        labels.into_iter().chain(fields).collect()
    }
}

fn unreadable(error: SelectorError) -> Failure {
    Failure::new(error.code(), error.to_string())
}
