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
        let devices = Server::connect(&address, ca).and_then(|server| server.get("devices"));
        return devices.map(listed).map_err(of_this_option);
    }
    let file = Path::new(place);
    if file.is_dir() {
        return Err(Failure::new(codes::USAGE, format!("--inventory: {place} is a folder")).hint(FORMS));
    }
    let text = std::fs::read(file).map_err(|e| failure::file("cannot read", file, &e))?;
    let is_json = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_json { of_json(place, &text) } else { of_csv(place, &text) }
}

/// A failure of the page, with a hint for this option: the general one is for subcommands that read nothing else.
fn of_this_option(failure: Failure) -> Failure {
    let is_general = [codes::SERVER_UNREACHABLE, codes::SERVER_ANSWER, codes::NO_SUCH_OBJECT];
    if !is_general.contains(&failure.code()) {
        return failure;
    }
    failure.hint(
        "Check --inventory (the address of the reconciler's page, such as http://127.0.0.1:8080) and --ca. Or give a file: \
         bellwether get devices --output json > devices.json, where the page can be reached.",
    )
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
    // Trimmed, counted and held against each other here: what a quote swallows is told as what it is.
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let records: Vec<_> =
        reader.records().collect::<Result<_, csv::Error>>().map_err(|e| unreadable(place).because(&e))?;
    let mut lines = Lines { place, text, at: 1, from: 0 };
    let mut rows = Vec::with_capacity(records.len());
    for (i, record) in records.iter().enumerate() {
        let end = records.get(i + 1).and_then(csv::StringRecord::position).map(|next| next.byte());
        rows.push(lines.take(record, end)?);
    }
    let mut rows = rows.into_iter();
    let (_, header) = rows.next().unwrap_or_default();
    let name_at = header.iter().position(|column| *column == "name").ok_or_else(|| {
        unreadable(place).hint(
            "The first line of a CSV file names the columns: name, and one for each label, such as name,site,ring",
        )
    })?;
    let (mut devices, mut names) = (Vec::new(), BTreeSet::new());
    for (line, row) in rows {
        if row.len() != header.len() {
            let (values, columns) = (counted(row.len(), "value"), counted(header.len(), "column"));
            return Err(at_line(place, line, &format!("{values} for {columns}"))
                .hint("Give each line as many values as the first line names columns; a value may be empty."));
        }
        let cells = header.iter().zip(&row).enumerate();
        let labels: Labels = cells
            .filter(|(i, (_, value))| *i != name_at && !value.is_empty())
            .map(|(_, (key, value))| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let name = row[name_at];
        let name: DeviceName =
            name.parse().map_err(|e| at_line(place, line, &format!("{name:?} is no device name")).because(&e))?;
        if !names.insert(DeviceName::clone(&name)) {
            return Err(at_line(place, line, &format!("{name} is there twice")).hint("Give each device one line."));
        }
        devices.push(Listed { name, entry: None, labels, is_offline: false, allows: None });
    }
    Ok(devices)
}

/// The lines of a table, as its records are taken from it in order.
struct Lines<'t> {
    place: &'t str,
    text: &'t [u8],
    /// The line that comes next, from 1, and its first byte.
    at: usize,
    from: usize,
}

impl Lines<'_> {
    /// The line of a record, and its values. A quote that nobody closes takes in everything up to the next one, or to the end,
    /// and the reader says nothing: quotes of a record come in pairs, and no value has one in it, or a line break.
    fn take<'r>(&mut self, record: &'r csv::StringRecord, end: Option<u64>) -> Result<(usize, Vec<&'r str>), Failure> {
        let end = end.and_then(|end| usize::try_from(end).ok()).unwrap_or(self.text.len());
        let raw = &self.text[self.from..end];
        let breaks = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        let blank = raw.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let line = self.at + breaks(&raw[..blank]);
        let quotes = raw.iter().filter(|byte| **byte == b'"').count();
        let values: Vec<_> = record.iter().map(str::trim).collect();
        if quotes % 2 == 1 || record.iter().any(|value| value.contains(['"', '\n', '\r'])) {
            return Err(at_line(self.place, line, "a quote is not closed, or one is inside of a value")
                .hint("Close it in the same line, or leave quotes out: names and labels of devices need none."));
        }
        (self.at, self.from) = (self.at + breaks(raw), end);
        Ok((line, values))
    }
}

fn at_line(place: &str, line: usize, what: &str) -> Failure {
    Failure::new(codes::USAGE, format!("--inventory: {place}, line {line}: {what}"))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What an inventory may be.
const FORMS: &str = "Give what bellwether get devices --output json prints, a CSV file whose first line names the columns \
                     (name, and one for each label, such as name,site,ring), or the address of the reconciler's page.";

fn unreadable(place: &str) -> Failure {
    Failure::new(codes::USAGE, format!("--inventory: {place} is no list of devices")).hint(FORMS)
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
        assert_eq!(
            of_csv("x.csv", b"name,site\r\n\r\n\"edge-1\",\"kiel\"\r\nedge-2,\"\"\r\n").expect("devices").len(),
            2
        );
        assert!(of_json("x.json", b"[{}]").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told_with_its_line() {
        let told = |text: &str| of_csv("x.csv", text.as_bytes()).expect_err("it is wrong").message().to_owned();
        let line = |line: u32, what: &str| format!("--inventory: x.csv, line {line}: {what}");
        let quote = "a quote is not closed, or one is inside of a value";
        for (text, at) in [
            ("name,site\nedge-1,kiel\nedge-2,\"oslo\nedge-3,kiel\nedge-4,kiel\n", 3),
            ("name,site\nedge-1,\"kiel\nedge-2,oslo\"\nedge-3,kiel\n", 2),
            ("name,site\n\nedge-1,kiel\n\n\nedge-2,\"oslo", 6),
            ("name,site\nedge-1,\"kiel\n", 2),
            ("name,site,ring\n\"edge-1,kiel,canary\nedge-2,oslo,\n", 2),
            ("\"name,site\nedge-1,kiel\n", 1),
            ("name,site\nedge-1,ki\"el\n", 2),
            ("name,site\nedge-1,\"ki\"\"el\"\n", 2),
        ] {
            assert_eq!(told(text), line(at, quote), "{text}");
        }
        assert_eq!(told("name,site\n\nedge-1\n"), line(3, "1 value for 2 columns"));
        assert_eq!(told("name\n\n\nedge-1,kiel\n"), line(4, "2 values for 1 column"));
        assert_eq!(told("name\nedge-1\n\nedge-1\n"), line(4, "edge-1 is there twice"));
        assert_eq!(told("name\n\nEdge\n"), line(3, "\"Edge\" is no device name"));
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
