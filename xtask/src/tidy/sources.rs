//! The files of the project as text, and the rules that ask for nothing but words and lengths.

use std::fs;
use std::path::Path;

use super::finding::Finding;
use crate::Result;

const RULE: &str = "sources";

/// A Rust file past this many lines holds a second thought for certain …
const LONGEST: usize = 600;
/// … and past this many it is worth asking for it.
const LONG: usize = 400;

/// Folders that hold nothing of the project.
const SKIPPED: [&str; 3] = [".git", "wip", "node_modules"];

/// Words that have no place in what is committed, put together here so that this file does not hold them either.
const WORDS: [(&str, &str); 5] = [
    (concat!("TO", "DO"), "do it, or write it into CHANGELOG.md or an issue"),
    (concat!("FIX", "ME"), "fix it"),
    (concat!("todo", "!("), "write it"),
    (concat!("unimplement", "ed!("), "write it, or answer ErrorKind::Unsupported"),
    (concat!("#[ign", "ore"), "a test that does not run is no test: make it run, or remove it"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINE: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("/ro", "ot/")];

/// The text files of the project, by path from the root with `/`.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<(String, String)>,
}

impl Files {
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// The text of a file.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(own, _)| own == path).map(|(_, text)| text.as_str())
    }

    /// Path and text of every file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files below a folder.
    pub(super) fn rust_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter(move |(path, _)| path.starts_with(folder) && path.ends_with(".rs"))
    }

    /// The first line of the file that begins with the words, counted from 1; 1 if there is none.
    pub(super) fn line_of(&self, path: &str, words: &str) -> usize {
        let position = self.get(path).and_then(|text| text.lines().position(|line| line.starts_with(words)));
        position.map_or(1, |line| line + 1)
    }
}

/// Reads every text file below the root, except for what is built, for local notes and for git's own.
pub(super) fn read(root: &Path) -> Result<Files> {
    let mut files = Files::default();
    descend(root, "", &mut files)?;
    files.files.sort();
    Ok(files)
}

fn descend(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        // In a second worktree `.git` is a file.
        let skipped = SKIPPED.contains(&name.as_str());
        if kind.is_dir() && !skipped && !name.starts_with("target") {
            descend(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file()
            && !skipped
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            files.files.push((path, text));
        }
    }
    Ok(())
}

pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| *path != "Cargo.lock") {
        let rust = path.ends_with(".rs");
        let prose = rust || path.ends_with(".toml") || path.ends_with(".md") || path.starts_with(".ci/");
        for (number, line) in text.lines().enumerate() {
            for (word, what) in WORDS.iter().filter(|(word, _)| prose && found(line, word)) {
                findings.push(Finding::on(RULE, path, number + 1, format!("`{word}`: {what}")));
            }
            for start in MACHINE.iter().filter(|start| is_path(line, start)) {
                let message =
                    format!("a path of one machine (`{start}`): write it from the root of the project");
                findings.push(Finding::on(RULE, path, number + 1, message));
            }
        }
        if rust {
            findings.extend(shape(path, text));
        }
    }
    findings
}

/// A Rust file has a heading, and an end in sight.
fn shape(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = path.rsplit('/').next().unwrap_or(path);
    let module = ["lib.rs", "mod.rs", "main.rs"].contains(&name) || format!("/{path}").contains("/src/");
    if module && !text.starts_with("//!") {
        findings.push(Finding::on(
            RULE,
            path,
            1,
            "begins without `//!`: say in a line what the module is for",
        ));
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        let message =
            format!("{lines} lines, more than {LONGEST}: give its second thought a file of its own");
        findings.push(Finding::at(RULE, path, message));
    } else if lines > LONG {
        let message = format!("{lines} lines, more than {LONG}: is there a second thought in it?");
        findings.push(Finding::at(RULE, path, message).lenient());
    }
    findings
}

/// Whether the word stands in the line, not as a part of a longer one.
fn found(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let begins = !part(line[..at].chars().next_back());
        let ends = !word.ends_with(char::is_alphabetic) || !part(line[at + word.len()..].chars().next());
        begins && ends
    })
}

/// Whether a path of a machine begins here: not in the middle of an address or of another path.
fn is_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~)}]%*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let found = check(&Files::of(&[(path, text)]));
        let found: Vec<_> = found.into_iter().map(|f| format!("{}: {}", f.place, f.message)).collect();
        let expected: Vec<String> = expected.iter().map(|text| format!("{path}{text}")).collect();
        assert!(
            found.len() == expected.len() && found.iter().zip(&expected).all(|(f, e)| f.starts_with(e)),
            "{found:#?}"
        );
    }

    #[test]
    fn words_are_found_as_words() {
        let word = WORDS[0].0;
        check_file("a/src/x.rs", &format!("//! x\n// {word}: y\n"), &[":2: `"]);
        check_file("a/src/x.rs", &format!("//! {word}S are fine\n"), &[]);
        check_file("notes.json", word, &[]);
        check_file("a/src/x.rs", &format!("//! x\n{}y)\n", WORDS[2].0), &[":2: `"]);
        check_file("a/src/x.rs", &format!("//! x\n{} = \"slow\"]\n", WORDS[4].0), &[":2: `"]);
    }

    #[test]
    fn paths_of_a_machine_are_found_in_every_file() {
        let path = MACHINE[0];
        check_file("notes.json", &format!("\"{path}ada/x\""), &[":1: a path of one machine"]);
        check_file("notes.json", &format!("\"https://example.com{path}x\""), &[]);
    }

    #[test]
    fn modules_have_a_heading_and_an_end() {
        check_file("a/src/x.rs", "fn x() {}\n", &[":1: begins without `//!`"]);
        check_file("a/tests/ui/x.rs", "fn x() {}\n", &[]);
        check_file(
            "a/src/x.rs",
            &format!("//! x\n{}", "\n".repeat(LONGEST)),
            &[": 601 lines, more than 600"],
        );
        check_file("a/src/x.rs", &format!("//! x\n{}", "\n".repeat(LONG)), &[": 401 lines, more than 400"]);
        check_file("a/src/x.rs", &format!("//! x\n{}", "\n".repeat(LONG - 1)), &[]);
    }
}
