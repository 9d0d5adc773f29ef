//! `cargo xtask suites`: the rules of the reference and the tests that pin them; the differential suite at its full length.

use clap::Args;

use crate::Result;
use crate::process::cargo;

/// Packages whose conformance tests have the differential suite.
const COMPARED: [&str; 3] = ["larder-memory", "larder-redb", "larder-rest"];

/// The variable that says how many triples a provider gets.
const TRIPLES: &str = "LARDER_TRIPLES";

/// Options of `cargo xtask suites`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print which tests pin which rule, and which rules a test pins; the default.
    #[arg(long)]
    list: bool,
    /// Run the differential suite with this many random triples over each provider.
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "10000", conflicts_with = "list")]
    differential: Option<u64>,
}

/// Does what is asked for. `false` if anything failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    match options.differential {
        None => Ok(cargo(&["run", "-q", "-p", "larder-harness", "--example", "suites"]).status()?.success()),
        Some(triples) => differential(triples),
    }
}

fn differential(triples: u64) -> Result<bool> {
    let mut arguments = vec!["test", "--all-features", "--test", "conformance"];
    arguments.extend(COMPARED.iter().flat_map(|package| ["-p", package]));
    arguments.extend(["--", "differential"]);
    let mut command = cargo(&arguments);
    command.env(TRIPLES, triples.to_string());
    Ok(command.status()?.success())
}
