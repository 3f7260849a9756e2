//! The way onto a device: the script as its operator runs it, against a real reconciler.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_schemas::api::Summary;
use bellwether_tests::process::Process;
use bellwether_tests::site::{token, token_hash};
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];
/// What the script may use, besides curl, wget and openssl.
const TOOLS: [&str; 22] = [
    "sh",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "cut",
    "date",
    "grep",
    "head",
    "id",
    "ln",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "stty",
    "tail",
    "tee",
    "tr",
    "uname",
];

/// A site with an agent to download and an installer, and folders for devices and programs.
struct Stage {
    site: Site,
    script: PathBuf,
}

impl Stage {
    /// The stage; none where there is no program that downloads.
    fn new(names: &str) -> Option<Self> {
        if !exists("curl") {
            return None;
        }
        let mut site = SiteBuilder::new(PART, 1).names(names).build();
        site.start_reconciler();
        site.wait_repository("the introduction is accepted", |repository| repository.head.is_some());
        for target in TARGETS {
            let program = site.path("reconciler/agents").join(target).join("bellwether-agent");
            write_program(&program, &format!("exec {PART} agent \"$@\""));
        }
        let script = site.path("install.sh");
        let (status, said) = Process::run(
            Path::new(PART),
            &[
                "reconciler",
                "installer",
                "--config",
                text(&site.path("reconciler/reconciler.yaml")),
                "--out",
                text(&script),
            ],
        );
        assert!(status.success() && said.contains("SHA-256 "), "{said}");
        Some(Self { site, script })
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.site.path(name);
        std::fs::write(&path, content).expect("a file can be written");
        text(&path).to_owned()
    }

    fn root(&self, name: &str) -> PathBuf {
        let root = self.site.path("devices").join(name);
        std::fs::create_dir_all(&root).expect("a folder can be made");
        root
    }

    /// A folder with the programs that the script may use: the usual ones, and these.
    fn programs(&self, more: &[&str]) -> PathBuf {
        let folder = self.site.path(&format!("bin-{}", more.join("-")));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        for tool in TOOLS.iter().chain(more) {
            let found = ["/usr/bin", "/bin", "/usr/local/bin"].map(|dir| Path::new(dir).join(tool));
            let found = found.into_iter().find(|path| path.exists());
            let link = folder.join(tool);
            if let Some(found) = found.filter(|_| !link.exists()) {
                symlink(found, link).expect("a link can be made");
            }
        }
        folder
    }

    fn run(&self, path: &Path, arguments: &[&str]) -> (i32, String) {
        self.run_by("/bin/sh", path, arguments)
    }

    fn run_by(&self, shell: &str, path: &Path, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(shell);
        if shell.ends_with("busybox") {
            command.arg("sh");
        }
        let output = command
            .arg(&self.script)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("TMPDIR", self.site.path("."))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("a shell runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().expect("it ends by itself"), said)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a UTF-8 name")
}

fn write_program(path: &Path, line: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    std::fs::write(path, format!("#!/bin/sh\n{line}\n")).expect("a file can be written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode can be set");
}

fn exists(program: &str) -> bool {
    let found = ["/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

#[test]
fn a_new_device_is_installed_enrolled_and_runs_and_a_second_run_keeps_what_it_is() {
    let Some(stage) = Stage::new("127.0.0.1") else { return };
    let (root, path) = (stage.root("new"), stage.programs(&["curl"]));
    let at = |path: &str| root.join(path);
    let read = |path: &str| std::fs::read_to_string(at(path)).expect("the file is there");
    let token_file = stage.file("token", &format!("{}\n", stage.site.tokens["edge-1"]));
    let install = |more: &[&str]| {
        let (code, said) = stage.run(&path, &[&["--root", text(&root)], more].concat());
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains(&stage.site.tokens["edge-1"]), "a token is a secret");
        said
    };
    let allow = ["--allow-path", "/opt/bellwether", "--allow-path", "/srv/it's \"b\"", "--allow-exec", "/bin/true"];
    let said = install(&[&["--token-file", &token_file], &allow[..]].concat());
    assert!(said.contains("enrolled as edge-1") && said.contains("downloading"), "{said}");
    let config = read("etc/bellwether/agent.yaml");
    assert!(config.contains(r#"paths: ["/opt/bellwether", "/srv/it's \"b\""]"#), "{config}");
    assert!(config.contains(r#"exec: ["/bin/true"]"#) && config.contains("units: []"), "{config}");
    assert!(at("opt/bellwether").is_dir() && at("srv/it's \"b\"").is_dir(), "what is allowed is there");
    let unit = read("etc/systemd/system/bellwether-agent.service");
    assert!(unit.contains("ExecStart=/usr/local/bin/bellwether-agent run --config /etc/bellwether/agent.yaml\n"));
    assert!(unit.contains("ReadWritePaths=-/opt/bellwether\nReadWritePaths=\"-/srv/it's \\\"b\\\"\"\n"), "{unit}");
    let wanted = at("etc/systemd/system/multi-user.target.wants/bellwether-agent.service");
    assert_eq!(std::fs::read_link(wanted).expect("a link"), Path::new("/etc/systemd/system/bellwether-agent.service"));
    let mode = |path: &str| std::fs::metadata(at(path)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("usr/local/bin/bellwether-agent"), mode("var/lib/bellwether")), (0o755, 0o700));
    let left: Vec<_> = std::fs::read_dir(at("usr/local/bin")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "nothing half is left");

    let (state, config_file) = (at("var/lib/bellwether"), at("etc/bellwether/agent.yaml"));
    let arguments = ["run", "--config", text(&config_file), "--root", text(&root), "--state", text(&state)];
    let _agent = Process::start(&at("usr/local/bin/bellwether-agent"), &arguments, &stage.site.path("agent.log"));
    stage.site.wait_summary("edge-1", Summary::Online);
    assert_eq!(
        stage.site.wait("it is applied", || std::fs::read_to_string(at("opt/bellwether/message")).ok()),
        "message 1 for edge-1\n"
    );

    // Again, without a token: nothing is enrolled, nothing is lost, and it works beside a running agent.
    let identity = read("var/lib/bellwether/identity.json");
    let said = install(&[]);
    assert!(said.contains("is the reconciler's already") && said.contains("kept"), "{said}");
    install(&["--allow-exec", "/bin/false"]);
    assert_eq!(read("etc/bellwether/agent.yaml"), config, "the operator's file is kept");
    assert!(read("etc/bellwether/agent.yaml.new").contains("/bin/false"));
    install(&["--allow-exec", "/bin/false", "--force-config"]);
    assert!(read("etc/bellwether/agent.yaml").contains("/bin/false"));
    assert_eq!(read("var/lib/bellwether/identity.json"), identity);

    // A newer agent on the reconciler comes with the next run.
    for target in TARGETS {
        let program = stage.site.path("reconciler/agents").join(target).join("bellwether-agent");
        write_program(&program, &format!("# newer\nexec {PART} agent \"$@\""));
    }
    assert!(install(&[]).contains("installed"));
    assert!(read("usr/local/bin/bellwether-agent").contains("# newer"));
}

#[test]
fn the_script_works_by_busybox_from_standard_input_and_by_what_is_served() {
    let Some(stage) = Stage::new("127.0.0.1") else { return };
    let served = bellwether_tests::https::client(&std::fs::read_to_string(stage.site.ca()).expect("a CA"), None);
    let served = served.get(format!("{}/install.sh", stage.site.addresses().enroll)).send().expect("an answer");
    let script = std::fs::read_to_string(&stage.script).expect("a script");
    assert_eq!(served.text().expect("text"), script, "the command and the listener give the same bytes");

    let root = stage.root("piped");
    let path = stage.programs(&["curl"]);
    let pipe = format!("printf '%s' \"$TOKEN\" | sh {} --root {} --token-file -", text(&stage.script), text(&root));
    let output = Command::new("/bin/sh")
        .args(["-c", &pipe])
        .env_clear()
        .env("PATH", &path)
        .env("TOKEN", &stage.site.tokens["edge-1"])
        .output()
        .expect("a shell runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let (code, said) = stage.run(&path, &["--help"]);
    assert!(code == 0 && said.contains("Exit codes: 0 done;"), "{said}");
    if exists("busybox") {
        let root = stage.root("image");
        let agent = stage.site.path("reconciler/agents").join(TARGETS[0]).join("bellwether-agent");
        let (code, said) = stage.run_by(
            "/bin/busybox",
            &path,
            &["--root", text(&root), "--no-enroll", "--agent", text(&agent), "--prefix", "/opt/bw"],
        );
        assert_eq!(code, 0, "{said}");
        assert!(root.join("opt/bw/bin/bellwether-agent").exists() && !root.join("var/lib/bellwether").exists());
    }
}

#[test]
fn each_failure_says_what_it_is_and_what_to_do_and_spends_no_token() {
    let Some(stage) = Stage::new("127.0.0.1,bellwether.test") else { return };
    let (root, server) = (stage.root("failing"), stage.site.addresses().enroll.clone());
    let good = stage.file("token", &stage.site.tokens["edge-1"]);
    let curl = stage.programs(&["curl", "openssl"]);
    let fails = |path: &Path, arguments: &[&str], expected: i32, code: &str| {
        let (found, said) = stage.run(path, &[&["--root", text(&root)], arguments].concat());
        assert_eq!(found, expected, "{arguments:?}: {said}");
        assert!(said.contains(code) && (said.contains("hint: ") || said.contains(" — ")), "{arguments:?}: {said}");
        assert!(!root.join("var/lib/bellwether/identity.json").exists(), "there is no certificate");
        said
    };

    // Before anything is changed.
    fails(&curl, &["--token", &stage.site.tokens["edge-1"]], 2, "BW-0720");
    fails(&curl, &["--allow-path", "opt/x"], 2, "BW-0720");
    fails(&curl, &["--server", "http://127.0.0.1:1"], 2, "BW-0720");
    fails(&curl, &["--token-file", &good, "--start"], 11, "BW-0663");
    fails(&curl, &["--token-file", "/nonexistent"], 10, "BW-0666");
    fails(&curl, &["--token-file", &stage.file("empty", "")], 10, "BW-0666");
    fails(&stage.programs(&["busybox"]), &["--token-file", &good], 4, "BW-0661");
    assert!(std::fs::read_dir(&root).expect("a folder").next().is_none(), "nothing was written");
    let user = stage.programs(&["curl", "user"]);
    std::fs::remove_file(user.join("id")).expect("it was linked");
    write_program(&user.join("id"), "echo 1000");
    let (code, said) = stage.run(&user, &["--token-file", &good]);
    assert!(code == 3 && said.contains("BW-0660"), "{said}");

    // On the way to the reconciler, by each program that downloads.
    let mut ways = vec![curl.clone()];
    if exists("wget") {
        ways.push(stage.programs(&["wget"]));
    }
    for path in &ways {
        let by_name = server.replace("127.0.0.1", "localhost");
        let said = fails(path, &["--token-file", &good, "--server", &by_name], 6, "BW-0611");
        assert!(said.contains("localhost") && said.contains("127.0.0.1, bellwether.test"), "the names: {said}");
        let said = fails(path, &["--token-file", &good, "--server", "https://127.0.0.1:1"], 5, "BW-0610");
        assert!(said.contains("cannot connect"), "{said}");
        let said = fails(path, &["--token-file", &good, "--server", "https://no.invalid:8440"], 5, "BW-0610");
        assert!(said.contains("cannot be resolved"), "{said}");
    }
    // What curl says when packets are dropped: waiting for it would take minutes.
    let late = stage.programs(&["late"]);
    write_program(&late.join("curl"), "echo 'curl: (28) Connection timed out' >&2; exit 28");
    let said = fails(&late, &["--token-file", &good], 5, "BW-0610");
    assert!(said.contains("no answer in time") && said.contains("packets are dropped"), "{said}");
    let mut elsewhere = SiteBuilder::new(PART, 1).build();
    elsewhere.start_reconciler();
    for path in &ways {
        let other = elsewhere.addresses().enroll.clone();
        fails(path, &["--token-file", &good, "--server", &other], 7, "BW-0612");
    }

    // The reconciler offers no agent.
    let agents = stage.site.path("reconciler/agents");
    std::fs::rename(&agents, agents.with_extension("away")).expect("moved");
    for path in &ways {
        let said = fails(path, &["--token-file", &good], 8, "BW-0664");
        assert!(said.contains("no agent for") && said.contains("agents/<target>/bellwether-agent"), "{said}");
    }
    std::fs::rename(agents.with_extension("away"), &agents).expect("moved");

    // The disk, and an agent that does not run here.
    std::fs::write(root.join("usr"), "").expect_err("the folder is there by now");
    let full = stage.root("full");
    std::fs::write(full.join("usr"), "in the way").expect("a file can be written");
    let (code, said) = stage.run(&curl, &["--root", text(&full), "--token-file", &good]);
    assert!(code == 9 && said.contains("BW-0665"), "{code} {said}");
    let foreign = stage.file("foreign", "no program");
    fails(&curl, &["--token-file", &good, "--agent", &foreign], 4, "BW-0662");

    // The token.
    let unknown = stage.file("unknown", &token("never minted"));
    fails(&curl, &["--token-file", &unknown], 10, "BW-0311");
    let hash = token_hash(&token("old"));
    let entry = format!("    - {{id: old, sha256: {hash}, expires: 2020-01-01T00:00:00Z}}\n");
    let manifest =
        "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: spare\nspec:\n  tokens:\n".to_owned();
    stage.site.engineer.write("enrollments/spare.yaml", &(manifest + &entry));
    let landed = stage.site.land("A token of the past");
    stage.site.wait_head(&landed);
    let said = fails(&curl, &["--token-file", &stage.file("old", &token("old"))], 10, "BW-0312");
    assert!(said.contains("token mint"), "{said}");

    // By all of this no token was spent; used once, it is.
    let (code, said) = stage.run(&curl, &["--root", text(&root), "--token-file", &good]);
    assert_eq!(code, 0, "{said}");
    let thief = stage.root("thief");
    let (code, said) = stage.run(&curl, &["--root", text(&thief), "--token-file", &good]);
    assert!(code == 10 && said.contains("BW-0314") && said.contains("token mint"), "{code} {said}");
}

/// What is said to systemd, by a program that writes it down.
#[test]
fn systemd_starts_the_agent_and_a_failed_enrollment_leaves_it_running() {
    let Some(stage) = Stage::new("127.0.0.1") else { return };
    let (root, path) = (stage.root("served"), stage.programs(&["curl", "systemctl-fake"]));
    std::fs::create_dir_all(root.join("run/systemd/system")).expect("a folder can be made");
    let log = stage.site.path("systemctl.log");
    let systemctl =
        |line: &str| write_program(&path.join("systemctl"), &format!("echo \"$*\" >> {}\n{line}", text(&log)));
    let run = |more: &[&str]| {
        let _ = std::fs::remove_file(&log);
        let (code, said) = stage.run(&path, &[&["--root", text(&root), "--start"], more].concat());
        (code, std::fs::read_to_string(&log).unwrap_or_default(), said)
    };
    systemctl("[ \"$1\" != is-active ]");
    let (code, asked, said) = run(&["--token-file", &stage.file("token", &stage.site.tokens["edge-1"])]);
    assert_eq!(code, 0, "{said}");
    let (reload, restart) = ("daemon-reload\n", "restart bellwether-agent.service\n");
    assert_eq!(asked, format!("is-active --quiet bellwether-agent.service\n{reload}{restart}"));

    systemctl("exit 0");
    let (code, asked, said) = run(&["--token-file", &stage.file("token", &token("never minted"))]);
    assert_eq!(code, 10, "{said}");
    let is_active = "is-active --quiet bellwether-agent.service\n";
    let (stop, start) = ("stop bellwether-agent.service\n", "start bellwether-agent.service\n");
    assert_eq!(asked, format!("{is_active}{stop}{start}"), "a device that ran is not left standing");

    systemctl("[ \"$1\" != restart ]");
    let (code, asked, said) = run(&[]);
    assert!(code == 12 && said.contains("BW-0667") && said.contains("journalctl"), "{code} {said}");
    assert_eq!(asked, format!("{reload}{restart}"), "there is nothing to go back to");

    // A newer agent that does not start: the device goes on with what it had, the file of its operator included.
    let files =
        ["usr/local/bin/bellwether-agent", "etc/bellwether/agent.yaml", "etc/systemd/system/bellwether-agent.service"];
    let read = || files.map(|file| std::fs::read_to_string(root.join(file)).expect("the file is there"));
    let offer = |line: &str| {
        for target in TARGETS {
            let program = stage.site.path("reconciler/agents").join(target).join("bellwether-agent");
            write_program(&program, &format!("# {line}\nexec {PART} agent \"$@\""));
        }
    };
    let before = read();
    offer("broken");
    systemctl(&format!("[ \"$1\" != restart ] || ! grep -q '# broken' {}", text(&root.join(files[0]))));
    let (code, asked, said) = run(&["--allow-path", "/srv/more", "--force-config"]);
    assert!(code == 12 && said.contains("BW-0667") && said.contains("before runs again"), "{code} {said}");
    assert_eq!(asked, format!("{reload}{restart}{reload}{start}"));
    assert_eq!(read(), before);
    let left = |folder: &str| std::fs::read_dir(root.join(folder)).expect("a folder").count();
    assert_eq!((left("usr/local/bin"), left("etc/bellwether")), (1, 1), "nothing half is left");

    // One that does start stays, and the one before is at hand.
    offer("newer");
    let (code, _, said) = run(&[]);
    assert_eq!(code, 0, "{said}");
    assert!(read()[0].contains("# newer"));
    let previous = root.join("usr/local/bin/bellwether-agent.previous");
    assert_eq!(std::fs::read_to_string(previous).expect("it is there"), before[0]);
}

#[test]
fn an_image_begins_by_itself_once_it_is_enrolled() {
    let Some(stage) = Stage::new("127.0.0.1") else { return };
    let (root, path) = (stage.root("image"), stage.programs(&["curl"]));
    let root_is = ["--root", text(&root)];
    let (code, said) = stage.run(&path, &[&root_is[..], &["--no-enroll"]].concat());
    assert_eq!(code, 0, "{said}");
    // What the unit runs when the device is switched on.
    let (state, config) = (root.join("var/lib/bellwether"), root.join("etc/bellwether/agent.yaml"));
    let arguments = ["run", "--config", text(&config), "--root", text(&root), "--state", text(&state)];
    let agent = Process::start(&root.join("usr/local/bin/bellwether-agent"), &arguments, &stage.site.path("agent.log"));
    stage.site.wait("it waits", || agent.log().contains("BW-0602").then_some(()));
    let token = stage.file("token", &stage.site.tokens["edge-1"]);
    let (code, said) = stage.run(&path, &[&root_is[..], &["--token-file", &token]].concat());
    assert!(code == 0 && said.contains("enrolled as edge-1"), "{said}");
    stage.site.wait_summary("edge-1", Summary::Online);
}

#[test]
fn a_clock_that_is_off_is_told_from_a_server_that_is_not_trusted() {
    let Some(stage) = Stage::new("127.0.0.1") else { return };
    if !exists("faketime") || !exists("openssl") {
        return;
    }
    let (root, path) = (stage.root("past"), stage.programs(&["curl", "openssl", "faketime"]));
    let token = stage.file("token", &stage.site.tokens["edge-1"]);
    let output = Command::new("/usr/bin/faketime")
        .args(["2001-01-01 00:00:00", "/bin/sh", text(&stage.script), "--root", text(&root), "--token-file", &token])
        .env_clear()
        .env("PATH", &path)
        .output()
        .expect("faketime runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("BW-0616") && said.contains("2001") && said.contains("Set the clock"), "{said}");
    assert!(!root.join("var/lib/bellwether/identity.json").exists());
}

#[test]
fn a_device_without_a_token_waits_until_an_engineer_approves_its_key() {
    let Some(stage) = Stage::new("127.0.0.1") else { return };
    let manifest =
        "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: kiosks\nspec:\n  approval: manual\n";
    stage.site.engineer.write("enrollments/kiosks.yaml", manifest);
    let landed = stage.site.land("Kiosks come in by approval");
    stage.site.wait_head(&landed);

    let (root, path) = (stage.root("kiosk"), stage.programs(&["curl"]));
    let arguments = [text(&stage.script), "--root", text(&root), "--enrollment", "kiosks"];
    let log = stage.site.path("install.log");
    let with_path =
        [&["PATH=".to_owned() + text(&path), "/bin/sh".to_owned()][..], &arguments.map(str::to_owned)].concat();
    let with_path: Vec<&str> = with_path.iter().map(String::as_str).collect();
    let mut installing = Process::start(Path::new("/usr/bin/env"), &with_path, &log);
    let fingerprint = stage.site.wait("the device waits", || {
        let said = installing.log();
        let line = said.lines().find_map(|line| line.strip_prefix("fingerprint "))?;
        said.contains("device approve").then(|| line.to_owned())
    });
    let approved = format!("  approved:\n    - {{id: k1, fingerprint: \"{fingerprint}\", device: kiosk-1}}\n");
    stage.site.engineer.write("enrollments/kiosks.yaml", &(manifest.to_owned() + &approved));
    stage.site.land("Approve a kiosk");
    assert!(installing.wait().success(), "{}", installing.log());
    assert!(installing.log().contains("enrolled as kiosk-1"), "{}", installing.log());

    let (code, said) =
        stage.run(&path, &["--root", text(&stage.root("late")), "--enrollment", "kiosks", "--wait", "0s"]);
    assert!(code == 10 && said.contains("BW-0319"), "{code} {said}");
    let token = stage.file("token", &stage.site.tokens["edge-1"]);
    let (code, said) = stage.run(&path, &["--root", text(&root), "--enrollment", "kiosks", "--token-file", &token]);
    assert!(code == 2 && said.contains("BW-0720"), "{code} {said}");
}
