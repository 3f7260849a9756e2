//! Writes the JSON Schema of every kind of manifest to `json/`, in the folder of its `apiVersion`.

use std::path::Path;

use bellwether_schemas::json_schema;
use bellwether_schemas::manifest::Kind;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    for kind in Kind::ALL {
        let path = folder.join(json_schema::file_name(kind));
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, json_schema::text(kind))?;
    }
    Ok(())
}
