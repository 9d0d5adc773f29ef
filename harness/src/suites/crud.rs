//! One row: written, read back, changed, deleted.

use jiff::{Timestamp, civil};
use larder_core::{Capabilities, ErrorKind, Operation, Outcome, Presence, Query, Record, Value};
use uuid::Uuid;

use super::ask;
use crate::models::{SPECIMEN, shape, specimen, struct_of, text, with};
use crate::plain::plain;
use crate::trial::{Trial, Verdict, fails};

/// The operation that makes a row that is not there.
fn maker(capabilities: Capabilities) -> Operation {
    if capabilities.insert { Operation::Insert } else { Operation::Upsert }
}

/// Writes a row and asserts that the same comes back.
async fn round_trip(trial: &Trial, record: &Record) {
    let applied = trial.apply(maker(trial.capabilities()), &SPECIMEN, record).await.expect("a write");
    let expected = plain(&SPECIMEN, record);
    if let Some(row) = applied.row {
        assert_eq!(plain(&SPECIMEN, &*row.row), expected, "what the write answered");
    }
    let key = SPECIMEN.key_of(record).expect("a key");
    let found = trial.find(&SPECIMEN, &key).await.expect("the row that was written");
    assert_eq!(plain(&SPECIMEN, &*found.row), expected, "what was read back");
    assert_eq!(trial.all(&SPECIMEN).await.last(), Some(&expected), "what was listed");
}

pub(super) async fn insert_then_find(trial: Trial) -> Verdict {
    if let Some(refused) = trial.refuses(Operation::Insert, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    assert!(trial.find(&SPECIMEN, &1.into()).await.is_none());
    let applied = trial.apply(Operation::Insert, &SPECIMEN, &specimen(1)).await.expect("an insert");
    assert!(matches!(applied.outcome, Outcome::Inserted | Outcome::Accepted), "{applied:?}");
    assert!(trial.find(&SPECIMEN, &1.into()).await.is_some());
    assert!(trial.find(&SPECIMEN, &2.into()).await.is_none());
    Verdict::Passed
}

pub(super) async fn insert_again_conflicts(trial: Trial) -> Verdict {
    if let Some(refused) = trial.refuses(Operation::Insert, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    trial.put(&SPECIMEN, [specimen(1)]).await;
    let before = trial.all(&SPECIMEN).await;
    let other = with(&SPECIMEN, specimen(1), "title", text("other"));
    let error = fails(trial.apply(Operation::Insert, &SPECIMEN, &other).await, ErrorKind::Conflict);
    assert_eq!((error.model_name(), error.row_key()), (Some("Specimen"), Some("1")), "{error:?}");
    assert_eq!(trial.all(&SPECIMEN).await, before);
    Verdict::Passed
}

pub(super) async fn update_changes_the_row(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1), specimen(2)]).await;
    let changed = with(&SPECIMEN, specimen(1), "title", text("changed"));
    if let Some(refused) = trial.refuses(Operation::Update, &SPECIMEN, &changed).await {
        return refused;
    }
    let mut mutation = trial.mutation(Operation::Update, &SPECIMEN, &changed);
    mutation.changed = Some([usize::from(ask::field("title"))].into_iter().collect());
    let applied = trial.provider().apply(&trial.cx, &mutation).await.expect("an update");
    assert!(matches!(applied.outcome, Outcome::Updated | Outcome::Accepted), "{applied:?}");
    assert_eq!(trial.all(&SPECIMEN).await, [plain(&SPECIMEN, &changed), plain(&SPECIMEN, &specimen(2))]);
    Verdict::Passed
}

pub(super) async fn update_of_a_missing_row_is_not_found(trial: Trial) -> Verdict {
    if let Some(refused) = trial.refuses(Operation::Update, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    let error = fails(trial.apply(Operation::Update, &SPECIMEN, &specimen(1)).await, ErrorKind::NotFound);
    assert_eq!((error.model_name(), error.row_key()), (Some("Specimen"), Some("1")), "{error:?}");
    assert!(trial.all(&SPECIMEN).await.is_empty());
    Verdict::Passed
}

pub(super) async fn upsert_inserts_and_updates(trial: Trial) -> Verdict {
    if let Some(refused) = trial.refuses(Operation::Upsert, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    let changed = with(&SPECIMEN, specimen(1), "title", text("changed"));
    for record in [specimen(1), changed] {
        trial.apply(Operation::Upsert, &SPECIMEN, &record).await.expect("an upsert");
        assert_eq!(trial.all(&SPECIMEN).await, [plain(&SPECIMEN, &record)]);
    }
    Verdict::Passed
}

pub(super) async fn delete_removes_the_row(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1), specimen(2)]).await;
    if let Some(refused) = trial.refuses(Operation::Delete, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    let applied = trial.apply(Operation::Delete, &SPECIMEN, &specimen(1)).await.expect("a delete");
    assert!(matches!(applied.outcome, Outcome::Deleted | Outcome::Accepted), "{applied:?}");
    assert!(trial.find(&SPECIMEN, &1.into()).await.is_none());
    assert_eq!(trial.all(&SPECIMEN).await, [plain(&SPECIMEN, &specimen(2))]);
    Verdict::Passed
}

pub(super) async fn delete_of_a_missing_row_is_no_error(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(2)]).await;
    if let Some(refused) = trial.refuses(Operation::Delete, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    let applied = trial.apply(Operation::Delete, &SPECIMEN, &specimen(1)).await.expect("a delete of nothing");
    assert!(matches!(applied.outcome, Outcome::Missing | Outcome::Accepted), "{applied:?}");
    assert_eq!(trial.all(&SPECIMEN).await.len(), 1);
    Verdict::Passed
}

pub(super) async fn a_deleted_key_is_free_again(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1)]).await;
    if let Some(refused) = trial.refuses(Operation::Delete, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    trial.apply(Operation::Delete, &SPECIMEN, &specimen(1)).await.expect("a delete");
    round_trip(&trial, &with(&SPECIMEN, specimen(1), "title", text("again"))).await;
    Verdict::Passed
}

pub(super) async fn every_type_round_trips(trial: Trial) -> Verdict {
    let full = [
        ("opt_flag", Value::Bool(false)),
        ("opt_int", Value::Int(0)),
        ("opt_double", Value::Float(0.5)),
        ("opt_title", text("")),
        ("opt_mood", text("Grim")),
        ("opt_made", Value::Time(Timestamp::UNIX_EPOCH)),
        ("opt_place", struct_of("", Some(""), -1)),
        ("shape", shape("Box", &[-3, 4])),
        ("internal", shape("Circle", &[5])),
        ("adjacent", shape("Empty", &[])),
        ("ints", Value::List(vec![Value::Int(2), Value::Int(-1), Value::Int(2)])),
        ("words", Value::List(vec![text("b"), text(""), text("a")])),
        ("opt_words", Value::List(Vec::new())),
        ("doubles", Value::List(vec![Value::Float(1.5)])),
        ("places", Value::List(vec![struct_of("a", None, 1), struct_of("b", Some("0150"), 2)])),
        ("counts", Value::Map(vec![(text(""), Value::Int(1)), (text("a b"), Value::Int(-2))])),
        ("names", Value::Map(vec![(Value::Int(-1), text("")), (Value::Int(10), text("ten"))])),
        ("opt_weight", Value::Int(-5)),
        ("opt_grade", Value::Int(-1)),
    ];
    let full =
        full.into_iter().fold(specimen(2), |record, (name, value)| with(&SPECIMEN, record, name, value));
    for record in [specimen(1), full] {
        round_trip(&trial, &record).await;
    }
    Verdict::Passed
}

pub(super) async fn extremes_round_trip(trial: Trial) -> Verdict {
    let least = [
        ("tiny", i8::MIN.into()),
        ("short", i16::MIN.into()),
        ("low", i32::MIN.into()),
        ("high", i32::MAX.into()),
        ("long", i64::MIN.into()),
        ("wide", i128::MIN),
    ];
    let greatest = [
        ("tiny", i8::MAX.into()),
        ("short", i16::MAX.into()),
        ("long", i64::MAX.into()),
        ("wide", i128::MAX),
        ("byte", u8::MAX.into()),
        ("word", u16::MAX.into()),
        ("dword", u32::MAX.into()),
        ("qword", u64::MAX.into()),
        ("huge", i128::MAX),
    ];
    let numbers = |id: i64, numbers: &[(&str, i128)]| {
        numbers.iter().fold(specimen(id), |record, (name, n)| with(&SPECIMEN, record, name, Value::Int(*n)))
    };
    let others = [
        ("single", Value::Float(f32::MIN_POSITIVE.into())),
        ("double", Value::Float(f64::MAX)),
        ("letter", Value::Char(char::MAX)),
        ("title", text("\0 \u{1f600}\u{0301}\r\n\"\\")),
        ("data", Value::Bytes((0..=255).collect())),
        ("token", Value::Uuid(Uuid::max())),
        ("made", Value::Time(Timestamp::MAX)),
        ("opt_double", Value::Float(5e-324)),
        ("opt_made", Value::Time(Timestamp::MIN)),
        ("opt_huge", Value::Uint(u128::MAX)),
        ("day", Value::Date(civil::Date::MAX)),
        ("opt_day", Value::Date(civil::Date::MIN)),
        ("clock", Value::Clock(civil::Time::MAX)),
        ("local", Value::DateTime(civil::DateTime::MAX)),
        ("opt_local", Value::DateTime(civil::DateTime::MIN)),
        ("price", Value::Decimal("-79228162514264337593543950335".parse().expect("a decimal"))),
        ("opt_price", Value::Decimal("0.0000000000000000000000000001".parse().expect("a decimal"))),
    ];
    let others =
        others.into_iter().fold(specimen(3), |record, (name, value)| with(&SPECIMEN, record, name, value));
    for record in [numbers(1, &least), numbers(2, &greatest), others] {
        round_trip(&trial, &record).await;
    }
    Verdict::Passed
}

pub(super) async fn long_rows_round_trip(trial: Trial) -> Verdict {
    for (id, len) in [(1, 65_000), (2, 65_536), (3, 300_000)] {
        round_trip(&trial, &with(&SPECIMEN, specimen(id), "title", text(&"x".repeat(len)))).await;
    }
    Verdict::Passed
}

pub(super) async fn exists_tells(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1)]).await;
    for (id, wrong) in [(1, Presence::Absent), (2, Presence::Present)] {
        for query in [Query::key(id.into()), Query::filter(ask::eq("low", ask::int(id)))] {
            let found = trial.provider().exists(&trial.cx, &SPECIMEN, &query).await.expect("an answer");
            assert_ne!(found, wrong, "{query:?}");
        }
    }
    Verdict::Passed
}
