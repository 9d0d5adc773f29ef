//! The operators of a query, on every type of field.

use larder_core::{CompareOp, Predicate, Value};

use super::ask::{between, check, compare, eq, int, is_in, ne, not, put};
use crate::models::{self, SPECIMEN, mood, shape, specimen, struct_of, text};
use crate::plain::plain;
use crate::trial::{Trial, Verdict};

pub(super) async fn equality(trial: Trial) -> Verdict {
    put(&trial, "title", ["b", "a", "b", "", "B"].map(text)).await;
    check(&trial, eq("title", text("b")), &[1, 3]).await;
    check(&trial, eq("title", text("")), &[4]).await;
    check(&trial, eq("title", text("c")), &[]).await;
    check(&trial, ne("title", text("b")), &[2, 4, 5]).await;
    Verdict::Passed
}

pub(super) async fn comparisons(trial: Trial) -> Verdict {
    put(&trial, "low", [-1, 2, 10, 2].map(int)).await;
    for (op, expected) in [
        (CompareOp::Lt, &[1_i128][..]),
        (CompareOp::Le, &[1, 2, 4]),
        (CompareOp::Gt, &[3]),
        (CompareOp::Ge, &[2, 3, 4]),
    ] {
        check(&trial, compare("low", op, int(2)), expected).await;
    }
    Verdict::Passed
}

pub(super) async fn between_includes_both_ends(trial: Trial) -> Verdict {
    put(&trial, "low", [1, 2, 3, 4].map(int)).await;
    check(&trial, between("low", int(2), int(3)), &[2, 3]).await;
    check(&trial, between("low", int(2), int(2)), &[2]).await;
    check(&trial, between("low", int(3), int(2)), &[]).await;
    check(&trial, between("low", int(-9), int(9)), &[1, 2, 3, 4]).await;
    Verdict::Passed
}

pub(super) async fn is_in_takes_any_of_its_values(trial: Trial) -> Verdict {
    put(&trial, "low", [1, 2, 3, 2].map(int)).await;
    check(&trial, is_in("low", [3, 1, 3, 9].map(int)), &[1, 3]).await;
    check(&trial, is_in("low", [2].map(int)), &[2, 4]).await;
    Verdict::Passed
}

pub(super) async fn is_in_nothing_matches_nothing(trial: Trial) -> Verdict {
    put(&trial, "low", [1, 2].map(int)).await;
    check(&trial, is_in("low", []), &[]).await;
    check(&trial, not(is_in("low", [])), &[1, 2]).await;
    Verdict::Passed
}

pub(super) async fn conditions_combine(trial: Trial) -> Verdict {
    put(&trial, "low", [1, 2, 3, 4].map(int)).await;
    let (one, two, three) = (eq("low", int(1)), eq("low", int(2)), eq("low", int(3)));
    let even = eq("flag", Value::Bool(true));
    check(&trial, Predicate::Or(vec![one.clone(), two.clone()]), &[1, 2]).await;
    check(&trial, Predicate::And(vec![one.clone(), even.clone()]), &[]).await;
    // The tree says what belongs together, and nothing else does.
    let either = Predicate::Or(vec![one.clone(), two.clone(), three.clone()]);
    check(&trial, Predicate::And(vec![either, even.clone()]), &[2]).await;
    let both = Predicate::And(vec![three, not(even.clone())]);
    check(&trial, Predicate::Or(vec![both, even]), &[2, 3, 4]).await;
    check(&trial, not(Predicate::Or(vec![one, two])), &[3, 4]).await;
    Verdict::Passed
}

pub(super) async fn empty_conditions(trial: Trial) -> Verdict {
    put(&trial, "low", [1, 2].map(int)).await;
    check(&trial, Predicate::All, &[1, 2]).await;
    check(&trial, Predicate::And(Vec::new()), &[1, 2]).await;
    check(&trial, Predicate::none(), &[]).await;
    check(&trial, not(Predicate::All), &[]).await;
    Verdict::Passed
}

pub(super) async fn every_field_is_found_by_its_value(trial: Trial) -> Verdict {
    // Two specimens differ in every field that is not null in them.
    let (mut one, two) = (specimen(11), specimen(30));
    for (name, value) in [
        ("shape", shape("Box", &[7, 8])),
        ("internal", shape("Circle", &[7])),
        ("adjacent", shape("Empty", &[])),
        ("opt_flag", Value::Bool(true)),
        ("opt_int", int(7)),
        ("opt_tiny", int(7)),
        ("opt_short", int(7)),
        ("opt_low", int(7)),
        ("opt_huge", Value::Uint(u128::MAX)),
        ("opt_day", Value::Date(jiff::civil::date(2007, 7, 7))),
        ("opt_clock", Value::Clock(jiff::civil::time(7, 7, 7, 7))),
        ("opt_local", Value::DateTime(jiff::civil::datetime(2007, 7, 7, 7, 7, 7, 7))),
        ("opt_price", Value::Decimal("7.70".parse().expect("a decimal"))),
        ("opt_grade", int(10)),
        ("opt_weight", int(7)),
        ("names", Value::Map(vec![(int(7), text("seven"))])),
        ("opt_wide", int(7)),
        ("opt_byte", int(7)),
        ("opt_word", int(7)),
        ("opt_dword", int(7)),
        ("opt_qword", int(7)),
        ("opt_single", Value::Float(7.5)),
        ("opt_letter", Value::Char('7')),
        ("opt_data", Value::Bytes([7].into())),
        ("opt_token", Value::Uuid(uuid::Uuid::from_u128(7))),
        ("opt_double", Value::Float(7.5)),
        ("opt_title", text("seven")),
        ("opt_mood", mood("Calm")),
        ("opt_made", Value::Time(jiff::Timestamp::UNIX_EPOCH)),
        ("opt_place", struct_of("Seventh Street", None, 7)),
        ("ints", Value::List(vec![int(7)])),
        ("words", Value::List(vec![text("seven")])),
        ("opt_words", Value::List(Vec::new())),
        ("doubles", Value::List(vec![Value::Float(7.5)])),
        ("places", Value::List(vec![struct_of("Seventh Street", Some("7"), 7)])),
        ("counts", Value::Map(vec![(text("seven"), int(7))])),
    ] {
        one = models::with(&SPECIMEN, one, name, value);
    }
    trial.put(&SPECIMEN, [one.clone(), two.clone()]).await;
    let (one, two) = (plain(&SPECIMEN, &one), plain(&SPECIMEN, &two));
    for ((field, one), two) in SPECIMEN.fields.iter().zip(one).zip(two) {
        assert_ne!(one, two, "the suite can't tell the specimens by `{}`", field.name);
        check(&trial, eq(field.name, one.clone()), &[11]).await;
        check(&trial, is_in(field.name, [one]), &[11]).await;
        check(&trial, eq(field.name, two), &[30]).await;
    }
    Verdict::Passed
}

pub(super) async fn fields_are_not_mixed_up(trial: Trial) -> Verdict {
    let pair = |id: i64, low: i128, high: i128| {
        models::with(&SPECIMEN, models::with(&SPECIMEN, specimen(id), "low", int(low)), "high", int(high))
    };
    trial.put(&SPECIMEN, [pair(1, 5, 6), pair(2, 6, 5)]).await;
    check(&trial, eq("low", int(5)), &[1]).await;
    check(&trial, eq("high", int(5)), &[2]).await;
    check(&trial, compare("low", CompareOp::Lt, int(6)), &[1]).await;
    Verdict::Passed
}

pub(super) async fn enums_compare_by_name(trial: Trial) -> Verdict {
    put(&trial, "mood", ["Sunny", "Calm", "Grim"].map(mood)).await;
    check(&trial, compare("mood", CompareOp::Gt, mood("Calm")), &[1, 3]).await;
    check(&trial, between("mood", mood("Calm"), mood("Grim")), &[2, 3]).await;
    check(&trial, ne("mood", mood("Grim")), &[1, 2]).await;
    Verdict::Passed
}

pub(super) async fn enums_with_data_compare_by_name_and_data(trial: Trial) -> Verdict {
    let shapes = [shape("Circle", &[2]), shape("Empty", &[]), shape("Box", &[1, 2]), shape("Circle", &[10])];
    put(&trial, "shape", shapes).await;
    check(&trial, eq("shape", shape("Circle", &[2])), &[1]).await;
    check(&trial, ne("shape", shape("Circle", &[2])), &[2, 3, 4]).await;
    check(&trial, compare("shape", CompareOp::Lt, shape("Circle", &[10])), &[1, 3]).await;
    Verdict::Passed
}

pub(super) async fn composites_compare_element_by_element(trial: Trial) -> Verdict {
    let list = |numbers: &[i128]| Value::List(numbers.iter().copied().map(int).collect());
    put(&trial, "ints", [list(&[1, 2]), list(&[1]), list(&[2]), list(&[])]).await;
    check(&trial, eq("ints", list(&[1])), &[2]).await;
    check(&trial, eq("ints", list(&[])), &[4]).await;
    check(&trial, compare("ints", CompareOp::Gt, list(&[1])), &[1, 3]).await;
    check(&trial, compare("ints", CompareOp::Le, list(&[1])), &[2, 4]).await;
    Verdict::Passed
}

pub(super) async fn wide_integers_compare_as_numbers(trial: Trial) -> Verdict {
    put(&trial, "wide", [i128::MIN, -1, 9, 10, i128::MAX].map(int)).await;
    check(&trial, compare("wide", CompareOp::Lt, int(10)), &[1, 2, 3]).await;
    check(&trial, compare("wide", CompareOp::Ge, int(i128::from(u64::MAX))), &[5]).await;
    check(&trial, eq("wide", int(i128::MIN)), &[1]).await;
    Verdict::Passed
}
