//! The programs that tests start as processes: `part reconciler …` and `part agent …` are the shipped ones.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|word| word.to_str()) {
        Some("reconciler") => bellwether_reconciler::cli::main(arguments),
        Some("agent") => bellwether_agent::cli::main(arguments),
        _ => {
            eprintln!("usage: part reconciler|agent …");
            ExitCode::from(2)
        }
    }
}
