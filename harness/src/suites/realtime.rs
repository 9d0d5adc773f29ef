//! Changes that are pushed: whoever listens has what is there, or knows that something is missing.

use larder_core::{Change, Changed, ErrorKind, FieldDef, IntKind, KeyDef, Kind, Operation, Query, Schema};

use super::listening::{listen, next};
use crate::models::{ALL, NAMED, SPECIMEN, keyed, specimen, text, with};
use crate::plain::plain;
use crate::trial::{Trial, Verdict, fails};

/// So many changes that nobody keeps all of them for a reader who does not read.
const MANY: usize = 200;

/// A model that nobody has registered.
static STRANGER: Schema =
    Schema::new("Stranger", &[FieldDef::new("id", Kind::Int(IntKind::I64))], KeyDef::natural(&[0]));

/// Writes to five rows, over and over, and to each three times in a row.
async fn churn(trial: &Trial, writes: usize) {
    for n in 0..writes {
        let id = 1 + (n / 3 % 5) as i64;
        trial.rewrite(&SPECIMEN, with(&SPECIMEN, specimen(id), "title", text(&format!("{n:04}")))).await;
    }
}

/// The verdict on a provider that does not say where in the stream a change stands.
fn tells_no_positions() -> Verdict {
    Verdict::Refused("does not say where in the stream a change stands".into())
}

pub(super) async fn changes_come_as_they_happen(trial: Trial) -> Verdict {
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    trial.put_by_apply(&SPECIMEN, [specimen(1), specimen(2)]).await;
    trial.rewrite(&SPECIMEN, with(&SPECIMEN, specimen(1), "title", text("changed"))).await;
    trial.delete(&SPECIMEN, &specimen(2)).await;
    ear.catch_up(&trial).await;
    ear.told.assert_current(&trial).await;
    assert_eq!(ear.hints, 0, "nothing is missing, but a hint says that something is");
    Verdict::Passed
}

pub(super) async fn rows_come_as_they_are_read(trial: Trial) -> Verdict {
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    trial.put_by_apply(&SPECIMEN, (1..=9).map(specimen)).await;
    ear.catch_up(&trial).await;
    let read = trial.select(&SPECIMEN, &Query::all()).await.expect("all rows");
    assert!(read.len() > 9, "the rows, and that which ended the waiting");
    for row in read {
        let key = SPECIMEN.key_of(&*row.row).expect("a key");
        let told = ear.rows.iter().rfind(|told| SPECIMEN.key_of(&*told.row).expect("a key") == key);
        let told = told.unwrap_or_else(|| panic!("{key} is not told"));
        assert_eq!(plain(&SPECIMEN, &*told.row), plain(&SPECIMEN, &*row.row));
        assert_eq!(told.meta.version, row.meta.version, "the version of {key}");
        assert_eq!(told.meta.extra, row.meta.extra, "what the model has not, of {key}");
    }
    Verdict::Passed
}

pub(super) async fn what_was_before_is_not_told(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=5).map(specimen)).await;
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    trial.put_by_apply(&SPECIMEN, [specimen(6)]).await;
    ear.catch_up(&trial).await;
    let keys = ear.keys();
    assert!(!keys.iter().any(|key| (1..=5).contains(key)), "{keys:?} are told, but were there before");
    assert!(keys.contains(&6), "6 is not among {keys:?}");
    Verdict::Passed
}

pub(super) async fn a_refused_write_is_not_told(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    let refused = with(&SPECIMEN, specimen(1), "title", text("refused"));
    let kind = if trial.capabilities().insert { ErrorKind::Conflict } else { ErrorKind::Unsupported };
    fails(trial.apply(Operation::Insert, &SPECIMEN, &refused).await, kind);
    ear.catch_up(&trial).await;
    assert!(!ear.keys().contains(&1), "a write that was refused is told");
    Verdict::Passed
}

pub(super) async fn changes_come_in_order(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=5).map(specimen)).await;
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    churn(&trial, 45).await;
    ear.catch_up(&trial).await;
    ear.assert_rising();
    assert!(ear.hints > 0 || ear.titles().len() >= 5, "of five rows that were changed, some are not told");
    for id in 1..=5 {
        let last = ear.titles().into_iter().rfind(|(key, _)| *key == id);
        let expected = format!("{:04}", 29 + 3 * id);
        assert!(ear.hints > 0 || last == Some((id, expected)), "the last that is told of {id} is {last:?}");
    }
    Verdict::Passed
}

pub(super) async fn nothing_is_left_out(trial: Trial) -> Verdict {
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    for id in 1..=30 {
        trial.put_by_apply(&SPECIMEN, [specimen(id)]).await;
        if id % 3 == 0 {
            trial.delete(&SPECIMEN, &specimen(id - 1)).await;
        }
        if id % 10 == 0 {
            ear.catch_up(&trial).await;
        }
    }
    ear.catch_up(&trial).await;
    ear.told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn it_goes_on_from_a_position(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=5).map(specimen)).await;
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    churn(&trial, 3).await;
    ear.catch_up(&trial).await;
    let Some(position) = ear.position.clone() else { return tells_no_positions() };
    drop(ear);
    trial.put_by_apply(&SPECIMEN, [specimen(6)]).await;
    trial.delete(&SPECIMEN, &specimen(1)).await;
    let mut later = listen(&trial, &SPECIMEN, Some(&position)).await;
    trial.put_by_apply(&SPECIMEN, [specimen(7)]).await;
    later.catch_up(&trial).await;
    let keys = later.keys();
    assert!(
        later.began_with_a_hint || [6, 1, 7].iter().all(|key| keys.contains(key)),
        "of 6, 1 and 7, only {keys:?} are told, without a hint"
    );
    Verdict::Passed
}

pub(super) async fn a_position_that_is_not_known_begins_with_a_hint(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=5).map(specimen)).await;
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    churn(&trial, 1).await;
    ear.catch_up(&trial).await;
    let Some(position) = ear.position.clone() else { return tells_no_positions() };
    drop(ear);
    let mut odd = listen(&trial, &SPECIMEN, Some("no position")).await;
    assert!(matches!(odd.next().await, Some(Ok(Change { what: Changed::Hint, .. }))), "no hint at first");
    // One that was known once: it begins with a hint, or nothing is left out.
    trial.put_by_apply(&SPECIMEN, [specimen(6)]).await;
    churn(&trial, MANY).await;
    let mut old = listen(&trial, &SPECIMEN, Some(&position)).await;
    old.catch_up(&trial).await;
    assert!(old.began_with_a_hint || old.keys().contains(&6), "6 is left out, without a hint");
    Verdict::Passed
}

pub(super) async fn a_slow_reader_is_told_that_something_is_missing(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=5).map(specimen)).await;
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    trial.put_by_apply(&SPECIMEN, [specimen(6)]).await;
    churn(&trial, MANY).await;
    ear.catch_up(&trial).await;
    assert!(ear.hints > 0 || ear.keys().contains(&6), "6 is left out, without a hint");
    ear.assert_rising();
    // It is a reader like any other afterwards.
    let hints = ear.hints;
    trial.put_by_apply(&SPECIMEN, [specimen(7)]).await;
    ear.catch_up(&trial).await;
    assert!(ear.keys().contains(&7) && ear.hints == hints, "7 is not told to a reader that has caught up");
    Verdict::Passed
}

pub(super) async fn readers_do_not_disturb_each_other(trial: Trial) -> Verdict {
    let mut one = listen(&trial, &SPECIMEN, None).await;
    let gone = listen(&trial, &SPECIMEN, None).await;
    let mut other = listen(&trial, &SPECIMEN, None).await;
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    one.catch_up(&trial).await;
    drop(gone);
    trial.put_by_apply(&SPECIMEN, [specimen(2)]).await;
    trial.delete(&SPECIMEN, &specimen(1)).await;
    one.catch_up(&trial).await;
    one.told.assert_current(&trial).await;
    other.catch_up(&trial).await;
    other.told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn models_stay_apart(trial: Trial) -> Verdict {
    if !trial.realtime().carries(&NAMED) {
        return Verdict::Refused("carries no second model".into());
    }
    let mut one = listen(&trial, &SPECIMEN, None).await;
    let mut other = trial.realtime().subscribe(&trial.cx, &NAMED, None).await.expect("a stream");
    trial.put_by_apply(&NAMED, [keyed(&NAMED, &"a".into(), "one")]).await;
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    one.catch_up(&trial).await;
    one.told.assert_current(&trial).await;
    let heard = next(&mut other, trial.patience()).await.expect("a change").expect("no error");
    let Changed::Row(row) = heard.what else { panic!("a row, and not {:?}", heard.what) };
    assert_eq!(NAMED.key_of(&*row.row).expect("a key"), "a".into());
    Verdict::Passed
}

pub(super) async fn a_model_that_is_not_carried_is_refused(trial: Trial) -> Verdict {
    let realtime = trial.realtime();
    let refusal = async |schema| {
        let stream = realtime.subscribe(&trial.cx, schema, None).await;
        stream.err().unwrap_or_else(|| panic!("{} is not carried, but is listened to", schema.model))
    };
    for schema in ALL.iter().filter(|schema| !realtime.carries(schema)) {
        assert_eq!(refusal(schema).await.kind(), ErrorKind::Unsupported);
    }
    assert!(!realtime.carries(&STRANGER), "a model that nobody has registered");
    let error = refusal(&STRANGER).await;
    assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported), "{error:?}");
    Verdict::Passed
}

pub(super) async fn it_ends_with_the_provider(trial: Trial) -> Verdict {
    let mut ear = listen(&trial, &SPECIMEN, None).await;
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    ear.catch_up(&trial).await;
    drop(trial);
    // An error may be the last word.
    while let Some(change) = ear.next().await {
        if change.is_err() {
            assert!(ear.next().await.is_none(), "something comes after an error");
            break;
        }
    }
    Verdict::Passed
}
