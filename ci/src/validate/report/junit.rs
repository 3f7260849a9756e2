//! A JUnit report: each manifest is a test, and so is each other file with a problem. A warning fails none.

use std::collections::BTreeMap;

use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::Report;

pub(super) fn written(report: &Report<'_>) -> String {
    let mut files: BTreeMap<&str, Vec<&Diagnostic>> =
        report.texts.keys().map(|path| (path.as_str(), Vec::new())).collect();
    for problem in report.problems {
        files.entry(&problem.file).or_default().push(problem);
    }
    let mut suite = TestSuite::new("bellwether validate");
    suite.add_test_cases(files.into_iter().map(|(file, problems)| test_case(file, &problems)));
    let mut junit = Junit::new("bellwether");
    junit.add_test_suite(suite);
    let mut text = junit.to_string().expect("texts in a String");
    text.push('\n');
    text
}

fn test_case(file: &str, problems: &[&Diagnostic]) -> TestCase {
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let told =
        |problems: &[&&Diagnostic]| problems.iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("\n\n");
    let status = match errors.first() {
        None => TestCaseStatus::success(),
        Some(first) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(first.code.as_str()).set_message(&first.message).set_description(told(&errors));
            status
        }
    };
    let mut case = TestCase::new(file, status);
    case.set_classname("manifests");
    let warnings: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Warning).collect();
    if !warnings.is_empty() {
        case.set_system_out(told(&warnings));
    }
    case
}
