//! What a pull has to remember to go on after it was broken off: it is written in the transactions that store its pages.

use std::sync::Arc;

use larder_core::{Error, ErrorKind, Key, Op, Result, Schema, Timestamp};
use serde::{Deserialize, Serialize};

use super::page::{Asides, Asked, Kept};
use super::seen;
use crate::repository::Repository;

/// How many keys of rows that could not be stored are remembered.
const STRAYS: usize = 1_000;
/// How much is remembered of what was wrong with a row, in characters.
const WORDS: usize = 300;

/// How a pull of everything comes by its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    /// As the answer to a query.
    Pages,
    /// As the changes since the beginning.
    Delta,
}

/// What a pull of everything is at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// It goes on at this place of the remote.
    At(String),
    /// All pages are here; rows that did not come are removed, after this key.
    Sweep(Option<Key>),
    /// It is done; notes of so many pages are left.
    Clear,
}

/// A pull of everything that has more than one page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    pub(super) source: Source,
    pub(super) stage: Stage,
    /// When it began, in microseconds, and at which revision of the store.
    pub(super) asked: i64,
    pub(super) started: u64,
    /// How many pages are stored, and how many rows stood on them.
    pub(super) pages: u64,
    pub(super) rows: u64,
    /// Rows may have moved between the pages, as far as is known.
    #[serde(default = "unknown")]
    pub(super) unproven: bool,
    /// The cursor of the changes that are not in its pages.
    #[serde(default)]
    pub(super) cursor: Option<String>,
    /// Rows that could not be stored.
    #[serde(default)]
    pub(super) strays: Strays,
}

/// What a former version has not written down.
fn unknown() -> bool {
    true
}

/// Rows that the remote has told of and that are not here as it has them: they are asked for again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::repository) struct Strays {
    pub(super) keys: Vec<Key>,
    /// Those that were written meanwhile, or that something was pending for: what the remote said was left out.
    #[serde(default)]
    pub(super) pending: Vec<Key>,
    /// There are others, of which the key is not known, or for which there was no room: everything has to be pulled.
    #[serde(default)]
    pub(super) lost: bool,
    /// How many of those could not be read or stored, and what was wrong with the first of them.
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    why: Option<String>,
}

impl Strays {
    /// Adds what could not be stored of a page.
    pub(super) fn add(&mut self, schema: &Schema, kept: &Kept) {
        for aside in kept.asides.iter().filter(|aside| aside.schema == schema) {
            if !aside.key.as_ref().is_some_and(|key| keep(&mut self.keys, key)) {
                (self.lost, self.rows) = (true, self.rows + 1);
                self.why.get_or_insert_with(|| aside.error.to_string().chars().take(WORDS).collect());
            }
        }
        for key in &kept.left {
            self.lost |= !keep(&mut self.pending, key);
        }
    }

    /// These and those.
    pub(super) fn and(&self, others: &Self) -> Self {
        let mut all = self.clone();
        all.lost |= others.lost;
        all.rows += others.rows;
        all.why = all.why.or_else(|| others.why.clone());
        others.keys.iter().for_each(|key| all.lost |= !keep(&mut all.keys, key));
        others.pending.iter().for_each(|key| all.lost |= !keep(&mut all.pending, key));
        all
    }

    /// Leaves out what could be stored in the end.
    pub(super) fn settle(&mut self, schema: &Schema, asides: &Asides) {
        let still = |key: &Key| {
            asides.rows.iter().any(|aside| aside.schema == schema && aside.key.as_ref() == Some(key))
        };
        self.keys.retain(still);
    }

    /// What a pull that was broken off has found and could not tell: of a row whose key is not known, the note alone knows.
    pub(super) fn untold(&self, schema: &Schema) -> Option<(Error, u64)> {
        if !self.lost {
            return None;
        }
        let why = self.why.as_deref().unwrap_or("it is not known which");
        let what = format!(
            "a row came before the pull was broken off and is not here as the remote has it: {why}; the next sync asks for all rows"
        );
        Some((Error::new(ErrorKind::Serialization, what).model(schema.model), self.rows.saturating_sub(1)))
    }

    /// True if everything that the remote has is here, or something is pending for it.
    pub(super) fn is_none(&self) -> bool {
        self.keys.is_empty() && !self.lost
    }
}

/// Adds a key, if there is room.
fn keep(keys: &mut Vec<Key>, key: &Key) -> bool {
    let known = keys.contains(key);
    if !known && keys.len() < STRAYS {
        keys.push(key.clone());
        return true;
    }
    known
}

impl Course {
    pub(super) fn new(source: Source, asked: &Asked) -> Self {
        let (at, started) = (asked.at.as_microsecond(), asked.started);
        let stage = Stage::At(String::new());
        let strays = Strays::default();
        Self { source, stage, asked: at, started, pages: 0, rows: 0, unproven: false, cursor: None, strays }
    }

    pub(super) fn began(&self) -> (Timestamp, u64) {
        (Timestamp::from_microsecond(self.asked).unwrap_or(Timestamp::UNIX_EPOCH), self.started)
    }

    /// What writes it down.
    pub(super) fn op(&self, schema: &Schema) -> Result<Op> {
        Ok(Op::Cursor { scope: pull_scope(schema), value: Some(written(self)?) })
    }
}

/// What writes down which rows are to be asked for again.
pub(super) fn strays_op(schema: &Schema, strays: &Strays) -> Result<Op> {
    let value = if *strays == Strays::default() { None } else { Some(written(strays)?) };
    Ok(Op::Cursor { scope: format!("strays/{}/{}", schema.model, schema.version), value })
}

/// What writes down that rows of a page are to be asked for again; nothing if none is.
pub(in crate::repository) fn stray(schema: &Schema, known: &Strays, kept: &Kept) -> Result<Vec<Op>> {
    let mut strays = known.clone();
    strays.add(schema, kept);
    if strays == *known { Ok(Vec::new()) } else { Ok(vec![strays_op(schema, &strays)?]) }
}

/// What writes down after which cursor the changes go on.
pub(super) fn delta_op(schema: &Schema, cursor: Option<String>) -> Op {
    Op::Cursor { scope: delta_scope(schema), value: cursor }
}

/// What ends a pull of everything; notes of its pages may be left.
pub(super) fn no_pull(schema: &Schema) -> Op {
    Op::Cursor { scope: pull_scope(schema), value: None }
}

fn pull_scope(schema: &Schema) -> String {
    format!("pull/{}/{}", schema.model, schema.version)
}

fn delta_scope(schema: &Schema) -> String {
    format!("delta/{}/{}", schema.model, schema.version)
}

fn written(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::Serialization, "how far the pull is can't be written down").because(error)
    })
}

impl Repository {
    /// The pull of everything that was broken off. One that can't be read is none: it begins anew.
    pub(super) async fn broken_off(&self, schema: &'static Schema) -> Result<Option<Course>> {
        let written = self.shared.store.cursor(&self.cx(), &pull_scope(schema)).await?;
        Ok(written.and_then(|written| serde_json::from_str(&written).ok()))
    }

    /// The cursor after which the remote tells what has changed.
    pub(super) async fn delta_cursor(&self, schema: &'static Schema) -> Result<Option<String>> {
        self.shared.store.cursor(&self.cx(), &delta_scope(schema)).await
    }

    /// The rows that are to be asked for again. Where that can't be read, everything has to be pulled.
    pub(in crate::repository) async fn strays(&self, schema: &'static Schema) -> Result<Strays> {
        let scope = format!("strays/{}/{}", schema.model, schema.version);
        let written = self.shared.store.cursor(&self.cx(), &scope).await?;
        let lost = Strays { lost: true, ..Strays::default() };
        Ok(written.map_or_else(Strays::default, |written| serde_json::from_str(&written).unwrap_or(lost)))
    }

    /// Removes the notes of the pages of a pull that is done or given up, the last ones first, and then its own.
    pub(super) async fn clear_notes(
        &self,
        schema: &'static Schema,
        mut at: Course,
        wipes: u64,
    ) -> Result<()> {
        const TOGETHER: u64 = 1_024;
        while at.pages > 0 {
            let from = at.pages.saturating_sub(TOGETHER);
            let mut ops: Vec<Op> = (from..at.pages).map(|page| seen::forgotten(schema, page)).collect();
            at.pages = from;
            if at.pages > 0 {
                at.stage = Stage::Clear;
                ops.push(at.op(schema)?);
            } else {
                ops.push(no_pull(schema));
            }
            self.commit_fetched(larder_core::Batch { expect: Vec::new(), ops }, wipes).await?;
        }
        Ok(())
    }
}

/// What there is to say about a sync beside its numbers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Remark {
    /// A pull that had been broken off went on after that many pages.
    Resumed {
        /// The model.
        model: &'static str,
        /// How many pages were here already.
        pages: u64,
    },
    /// The remote would not go on with a pull where it was: it began anew.
    Restarted {
        /// The model.
        model: &'static str,
        /// What the remote said.
        error: Arc<Error>,
    },
    /// The remote no longer knows what has changed since the last pull: everything was pulled.
    Expired {
        /// The model.
        model: &'static str,
    },
    /// A row could not be read, or not be stored. The others were; this one is asked for again by the next sync.
    Row {
        /// The model.
        model: &'static str,
        /// The row, if that much is known.
        key: Option<Key>,
        /// Why.
        error: Arc<Error>,
    },
    /// That many more rows could not be stored.
    MoreRows {
        /// The model.
        model: &'static str,
        /// How many.
        rows: u64,
    },
    /// Rows did not come and are kept: others may have moved them while the remote's pages were read, and it can't be asked
    /// for a row by its key.
    Doubted {
        /// The model.
        model: &'static str,
        /// How many.
        rows: u64,
        /// There are more of them.
        more: bool,
    },
    /// A model could not be pulled. The others were.
    Model {
        /// The model.
        model: &'static str,
        /// Why.
        error: Arc<Error>,
    },
}

impl Remark {
    /// Whether it says that rows are not here as the remote has them.
    pub(in crate::repository) fn is_of_rows(&self) -> bool {
        matches!(self, Self::Row { .. } | Self::MoreRows { .. } | Self::Doubted { .. })
    }
}
