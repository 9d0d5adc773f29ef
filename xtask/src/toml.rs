//! As much of TOML as the project's own manifests use: sections, keys, and values as they are written.
//!
//! xtask reads a handful of files that stand in this repository, so a parser for the whole language would be a
//! dependency for nothing. Values stay text; [`strings`] takes the strings out of one.

/// One `key = value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The header it stands under, `workspace.dependencies`; empty above the first.
    pub(crate) section: String,
    /// The key as written, `edition.workspace`.
    pub(crate) key: String,
    /// The value as written, lines of an array joined, comments dropped.
    pub(crate) value: String,
    /// Line of the key, from 1.
    pub(crate) line: usize,
}

/// All entries of a file, in order.
pub(crate) fn entries(text: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        if open && let Some(entry) = entries.last_mut() {
            entry.value.push_str(line);
            open = depth(&entry.value) > 0;
        } else if line.starts_with('[') {
            line.trim_matches(['[', ']', ' ']).clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim().trim_matches('"').to_owned(), value.trim().to_owned());
            open = depth(&value) > 0;
            entries.push(Entry { section: section.clone(), key, value, line: number + 1 });
        }
    }
    entries
}

/// The strings in a value: the one of `"MIT"`, both of `["MIT", "ISC"]`.
pub(crate) fn strings(value: &str) -> Vec<&str> {
    value.split('"').skip(1).step_by(2).collect()
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

/// Brackets and braces that are open at the end of the value.
fn depth(value: &str) -> i32 {
    let mut quoted = false;
    let mut depth = 0;
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
top = 1
[package]
edition.workspace = true # from the root
name = "a # b"
[licenses]
allow = [
    "MIT", # the usual
    "ISC",
]
[[bin]]
name = "x"
"#;

    #[test]
    fn entries_know_their_section_and_line() {
        let found: Vec<_> =
            entries(SAMPLE).into_iter().map(|e| (e.section, e.key, e.value, e.line)).collect();
        let expect = |section: &str, key: &str, value: &str, line| {
            (section.to_owned(), key.to_owned(), value.to_owned(), line)
        };
        assert_eq!(
            found,
            [
                expect("", "top", "1", 2),
                expect("package", "edition.workspace", "true", 4),
                expect("package", "name", "\"a # b\"", 5),
                expect("licenses", "allow", "[\"MIT\",\"ISC\",]", 7),
                expect("bin", "name", "\"x\"", 12),
            ]
        );
    }

    #[test]
    fn strings_are_taken_out_of_arrays() {
        assert_eq!(strings(r#"["MIT", "ISC"]"#), ["MIT", "ISC"]);
        assert!(strings("true").is_empty());
    }
}
