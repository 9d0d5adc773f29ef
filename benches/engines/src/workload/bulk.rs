//! Many rows in one transaction, into an empty file, with no, two and eight indexes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder::Model;
use larder_benches::Side;
use larder_benches::paired::timed;
use larder_benches::workload::Plan;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Contest, Setup};
use crate::Result;
use crate::larder::{Larder, runtime};
use crate::model::{Bare, Full, User};
use crate::raw::Raw;
use crate::report::{Aim, Line};
use crate::sqlite::Sqlite;
use crate::stock::Files;

/// `M` has the indexes that the others are told to make.
struct Bulk<M> {
    models: Vec<M>,
    users: Vec<User>,
    indexes: usize,
    files: Files,
    runtime: Arc<Runtime>,
    line: Line,
    _scratch: TempDir,
}

impl<M: Model + Clone> Bulk<M> {
    fn start(name: &str, setup: &Setup, nth: fn(u64) -> M) -> Result<Box<dyn Contest>> {
        let scratch = tempfile::tempdir_in(&setup.directory)?;
        Ok(Box::new(Self {
            models: (0..setup.rows).map(nth).collect(),
            users: (0..setup.rows).map(User::nth).collect(),
            indexes: M::schema().indexes.len(),
            files: Files::below(scratch.path()),
            runtime: runtime()?,
            line: Line::new(name, setup.rows, Aim::NONE, "one transaction into an empty file"),
            _scratch: scratch,
        }))
    }

    fn larder(&self, file: &Path) -> Result<Duration> {
        let larder = Larder::open::<M>(file, &self.runtime)?;
        timed(|| larder.fill(&self.models))
    }

    fn raw(&self, file: &Path) -> Result<Duration> {
        let raw = Raw::open(file)?;
        timed(|| raw.fill(&self.users, self.indexes))
    }

    fn sqlite(&self, file: &Path) -> Result<Duration> {
        let sqlite = Sqlite::open(file)?;
        sqlite.create(self.indexes)?;
        timed(|| sqlite.fill(&self.users))
    }
}

impl<M: Model + Clone> Contest for Bulk<M> {
    fn plan(&self) -> Plan {
        Plan::new(if self.users.len() > 20_000 { 5 } else { 15 }, 1)
    }

    fn agree(&self) -> Result<()> {
        // What they hold afterwards, the reading workloads compare.
        Ok(())
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        (0..ops)
            .map(|_| {
                let took = match side {
                    Side::Larder => self.larder(&self.files.larder),
                    Side::Raw => self.raw(&self.files.raw),
                    _ => self.sqlite(&self.files.sqlite),
                }?;
                self.files.remove()?;
                Ok(took)
            })
            .sum()
    }

    fn line(&self) -> Line {
        self.line.clone()
    }
}

pub(super) type Start = fn(&str, &Setup) -> Result<Box<dyn Contest>>;

pub(super) const ALL: [(&str, Start); 3] = [
    ("bulk insert, no index", |name, setup| Bulk::start(name, setup, Bare::nth)),
    ("bulk insert, 2 indexes", |name, setup| Bulk::start(name, setup, User::nth)),
    ("bulk insert, 8 indexes", |name, setup| Bulk::start(name, setup, Full::nth)),
];
