//! JSON Schemas of the manifests, for editors: `json/v1/<kind>.json` for `apiVersion: bellwether/v1`, generated from the types.
//!
//! They say less than `crate::yaml`: what a schema accepts may still be refused there, never the other way round.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::manifest::{
    Approval, Device, Enrollment, Expedite, Fleet, Hold, Kind, Manifest, Resume, Rollout, TrustPolicy,
};
use crate::name::ManifestName;
use crate::{DeviceName, EnrollmentName};

/// The file of a kind's schema below `json/`, in the folder of its `apiVersion`.
pub fn file_name(kind: Kind) -> String {
    format!("v1/{}.json", kind.word().to_lowercase())
}

/// The text of a kind's schema.
pub fn text(kind: Kind) -> String {
    let mut text = serde_json::to_string_pretty(&schema(kind)).expect("a schema has string keys");
    text.push('\n');
    text
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
    let settings = SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<Manifest<N, S>>();
    schema.insert("$id".to_owned(), format!("urn:bellwether:v1:{}", kind.word().to_lowercase()).into());
    schema.insert("title".to_owned(), kind.word().into());
    let description = format!("A manifest of kind {kind}, in {}/.", kind.folder());
    schema.insert("description".to_owned(), description.into());
    let properties = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut);
    let properties = properties.expect("a manifest has properties");
    let words = serde_json::json!({ "description": "The kind; it must be that of the folder.", "const": kind.word() });
    properties.insert("kind".to_owned(), words);
    if let Some(definitions) = schema.get_mut("$defs").and_then(serde_json::Value::as_object_mut) {
        definitions.remove("Kind");
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_schemas_are_those_of_the_types() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
        for kind in Kind::ALL {
            let committed = std::fs::read_to_string(folder.join(file_name(kind))).unwrap_or_default();
            let hint = "run: cargo run -p bellwether-schemas --example generate-json-schemas";
            assert!(committed == text(kind), "{} is stale; {hint}", file_name(kind));
        }
    }
}
