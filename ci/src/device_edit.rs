//! Sets or removes a field in the spec of a Device manifest, which need not be there yet; comments and layout stay.

use bellwether_schemas::manifest::{AnyManifest, Device, Pin};
use bellwether_schemas::{CommitId, DeviceName, codes, yaml};

use crate::failure::Failure;
use crate::repo::{Edit, WorkingCopy};
use crate::token_edit::quoted;
use crate::yaml_edit::{Document, Step, Written};

/// The edit that makes `spec.<field>` of a device be `value`, a scalar as YAML writes it.
pub(crate) fn set(
    copy: &WorkingCopy,
    device: &DeviceName,
    field: &str,
    value: &str,
    meant: impl FnOnce(&mut Device),
) -> Result<Edit, Failure> {
    let place = [Step::Key("spec"), Step::Key(field)];
    edit(copy, device, &Field { place: &place, value, entry: format!("{field}: {value}") }, meant)
}

/// The edit that pins a device to a commit.
pub(crate) fn pin(copy: &WorkingCopy, device: &DeviceName, commit: CommitId) -> Result<Edit, Failure> {
    let place = [Step::Key("spec"), Step::Key("pin"), Step::Key("commit")];
    let value = format!("\"{commit}\"");
    let field = Field { place: &place, value: &value, entry: format!("pin: {{commit: {value}}}") };
    edit(copy, device, &field, |device| device.pin = Some(Pin { commit }))
}

/// The edit that removes the pin of a device.
pub(crate) fn unpin(copy: &WorkingCopy, device: &DeviceName) -> Result<Edit, Failure> {
    let path = path(device);
    let not_pinned = |why: String| {
        Failure::finding(codes::NO_SUCH_OBJECT, why).hint("See which devices are pinned: grep --recursive pin: devices")
    };
    let Some(before) = copy.read(&path)? else { return Err(not_pinned(format!("there is no {path}"))) };
    let mut expected = parse(&path, &before)?;
    if expected.pin.take().is_none() {
        return Err(not_pinned(format!("{path} has no pin")));
    }
    let after = changed(&path, &before, |document| document.remove_entry(&[Step::Key("spec")], "pin"))?;
    read_again(path, Some(before), after, &expected)
}

/// A scalar below `spec`.
struct Field<'a> {
    place: &'a [Step<'a>],
    value: &'a str,
    /// The entry of `spec` that has it, where it is not there yet.
    entry: String,
}

fn edit(
    copy: &WorkingCopy,
    device: &DeviceName,
    field: &Field<'_>,
    meant: impl FnOnce(&mut Device),
) -> Result<Edit, Failure> {
    let path = path(device);
    let before = copy.read(&path)?;
    let (mut expected, after) = match &before {
        None => {
            let name = quoted(device.as_str());
            let head = format!("apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: {name}\nspec:\n");
            (Device::default(), format!("{head}  {}\n", field.entry))
        }
        Some(bytes) => {
            let there = parse(&path, bytes)?;
            let after = changed(&path, bytes, |document| match document.has(field.place) {
                true => document.replace(field.place, field.value),
                false => document.push_entry(&[Step::Key("spec")], &Written::line(field.entry.as_str())),
            });
            (there, after?)
        }
    };
    meant(&mut expected);
    read_again(path, before, after, &expected)
}

/// The text of a file, changed.
fn changed(
    path: &str,
    before: &[u8],
    change: impl FnOnce(&mut Document) -> Result<(), String>,
) -> Result<String, Failure> {
    let text = std::str::from_utf8(before).map_err(|_| not_understood(path, "the file is not UTF-8"))?;
    let mut document = Document::read(text).map_err(|why| not_understood(path, &why))?;
    change(&mut document).map_err(|why| not_understood(path, &why))?;
    Ok(document.text().to_owned())
}

/// The edit, if what it makes is read as what was meant.
fn read_again(path: String, before: Option<Vec<u8>>, after: String, expected: &Device) -> Result<Edit, Failure> {
    if parse(&path, after.as_bytes()).ok().as_ref() != Some(expected) {
        return Err(not_understood(&path, "the changed lines would not be read as they are meant"));
    }
    Ok(Edit { path, before, after: Some(after.into_bytes()) })
}

fn not_understood(path: &str, why: &str) -> Failure {
    Failure::finding(codes::LAYOUT, format!("{path}: {why}"))
}

fn path(device: &DeviceName) -> String {
    format!("devices/{device}.yaml")
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
