//! The probes of a Fleet's template.

use super::fields::Fields;
use super::problem::Report;
use super::tree::{Node, Value};
use super::values;
use crate::codes;
use crate::manifest::{ExecProbe, FileProbe, HttpProbe, HttpUrl, InvalidHttpUrl, Probe, Probes};
use crate::quantity::Seconds;

/// A list of probes, or the word `none`.
pub(crate) fn probes(node: &Node<'_>, report: &mut Report) -> Option<Probes> {
    match &node.value {
        Value::Scalar(scalar) if scalar.text == "none" => Some(Probes::None),
        Value::List(nodes) if !nodes.is_empty() => values::list(node, report, probe).map(Probes::All),
        _ => {
            node.wrong("a list of probes, or the word none", report);
            None
        }
    }
}

pub(crate) fn probe(node: &Node<'_>, report: &mut Report) -> Option<Probe> {
    let default = Probe::default();
    let mut fields = Fields::of(node, report)?;
    let exec = fields.optional("exec", exec);
    let http = fields.optional("http", http);
    let file = fields.optional("file", file);
    let one = fields.exactly_one(&["exec", "http", "file"]);
    let initial_delay = fields.or("initialDelay", default.initial_delay, pause);
    let timeout = fields.or("timeout", default.timeout, values::duration_in(Seconds::new(1)..=Seconds::new(300)));
    let attempts = fields.or("attempts", default.attempts, values::integer_in(1..=10));
    let interval = fields.or("interval", default.interval, pause);
    let stable_for = fields.not_yet("stableFor");
    fields.finish();
    one?;
    Some(Probe {
        exec: exec?,
        http: http?,
        file: file?,
        initial_delay: initial_delay?,
        timeout: timeout?,
        attempts: attempts?,
        interval: interval?,
        stable_for: stable_for?,
    })
}

/// A time to wait. A device that waits takes no other version, also none that would mend it.
fn pause(node: &Node<'_>, report: &mut Report) -> Option<Seconds> {
    values::duration_in(Seconds::ZERO..=Probe::LONGEST_PAUSE)(node, report)
}

fn exec(node: &Node<'_>, report: &mut Report) -> Option<ExecProbe> {
    let mut fields = Fields::of(node, report)?;
    let command = fields.required("command", |node, report| {
        let [program, arguments @ ..] = values::some_items(node, report)? else { return None };
        let program = values::device_path(program, report);
        let arguments: Vec<_> = arguments.iter().map(|node| values::text(node, report)).collect();
        std::iter::once(program).chain(arguments).collect::<Option<Vec<_>>>()
    });
    fields.finish();
    Some(ExecProbe { command: command? })
}

fn http(node: &Node<'_>, report: &mut Report) -> Option<HttpProbe> {
    let mut fields = Fields::of(node, report)?;
    let url = fields.required("url", url);
    let expect_status = fields.optional("expectStatus", values::integer_in(100..=599));
    fields.finish();
    Some(HttpProbe { url: url?, expect_status: expect_status? })
}

/// A URL that a device would ask, or a template of one: what that renders to is held to the same form then.
fn url(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let url = values::text(node, report)?;
    let invalid = match HttpUrl::parse(&url) {
        Ok(_) => return Some(url),
        Err(InvalidHttpUrl::Https) => {
            let hint = Some("ask over http:// on a loopback address, or use exec".to_owned());
            node.fault(codes::NOT_SUPPORTED, "https:// is not supported yet".to_owned(), hint, report);
            return None;
        }
        Err(_) if values::is_template(&url) => return Some(url),
        Err(invalid) => invalid,
    };
    node.wrong_with("a URL such as http://127.0.0.1:8080/healthz", Some(invalid.to_string()), report);
    None
}

fn file(node: &Node<'_>, report: &mut Report) -> Option<FileProbe> {
    let mut fields = Fields::of(node, report)?;
    let path = fields.required("path", values::device_path);
    fields.finish();
    Some(FileProbe { path: path? })
}
