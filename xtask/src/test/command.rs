//! The steps of `cargo xtask test`, and the count at the end.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use super::cases;
use crate::Result;
use crate::clock::show;
use crate::diff;
use crate::libtest;
use crate::matrix::{self, Matrix, Outcome};
use crate::metadata::{Metadata, root};
use crate::process::{Event, cargo, stream, succeeds};
use crate::progress::Progress;
use crate::tidy;

/// Everything is selected alike in every step (`--workspace --all-features`), so that cargo resolves features once
/// and compiles each dependency once for checking and once for running.
const WORKSPACE: [&str; 2] = ["--workspace", "--all-features"];

/// Columns that the matrix may take on a terminal.
const WIDTH: usize = 120;

/// What the inner loop leaves out: crates that need an HTTP stack to build, tools, and what is measured or shown.
const NOT_QUICK: [&str; 6] = [
    "larder-rest",
    "larder-rest-surf",
    "larder-benches",
    "larder-benches-engines",
    "larder-examples",
    "xtask",
];

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The inner loop: unit tests, and the conformance suites of memory and redb.
    #[arg(long)]
    quick: bool,
    /// The conformance suites of every provider and the matrix, and nothing else.
    #[arg(long, conflicts_with = "quick")]
    matrix: bool,
    /// Write docs/matrix.md instead of comparing it.
    #[arg(long, conflicts_with = "quick")]
    bless: bool,
}

/// Passed and failed checks, tests and cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
}

impl Count {
    pub(super) fn check(passed: bool) -> Self {
        Self { passed: usize::from(passed), failed: usize::from(!passed) }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs everything. `false` if anything failed; the last line counts what passed and what failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let metadata = Metadata::load()?;
    let mut progress = Progress::new(if options.quick || options.matrix { 3 } else { 7 });
    let count = if options.quick {
        quick(&metadata, &mut progress)?
    } else if options.matrix {
        let select = [&WORKSPACE[..], &["--test", "conformance", "--test", "custom_provider"]].concat();
        tests(&metadata, &mut progress, &select, &under_test(&metadata), Some(options.bless))?
    } else {
        full(&metadata, &mut progress, options.bless)?
    };
    println!("\ntook {}", show(progress.elapsed()));
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(count.failed == 0)
}

fn full(metadata: &Metadata, progress: &mut Progress, bless: bool) -> Result<Count> {
    let mut count = Count::default();
    progress.step("format");
    count.add(component("rustfmt", "fmt", &["fmt", "--all", "--", "--check"], progress)?);
    progress.step("tidy");
    let tidy = tidy::check(metadata)?;
    progress.done(tidy.clean(), &tidy.summary());
    print!("{tidy}");
    count.add(Count::check(tidy.clean()));
    progress.step("clippy");
    let lint = [&["clippy"], &WORKSPACE[..], &["--all-targets", "--", "-D", "warnings"]].concat();
    count.add(component("clippy", "clippy", &lint, progress)?);
    count.add(tests(metadata, progress, &WORKSPACE, &under_test(metadata), Some(bless))?);
    progress.step("documentation");
    let mut document = cargo(&[&["doc", "--no-deps"], &WORKSPACE[..]].concat());
    document.env("RUSTDOCFLAGS", "-D warnings");
    count.add(Count::check(watch(document, progress)?));
    Ok(count)
}

/// The packages that must have recorded something.
/// The provider from outside, among the examples: it runs the suites that it claims, as ours do.
const OUTSIDE: &str = "custom-provider";

fn under_test(metadata: &Metadata) -> Vec<&str> {
    metadata.providers_under_test().map(|package| package.name.as_str()).chain([OUTSIDE]).collect()
}

fn quick(metadata: &Metadata, progress: &mut Progress) -> Result<Count> {
    let mut select = Vec::new();
    for package in metadata.members().filter(|package| !NOT_QUICK.contains(&package.name.as_str())) {
        select.extend(["-p", package.name.as_str()]);
    }
    select.extend(["--lib", "--test", "conformance"]);
    let expected: Vec<&str> = metadata
        .providers_under_test()
        .map(|package| package.name.as_str())
        .filter(|name| select.contains(name))
        .collect();
    if expected.is_empty() {
        select.truncate(select.len() - 2);
    }
    tests(metadata, progress, &select, &expected, None)
}

/// Builds and runs tests, then merges what the conformance cases recorded: three steps. `page` says what to do with
/// the matrix's page: compare or bless it; the inner loop, which has some rows only, leaves it alone.
fn tests(
    metadata: &Metadata,
    progress: &mut Progress,
    select: &[&str],
    expected: &[&str],
    page: Option<bool>,
) -> Result<Count> {
    progress.step("build the tests");
    let Some(executables) = cases::build(metadata, select, progress)? else {
        progress.line("the tests and the matrix are skipped: they do not build");
        return Ok(Count::check(false));
    };
    progress.step("tests");
    let records = records(metadata)?;
    let outcome = cases::run(&executables, select, &records, progress)?;
    progress.step("matrix");
    let mut matrix = Matrix::read(&records)?;
    matrix.expect(expected);
    matrix.problems.extend(outcome.unrecorded(matrix.count(Outcome::Failed)));
    let mut count = outcome.count;
    count.add(outcome.conformance(matrix.count(Outcome::Failed), matrix.cases.len()));
    count.add(conclude(&matrix, page, progress)?);
    Ok(count)
}

/// An empty directory for the records.
fn records(metadata: &Metadata) -> Result<PathBuf> {
    let records = metadata.target_directory.join("xtask").join("matrix");
    fs::create_dir_all(&records)?;
    for file in fs::read_dir(&records)? {
        fs::remove_file(file?.path())?;
    }
    Ok(records)
}

/// Prints the matrix and its problems, and compares the page.
fn conclude(matrix: &Matrix, page: Option<bool>, progress: &mut Progress) -> Result<Count> {
    let failed = matrix.count(Outcome::Failed);
    let mut problems = matrix.problems.clone();
    if failed == 0
        && problems.is_empty()
        && let Some(bless) = page
    {
        problems.extend(compare(&matrix::page(matrix), bless)?);
    }
    let sound = failed == 0 && problems.is_empty();
    let of = |outcome| matrix.count(outcome);
    let summary = format!(
        "{} passed, {} refused, {} exempt, {failed} failed",
        of(Outcome::Passed),
        of(Outcome::Refused),
        of(Outcome::Exempt),
    );
    progress.done(sound, &summary);
    println!("\n{}", matrix::table(matrix).blocks(WIDTH));
    for case in matrix.cases.values().filter(|case| case.outcome == Outcome::Failed) {
        println!("failed: {} · {} · {}: {}", case.provider, case.suite, case.name, case.reason);
    }
    if page.is_none() {
        println!("{} is compared by the full run only", matrix::PAGE);
    }
    for problem in &problems {
        println!("matrix: {problem}");
    }
    Ok(Count::check(sound))
}

/// Compares the page in the tree with the one that these outcomes make, or writes it.
fn compare(page: &str, bless: bool) -> Result<Vec<String>> {
    let path = root().join(matrix::PAGE);
    let tree = fs::read_to_string(&path).unwrap_or_default();
    if tree == page {
        return Ok(Vec::new());
    }
    if bless {
        fs::write(path, page)?;
        println!("wrote {}", matrix::PAGE);
        return Ok(Vec::new());
    }
    let mut problems = diff::lines(&tree, page);
    problems.push(format!("{} differs: if that is meant, run `cargo xtask test --bless`", matrix::PAGE));
    Ok(problems)
}

/// Runs a cargo command that a component of the toolchain brings.
fn component(name: &str, command: &str, arguments: &[&str], progress: &mut Progress) -> Result<Count> {
    if !succeeds(cargo(&[command, "--version"])) {
        progress.done(false, &format!("`{name}` is missing: get it by `rustup component add {name}`"));
        return Ok(Count::check(false));
    }
    Ok(Count::check(watch(cargo(arguments), progress)?))
}

/// Runs a command and shows what it says, except for what only tells how far it is.
fn watch(command: Command, progress: &mut Progress) -> Result<bool> {
    let mut last = String::new();
    let mut units = 0;
    let status = stream(command, |event| match event {
        Event::Line(line) => match libtest::parse(line) {
            libtest::Line::Busy(what) => {
                units += 1;
                last = format!("{units} · {what}");
                progress.busy(&last);
            }
            _ => progress.line(line),
        },
        Event::Tick => progress.busy(&last),
    })?;
    progress.done(status.success(), "");
    Ok(status.success())
}
