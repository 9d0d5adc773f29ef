//! Members of lists.

use larder_core::Value;

use super::ask::{check, int, lacks, member, not, put};
use crate::models::{struct_of, text};
use crate::trial::{Trial, Verdict};

fn words(words: &[&str]) -> Value {
    Value::List(words.iter().copied().map(text).collect())
}

pub(super) async fn a_list_contains_its_members(trial: Trial) -> Verdict {
    put(&trial, "words", [words(&["a", "b"]), words(&[]), words(&["b", "b"])]).await;
    check(&trial, member("words", text("a")), &[1]).await;
    check(&trial, member("words", text("b")), &[1, 3]).await;
    check(&trial, member("words", text("c")), &[]).await;
    Verdict::Passed
}

pub(super) async fn does_not_contain_is_the_complement(trial: Trial) -> Verdict {
    put(&trial, "words", [words(&["a", "b"]), words(&[]), words(&["b"])]).await;
    check(&trial, lacks(member("words", text("a"))), &[2, 3]).await;
    check(&trial, not(lacks(member("words", text("a")))), &[1]).await;
    Verdict::Passed
}

pub(super) async fn a_member_is_no_part_of_a_text(trial: Trial) -> Verdict {
    put(&trial, "words", [words(&["ab"]), words(&["a", "b"]), words(&["A"])]).await;
    check(&trial, member("words", text("a")), &[2]).await;
    Verdict::Passed
}

pub(super) async fn numbers_and_structs_are_members(trial: Trial) -> Verdict {
    let ints = |numbers: &[i128]| Value::List(numbers.iter().copied().map(int).collect());
    put(&trial, "ints", [ints(&[1, 20]), ints(&[2])]).await;
    check(&trial, member("ints", int(2)), &[2]).await;
    let other = Value::List(vec![struct_of("b", Some("1"), 2)]);
    let rows = [Value::List(vec![struct_of("a", None, 1), struct_of("b", None, 2)]), other];
    let rows = rows.into_iter().enumerate().map(|(at, places)| {
        let id = at as i64 + 11;
        crate::models::with(&crate::models::SPECIMEN, crate::models::specimen(id), "places", places)
    });
    trial.put(&crate::models::SPECIMEN, rows.collect::<Vec<_>>()).await;
    check(&trial, member("places", struct_of("b", None, 2)), &[11]).await;
    Verdict::Passed
}

pub(super) async fn bytes_contain_numbers(trial: Trial) -> Verdict {
    put(&trial, "data", [Value::Bytes([1, 2].into()), Value::Bytes([].into()), Value::Bytes([255].into())])
        .await;
    check(&trial, member("data", int(2)), &[1]).await;
    check(&trial, member("data", int(-1)), &[]).await;
    check(&trial, lacks(member("data", int(255))), &[1, 2]).await;
    Verdict::Passed
}
