//! Writes the matrix: the table, and below it every case that a provider does not pass, with its reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::records::{Case, Matrix, Outcome};
use crate::table::Table;

const HEAD: &str = "\
# What every provider passes

Written by `cargo xtask test --bless` from what the conformance suites recorded, and compared by `cargo xtask test`:
a capability that is turned off, or a case that vanishes, is a line in a diff.

A cell counts the cases that pass. *Refused*: the provider's capabilities exclude the request, and the case has
observed the refusal and unchanged state. *Exempt*: left out by name; an unexpected pass is a failure. `–`: the
provider does not have the trait that the suite is about.

";

/// The table suite × provider.
pub(crate) fn table(matrix: &Matrix) -> Table {
    let rows = matrix.rows();
    let mut table = Table::new(std::iter::once("suite".to_owned()).chain(rows.iter().cloned()));
    for suite in matrix.suites() {
        let cells = rows.iter().map(|row| {
            let cases = matrix.cases.values().filter(|case| case.provider == *row && case.suite == suite);
            cell(cases)
        });
        table.row(std::iter::once(suite.clone()).chain(cells));
    }
    table
}

/// The page that stands in git: no date and no timing, the same for the same outcomes.
pub(crate) fn page(matrix: &Matrix) -> String {
    let mut page = HEAD.to_owned();
    page.push_str(&table(matrix).markdown());
    for (outcome, title) in
        [(Outcome::Refused, "Refused"), (Outcome::Exempt, "Exempt"), (Outcome::Failed, "Failed")]
    {
        page.push_str(&listing(matrix, outcome, title));
    }
    page
}

fn cell<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for case in cases {
        *counts.entry(case.outcome).or_default() += 1;
    }
    let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
    if counts.is_empty() {
        return "–".to_owned();
    }
    if count(Outcome::Failed) > 0 {
        return format!("FAILED {} of {}", count(Outcome::Failed), counts.values().sum::<usize>());
    }
    let mut cell = count(Outcome::Passed).to_string();
    for outcome in [Outcome::Refused, Outcome::Exempt] {
        if count(outcome) > 0 {
            let _ = write!(cell, " +{} {}", count(outcome), outcome.word());
        }
    }
    cell
}

/// The cases of one outcome, grouped by provider and reason.
fn listing(matrix: &Matrix, outcome: Outcome, title: &str) -> String {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<&Case>>> = BTreeMap::new();
    for case in matrix.cases.values().filter(|case| case.outcome == outcome) {
        groups.entry(&case.provider).or_default().entry(&case.reason).or_default().push(case);
    }
    let mut text = String::new();
    for (provider, reasons) in groups {
        let _ = write!(text, "\n## {title} by {provider}\n\n");
        for (reason, cases) in reasons {
            let reason = if reason.is_empty() { "no reason given" } else { reason };
            let _ = writeln!(text, "- {reason}");
            for case in cases {
                let _ = writeln!(text, "  - {}: `{}`", case.suite, case.name);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Matrix {
        let mut matrix = Matrix::default();
        matrix.add(
            "memory",
            "memory\tquery\tnull\tpassed\t\nmemory\tquery\tlike\tpassed\t\nmemory\tstore\tbatch\tpassed\t\n",
        );
        matrix.add(
            "rest-stub",
            "rest-stub\tquery\tnull\tpassed\t\nrest-stub\tquery\tlike\trefused\tno pattern in a URL\n\
             rest-stub\tedges\tdeep\texempt\tJSON ends at 128 levels\n",
        );
        matrix
    }

    #[test]
    fn the_page_lists_what_is_not_passed() {
        let expected = format!(
            "{HEAD}\
| suite | memory | rest-stub    |
|-------|--------|--------------|
| edges | –      | 0 +1 exempt  |
| query | 2      | 1 +1 refused |
| store | 1      | –            |

## Refused by rest-stub

- no pattern in a URL
  - query: `like`

## Exempt by rest-stub

- JSON ends at 128 levels
  - edges: `deep`
"
        );
        assert_eq!(page(&sample()), expected);
    }

    #[test]
    fn the_order_of_recording_does_not_matter() {
        let mut other = Matrix::default();
        other.add(
            "rest-stub",
            "rest-stub\tedges\tdeep\texempt\tJSON ends at 128 levels\nrest-stub\tquery\tlike\trefused\tno pattern in a URL\n\
             rest-stub\tquery\tnull\tpassed\t\n",
        );
        other.add(
            "memory",
            "memory\tstore\tbatch\tpassed\t\nmemory\tquery\tlike\tpassed\t\nmemory\tquery\tnull\tpassed\t\n",
        );
        assert_eq!(page(&other), page(&sample()));
    }

    #[test]
    fn a_failure_takes_the_cell() {
        let mut matrix = sample();
        matrix.add("redb", "redb\tquery\tnull\tfailed\tleft != right\nredb\tquery\tlike\tpassed\t\n");
        assert!(table(&matrix).markdown().contains("| FAILED 1 of 2 |"));
        assert!(page(&matrix).contains("## Failed by redb\n\n- left != right\n  - query: `null`\n"));
    }
}
