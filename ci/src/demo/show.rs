//! What a demo shows: a table that is drawn again on a terminal, one line for each change elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use bellwether_schemas::DeviceName;
use bellwether_schemas::api::{DeviceView, RolloutState, RolloutView, Summary, Updated};

use super::place::Place;
use super::setup::BRANCH;
use crate::get::{self, printable};
use crate::output::{self, Paint};

/// How many devices a table on a terminal shows.
const ROWS: usize = 15;

/// What was shown last.
pub(crate) struct Screen {
    terminal: bool,
    quiet: bool,
    drawn: usize,
    last: String,
    said: BTreeMap<DeviceName, String>,
    said_rollout: String,
}

impl Screen {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, quiet, drawn: 0, last: String::new(), said: BTreeMap::new(), said_rollout: String::new() }
    }

    pub(crate) fn show(&mut self, devices: &[DeviceView], rollouts: &[RolloutView]) {
        if self.quiet {
            return;
        }
        if self.terminal { self.redraw(devices, rollouts) } else { self.say_changes(devices, rollouts) }
    }

    fn redraw(&mut self, devices: &[DeviceView], rollouts: &[RolloutView]) {
        let paint = Paint::stdout();
        let size = Size::of_terminal();
        let mut text = String::new();
        for rollout in rollouts {
            let word = format!("{:?}", rollout.state);
            let state = match rollout.state {
                RolloutState::Complete => paint.green(&word),
                RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected => paint.red(&word),
                RolloutState::Progressing | RolloutState::Waiting => paint.yellow(&word),
            };
            let about = format!("{} v{}: ", rollout.fleet, rollout.landing);
            let room = size.columns.saturating_sub(about.chars().count() + word.len() + 2);
            text.push_str(&format!("{about}{state}: {}\n", cut(&printable(&rollout.why), room)));
        }
        text.push_str(&get::devices(&devices[..devices.len().min(ROWS)]).to_string());
        if devices.len() > ROWS {
            let rest = &devices[ROWS..];
            let done = rest.iter().filter(|device| device.status.updated.status == Updated::UpToDate).count();
            text.push_str(&format!("\n… and {} more, {done} of them up to date", rest.len()));
        }
        // What does not fit on the screen cannot be drawn over again.
        let mut lines: Vec<&str> = text.lines().collect();
        if lines.len() + 2 > size.rows {
            lines.truncate(size.rows.saturating_sub(3));
            lines.push("… and more: the page shows all");
        }
        let text = lines.join("\n");
        if text == self.last {
            return;
        }
        let mut out = std::io::stdout().lock();
        let up = if self.drawn > 0 { format!("\x1b[{}A\r\x1b[J", self.drawn) } else { String::new() };
        let _closed = writeln!(out, "{up}{text}").and_then(|()| out.flush());
        self.drawn = text.lines().count();
        self.last = text;
    }

    fn say_changes(&mut self, devices: &[DeviceView], rollouts: &[RolloutView]) {
        let states =
            rollouts.iter().map(|r| format!("{} v{}: {:?}: {}", r.fleet, r.landing, r.state, printable(&r.why)));
        let states = states.collect::<Vec<_>>().join("\n");
        if states != self.said_rollout {
            output::line(&states);
            self.said_rollout = states;
        }
        for device in devices {
            let line = format!(
                "{}  {}  {}  {}",
                device.name,
                device.version.map_or("-".to_owned(), |version| version.long()),
                words(device.status.summary.status, device.status.updated.status),
                printable(&device.why)
            );
            if self.said.get(&device.name) != Some(&line) {
                output::line(&line);
                self.said.insert(device.name.clone(), line);
            }
        }
    }
}

/// How many characters fit on the terminal.
struct Size {
    columns: usize,
    rows: usize,
}

impl Size {
    fn of_terminal() -> Self {
        match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Self { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            // A terminal that does not say: the smallest that is usual.
            _ => Self { columns: 80, rows: 24 },
        }
    }
}

/// One line of at most `room` characters.
fn cut(text: &str, room: usize) -> String {
    let line = text.replace('\n', " ");
    if line.chars().count() <= room {
        return line;
    }
    line.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

fn words(summary: Summary, updated: Updated) -> String {
    format!("{summary:?} {updated:?}")
}

/// Where to look and what to try.
pub(crate) fn introduction(place: &Place, page: &url::Url) -> String {
    let dir = place.shown().display();
    let command = command_name();
    let page = page.as_str().trim_end_matches('/');
    format!(
        "
The page:  {page}
Try this in another terminal:

  cd {dir}/fleet

  # Change something; the canary device-1 takes it first, the others two seconds after it is well.
  sed -i 's/greeting: .*/greeting: It is '$(date +%T)/ fleets/edge.yaml
  git commit -am 'Say what time it is' && git push
  cat ../devices/*/root/opt/bellwether/etc/greeting

  # Set the branch back: every device that is ahead of it is paused, until the missing commit returns.
  git push --force origin HEAD~1:{BRANCH}
  {command} why device-1 --server {page}
  git push

  # Break a probe: the canary tries, goes back by itself, and the rollout halts. The others never see it.
  sed -i '/- file:/{{n;s/greeting/missing/}}' fleets/edge.yaml
  git commit -am 'Break a probe' && git push
  {command} why device-1 --server {page}
  git revert --no-edit HEAD && git push

  # A commit that nobody signed changes nothing, and the page says why.
  git commit --allow-empty --no-gpg-sign -m 'Nobody signed this' && git push
  {command} get repository --server {page}
  git reset --hard HEAD~1 && git push --force

Ctrl-C ends the demo; start it again to go on with it.
"
    )
}

/// How the user can start this program: by name where it was found by name, else by its path.
fn command_name() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called).components().count() == 1 {
        return "bellwether".to_owned();
    }
    std::env::current_exe().map_or("bellwether".to_owned(), |path| path.display().to_string())
}
