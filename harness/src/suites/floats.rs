//! Floats: equal by `==`, ordered by `total_cmp`.

use larder_core::{CompareOp, Value};

use super::ask::{between, check, check_query, compare, eq, is_in, lacks, member, ne, not, ordered, put};
use crate::trial::{Trial, Verdict};

fn float(value: f64) -> Value {
    Value::Float(value)
}

pub(super) async fn zeros_are_equal(trial: Trial) -> Verdict {
    put(&trial, "double", [0.0, -0.0, 1.0].map(float)).await;
    for zero in [0.0, -0.0] {
        check(&trial, eq("double", float(zero)), &[1, 2]).await;
        check(&trial, ne("double", float(zero)), &[3]).await;
        check(&trial, is_in("double", [float(zero)]), &[1, 2]).await;
    }
    Verdict::Passed
}

pub(super) async fn zeros_are_ordered(trial: Trial) -> Verdict {
    put(&trial, "double", [0.0, -0.0, 1.0, -1.0].map(float)).await;
    check(&trial, compare("double", CompareOp::Lt, float(0.0)), &[2, 4]).await;
    check(&trial, compare("double", CompareOp::Le, float(-0.0)), &[2, 4]).await;
    check(&trial, compare("double", CompareOp::Gt, float(-0.0)), &[1, 3]).await;
    check(&trial, between("double", float(0.0), float(1.0)), &[1, 3]).await;
    check_query(&trial, &ordered(&["double"]), &[4, 2, 1, 3]).await;
    Verdict::Passed
}

pub(super) async fn zeros_are_equal_within_composites(trial: Trial) -> Verdict {
    let list = |values: &[f64]| Value::List(values.iter().copied().map(float).collect());
    put(&trial, "doubles", [list(&[0.0, 1.0]), list(&[-0.0, 1.0]), list(&[2.0])]).await;
    check(&trial, eq("doubles", list(&[0.0, 1.0])), &[1, 2]).await;
    check(&trial, member("doubles", float(0.0)), &[1, 2]).await;
    check(&trial, lacks(member("doubles", float(-0.0))), &[3]).await;
    Verdict::Passed
}

pub(super) async fn singles_compare_as_doubles(trial: Trial) -> Verdict {
    let single = |value: f32| Value::Float(value.into());
    put(&trial, "single", [0.1_f32, -2.5, 16_777_216.0].map(single)).await;
    check(&trial, eq("single", single(0.1)), &[1]).await;
    check(&trial, eq("single", float(0.1)), &[]).await;
    check(&trial, compare("single", CompareOp::Lt, single(0.1)), &[2]).await;
    Verdict::Passed
}

pub(super) async fn an_operand_that_is_no_number_equals_nothing(trial: Trial) -> Verdict {
    put(&trial, "opt_double", [float(1.0), Value::Null, float(f64::MAX)]).await;
    let nan = || float(f64::NAN);
    check(&trial, eq("opt_double", nan()), &[]).await;
    check(&trial, ne("opt_double", nan()), &[1, 3]).await;
    check(&trial, is_in("opt_double", [nan(), float(1.0)]), &[1]).await;
    check(&trial, compare("opt_double", CompareOp::Lt, nan()), &[1, 3]).await;
    check(&trial, compare("opt_double", CompareOp::Gt, nan()), &[]).await;
    check(&trial, compare("opt_double", CompareOp::Lt, float(f64::INFINITY)), &[1, 3]).await;
    Verdict::Passed
}

pub(super) async fn what_is_no_number_can_be_stored(trial: Trial) -> Verdict {
    let values = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0].map(float);
    put(&trial, "double", values).await;
    check(&trial, eq("double", float(f64::NAN)), &[]).await;
    check(&trial, ne("double", float(f64::NAN)), &[1, 2, 3, 4, 5]).await;
    check(&trial, ne("double", float(1.0)), &[1, 2, 3, 4]).await;
    check(&trial, not(eq("double", float(1.0))), &[1, 2, 3, 4]).await;
    check(&trial, compare("double", CompareOp::Gt, float(f64::INFINITY)), &[1]).await;
    check(&trial, compare("double", CompareOp::Ge, float(f64::NAN)), &[1]).await;
    check(&trial, compare("double", CompareOp::Lt, float(f64::NEG_INFINITY)), &[2]).await;
    check_query(&trial, &ordered(&["double"]), &[2, 4, 5, 3, 1]).await;
    check_query(&trial, &ordered(&["-double"]), &[1, 3, 5, 4, 2]).await;
    Verdict::Passed
}
