//! Follows the output of `cargo test`: which provider, which suite, how many, and what came of it.

use std::collections::BTreeMap;

use super::command::Count;
use crate::clock::{Stopwatch, show};
use crate::libtest::{Line, Tally, parse};

/// Test executables by file name, whose hash makes it unique.
pub(super) type Executables = BTreeMap<String, Unit>;

/// One test executable, or the doctests of one crate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) package: String,
    /// `unit tests`, `doctests`, or the name of the test target.
    pub(super) target: String,
    /// A provider's conformance tests, whose cases the matrix counts.
    pub(super) conformance: bool,
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Everything but the providers' conformance tests.
    pub(super) count: Count,
    /// libtest's own count of failures among the conformance tests.
    pub(super) conformance_failed: usize,
}

impl Outcome {
    /// The count of the conformance tests: by recorded cases, unless libtest saw more of them fail.
    pub(super) fn conformance(&self, failed: usize, cases: usize) -> Count {
        let passed = cases - failed;
        Count { passed, failed: failed.max(self.conformance_failed) }
    }

    /// What is wrong with the records as a whole if that many of them say `failed`.
    pub(super) fn unrecorded(&self, failed: usize) -> Option<String> {
        let more = self.conformance_failed.checked_sub(failed).filter(|more| *more > 0)?;
        Some(format!("{more} conformance tests failed without a record: the matrix may be incomplete"))
    }
}

/// Follows the output of `cargo test`.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    executables: &'a Executables,
    unit: Option<Unit>,
    since: Stopwatch,
    tally: Tally,
    /// Cases by module path: in a conformance test, the suite.
    suites: BTreeMap<String, usize>,
    /// The module path of the case that ended last.
    suite: String,
    /// Lines that are of interest if the unit fails.
    said: Vec<String>,
    pub(super) outcome: Outcome,
}

impl<'a> Follower<'a> {
    /// A follower that knows these executables.
    pub(super) fn new(executables: &'a Executables) -> Self {
        Self {
            executables,
            unit: None,
            since: Stopwatch::start(),
            tally: Tally::default(),
            suites: BTreeMap::new(),
            suite: String::new(),
            said: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// Takes a line and answers the lines to show: those of a unit, once it has ended.
    pub(super) fn line(&mut self, line: &str) -> Vec<String> {
        let parsed = parse(line);
        self.tally.add(&parsed);
        match parsed {
            Line::Executable(path) => {
                let known = self.executables.get(file_name(path)).cloned();
                let unknown = || Unit { target: path.to_owned(), ..Unit::default() };
                self.begin(known.unwrap_or_else(unknown))
            }
            Line::Doctests(package) => {
                let package = package.replace('_', "-");
                self.begin(Unit { package, target: "doctests".to_owned(), conformance: false })
            }
            Line::Case(name, _) => {
                name.rsplit_once("::").map_or("", |(path, _)| path).clone_into(&mut self.suite);
                *self.suites.entry(self.suite.clone()).or_default() += 1;
                Vec::new()
            }
            Line::Other | Line::Failed => {
                self.said.push(line.to_owned());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, unit: Unit) -> Vec<String> {
        let said = self.finish();
        self.unit = Some(unit);
        self.suite.clear();
        self.since = Stopwatch::start();
        said
    }

    /// Ends the unit: counts it, and answers its line, with its output if it failed.
    pub(super) fn finish(&mut self) -> Vec<String> {
        let tally = std::mem::take(&mut self.tally);
        let said = std::mem::take(&mut self.said);
        let suites = std::mem::take(&mut self.suites);
        let Some(unit) = self.unit.take() else {
            // What cargo says before the first executable is of use only if it went wrong there.
            let wrong = said.iter().any(|line| line.starts_with("error"));
            return if wrong { said } else { Vec::new() };
        };
        if unit.conformance {
            self.outcome.conformance_failed += tally.failed;
        } else {
            self.outcome.count.add(Count { passed: tally.passed, failed: tally.failed });
        }
        if tally.is_empty() {
            return Vec::new();
        }
        let mut lines = if tally.failed > 0 { said } else { Vec::new() };
        lines.push(self.summary(&unit, &tally, &suites));
        lines
    }

    fn summary(&self, unit: &Unit, tally: &Tally, suites: &BTreeMap<String, usize>) -> String {
        let mut line = format!("      {} {}: {} passed", unit.package, unit.target, tally.passed);
        if tally.failed > 0 {
            line.push_str(&format!(", {} FAILED", tally.failed));
        }
        if tally.ignored > 0 {
            line.push_str(&format!(", {} ignored", tally.ignored));
        }
        if unit.conformance {
            let suites: Vec<_> = suites.iter().map(|(suite, cases)| format!("{suite} {cases}")).collect();
            line.push_str(&format!(" ({})", suites.join(", ")));
        }
        format!("{line}, {}", show(self.since.elapsed()))
    }

    /// What is going on, for the progress line.
    pub(super) fn now(&self) -> String {
        let Some(unit) = &self.unit else {
            return "starting".to_owned();
        };
        let done = self.tally.passed + self.tally.failed;
        let suite = if self.suite.is_empty() { String::new() } else { format!(" · {}", self.suite) };
        format!("{} {}{suite} · {done} cases", unit.package, unit.target)
    }
}

/// The file's name, with its hash, in a path as cargo writes it.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "   Compiling larder-redb v0.1.0
    Finished `test` profile in 0.1s
     Running unittests src/lib.rs (target/debug/deps/larder_redb-11)

running 2 tests
test codec::tests::round ... ok
test lock::tests::second ... FAILED

failures:

---- lock::tests::second stdout ----
left != right

test result: FAILED. 1 passed; 1 failed; 0 ignored
error: test failed, to rerun pass `-p larder-redb --lib`
     Running tests/conformance.rs (target/debug/deps/conformance-22)
test query::null ... ok
test query::like ... FAILED
test store::batch ... ok
test result: FAILED. 2 passed; 1 failed; 0 ignored
error: test failed, to rerun pass `-p larder-redb --test conformance`
   Doc-tests larder_redb
test providers/redb/src/lib.rs - (line 3) ... ok
test result: ok. 1 passed; 0 failed; 0 ignored
";

    fn executables() -> Executables {
        let unit = |target: &str, conformance| Unit {
            package: "larder-redb".to_owned(),
            target: target.to_owned(),
            conformance,
        };
        [
            ("larder_redb-11".to_owned(), unit("unit tests", false)),
            ("conformance-22".to_owned(), unit("conformance", true)),
        ]
        .into()
    }

    #[test]
    fn a_run_is_followed_unit_by_unit() {
        let executables = executables();
        let mut follower = Follower::new(&executables);
        let mut said: Vec<String> = OUTPUT.lines().flat_map(|line| follower.line(line)).collect();
        said.extend(follower.finish());
        assert_eq!(follower.outcome.count, Count { passed: 2, failed: 1 });
        assert_eq!(follower.outcome.conformance_failed, 1);
        let said = said.join("\n");
        assert!(said.contains("left != right"), "{said}");
        assert!(said.contains("larder-redb unit tests: 1 passed, 1 FAILED"), "{said}");
        assert!(said.contains("larder-redb conformance: 2 passed, 1 FAILED (query 2, store 1)"), "{said}");
        assert!(said.contains("larder-redb doctests: 1 passed"), "{said}");
        assert!(!said.contains("Compiling"), "{said}");
    }

    #[test]
    fn the_progress_line_names_provider_suite_and_number() {
        let executables = executables();
        let mut follower = Follower::new(&executables);
        for line in OUTPUT.lines().take_while(|line| !line.contains("store::batch")) {
            follower.line(line);
        }
        assert_eq!(follower.now(), "larder-redb conformance · query · 2 cases");
    }

    #[test]
    fn conformance_is_counted_by_recorded_cases() {
        let outcome = Outcome { conformance_failed: 2, ..Outcome::default() };
        assert_eq!(outcome.conformance(1, 40), Count { passed: 39, failed: 2 });
        assert!(outcome.unrecorded(1).is_some_and(|why| why.starts_with("1 conformance tests")));
        assert_eq!(outcome.unrecorded(2), None);
    }
}
