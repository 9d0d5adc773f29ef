//! What some code must not know: core does no I/O, and the harness's oracle evaluates nothing by core's own hand.

use super::finding::Finding;
use super::rust::names;
use super::sources::Files;

const RULE: &str = "seclusion";

/// Paths that core names nowhere: it does no I/O, starts no thread, knows no runtime, no HTTP and no database.
const NOT_IN_CORE: [&str; 11] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "tokio",
    "async_std",
    "hyper",
    "surf",
    "redb",
];

/// Names of core's query evaluation, and of the byte order that stands for it. The oracle is written from the rules;
/// if it borrowed one of these, a test against it would compare core with itself.
const EVALUATION: [&str; 9] =
    ["eval", "ordered", "matches", "compare", "order", "float_rank", "sort", "finish", "prelude"];

/// Methods of core's predicates and queries that evaluate.
const EVALUATING_METHODS: [&str; 2] = [".matches", ".finish"];

pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = core(files);
    findings.extend(oracle(files));
    findings
}

fn core(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files.rust_below("core/src/") {
        for name in names(text) {
            if let Some(forbidden) = NOT_IN_CORE.iter().find(|forbidden| name.is_below(forbidden)) {
                let message =
                    format!("core names `{forbidden}`: it does no I/O; let the Runtime or a provider do it");
                findings.push(Finding::on(RULE, path, name.line, message));
            }
        }
    }
    findings
}

fn oracle(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut any = false;
    for (path, text) in files.rust_below("harness/src/oracle") {
        any = true;
        for name in names(text) {
            let core = name.is_below("larder_core");
            let borrowed = core && (name.path.ends_with('*') || EVALUATION.iter().any(|word| name.has(word)));
            if borrowed || EVALUATING_METHODS.contains(&name.path.as_str()) {
                let message = format!(
                    "the oracle names `{}`: it is written from the rules and borrows no evaluation from core; write it here",
                    name.path
                );
                findings.push(Finding::on(RULE, path, name.line, message));
            }
        }
    }
    if !any {
        let message =
            "there is no oracle: the harness compares providers with an evaluator of its own, written there";
        findings.push(Finding::at(RULE, "harness/src/oracle.rs", message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let oracle = ("harness/src/oracle.rs", "//! x\n");
        let found = check(&Files::of(&[oracle, (path, text)]));
        let found: Vec<_> = found.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn core_does_no_io() {
        check_file("core/src/x.rs", "use std::{collections::BTreeMap, fs::File};", &["core/src/x.rs:1"]);
        check_file("core/src/x.rs", "\nfn x() { std::thread::yield_now() }", &["core/src/x.rs:2"]);
        check_file("core/src/x.rs", "/// As `tokio` does.\nuse std::fmt;", &[]);
        check_file("providers/redb/src/x.rs", "use std::fs;", &[]);
    }

    #[test]
    fn the_oracle_borrows_no_evaluation() {
        check_file("harness/src/oracle/like.rs", "use larder_core::{Query, Value};\nfn matches() {}", &[]);
        check_file(
            "harness/src/oracle/like.rs",
            "use larder_core::query::eval::holds;",
            &["harness/src/oracle/like.rs:1"],
        );
        check_file("harness/src/oracle/like.rs", "use larder_core::*;", &["harness/src/oracle/like.rs:1"]);
        check_file(
            "harness/src/oracle/like.rs",
            "fn x() {\nquery.matches(row) }",
            &["harness/src/oracle/like.rs:2"],
        );
        check_file("harness/src/oracle/like.rs", "fn x() { matches!(a, b) }", &[]);
    }

    #[test]
    fn an_oracle_there_must_be() {
        let found = check(&Files::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "harness/src/oracle.rs");
    }
}
