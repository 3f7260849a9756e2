//! A simulation as a picture: one file without others, for light and dark pages.

use bellwether_core::simulate::{Outcome, Sample};
use jiff::Timestamp;

use super::text::summary;
use crate::output::Paint;
use crate::span::{grouped, spoken};

const LEFT: i64 = 140;
const WIDTH: i64 = 760;
const ROW: i64 = 28;
const TOP: i64 = 44;
const PLOT: i64 = 160;
/// Points of a line, at most.
const POINTS: usize = 400;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.b{fill:#f6f8fa}.g{fill:none;stroke:#d0d7de}\
.r{fill:#0969da}.s{fill:#54aeff;fill-opacity:.5}.w{fill:#bf8700}.h{fill:none;stroke:#1a7f37;stroke-width:2}\
.u{fill:none;stroke:#cf222e;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.b{fill:#0d1117}\
.g{stroke:#30363d}.r{fill:#1f6feb}.s{fill:#388bfd}.w{fill:#d29922}.h{stroke:#3fb950}.u{stroke:#f85149}}";

/// The picture.
pub(super) fn picture(outcome: &Outcome) -> String {
    let scale = Scale::of(outcome);
    let rows = i64::try_from(outcome.waves.len()).unwrap_or(i64::MAX / ROW);
    let plot = TOP + rows * ROW + 20;
    let (width, height) = (LEFT + WIDTH + 20, plot + PLOT + 110);
    let title = format!("Fleet {}: {} devices, seed {}", outcome.fleet, grouped(outcome.devices), outcome.seed);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"b\" width=\"{width}\" height=\"{height}\"/>\n<text x=\"12\" y=\"24\">{title}</text>\n",
        title = escaped(&title)
    );
    for (place, wave) in (0_i64..).zip(&outcome.waves) {
        let y = TOP + place * ROW;
        text.push_str(&format!("<text x=\"12\" y=\"{}\">{}</text>\n", y + 17, escaped(wave.name.as_str())));
        let end = Some(outcome.end);
        let parts = [
            ("w", wave.gate_reached_at, wave.opened_at.or(end)),
            ("r", wave.opened_at, wave.completed_at.or(end)),
            ("s", wave.completed_at, wave.advanced_at.or(end)),
        ];
        for (class, from, until) in parts {
            if let (Some(from), Some(until)) = (from, until) {
                let (from, until) = (scale.x(from), scale.x(until));
                let width = (until - from).max(1);
                text.push_str(&format!(
                    "<rect class=\"{class}\" x=\"{from}\" y=\"{y}\" width=\"{width}\" height=\"20\"/>\n"
                ));
            }
        }
    }
    text.push_str(&format!("<rect class=\"g\" x=\"{LEFT}\" y=\"{plot}\" width=\"{WIDTH}\" height=\"{PLOT}\"/>\n"));
    for (class, name, of) in LINES {
        let points = scale.line(&outcome.samples, of, plot + PLOT);
        text.push_str(&format!("<polyline class=\"{class}\" points=\"{points}\"><title>{name}</title></polyline>\n"));
    }
    let below = plot + PLOT + 20;
    text.push_str(&format!(
        "<text x=\"{LEFT}\" y=\"{below}\">0</text>\n<text x=\"{}\" y=\"{below}\" text-anchor=\"end\">{}</text>\n\
         <text x=\"12\" y=\"{}\">{}</text>\n<text x=\"{LEFT}\" y=\"{}\">green: healthy on the new target; red: unavailable; \
         blue: applied, pale: soaks; amber: waits for an approval</text>\n",
        LEFT + WIDTH,
        spoken(scale.span),
        plot + 12,
        grouped(outcome.devices),
        below + 24,
    ));
    for (y, line) in (below + 54..).step_by(22).zip(summary(outcome, Paint::none()).lines()) {
        text.push_str(&format!("<text x=\"12\" y=\"{y}\">{}</text>\n", escaped(line)));
    }
    text + "</svg>\n"
}

type Of = fn(&Sample) -> u64;

const LINES: [(&str, &str, Of); 2] =
    [("h", "healthy", |sample| sample.counts.healthy), ("u", "unavailable", |sample| sample.counts.unavailable)];

/// Where times and numbers are drawn.
struct Scale {
    start: Timestamp,
    span: i64,
    devices: i64,
}

impl Scale {
    fn of(outcome: &Outcome) -> Self {
        let span = outcome.end.duration_since(outcome.start).as_secs().max(1);
        Self { start: outcome.start, span, devices: i64::try_from(outcome.devices).unwrap_or(i64::MAX).max(1) }
    }

    fn x(&self, at: Timestamp) -> i64 {
        let share = i128::from(at.duration_since(self.start).as_secs()) * i128::from(WIDTH) / i128::from(self.span);
        LEFT + i64::try_from(share).unwrap_or(WIDTH).clamp(0, WIDTH)
    }

    /// A line in steps: a number holds until the next one.
    fn line(&self, samples: &[Sample], of: Of, bottom: i64) -> String {
        let every = samples.len().div_ceil(POINTS).max(1);
        let (mut points, mut last) = (Vec::new(), bottom);
        let kept = samples.iter().enumerate().filter(|(i, _)| i.is_multiple_of(every) || i + 1 == samples.len());
        for (_, sample) in kept {
            let x = self.x(sample.at);
            let share = i128::from(of(sample)) * i128::from(PLOT) / i128::from(self.devices);
            let y = bottom - i64::try_from(share).unwrap_or(PLOT);
            points.extend([format!("{x},{last}"), format!("{x},{y}")]);
            last = y;
        }
        points.push(format!("{},{last}", LEFT + WIDTH));
        points.join(" ")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
