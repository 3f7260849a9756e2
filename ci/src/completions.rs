//! `bellwether completions`: what a shell needs to complete command lines.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::man;
use crate::output;

const EXAMPLES: &str = "Examples:
  bellwether completions bash > ~/.local/share/bash-completion/completions/bellwether   (in shells that you open from then on)
  source <(bellwether completions bash)                                                 (in this shell only)
  bellwether completions zsh > \"${fpath[1]}/_bellwether\"
  bellwether completions fish > ~/.config/fish/completions/bellwether.fish
  bellwether completions bash --program bellwether-agent > /etc/bash_completion.d/bellwether-agent   (on a device)

Subcommands, options and their values are completed, and files where they are expected; names of fleets and devices are not.
Write it again after an upgrade.";

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
    /// Whose command lines
    #[arg(long, value_enum, default_value_t = Program::Bellwether)]
    program: Program,
}

/// A program of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    Bellwether,
    BellwetherReconciler,
    BellwetherAgent,
}

pub(crate) fn run(args: &CompletionsArgs) {
    let name = args.program.to_possible_value().expect("no program is hidden");
    let known = man::programs().into_iter().find(|command| command.get_name() == name.get_name());
    let mut command = known.expect("there is a command of each program");
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name.get_name(), &mut script);
    output::bytes(&script);
}
