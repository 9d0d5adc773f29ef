//! Runs the benches, prints the table, and writes it down with the facts of the machine.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::Args;

use super::compared::{self, Compared};
use super::machine;
use super::measured::{self, Measured, read};
use crate::Result;
use crate::clock::today;
use crate::metadata::{Metadata, root};
use crate::process::{Event, cargo, stream};
use crate::progress::Progress;

/// The packages with benches: beside raw redb, and beside redb and SQLite.
const PACKAGES: [&str; 2] = ["larder-benches", "larder-benches-engines"];

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
    /// Write a page of today below benches/results, with the facts of this machine and the command.
    #[arg(long)]
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
    let mut progress = Progress::new(PACKAGES.len());
    let mut success = true;
    for package in PACKAGES {
        progress.step(package);
        let mut command = cargo(&["bench", "-p", package]);
        command.env("LARDER_BENCH_DIR", &results).env("LARDER_BENCH_PAIRED", "1");
        if options.quick {
            command.env("LARDER_BENCH_QUICK", "1");
        }
        let status = stream(command, |event| match event {
            Event::Line(line) => progress.line(line),
            Event::Tick => progress.busy(""),
        })?;
        progress.done(status.success(), "");
        success &= status.success();
    }
    let (measured, compared) = read(&results)?;
    if measured.is_empty() || compared.is_empty() {
        println!("benches left no result in target/{RESULTS}");
        return Ok(false);
    }
    println!("\n{}", measured::table(&measured).blocks(WIDTH));
    println!("{}", compared::table(&compared).blocks(WIDTH));
    let verdicts = measured.iter().flat_map(Measured::met).chain(compared.iter().flat_map(Compared::met));
    let (met, missed): (Vec<bool>, Vec<bool>) = verdicts.partition(|met| *met);
    if options.write {
        write(options, &measured, &compared, &metadata.target_directory)?;
    }
    println!("{} targets met, {} missed", met.len(), missed.len());
    Ok(success && (options.quick || missed.is_empty()))
}

const BESIDE_ENGINES: &str = "
## Beside redb and SQLite

The same rows in three files, asked the same in turn in one process (`benches/engines`). Times are medians per operation,
ratios the medians of the ratios within each round, Larder's to the other's: below 1 Larder is faster. *redb* is written by
hand over the records that Larder stores; *SQLite* is in WAL mode with full synchronisation and prepared statements.

";

const BESIDE_REDB: &str = "
## Beside raw redb

Counts and times are Larder's / raw redb's, per operation (`benches`). A sync, a page and a byte are counted at the file, so
they don't move with the machine; `docs/decisions/mutation.md` says which pages a mutation writes. The files are filled 1,000 rows
at a time. A drain is a POST over loopback for each entry, and its durable removal together with the row that is synced by it.

";

const QUICK: &str =
    "A first look, of few rounds: only the ratios mean something, and those with a wide spread mean little.
";

fn write(options: &Options, measured: &[Measured], compared: &[Compared], disk: &Path) -> Result<()> {
    let today = today();
    let mut page = format!("# Bench results of {today}\n\n");
    let quick = if options.quick { " --quick" } else { "" };
    let _ = writeln!(page, "Written by `cargo xtask bench{quick} --write`.");
    if options.quick {
        page.push_str(QUICK);
    }
    page.push('\n');
    for (fact, value) in machine::facts(disk) {
        let _ = writeln!(page, "- {fact}: {value}");
    }
    page.push_str(BESIDE_ENGINES);
    page.push_str(&compared::table(compared).markdown());
    page.push_str(BESIDE_REDB);
    page.push_str(&measured::table(measured).markdown());
    let directory = root().join("benches").join("results");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(format!("{today}.md")), page)?;
    println!("wrote benches/results/{today}.md");
    Ok(())
}
