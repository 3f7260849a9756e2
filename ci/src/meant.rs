//! What was probably meant by a name that is not there: the nearest of those that are.

use std::path::Path;

use bellwether_schemas::manifest::{AnyManifest, Kind};
use bellwether_schemas::{FleetName, yaml};

use crate::failure::Failure;
use crate::repo::WorkingCopy;

/// A hint that names what was probably meant, if anything is near, before the one that says where to look.
pub(crate) fn hint<'k>(found: &str, there: impl IntoIterator<Item = &'k str>, look: impl AsRef<str>) -> String {
    match yaml::nearest(found, there) {
        Some(name) => format!("Did you mean {name}? {}", look.as_ref()),
        None => look.as_ref().to_owned(),
    }
}

/// The names of the manifests of a kind in the working copy, by their files.
pub(crate) fn manifests(copy: &WorkingCopy, kind: Kind) -> Vec<String> {
    let files = files(copy.root(), kind.folder());
    files.iter().filter_map(|file| file.strip_suffix(".yaml")).map(str::to_owned).collect()
}

/// The names of what is in a folder of the working copy.
pub(crate) fn files(root: &Path, folder: &str) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(root.join(folder)) else { return Vec::new() };
    let mut names: Vec<_> = files.flatten().filter_map(|file| file.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The names of all fleets of the working copy, also of devices that are fleets of their own.
pub(crate) fn fleets(copy: &WorkingCopy) -> Result<Vec<String>, Failure> {
    let mut names = manifests(copy, Kind::Fleet);
    for device in manifests(copy, Kind::Device) {
        let path = format!("{}/{device}.yaml", Kind::Device.folder());
        let text = copy.read(&path)?.unwrap_or_default();
        if let Ok(AnyManifest::Device(manifest)) = yaml::parse(&path, &text)
            && manifest.spec.template.is_some()
        {
            names.push(FleetName::of_device(&manifest.metadata.name).to_string());
        }
    }
    Ok(names)
}
