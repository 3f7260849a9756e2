//! Files and folders of a site, copied and removed whole.

use std::path::Path;

use crate::Site;

/// Copies a file, or a folder with all that is in it; what is not there is left out.
pub fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("a folder can be made");
        for entry in std::fs::read_dir(from).expect("a folder can be read") {
            let name = entry.expect("an entry").file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else if from.exists() {
        std::fs::create_dir_all(to.parent().expect("a file has a folder")).expect("a folder can be made");
        std::fs::copy(from, to).expect("a file can be copied");
    }
}

/// Removes a file, or a folder with all that is in it, if it is there.
pub fn remove(path: &Path) {
    if path.is_dir() {
        std::fs::remove_dir_all(path).expect("a folder can be removed");
    } else if path.exists() {
        std::fs::remove_file(path).expect("a file can be removed");
    }
}

/// Puts files of one folder of the site into another, in place of what is there.
pub fn put(site: &Site, from: &str, to: &str, paths: &[&str]) {
    for path in paths {
        let (from, to) = (site.path(from).join(path), site.path(to).join(path));
        remove(&to);
        copy(&from, &to);
    }
}
