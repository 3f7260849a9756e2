//! What was probably meant by a name that is not there: the nearest of those that are.

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
    let Ok(files) = std::fs::read_dir(copy.root().join(kind.folder())) else { return Vec::new() };
    let name = |file: std::fs::DirEntry| Some(file.file_name().to_str()?.strip_suffix(".yaml")?.to_owned());
    let mut names: Vec<_> = files.flatten().filter_map(name).collect();
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
