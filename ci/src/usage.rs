//! Wrong usage, as the argument parser finds it, told like every other failure: code, what, and what to do.

use std::ffi::OsString;
use std::process::ExitCode;

use bellwether_schemas::codes;
use clap::error::ErrorKind;

use crate::failure::Failure;
use crate::output::Output;

/// Shows help that was asked for, or what is wrong with the arguments.
pub(crate) fn report(error: &clap::Error, arguments: &[OsString], mut root: clap::Command) -> ExitCode {
    let asked =
        [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
    if asked.contains(&error.kind()) {
        // A reader that went away (`| head`) ends the output, not the command.
        let _closed = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text).trim_end();
    let command = subcommand(arguments, &mut root);
    Failure::new(codes::USAGE, text)
        .hint(format!("{command} --help says what it takes, with examples."))
        .report(output_of(arguments))
}

/// The form of the output that was asked for, as far as it can be told.
fn output_of(arguments: &[OsString]) -> Output {
    let asks = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    let json = arguments.windows(2).any(asks) || arguments.iter().any(|argument| argument == "--output=json");
    if json { Output::Json } else { Output::Text }
}

/// The subcommand that was meant: `bellwether token mint`.
fn subcommand(arguments: &[OsString], root: &mut clap::Command) -> String {
    let mut path = root.get_name().to_owned();
    let mut here: &clap::Command = root;
    for argument in arguments.iter().skip(1) {
        let Some(next) = here.find_subcommand(argument) else { continue };
        path.push(' ');
        path.push_str(next.get_name());
        here = next;
    }
    path
}
