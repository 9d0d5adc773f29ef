//! The pages that people act on: commands that exist, a changelog, and a reason for each dependency.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::sources::Files;
use crate::metadata::Metadata;
use crate::toml;

const RULE: &str = "pages";
const README: &str = "README.md";
const CHANGELOG: &str = "CHANGELOG.md";
const DEPENDENCIES: &str = "docs/dependencies.md";
const BOOK: &str = "docs/src/";
const SUMMARY: &str = "SUMMARY.md";

/// Pages whose commands are checked.
const WITH_COMMANDS: [&str; 3] = [README, "CONTRIBUTING.md", "ARCHITECTURE.md"];

/// What the README must tell: the two commands that a newcomer runs.
const TOLD: [&str; 2] = ["cargo run --example tracker", "cargo xtask test"];

pub(super) fn check(metadata: &Metadata, files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in WITH_COMMANDS {
        let Some(text) = files.get(page) else {
            findings.push(Finding::at(RULE, page, "is missing"));
            continue;
        };
        for (line, command) in commands(text) {
            if let Err(why) = exists(metadata, &command) {
                findings.push(Finding::on(RULE, page, line, format!("`{command}`: {why}; correct the page")));
            }
        }
    }
    let readme = files.get(README).unwrap_or_default();
    for command in TOLD.iter().filter(|command| !readme.is_empty() && !readme.contains(**command)) {
        findings.push(Finding::at(RULE, README, format!("does not tell `{command}`")));
    }
    findings.extend(changelog(files.get(CHANGELOG)));
    findings.extend(dependencies(metadata, files));
    findings.extend(book(files));
    findings
}

/// The pages of the book are those that its summary lists.
fn book(files: &Files) -> Vec<Finding> {
    let summary = format!("{BOOK}{SUMMARY}");
    let text = files.get(&summary).unwrap_or_default();
    let link = |line: &'_ str| Some(line.split_once("](")?.1.split_once(')')?.0.to_owned());
    let listed: Vec<(usize, String)> =
        text.lines().enumerate().filter_map(|(number, line)| Some((number + 1, link(line)?))).collect();
    let missing = listed.iter().filter(|(_, page)| files.get(&format!("{BOOK}{page}")).is_none());
    let mut findings: Vec<Finding> = missing
        .map(|(line, page)| Finding::on(RULE, &summary, *line, format!("there is no page `{page}`")))
        .collect();
    let pages = files.iter().filter_map(|(path, _)| Some((path, path.strip_prefix(BOOK)?)));
    for (path, page) in pages.filter(|(_, page)| page.ends_with(".md") && *page != SUMMARY) {
        if !listed.iter().any(|(_, listed)| listed == page) {
            findings.push(Finding::at(RULE, path, format!("stands not in {summary}, so nobody finds it")));
        }
    }
    findings
}

/// The cargo commands of a page, in code blocks and in lines of code, with their line.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let parts: Vec<&str> = if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for part in parts {
            let command = part.trim().trim_start_matches("$ ").split(" #").next().unwrap_or_default().trim();
            if let Some(at) = command.find("cargo ").filter(|at| *at == 0 || command[..*at].contains('=')) {
                commands.push((number + 1, command[at..].to_owned()));
            }
        }
    }
    commands
}

/// Whether what the command names is there: the xtask command and its flags, the package, the target.
fn exists(metadata: &Metadata, command: &str) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().skip(1).take_while(|word| *word != "--").collect();
    if words.first() == Some(&"xtask") {
        return xtask(&words[1..]);
    }
    for pair in words.windows(2) {
        let (flag, name) = (pair[0], pair[1]);
        let target = |kind: &str| {
            metadata
                .members()
                .flat_map(|member| &member.targets)
                .any(|target| target.is(kind) && target.name == name)
        };
        let found = match flag {
            "-p" | "--package" => metadata.member(name).is_some(),
            "--example" | "--bin" | "--test" | "--bench" => target(flag.trim_start_matches('-')),
            _ => true,
        };
        // `<name>` stands for the reader's own.
        if !found && !name.starts_with('<') {
            return Err(format!("there is no `{name}`"));
        }
    }
    Ok(())
}

fn xtask(words: &[&str]) -> Result<(), String> {
    let root = crate::commands();
    let Some((name, arguments)) = words.split_first() else {
        return Ok(());
    };
    let command = root.find_subcommand(name).ok_or_else(|| format!("there is no `cargo xtask {name}`"))?;
    for flag in arguments.iter().filter_map(|word| word.strip_prefix("--")) {
        if flag != "help" && !command.get_arguments().any(|argument| argument.get_long() == Some(flag)) {
            return Err(format!("`cargo xtask {name}` has no `--{flag}`"));
        }
    }
    Ok(())
}

fn changelog(text: Option<&str>) -> Option<Finding> {
    let heading = |line: &str| {
        let title = line.strip_prefix("## ").unwrap_or_default().trim_start_matches(['[', 'v']);
        title.to_lowercase().starts_with("unreleased") || title.starts_with(|c: char| c.is_ascii_digit())
    };
    match text {
        Some(text) if text.lines().any(heading) => None,
        Some(_) => Some(Finding::at(
            RULE,
            CHANGELOG,
            "has neither `## Unreleased` nor a version: say what has changed",
        )),
        None => Some(Finding::at(RULE, CHANGELOG, "is missing")),
    }
}

/// Each foreign crate of `[workspace.dependencies]` that is used has a line, and each line such a crate.
fn dependencies(metadata: &Metadata, files: &Files) -> Vec<Finding> {
    let Some(page) = files.get(DEPENDENCIES) else {
        return vec![Finding::at(RULE, DEPENDENCIES, "is missing: a line for each dependency")];
    };
    let used: BTreeSet<&str> =
        metadata.members().flat_map(|m| &m.dependencies).map(|d| d.name.as_str()).collect();
    let manifest = toml::entries(files.get("Cargo.toml").unwrap_or_default());
    let declared: Vec<_> = manifest
        .iter()
        .filter(|entry| entry.section == "workspace.dependencies" && metadata.member(&entry.key).is_none())
        .collect();
    let lines: Vec<(usize, &str)> = page
        .lines()
        .enumerate()
        .filter_map(|(number, line)| Some((number + 1, line.strip_prefix("| `")?.split('`').next()?)))
        .collect();
    let mut findings = Vec::new();
    for entry in &declared {
        if !used.contains(entry.key.as_str()) {
            let message = format!("nothing uses `{}`: remove it here and in {DEPENDENCIES}", entry.key);
            findings.push(Finding::on(RULE, "Cargo.toml", entry.line, message).lenient());
        } else if !lines.iter().any(|(_, name)| *name == entry.key) {
            let message = format!(
                "`{}` has no line in {DEPENDENCIES}: what for, why this one, what was looked at",
                entry.key
            );
            findings.push(Finding::on(RULE, "Cargo.toml", entry.line, message));
        }
    }
    for (line, name) in lines.iter().filter(|(_, name)| !declared.iter().any(|entry| entry.key == *name)) {
        let message = format!("`{name}` is no dependency of the workspace: remove the line");
        findings.push(Finding::on(RULE, DEPENDENCIES, *line, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fake::{member, workspace};

    fn house() -> Metadata {
        let examples = member("examples").builds("tracker", "example");
        workspace(vec![examples, member("core").needs(&["serde", "rmp"])], &[])
    }

    #[track_caller]
    fn check_command(command: &str, expected: Result<(), &str>) {
        assert_eq!(exists(&house(), command), expected.map_err(str::to_owned));
    }

    #[test]
    fn commands_must_exist() {
        check_command("cargo run --example tracker -- --example none", Ok(()));
        check_command("cargo run --example none", Err("there is no `none`"));
        check_command("cargo test -p larder-core", Ok(()));
        check_command("cargo test -p <your crate>", Ok(()));
        check_command("cargo test -p larder-none", Err("there is no `larder-none`"));
        check_command("cargo xtask test --quick", Ok(()));
        check_command("cargo xtask test --fast", Err("`cargo xtask test` has no `--fast`"));
        check_command("cargo xtask brew", Err("there is no `cargo xtask brew`"));
    }

    #[test]
    fn commands_are_found_in_blocks_and_lines() {
        let page = "Run `cargo xtask tidy` and read `cargo`.\n```sh\nX=1 cargo run --example tracker # now\n```\ncargo no\n";
        let expected = [(1, "cargo xtask tidy".to_owned()), (3, "cargo run --example tracker".to_owned())];
        assert_eq!(commands(page), expected);
    }

    #[test]
    fn a_page_of_the_book_is_listed_and_what_is_listed_is_there() {
        let summary = "# Summary\n\n- [One](one.md)\n  - [Two](a/two.md)\n";
        let files = [("docs/src/SUMMARY.md", summary), ("docs/src/one.md", ""), ("docs/src/three.md", "")];
        let found: Vec<_> = book(&Files::of(&files)).into_iter().map(|found| found.place).collect();
        assert_eq!(found, ["docs/src/SUMMARY.md:4", "docs/src/three.md"]);
    }

    #[test]
    fn a_changelog_has_a_section() {
        assert!(changelog(Some("# Changelog\n\n## [Unreleased]\n")).is_none());
        assert!(changelog(Some("## 0.1.0 – now\n")).is_none());
        assert!(changelog(Some("# Changelog\n")).is_some());
        assert!(changelog(None).is_some());
    }

    #[test]
    fn each_dependency_has_a_line_and_each_line_a_dependency() {
        let manifest = "[workspace.dependencies]\nlarder-core = { path = \"core\" }\n\
                        serde = \"1\"\nrmp = \"0.8\"\nold = \"1\"\n";
        let page = "| crate | for |\n|---|---|\n| `serde` | the traits |\n| `gone` | what? |\n";
        let found = dependencies(&house(), &Files::of(&[("Cargo.toml", manifest), (DEPENDENCIES, page)]));
        let found: Vec<_> = found.iter().map(|f| (f.place.as_str(), f.warning)).collect();
        assert_eq!(
            found,
            [("Cargo.toml:4", false), ("Cargo.toml:5", true), ("docs/dependencies.md:4", false)]
        );
    }
}
