//! Looks at files for probes. Unlike what is placed, what is looked at may be reached through links, such as `current` of an
//! artifact; a link leads nowhere but beneath the root, as if that were the root of the file system.

use std::path::Path;

use bellwether_schemas::spec::DevicePath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::ApplyError;
use super::root::Root;

/// How often a look is repeated that something moved away under.
const TRIES: u32 = 16;

/// Whether a regular file is at a path of the device, and not empty. Nothing is opened for it: a device or a pipe must not
/// notice that it was looked at.
pub(crate) fn is_filled_file(root: &Path, path: &DevicePath) -> Result<bool, ApplyError> {
    let root = Root::open(root)?;
    let stat = match follow(&root, path) {
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => look_strictly(&root, path)?,
        Err(Errno::NOENT | Errno::NOTDIR) => None,
        Err(errno) => return Err(ApplyError::device("look at", path.as_str())(errno)),
        Ok(stat) => Some(stat),
    };
    Ok(stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size > 0))
}

fn follow(root: &Root, path: &DevicePath) -> Result<Stat, Errno> {
    let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
    let mut tries = 1;
    loop {
        match rustix::fs::openat2(root, path.relative(), flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile, anywhere: the kernel cannot say that `..` stayed beneath the root.
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            opened => return rustix::fs::fstat(opened?),
        }
    }
}

/// Looks without following any link.
fn look_strictly(root: &Root, path: &DevicePath) -> Result<Option<Stat>, ApplyError> {
    let Some(place) = root.place(path.as_str(), false)? else { return Ok(None) };
    match rustix::fs::statat(&place.dir, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(ApplyError::device("look at", path.as_str())(errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A root beside which lies something that must not be seen.
    fn device() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let app = dir.path().join("root/opt/app");
        std::fs::create_dir_all(app.join("0123")).expect("made");
        std::fs::create_dir_all(dir.path().join("root/etc")).expect("made");
        std::fs::write(app.join("0123/app"), "x").expect("written");
        std::fs::write(app.join("0123/empty"), "").expect("written");
        std::fs::write(dir.path().join("outside"), "x").expect("written");
        symlink("0123", app.join("current")).expect("linked");
        dir
    }

    fn is_filled(dir: &tempfile::TempDir, path: &str) -> bool {
        is_filled_file(&dir.path().join("root"), &path.parse().expect("a path")).expect("it can be looked at")
    }

    #[test]
    fn what_a_link_leads_to_is_seen() {
        let dir = device();
        assert!(is_filled(&dir, "/opt/app/current/app"), "an artifact");
        assert!(!is_filled(&dir, "/opt/app/current/empty"));
        assert!(!is_filled(&dir, "/opt/app/current/absent"));
        assert!(!is_filled(&dir, "/opt/app/current/app/x"));
        symlink("/opt/app/current/app", dir.path().join("root/etc/absolute")).expect("linked");
        assert!(is_filled(&dir, "/etc/absolute"), "absolute means from the root of the device");
    }

    #[test]
    fn nothing_outside_the_root_is_seen() {
        let dir = device();
        let link = |to: &Path, name: &str| symlink(to, dir.path().join("root/etc").join(name)).expect("linked");
        link(&dir.path().join("outside"), "absolute");
        link(Path::new("../../outside"), "upwards");
        link(Path::new("../../../../../../../../etc/hostname"), "far-upwards");
        link(Path::new("/proc/self/exe"), "magic");
        for name in ["absolute", "upwards", "far-upwards", "magic"] {
            assert!(!is_filled(&dir, &format!("/etc/{name}")), "{name}");
        }
        std::fs::write(dir.path().join("root/outside"), "x").expect("written");
        assert!(is_filled(&dir, "/etc/upwards"), "above the root is the root");
        link(Path::new("itself"), "itself");
        let endless = is_filled_file(&dir.path().join("root"), &"/etc/itself".parse().expect("a path"));
        assert!(matches!(endless, Err(ApplyError::Device { .. })), "{endless:?}");
    }

    #[test]
    fn magic_links_lead_nowhere() {
        let endless = is_filled_file(Path::new("/"), &"/proc/self/exe".parse().expect("a path"));
        assert!(matches!(endless, Err(ApplyError::Device { .. })), "{endless:?}");
    }

    #[test]
    fn only_regular_files_count_and_none_is_opened() {
        let dir = device();
        let etc = dir.path().join("root/etc");
        rustix::fs::mknodat(rustix::fs::CWD, etc.join("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        let _listener = UnixListener::bind(etc.join("socket")).expect("a socket");
        symlink("pipe", etc.join("to-pipe")).expect("linked");
        for path in ["/etc", "/etc/pipe", "/etc/to-pipe", "/etc/socket", "/opt/app/current"] {
            assert!(!is_filled(&dir, path), "{path}");
        }
        assert!(!is_filled_file(Path::new("/dev"), &"/zero".parse().expect("a path")).expect("it can be looked at"));
    }

    #[test]
    fn without_the_call_no_link_is_followed() {
        let dir = device();
        let root = Root::open(&dir.path().join("root")).expect("a root");
        let look = |path: &str| look_strictly(&root, &path.parse().expect("a path"));
        assert!(look("/opt/app/0123/app").expect("it can be looked at").is_some());
        assert!(look("/opt/app/0123/absent").expect("it can be looked at").is_none());
        assert!(matches!(look("/opt/app/current/app"), Err(ApplyError::Unsafe { .. })));
    }
}
