//! A problem that is found once manifests are read: which field it is about is known, and not yet where that stands.

use bellwether_schemas::Code;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::yaml::FieldPath;

/// A problem, and the field that it is about.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) problem: Diagnostic,
    pub(super) field: FieldPath,
}

impl Finding {
    /// The problem that a diagnostic without a place is about this field.
    pub(super) fn of(problem: Diagnostic, field: FieldPath) -> Self {
        Self { problem, field }
    }

    pub(super) fn error(code: Code, path: &str, field: FieldPath, message: impl Into<String>) -> Self {
        Self::of(Diagnostic::error(code, path, message), field)
    }

    pub(super) fn warning(code: Code, path: &str, field: FieldPath, message: impl Into<String>) -> Self {
        let problem = Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, path, message) };
        Self::of(problem, field)
    }

    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { problem: self.problem.hint(hint), ..self }
    }
}

/// `did you mean X?`, where a name that is there is near; else which ones are there, as far as that is short.
pub(super) fn instead<'k>(found: &str, what: &str, there: impl Iterator<Item = &'k str> + Clone) -> String {
    const SHOWN: usize = 10;
    if let Some(near) = bellwether_schemas::yaml::nearest(found, there.clone()) {
        return format!("did you mean {near}?");
    }
    let shown: Vec<_> = there.clone().take(SHOWN).collect();
    let more = there.count() - shown.len();
    match (shown.is_empty(), more) {
        (true, _) => format!("there are no {what}"),
        (false, 0) => format!("there are these {what}: {}", shown.join(", ")),
        (false, more) => format!("there are these {what}: {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_before_a_list_of_them() {
        let fleets = ["edge", "kiosk"];
        assert_eq!(instead("egde", "fleets", fleets.into_iter()), "did you mean edge?");
        assert_eq!(instead("gateway", "fleets", fleets.into_iter()), "there are these fleets: edge, kiosk");
        assert_eq!(instead("gateway", "fleets", [].into_iter()), "there are no fleets");
        let many: Vec<_> = (10..30).map(|n| format!("fleet-{n}")).collect();
        assert!(instead("gateway", "fleets", many.iter().map(String::as_str)).ends_with("fleet-19 and 10 more"));
    }
}
