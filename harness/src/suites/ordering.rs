//! The order of an answer is total.

use larder_core::{Query, Value};

use super::ask::{check_query, int, ordered, put};
use crate::models::{SPECIMEN, mood, shape, specimen, text, with};
use crate::trial::{Trial, Verdict};

pub(super) async fn without_an_order_by_key(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(10), specimen(-3), specimen(9), specimen(0)]).await;
    check_query(&trial, &Query::all(), &[-3, 0, 9, 10]).await;
    Verdict::Passed
}

pub(super) async fn rising_and_falling(trial: Trial) -> Verdict {
    put(&trial, "low", [3, -1, 20].map(int)).await;
    check_query(&trial, &ordered(&["low"]), &[2, 1, 3]).await;
    check_query(&trial, &ordered(&["-low"]), &[3, 1, 2]).await;
    Verdict::Passed
}

pub(super) async fn nulls_first_rising_last_falling(trial: Trial) -> Verdict {
    put(&trial, "opt_int", [int(0), Value::Null, int(-1), Value::Null]).await;
    check_query(&trial, &ordered(&["opt_int"]), &[2, 4, 3, 1]).await;
    check_query(&trial, &ordered(&["-opt_int"]), &[1, 3, 2, 4]).await;
    Verdict::Passed
}

pub(super) async fn the_key_breaks_ties_rising(trial: Trial) -> Verdict {
    put(&trial, "title", ["b", "a", "b", "a"].map(text)).await;
    check_query(&trial, &ordered(&["title"]), &[2, 4, 1, 3]).await;
    check_query(&trial, &ordered(&["-title"]), &[1, 3, 2, 4]).await;
    Verdict::Passed
}

pub(super) async fn several_fields(trial: Trial) -> Verdict {
    let row =
        |id, title, n| with(&SPECIMEN, with(&SPECIMEN, specimen(id), "title", text(title)), "low", int(n));
    trial
        .put(&SPECIMEN, [row(1, "b", 1), row(2, "a", 1), row(3, "b", 2), row(4, "a", 2), row(5, "a", 2)])
        .await;
    check_query(&trial, &ordered(&["title", "-low"]), &[4, 5, 2, 3, 1]).await;
    check_query(&trial, &ordered(&["-low", "title"]), &[4, 5, 3, 2, 1]).await;
    check_query(&trial, &ordered(&["low", "-id"]), &[2, 1, 5, 4, 3]).await;
    Verdict::Passed
}

pub(super) async fn text_by_code_point(trial: Trial) -> Verdict {
    // UTF-16 would put the emoji before the full-width letter; a locale would put the accent elsewhere.
    put(&trial, "title", ["b", "B", "\u{e4}", "ab", "a", "\u{ff41}", "\u{1f600}", ""].map(text)).await;
    check_query(&trial, &ordered(&["title"]), &[8, 2, 5, 4, 1, 3, 6, 7]).await;
    Verdict::Passed
}

pub(super) async fn enums_by_name(trial: Trial) -> Verdict {
    put(&trial, "mood", ["Sunny", "Calm", "Grim"].map(mood)).await;
    check_query(&trial, &ordered(&["mood"]), &[2, 3, 1]).await;
    check_query(&trial, &ordered(&["-mood"]), &[1, 3, 2]).await;
    Verdict::Passed
}

pub(super) async fn other_types(trial: Trial) -> Verdict {
    let row = |id: i64, name, value| with(&SPECIMEN, specimen(id), name, value);
    let rows = [
        ("flag", Value::Bool(true), Value::Bool(false)),
        ("letter", Value::Char('\u{e9}'), Value::Char('z')),
        ("data", Value::Bytes([1, 0].into()), Value::Bytes([1].into())),
        ("made", Value::Time(jiff::Timestamp::MAX), Value::Time(jiff::Timestamp::MIN)),
        ("token", Value::Uuid(uuid::Uuid::max()), Value::Uuid(uuid::Uuid::nil())),
        ("shape", shape("Circle", &[1]), shape("Box", &[9, 9])),
        ("ints", Value::List(vec![int(1), int(0)]), Value::List(vec![int(1)])),
        ("wide", int(i128::MAX), int(i128::MIN)),
        ("qword", int(1 << 63), int(9)),
        ("double", Value::Float(1e300), Value::Float(-1e300)),
    ];
    // Each field in turn has its greater value in the row with the lesser key.
    for (at, (name, greater, lesser)) in rows.into_iter().enumerate() {
        let (first, second) = (2 * at as i64 + 1, 2 * at as i64 + 2);
        trial.put(&SPECIMEN, [row(first, name, greater), row(second, name, lesser)]).await;
        let keys = larder_core::Predicate::Keys(vec![first.into(), second.into()]);
        let (first, second) = (first.into(), second.into());
        let query = Query { filter: keys, ..ordered(&[name]) };
        check_query(&trial, &query, &[second, first]).await;
        let falling = format!("-{name}");
        check_query(&trial, &Query { order: super::ask::by(&[&falling]), ..query }, &[first, second]).await;
    }
    Verdict::Passed
}
