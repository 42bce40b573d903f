//! The daemon and everything around it, in one binary.

use clap::Parser as _;

// What one thread makes, another lets go of: a message, a proposal, a block of the journal. glibc's allocator gives
// memory back to the kernel and asks for it again in the middle of that; docs/PERFORMANCE.md has both beside each other.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    counterfoil::cli::run(counterfoil::cli::Cli::parse())
}
