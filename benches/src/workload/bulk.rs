//! Many rows in one transaction, into an empty database.

use std::time::Duration;

use larder::Builder;
use tempfile::TempDir;

use super::{Plan, Setup, Side, Workload};
use crate::Result;
use crate::medium::{Medium, Written};
use crate::model::User;
use crate::paired::{Rounds, timed};
use crate::raw::{OneTable, Tables};
use crate::report::{Line, Target};
use crate::subject::{Config, Subject};

struct Bulk {
    users: Vec<User>,
    written: [Written; 3],
    scratch: TempDir,
}

pub(super) fn start(setup: &Setup) -> Result<Box<dyn Workload>> {
    let users = (0..setup.bulk).map(User::nth).collect();
    Ok(Box::new(Bulk { users, written: <[Written; 3]>::default(), scratch: setup.scratch()? }))
}

fn index(side: Side) -> usize {
    match side {
        Side::Larder | Side::Alone => 0,
        Side::Raw => 1,
        _ => 2,
    }
}

impl Bulk {
    /// Fills a new database.
    fn fill(&mut self, side: Side) -> Result<Duration> {
        let medium = Medium::plain(self.scratch.path().join("bulk.redb"));
        let users = &self.users;
        let (took, before, after) = match side {
            Side::Larder | Side::Alone => {
                let config = Config { cache: Builder::CACHE_SIZE, ..Config::default() };
                let subject = Subject::open(medium.clone(), config)?;
                let before = Written::of(&subject.counts);
                (timed(|| subject.fill(users))?, before, Written::of(&subject.counts))
            }
            Side::Raw => {
                let tables = Tables::open(&medium)?;
                let before = Written::of(&tables.counts);
                (timed(|| tables.fill(users))?, before, Written::of(&tables.counts))
            }
            _ => {
                let one = OneTable::open(&medium)?;
                let before = Written::of(&one.counts);
                (timed(|| one.fill(users))?, before, Written::of(&one.counts))
            }
        };
        self.written[index(side)].add(before, after);
        std::fs::remove_file(medium.path)?;
        Ok(took)
    }
}

impl Workload for Bulk {
    fn plan(&self) -> Plan {
        Plan::new(21, 1)
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Raw, Side::OneTable]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        (0..ops).map(|_| self.fill(side)).sum()
    }

    fn written(&self, side: Side) -> Option<Written> {
        Some(self.written[index(side)])
    }

    fn lines(&self, _: &Rounds) -> Vec<Line> {
        let note = format!("{} rows into an empty file, no outbox", self.users.len());
        vec![
            Line::against(Side::Raw, "bulk upsert", Target::None, &note),
            Line::against(Side::OneTable, "bulk upsert, against one table", Target::None, note),
        ]
    }
}
