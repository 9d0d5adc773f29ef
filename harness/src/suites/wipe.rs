//! A wipe empties the store in place.

use larder_core::{Op, OutboxCounts, Tail};

use super::outbox::entry;
use crate::models::{ACCOUNT, SPECIMEN, account, specimen, text, with};
use crate::trial::{Trial, Verdict};

pub(super) async fn nothing_is_left(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1), specimen(2)]).await;
    let stone = Op::Tombstone { schema: &SPECIMEN, key: 3.into(), meta: trial.meta(), tail: Tail::At(0) };
    let cursor = Op::Cursor { scope: "a".into(), value: Some("1".into()) };
    trial.commit(vec![stone, cursor, Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    let store = trial.store();
    store.wipe(&trial.cx).await.expect("a wipe");
    assert!(trial.all(&SPECIMEN).await.is_empty());
    assert!(store.load(&trial.cx, &SPECIMEN, &3.into()).await.expect("an answer").is_none());
    assert!(store.outbox(&trial.cx, 0, 9).await.expect("the outbox").entries.is_empty());
    assert_eq!(store.outbox_counts(&trial.cx).await.expect("counts"), OutboxCounts::default());
    assert_eq!(store.cursor(&trial.cx, "a").await.expect("an answer"), None);
    Verdict::Passed
}

pub(super) async fn the_store_goes_on(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1)]).await;
    let before = trial.store().revision();
    for _ in 0..2 {
        trial.store().wipe(&trial.cx).await.expect("a wipe");
    }
    assert!(trial.store().revision() > before);
    // Nobody holds the unique values any more.
    let committed = trial
        .commit(vec![trial.op(&ACCOUNT, with(&ACCOUNT, account(2), "email", text("1@example.com")))])
        .await;
    assert!(committed.revision > before + 1, "{committed:?} after {before} and two wipes");
    assert_eq!(trial.all(&ACCOUNT).await.len(), 1);
    Verdict::Passed
}
