//! Writes the JSON Schema of every kind of manifest to `json/`, in the folder of its `apiVersion`, and those of what the
//! command prints.

use std::path::Path;

use bellwether_schemas::json_schema;
use bellwether_schemas::manifest::Kind;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    let of_kinds = folder.join(json_schema::FOLDER);
    std::fs::create_dir_all(&of_kinds)?;
    for kind in Kind::ALL {
        std::fs::write(of_kinds.join(json_schema::file_name(kind)), json_schema::text(kind))?;
    }
    std::fs::write(folder.join(json_schema::VALIDATION), json_schema::validation())?;
    std::fs::write(folder.join(json_schema::COMPARISON), json_schema::comparison())
}
