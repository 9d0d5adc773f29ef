//! Opening a file that was closed in order, and the first query.

use std::sync::Arc;
use std::time::Duration;

use larder_benches::Side;
use larder_benches::model::{CITIES, city};
use larder_benches::paired::timed;
use larder_benches::workload::Plan;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::bulk::Start;
use super::{Contest, Setup};
use crate::Result;
use crate::engine::Engine;
use crate::larder::{Larder, runtime};
use crate::model::User;
use crate::raw::Raw;
use crate::report::{Aim, Line};
use crate::sqlite::Sqlite;
use crate::stock::{Files, fill};

pub(super) const ALL: [(&str, Start); 1] = [("open and first query", Opening::start)];

struct Opening {
    files: Files,
    runtime: Arc<Runtime>,
    line: Line,
    _scratch: TempDir,
}

impl Opening {
    fn start(name: &str, setup: &Setup) -> Result<Box<dyn Contest>> {
        let scratch = tempfile::tempdir_in(&setup.directory)?;
        let (files, runtime) = (Files::below(scratch.path()), runtime()?);
        fill(&files, setup.rows, &runtime)?;
        let line = Line::new(name, setup.rows, Aim::SQLITE, format!("{} rows by index", setup.rows / CITIES));
        Ok(Box::new(Self { files, runtime, line, _scratch: scratch }))
    }

    fn once(&self, side: Side) -> Result<Duration> {
        let city = city(7);
        match side {
            Side::Larder => first(|| Larder::open::<User>(&self.files.larder, &self.runtime), &city),
            Side::Raw => first(|| Raw::open(&self.files.raw), &city),
            _ => first(|| Sqlite::open(&self.files.sqlite), &city),
        }
    }
}

/// The time from the opening to the first answer; closing is not part of it.
fn first<E: Engine>(open: impl FnOnce() -> Result<E>, city: &str) -> Result<Duration> {
    let mut opened = None;
    let took = timed(|| {
        let engine = opened.insert(open()?);
        std::hint::black_box(engine.in_city(city)?.len());
        Ok(())
    })?;
    drop(opened);
    Ok(took)
}

impl Contest for Opening {
    fn plan(&self) -> Plan {
        Plan::new(41, 1)
    }

    fn agree(&self) -> Result<()> {
        let (larder, city) = (Larder::open::<User>(&self.files.larder, &self.runtime)?, city(7));
        let larder = larder.in_city(&city)?.len();
        if larder == Raw::open(&self.files.raw)?.in_city(&city)?.len()
            && larder == Sqlite::open(&self.files.sqlite)?.in_city(&city)?.len()
        {
            return Ok(());
        }
        Err("the engines answer otherwise".into())
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        (0..ops).map(|_| self.once(side)).sum()
    }

    fn line(&self) -> Line {
        self.line.clone()
    }
}
