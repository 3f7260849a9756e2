//! The command `bellwether-reconciler`.

fn main() -> std::process::ExitCode {
    bellwether_reconciler::cli::main(std::env::args_os().collect())
}
