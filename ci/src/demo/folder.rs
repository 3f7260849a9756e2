//! The demo's folder: a demo that is there goes on, one that was never finished is made anew, all else is left alone.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bellwether_schemas::codes;

use super::children::failed;
use super::place::Place;
use super::setup;
use crate::failure::{self, Failure};
use crate::output;

/// How many devices a demo has if nobody says.
const DEVICES: u32 = 5;
/// What stands in the mark of a demo that is not finished; without it a folder is nobody's to empty.
const MARK: &str = "bellwether demo is making this folder. If it was stopped, its next start makes the folder anew.\n";

/// The demo in `dir`: the one that is there, or a new one. It is nobody else's as long as the file is open.
pub(super) fn prepare(dir: &Path, devices: Option<u32>) -> Result<(Place, File), Failure> {
    fs::create_dir_all(dir).map_err(|e| failure::file("cannot make", dir, &e))?;
    let absolute = dir.canonicalize().map_err(|e| failure::file("cannot find", dir, &e))?;
    let place = Place::new(dir, absolute.clone(), devices.unwrap_or(DEVICES));
    if place.marker().exists() && !is_unfinished(&place) {
        let there = marked_devices(&place.marker())?;
        same_number(dir, there, devices)?;
        let held = hold(&place.marker(), &place)?;
        output::note(format!("Going on with the demo in {}, which has {}.", dir.display(), counted(there)));
        return Ok((Place::new(dir, absolute, there), held));
    }
    let _making = begin(&place)?;
    setup::make(&place)?;
    let marker = serde_json::json!({ "devices": devices.unwrap_or(DEVICES) }).to_string();
    setup::write(&place.marker(), marker.as_bytes())?;
    let held = hold(&place.marker(), &place)?;
    remove(&place.unfinished())?;
    Ok((place, held))
}

fn counted(devices: u32) -> String {
    if devices == 1 { "1 device".to_owned() } else { format!("{devices} devices") }
}

/// A demo keeps the devices it was made with: their tokens are in its first commit.
fn same_number(dir: &Path, there: u32, wanted: Option<u32>) -> Result<(), Failure> {
    let Some(wanted) = wanted.filter(|wanted| *wanted != there) else { return Ok(()) };
    let dir = dir.display();
    let message = format!("the demo in {dir} has {}, and --devices asks for {wanted}", counted(there));
    Err(Failure::new(codes::USAGE, message).hint(format!(
        "Leave --devices out to go on with it. For another number name another folder with --dir, or remove this one \
         first: rm -r {dir}"
    )))
}

/// Marks the folder as a demo that is being made; what an earlier start left unfinished goes first. The mark stays locked
/// as long as the file is open.
fn begin(place: &Place) -> Result<File, Failure> {
    let mark = place.unfinished();
    let dir = place.shown().display();
    let unfinished = is_unfinished(place);
    let ours = |path: &PathBuf| unfinished && (*path == mark || place.parts().contains(path));
    if let Some(other) = entries(place)?.iter().find(|path| !ours(path)) {
        let other = other.file_name().unwrap_or_default().display();
        let message = format!("{dir} is not empty ({other}), and no demo that could go on");
        return Err(
            Failure::new(codes::NOT_EMPTY, message).hint("Name another folder: bellwether demo --dir /tmp/demo")
        );
    }
    if unfinished {
        let _held = hold(&mark, place)?;
        output::note(format!("The demo in {dir} was stopped before it was complete: making it anew …"));
        place.parts().iter().try_for_each(|part| remove(part))?;
        remove(&mark)?;
    }
    let made = File::options().write(true).create_new(true).open(&mark);
    let mut held = made.map_err(|e| failure::file("cannot make", &mark, &e))?;
    lock(&held, place)?;
    held.write_all(MARK.as_bytes()).map_err(|e| failure::file("cannot write", &mark, &e))?;
    Ok(held)
}

/// What is in the folder.
fn entries(place: &Place) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(place.dir()).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    listed.map_err(|e| failure::file("cannot read", place.dir(), &e))
}

fn is_unfinished(place: &Place) -> bool {
    fs::read(place.unfinished()).is_ok_and(|text| text == MARK.as_bytes())
}

fn hold(file: &Path, place: &Place) -> Result<File, Failure> {
    let held = File::open(file).map_err(|e| failure::file("cannot read", file, &e))?;
    lock(&held, place)?;
    Ok(held)
}

/// Nobody else makes or runs a demo here at the same time.
fn lock(mark: &File, place: &Place) -> Result<(), Failure> {
    match mark.try_lock() {
        // Where a file system has no locks, only two starts at the same moment get into each other's way.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(failed(format!("another bellwether demo is running in {}", place.shown().display()))
                .hint("Use that one, or end it with Ctrl-C. For a second one name another folder with --dir."))
        }
    }
}

/// Removes a file or a folder, if it is there. A link goes itself, never what it leads to.
fn remove(path: &Path) -> Result<(), Failure> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    };
    removed.map_err(|e| failure::file("cannot remove", path, &e))
}

fn marked_devices(marker: &Path) -> Result<u32, Failure> {
    let text = fs::read(marker).map_err(|e| failure::file("cannot read", marker, &e))?;
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let devices = value.get("devices").and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
    devices.ok_or_else(|| failed(format!("{} does not say how many devices there are", marker.display())))
}
