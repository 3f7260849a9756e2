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
  bellwether why device-3 --server http://127.0.0.1:8080
  bellwether why device-3 --server http://127.0.0.1:8080 --output json";

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
