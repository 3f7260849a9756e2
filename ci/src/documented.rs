//! What documentation and `--help` say to type must be what the commands take.

use std::path::Path;

use clap::Command;
use clap::ValueEnum as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::man::programs;
use crate::template::{self, Example, Placeholders};

/// A command line that somebody is told to type.
#[derive(Debug)]
struct Line {
    /// Where it is written.
    place: String,
    words: Vec<String>,
    /// Whether something was left out of it, so that what must be there may be missing.
    is_part: bool,
}

/// Command lines of a Markdown page: in fenced blocks, and between backticks, where prose may name a command alone.
fn of_page(name: &str, text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            lines.extend(part.replace("\\\n", " ").lines().flat_map(|line| simple_commands(name, line, false)));
        } else {
            // A span may go on in the next line.
            let spans = part.split('`').skip(1).step_by(2);
            lines.extend(spans.flat_map(|span| simple_commands(name, &span.replace('\n', " "), true)));
        }
    }
    lines
}

/// The examples that `--help` of a command and of those beneath it shows.
fn of_help(command: &Command) -> Vec<Line> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default().replace("\\\n", " ");
    let name = format!("{} --help", command.get_name());
    // What is said of an example stands in brackets behind it.
    let examples = help.lines().map(|line| line.split("  (").next().unwrap_or_default());
    let own = examples.flat_map(|line| simple_commands(&name, line, false));
    own.chain(command.get_subcommands().flat_map(of_help)).collect()
}

/// The commands of ours in a line for a shell.
fn simple_commands(place: &str, line: &str, is_prose: bool) -> Vec<Line> {
    let mut found = Vec::new();
    let mut words: Vec<(String, bool)> = Vec::new();
    let mut quoted: Option<char> = None;
    let (mut word, mut is_quoted, mut depth) = (String::new(), false, 0_u32);
    for c in line.chars().chain(['\n']) {
        match c {
            // The output of another command is some text.
            '(' if word.ends_with('$') || depth > 0 => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            c if quoted == Some(c) => quoted = None,
            c if quoted.is_some() => word.push(c),
            '"' | '\'' => (quoted, is_quoted) = (Some(c), true),
            c if c.is_whitespace() || ";&|<>#".contains(c) => {
                if !word.is_empty() || is_quoted {
                    words.push((std::mem::take(&mut word), std::mem::take(&mut is_quoted)));
                }
                if c == '\n' || !c.is_whitespace() {
                    found.extend(ours(place, &std::mem::take(&mut words), is_prose));
                }
                if c == '#' {
                    break;
                }
            }
            c => word.push(c),
        }
    }
    found
}

fn ours(place: &str, words: &[(String, bool)], is_prose: bool) -> Option<Line> {
    let is_before = |word: &str| ["-", "run:", "others:", "sudo", "$"].contains(&word);
    let start = words.iter().position(|(word, _)| !is_before(word))?;
    let first = &words[start].0;
    let program = first.rsplit_once("/bin/").map_or(first.as_str(), |(_, name)| name);
    if !["bellwether", "bellwether-agent", "bellwether-reconciler"].contains(&program) || words.len() == start + 1 {
        return None;
    }
    let mut line = Line { place: place.to_owned(), words: vec![program.to_owned()], is_part: is_prose };
    for (word, is_quoted) in &words[start + 1..] {
        let is_left_out = word == "…" && !is_quoted;
        line.is_part |= is_left_out;
        // Behind an option it stands for the option's value, elsewhere for anything.
        if !is_left_out || line.words.last().is_some_and(|last| last.starts_with("--")) {
            line.words.push(filled_in(word));
        }
    }
    Some(line)
}

/// A word with something in place of what the reader puts there.
fn filled_in(word: &str) -> String {
    let name = word.trim_start_matches('$').trim_end_matches('…');
    let is_placeholder =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-');
    match name {
        _ if !is_placeholder && word.ends_with('…') => "0".repeat(64),
        _ if !is_placeholder || word.starts_with("BW-") => word.to_owned(),
        "COMMIT" | "INTRODUCTION" | "ACCEPTED" => "0".repeat(40),
        _ if name.ends_with("FINGERPRINT") || name == "SHA256" => "0".repeat(64),
        "CODE" => "BW-0103".to_owned(),
        "URL" => "http://127.0.0.1:8080".to_owned(),
        _ => name.to_lowercase(),
    }
}

/// Why the command does not take the line.
fn fault(line: &Line) -> Option<String> {
    let command = programs().into_iter().find(|command| command.get_name() == line.words[0])?;
    let error = command.try_get_matches_from(&line.words).err()?;
    let is_fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => line.is_part,
        // Prose may name an option without its value.
        ErrorKind::InvalidValue => {
            line.is_part
                && matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty())
        }
        _ => false,
    };
    (!is_fine).then(|| format!("{}: {}\n{error}", line.place, line.words.join(" ")))
}

#[test]
fn every_command_line_that_is_written_somewhere_is_one() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(top.join("docs")).expect("the folder is there");
    let docs = docs.map(|entry| entry.expect("it can be listed").path()).filter(|path| path.is_file());
    let pages = docs.chain(["README.md", "repo-template/README.md"].map(|name| top.join(name)));
    let values = Placeholders { branch: "main", person: "ada", key: "KEY", expires: "EXPIRES" };
    let of_template = Example::value_variants().iter().filter_map(|example| {
        let readme = template::files(*example, &values).into_iter().find(|file| file.path == "README.md")?;
        Some((format!("README.md of {example:?}"), String::from_utf8(readme.after?).expect("a page is text")))
    });
    let mut lines: Vec<Line> = programs().iter().flat_map(of_help).collect();
    let of_help = lines.len();
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page is text");
        lines.extend(of_page(&page.file_name().expect("a file").to_string_lossy(), &text));
    }
    of_template.for_each(|(name, text)| lines.extend(of_page(&name, &text)));
    let faults: Vec<_> = lines.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(of_help > 60 && lines.len() - of_help > 100, "{of_help} of {} are in --help", lines.len());
}

/// What is wrong with the help of a command, and of those beneath it.
fn of_teaching(command: &Command, name: &str, faults: &mut Vec<String>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut fault = |what: &str| faults.push(format!("{name} --help {what}"));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    if about.is_empty() || about.contains('\n') {
        fault("does not say in one line what it is for");
    }
    let Some((_, examples)) = help.split_once("Examples:\n") else { return fault("has no examples") };
    let examples: Vec<_> = examples.split("\n\n").next().unwrap_or_default().lines().collect();
    if !examples.iter().any(|line| line.contains(name)) {
        fault("has no example of itself");
    }
    // What an example is for stands behind it in brackets, behind a hash, or on a line of its own.
    let is_told = |line: &&str| line.contains('(') || line.contains("# ") || line.trim_end().ends_with(':');
    if examples.len() > 1 && !examples.iter().any(is_told) {
        fault("does not say what its examples do");
    }
    if help.lines().any(|line| line.chars().count() > 130) {
        fault("has a line of more than 130 columns");
    }
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        if argument.get_help().is_none_or(|help| help.to_string().is_empty()) {
            fault(&format!("does not say what {} is", argument.get_id()));
        }
    }
    for beneath in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        of_teaching(beneath, &format!("{name} {}", beneath.get_name()), faults);
    }
}

#[test]
fn the_help_of_each_command_says_what_it_is_for_with_examples() {
    let mut faults = Vec::new();
    for program in programs() {
        of_teaching(&program, program.get_name(), &mut faults);
        let help = program.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Exit codes: 0 "), "{} --help tells no exit codes", program.get_name());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_help_that_does_not_teach_is_found() {
    let faults = |command: Command| {
        let mut faults = Vec::new();
        of_teaching(&command, "x", &mut faults);
        faults.len()
    };
    let about = Command::new("x").about("Does it");
    for (expected, command) in [
        (0, about.clone().after_help("Examples:\n  x a    (the a)\n  x b")),
        (1, about.clone()),
        (1, about.clone().after_help("Examples:\n  x a\n  x b")),
        (1, about.clone().after_help("Examples:\n  y")),
        (1, about.clone().after_help(format!("Examples:\n  x\n\n{:131}", "."))),
        (1, about.clone().after_help("Examples:\n  x").arg(clap::Arg::new("a"))),
        (1, about.after_help("Examples:\n  x").about("Does it\nand more")),
    ] {
        assert_eq!(faults(command.clone()), expected, "{command:?}");
    }
}

#[test]
fn a_line_that_no_command_takes_is_found() {
    let faults = |page: &str| of_page("page", page).iter().filter_map(fault).count();
    for wrong in [
        "`bellwether token mint lab --lable site=kiel --commit && git push`",
        "```sh\ngit pull && bellwether token mint --commit\n```",
        "```sh\nbellwether keys init --root a \\\n    --onlin b\n```",
        "`sudo bellwether-agent enrol`",
        "```\nExecStart=x\n/usr/local/bin/bellwether-reconciler run --config x --fast\n```",
        "`bellwether device resume edge-1 --over 12`",
    ] {
        assert_eq!(faults(wrong), 1, "{wrong}");
    }
    for right in [
        "the command `bellwether token mint`, and `bellwether` alone",
        "```sh\nbellwether-reconciler backup --config r.yaml --to /b/$(date +%F) > out   # a comment --x\n```",
        "```sh\nbellwether device resume --all --over COMMIT --reason \"…\" --commit && git push\n```",
        "`bellwether-agent enroll … --token-file token`",
    ] {
        assert_eq!(faults(right), 0, "{right}");
    }
}

/// Cells of the tables of a page, by row; heads are left out.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| symptom"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What between stars a cell says that people see.
fn sentences(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('*').skip(1).step_by(2)
}

/// Words in which commits and versions are alike, and numbers too: a transcript names commits by their versions.
fn alike(text: &str) -> String {
    let is_id = |word: &str| word.len() >= 7 && word.chars().all(|c| c.is_ascii_hexdigit());
    let word = |word: &str| {
        let name = word.trim_end_matches(['.', ',', ':']);
        let of = if is_id(name) { word.replacen(name, "v0", 1) } else { word.to_owned() };
        let numbers = of.chars().map(|c| if c.is_ascii_digit() { '0' } else { c });
        // As many digits as there are stand for one.
        numbers.fold(String::new(), |mut shown, c| {
            if !(c == '0' && shown.ends_with('0')) {
                shown.push(c);
            }
            shown
        })
    };
    let words: Vec<_> = text.split_whitespace().map(word).collect();
    words.join(" ").replace("commit v0", "v0")
}

/// Whether a line says the sentence, in which `…` stands for anything.
fn says(line: &str, sentence: &str) -> bool {
    let sentence = alike(sentence);
    let mut rest = Some(line);
    for part in sentence.split('…') {
        rest = rest.and_then(|rest| rest.split_once(part.trim())).map(|(_, behind)| behind);
    }
    rest.is_some()
}

#[test]
fn a_sentence_is_found_whatever_its_numbers_and_commits_are() {
    let line = alike("  +10m     edge: reverting: v4 brings back what was stable: 1 device that left it goes back.");
    for (sentence, is_said) in [
        ("9f3c2ab brings back what was stable: 3 device that left it goes back.", true),
        ("… brings back what was stable: …", true),
        ("9f3c2ab brings back what was stable: 3 devices that left it go back.", false),
        ("… goes back … brings back …", false),
    ] {
        assert_eq!(says(&line, sentence), is_said, "{sentence}");
    }
    assert_eq!(alike("of commit 9f3c2ab, v3.1 at 12:30"), alike("of v12, v10.2 at 1:5"));
}

/// The file of a test or of a scenario that a page names, and the function in it.
fn place(named: &str) -> (String, &str) {
    match named.strip_prefix("scenarios/") {
        Some(_) => (format!("tests/{named}.txt"), ""),
        None => {
            let (file, function) = named.split_once("::").unwrap_or((named, ""));
            (format!("{file}.rs"), function)
        }
    }
}

#[test]
fn every_row_of_troubleshooting_names_a_test_that_shows_it() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| std::fs::read_to_string(top.join(file));
    let page = read("docs/troubleshooting.md").expect("a page is text");
    let (mut named, mut said) = (0, 0);
    for part in page.split("\n## ").skip(1) {
        // Parts with a column for it name the test of each row, others their files.
        if !part.contains("| test |") {
            let head = part.split("\n|").next().unwrap_or_default();
            let files: Vec<_> = code_spans(head).filter(|span| span.ends_with(".rs")).collect();
            assert!(!files.is_empty(), "no file with tests is named: {head}");
            files
                .iter()
                .for_each(|file| assert!(read(&format!("tests/tests/{file}")).is_ok(), "{file} is not there: {head}"));
            continue;
        }
        for row in rows(part) {
            let mut shown = Vec::new();
            for test in code_spans(row.get(4).unwrap_or(&"")) {
                let (file, function) = place(test);
                let text = read(&file).unwrap_or_default();
                let is_there = !text.is_empty() && (function.is_empty() || text.contains(&format!("fn {function}(")));
                assert!(is_there, "{test} is not there: {row:?}");
                // In a scenario what is printed stands indented; in a source a text may go on in the next line.
                let text = text.replace("\\\n", "");
                let is_shown = |line: &&str| file.ends_with(".rs") || line.starts_with("  ");
                shown.extend(text.lines().filter(is_shown).map(alike));
                named += 1;
            }
            assert!(!shown.is_empty(), "no test is named: {row:?}");
            for sentence in sentences(row[1]) {
                let is_said = shown.iter().any(|line| says(line, sentence));
                assert!(is_said, "no test that is named shows {sentence:?}: {row:?}");
                said += 1;
            }
        }
    }
    assert!(named > 80 && said > 25, "{named} tests, {said} sentences");
}
