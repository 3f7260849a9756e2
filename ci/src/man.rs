//! `bellwether man`: manual pages, from what `--help` says.

use std::io;
use std::path::{Path, PathBuf};

use bellwether_schemas::codes;
use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::Cli;
use crate::failure::{self, Failure};
use crate::meant;
use crate::output::{self, Output};

const EXAMPLES: &str = "Examples:
  bellwether man | man --local-file -                 (read the page of the command)
  bellwether man token mint | man --local-file -      (read the page of a subcommand)
  bellwether man --dir ~/.local/share/man/man1        (write all pages: bellwether.1, bellwether-validate.1 and so on)

With --dir there are also the pages of bellwether-reconciler and bellwether-agent. They say what --help says, for this release.";

/// Options of `man`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// The subcommand whose page is printed [default: the command itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    commands: Vec<String>,
    /// Write the pages of all commands into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The command lines of our programs.
pub(crate) fn programs() -> [Command; 3] {
    [Cli::command(), bellwether_agent::cli::command(), bellwether_reconciler::cli::command()]
}

pub(crate) fn run(args: &ManArgs, output: Output) -> Result<(), Failure> {
    if let Some(dir) = &args.dir {
        return write(dir, output);
    }
    let root = built(Cli::command());
    let mut command = &root;
    for name in &args.commands {
        command = command.find_subcommand(name).ok_or_else(|| {
            // The command itself has no name of its binary until it is parsed.
            let of = command.get_bin_name().unwrap_or_else(|| command.get_name());
            let there = command.get_subcommands().filter(|known| !known.is_hide_set()).map(Command::get_name);
            Failure::new(codes::USAGE, format!("{of} has no subcommand {name}")).hint(meant::hint(
                name,
                there,
                format!("See which it has: {of} --help"),
            ))
        })?;
    }
    output::bytes(&page(command));
    Ok(())
}

fn write(dir: &Path, output: Output) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| failure::file("cannot make", dir, &e))?;
    let mut written = Vec::new();
    for program in programs().map(built) {
        for command in all(&program) {
            let file = dir.join(format!("{}.1", name(command)));
            std::fs::write(&file, page(command)).map_err(|e| failure::file("cannot write", &file, &e))?;
            written.push(file);
        }
    }
    match output {
        Output::Json => output::json(&serde_json::json!({ "files": written })),
        Output::Text => written.iter().for_each(|file| output::line(file.display().to_string())),
    }
    Ok(())
}

/// The command as clap completes it: subcommands have the options of all, and names with those of what they belong to.
fn built(command: Command) -> Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

/// The command, and all beneath it that are shown.
fn all(command: &Command) -> Vec<&Command> {
    let beneath = command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(all);
    std::iter::once(command).chain(beneath).collect()
}

/// `bellwether-token-mint`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The page of a command.
fn page(command: &Command) -> Vec<u8> {
    let source = format!("Bellwether {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("Bellwether");
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut page = Vec::new();
    let rendered = sections(&man, command, &mut page).and_then(|()| after(command, &help).to_writer(&mut page));
    rendered.expect("a buffer takes everything");
    page
}

fn sections(man: &Man, command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    Ok(())
}

/// What `--help` says behind the options: the examples, and what is to be known.
fn after(command: &Command, help: &str) -> Roff {
    let mut roff = Roff::new();
    let is_examples = help.starts_with("Examples:");
    for (place, paragraph) in help.split("\n\n").filter(|paragraph| !paragraph.is_empty()).enumerate() {
        let (head, text) = match (place, is_examples) {
            (0, true) => (Some("EXAMPLES"), paragraph.trim_start_matches("Examples:").trim_start_matches('\n')),
            (0, false) | (1, true) => (Some("NOTES"), paragraph),
            _ => (None, paragraph),
        };
        match head {
            Some(head) => roff.control("SH", [head]),
            None => roff.control("PP", []),
        };
        // Where lines are indented they stay as they are.
        let is_table = text.lines().any(|line| line.starts_with(' '));
        if is_table {
            roff.control("nf", []);
        }
        for line in text.lines() {
            roff.text([roman(line)]);
        }
        if is_table {
            roff.control("fi", []);
        }
    }
    let above = name(command).rsplit_once('-').map(|(above, _)| above);
    if let Some(above) = above.filter(|_| command.get_bin_name().is_some_and(|name| name.contains(' '))) {
        roff.control("SH", ["SEE ALSO"]).text([roman(format!("{above}(1)"))]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_what_a_reader_looks_for() {
        for program in programs().map(built) {
            for command in all(&program) {
                let text = String::from_utf8(page(command)).expect("text");
                for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"] {
                    assert!(text.contains(&format!(".SH {section}\n")), "{} has no {section}: {text}", name(command));
                }
                let has_examples = command.get_after_help().is_some_and(|help| help.to_string().contains("Examples:"));
                assert_eq!(text.contains(".SH EXAMPLES\n"), has_examples, "{text}");
            }
        }
    }

    #[test]
    fn examples_stay_as_they_are_and_prose_is_filled() {
        let help = "Examples:\n  bellwether x   (it\n    's so)\n\nA line\n.and another.\n\nA table:\n    a,b";
        let command = Command::new("x");
        let text = after(&command, help).render();
        let expected = ".SH EXAMPLES\n.nf\n  bellwether x   (it\n    \\*(Aqs so)\n.fi\n.SH NOTES\nA line\n\\&.and another.\n.PP\n.nf\nA table:\n    a,b\n.fi\n";
        assert_eq!(text.split_once(".SH").map(|(_, text)| format!(".SH{text}")).unwrap_or_default(), expected);
    }
}
