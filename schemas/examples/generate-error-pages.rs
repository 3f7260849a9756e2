//! Writes a page for each code to `docs/errors/`.

use std::path::Path;

use bellwether_schemas::error_pages;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    // What is left of a code that was never released goes.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    for (name, text) in error_pages::pages() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
