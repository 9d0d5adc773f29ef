//! Somebody who listens to what is pushed.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use larder_core::{Change, Changed, Key, PageRow, Result, Runtime, Schema, Value};

use super::told::Told;
use crate::models::{SPECIMEN, at, specimen};
use crate::plain::plain;
use crate::trial::Trial;

/// The first of the keys of rows that are written to see that everything before them has come.
const MARKS: i64 = 900_000;
/// How often a hint may come in place of a row that is waited for.
const HINTS: usize = 100;

/// A stream of the changes of the specimens, and what it has told.
pub(super) struct Ear {
    stream: BoxStream<'static, Result<Change>>,
    patience: Duration,
    pub(super) told: Told,
    /// The rows in the order in which they were told.
    pub(super) rows: Vec<PageRow>,
    heard: Vec<Key>,
    pub(super) hints: usize,
    pub(super) began_with_a_hint: bool,
    /// Of the last change that was heard.
    pub(super) position: Option<String>,
}

/// Listens from a position on.
pub(super) async fn listen(trial: &Trial, schema: &'static Schema, from: Option<&str>) -> Ear {
    assert!(trial.realtime().carries(schema), "it claims to push changes, but none of {}", schema.model);
    let stream = trial.realtime().subscribe(&trial.cx, schema, from).await;
    Ear {
        stream: stream.unwrap_or_else(|error| panic!("it can't be listened to: {error:?}")),
        patience: trial.patience(),
        told: Told::new(schema),
        rows: Vec::new(),
        heard: Vec::new(),
        hints: 0,
        began_with_a_hint: false,
        position: None,
    }
}

/// The next change, which has to come.
#[expect(clippy::disallowed_methods, reason = "a provider that says nothing hangs in time that passes")]
pub(super) async fn next(
    stream: &mut BoxStream<'static, Result<Change>>,
    patience: Duration,
) -> Option<Result<Change>> {
    match tokio::time::timeout(patience, stream.next()).await {
        Ok(next) => next,
        Err(_) => panic!("nothing is pushed within {patience:?}"),
    }
}

impl Ear {
    pub(super) async fn next(&mut self) -> Option<Result<Change>> {
        next(&mut self.stream, self.patience).await
    }

    /// Hears everything up to now: it writes a row, and waits until that is told. After a hint it is as if everything had
    /// been read: what the hint stands for may have been that row.
    pub(super) async fn catch_up(&mut self, trial: &Trial) {
        for _ in 0..HINTS {
            let mark = MARKS + (trial.runtime.random() % MARKS.unsigned_abs().pow(2)).cast_signed();
            trial.put_by_apply(&SPECIMEN, [specimen(mark)]).await;
            if self.hear_until(&mark.into()).await {
                return;
            }
            self.told = Told::read(trial, &SPECIMEN).await;
        }
        panic!("there is nothing but hints");
    }

    /// True if the row was told; false if a hint came first.
    async fn hear_until(&mut self, mark: &Key) -> bool {
        loop {
            let change = self.next().await.expect("the stream ends although the provider is there");
            let Change { position, what } = change.expect("an error is pushed");
            self.began_with_a_hint |= self.heard.is_empty() && matches!(what, Changed::Hint);
            self.position = position;
            match what {
                Changed::Row(row) => {
                    let key = SPECIMEN.key_of(&*row.row).expect("a row that is told has a key");
                    self.told.row(&row);
                    self.rows.push(row);
                    self.heard.push(key.clone());
                    if key == *mark {
                        return true;
                    }
                }
                Changed::Deleted(key) => {
                    self.told.deleted(&key);
                    self.heard.push(key);
                }
                Changed::Hint => {
                    self.hints += 1;
                    return false;
                }
                other => panic!("the harness does not know {other:?}"),
            }
        }
    }

    /// Which rows were told of.
    pub(super) fn keys(&self) -> Vec<i128> {
        crate::trial::numbers(&self.heard)
    }

    /// The titles that rows were told with, without those that the waiting wrote.
    pub(super) fn titles(&self) -> Vec<(i64, String)> {
        let title = |row: &PageRow| {
            let fields = plain(&SPECIMEN, &*row.row);
            match (&fields[at(&SPECIMEN, "id")], &fields[at(&SPECIMEN, "title")]) {
                (Value::Int(id), Value::Str(title)) => {
                    (i64::try_from(*id).unwrap_or_default(), title.to_string())
                }
                other => panic!("a specimen has a number and a title, not {other:?}"),
            }
        };
        self.rows.iter().map(title).filter(|(id, _)| *id < MARKS).collect()
    }

    /// Of each row, no older state is told after a newer one: titles that are numbers rise.
    pub(super) fn assert_rising(&self) {
        let mut titles = self.titles();
        titles.retain(|(_, title)| title.parse::<usize>().is_ok());
        titles.sort_by_key(|(id, _)| *id);
        for pair in titles.windows(2) {
            assert!(
                pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1,
                "{:?} is told before {:?}",
                pair[0],
                pair[1]
            );
        }
    }
}
