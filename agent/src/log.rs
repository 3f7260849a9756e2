//! The log on standard error. In systemd's journal each line bears its priority and no second time, so that
//! `journalctl -p warning -u bellwether-agent` shows what matters (sd-daemon(3)).

use std::fmt;
use std::io::IsTerminal as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Begins to log; a second call in one process keeps the first.
pub(crate) fn begin() {
    let filter = std::env::var("BELLWETHER_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let _ = if is_journal() { log.event_format(Journal).try_init() } else { log.try_init() };
}

/// How a line of this level begins: in the journal with its priority.
pub(crate) fn prefix(level: Level) -> String {
    if is_journal() { priority(level) } else { String::new() }
}

/// Whether standard error is the journal's, and not only the environment of somebody who is.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let stat = rustix::fs::fstat(std::io::stderr());
    stat.is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn priority(level: Level) -> String {
    let number = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    format!("<{number}>")
}

struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(&priority(*event.metadata().level()))?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_in_the_journal_bears_its_priority_and_no_time() {
        let sink = Sink::default();
        let writer = sink.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).event_format(Journal).with_writer(move || writer.clone());
        tracing::subscriber::with_default(log.finish(), || {
            tracing::error!(code = "BW-0601", "cannot go on");
            tracing::warn!("look at this");
            tracing::info!("connected");
        });
        let text = String::from_utf8(sink.0.lock().expect("nobody panics").clone()).expect("text");
        assert_eq!(text, "<3>cannot go on code=\"BW-0601\"\n<4>look at this\n<6>connected\n");
    }
}
