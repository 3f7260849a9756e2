//! Writes the JSON Schema of every kind of manifest to `json/`.

use std::path::Path;

use bellwether_schemas::json_schema;
use bellwether_schemas::manifest::Kind;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    std::fs::create_dir_all(&folder)?;
    for kind in Kind::ALL {
        std::fs::write(folder.join(json_schema::file_name(kind)), json_schema::text(kind))?;
    }
    Ok(())
}
