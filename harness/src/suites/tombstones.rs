//! Tombstones: hidden from queries, known to `load`.

use larder_core::{Meta, Op, Operation, Presence, Query, RowState, SyncState, Tail};

use super::outbox::entry;
use crate::models::{SPECIMEN, specimen};
use crate::plain::plain;
use crate::trial::{Trial, Verdict};

fn tombstone(trial: &Trial, id: i64) -> Op {
    let meta = Meta {
        sync: SyncState { state: RowState::Pending, since: trial.meta().sync.since },
        version: Some("\"7\"".into()),
        ..trial.meta()
    };
    Op::Tombstone { schema: &SPECIMEN, key: id.into(), meta, tail: Tail::New(0) }
}

pub(super) async fn queries_skip_them(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1), specimen(2)]).await;
    trial.commit(vec![tombstone(&trial, 1), Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    assert_eq!(trial.all(&SPECIMEN).await, [plain(&SPECIMEN, &specimen(2))]);
    assert!(trial.find(&SPECIMEN, &1.into()).await.is_none());
    for query in [Query::key(1.into()), Query::filter(super::ask::eq("low", super::ask::int(1)))] {
        let found = trial.provider().exists(&trial.cx, &SPECIMEN, &query).await.expect("an answer");
        assert_eq!(found, Presence::Absent);
    }
    Verdict::Passed
}

pub(super) async fn load_gives_them(trial: Trial) -> Verdict {
    let load = async |id: i64| trial.store().load(&trial.cx, &SPECIMEN, &id.into()).await.expect("an answer");
    trial.put(&SPECIMEN, [specimen(1)]).await;
    assert!(load(1).await.expect("the row").row.is_some());
    let committed = trial.commit(vec![tombstone(&trial, 1), Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    let stored = load(1).await.expect("a tombstone");
    assert!(stored.row.is_none());
    assert_eq!((stored.meta.revision, stored.meta.tail), (committed.revision, committed.seqs[0]));
    assert_eq!((stored.meta.sync.state, stored.meta.version.as_deref()), (RowState::Pending, Some("\"7\"")));
    assert!(load(2).await.is_none());
    Verdict::Passed
}

pub(super) async fn a_row_can_take_their_place(trial: Trial) -> Verdict {
    trial.commit(vec![tombstone(&trial, 1), Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    trial.put(&SPECIMEN, [specimen(1)]).await;
    assert!(trial.find(&SPECIMEN, &1.into()).await.is_some());
    Verdict::Passed
}

pub(super) async fn remove_takes_them_away(trial: Trial) -> Verdict {
    trial.commit(vec![tombstone(&trial, 1), Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    trial.commit(vec![Op::Remove { schema: &SPECIMEN, key: 1.into() }]).await;
    assert!(trial.store().load(&trial.cx, &SPECIMEN, &1.into()).await.expect("an answer").is_none());
    Verdict::Passed
}

pub(super) async fn they_are_no_rows_to_apply(trial: Trial) -> Verdict {
    trial.commit(vec![tombstone(&trial, 1), Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    let error = trial.apply(Operation::Update, &SPECIMEN, &specimen(1)).await.expect_err("nothing to update");
    assert_eq!(error.kind(), larder_core::ErrorKind::NotFound, "{error:?}");
    trial.apply(Operation::Insert, &SPECIMEN, &specimen(1)).await.expect("an insert");
    assert!(trial.find(&SPECIMEN, &1.into()).await.is_some());
    Verdict::Passed
}
