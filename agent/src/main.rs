//! The program `bellwether-agent`.

fn main() -> std::process::ExitCode {
    bellwether_agent::cli::main(std::env::args_os().collect())
}
