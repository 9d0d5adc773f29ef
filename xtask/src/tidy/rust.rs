//! As much of Rust as a rule needs that asks which paths a file names: comments and strings aside, `use` trees unfolded.

/// A path that code names, `std::fs::File`, or a method that it calls, `.matches`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) path: String,
    /// Line, from 1.
    pub(super) line: usize,
}

impl Name {
    /// Whether it is the path, or a path below it.
    pub(super) fn is_below(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// Whether one of its segments is the word.
    pub(super) fn has(&self, word: &str) -> bool {
        self.path.split("::").any(|segment| segment == word)
    }
}

/// Every path and method call in a Rust file, outside of comments and strings.
pub(super) fn names(text: &str) -> Vec<Name> {
    let code = code(text);
    let tokens = tokens(&code);
    let mut names = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].0 == "use" {
            at = tree(&tokens, at + 1, "", &mut names);
        } else if is_name(tokens[at].0) {
            at = path(&tokens, at, &mut names);
        } else {
            at += 1;
        }
    }
    names
}

/// A token and its line.
type Token<'a> = (&'a str, usize);

/// A path outside of a `use`. Answers the position behind it.
fn path(tokens: &[Token<'_>], start: usize, names: &mut Vec<Name>) -> usize {
    let (first, line) = tokens[start];
    let method = start > 0 && tokens[start - 1].0 == ".";
    let mut path = if method { format!(".{first}") } else { first.to_owned() };
    let mut at = start + 1;
    while at + 1 < tokens.len() && tokens[at].0 == "::" && is_name(tokens[at + 1].0) {
        path = format!("{path}::{}", tokens[at + 1].0);
        at += 2;
    }
    names.push(Name { path, line });
    at
}

/// One branch of a `use` tree. Answers the position behind it.
fn tree(tokens: &[Token<'_>], start: usize, prefix: &str, names: &mut Vec<Name>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = start;
    let mut branched = false;
    while at < tokens.len() {
        let (token, line) = tokens[at];
        match token {
            "{" => {
                branched = true;
                at += 1;
                while at < tokens.len() && tokens[at].0 != "}" {
                    at = tree(tokens, at, &path, names);
                    at += usize::from(at < tokens.len() && tokens[at].0 == ",");
                }
                at += 1;
            }
            "," | "}" | ";" => break,
            "as" => at += 2,
            "::" => at += 1,
            _ => {
                path = if path.is_empty() { token.to_owned() } else { format!("{path}::{token}") };
                let last = tokens.get(at + 1).is_none_or(|(next, _)| *next != "::");
                if last && !branched {
                    names.push(Name { path: path.clone(), line });
                }
                at += 1;
            }
        }
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((&rest[..length], number + 1));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The text with comments, strings and characters blanked, line by line as before.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest, out.chars().next_back());
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// Bytes of the comment, string or character at the beginning of the text; 0 if there is none.
fn skipped(text: &str, before: Option<char>) -> usize {
    let until =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until("*/", 2);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word && let Some(raw) = text.strip_prefix('r').or_else(|| text.strip_prefix("br")) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let open = text.len() - raw.len() + hashes + 1;
            return until(&format!("\"{}", "#".repeat(hashes)), open);
        }
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    let mut characters = text.chars();
    match (characters.next(), characters.next(), characters.next()) {
        (Some('\''), Some('\\'), _) => quoted(text, '\''),
        (Some('\''), Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// Bytes of a literal between two quotes, escapes heeded.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, usize)]) {
        let found = names(text);
        let found: Vec<_> = found.iter().map(|name| (name.path.as_str(), name.line)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn use_trees_are_unfolded() {
        check(
            "use std::{\n    fs::{self, File as F},\n    net::*,\n};\nuse tokio;",
            &[("std::fs::self", 2), ("std::fs::File", 2), ("std::net::*", 3), ("tokio", 5)],
        );
    }

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        check("// tokio\n/* std::fs\n*/ x", &[("x", 3)]);
        check("\"std::fs \\\" tokio\" y", &[("y", 1)]);
        check("r#\"tokio \" std\"# z", &[("z", 1)]);
        check("'\"' a '\\'' b", &[("a", 1), ("b", 1)]);
        check("&'static c", &[("static", 1), ("c", 1)]);
    }

    #[test]
    fn paths_and_methods_are_named() {
        check(
            "std::fs::read(x.y()?.matches(z))",
            &[("std::fs::read", 1), ("x", 1), (".y", 1), (".matches", 1), ("z", 1)],
        );
    }

    #[test]
    fn a_name_knows_what_is_above_it() {
        let name = Name { path: "std::fs::File".to_owned(), line: 1 };
        assert!(name.is_below("std::fs") && name.has("fs"));
        assert!(!name.is_below("std::f") && !name.has("File2"));
    }
}
