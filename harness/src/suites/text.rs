//! Conditions on text.

use larder_core::{Predicate, TextOp};

use super::ask::{check, holds, lacks, not, put};
use crate::models::text;
use crate::trial::{Trial, Verdict};

fn ignoring_case(condition: Predicate) -> Predicate {
    match condition {
        Predicate::Text { field, op, needle, negated, .. } => {
            Predicate::Text { field, op, needle, ignore_case: true, negated }
        }
        other => other,
    }
}

pub(super) async fn contains(trial: Trial) -> Verdict {
    put(&trial, "title", ["green tea", "tea", "coffee", ""].map(text)).await;
    check(&trial, holds("title", TextOp::Contains, "tea"), &[1, 2]).await;
    check(&trial, holds("title", TextOp::Contains, "e"), &[1, 2, 3]).await;
    check(&trial, holds("title", TextOp::Contains, "teas"), &[]).await;
    Verdict::Passed
}

pub(super) async fn starts_with(trial: Trial) -> Verdict {
    put(&trial, "title", ["green tea", "tea", "coffee", ""].map(text)).await;
    check(&trial, holds("title", TextOp::StartsWith, "tea"), &[2]).await;
    check(&trial, holds("title", TextOp::StartsWith, "g"), &[1]).await;
    Verdict::Passed
}

pub(super) async fn ends_with(trial: Trial) -> Verdict {
    put(&trial, "title", ["green tea", "tea", "coffee", ""].map(text)).await;
    check(&trial, holds("title", TextOp::EndsWith, "tea"), &[1, 2]).await;
    check(&trial, holds("title", TextOp::EndsWith, "ee"), &[3]).await;
    Verdict::Passed
}

pub(super) async fn does_not_contain(trial: Trial) -> Verdict {
    put(&trial, "title", ["green tea", "tea", "coffee", ""].map(text)).await;
    check(&trial, lacks(holds("title", TextOp::Contains, "tea")), &[3, 4]).await;
    check(&trial, not(lacks(holds("title", TextOp::Contains, "tea"))), &[1, 2]).await;
    Verdict::Passed
}

pub(super) async fn an_empty_needle_is_everywhere(trial: Trial) -> Verdict {
    put(&trial, "title", ["a", ""].map(text)).await;
    for op in [TextOp::Contains, TextOp::StartsWith, TextOp::EndsWith] {
        check(&trial, holds("title", op, ""), &[1, 2]).await;
        check(&trial, ignoring_case(holds("title", op, "")), &[1, 2]).await;
        check(&trial, lacks(holds("title", op, "")), &[]).await;
    }
    Verdict::Passed
}

pub(super) async fn wildcards_are_ordinary(trial: Trial) -> Verdict {
    put(&trial, "title", ["100%", "100", "a_b", "axb", "a*b", "a.b", "a\\b"].map(text)).await;
    for (needle, expected) in [("%", 1), ("_", 3), ("*", 5), (".", 6), ("\\", 7)] {
        check(&trial, holds("title", TextOp::Contains, needle), &[expected]).await;
        check(&trial, ignoring_case(holds("title", TextOp::Contains, needle)), &[expected]).await;
    }
    check(&trial, holds("title", TextOp::StartsWith, "1%"), &[]).await;
    Verdict::Passed
}

pub(super) async fn case_counts(trial: Trial) -> Verdict {
    put(&trial, "title", ["Tea", "tea", "TEA"].map(text)).await;
    check(&trial, holds("title", TextOp::Contains, "tea"), &[2]).await;
    check(&trial, holds("title", TextOp::StartsWith, "T"), &[1, 3]).await;
    check(&trial, holds("title", TextOp::EndsWith, "A"), &[3]).await;
    Verdict::Passed
}

pub(super) async fn case_is_ignored_on_request(trial: Trial) -> Verdict {
    put(&trial, "title", ["Green TEA", "tea", "coffee"].map(text)).await;
    check(&trial, ignoring_case(holds("title", TextOp::Contains, "eN tE")), &[1]).await;
    check(&trial, ignoring_case(holds("title", TextOp::StartsWith, "TE")), &[2]).await;
    check(&trial, ignoring_case(holds("title", TextOp::EndsWith, "Tea")), &[1, 2]).await;
    check(&trial, lacks(ignoring_case(holds("title", TextOp::Contains, "TEA"))), &[3]).await;
    Verdict::Passed
}

/// Simple case folding, one character to one: from `CaseFolding.txt` of Unicode, statuses C and S.
pub(super) async fn case_folds_by_unicode(trial: Trial) -> Verdict {
    let titles = [
        "\u{c4}rger",
        "STRASSE",
        "stra\u{df}e",
        "\u{39f}\u{394}\u{39f}\u{3a3}",
        "\u{212a}elvin",
        "\u{130}zmir",
    ];
    put(&trial, "title", titles.map(text)).await;
    for (needle, expected) in [
        ("\u{e4}RGER", &[1_i128][..]),
        ("strasse", &[2]),
        // No full folding: the sharp s is one letter, and its capital is folded to it.
        ("STRA\u{1e9e}E", &[3]),
        // The final sigma is a sigma.
        ("\u{3bf}\u{3b4}\u{3bf}\u{3c2}", &[4]),
        // The sign for kelvin is a k.
        ("kelvin", &[5]),
        // The dotted capital I has no simple folding.
        ("izmir", &[]),
        ("\u{130}ZMIR", &[6]),
    ] {
        check(&trial, ignoring_case(holds("title", TextOp::Contains, needle)), expected).await;
        check(&trial, ignoring_case(holds("title", TextOp::StartsWith, needle)), expected).await;
        check(&trial, ignoring_case(holds("title", TextOp::EndsWith, needle)), expected).await;
    }
    Verdict::Passed
}

pub(super) async fn any_character_can_be_looked_for(trial: Trial) -> Verdict {
    let titles = ["a&b=c", "a+b c", "\"quoted\"", "\u{1f600}", "a/b?c#d", "\0"];
    put(&trial, "title", titles.map(text)).await;
    for (at, title) in titles.into_iter().enumerate() {
        check(&trial, holds("title", TextOp::Contains, title), &[at as i128 + 1]).await;
        check(&trial, super::ask::eq("title", text(title)), &[at as i128 + 1]).await;
    }
    Verdict::Passed
}
