//! Point gets: from the memory cache, past it, and without one.

use std::hint::black_box;
use std::time::Duration;

use larder::{Builder, Uuid};
use tempfile::TempDir;

use super::{Plan, Setup, Side, Workload, file};
use crate::Result;
use crate::medium::Written;
use crate::model::{User, id, shuffled};
use crate::paired::{Rounds, timed};
use crate::raw::Tables;
use crate::report::{Line, Target};
use crate::subject::{Config, Subject};

/// How many rows are asked for again and again where the cache has them.
const HOT: usize = 1000;

/// The cache of a repository that has none of the rows that it is asked for: they come in turn, and are many more.
const SMALL: usize = 64 << 10;

struct Get {
    subject: Subject,
    raw: Tables,
    keys: Vec<Uuid>,
    /// Where each side goes on.
    at: [usize; 2],
    slice: u64,
    line: Line,
    _scratch: TempDir,
}

fn start(setup: &Setup, cache: usize, slice: u64, line: Line) -> Result<Get> {
    let scratch = setup.scratch()?;
    let config = Config { cache, ..Config::default() };
    let users = setup.users();
    let subject = Subject::filled(file(&scratch, "larder.redb"), &users, config)?;
    let raw = Tables::filled(&file(&scratch, "raw.redb"), &users)?;
    let keys = shuffled(setup.rows).into_iter().map(id).collect();
    Ok(Get { subject, raw, keys, at: [0; 2], slice, line, _scratch: scratch })
}

/// Rows that are in the cache.
pub(super) fn hit(setup: &Setup) -> Result<Box<dyn Workload>> {
    let line = Line::against(Side::Raw, "get hit", Target::AtMost(0.3), format!("{HOT} hot rows"));
    let mut get = start(setup, Builder::CACHE_SIZE, 1024, line)?;
    get.keys.truncate(HOT);
    get.larder(&get.keys)?;
    Ok(Box::new(get))
}

/// Rows that are not in the cache, and enter it.
pub(super) fn miss(setup: &Setup) -> Result<Box<dyn Workload>> {
    let line = Line::against(Side::Raw, "get miss", Target::AtMost(1.5), "the row enters the cache");
    Ok(Box::new(start(setup, SMALL, 256, line)?))
}

/// Rows of a repository without a cache.
pub(super) fn uncached(setup: &Setup) -> Result<Box<dyn Workload>> {
    let line = Line::against(Side::Raw, "get miss, cache off", Target::AtMost(1.5), "");
    Ok(Box::new(start(setup, 0, 256, line)?))
}

impl Get {
    fn next(&mut self, side: Side, ops: u64) -> Vec<Uuid> {
        let at = &mut self.at[usize::from(side == Side::Raw)];
        let keys = self.keys.iter().cycle().skip(*at).take(ops as usize).copied().collect();
        *at = (*at + ops as usize) % self.keys.len();
        keys
    }

    fn larder(&self, keys: &[Uuid]) -> Result<()> {
        self.subject.runtime.block_on(async {
            for key in keys {
                let user = self.subject.repo.find::<User>(*key).await?;
                black_box(user.ok_or("a row is missing")?);
            }
            Ok(())
        })
    }

    fn raw(&self, keys: &[Uuid]) -> Result<()> {
        for key in keys {
            black_box(self.raw.find(*key)?.ok_or("a row is missing")?);
        }
        Ok(())
    }
}

impl Workload for Get {
    fn plan(&self) -> Plan {
        Plan::new(301, self.slice)
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Raw]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let keys = self.next(side, ops);
        match side {
            Side::Larder => timed(|| self.larder(&keys)),
            _ => timed(|| self.raw(&keys)),
        }
    }

    fn written(&self, _: Side) -> Option<Written> {
        None
    }

    fn lines(&self, _: &Rounds) -> Vec<Line> {
        vec![self.line.clone()]
    }
}
