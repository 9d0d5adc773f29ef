//! Unique constraints: judged at the end of a batch, and nothing is changed where one is broken.

use larder_core::{Batch, Error, ErrorKind, Op, Record, Tail};

use crate::models::{ACCOUNT, account, text, with};
use crate::plain::plain;
use crate::trial::{Trial, Verdict, fails};

fn set(record: Record, name: &str, value: &str) -> Record {
    with(&ACCOUNT, record, name, text(value))
}

/// Asserts that these rows can't be written, and gives the error.
async fn collides(trial: &Trial, rows: impl IntoIterator<Item = Record>) -> Error {
    let before = trial.all(&ACCOUNT).await;
    let ops = rows.into_iter().map(|row| trial.op(&ACCOUNT, row)).collect();
    let error = fails(trial.try_commit(Batch { expect: Vec::new(), ops }).await, ErrorKind::Conflict);
    assert_eq!(trial.all(&ACCOUNT).await, before);
    error
}

pub(super) async fn a_collision_names_both_rows(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(17)]).await;
    let error = collides(&trial, [set(account(29), "email", "17@example.com")]).await;
    let text = error.to_string();
    assert!(text.contains("17") && text.contains("29"), "{text}");
    assert_eq!(error.model_name(), Some("Account"));
    Verdict::Passed
}

pub(super) async fn two_collisions_name_both_rows(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(17), set(account(23), "phone", "555")]).await;
    let torn = set(set(account(29), "email", "17@example.com"), "phone", "555");
    let text = collides(&trial, [torn]).await.to_string();
    assert!(["17", "23", "29"].iter().all(|key| text.contains(key)), "{text}");
    Verdict::Passed
}

pub(super) async fn within_a_batch_too(trial: Trial) -> Verdict {
    let error = collides(&trial, [account(17), set(account(29), "email", "17@example.com")]).await;
    let text = error.to_string();
    assert!(text.contains("17") && text.contains("29"), "{text}");
    Verdict::Passed
}

pub(super) async fn null_never_collides(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1), account(2)]).await;
    let nameless = |id: i64| with(&ACCOUNT, account(id), "nick", larder_core::Value::Null);
    trial.put(&ACCOUNT, [nameless(3), nameless(4)]).await;
    assert_eq!(trial.all(&ACCOUNT).await.len(), 4);
    trial.put(&ACCOUNT, [set(account(5), "phone", "1")]).await;
    collides(&trial, [set(account(6), "phone", "1")]).await;
    Verdict::Passed
}

pub(super) async fn a_pair_collides_in_both_fields_only(trial: Trial) -> Verdict {
    let row = |id, org, nick| set(set(account(id), "org", org), "nick", nick);
    trial.put(&ACCOUNT, [row(1, "a", "x"), row(2, "a", "y"), row(3, "b", "x")]).await;
    collides(&trial, [row(4, "a", "x")]).await;
    // The border between the fields counts.
    trial.put(&ACCOUNT, [row(5, "ab", "c"), row(6, "a", "bc")]).await;
    Verdict::Passed
}

pub(super) async fn a_row_does_not_collide_with_itself(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1)]).await;
    let moved = set(account(1), "city", "Bergen");
    trial.put(&ACCOUNT, [moved.clone(), moved.clone()]).await;
    assert_eq!(trial.all(&ACCOUNT).await, [plain(&ACCOUNT, &moved)]);
    Verdict::Passed
}

pub(super) async fn values_can_be_swapped_in_a_batch(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1), account(2)]).await;
    let swapped = [set(account(1), "email", "2@example.com"), set(account(2), "email", "1@example.com")];
    trial.put(&ACCOUNT, swapped.clone()).await;
    assert_eq!(trial.all(&ACCOUNT).await, swapped.map(|row| plain(&ACCOUNT, &row)));
    collides(&trial, [set(account(3), "email", "1@example.com")]).await;
    Verdict::Passed
}

pub(super) async fn what_is_given_up_can_be_taken(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1), account(2), account(3)]).await;
    let taker = |id, of: i64| set(account(id), "email", &format!("{of}@example.com"));
    // In the same batch, and before it is given up.
    let remove = Op::Remove { schema: &ACCOUNT, key: 1.into() };
    trial.commit(vec![trial.op(&ACCOUNT, taker(11, 1)), remove]).await;
    let stone = Op::Tombstone { schema: &ACCOUNT, key: 2.into(), meta: trial.meta(), tail: Tail::At(0) };
    trial.commit(vec![stone]).await;
    trial.put(&ACCOUNT, [taker(12, 2)]).await;
    trial.put(&ACCOUNT, [set(account(3), "email", "other"), taker(13, 3)]).await;
    assert_eq!(trial.all(&ACCOUNT).await.len(), 4);
    Verdict::Passed
}

pub(super) async fn a_refused_batch_takes_nothing(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1)]).await;
    collides(&trial, [account(2), set(account(3), "email", "1@example.com")]).await;
    trial.put(&ACCOUNT, [set(account(4), "email", "2@example.com")]).await;
    Verdict::Passed
}

pub(super) async fn by_apply_too(trial: Trial) -> Verdict {
    use larder_core::Operation::{Insert, Update};
    trial.put(&ACCOUNT, [account(1), account(2)]).await;
    let before = trial.all(&ACCOUNT).await;
    for (operation, id) in [(Insert, 3), (Update, 2)] {
        let taken = set(account(id), "email", "1@example.com");
        fails(trial.apply(operation, &ACCOUNT, &taken).await, ErrorKind::Conflict);
        assert_eq!(trial.all(&ACCOUNT).await, before);
    }
    Verdict::Passed
}
