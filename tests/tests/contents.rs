//! What a fleet places and probes, and what is refused of it; each mistake stops only itself.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::api::{DeviceView, Updated, WaitingOn};
use bellwether_tests::site::{FLEET, ROLLOUT, stalled_by};
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";

/// A fleet whose devices have this role, with this template.
fn fleet(name: &str, role: &str, template: &str) -> String {
    format!(
        "apiVersion: bellwether/v1\nkind: Fleet\nmetadata:\n  name: {name}\nspec:\n  selector:\n    matchLabels: {{role: {role}}}\n  \
         template:\n{template}"
    )
}

/// A template with one artifact whose content this is.
fn artifact(content: &str) -> String {
    format!(
        "    artifacts:\n      - name: app\n        source: {{path: artifacts/app.bin}}\n        sha256: {}\n        length: {}\n        \
         dest: /opt/bellwether/app\n    probes: none\n",
        Sha256Digest::of(content.as_bytes()),
        content.len()
    )
}

/// Gives a device another role in its Device manifest.
fn relabel(site: &Site, device: &str, role: &str) {
    let manifest = format!(
        "apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: {device}\nspec:\n  labels: {{role: {role}}}\n"
    );
    site.engineer.write(&format!("devices/{device}.yaml"), &manifest);
}

/// Waits until a device has a reason of some kind, and returns the sentence that is shown for it.
fn wait_reason(site: &Site, device: &str, what: &str, is: impl Fn(&WaitingOn) -> bool) -> DeviceView {
    let matches = |view: &DeviceView| view.name.as_str() == device && view.reason.as_ref().is_some_and(&is);
    let views = site.wait_devices(what, |views| views.iter().any(matches));
    views.into_iter().find(matches).expect("it was seen just now")
}

#[test]
fn an_artifact_switches_by_its_links_and_a_wrong_digest_stops_its_fleet_alone() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    relabel(&site, "edge-2", "gateway");
    // Without soak a version is final, and can be `previous`, once it is healthy.
    site.engineer.write(
        "rollouts/gateway.yaml",
        &ROLLOUT.replace("name: edge", "name: gateway").replace("select: {matchLabels: {ring: canary}}", "percent: 50"),
    );
    site.engineer.write("artifacts/app.bin", "first\n");
    site.engineer.write("fleets/gateway.yaml", &fleet("gateway", "gateway", &artifact("first\n")));
    let landed = site.land("A second fleet, with an artifact");
    let at = |commit| {
        site.wait_devices("edge-2 has the artifact", |views| {
            views.iter().any(|view| {
                view.name.as_str() == "edge-2"
                    && view.version.is_some_and(|version| version.commit == commit)
                    && view.status.updated.status == Updated::UpToDate
            })
        })
    };
    at(landed);
    let device = site.device("edge-2");
    assert_eq!(device.read("/opt/bellwether/app/current/app").as_deref(), Some("first\n"));
    assert_eq!(device.read("/opt/bellwether/app/previous/app"), None);
    assert_eq!(device.read(MESSAGE), None, "what only the fleet before placed is gone");

    site.engineer.write("artifacts/app.bin", "the second one\n");
    site.engineer.write("fleets/gateway.yaml", &fleet("gateway", "gateway", &artifact("the second one\n")));
    at(site.land("A newer artifact"));
    assert_eq!(device.read("/opt/bellwether/app/current/app").as_deref(), Some("the second one\n"));
    assert_eq!(device.read("/opt/bellwether/app/previous/app").as_deref(), Some("first\n"));
    let link = std::fs::read_link(device.root().join("opt/bellwether/app/current")).expect("a link");
    assert_eq!(link.to_str(), Some(&Sha256Digest::of(b"the second one\n").to_string()[..16]));

    // The file changes and the manifest does not: nobody is given what the manifest does not name.
    site.engineer.write("artifacts/app.bin", "something else\n");
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let broken = site.land("An artifact that is not what its manifest says, and a good change elsewhere");
    let view = wait_reason(&site, "edge-2", "edge-2 waits for its artifact", |reason| {
        matches!(reason, WaitingOn::Artifact { .. })
    });
    let digest = Sha256Digest::of(b"something else\n").to_string();
    assert!(view.why.contains("artifacts/app.bin") && view.why.contains(&digest), "{}", view.why);
    site.wait_devices("the other fleet goes on", |views| {
        views.iter().any(|view| view.name.as_str() == "edge-1" && view.version.is_some_and(|v| v.commit == broken))
    });
    assert_eq!(device.read("/opt/bellwether/app/current/app").as_deref(), Some("the second one\n"));
}

#[test]
fn a_file_of_the_repository_is_placed_as_it_is_or_as_a_template() {
    let template = "    files:
      - {path: /opt/bellwether/plain, source: files/plain.txt, mode: \"0600\"}
      - {path: \"/opt/bellwether/{{ device.name }}.conf\", source: files/conf.tmpl, template: true}
    probes:
      - file: {path: \"/opt/bellwether/{{ device.name }}.conf\"}
";
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.write("files/plain.txt", "as it is: {{ device.name }}\n");
    site.engineer.write("files/conf.tmpl", "name={{ device.name }} ring={{ labels.ring }} fleet={{ fleet }}\n");
    site.engineer.write("fleets/edge.yaml", &fleet("edge", "edge", template));
    let landed = site.land("Files of the repository");
    site.wait_up_to_date(&landed);
    let device = site.device("edge-1");
    assert_eq!(device.read("/opt/bellwether/plain").as_deref(), Some("as it is: {{ device.name }}\n"));
    assert_eq!(device.read("/opt/bellwether/edge-1.conf").as_deref(), Some("name=edge-1 ring=canary fleet=edge\n"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(device.root().join("opt/bellwether/plain")).expect("a file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    // A change of the file alone is a change of the fleet.
    site.engineer.write("files/conf.tmpl", "name={{ device.name }}, again\n");
    let again = site.land("Only the file changed");
    site.wait_up_to_date(&again);
    assert_eq!(device.read("/opt/bellwether/edge-1.conf").as_deref(), Some("name=edge-1, again\n"));
    assert_eq!(device.read(MESSAGE), None);
}

#[test]
fn a_probe_runs_only_what_the_operator_of_the_device_allows() {
    let exec = FLEET.replace("message 1", "message 2").replace(
        "      - file: {path: /opt/bellwether/message}\n",
        "      - exec: {command: [/bin/sh, -c, \"exit 0\"]}\n",
    );
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.write("fleets/edge.yaml", &exec);
    let landed = site.land("Probe by a program");
    let view = wait_reason(&site, "edge-1", "the device refuses the probe", |reason| {
        matches!(reason, WaitingOn::Halted { .. } | WaitingOn::Failed { .. })
    });
    assert_eq!(site.device("edge-1").failure().as_deref(), Some("BW-0650"));
    assert!(site.device("edge-1").status().contains("/bin/sh"), "{}", site.device("edge-1").status());
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 1 for edge-1\n"), "{}", view.why);

    assert_eq!(view.allows.as_deref(), Some(&Allowed::default()), "the page could have told before");

    // The operator allows it; the next commit is tried.
    site.device("edge-1").allow("exec: [/bin/sh]\n");
    site.device_mut("edge-1").kill();
    site.device_mut("edge-1").start();
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    let again = site.land("Once more");
    assert_ne!(landed, again);
    site.wait_up_to_date(&again);
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 3 for edge-1\n"));
    let allows = site.view("edge-1").allows.expect("its agent says it");
    assert_eq!(*allows, Allowed { exec: vec!["/bin/sh".to_owned()], ..Allowed::default() });
}

#[test]
fn a_probe_asks_on_loopback_and_what_it_hears_decides() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = server.local_addr().expect("it is bound").port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 1024];
            let read = stream.read(&mut head).unwrap_or(0);
            let sick = String::from_utf8_lossy(&head[..read]).starts_with("GET /sick ");
            counter.fetch_add(1, Ordering::SeqCst);
            let status = if sick { "503 Sick" } else { "200 Well" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let probing = FLEET
        .replace("file: {path: /opt/bellwether/message}", &format!("http: {{url: \"http://127.0.0.1:{port}/well\"}}"));
    let site = SiteBuilder::new(PART, 1).fleet(&probing).start();
    site.wait_up_to_date(&site.introduction);
    assert!(asked.load(Ordering::SeqCst) >= 1, "the probe was made");

    site.engineer.replace("fleets/edge.yaml", "/well", "/sick");
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    site.land("Ask for something that is not well");
    site.wait("the probe fails", || (site.device("edge-1").failure()? == "BW-0651").then_some(()));
    assert!(site.device("edge-1").status().contains("503"), "{}", site.device("edge-1").status());
    site.wait("it went back", || (site.device("edge-1").read(MESSAGE)? == "message 1 for edge-1\n").then_some(()));

    site.engineer.replace("fleets/edge.yaml", &format!("127.0.0.1:{port}/sick"), "192.0.2.1/well");
    site.land("Ask somebody else");
    site.wait("another host is refused", || (site.device("edge-1").failure()? == "BW-0650").then_some(()));
}

#[test]
fn what_is_not_supported_yet_is_said_and_other_fleets_go_on() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let services =
        fleet("later", "later", "    services:\n      - {unit: app.service, action: restart}\n    probes: none\n");
    site.engineer.write("fleets/later.yaml", &services);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let landed = site.land("A good change, and something for later");
    site.wait_up_to_date(&landed);
    let invalid: serde_json::Value = site.get("invalid").expect("the API answers");
    assert_eq!(invalid[0]["path"], "fleets/later.yaml");
    let problem = invalid[0]["problems"][0].as_str().expect("a text");
    assert!(problem.contains("BW-0107") && problem.contains("services"), "{problem}");

    // The same mistake in a fleet that was good: its newest good version counts, and devices keep what they run.
    site.engineer.replace("fleets/edge.yaml", "    probes:\n", "    hooks: {}\n    probes:\n");
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    let broken = site.land("Break the fleet itself");
    site.wait_head(&broken);
    site.wait("it is shown", || {
        let invalid = site.get::<serde_json::Value>("invalid")?;
        invalid.as_array()?.iter().any(|it| it["path"] == "fleets/edge.yaml").then_some(())
    });
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 2 for edge-1\n"));
    assert_eq!(site.view("edge-1").status.updated.status, Updated::UpToDate);
}

#[test]
fn a_device_of_two_fleets_stays_as_it_is() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    let canaries = FLEET.replace("name: edge", "name: canaries").replace("role: edge", "ring: canary");
    site.engineer.write("fleets/canaries.yaml", &canaries.replace("message 1", "message of canaries"));
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let landed = site.land("A second fleet that takes the canary too");
    let view = wait_reason(
        &site,
        "edge-1",
        "edge-1 is in two fleets",
        |reason| matches!(reason, WaitingOn::Overlap { fleets } if fleets.len() == 2),
    );
    assert!(view.why.contains("canaries") && view.why.contains("edge"), "{}", view.why);
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 1 for edge-1\n"));

    std::fs::remove_file(site.engineer.work().join("fleets/canaries.yaml")).expect("it is there");
    let mended = site.land("One fleet is enough");
    assert_ne!(landed, mended);
    site.wait_devices("both follow their one fleet", |views| {
        views.iter().all(|view| view.reason.is_none() && view.status.updated.status == Updated::UpToDate)
    });
    for device in ["edge-1", "edge-2"] {
        assert_eq!(site.device(device).read(MESSAGE), Some(format!("message 2 for {device}\n")));
    }
}

#[test]
fn a_tree_without_manifests_never_means_to_remove_everything() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let unchanged = |code: &str| {
        let stalled = site.wait_repository(code, |repository| stalled_by(repository) == Some(code));
        assert_eq!(stalled.head.expect("there is a head").commit, site.introduction);
        assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 1 for edge-1\n"));
        assert_eq!(site.view("edge-1").status.updated.status, Updated::UpToDate);
        site.engineer.reset(&site.introduction);
        site.engineer.force_push(&site.introduction);
        site.wait_repository("the branch is good again", |repository| stalled_by(repository).is_none());
    };

    site.engineer.git(&["rm", "--quiet", "-r", "fleets", "rollouts"]);
    site.land("Lose every fleet");
    unchanged("BW-0215");

    site.engineer.git(&["rm", "--quiet", "-r", "trust"]);
    site.land("Lose the policy");
    unchanged("BW-0216");

    site.engineer.git(&["rm", "--quiet", "-r", "."]);
    site.engineer.write("README.md", "nothing here\n");
    site.land("Delete everything");
    unchanged("BW-0214");
}

#[test]
fn the_page_shows_devices_escaped_and_takes_nothing() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.write("README.md", "x\n");
    let landed = site.land("<script>alert(1)</script> & \"quotes\"");
    site.wait_head(&landed);
    let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
    let page = &site.addresses().page;
    let answer = client.get(page).send().expect("an answer");
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(header("content-type").starts_with("text/html"), "{}", header("content-type"));
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && policy.contains("script-src 'none'"), "{policy}");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let html = answer.text().expect("text");
    assert!(html.contains("edge-1") && !html.contains("<script"), "{html}");
    assert!(html.contains("script&") || html.contains("&lt;script") || html.contains("&#60;script"), "{html}");

    for path in ["/", "/api/v1/devices", "/devices/edge-1"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
            let answer = client.request(method, format!("{page}{path}")).body("x").send().expect("an answer");
            assert_eq!(answer.status().as_u16(), 405, "{path}");
            assert!(answer.text().expect("text").contains("BW-0342"), "{path}");
        }
    }
    let answer = client.get(format!("{page}/devices/%3Cimg%20src=x%3E")).send().expect("an answer");
    assert_eq!(answer.status().as_u16(), 404);
    assert!(!answer.text().expect("text").contains("<img"));
}
