//! The project's own commands: `cargo xtask test`, `tidy`, `suites`, `fixtures`, `crash`, `sim` and `bench`.
//!
//! They need nothing but the toolchain. Each command has a module; what is pure in it (parsing, merging, rules,
//! rendering) is kept apart from what runs cargo, and is unit-tested.

mod bench;
mod clock;
mod crash;
mod diff;
mod fixtures;
mod libtest;
mod matrix;
mod metadata;
mod process;
mod progress;
mod sim;
mod suites;
mod table;
mod test;
mod tidy;
mod toml;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// What a command answers when it could not be carried out at all; findings are not errors but output.
pub(crate) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check and test, print the matrix provider × suite, compare it with docs/matrix.md.
    Test(test::Options),
    /// Check what the compiler does not: arrows, file lists, licences, crates, words.
    Tidy,
    /// Tell which tests pin which rule of the reference.
    Suites(suites::Options),
    /// Write the golden files of the store, or check them.
    Fixtures(fixtures::Options),
    /// Run the crash campaigns and print what they found.
    Crash(crash::Options),
    /// Run the simulator's campaigns at full length.
    Sim(sim::Options),
    /// Run the benches and print the ratios against raw redb.
    Bench(bench::Options),
}

/// The commands as clap knows them: what README and CONTRIBUTING may tell people to run.
pub(crate) fn commands() -> clap::Command {
    Cli::command()
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Tidy => tidy::run(),
        Command::Suites(options) => suites::run(&options),
        Command::Fixtures(options) => fixtures::run(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
