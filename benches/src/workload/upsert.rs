//! A single durable upsert together with its outbox entry: a commit for each.

use std::time::Duration;

use larder::Builder;
use tempfile::TempDir;

use super::{Plan, Setup, Side, Workload, file};
use crate::Result;
use crate::medium::Written;
use crate::model::{User, shuffled};
use crate::paired::{Rounds, timed};
use crate::raw::{OneTable, Tables};
use crate::report::{Line, Target};
use crate::subject::{Config, Subject};

struct Upsert {
    subject: Subject,
    tables: Tables,
    one: OneTable,
    /// The rows to be edited, in their order; none: each row is a new one.
    known: Vec<u64>,
    rows: u64,
    /// How many each side has stored.
    done: [u64; 3],
    _scratch: TempDir,
}

fn start(setup: &Setup, known: Vec<u64>) -> Result<Box<dyn Workload>> {
    let scratch = setup.scratch()?;
    let users = setup.users();
    let config = Config { cache: Builder::CACHE_SIZE, remote: true, inline: false };
    let subject = Subject::filled(file(&scratch, "larder.redb"), &users, config)?;
    let tables = Tables::filled(&file(&scratch, "tables.redb"), &users)?;
    let one = OneTable::filled(&file(&scratch, "one.redb"), &users)?;
    let rows = setup.rows;
    Ok(Box::new(Upsert { subject, tables, one, known, rows, done: [0; 3], _scratch: scratch }))
}

/// Rows that are not there yet.
pub(super) fn fresh(setup: &Setup) -> Result<Box<dyn Workload>> {
    start(setup, Vec::new())
}

/// Rows that are there: three fields change, one of them indexed, and the entry has the row before as its base.
pub(super) fn known(setup: &Setup) -> Result<Box<dyn Workload>> {
    start(setup, shuffled(setup.rows))
}

impl Upsert {
    fn next(&mut self, side: Side, ops: u64) -> Vec<User> {
        let done = &mut self.done[match side {
            Side::Larder | Side::Alone => 0,
            Side::Raw => 1,
            _ => 2,
        }];
        let numbers = *done..*done + ops;
        *done += ops;
        let user = |n: u64| match self.known.len() {
            0 => User::nth(self.rows + n),
            known => User::nth(self.known[n as usize % known]).edited(n),
        };
        numbers.map(user).collect()
    }
}

impl Workload for Upsert {
    fn plan(&self) -> Plan {
        Plan::new(151, 4)
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Raw, Side::OneTable]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let users = self.next(side, ops);
        match side {
            Side::Larder | Side::Alone => timed(|| self.subject.write(&users)),
            Side::Raw => timed(|| self.tables.write(&users)),
            _ => timed(|| self.one.write(&users)),
        }
    }

    fn written(&self, side: Side) -> Option<Written> {
        Some(Written::of(match side {
            Side::Larder | Side::Alone => &self.subject.counts,
            Side::Raw => &self.tables.counts,
            _ => &self.one.counts,
        }))
    }

    fn lines(&self, rounds: &Rounds) -> Vec<Line> {
        let name = if self.known.is_empty() { "upsert, new row" } else { "upsert, known row" };
        let beside = format!("{name}, against one table");
        let raw = rounds.written(Side::Raw).zip(rounds.written(Side::Larder));
        let of_raw = raw.map_or(f64::NAN, |(raw, larder)| larder.pages / raw.pages);
        let tables = format!("raw has 5 tables: rows, 3 indexes, outbox; {of_raw:.2} of its pages");
        let most = Some(Written { syncs: 1.0, pages: 17.0, bytes: 66_000.0 });
        vec![
            Line { most, ..Line::against(Side::Raw, name, Target::AtMost(1.3), tables) },
            Line::against(Side::OneTable, &beside, Target::None, "raw has Larder's layout"),
        ]
    }
}
