//! A condition on a field that has no index: Larder reads that field of each row, raw decodes each row.

use std::hint::black_box;
use std::time::Duration;

use tempfile::TempDir;

use super::{Plan, Setup, Side, Workload, file};
use crate::Result;
use crate::medium::Written;
use crate::model::User;
use crate::paired::{Rounds, timed};
use crate::raw::Tables;
use crate::report::{Line, Target};
use crate::subject::{Config, Subject};

/// A tenth of the users are younger.
const AGE: u32 = 10;

struct Scan {
    subject: Subject,
    raw: Tables,
    rows: u64,
    found: usize,
    _scratch: TempDir,
}

pub(super) fn start(setup: &Setup) -> Result<Box<dyn Workload>> {
    let scratch = setup.scratch()?;
    let users = setup.users();
    let subject = Subject::filled(file(&scratch, "larder.redb"), &users, Config::default())?;
    let raw = Tables::filled(&file(&scratch, "raw.redb"), &users)?;
    let found = users.iter().filter(|user| user.age < AGE).count();
    Ok(Box::new(Scan { subject, raw, rows: setup.rows, found, _scratch: scratch }))
}

impl Scan {
    fn larder(&self) -> Result<()> {
        let rows = self.subject.runtime.block_on(self.subject.repo.get(User::AGE.lt(AGE)))?;
        self.judge(black_box(rows).len())
    }

    fn raw(&self) -> Result<()> {
        let rows = self.raw.scan(|user| user.age < AGE)?;
        self.judge(black_box(rows).len())
    }

    fn judge(&self, found: usize) -> Result<()> {
        if found == self.found { Ok(()) } else { Err("a scan found other rows".into()) }
    }
}

impl Workload for Scan {
    fn plan(&self) -> Plan {
        Plan::new(61, 1)
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Raw]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        match side {
            Side::Larder => timed(|| (0..ops).try_for_each(|_| self.larder())),
            _ => timed(|| (0..ops).try_for_each(|_| self.raw())),
        }
    }

    fn written(&self, _: Side) -> Option<Written> {
        None
    }

    fn lines(&self, _: &Rounds) -> Vec<Line> {
        let note = format!("{} of {} rows; raw decodes all", self.found, self.rows);
        vec![Line::against(Side::Raw, "scan", Target::AtMost(1.2), note)]
    }
}
