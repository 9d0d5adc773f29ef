//! `cargo xtask crash`: builds `harness/crash` for speed, runs its campaigns, and writes their page of the book.

use clap::Args;

use crate::Result;
use crate::metadata::root;
use crate::process::cargo;

/// The page of the book that a whole run writes.
const PAGE: &str = "docs/src/crash.md";

/// Options of `cargo xtask crash`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Sizes that take about two minutes; the page of the book is left as it is.
    #[arg(long)]
    short: bool,
    /// Only this campaign: faults, compound, salvage, power, damaged, full, kill or queue; the page is left as it is.
    #[arg(long)]
    campaign: Option<String>,
    /// What everything but the kills follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the campaigns. `false` if one of them found something.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut command = cargo(&["run", "--quiet", "--release", "-p", "larder-crash", "--"]);
    command.arg("--seed").arg(options.seed.to_string());
    if options.short {
        command.arg("--short");
    }
    match &options.campaign {
        Some(campaign) => {
            command.arg("--campaign").arg(campaign);
        }
        None if !options.short => {
            command.arg("--page").arg(root().join(PAGE));
        }
        None => {}
    }
    // The table is the output, as it comes.
    Ok(command.status().map_err(|error| format!("failed to start {command:?}: {error}"))?.success())
}
