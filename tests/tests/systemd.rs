//! The agent as a service of a real systemd, which is the first process of namespaces of its own and sees copies of the folders
//! that are written to.

use std::path::Path;
use std::time::Duration;

use bellwether_schemas::api::Summary;
use bellwether_tests::process::Process;
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const SYSTEMD: &str = "/lib/systemd/systemd";
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
/// How long systemd may take to be there.
const BOOT_TIME: Duration = Duration::from_secs(20);

/// Boots: `$1` is an empty folder for what it writes, `$2` the agent's program.
const BOOT: &str = r#"set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/etc" "$1/local" "$1/lib" "$1/opt" "$1/units"
cp -a /etc/. "$1/etc/"
rm -rf "$1/etc/systemd/system"
mkdir -p "$1/etc/systemd/system"
cp "$2" "$1/opt/part"
printf '#!/bin/sh\nexec /opt/part agent "$@"\n' >"$1/opt/agent"
chmod 755 "$1/opt/agent"
for target in multi-user basic sysinit shutdown; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" >"$1/units/$target.target"
done
mount --bind "$1/etc" /etc
mount --bind "$1/local" /usr/local
mount --bind "$1/lib" /var/lib
mount --bind "$1/opt" /opt
mount -t tmpfs tmpfs /run
export container=other SYSTEMD_UNIT_PATH="/etc/systemd/system:$1/units"
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no
"#;

/// A machine with systemd. It ends with this.
struct Machine {
    process: Process,
}

impl Machine {
    /// None where the tests may not make one, which is told.
    fn boot(site: &Site) -> Option<Self> {
        if !Path::new(SYSTEMD).exists() || !rustix::process::geteuid().is_root() {
            println!("skipped: there is no systemd on this machine (Debian: systemd), or the tests do not run as root");
            return None;
        }
        let (script, folder, log) = (site.path("boot.sh"), site.path("machine"), site.path("machine.log"));
        std::fs::write(&script, BOOT).expect("written");
        std::fs::create_dir(&folder).expect("made");
        let [script, folder] = [&script, &folder].map(|path| path.to_str().expect("text"));
        let namespaces = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL", "--mount-proc"];
        let arguments = [&[PATH, "unshare"], &namespaces[..], &["sh", script, folder, PART]].concat();
        let machine = Self { process: Process::start(Path::new("/usr/bin/env"), &arguments, &log) };
        let since = std::time::Instant::now();
        while since.elapsed() < BOOT_TIME {
            if machine.first().is_some() && machine.run(&["systemctl", "is-system-running"]).1.trim() == "running" {
                return Some(machine);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("skipped: systemd cannot be the first process of a namespace here: {}", machine.process.log());
        None
    }

    /// The process id of systemd.
    fn first(&self) -> Option<String> {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(ToOwned::to_owned)
    }

    fn run(&self, command: &[&str]) -> (bool, String) {
        let first = self.first().expect("it runs");
        let enter = [PATH, "nsenter", "--target", &first, "--mount", "--pid", "--ipc", "--uts", "--"];
        let (status, said) = Process::run(Path::new("/usr/bin/env"), &[&enter[..], command].concat());
        (status.success(), said)
    }

    /// A property of the agent's unit.
    fn property(&self, name: &str) -> String {
        let (_, said) = self.run(&["systemctl", "show", "--value", "--property", name, "bellwether-agent"]);
        said.trim().to_owned()
    }
}

#[test]
fn systemd_runs_the_agent_in_its_sandbox_and_starts_it_again_until_it_is_decommissioned() {
    let mut site = SiteBuilder::new(PART, 1).build();
    let Some(machine) = Machine::boot(&site) else { return };
    site.start_reconciler();
    site.wait_repository("the introduction is accepted", |repository| repository.head.is_some());
    let (script, token) = (site.path("install.sh"), site.path("token"));
    let [script, token] = [&script, &token].map(|path| path.to_str().expect("text"));
    let (made, said) = site.reconciler(&["installer", "--out", script]);
    assert!(made, "{said}");
    std::fs::write(token, &site.tokens["edge-1"]).expect("written");

    let (done, said) = machine.run(&["sh", script, "--agent", "/opt/agent", "--token-file", token]);
    assert!(done && said.contains("the agent runs"), "{said}");
    site.wait_up_to_date(&site.introduction);
    assert_eq!(machine.run(&["cat", "/opt/bellwether/message"]), (true, "message 1 for edge-1\n".to_owned()));
    assert_eq!((machine.property("ActiveState"), machine.property("NRestarts")), ("active".into(), "0".into()));
    // What the unit keeps from it: nothing else can be written, and nobody's home is there.
    let agent = machine.property("MainPID");
    let inside = |command: &[&str]| machine.run(&[&["nsenter", "--target", &agent, "--mount", "--"], command].concat());
    assert!(inside(&["touch", "/opt/bellwether/other"]).0);
    for kept in ["/opt/other", "/usr/local/bin/other", "/etc/other"] {
        let (written, said) = inside(&["touch", kept]);
        assert!(!written && said.contains("Read-only"), "{kept}: {said}");
    }
    assert_eq!(inside(&["ls", "-A", "/root"]), (true, String::new()));

    machine.run(&["kill", "-KILL", &agent]);
    site.wait("systemd starts it again", || (machine.property("NRestarts") == "1").then_some(()));
    site.wait("it is ready", || (machine.property("ActiveState") == "active").then_some(()));

    let leaves = "apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: edge-1\nspec:\n  decommission: true\n";
    site.engineer.write("devices/edge-1.yaml", leaves);
    site.land("edge-1 leaves");
    site.wait_summary("edge-1", Summary::Decommissioned);
    let ended = || (machine.property("ActiveState"), machine.property("Result"));
    site.wait("the service ends", || (machine.property("ActiveState") == "inactive").then_some(()));
    assert_eq!(ended(), ("inactive".into(), "success".into()));
    // As after the next boot: it is no failure, after which it would be started again and again.
    let (started, said) = machine.run(&["systemctl", "start", "bellwether-agent"]);
    assert!(started, "{said}");
    site.wait("the service ends", || (machine.property("ActiveState") == "inactive").then_some(()));
    assert_eq!((ended(), machine.property("NRestarts")), (("inactive".into(), "success".into()), "0".into()));
}
