//! What somebody has who only hears of changes.

use std::collections::{BTreeMap, BTreeSet};

use larder_core::{DeltaAnswer, DeltaPage, DeltaScope, Key, PageRow, Query, Schema};

use crate::plain::{Plain, plain};
use crate::trial::Trial;

/// The most pages that changes may have before they count as endless.
const PAGES: usize = 2_000;

/// The rows of a model as far as changes have told of them.
#[derive(Clone, Debug)]
pub(super) struct Told {
    schema: &'static Schema,
    rows: BTreeMap<Key, Plain>,
    /// What was told to be gone and has not come back.
    pub(super) gone: BTreeSet<Key>,
}

/// How a walk through the changes ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// At this cursor, with nothing after it.
    To(String),
    /// The cursor is none any more.
    Expired,
}

impl Followed {
    /// The cursor at its end.
    #[track_caller]
    pub(super) fn cursor(self) -> String {
        match self {
            Self::To(cursor) => cursor,
            Self::Expired => panic!("a cursor is expired that is not old"),
        }
    }
}

impl Told {
    pub(super) fn new(schema: &'static Schema) -> Self {
        Self { schema, rows: BTreeMap::new(), gone: BTreeSet::new() }
    }

    /// What is there, as it is read.
    pub(super) async fn read(trial: &Trial, schema: &'static Schema) -> Self {
        let mut told = Self::new(schema);
        trial.select(schema, &Query::all()).await.expect("all rows").iter().for_each(|row| told.row(row));
        told
    }

    pub(super) fn row(&mut self, row: &PageRow) {
        let key = self.schema.key_of(&*row.row).expect("a row that is told has a key");
        self.gone.remove(&key);
        self.rows.insert(key, plain(self.schema, &*row.row));
    }

    pub(super) fn deleted(&mut self, key: &Key) {
        self.rows.remove(key);
        self.gone.insert(key.clone());
    }

    /// Takes what stands on a page.
    pub(super) fn take(&mut self, page: &DeltaPage) {
        assert!(page.misfits.is_empty(), "rows that can't be read: {:?}", page.misfits);
        for row in &page.rows {
            let key = self.schema.key_of(&*row.row).expect("a row that is told has a key");
            assert!(!page.deleted.contains(&key), "one page has {key} as a row and as gone");
            self.row(row);
        }
        page.deleted.iter().for_each(|key| self.deleted(key));
    }

    /// What was told is what is there. Who does not tell what is gone is not blamed for rows that are.
    pub(super) async fn assert_current(&self, trial: &Trial) {
        let there = Self::read(trial, self.schema).await.rows;
        let mut told = self.rows.clone();
        let delta = trial.provider().delta().map(|delta| delta.scope(self.schema));
        if delta == Some(DeltaScope::Changes) {
            told.retain(|key, _| there.contains_key(key));
        }
        let missing: Vec<_> = there.keys().filter(|key| !told.contains_key(key)).collect();
        let surplus: Vec<_> = told.keys().filter(|key| !there.contains_key(key)).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "not told: {missing:?}; told, but gone: {surplus:?}"
        );
        for (key, row) in &there {
            assert_eq!(&told[key], row, "{key} is told as it was, and not as it is");
        }
    }
}

/// Asks for the changes after a cursor.
pub(super) async fn ask(trial: &Trial, schema: &'static Schema, since: Option<&str>) -> DeltaAnswer {
    let answer = trial.delta().changes(&trial.cx, schema, since).await;
    answer.unwrap_or_else(|error| panic!("it does not tell what has changed since {since:?}: {error:?}"))
}

/// An answer that has to be a page.
#[track_caller]
pub(super) fn page(answer: DeltaAnswer) -> DeltaPage {
    match answer {
        DeltaAnswer::Page(page) => page,
        DeltaAnswer::Expired => panic!("a cursor is expired that is not old"),
    }
}

/// All pages after a cursor, which have to come to an end; `None` if a cursor is none any more.
pub(super) async fn walk(
    trial: &Trial,
    schema: &'static Schema,
    since: Option<&str>,
) -> Option<Vec<DeltaPage>> {
    let mut pages: Vec<DeltaPage> = Vec::new();
    while pages.len() < PAGES {
        let since = pages.last().map(|page| page.cursor.as_str()).or(since);
        let DeltaAnswer::Page(page) = ask(trial, schema, since).await else { return None };
        assert!(
            !page.more || Some(page.cursor.as_str()) != since,
            "there is more, but the cursor stays where it was"
        );
        let more = page.more;
        pages.push(page);
        if !more {
            return Some(pages);
        }
    }
    panic!("the changes have more than {PAGES} pages")
}

/// Takes all changes after a cursor.
pub(super) async fn follow(trial: &Trial, told: &mut Told, since: Option<&str>) -> Followed {
    let Some(pages) = walk(trial, told.schema, since).await else { return Followed::Expired };
    pages.iter().for_each(|page| told.take(page));
    pages.into_iter().next_back().map_or(Followed::Expired, |last| Followed::To(last.cursor))
}

/// The same with a cursor that may be too old: then everything is asked for. What was written since everything was asked
/// for may come after the last page of that, so it is asked once more.
pub(super) async fn settle(trial: &Trial, told: &mut Told, since: Option<&str>) {
    let mut since = since.map(str::to_owned);
    for _ in 0..3 {
        since = match follow(trial, told, since.as_deref()).await {
            Followed::To(cursor) => Some(cursor),
            Followed::Expired => {
                *told = Told::new(told.schema);
                None
            }
        };
    }
    assert!(since.is_some(), "whatever is asked for is expired");
}

/// What is there, as it is told, and the cursor after it.
pub(super) async fn watched(trial: &Trial, schema: &'static Schema) -> (Told, String) {
    let mut told = Told::new(schema);
    let cursor = follow(trial, &mut told, None).await.cursor();
    told.assert_current(trial).await;
    (told, cursor)
}
