//! For people, as rustc shows problems.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use bellwether_schemas::diagnostic::{Diagnostic, Severity};

use super::{Report, one_line};
use crate::output::Paint;

pub(super) fn written(report: &Report<'_>, paint: Paint) -> String {
    let renderer = if paint.is_on() { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for problem in report.problems {
        text.push_str(&renderer.render(&[group(problem)]));
        text.push_str("\n\n");
    }
    match report.problems.first() {
        Some(first) => {
            text.push_str(&format!("{}. More about the first: bellwether explain {}\n", report.summary(), first.code));
        }
        None => text.push_str(&format!("{}.\n", report.summary())),
    }
    text
}

fn group(problem: &Diagnostic) -> Group<'_> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one_line(&problem.message)).id(problem.code.as_str());
    let file = one_line(&problem.file);
    let mut group = match (&problem.place, &problem.snippet) {
        (Some(place), Some(line)) => {
            let bytes = |column: usize| line.char_indices().nth(column - 1).map_or(line.len(), |(at, _)| at);
            let start = bytes(place.column);
            // What goes on in the next line is shown to the end of its first.
            let end = if place.end_line == place.line { bytes(place.end_column).max(start) } else { line.len() };
            let snippet = Snippet::source(line.as_str()).line_start(place.line).path(file);
            Group::with_title(title).element(snippet.annotation(AnnotationKind::Primary.span(start..end)))
        }
        (Some(place), None) => Group::with_title(title)
            .element(annotate_snippets::Origin::path(file).line(place.line).char_column(place.column)),
        (None, _) => Group::with_title(title).element(annotate_snippets::Origin::path(file)),
    };
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(one_line(hint)));
    }
    group
}
