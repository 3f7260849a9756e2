//! `fleet set` changes the lines of the fields that were named, and writes nothing that would not be valid.

use bellwether_schemas::Sha256Digest;
use insta::assert_snapshot;

use crate::edits::shown;
use crate::{Ran, Sandbox};

const PATH: &str = "fleets/edge.yaml";

const FLEET: &str = "# What the kiosks run.
apiVersion: bellwether/v1
kind: Fleet
metadata: {name: edge}   # chosen by label

spec:
    selector: {matchLabels: {fleet: edge}}   # all of them
    # For templates.
    vars:
        greeting: 'Hello'   # not too long
        port: 8080
        # Said at night.
        night: {from: \"22:00\", loud: false,   text: Pssst}
        nothing:   # yet
    template:
        artifacts:
        # The firmware of the display.
        -   name: firmware
            source: {path: artifacts/fw-1.bin}   # from the vendor
            length: 5   # bytes
            sha256: 1111111111111111111111111111111111111111111111111111111111111111

            dest: /opt/bellwether/firmware

        -   { name: 'logo', source: {path: artifacts/logo}, length: 0, sha256: \"0000000000000000000000000000000000000000000000000000000000000000\", dest: /opt/bellwether/logo }
        files:
        - path: /opt/bellwether/app.conf   # read at start
          content: |
            port = {{ vars.port }}

            # not a comment of YAML
          mode: \"0644\"
        probes:
        - file: {path: /opt/bellwether/app.conf}
          timeout: 10s # usual
    # The end.
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    sandbox.write(PATH, FLEET);
    sandbox.write("artifacts/fw-1.bin", "first");
    sandbox.write("artifacts/logo", "");
    sandbox.git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "Write comments"]);
    sandbox
}

fn set(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    sandbox.bellwether(&[&["fleet", "set", "edge"], arguments].concat())
}

#[test]
fn each_field_changes_its_own_line() {
    let sandbox = sandbox();
    let mut all = String::new();
    for arguments in [
        &["vars.greeting=Good morning"][..],
        &["vars.greeting=it's: late", "vars.port=9090", "vars.nothing=something"],
        &["vars.night.text=Hush, hush", "vars.night.loud=true", "vars.night.to=06:00"],
        &["vars.farewell=Bye", "vars.depth.of.two=2", "vars.\"a key. yes\"=5s"],
        &["files[path=/opt/bellwether/app.conf].mode=0600", "files[0].owner=app", "files[0].group=5"],
        &["files[0].content=port = {{ vars.port }}"],
        &["probes[0].attempts=5", "probes[0].timeout=1s", "selector.matchLabels.floor=3", "onLeave=keep"],
        &["artifacts[name=logo].dest=/opt/bellwether/logo-2", "artifacts[1].keep=2"],
        &["--unset", "vars.night", "--unset", "artifacts[name=logo]", "vars.night=no"],
        &["--unset", "vars.night.from", "--unset", "probes[0].timeout"],
    ] {
        all.push_str(&format!("{arguments:?}\n"));
        let command = [&["fleet", "set", "edge"], arguments].concat();
        all.push_str(&shown(&sandbox, PATH, &command));
        let before = sandbox.git(&["show", &format!("HEAD:{PATH}")]);
        assert!(sandbox.read(PATH) != before, "{arguments:?}");
        sandbox.git(&["checkout", "-q", "--", PATH]);
    }
    assert_snapshot!(all);
}

#[test]
fn a_new_path_of_an_artifact_brings_hash_and_length_along() {
    let sandbox = sandbox();
    sandbox.write("artifacts/fw-2.bin", "the second one");
    let path = "artifacts[name=firmware].source.path=artifacts/fw-2.bin";
    let ran = set(&sandbox, &[path, "--commit"]);
    assert!(ran.code == Some(1) && ran.err.contains("BW-0733"), "{}", ran.err);
    assert!(ran.err.contains("git add artifacts/fw-2.bin && git commit -S"), "{}", ran.err);
    assert_eq!(sandbox.read(PATH), FLEET, "nothing is written that would name what is not there");

    let ran = set(&sandbox, &[path]);
    assert!(ran.code == Some(0) && ran.err.contains("is not in the newest commit"), "{}", ran.err);
    let sha256 = Sha256Digest::of(b"the second one").to_string();
    let expected = FLEET
        .replacen("artifacts/fw-1.bin", "artifacts/fw-2.bin", 1)
        .replacen("length: 5 ", "length: 14 ", 1)
        .replacen(&"1".repeat(64), &sha256, 1);
    assert_eq!(sandbox.read(PATH), expected);

    sandbox.git(&["checkout", "-q", "--", PATH]);
    let length = "artifacts[0].length=7";
    assert_eq!(set(&sandbox, &[path, length]).code, Some(0));
    assert_eq!(sandbox.read(PATH), expected.replace("length: 14", "length: 7"), "what is said comes first");

    sandbox.git(&["checkout", "-q", "--", PATH]);
    let absent = "artifacts[name=firmware].source.path=artifacts/fw-3.bin";
    let ran = set(&sandbox, &[absent]);
    assert!(ran.code == Some(1) && ran.err.contains("is not in the working copy"), "{}", ran.err);
    let said = format!("artifacts[name=firmware].sha256={sha256}");
    assert_eq!(set(&sandbox, &[absent, length, &said]).code, Some(0), "elsewhere it may be there");

    sandbox.git(&["checkout", "-q", "--", PATH]);
    sandbox.git(&["add", "artifacts"]);
    sandbox.git(&["commit", "-qm", "Add firmware 2"]);
    let ran = set(&sandbox, &[path, "--commit", "--reason", "the display flickers", "--output", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let document: serde_json::Value = serde_json::from_str(&ran.out).expect("one document");
    assert!(document["commit"].is_string() && document["diff"].as_str().is_some_and(|diff| diff.contains(&sha256)));
    sandbox.git(&["verify-commit", "HEAD"]);
    let message = sandbox.git(&["log", "-1", "--format=%B"]);
    let title = "Set spec.template.artifacts[name=firmware].source.path of edge\n\nthe display flickers";
    assert_eq!(message.trim(), title);
    assert_eq!(sandbox.git(&["status", "--short"]), "");
}

#[test]
fn what_cannot_be_set_is_told_and_nothing_is_written() {
    let sandbox = sandbox();
    for (arguments, code, says) in [
        (
            &["artifacts[name=firm].length=3"][..],
            1,
            &["BW-0733", "artifacts[name=firm]", "spec.template.artifacts is", "[name=firmware], [name=logo]"][..],
        ),
        (&["files[3].mode=0644"], 1, &["BW-0733", "[path=/opt/bellwether/app.conf]"]),
        (&["var.greeting=Hi"], 1, &["BW-0733", "as far as spec is there", "selector, vars, template"]),
        (&["vars.greeting.long=Hi"], 1, &["BW-0733", "nothing inside"]),
        (&["artifacts[0].lenght=3"], 1, &["BW-0103", "unknown field", "sha256, length", "stays as it is"]),
        (&["probes[0].timeout=soon"], 1, &["stays as it is", "soon"]),
        (&["files[0].mode=9999"], 1, &["stays as it is", "9999"]),
        (&["vars.night=dark"], 1, &["more than a single value", "from, loud, text"]),
        (&["probes=none"], 1, &["more than a single value"]),
        (&["vars.greeting=Hello"], 1, &["BW-0734", "already"]),
        (&["--unset", "vars.gone"], 1, &["BW-0733", "vars.gone"]),
        (&["--unset", "probes[0]"], 1, &["BW-0104", "the field probes is missing", "stays as it is"]),
        (&["--unset", "spec.selector"], 1, &["selector is missing"]),
        (&["vars.greeting"], 2, &["BW-0720", "expected PATH=VALUE"]),
        (&["[0].a=b"], 2, &["BW-0720", "expected a field first"]),
        (&[], 2, &["BW-0720"]),
    ] {
        let ran = set(&sandbox, arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}{}", ran.out, ran.err);
        says.iter().for_each(|said| assert!(ran.err.contains(said), "{arguments:?}, {said}: {}", ran.err));
        assert_eq!(sandbox.read(PATH), FLEET, "{arguments:?}");
    }
    let ran = sandbox.bellwether(&["fleet", "set", "north", "vars.greeting=Hi"]);
    assert!(ran.code == Some(1) && ran.err.contains("there is no fleet north"), "{}", ran.err);
}

#[test]
fn a_value_that_is_written_otherwise_is_told_as_the_field_takes_it() {
    let sandbox = sandbox();
    let firmware = "spec.template.artifacts[name=firmware]";
    for (arguments, says) in [
        (&["probes[0].timeout=5"][..], "Did you mean 'spec.template.probes[0].timeout=5s'? "),
        (&["probes[0].interval=5 s"], "Did you mean 'spec.template.probes[0].interval=5s'? "),
        (&["files[0].overwrite=yes"], "Did you mean 'spec.template.files[0].overwrite=true'? "),
        (&["probes[0].attempts=5s"], "Did you mean 'spec.template.probes[0].attempts=5'? "),
        (&["artifacts[name=firmware].length=2KiB"], &format!("Did you mean '{firmware}.length=2048'? ")),
        (
            &["probes[0].timeout=5", "vars.greeting=5", "files[0].overwrite=off"],
            "Did you mean 'spec.template.probes[0].timeout=5s' 'spec.template.files[0].overwrite=false'? ",
        ),
        (&["probes[0].attempts=many"], "Set it otherwise; "),
    ] {
        let ran = set(&sandbox, arguments);
        assert!(ran.code == Some(1) && ran.err.contains(says), "{arguments:?}, {says}: {}", ran.err);
        assert_eq!(sandbox.read(PATH), FLEET, "{arguments:?}");
    }
}

#[test]
fn with_its_only_item_a_list_goes_too_and_one_of_vars_is_empty() {
    let sandbox = sandbox();
    sandbox.replace(
        PATH,
        "        port: 8080\n",
        "        port: 8080\n        pages:\n        - start\n        hosts: [one]\n",
    );
    let before = sandbox.read(PATH);
    let ran = set(&sandbox, &["--unset", "files[0]", "--unset", "artifacts[1]", "--unset", "artifacts[0]"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let after = sandbox.read(PATH);
    assert!(!after.contains("files:") && !after.contains("artifacts:") && after.contains("probes:"), "{after}");
    sandbox.write(PATH, &before);
    let ran = set(&sandbox, &["--unset", "vars.pages[0]", "--unset", "vars.hosts[0]"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(sandbox.read(PATH), before.replace("        - start\n", "          []\n").replace("[one]", "[]"));
}

#[test]
fn a_device_that_is_a_fleet_of_its_own_is_set_in_its_manifest() {
    let sandbox = sandbox();
    let text = "apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: kiosk-7\nspec:\n  vars: {}\n  template:\n    probes: none   # yet\n";
    sandbox.write("devices/kiosk-7.yaml", text);
    let ran = sandbox.bellwether(&["fleet", "set", "device.kiosk-7", "vars.greeting=Hi"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(sandbox.read("devices/kiosk-7.yaml"), text.replace("{}", "{greeting: Hi}"));
}

#[test]
fn a_manifest_that_was_not_valid_can_be_mended() {
    let sandbox = sandbox();
    sandbox.replace(PATH, "length: 5", "length: five");
    let ran = set(&sandbox, &["artifacts[name=firmware].length=5"]);
    assert!(ran.code == Some(1) && ran.err.contains("\"5\""), "text stays text: {}", ran.err);
    sandbox.replace(PATH, "length: five", "lenght: 5");
    let ran = set(&sandbox, &["--unset", "artifacts[0].lenght", "artifacts[0].length=5"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(sandbox.read(PATH).contains("            length: 5\n"));
}
