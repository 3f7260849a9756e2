//! A Device with a template of its own, in `validate`, `render`, `hold` and `approve`.

use crate::Sandbox;

const PATH: &str = "devices/kiosk.yaml";

/// The Device of kiosk, with this role and this content.
fn kiosk(role: &str, content: &str) -> String {
    format!(
        "apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: kiosk}}\nspec:\n  labels: {{role: {role}}}\n  template:\n    \
         files:\n      - {{path: /opt/bellwether/a, content: \"{content}\"}}\n    probes: none\n"
    )
}

#[test]
fn it_is_rendered_held_and_never_gated() {
    let sandbox = Sandbox::with_repository();
    sandbox.write(PATH, &kiosk("own", "{{ device.name }} of {{ fleet }}"));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
    sandbox.git(&["add", PATH]);
    sandbox.git(&["commit", "--quiet", "-S", "-m", "Give the kiosk a template of its own"]);
    let rendered = sandbox.bellwether(&["render", "kiosk"]);
    assert!(rendered.out.contains("kiosk of device.kiosk"), "{}{}", rendered.out, rendered.err);

    let held = sandbox.bellwether(&["hold", "device.kiosk", "--reason", "odd"]);
    assert_eq!(held.code, Some(0), "{}", held.err);
    assert!(sandbox.read("holds/hold-device-kiosk.yaml").contains("device.kiosk"));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
    let approved = sandbox.bellwether(&["approve", "device.kiosk", "device", "--reason", "x"]);
    assert!(approved.code == Some(0) && approved.err.contains("never has one"), "{}{}", approved.out, approved.err);

    for (fleet, says) in [("device.other", "devices/other.yaml"), ("device.device-1", "device-1.yaml")] {
        sandbox.write(
            "devices/device-1.yaml",
            "apiVersion: bellwether/v1\nkind: Device\nmetadata: {name: device-1}\nspec: {}\n",
        );
        let ran = sandbox.bellwether(&["hold", fleet, "--reason", "x"]);
        assert!(ran.code == Some(1) && ran.err.contains("BW-0733") && ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn what_is_wrong_with_it_is_shown_with_its_place() {
    let sandbox = Sandbox::with_repository();
    sandbox.write(PATH, &kiosk("own", "{{ vars.none }}"));
    sandbox.write("devices/other.yaml", &kiosk("edge", "x").replace("name: kiosk", "name: other"));
    let fleet = "apiVersion: bellwether/v1\nkind: Fleet\nmetadata: {name: device.kiosk}\nspec:\n  selector: {}\n  template: \
                 {probes: none}\n";
    sandbox.write("fleets/device.kiosk.yaml", fleet);
    let hold =
        "apiVersion: bellwether/v1\nkind: Hold\nmetadata: {name: stop}\nspec: {fleets: [device.nobody], reason: x}\n";
    sandbox.write("holds/stop.yaml", hold);
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    insta::assert_snapshot!(ran.out);
}
