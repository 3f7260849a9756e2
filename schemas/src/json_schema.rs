//! JSON Schemas of the manifests, for editors: `json/v1/<kind>.json` for `apiVersion: bellwether/v1`, generated from the types.
//!
//! They say less than `crate::yaml`: what a schema accepts may still be refused there, never the other way round, with
//! one exception: `format: date-time` asks for seconds in a time stamp, which the reader does not. The mistakes that they
//! leave to the reader are listed in `testdata/beyond-json-schema.txt`.

#[cfg(test)]
mod tests;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::comparison::Comparison;
use crate::diagnostic::Validation;
use crate::manifest::{
    Approval, Device, Enrollment, Expedite, Fleet, Hold, Kind, Manifest, Resume, Rollout, TrustPolicy,
};
use crate::name::ManifestName;
use crate::{DeviceName, EnrollmentName};

/// The folder of the schemas below `json/`: that of the `apiVersion`, without its group.
pub const FOLDER: &str = "v1";

/// The file of a kind's schema in [`FOLDER`].
pub fn file_name(kind: Kind) -> String {
    format!("{}.json", kind.word().to_lowercase())
}

/// The file below `json/` with the schema of what `bellwether validate --output json` prints.
pub const VALIDATION: &str = "validation.json";

/// The file below `json/` with the schema of what `bellwether diff --output json` prints.
pub const COMPARISON: &str = "comparison.json";

/// The text of the schema of what `bellwether validate --output json` prints.
pub fn validation() -> String {
    printed::<Validation<'static>>(Validation::SCHEMA)
}

/// The text of the schema of what `bellwether diff --output json` prints.
pub fn comparison() -> String {
    printed::<Comparison>(Comparison::SCHEMA)
}

/// The text of the schema of something that the command prints.
fn printed<T: JsonSchema>(id: &str) -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(plain_sizes));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), id.into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema has string keys");
    text.push('\n');
    text
}

/// Numbers as JSON Schema has them.
fn plain_sizes(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    let of_rust = ["uint", "uint32", "uint64", "int64"];
    if object.get("format").and_then(Value::as_str).is_some_and(|format| of_rust.contains(&format)) {
        object.remove("format");
    }
}

/// The text of a kind's schema.
pub fn text(kind: Kind) -> String {
    let mut text = serde_json::to_string_pretty(&schema(kind)).expect("a schema has string keys");
    text.push('\n');
    text
}

/// Complete manifests of a kind, which the tests read as well.
fn examples(kind: Kind) -> &'static [&'static str] {
    macro_rules! valid {
        ($folder:literal, [$($name:literal),*]) => {
            &[$(include_str!(concat!("../testdata/valid/", $folder, "/", $name, ".yaml"))),*]
        };
    }
    match kind {
        Kind::Fleet => valid!("fleets", ["usual"]),
        Kind::Rollout => valid!("rollouts", ["usual"]),
        Kind::Device => valid!("devices", ["usual", "pinned", "own-template"]),
        Kind::Enrollment => valid!("enrollments", ["usual"]),
        Kind::TrustPolicy => valid!("trust", ["two-signers"]),
        Kind::Approval => valid!("approvals", ["usual", "resume", "retry"]),
        Kind::Hold => valid!("holds", ["usual", "everything"]),
        Kind::Expedite => valid!("expedites", ["usual"]),
        Kind::Resume => valid!("resumes", ["usual", "altered-device"]),
    }
}

fn schema(kind: Kind) -> Schema {
    match kind {
        // The names of files: that of a device's own fleet is none.
        Kind::Fleet => of::<ManifestName, Fleet>(kind),
        Kind::Rollout => of::<ManifestName, Rollout>(kind),
        Kind::Device => of::<DeviceName, Device>(kind),
        Kind::Enrollment => of::<EnrollmentName, Enrollment>(kind),
        Kind::TrustPolicy => of::<ManifestName, TrustPolicy>(kind),
        Kind::Approval => of::<ManifestName, Approval>(kind),
        Kind::Hold => of::<ManifestName, Hold>(kind),
        Kind::Expedite => of::<ManifestName, Expedite>(kind),
        Kind::Resume => of::<ManifestName, Resume>(kind),
    }
}

fn of<N: JsonSchema, S: JsonSchema>(kind: Kind) -> Schema {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(plain));
    let about = S::json_schema(&mut SchemaGenerator::default());
    let about = about.get("description").and_then(Value::as_str).expect("a spec has a description").replace('\n', " ");
    let mut schema = settings.into_generator().into_root_schema_for::<Manifest<N, S>>();
    schema.insert("$id".to_owned(), format!("urn:bellwether:v1:{}", kind.word().to_lowercase()).into());
    schema.insert("title".to_owned(), kind.word().into());
    let description = format!("A manifest of kind {kind}, in {}/. {about}", kind.folder());
    schema.insert("description".to_owned(), description.into());
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let properties = properties.expect("a manifest has properties");
    let said = format!("The kind, {kind} for manifests in {}/.", kind.folder());
    properties.insert("kind".to_owned(), json!({ "description": said, "const": kind.word() }));
    properties["spec"]["description"] = about.into();
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.remove("Kind");
    }
    let read = |text: &&str| serde_saphyr::from_str::<Value>(text).expect("the tests read it, too");
    schema.insert("examples".to_owned(), examples(kind).iter().map(read).collect::<Vec<_>>().into());
    schema
}

/// Says what is derived from the types in the words of the reader, which takes no null, and of every validator.
fn plain(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::String(description)) = object.get_mut("description") {
        *description = description.replace("\n\n", "\0").replace('\n', " ").replace('\0', "\n\n");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            object["type"] = one.clone();
        }
    }
    if let Some(Value::Array(any)) = object.get_mut("anyOf")
        && let Some(null) = any.iter().position(|schema| *schema == json!({ "type": "null" }))
    {
        any.remove(null);
        if let [Value::Object(one)] = any.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            for (key, value) in one {
                object.entry(key).or_insert(value);
            }
        }
    }
    // Formats of Rust, which JSON Schema does not know.
    let most = match object.get("format").and_then(Value::as_str) {
        Some("uint8") => u64::from(u8::MAX),
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        Some("uint64") => u64::MAX,
        _ => return,
    };
    object.remove("format");
    object.entry("maximum").or_insert(most.into());
}
