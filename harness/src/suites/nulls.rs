//! What null matches, and what it does not.

use larder_core::{CompareOp, Record, TextOp, Value};

use super::ask::{between, check, compare, eq, holds, int, is_in, lacks, member, ne, not, put};
use crate::models::{SPECIMEN, at, specimen, text};
use crate::plain::plain;
use crate::trial::{Trial, Verdict};

/// Specimens 1 and 3 have a number, 2 has none.
async fn numbers(trial: &Trial) {
    put(trial, "opt_int", [int(5), Value::Null, int(7)]).await;
}

pub(super) async fn eq_null_is_null(trial: Trial) -> Verdict {
    numbers(&trial).await;
    check(&trial, eq("opt_int", Value::Null), &[2]).await;
    check(&trial, ne("opt_int", Value::Null), &[1, 3]).await;
    check(&trial, not(eq("opt_int", Value::Null)), &[1, 3]).await;
    check(&trial, not(ne("opt_int", Value::Null)), &[2]).await;
    Verdict::Passed
}

pub(super) async fn ne_excludes_null(trial: Trial) -> Verdict {
    numbers(&trial).await;
    check(&trial, ne("opt_int", int(5)), &[3]).await;
    Verdict::Passed
}

pub(super) async fn not_includes_null(trial: Trial) -> Verdict {
    numbers(&trial).await;
    check(&trial, not(eq("opt_int", int(5))), &[2, 3]).await;
    check(&trial, not(ne("opt_int", int(5))), &[1, 2]).await;
    check(&trial, not(compare("opt_int", CompareOp::Lt, int(6))), &[2, 3]).await;
    check(&trial, not(between("opt_int", int(6), int(9))), &[1, 2]).await;
    check(&trial, not(is_in("opt_int", [int(5)])), &[2, 3]).await;
    Verdict::Passed
}

pub(super) async fn comparisons_exclude_null(trial: Trial) -> Verdict {
    numbers(&trial).await;
    for op in [CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge] {
        check(&trial, compare("opt_int", op, Value::Null), &[]).await;
    }
    check(&trial, compare("opt_int", CompareOp::Lt, int(9)), &[1, 3]).await;
    check(&trial, compare("opt_int", CompareOp::Ge, int(-9)), &[1, 3]).await;
    check(&trial, between("opt_int", int(-9), int(9)), &[1, 3]).await;
    check(&trial, between("opt_int", Value::Null, int(9)), &[]).await;
    check(&trial, between("opt_int", int(-9), Value::Null), &[]).await;
    Verdict::Passed
}

pub(super) async fn is_in_finds_null_if_asked(trial: Trial) -> Verdict {
    numbers(&trial).await;
    check(&trial, is_in("opt_int", [int(5), int(7)]), &[1, 3]).await;
    check(&trial, is_in("opt_int", [Value::Null, int(7)]), &[2, 3]).await;
    Verdict::Passed
}

pub(super) async fn text_conditions_exclude_null(trial: Trial) -> Verdict {
    put(&trial, "opt_title", [text("abc"), Value::Null, text("xyz")]).await;
    let condition = || holds("opt_title", TextOp::Contains, "b");
    check(&trial, condition(), &[1]).await;
    check(&trial, lacks(condition()), &[3]).await;
    check(&trial, not(condition()), &[2, 3]).await;
    check(&trial, holds("opt_title", TextOp::StartsWith, ""), &[1, 3]).await;
    Verdict::Passed
}

pub(super) async fn membership_excludes_null(trial: Trial) -> Verdict {
    let list = |words: &[&str]| Value::List(words.iter().copied().map(text).collect());
    put(&trial, "opt_words", [list(&["a", "b"]), Value::Null, list(&[])]).await;
    let condition = || member("opt_words", text("a"));
    check(&trial, condition(), &[1]).await;
    check(&trial, lacks(condition()), &[3]).await;
    check(&trial, not(condition()), &[2, 3]).await;
    Verdict::Passed
}

pub(super) async fn an_empty_text_is_not_null(trial: Trial) -> Verdict {
    put(&trial, "opt_title", [text(""), Value::Null]).await;
    check(&trial, eq("opt_title", text("")), &[1]).await;
    check(&trial, eq("opt_title", Value::Null), &[2]).await;
    Verdict::Passed
}

pub(super) async fn an_absent_field_is_null(trial: Trial) -> Verdict {
    let full = plain(&SPECIMEN, &specimen(1));
    let hole = at(&SPECIMEN, "opt_int");
    let fields = full.into_iter().enumerate().map(|(at, value)| (at != hole).then_some(value));
    trial.put(&SPECIMEN, [Record::new(fields.collect::<Vec<_>>())]).await;
    check(&trial, eq("opt_int", Value::Null), &[1]).await;
    check(&trial, ne("opt_int", int(5)), &[]).await;
    Verdict::Passed
}
