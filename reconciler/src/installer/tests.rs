use std::process::Command;

use jiff::Timestamp;

use super::*;

/// An authority with these names in the server's certificate, and a root beside the keys.
fn source(names: &[&str], address: &str) -> (tempfile::TempDir, Source) {
    let dir = tempfile::tempdir().expect("a directory");
    let names: Vec<_> = names.iter().map(|name| name.parse().expect("a name")).collect();
    crate::pki::init(&dir.path().join("ca"), &names, Timestamp::now()).expect("an authority");
    let keys = dir.path().join("online");
    crate::keys::init(&dir.path().join("keys"), &keys, Timestamp::now()).expect("keys");
    let source = Source { ca: dir.path().join("ca"), keys, address: address.to_owned() };
    (dir, source)
}

#[test]
fn the_script_holds_what_to_trust_and_is_the_same_each_time() {
    let (dir, source) = source(&["bellwether.example", "10.0.0.5"], "https://bellwether.example:8440");
    let script = source.make().expect("a script");
    assert_eq!(source.make().expect("a script"), script);
    assert!(script.text.contains("SERVER='https://bellwether.example:8440'\n"));
    assert!(script.text.contains("NAMES='bellwether.example, 10.0.0.5'\n"));
    let marks = ["@SERVER@", "@NAMES@", "@CA@", "@ROOT@"];
    assert!(marks.iter().all(|mark| !script.text.contains(mark)), "everything was put in");

    // What the shell makes of it is what was put in.
    let file = dir.path().join("install.sh");
    let functions = script.text.trim_end().strip_suffix("main \"$@\"").expect("the call of main comes last").to_owned();
    std::fs::write(&file, functions + "write_ca\nprintf '\\n--\\n'\nwrite_root\n").expect("written");
    let output = Command::new("sh").arg(&file).env_clear().output().expect("sh runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let (ca, root) = printed.split_once("\n--\n").expect("both");
    let read = |path: PathBuf| std::fs::read_to_string(path).expect("read");
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec();
    assert_eq!(der(ca), der(&read(source.ca.join("ca.crt"))));
    assert_eq!(root, read(source.keys.join("1.root.json")));

    // Without its last line nothing happens: a script that arrived in part is harmless.
    let cut = script.text.len() - "main \"$@\"\n".len();
    std::fs::write(&file, &script.text[..cut]).expect("written");
    let output = Command::new("sh").arg(&file).env_clear().output().expect("sh runs");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_address_that_devices_would_refuse_makes_no_script() {
    let names = ["bellwether.example", "10.0.0.5", "fd00::1"];
    for (address, is_good) in [
        ("https://bellwether.example:8440", true),
        ("https://BELLWETHER.example:8440", true),
        ("https://10.0.0.5:8440", true),
        ("https://[fd00::1]:8440", true),
        ("https://[fd00:0:0::1]:8440", true),
        ("https://other.example:8440", false),
        ("https://10.0.0.6:8440", false),
        ("http://10.0.0.5:8440", false),
        ("10.0.0.5:8440", false),
        ("", false),
    ] {
        let (_dir, source) = source(&names, address);
        match source.make() {
            Ok(_) => assert!(is_good, "{address}"),
            Err(error) => {
                assert!(!is_good, "{address}: {error}");
                assert_eq!(error.code(), codes::INSTALLER_ADDRESS);
                assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}");
            }
        }
    }
}

#[test]
fn the_newest_root_is_pinned_and_a_file_that_is_none_is_named() {
    let (_dir, source) = source(&["localhost"], "https://localhost:1");
    for (name, content) in [("2.root.json", "two"), ("10.root.json", "it's ten"), ("notes.root.json", "none")] {
        std::fs::write(source.keys.join(name), content).expect("written");
    }
    assert!(source.make().expect("a script").text.contains("printf %s 'it'\\''s ten'"));
    std::fs::write(source.ca.join("ca.crt"), "$(reboot)\n").expect("written");
    let error = source.make().expect_err("no certificate");
    assert!(error.to_string().ends_with("ca.crt is no certificate"), "{error}");
}

#[test]
fn shellcheck_finds_nothing() {
    let (dir, source) = source(&["localhost"], "https://localhost:1");
    let file = dir.path().join("install.sh");
    std::fs::write(&file, source.make().expect("a script").text).expect("written");
    match Command::new("shellcheck").args(["-s", "sh"]).arg(&file).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => println!("skipped: shellcheck is not installed (Debian: shellcheck)"),
    }
}
