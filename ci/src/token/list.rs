//! A list of devices as CSV: what a spreadsheet or an ERP system exports.
//!
//! The first row names the columns: `name`, then labels. A name may be empty: then it is made from the device's key.

use std::collections::BTreeMap;

use bellwether_schemas::manifest::Labels;
use bellwether_schemas::{DeviceName, yaml};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::TokenFor;

/// The first column.
const NAME: &str = "name";
/// Rows of a list, at most.
pub(super) const MAX_ROWS: usize = 10_000;

/// What each row asks for; or every problem, with its line.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<TokenFor>, Vec<String>> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| vec!["the list is not UTF-8: export it as CSV UTF-8".to_owned()])?;
    // Spreadsheets put a byte order mark first, and some separate by semicolons.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header = text.lines().next().unwrap_or_default();
    let separator = if header.contains(';') && !header.contains(',') { b';' } else { b',' };
    let mut reader =
        ReaderBuilder::new().delimiter(separator).flexible(true).trim(Trim::All).from_reader(text.as_bytes());
    let mut problems = Vec::new();
    let header = reader.headers().cloned().unwrap_or_default();
    check_header(&header, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut rows = Vec::new();
    let mut lines: BTreeMap<DeviceName, u64> = BTreeMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let mut say = |why: String| problems.push(format!("line {line}: {why}"));
        if record.len() != header.len() {
            say(format!("found {} columns, expected {}", record.len(), header.len()));
            continue;
        }
        let Some(row) = row(&header, &record, &mut say) else { continue };
        if let Some(first) = row.device.as_ref().and_then(|device| lines.insert(device.clone(), line)) {
            say(format!("the name {} is on line {first} already", &record[0]));
        }
        rows.push(row);
    }
    if rows.is_empty() && problems.is_empty() {
        problems.push("the list has no row below its header".to_owned());
    }
    if rows.len() > MAX_ROWS {
        problems.push(format!("the list has {} rows, at most {MAX_ROWS} are taken at once", rows.len()));
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn check_header(header: &StringRecord, problems: &mut Vec<String>) {
    if header.get(0) != Some(NAME) {
        let found = header.get(0).unwrap_or_default();
        problems
            .push(format!("line 1: the first column is {found:?}, expected {NAME}, and a label in each one after it"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for key in header.iter().skip(1) {
        if let Err(why) = yaml::check_label(key, "") {
            problems.push(format!("line 1: {why}"));
        }
        if !seen.insert(key) {
            problems.push(format!("line 1: the column {key} is there twice"));
        }
    }
}

fn row(header: &StringRecord, record: &StringRecord, say: &mut impl FnMut(String)) -> Option<TokenFor> {
    let mut good = true;
    let device = match &record[0] {
        "" => None,
        name => match name.parse::<DeviceName>() {
            Ok(device) => Some(device),
            Err(error) => {
                say(error.to_string());
                good = false;
                None
            }
        },
    };
    let mut labels = Labels::new();
    for (key, value) in header.iter().zip(record).skip(1).filter(|(_, value)| !value.is_empty()) {
        if let Err(why) = yaml::check_label(key, value) {
            say(format!("{key}: {why}"));
            good = false;
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    good.then_some(TokenFor { id: None, device, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rows: &[TokenFor]) -> Vec<String> {
        let name = |row: &TokenFor| row.device.as_ref().map_or("-".to_owned(), ToString::to_string);
        let labels = |row: &TokenFor| row.labels.iter().map(|(k, v)| format!(" {k}={v}")).collect::<String>();
        rows.iter().map(|row| name(row) + &labels(row)).collect()
    }

    #[test]
    fn a_row_is_a_name_and_labels() {
        let plain = "name,site,ring\nkiosk-1,kiel,canary\n\n kiosk-2 ,\"kiel\",\n,bonn,\n";
        let expected = ["kiosk-1 ring=canary site=kiel", "kiosk-2 site=kiel", "- site=bonn"];
        assert_eq!(shown(&read(plain.as_bytes()).expect("rows")), expected);
        let exported = format!("\u{feff}{}", plain.replace(',', ";").replace('\n', "\r\n"));
        assert_eq!(shown(&read(exported.as_bytes()).expect("rows")), expected);
        assert_eq!(shown(&read(b"name\na\nb").expect("rows")), ["a", "b"]);
    }

    #[test]
    fn every_bad_row_is_told_with_its_line() {
        let list = "name,site,ring\nKiosk 1,kiel,a\nkiosk-2,kiel\nkiosk-3,k!el,-\nkiosk-4,,\nkiosk-4,,\n";
        let problems = read(list.as_bytes()).expect_err("bad rows");
        let starts = [
            "line 2: \"Kiosk 1\" is not a name",
            "line 3: found 2 columns, expected 3",
            "line 4: site: \"k!el\"",
            "line 4: ring: \"-\"",
            "line 6: the name kiosk-4 is on line 5 already",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
        }
        for (bad, why) in [
            ("", "the first column"),
            ("device,site\na,b\n", "the first column"),
            ("name,site,site\na,b,c\n", "twice"),
            ("name,si te\na,b\n", "line 1"),
            ("name\n", "no row"),
        ] {
            let problems = read(bad.as_bytes()).expect_err(bad);
            assert!(problems[0].contains(why), "{bad:?}: {problems:?}");
        }
        assert!(read(b"name\n\xff\n").is_err());
    }
}
