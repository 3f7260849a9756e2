//! What editors need of a schema, held over all of them: explanations, forms, defaults, and examples that are true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::{COMPARISON, FOLDER, VALIDATION, comparison, examples, file_name, schema, text, validation};
use crate::codes::{self, Code};
use crate::manifest::{AnyManifest, Kind};
use crate::yaml;

/// Strings of which every text is taken, so that nothing can be said of their form.
const FREE_TEXT: [&str; 3] =
    ["/$defs/Annotations/additionalProperties", "/$defs/Command/items", "/$defs/File/properties/content"];

/// Calls `look` with each schema in a kind's schema and its pointer.
fn each_schema(kind: Kind, look: &mut impl FnMut(&str, &Map<String, Value>)) {
    fn walk(schema: &Value, pointer: &str, look: &mut impl FnMut(&str, &Map<String, Value>)) {
        let Value::Object(object) = schema else { return };
        look(pointer, object);
        for (key, below) in object {
            match (key.as_str(), below) {
                ("properties" | "patternProperties" | "$defs", Value::Object(named)) => {
                    named.iter().for_each(|(name, schema)| walk(schema, &format!("{pointer}/{key}/{name}"), look));
                }
                ("oneOf" | "anyOf" | "prefixItems", Value::Array(all)) => {
                    all.iter()
                        .enumerate()
                        .for_each(|(at, schema)| walk(schema, &format!("{pointer}/{key}/{at}"), look));
                }
                ("items" | "additionalProperties" | "propertyNames" | "contains" | "not", schema) => {
                    walk(schema, &format!("{pointer}/{key}"), look);
                }
                _ => {}
            }
        }
    }
    walk(schema(kind).as_value(), "", look);
}

/// The properties that a definition declares, as (definition, property, their schema); not what conditions say of them.
fn each_property(kind: Kind, mut look: impl FnMut(&str, &str, &Map<String, Value>, bool)) {
    each_schema(kind, &mut |pointer, object| {
        let definition = match pointer.strip_prefix("/$defs/") {
            Some(name) if !name.contains('/') => name,
            None if pointer.is_empty() => "",
            _ => return,
        };
        let required = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let schema = schema.as_object().expect("a schema with words");
            look(definition, name, schema, required.iter().any(|needed| needed == name));
        }
    });
}

#[test]
fn committed_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    let of_kinds = Kind::ALL.map(|kind| (format!("{FOLDER}/{}", file_name(kind)), text(kind)));
    let printed = [(VALIDATION, validation()), (COMPARISON, comparison())].map(|(file, text)| (file.to_owned(), text));
    for (file, text) in of_kinds.into_iter().chain(printed) {
        let committed = std::fs::read_to_string(folder.join(&file)).unwrap_or_default();
        let hint = "run: cargo run -p bellwether-schemas --example generate-json-schemas";
        assert!(committed == text, "{file} is stale; {hint}");
    }
}

#[test]
fn a_schema_says_what_it_is() {
    for kind in Kind::ALL {
        let schema = schema(kind);
        assert_eq!(schema.get("$schema").expect("a dialect"), "https://json-schema.org/draft/2020-12/schema");
        let id = format!("urn:bellwether:v1:{}", kind.word().to_lowercase());
        assert_eq!(schema.get("$id"), Some(&Value::from(id)));
        assert_eq!(schema.get("title"), Some(&Value::from(kind.word())));
        let of = |name: &str| schema.as_value()["properties"][name]["const"].clone();
        assert_eq!((of("apiVersion"), of("kind")), (crate::API_VERSION.into(), kind.word().into()));
    }
}

#[test]
fn everything_is_explained() {
    let explains = |object: &Map<String, Value>| {
        let text = object.get("description").and_then(Value::as_str).unwrap_or_default();
        text.len() >= 8 && text.ends_with(['.', ':']) && !text.contains('\n')
    };
    for kind in Kind::ALL {
        each_property(kind, |definition, name, schema, _| {
            assert!(explains(schema), "{kind}: {definition}/{name} is not explained: {schema:?}");
        });
        each_schema(kind, &mut |pointer, object| {
            let defines = pointer.strip_prefix("/$defs/").is_some_and(|name| !name.contains('/'));
            let is_word = object.contains_key("const") && !pointer.contains("/properties/");
            assert!(!defines && !is_word || explains(object), "{kind}: {pointer} is not explained: {object:?}");
        });
    }
}

#[test]
fn strings_have_a_form() {
    let mut free = BTreeSet::new();
    for kind in Kind::ALL {
        each_schema(kind, &mut |pointer, object| {
            let types = object.get("type").map(|name| name.to_string()).unwrap_or_default();
            assert!(!types.contains("null"), "{kind}: {pointer}: the reader takes no null");
            let forms = ["pattern", "format", "enum", "const", "examples", "anyOf"];
            if types.contains("string") && !forms.iter().any(|form| object.contains_key(*form)) {
                assert!(FREE_TEXT.contains(&pointer), "{kind}: {pointer} is any text: {object:?}");
                free.insert(pointer.to_owned());
            }
        });
    }
    assert_eq!(free.iter().map(String::as_str).collect::<Vec<_>>(), FREE_TEXT);
}

#[test]
fn what_may_be_left_out_has_a_default_or_says_what_that_means() {
    for kind in Kind::ALL {
        each_property(kind, |definition, name, property, is_required| {
            let has_default = property.contains_key("default");
            assert!(!is_required || !has_default, "{definition}/{name} must be there");
            let said = property.get("description").and_then(Value::as_str).unwrap_or_default();
            let says = ["not given", "Without it", "otherwise leave it out", "Not supported yet"];
            let explains = says.iter().any(|words| said.contains(words));
            let is_alternative = alternatives(kind, definition).iter().any(|one| one == name);
            assert!(is_required || has_default || explains || is_alternative, "{definition}/{name}: {property:?}");
        });
    }
}

/// The fields of which a definition asks for one.
fn alternatives(kind: Kind, definition: &str) -> Vec<Value> {
    let schema = schema(kind);
    let Some(definition) = schema.as_value().pointer(&format!("/$defs/{definition}")) else { return Vec::new() };
    let choices = ["oneOf", "anyOf"].into_iter().filter_map(|key| definition[key].as_array()).flatten();
    choices.filter_map(|choice| choice["required"].as_array()).flatten().cloned().collect()
}

/// A manifest as JSON, with all its defaults.
fn as_json(manifest: &AnyManifest) -> Value {
    macro_rules! any {
        ($($kind:ident),*) => {
            match manifest {
                $(AnyManifest::$kind(manifest) => serde_json::to_value(manifest),)*
            }
        };
    }
    any!(Fleet, Rollout, Device, Enrollment, TrustPolicy, Approval, Hold, Expedite, Resume).expect("string keys")
}

/// The codes with which the reader refuses a manifest.
fn refused(kind: Kind, manifest: &Value) -> Vec<Code> {
    let name = match kind {
        Kind::TrustPolicy => "policy",
        _ => manifest["metadata"]["name"].as_str().expect("a name"),
    };
    let path = format!("{}/{name}.yaml", kind.folder());
    let problems = yaml::parse(&path, manifest.to_string().as_bytes()).err().unwrap_or_default();
    problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn whole_examples_are_taken() {
    for kind in Kind::ALL {
        let schema = schema(kind);
        let all = schema.get("examples").and_then(Value::as_array).expect("examples");
        assert_eq!(all.len(), examples(kind).len());
        assert!(!all.is_empty(), "{kind} has no example");
        for example in all {
            assert_eq!(refused(kind, example), [], "{kind}: {example}");
        }
    }
}

/// Holds the examples and defaults of a schema against the reader, by putting them into manifests that it takes.
struct Trial<'s> {
    kind: Kind,
    root: &'s Value,
    manifest: &'s Value,
    /// The places of the manifest at which something was put already, by the schema that says it.
    tried: &'s mut BTreeMap<String, usize>,
}

impl Trial<'_> {
    fn at(&mut self, schema: &Value, pointer: &str, place: &str) {
        let Some(found) = self.manifest.pointer(place) else { return };
        let Value::Object(object) = schema else { return };
        let examples = object.get("examples").and_then(Value::as_array).into_iter().flatten();
        for value in examples.chain(object.get("default")).filter(|_| !pointer.is_empty()) {
            *self.tried.entry(pointer.to_owned()).or_default() += 1;
            let mut changed = self.manifest.clone();
            *changed.pointer_mut(place).expect("it is there") = value.clone();
            // An example by itself cannot know the rest: names that are taken, people who are there, other waves.
            let rest = [codes::CONTRADICTION, codes::DANGLING_REFERENCE, codes::WAVES, codes::AFTER_CIRCLE];
            let codes = refused(self.kind, &changed);
            assert!(codes.iter().all(|code| rest.contains(code)), "{pointer} at {place}: {value}: {codes:?}");
        }
        // What narrows a definition leaves some of its examples out.
        let narrows = object.contains_key("pattern") || object.contains_key("anyOf");
        if let Some(name) = object.get("$ref").and_then(Value::as_str).filter(|_| !narrows) {
            let below = name.trim_start_matches('#').to_owned();
            let root = self.root;
            self.at(root.pointer(&below).expect("a definition"), &below, place);
        }
        for key in ["oneOf", "anyOf"] {
            for (at, schema) in object.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.at(schema, &format!("{pointer}/{key}/{at}"), place);
            }
        }
        for (name, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.at(schema, &format!("{pointer}/properties/{name}"), &format!("{place}/{name}"));
        }
        let named = object.get("patternProperties").and_then(Value::as_object);
        let rest = named.into_iter().flatten().chain(object.get_key_value("additionalProperties"));
        for (key, schema) in rest {
            for name in found.as_object().into_iter().flat_map(Map::keys) {
                let name = name.replace('~', "~0").replace('/', "~1");
                self.at(schema, &format!("{pointer}/{key}"), &format!("{place}/{name}"));
            }
        }
        let first = object.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
        let items = first.chain(std::iter::repeat_with(|| object.get("items")).map_while(|items| items));
        for (at, schema) in items.take(found.as_array().map_or(0, Vec::len)).enumerate() {
            self.at(schema, &format!("{pointer}/items"), &format!("{place}/{at}"));
        }
    }
}

#[test]
fn examples_and_defaults_are_taken_in_their_place() {
    let mut tried = BTreeMap::new();
    for kind in Kind::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/valid").join(kind.folder());
        let schema = schema(kind);
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a readable folder").path();
            let name = match kind {
                Kind::TrustPolicy => "policy.yaml",
                _ => path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8"),
            };
            let text = std::fs::read(&path).expect("a readable file");
            let Ok(manifest) = yaml::parse(&format!("{}/{name}", kind.folder()), &text) else { continue };
            let manifest = as_json(&manifest);
            Trial { kind, root: schema.as_value(), manifest: &manifest, tried: &mut tried }.at(
                schema.as_value(),
                "",
                "",
            );
        }
    }
    for kind in Kind::ALL {
        each_schema(kind, &mut |pointer, object| {
            // Keys of maps are tried where the same form is a value.
            let says = object.contains_key("examples") || object.contains_key("default");
            assert!(!says || pointer.is_empty() || tried.contains_key(pointer), "{kind}: nothing tried {pointer}");
        });
    }
}
