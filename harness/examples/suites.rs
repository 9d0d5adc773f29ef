//! Prints which tests pin which rule of the reference, and which rules a test pins. `cargo xtask suites --list` runs it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use larder_harness::rules::Map;

fn main() -> io::Result<()> {
    let map = Map::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    let mut out = io::stdout().lock();
    writeln!(out, "Rules, and the tests that pin them")?;
    for rule in &map.rules {
        let planned = if rule.planned { " (planned)" } else { "" };
        writeln!(out, "\n{}{planned}  {}", rule.name, rule.place)?;
        for citation in map.citations.iter().filter(|citation| citation.rule == rule.name) {
            writeln!(out, "  {}", citation.test)?;
        }
    }
    writeln!(out, "\nTests, and the rules that they pin\n")?;
    let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for citation in &map.citations {
        tests.entry(&citation.test).or_default().push(&citation.rule);
    }
    for (test, rules) in &tests {
        writeln!(out, "{test}  {}", rules.join(", "))?;
    }
    let planned = map.rules.iter().filter(|rule| rule.planned).count();
    let (rules, cases) = (map.rules.len(), larder_harness::suites::cases().count());
    writeln!(out, "\n{rules} rules, {planned} of them planned; {cases} cases, {} tests in all", tests.len())
}
