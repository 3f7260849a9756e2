//! Sets a field in the spec of a Device manifest, which need not be there yet; comments and layout stay.

use bellwether_schemas::manifest::{AnyManifest, Device};
use bellwether_schemas::{DeviceName, codes, yaml};

use crate::failure::Failure;
use crate::repo::{Edit, WorkingCopy};
use crate::token_edit::quoted;
use crate::yaml_edit::{Document, Step, Written};

/// The edit that makes `spec.<field>` of a device be `value`, a scalar as YAML writes it. What it makes is read again, and
/// must be what `meant` makes of what was there.
pub(crate) fn set(
    copy: &WorkingCopy,
    device: &DeviceName,
    field: &str,
    value: &str,
    meant: impl FnOnce(&mut Device),
) -> Result<Edit, Failure> {
    let path = format!("devices/{device}.yaml");
    let before = copy.read(&path)?;
    let not_understood = |why: &str| Failure::finding(codes::LAYOUT, format!("{path}: {why}"));
    let (mut expected, after) = match &before {
        None => {
            let name = quoted(device.as_str());
            let head = format!("apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: {name}\nspec:\n");
            (Device::default(), format!("{head}  {field}: {value}\n"))
        }
        Some(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| not_understood("the file is not UTF-8"))?;
            (parse(&path, bytes)?, changed(text, field, value).map_err(|why| not_understood(&why))?)
        }
    };
    meant(&mut expected);
    if parse(&path, after.as_bytes()).ok() != Some(expected) {
        return Err(not_understood("the changed lines would not be read as they are meant"));
    }
    Ok(Edit { path, before, after: Some(after.into_bytes()) })
}

fn changed(text: &str, field: &str, value: &str) -> Result<String, String> {
    let mut document = Document::read(text)?;
    let spec = [Step::Key("spec")];
    let place = [Step::Key("spec"), Step::Key(field)];
    if document.has(&place) {
        document.replace(&place, value)?;
    } else {
        document.push_entry(&spec, &Written::line(format!("{field}: {value}")))?;
    }
    Ok(document.text().to_owned())
}

fn parse(path: &str, text: &[u8]) -> Result<Device, Failure> {
    match yaml::parse(path, text) {
        Ok(AnyManifest::Device(device)) => Ok(device.spec),
        Ok(_) => Err(Failure::finding(codes::WRONG_KIND, format!("{path} is not a Device"))),
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Err(Failure::finding(codes::WRONG_VALUE, format!("{path} does not parse:\n{}", list.join("\n")))
                .hint("Mend it first: bellwether validate"))
        }
    }
}
