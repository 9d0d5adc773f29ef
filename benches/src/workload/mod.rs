//! The workloads: what is done, on which sides, and what is asked of the result.

mod bulk;
mod drain;
mod get;
mod lone;
mod query;
mod scan;
mod upsert;
mod writers;

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::Result;
use crate::medium::{Medium, Written};
use crate::model::User;
use crate::paired::Rounds;
use crate::report::Line;

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Larder, through its repository.
    Larder,
    /// Larder with a single writer, where [`Larder`](Self::Larder) has sixteen.
    Alone,
    /// Larder that commits each batch where it is made, for itself.
    Ungrouped,
    /// Larder that sends several mutations at a time, where [`Larder`](Self::Larder) sends one.
    Lanes,
    /// Larder that waits for each removal, where [`Larder`](Self::Larder) does not.
    Strict,
    /// redb by hand, with a table for each thing.
    Raw,
    /// redb by hand, with everything in one table.
    OneTable,
    /// SQLite by hand.
    Sqlite,
}

impl Side {
    /// Its name in criterion's output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Larder => "larder",
            Self::Alone => "larder, one writer",
            Self::Ungrouped => "larder, ungrouped",
            Self::Lanes => "larder, lanes",
            Self::Strict => "larder, strict",
            Self::Raw => "raw",
            Self::OneTable => "raw, one table",
            Self::Sqlite => "sqlite",
        }
    }
}

/// What workloads run on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Files are made below this directory: it says which disk is measured.
    pub directory: PathBuf,
    /// How many rows there are before anything is measured.
    pub rows: u64,
    /// How many rows a bulk has.
    pub bulk: u64,
}

impl Setup {
    fn scratch(&self) -> Result<TempDir> {
        Ok(tempfile::tempdir_in(&self.directory)?)
    }

    /// The rows that are there before anything is measured.
    fn users(&self) -> Vec<User> {
        (0..self.rows).map(User::nth).collect()
    }
}

/// A file of a workload, whose blocks are settled.
fn file(scratch: &TempDir, name: &str) -> Medium {
    Medium::settled(scratch.path().join(name))
}

/// How much of it is measured at a time. A slice is short, so that most of them are not interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The fewest operations that make sense.
    pub unit: u64,
    /// The operations of a slice.
    pub slice: u64,
    /// The operations of a slice of a side that does several at a time.
    pub together: u64,
    /// How many rounds are compared.
    pub rounds: usize,
}

impl Plan {
    /// Slices of `slice` operations on every side.
    #[must_use]
    pub fn new(rounds: usize, slice: u64) -> Self {
        Self { unit: 1, slice, together: slice, rounds }
    }

    /// As few operations as make sense, and so many rounds.
    #[must_use]
    pub fn least(self, rounds: usize) -> Self {
        let unit = self.unit;
        Self { unit, slice: unit, together: unit, rounds }
    }

    /// No more than so many rounds.
    #[must_use]
    pub fn at_most(self, rounds: usize) -> Self {
        Self { rounds: self.rounds.min(rounds), ..self }
    }
}

/// Work that several sides can do.
pub trait Workload {
    /// How much is measured at a time.
    fn plan(&self) -> Plan;

    /// Who can do it; the order of the first round.
    fn sides(&self) -> &'static [Side];

    /// Does `ops` operations and gives the time that they took, preparation excluded.
    ///
    /// # Errors
    /// Whatever fails, a wrong answer included.
    fn run(&mut self, side: Side, ops: u64) -> Result<Duration>;

    /// What a side has written so far; `None` if it only reads.
    fn written(&self, side: Side) -> Option<Written>;

    /// What is reported of the rounds.
    fn lines(&self, rounds: &Rounds) -> Vec<Line>;
}

/// Prepares a workload: files, rows, open databases.
pub type Start = fn(&Setup) -> Result<Box<dyn Workload>>;

/// Those that are looked at with many rows as well: what a commit writes depends on how high the tree is.
pub const LARGE: [&str; 5] =
    ["upsert, new row", "upsert, known row", "lone writer", "drain", "drain, 2 ms a POST"];

/// All workloads by name.
pub const ALL: [(&str, Start); 13] = [
    ("get hit", get::hit),
    ("get miss", get::miss),
    ("get miss, cache off", get::uncached),
    ("upsert, new row", upsert::fresh),
    ("upsert, known row", upsert::known),
    ("bulk upsert", bulk::start),
    ("lone writer", lone::start),
    ("16 writers, 3 ms a sync", writers::slow),
    ("16 writers, real disk", writers::real),
    ("indexed query", query::start),
    ("scan", scan::start),
    ("drain", drain::at_once),
    ("drain, 2 ms a POST", drain::slow),
];
