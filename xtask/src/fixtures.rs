//! Golden files of the store: `cargo xtask fixtures` writes them, `--check` asks whether they still hold.
//!
//! The files are made and judged by tests that every run of `cargo xtask test` includes. Those of the store: each file of
//! each format is read by today's version, and what is written today has to be what lies in the files of today's format,
//! key by key and value by value (not page by page). Those of requests that are no models are read and sent.

use clap::Args;

use crate::Result;
use crate::process::{Event, cargo, stream};
use crate::progress::Progress;

/// Tells the test to write.
const VARIABLE: &str = "LARDER_FIXTURES";

/// The tests; one that writes goes alone, for the others read what it writes. Each with where its files lie.
const TESTS: [(&[&str], &str, &str); 2] = [
    (&["-p", "larder-redb", "--test", "store"], "golden::golden_files", "providers/redb/tests/golden"),
    (
        &["-p", "larder", "--features", "rest", "--test", "requests"],
        "golden::golden_requests",
        "larder/tests/requests/golden",
    ),
];
const ALL: &str = "golden::";

/// Options of `cargo xtask fixtures`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write nothing: fail if a file can't be read or is not what would be written today.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the files. `false` if they do not hold.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut progress = Progress::new(TESTS.len());
    let mut hold = true;
    for (target, writer, files) in TESTS {
        progress.step("golden files");
        let tests = if options.check { ALL } else { writer };
        let mut command = cargo(&[&["test"], target, &[tests, "--", "--nocapture"]].concat());
        command.env_remove(VARIABLE);
        if !options.check {
            command.env(VARIABLE, "write");
        }
        let status = stream(command, |event| match event {
            Event::Line(line) => progress.line(line),
            Event::Tick => progress.busy(""),
        })?;
        progress.done(status.success(), files);
        hold &= status.success();
    }
    Ok(hold)
}
