//! Licences of everything in the graph, against the list in deny.toml.

use super::finding::Finding;
use super::sources::Files;
use crate::metadata::Metadata;
use crate::toml;

const RULE: &str = "licences";
const DENY: &str = "deny.toml";

pub(super) fn check(metadata: &Metadata, files: &Files) -> Vec<Finding> {
    let Some(deny) = files.get(DENY) else {
        return vec![Finding::at(RULE, DENY, "is missing: it lists the licences that are allowed")];
    };
    let entries = toml::entries(deny);
    let list = entries.iter().find(|entry| entry.section == "licenses" && entry.key == "allow");
    let allowed = list.map(|entry| toml::strings(&entry.value)).unwrap_or_default();
    let line = list.map_or(1, |entry| entry.line);
    let mut findings = Vec::new();
    for package in metadata.packages.iter().filter(|package| metadata.nodes.contains_key(&package.id)) {
        let licence = package.license.as_deref().unwrap_or_default();
        if !permitted(licence, &allowed) {
            let (name, version) = (&package.name, &package.version);
            let message = format!(
                "`{name} {version}` is under `{licence}`, which is not allowed; replace the crate (`cargo tree -i {name}`) \
                 or, after thought, allow the licence"
            );
            findings.push(Finding::on(RULE, DENY, line, message));
        }
    }
    findings
}

/// Whether an SPDX expression can be satisfied by allowed licences alone. `AND` binds before `OR`; the old `/` is `OR`.
fn permitted(expression: &str, allowed: &[&str]) -> bool {
    let text = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, allowed };
    let permitted = parser.any();
    permitted && parser.tokens.is_empty()
}

#[derive(Debug)]
struct Parser<'a> {
    tokens: &'a [&'a str],
    allowed: &'a [&'a str],
}

impl Parser<'_> {
    fn any(&mut self) -> bool {
        let mut permitted = self.all();
        while self.take("OR") {
            permitted |= self.all();
        }
        permitted
    }

    fn all(&mut self) -> bool {
        let mut permitted = self.one();
        while self.take("AND") {
            permitted &= self.one();
        }
        permitted
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let permitted = self.any();
            return self.take(")") && permitted;
        }
        let Some((licence, rest)) = self.tokens.split_first() else {
            return false;
        };
        self.tokens = rest;
        if self.take("WITH") {
            let Some((exception, rest)) = self.tokens.split_first() else {
                return false;
            };
            self.tokens = rest;
            return self.allowed.contains(&format!("{licence} WITH {exception}").as_str());
        }
        self.allowed.contains(licence)
    }

    fn take(&mut self, token: &str) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if *first == token => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fake::{foreign, workspace};

    #[track_caller]
    fn check_expression(expression: &str, expected: bool) {
        assert_eq!(permitted(expression, &["MIT", "Apache-2.0", "Unicode-3.0"]), expected, "{expression}");
    }

    #[test]
    fn expressions_are_read_as_spdx() {
        check_expression("MIT", true);
        check_expression("MIT/Apache-2.0", true);
        check_expression("GPL-3.0 OR MIT", true);
        check_expression("GPL-3.0 AND MIT", false);
        check_expression("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check_expression("(MIT OR Apache-2.0) AND GPL-3.0", false);
        check_expression("GPL-3.0 AND X OR MIT", true);
        check_expression("Apache-2.0 WITH LLVM-exception OR MIT", true);
        check_expression("Apache-2.0 WITH LLVM-exception", false);
        check_expression("", false);
        check_expression("MIT OR", true);
        check_expression("MIT )", false);
    }

    #[test]
    fn a_licence_outside_of_the_list_is_found() {
        let packages = vec![foreign("a", "1.0.0", "MIT"), foreign("b", "2.0.0", "GPL-3.0")];
        let files = Files::of(&[(DENY, "[licenses]\nallow = [\n  \"MIT\",\n]\n")]);
        let found = check(&workspace(packages, &[]), &files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "deny.toml:2");
        assert!(found[0].message.starts_with("`b 2.0.0` is under `GPL-3.0`"), "{}", found[0].message);
    }
}
