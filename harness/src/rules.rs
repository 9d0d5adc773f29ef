//! The rules of the reference, and the tests that pin them.
//!
//! A rule is a line of a page under `docs/src/reference`, ``- `q-eq` …``; one that is not built yet is marked
//! *(planned)*. A case of the suites carries the names of its rules, and any other test has a line
//! `// Rules: q-eq, q-ne` above its function.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::suites::cases;

/// Where the pages are, from the root.
const PAGES: &str = "docs/src/reference";

/// What a line that names rules begins with, behind the marks of a comment.
const WORD: &str = concat!("Rules", ":");

/// How many lines after it the function may come.
const NEAR: usize = 40;

/// A rule of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `q-eq`
    pub name: String,
    /// The page and the line.
    pub place: String,
    /// Not built yet.
    pub planned: bool,
}

/// A test, and a rule that it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Citation {
    /// `operators::equality`, or a file and its test.
    pub test: String,
    /// The rule.
    pub rule: String,
}

/// The rules and what pins them.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// In the order of the pages.
    pub rules: Vec<Rule>,
    /// In the order of the tests.
    pub citations: BTreeSet<Citation>,
}

impl Map {
    /// Reads the reference and the tests of the project at `root`.
    ///
    /// # Errors
    /// What reading the files says.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut map = Self::default();
        for page in files(&root.join(PAGES), "md")? {
            map.rules.extend(rules(&shown(root, &page), &fs::read_to_string(&page)?));
        }
        for case in cases() {
            let test = format!("{}::{}", case.suite, case.name);
            map.citations.extend(case.rules().map(|rule| Citation { test: test.clone(), rule: rule.into() }));
        }
        for file in files(root, "rs")? {
            map.citations.extend(citations(&shown(root, &file), &fs::read_to_string(&file)?));
        }
        Ok(map)
    }

    /// What is wrong: rules that no test names, names that are no rules, planned rules that have a test, and rules that
    /// are there twice.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let named: BTreeSet<&str> = self.citations.iter().map(|citation| citation.rule.as_str()).collect();
        let mut known = BTreeMap::new();
        let mut problems = Vec::new();
        for Rule { name, place, planned } in &self.rules {
            if let Some(other) = known.insert(name.as_str(), place) {
                problems.push(format!("{place}: `{name}` stands at {other} too"));
            }
            match (named.contains(name.as_str()), planned) {
                (true, true) => problems.push(format!("{place}: `{name}` has a test: take the mark away")),
                (false, false) => problems.push(format!("{place}: no test names `{name}`")),
                _ => {}
            }
        }
        let unknown = self.citations.iter().filter(|citation| !known.contains_key(citation.rule.as_str()));
        problems.extend(unknown.map(|it| format!("{}: the reference has no rule `{}`", it.test, it.rule)));
        problems
    }
}

/// The rules of a page.
fn rules(page: &str, text: &str) -> Vec<Rule> {
    let rule = |(number, line): (usize, &str)| {
        let (name, rest) = line.strip_prefix("- `")?.split_once('`')?;
        is_rule(name).then(|| Rule {
            name: name.to_owned(),
            place: format!("{page}:{}", number + 1),
            planned: rest.trim_start().starts_with("*(planned)*"),
        })
    };
    text.lines().enumerate().filter_map(rule).collect()
}

/// The rules that the tests of a file name.
fn citations(file: &str, text: &str) -> Vec<Citation> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let comment = line.trim_start().trim_start_matches(['/', '!']).trim_start();
        let Some(names) = comment.strip_prefix(WORD).filter(|_| line.trim_start().starts_with("//")) else {
            continue;
        };
        let function = lines.iter().skip(number + 1).take(NEAR).find_map(|line| function(line));
        let test = format!("{file}: {}", function.unwrap_or("all of it"));
        let names = names.split([',', ' ']).map(|name| name.trim_matches(['`', '.']));
        let names = names.filter(|name| !name.is_empty());
        found.extend(names.map(|rule| Citation { test: test.clone(), rule: rule.to_owned() }));
    }
    found
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let qualified = before.split_whitespace().all(|word| word.starts_with("pub") || word == "async");
    qualified.then(|| rest.split(['(', '<']).next()).flatten()
}

/// A letter, and words.
fn is_rule(name: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.split_once('-')
        .is_some_and(|(kind, rest)| kind.len() == 1 && word(kind) && rest.split('-').all(word))
}

/// The files of this kind below a folder, without what is built.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let built = name.starts_with("target") || name.starts_with('.') || name == "wip";
        if entry.file_type()?.is_dir() && !built {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_line_of_a_page() {
        let page = "# Rules\n\n- `q-eq` `eq` is\n  more.\n- `q-any` *(planned)* `any`\n- `eq` no rule\n";
        let found: Vec<_> =
            rules("a.md", page).into_iter().map(|rule| (rule.name, rule.place, rule.planned)).collect();
        assert_eq!(found, [("q-eq".into(), "a.md:3".into(), false), ("q-any".into(), "a.md:5".into(), true)]);
    }

    #[test]
    fn a_test_names_its_rules_above_its_function() {
        let file = format!(
            "// {WORD} q-eq, `q-ne`.\n#[test]\nasync fn both() {{}}\n//! {WORD} r-a\nlet {WORD} q-x\n"
        );
        let found: Vec<_> = citations("x.rs", &file).into_iter().map(|it| (it.test, it.rule)).collect();
        let both = || "x.rs: both".to_owned();
        let expected = [(both(), "q-eq"), (both(), "q-ne"), ("x.rs: all of it".into(), "r-a")];
        assert_eq!(found, expected.map(|(test, rule)| (test, rule.to_owned())));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let rule = |name: &str, planned| Rule { name: name.into(), place: "p:1".into(), planned };
        let citation = |rule: &str| Citation { test: "t".into(), rule: rule.into() };
        let map = Map {
            rules: vec![rule("q-a", false), rule("q-b", true), rule("q-d", true)],
            citations: [citation("q-b"), citation("q-z")].into(),
        };
        assert_eq!(
            map.problems(),
            [
                "p:1: no test names `q-a`",
                "p:1: `q-b` has a test: take the mark away",
                "t: the reference has no rule `q-z`"
            ]
        );
    }
}
