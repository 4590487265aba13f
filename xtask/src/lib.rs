//! The project's own tools, one file per command: `cargo xtask --help`.
//!
//! This crate depends on none of the product's crates, so that it can check and test a tree that does not compile.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod bench;
mod fuzz;
mod interop;
mod interpreters;
mod libraries;
mod python;
mod sh;
mod size;
mod skips;
mod steps;
mod system;
mod test;
mod testbed;
pub mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use sh::{Error, Result};

/// Tests with their set-up, checks, sizes and benchmarks of this project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every test and check, installing and starting what they need (as root on Debian)
    Test(test::Args),
    /// What continuous integration runs: `test`, with skips of required parts counted as failures
    Ci,
    /// Check the rules that this house has for itself (dependency graph, file lengths, words)
    Tidy,
    /// Check the agent's Python: floor lints and unit tests under every interpreter found
    Python(python::Args),
    /// Start or stop the servers and users that integration tests connect to
    Testbed(testbed::Args),
    /// Measure the bytes that a new context costs, against the budgets
    Size(size::Args),
    /// Replay the committed fuzz corpora, or explore with libFuzzer
    Fuzz(fuzz::Args),
    /// Play the scenarios with releases of upstream's, under every interpreter found
    Interop(interop::Args),
    /// Measure speed and memory, alone or against the peers
    Bench(bench::Args),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Ci => test::run(&test::Args::ci()),
        Command::Tidy => tidy::run(),
        Command::Python(args) => python::run(&args),
        Command::Testbed(args) => testbed::run(&args),
        Command::Size(args) => size::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Interop(args) => interop::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
