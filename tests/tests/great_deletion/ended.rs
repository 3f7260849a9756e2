//! Devices that had come to their end before everything was lost: one was decommissioned, one was stolen and revoked. Somebody
//! kept a copy of the keys of both.

use std::time::Duration;

use bellwether_schemas::api::{DeviceView, Summary};
use bellwether_tests::Site;
use bellwether_tests::device::Identity;
use bellwether_tests::site::{token, token_hash};

const LEFT: &str = "left";
const STOLEN: &str = "stolen";

/// The keys of those devices.
pub(crate) struct Ended {
    left: Identity,
    stolen: Identity,
}

/// Whether it is one of them.
pub(crate) fn is_ended(view: &DeviceView) -> bool {
    [LEFT, STOLEN].contains(&view.name.as_str())
}

/// Whether it is shown as what it is.
pub(crate) fn is_shown_ended(view: &DeviceView) -> bool {
    let expected = if view.name.as_str() == LEFT { Summary::Decommissioned } else { Summary::Revoked };
    view.status.summary.status == expected
}

impl Ended {
    /// Lets both in, and ends them.
    pub(crate) fn on(site: &Site) -> Self {
        let mut entries = String::new();
        for name in [LEFT, STOLEN] {
            let sha256 = token_hash(&token(name));
            entries.push_str(&format!(
                "    - {{id: {name}, sha256: {sha256}, expires: 2099-01-01T00:00:00Z, device: {name}}}\n"
            ));
        }
        let enrollment = format!(
            "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: ended\nspec:\n  tokens:\n{entries}"
        );
        site.engineer.write("enrollments/ended.yaml", &enrollment);
        let landed = site.land("Two more devices");
        site.wait_head(&landed);
        let [mut left, stolen] = [LEFT, STOLEN].map(|name| {
            let device = site.spare_device(name);
            let (done, said) = site.enroll(&device, &token(name));
            assert!(done, "{said}");
            device
        });
        let ended = Self { left: left.identity(), stolen: stolen.identity() };
        left.start();
        site.wait_summary(LEFT, Summary::Online);
        for (name, end) in [(LEFT, "decommission"), (STOLEN, "revoked")] {
            let device =
                format!("apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: {name}\nspec:\n  {end}: true\n");
            site.engineer.write(&format!("devices/{name}.yaml"), &device);
        }
        site.land("Both end");
        assert!(left.ends_within(Duration::from_secs(60)), "{}", left.log());
        site.wait_summary(LEFT, Summary::Decommissioned);
        site.wait_summary(STOLEN, Summary::Revoked);
        ended
    }

    /// What is left of the keys is worth nothing. Where database and store are gone, nobody knows that a device has left: git
    /// says that it is to leave, and so it may say again that it has.
    pub(crate) fn are_refused(&self, site: &Site, is_known: bool) {
        let left = is_known.then_some((LEFT, &self.left, "BW-0370"));
        for (name, identity, code) in left.into_iter().chain([(STOLEN, &self.stolen, "BW-0334")]) {
            let thief = site.spare_device(&format!("thief-of-{name}"));
            std::fs::create_dir_all(thief.state()).expect("made");
            thief.pretend(identity);
            let (_, said) = thief.check(&[]);
            assert!(said.contains("FAIL  admission") && said.contains(code), "{said}");
        }
    }
}
