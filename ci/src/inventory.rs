//! An inventory of devices: what a reconciler knows, from its page or from a file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bellwether_schemas::allow::{Allowed, Allowlists};
use bellwether_schemas::api::Summary;
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, codes};
use serde::Deserialize;

use crate::failure::{self, Failure};
use crate::server::Server;

/// A device of an inventory.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: DeviceName,
    /// By which entry it came, if the inventory says so.
    pub(crate) entry: Option<(EnrollmentName, EntryId)>,
    pub(crate) labels: Labels,
    pub(crate) is_offline: bool,
    /// What its operator allows, if the inventory says so.
    pub(crate) allows: Option<Arc<Allowed>>,
}

/// What is read of a device in the answer of the API: an inventory may be long, and the rest is not asked for.
#[derive(Deserialize)]
struct Row {
    name: DeviceName,
    enrollment: EnrollmentName,
    entry: EntryId,
    labels: Labels,
    status: Status,
    allows: Option<Allowed>,
}

#[derive(Deserialize)]
struct Status {
    summary: Word,
}

#[derive(Deserialize)]
struct Word {
    status: Summary,
}

/// The devices in a file, or of the reconciler whose page is at this address.
pub(crate) fn read(place: &str, ca: Option<&Path>) -> Result<Vec<Listed>, Failure> {
    if place.starts_with("http://") || place.starts_with("https://") {
        let address = crate::server::page_address(place)
            .map_err(|why| Failure::new(codes::USAGE, format!("--inventory: {why}")))?;
        let devices: Vec<Row> = Server::connect(&address, ca)?.get("devices")?;
        return Ok(listed(devices));
    }
    let file = Path::new(place);
    let text = std::fs::read(file).map_err(|e| failure::file("cannot read", file, &e))?;
    let is_json = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_json { of_json(place, &text) } else { of_csv(place, &text) }
}

fn listed(devices: Vec<Row>) -> Vec<Listed> {
    let mut allowlists = Allowlists::default();
    let listed = |device| {
        let Row { name, enrollment, entry, labels, status, allows } = device;
        let is_offline = matches!(status.summary.status, Summary::Stale | Summary::AwaitingReconnect);
        let allows = allows.map(|allowed| allowlists.share(allowed));
        Listed { name, entry: Some((enrollment, entry)), labels, is_offline, allows }
    };
    devices.into_iter().map(listed).collect()
}

fn of_json(place: &str, text: &[u8]) -> Result<Vec<Listed>, Failure> {
    let devices: Vec<Row> = serde_json::from_slice(text).map_err(|e| unreadable(place).because(&e))?;
    let mut names = BTreeSet::new();
    if let Some(twice) = devices.iter().find(|device| !names.insert(&device.name)) {
        let message = format!("--inventory: {place}: {} is there twice", twice.name);
        return Err(Failure::new(codes::USAGE, message).hint("Give each device once."));
    }
    Ok(listed(devices))
}

/// A column `name`, and one for each label.
fn of_csv(place: &str, text: &[u8]) -> Result<Vec<Listed>, Failure> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().map_err(|e| unreadable(place).because(&e))?.clone();
    let name_at = header.iter().position(|column| column == "name").ok_or_else(|| {
        unreadable(place).hint(
            "The first line of a CSV file names the columns: name, and one for each label, such as name,site,ring",
        )
    })?;
    let (mut devices, mut names) = (Vec::new(), BTreeSet::new());
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(|e| unreadable(place).because(&e))?;
        let cells = header.iter().zip(record.iter()).enumerate();
        let labels: Labels = cells
            .filter(|(i, (_, value))| *i != name_at && !value.is_empty())
            .map(|(_, (key, value))| (key.to_owned(), value.to_owned()))
            .collect();
        let name = record.get(name_at).unwrap_or_default();
        let name: DeviceName = name.parse().map_err(|e| {
            Failure::new(codes::USAGE, format!("--inventory: {place}, line {}: {name:?} is no device name", number + 2))
                .because(&e)
        })?;
        if !names.insert(DeviceName::clone(&name)) {
            let message = format!("--inventory: {place}, line {}: {name} is there twice", number + 2);
            return Err(Failure::new(codes::USAGE, message).hint("Give each device one line."));
        }
        devices.push(Listed { name, entry: None, labels, is_offline: false, allows: None });
    }
    Ok(devices)
}

fn unreadable(place: &str) -> Failure {
    Failure::new(codes::USAGE, format!("--inventory: {place} is no list of devices")).hint(
        "Give what bellwether get devices --output json prints, a CSV file with the columns name and labels, or the address \
         of the reconciler's page.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_file_has_a_column_for_each_label() {
        let found = of_csv("x.csv", b"site, name ,ring\nkiel,edge-1,canary\nulm,edge-2,\n").expect("devices");
        let labels: Vec<Vec<_>> =
            found.iter().map(|one| one.labels.iter().map(|(k, v)| format!("{k}={v}")).collect()).collect();
        assert_eq!(labels, [vec!["ring=canary", "site=kiel"], vec!["site=ulm"]]);
        assert_eq!(found[1].name.as_str(), "edge-2");
        for bad in [&b"site,ring\nkiel,x\n"[..], b"name\nNo Name\n", b"name,site\nedge-1\n", b"name\na\na\n"] {
            assert!(of_csv("x.csv", bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(of_json("x.json", b"[{}]").is_err());
    }

    #[test]
    fn what_operators_allow_is_read_and_shared_and_not_known_where_it_is_not_there() {
        let row = |name: &str, allows: &str| {
            format!(
                r#"{{"name":"{name}","enrollment":"plant","entry":"{name}","labels":{{}},
                     "status":{{"summary":{{"status":"Online"}}}}{allows}}}"#
            )
        };
        // What a later release says besides is nothing to stumble over.
        let narrow = r#","allows":{"exec":[],"paths":["/srv"],"units":[],"probeHosts":[],"later":[]}"#;
        let text = format!("[{},{},{}]", row("a", narrow), row("b", narrow), row("c", ""));
        let found = of_json("x.json", text.as_bytes()).expect("devices");
        let twice = format!("[{},{}]", row("a", ""), row("a", ""));
        assert!(of_json("x.json", twice.as_bytes()).is_err(), "a device is there once");
        let [first, second] = [0, 1].map(|i: usize| found[i].allows.clone().expect("it is said"));
        assert_eq!(*first, Allowed { exec: vec![], paths: vec!["/srv".into()], units: vec![], probe_hosts: vec![] });
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(found[2].allows, None);
    }
}
