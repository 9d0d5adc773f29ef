//! `read_now`: rows are lent on the calling thread.

use larder_core::{Error, ErrorKind, Query};

use crate::models::{SPECIMEN, specimen};
use crate::trial::{Trial, Verdict, fails};

pub(super) async fn an_error_of_the_sink_is_passed_on(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1), specimen(2)]).await;
    let mut calls = 0;
    let answered = trial.store().read_now(&SPECIMEN, &Query::all(), &mut |_, _| {
        calls += 1;
        Err(Error::new(ErrorKind::Cancelled, "enough"))
    });
    match answered {
        Ok(false) => assert_eq!(calls, 0, "it can't answer now, and lent rows"),
        other => {
            fails(other, ErrorKind::Cancelled);
            assert_eq!(calls, 1, "no row is lent after an error");
        }
    }
    Verdict::Passed
}

pub(super) async fn a_sink_may_read_too(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1), specimen(2)]).await;
    let mut seen = 0;
    let answered = trial.store().read_now(&SPECIMEN, &Query::all(), &mut |_, row| {
        let key = SPECIMEN.key_of(row)?;
        trial.store().read_now(&SPECIMEN, &Query::key(key), &mut |_, _| {
            seen += 1;
            Ok(())
        })?;
        Ok(())
    });
    assert!(answered.is_ok_and(|now| seen == if now { 2 } else { 0 }));
    Verdict::Passed
}

pub(super) async fn what_is_committed_is_read(trial: Trial) -> Verdict {
    for id in 1..=20 {
        trial.put(&SPECIMEN, [specimen(id)]).await;
        // `find` asks `get` and `read_now`, and compares them.
        assert!(trial.find(&SPECIMEN, &id.into()).await.is_some());
        trial
            .put(
                &SPECIMEN,
                [crate::models::with(&SPECIMEN, specimen(1), "low", larder_core::Value::Int(id.into()))],
            )
            .await;
        assert_eq!(
            trial.ids(&SPECIMEN, super::ask::eq("low", super::ask::int(id.into()))).await.first(),
            Some(&1)
        );
    }
    Verdict::Passed
}

pub(super) async fn everything_is_done_by_the_store(trial: Trial) -> Verdict {
    super::capabilities::twelve(&trial).await;
    for query in super::capabilities::queries() {
        let page = trial.provider().get(&trial.cx, &SPECIMEN, &query).await.expect("a page");
        assert!(page.done == larder_core::Done::ALL, "{:?} of {query:?}", page.done);
    }
    Verdict::Passed
}

pub(super) async fn a_count_is_the_number_of_rows(trial: Trial) -> Verdict {
    super::capabilities::twelve(&trial).await;
    for query in super::capabilities::queries() {
        let rows =
            trial.provider().get(&trial.cx, &SPECIMEN, &query).await.expect("a page").rows.len() as u64;
        let count = trial.store().count(&trial.cx, &SPECIMEN, &query).await.expect("a count");
        assert_eq!(count, rows, "{query:?}");
    }
    Verdict::Passed
}
