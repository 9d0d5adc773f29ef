//! Golden files of the store: `cargo xtask fixtures` writes them, `--check` asks whether they still hold.
//!
//! The files are made and judged by a test of the store itself, which every run of `cargo xtask test` includes: each file
//! of each format is read by today's version, and what is written today has to be what lies in the files of today's
//! format, key by key and value by value (not page by page).

use clap::Args;

use crate::Result;
use crate::process::{Event, cargo, stream};
use crate::progress::Progress;

/// Where the files lie, for people.
const FILES: &str = "providers/redb/tests/golden";

/// Tells the test to write.
const VARIABLE: &str = "LARDER_FIXTURES";

/// The tests; the one that writes goes alone, for the others read what it writes.
const TESTS: [&str; 5] = ["test", "-p", "larder-redb", "--test", "store"];
const ALL: &str = "golden::";
const WRITER: &str = "golden::golden_files";

/// Options of `cargo xtask fixtures`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write nothing: fail if a file can't be read or is not what would be written today.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the files. `false` if they do not hold.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut progress = Progress::new(1);
    progress.step("golden files");
    let tests = if options.check { ALL } else { WRITER };
    let mut command = cargo(&[&TESTS[..], &[tests, "--", "--nocapture"]].concat());
    command.env_remove(VARIABLE);
    if !options.check {
        command.env(VARIABLE, "write");
    }
    let status = stream(command, |event| match event {
        Event::Line(line) => progress.line(line),
        Event::Tick => progress.busy(""),
    })?;
    progress.done(status.success(), FILES);
    Ok(status.success())
}
