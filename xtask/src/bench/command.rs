//! Runs the benches, prints the table, and writes it down with the facts of the machine.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::Args;

use super::machine;
use super::measured::{Measured, read, table};
use crate::Result;
use crate::clock::today;
use crate::metadata::{Metadata, root};
use crate::process::{Event, cargo, stream};
use crate::progress::Progress;

/// Where the benches leave their results, below the target directory.
const RESULTS: &str = "larder-bench";

/// Columns that the table may take on a terminal.
const WIDTH: usize = 160;

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Few samples: whether the benches run, not what they measure. A missed target is no failure.
    #[arg(long)]
    quick: bool,
    /// Write a page of today below benches/results, with the facts of this machine.
    #[arg(long, conflicts_with = "quick")]
    write: bool,
}

/// Runs the benches. `false` if they fail or, in a full run, miss a target.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let metadata = Metadata::load()?;
    let results = metadata.target_directory.join(RESULTS);
    if results.exists() {
        fs::remove_dir_all(&results)?;
    }
    fs::create_dir_all(&results)?;
    let mut progress = Progress::new(1);
    progress.step("benches");
    let mut command = cargo(&["bench", "-p", "larder-benches"]);
    command.env("LARDER_BENCH_DIR", &results);
    if options.quick {
        command.env("LARDER_BENCH_QUICK", "1");
    }
    let status = stream(command, |event| match event {
        Event::Line(line) => progress.line(line),
        Event::Tick => progress.busy(""),
    })?;
    progress.done(status.success(), "");
    let measured = read(&results)?;
    if measured.is_empty() {
        println!("no bench left a result in target/{RESULTS}");
        return Ok(false);
    }
    println!("\n{}", table(&measured).blocks(WIDTH));
    let missed = measured.iter().filter(|one| one.met() == Some(false)).count();
    let met = measured.iter().filter(|one| one.met() == Some(true)).count();
    if options.write {
        write(&measured, &metadata.target_directory)?;
    }
    println!("{met} targets met, {missed} missed");
    Ok(status.success() && (options.quick || missed == 0))
}

fn write(measured: &[Measured], disk: &Path) -> Result<()> {
    let today = today();
    let mut page = format!("# Bench results of {today}\n\n");
    page.push_str("Written by `cargo xtask bench --write`. Counts and times are Larder's / raw redb's, per operation.\n\n");
    for (fact, value) in machine::facts(disk) {
        let _ = writeln!(page, "- {fact}: {value}");
    }
    let _ = write!(page, "\n{}", table(measured).markdown());
    let directory = root().join("benches").join("results");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(format!("{today}.md")), page)?;
    println!("wrote benches/results/{today}.md");
    Ok(())
}
