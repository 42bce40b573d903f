//! The daemon and everything around it, in one binary.

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    counterfoil::cli::run(counterfoil::cli::Cli::parse())
}
