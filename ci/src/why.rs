//! `bellwether why`: why a device is where it is, and what it waits for.

use bellwether_core::plan::{device_advice, missing_sentence, moment};
use bellwether_schemas::DeviceName;
use bellwether_schemas::api::DeviceView;
use clap::Args;

use crate::failure::Failure;
use crate::get::{advised, printable};
use crate::output::{self, Output, Paint};
use crate::server::ServerOptions;
use crate::told::{coded, decided, landed, waited};

const EXAMPLES: &str = "Examples:
  bellwether why device-3 --server http://127.0.0.1:8080                 (what it waits for, since when, what ends it)
  bellwether why device-3 --server http://127.0.0.1:8080 --output json   (for programs)

It also says which landing the device goes to, and who signed that and what decides about it. BELLWETHER_SERVER and
BELLWETHER_CA stand for --server and --ca.";

/// Options of `why`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WhyArgs {
    /// The device
    device: DeviceName,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) fn run(args: &WhyArgs, output: Output) -> Result<(), Failure> {
    let server = args.server.connect()?;
    let path = format!("devices/{}", args.device);
    if output == Output::Json {
        output::json(&server.get::<serde_json::Value>(&path)?);
        return Ok(());
    }
    let device: DeviceView = server.get(&path)?;
    output::line(describe(&device, Paint::stdout()));
    Ok(())
}

fn describe(device: &DeviceView, paint: Paint) -> String {
    let version = |version: Option<bellwether_schemas::Version>| version.map_or("nothing".to_owned(), |v| v.long());
    let labels: Vec<_> = device.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut text = format!(
        "{}: {}\n\n  fleet      {}\n  labels     {}\n  came by    {}, entry {}\n  runs       {}\n  offered    {}\n  status     {:?}, {:?}\n  last seen  {}",
        paint.bold(device.name.as_str()),
        printable(&coded(&device.why, device.code())),
        device.fleet.as_ref().map_or("none", |fleet| fleet.as_str()),
        printable(&labels.join(", ")),
        device.enrollment,
        device.entry,
        version(device.version),
        version(device.offered),
        device.status.summary.status,
        device.status.updated.status,
        device.last_seen.map_or("never".to_owned(), |at| moment(&at)),
    );
    let waits = device.waits.as_ref().filter(|_| device.reason.is_some());
    let landing = device.origin.iter().map(|landing| ("landing", landed(landing)));
    for (name, value) in waits.into_iter().flat_map(waited).chain(landing).chain(decided(&device.decided)) {
        text.push_str(&format!("\n  {name:<9}  {}", printable(&value)));
    }
    for missing in device.conflict.iter().flat_map(|conflict| &conflict.missing) {
        text.push_str(&format!("\n  missing    {}, {}", missing.commit, missing_sentence(missing)));
    }
    if let Some(advice) = device_advice(device) {
        text.push_str(&format!("\n\n{}", advised(&advice)));
    }
    text
}

#[cfg(test)]
mod tests {
    use bellwether_core::plan::sentence;
    use bellwether_schemas::api::{DeviceStatus, StatusWord, Summary, Updated, WaitingOn};

    use super::*;
    use crate::told::examples;

    fn view(reason: &WaitingOn) -> DeviceView {
        let summary = StatusWord { status: Summary::Online };
        DeviceView {
            name: examples::device(),
            enrollment: "plant".parse().expect("a name"),
            entry: "t1".parse().expect("an id"),
            fleet: Some(examples::fleet()),
            labels: [("site".to_owned(), "kiel".to_owned())].into_iter().collect(),
            version: Some(examples::version()),
            digest: None,
            offered: None,
            target: None,
            status: DeviceStatus { summary, updated: StatusWord { status: Updated::OutOfDate } },
            reason: Some(reason.clone()),
            why: sentence(reason),
            waits: Some(examples::told(reason, Some(&examples::device()))),
            origin: None,
            decided: Vec::new(),
            conflict: None,
            last_seen: Some(examples::at("09:20:00")),
            allows: None,
        }
    }

    #[test]
    fn a_device_is_told_as_it_is_with_what_it_waits_for_and_who_brought_it_there() {
        let held = examples::reasons().into_iter().find(|reason| reason.kind() == "Held").expect("there is one");
        let origin = Some(examples::landing(3, "Say \u{1b}[2Jhello"));
        let device = DeviceView { origin, decided: examples::decided(), ..view(&held) };
        insta::assert_snapshot!(describe(&device, Paint::none()));
    }

    #[test]
    fn each_reason_is_told_with_code_time_end_rule_and_what_to_do() {
        let told = |reason: &WaitingOn| {
            let text = describe(&view(reason), Paint::none());
            let (first, rest) = text.split_once('\n').expect("lines");
            let (_, rest) = rest.split_once("09:20:00 UTC").expect("when it was last seen");
            format!("{first}{rest}")
        };
        let all: Vec<String> = examples::reasons().iter().map(told).collect();
        insta::assert_snapshot!(all.join("\n\n"));
    }
}
