//! Reads the records of the conformance cases and says what is wrong with them as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::Result;

/// Rows that pass everything: the stores, which have nothing to refuse.
const COMPLETE: [&str; 2] = ["memory", "redb"];

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Passed,
    Refused,
    Exempt,
    Failed,
}

/// One recorded case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) provider: String,
    pub(crate) suite: String,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
}

/// All cases, in the order of provider, suite and name.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    pub(crate) cases: BTreeMap<(String, String, String), Case>,
    /// What must not be: broken lines, cases recorded twice, providers without a record.
    pub(crate) problems: Vec<String>,
}

impl Matrix {
    /// Reads every record in the directory.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let mut matrix = Self::default();
        let mut files: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            if let Some(row) = file.file_name().to_str().and_then(|name| name.strip_suffix(".tsv")) {
                matrix.add(row, &fs::read_to_string(file.path())?);
            }
        }
        Ok(matrix)
    }

    /// Adds the lines of one row's file.
    pub(crate) fn add(&mut self, row: &str, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{row}.tsv:{}", number + 1);
            match parse(line) {
                Ok(case) if case.provider != row => {
                    let provider = case.provider;
                    self.problems.push(format!("{place}: a case of `{provider}` in the file of `{row}`"));
                }
                Ok(case) => self.insert(case),
                Err(why) => self.problems.push(format!("{place}: {why}")),
            }
        }
    }

    fn insert(&mut self, case: Case) {
        let Case { provider, suite, name, outcome, reason } = &case;
        let place = format!("{provider} · {suite} · {name}");
        let spared = matches!(outcome, Outcome::Refused | Outcome::Exempt);
        if spared && reason.is_empty() {
            self.problems.push(format!("{place}: {} without a reason", outcome.word()));
        }
        if spared && COMPLETE.contains(&provider.as_str()) {
            let outcome = outcome.word();
            self.problems
                .push(format!("{place}: {outcome}, but a store has neither refusals nor exemptions"));
        }
        let key = (provider.clone(), suite.clone(), name.clone());
        if self.cases.insert(key, case).is_some() {
            self.problems.push(format!("{place}: recorded twice"));
        }
    }

    /// Compares the rows with the packages that have a conformance target (`larder-redb`, by their name without
    /// `larder-`): `rest-stub` is a row of `rest`, `rest-surf` one of `rest-surf` where that is a package.
    pub(crate) fn expect(&mut self, packages: &[&str]) {
        let stems: Vec<&str> =
            packages.iter().map(|name| name.strip_prefix("larder-").unwrap_or(name)).collect();
        let mut seen = BTreeSet::new();
        for row in self.rows() {
            match owner(&row, &stems) {
                Some(stem) => drop(seen.insert(stem)),
                None => self.problems.push(format!(
                    "row `{row}` belongs to no provider; name rows after the package, as in `redb` or `rest-stub`"
                )),
            }
        }
        for stem in stems.iter().filter(|stem| !seen.contains(*stem)) {
            self.problems.push(format!(
                "provider `{stem}` recorded nothing: its conformance tests crashed, or they do not run the suites"
            ));
        }
    }

    /// The rows, in order.
    pub(crate) fn rows(&self) -> BTreeSet<String> {
        self.cases.values().map(|case| case.provider.clone()).collect()
    }

    /// The suites, in order.
    pub(crate) fn suites(&self) -> BTreeSet<String> {
        self.cases.values().map(|case| case.suite.clone()).collect()
    }

    /// How many cases ended that way.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.cases.values().filter(|case| case.outcome == outcome).count()
    }
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Passed, Self::Refused, Self::Exempt, Self::Failed];

    /// The word that records and tables use.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Exempt => "exempt",
            Self::Failed => "failed",
        }
    }
}

fn parse(line: &str) -> Result<Case, String> {
    let mut fields = line.split('\t');
    let mut next = || fields.next().unwrap_or_default().trim().to_owned();
    let (provider, suite, name, word, reason) = (next(), next(), next(), next(), next());
    let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.word() == word);
    let outcome = outcome.ok_or_else(|| format!("`{word}` is no outcome"))?;
    if provider.is_empty() || suite.is_empty() || name.is_empty() || fields.next().is_some() {
        return Err("a record is `provider \\t suite \\t case \\t outcome \\t reason`".to_owned());
    }
    Ok(Case { provider, suite, name, outcome, reason })
}

/// The package that a row belongs to: the longest stem that it equals or continues.
fn owner<'a>(row: &str, stems: &[&'a str]) -> Option<&'a str> {
    let continues =
        |stem: &str| row.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    stems.iter().copied().filter(|stem| continues(stem)).max_by_key(|stem| stem.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[(&str, &str)]) -> Matrix {
        let mut matrix = Matrix::default();
        for (row, text) in rows {
            matrix.add(row, text);
        }
        matrix
    }

    #[track_caller]
    fn check(rows: &[(&str, &str)], packages: &[&str], problems: &[&str]) {
        let mut matrix = matrix(rows);
        matrix.expect(packages);
        assert_eq!(matrix.problems, problems);
    }

    #[test]
    fn good_records_have_no_problem() {
        let rows = [
            ("redb", "redb\tquery\tnull\tpassed\t\nredb\tstore\tbatch\tpassed\n"),
            ("rest-stub", "rest-stub\tquery\tnull\trefused\tno filter pushed\n"),
            ("rest-surf", "rest-surf\tquery\tnull\texempt\tsurf cannot\n"),
        ];
        check(&rows, &["larder-redb", "larder-rest", "larder-rest-surf"], &[]);
    }

    #[test]
    fn a_provider_without_records_is_missing() {
        let rows = [("rest-surf", "rest-surf\tquery\tnull\tpassed\t\n")];
        check(
            &rows,
            &["larder-rest", "larder-rest-surf"],
            &[
                "provider `rest` recorded nothing: its conformance tests crashed, or they do not run the suites",
            ],
        );
    }

    #[test]
    fn a_row_needs_a_provider() {
        check(
            &[("toast", "toast\tquery\tnull\tpassed\t\n")],
            &[],
            &["row `toast` belongs to no provider; name rows after the package, as in `redb` or `rest-stub`"],
        );
    }

    #[test]
    fn a_case_counts_once() {
        let twice = "redb\tquery\tnull\tpassed\t\nredb\tquery\tnull\tpassed\t\n";
        check(&[("redb", twice)], &["larder-redb"], &["redb · query · null: recorded twice"]);
    }

    #[test]
    fn stores_refuse_nothing_and_reasons_are_given() {
        check(
            &[("redb", "redb\tquery\tnull\trefused\t\n")],
            &["larder-redb"],
            &[
                "redb · query · null: refused without a reason",
                "redb · query · null: refused, but a store has neither refusals nor exemptions",
            ],
        );
    }

    #[test]
    fn broken_lines_have_a_place() {
        let text = "rest\tquery\tnull\tperhaps\t\nrest\tquery\nother\tq\tn\tpassed\t\n";
        let matrix = matrix(&[("rest", text)]);
        assert_eq!(
            matrix.problems,
            [
                "rest.tsv:1: `perhaps` is no outcome",
                "rest.tsv:2: `` is no outcome",
                "rest.tsv:3: a case of `other` in the file of `rest`",
            ]
        );
        assert!(matrix.cases.is_empty());
    }
}
