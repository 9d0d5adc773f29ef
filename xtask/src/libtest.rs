//! Reads what `cargo test` and libtest write, for progress and for the counts at the end.

/// One line of a test run, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Cargo compiles, checks, downloads or locks something.
    Busy(&'a str),
    /// Cargo starts a test executable, by its path.
    Executable(&'a str),
    /// Cargo starts the doctests of a crate.
    Doctests(&'a str),
    /// One test has ended.
    Case(&'a str, Verdict),
    /// libtest's last line for an executable.
    Summary { passed: usize, failed: usize },
    /// Cargo's own word that the executable before this line failed.
    Failed,
    /// Anything else.
    Other,
}

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Ignored,
}

const BUSY: [&str; 11] = [
    "Adding",
    "Blocking",
    "Checking",
    "Compiling",
    "Documenting",
    "Downloaded",
    "Downloading",
    "Finished",
    "Generated",
    "Locking",
    "Updating",
];

/// Tells what a line is.
pub(crate) fn parse(line: &str) -> Line<'_> {
    if let Some(rest) = line.strip_prefix("test result: ") {
        return Line::Summary { passed: count(rest, " passed"), failed: count(rest, " failed") };
    }
    if let Some(case) = line.strip_prefix("test ") {
        return parse_case(case);
    }
    if line.starts_with("error: test failed") || line.starts_with("error: doctest failed") {
        return Line::Failed;
    }
    let (word, rest) = line.trim_start().split_once(' ').unwrap_or((line.trim(), ""));
    match word {
        "Doc-tests" if line.starts_with(' ') => Line::Doctests(rest.trim()),
        "Running" if line.starts_with(' ') => parse_executable(rest),
        _ if line.starts_with(' ') && BUSY.contains(&word) => Line::Busy(line.trim()),
        _ => Line::Other,
    }
}

fn parse_case(case: &str) -> Line<'_> {
    let Some((name, verdict)) = case.rsplit_once(" ... ") else {
        return Line::Other;
    };
    let verdict = match verdict {
        "ok" => Verdict::Passed,
        verdict if verdict.starts_with("FAILED") => Verdict::Failed,
        verdict if verdict.starts_with("ignored") => Verdict::Ignored,
        _ => return Line::Other,
    };
    Line::Case(name.split(" - should panic").next().unwrap_or(name), verdict)
}

/// The path in `unittests src/lib.rs (target/debug/deps/larder_core-0f)`.
fn parse_executable(rest: &str) -> Line<'_> {
    match rest.rsplit_once('(').and_then(|(_, path)| path.strip_suffix(')')) {
        Some(path) => Line::Executable(path),
        None => Line::Other,
    }
}

/// The number before `word` in `ok. 42 passed; 1 failed; …`.
fn count(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit([' ', ';']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What one executable, or one crate's doctests, came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
    summed: bool,
}

impl Tally {
    /// Whether not a single test has run.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.ignored == 0
    }

    /// Counts a line of the executable's output.
    pub(crate) fn add(&mut self, line: &Line<'_>) {
        match *line {
            Line::Case(_, Verdict::Passed) if !self.summed => self.passed += 1,
            Line::Case(_, Verdict::Failed) if !self.summed => self.failed += 1,
            Line::Case(_, Verdict::Ignored) => self.ignored += 1,
            // The summary is exact where a test's own output has torn the line of its verdict.
            // Merged and unmerged doctests of one crate make two summaries.
            Line::Summary { passed, failed } if self.summed => {
                self.passed += passed;
                self.failed += failed;
            }
            Line::Summary { passed, failed } => {
                (self.passed, self.failed, self.summed) = (passed, failed, true);
            }
            // A crash, or an executable without libtest: it counts as one.
            Line::Failed => self.failed = self.failed.max(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(parse("   Compiling redb v4.4.0"), Line::Busy("Compiling redb v4.4.0"));
        assert_eq!(
            parse("     Running tests/conformance.rs (target/debug/deps/conformance-0f)"),
            Line::Executable("target/debug/deps/conformance-0f")
        );
        assert_eq!(
            parse("     Running unittests src/lib.rs (target/debug/deps/larder-1)"),
            Line::Executable("target/debug/deps/larder-1")
        );
        assert_eq!(parse("   Doc-tests larder_core"), Line::Doctests("larder_core"));
        assert_eq!(parse("test query::null ... ok"), Line::Case("query::null", Verdict::Passed));
        assert_eq!(parse("test a ... FAILED"), Line::Case("a", Verdict::Failed));
        assert_eq!(parse("test a - should panic ... ok"), Line::Case("a", Verdict::Passed));
        assert_eq!(parse("test a ... ignored, slow"), Line::Case("a", Verdict::Ignored));
        assert_eq!(
            parse("test core/src/key.rs - key (line 3) ... ok"),
            Line::Case("core/src/key.rs - key (line 3)", Verdict::Passed)
        );
        assert_eq!(
            parse("test result: FAILED. 41 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out"),
            Line::Summary { passed: 41, failed: 2 }
        );
        assert_eq!(parse("error: test failed, to rerun pass `-p larder-redb`"), Line::Failed);
        assert_eq!(parse("Running late is not an executable"), Line::Other);
        assert_eq!(parse(""), Line::Other);
    }

    fn tally(lines: &[&str]) -> (usize, usize) {
        let mut tally = Tally::default();
        for line in lines {
            tally.add(&parse(line));
        }
        (tally.passed, tally.failed)
    }

    #[test]
    fn the_summary_corrects_torn_lines() {
        let lines =
            ["test a ... ok", "test b ... noise", "ok", "test result: ok. 2 passed; 0 failed; 0 ignored"];
        assert_eq!(tally(&lines), (2, 0));
    }

    #[test]
    fn doctests_may_have_two_summaries() {
        let lines = [
            "test result: ok. 2 passed; 0 failed",
            "test x ... ok",
            "test result: FAILED. 1 passed; 1 failed",
            "error: doctest failed, to rerun pass `-p larder --doc`",
        ];
        assert_eq!(tally(&lines), (3, 1));
    }

    #[test]
    fn a_crash_without_a_summary_is_a_failure() {
        assert_eq!(tally(&["test a ... ok", "error: test failed, to rerun pass `-p x`"]), (1, 1));
    }
}
