//! What the operators of devices allow, as it is kept and shown.

use std::sync::Arc;

use bellwether_schemas::allow::Allowed;

use super::*;

fn shown(site: &Site, device: &str) -> Option<Arc<Allowed>> {
    let devices = site.world.views("", true, site.now).devices;
    devices.into_iter().find(|view| view.name.as_str() == device).expect("a known device").allows
}

#[tokio::test]
async fn what_is_allowed_is_shown_once_a_device_says_it_and_outlives_a_restart() {
    let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let mut site = Site::open(&git, Loaded::default()).await;
    let devices = ["edge-1", "edge-2", "edge-3"];
    site.pass(&devices.map(|device| (device, readable(idle())))).await.expect("stored");
    assert_eq!(shown(&site, "edge-1"), None, "its agent does not say");
    let json = serde_json::to_value(&site.world.views("", true, site.now).devices).expect("JSON");
    assert!(json[0].get("allows").is_none(), "{}", json[0]);

    let narrow = Allowed { paths: vec!["/srv".into()], ..Allowed::default() };
    for device in &devices[..2] {
        site.world.hear_allows(&device.parse().expect("a name"), Some(narrow.clone()));
    }
    site.pass(&[]).await.expect("stored");
    let json = serde_json::to_value(&site.world.views("", true, site.now).devices).expect("JSON");
    let lists = r#"{"exec": [], "paths": ["/srv"], "units": [], "probeHosts": ["127.0.0.1", "::1", "localhost"]}"#;
    assert_eq!(json[0]["allows"], serde_json::from_str::<serde_json::Value>(lists).expect("JSON"));

    let mut again = Site::open(&git, site.stored().await).await;
    for site in [&site, &again] {
        let (one, other) = (shown(site, "edge-1").expect("known"), shown(site, "edge-2").expect("known"));
        assert_eq!(*one, narrow);
        assert!(Arc::ptr_eq(&one, &other), "equal ones are kept once");
    }
    again.world.hear_allows(&"edge-3".parse().expect("a name"), Some(narrow));
    let shared = shown(&again, "edge-3").expect("known");
    assert!(Arc::ptr_eq(&shared, &shown(&again, "edge-1").expect("known")), "also with what was stored");
    again.world.hear_allows(&"edge-1".parse().expect("a name"), None);
    assert_eq!(shown(&again, "edge-1"), None);
    again.world.hear_allows(&"unknown".parse().expect("a name"), Some(Allowed::default()));
}
