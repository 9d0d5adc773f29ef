//! Sixteen tasks that write at the same time, each waiting for its row to be durable, against one.

use std::time::Duration;

use larder::Builder;
use tempfile::TempDir;

use super::{Plan, Setup, Side, Workload, file};
use crate::Result;
use crate::medium::Written;
use crate::model::User;
use crate::paired::{Rounds, timed};
use crate::raw::Tables;
use crate::report::{Line, Target};
use crate::subject::{Config, Subject};

const WRITERS: usize = 16;

struct Writers {
    many: Subject,
    alone: Subject,
    raw: Tables,
    rows: u64,
    /// How many each side has stored.
    done: [u64; 3],
    plan: Plan,
    name: &'static str,
    least: f64,
    slow: bool,
    _scratch: TempDir,
}

fn start(
    setup: &Setup,
    pause: Duration,
    plan: Plan,
    name: &'static str,
    least: f64,
) -> Result<Box<dyn Workload>> {
    let scratch = setup.scratch()?;
    let users = setup.users();
    let file = |name: &str| file(&scratch, name).pause(pause);
    let config = Config { cache: Builder::CACHE_SIZE, remote: true, inline: false };
    let many = Subject::filled(file("many.redb"), &users, config)?;
    let alone = Subject::filled(file("alone.redb"), &users, config)?;
    let raw = Tables::filled(&file("raw.redb"), &users)?;
    let (rows, done) = (setup.rows, [0; 3]);
    let slow = !pause.is_zero();
    Ok(Box::new(Writers { many, alone, raw, rows, done, plan, name, least, slow, _scratch: scratch }))
}

/// On a disk whose syncs take three milliseconds more.
pub(super) fn slow(setup: &Setup) -> Result<Box<dyn Workload>> {
    let plan = plan(21, 16);
    start(setup, Duration::from_millis(3), plan, "16 writers, 3 ms a sync", 8.0)
}

/// On the disk that there is.
pub(super) fn real(setup: &Setup) -> Result<Box<dyn Workload>> {
    start(setup, Duration::ZERO, plan(61, 32), "16 writers, real disk", 2.5)
}

/// Sixteen writers do ten times as much in a slice as one: it takes about as long.
fn plan(rounds: usize, slice: u64) -> Plan {
    Plan { unit: WRITERS as u64, slice, together: 10 * slice, rounds }
}

impl Writers {
    fn next(&mut self, side: Side, ops: u64) -> Vec<User> {
        let done = &mut self.done[match side {
            Side::Larder => 0,
            Side::Alone => 1,
            _ => 2,
        }];
        let numbers = self.rows + *done..self.rows + *done + ops;
        *done += ops;
        numbers.map(User::nth).collect()
    }
}

impl Workload for Writers {
    fn plan(&self) -> Plan {
        self.plan
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Alone, Side::Raw]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let users = self.next(side, ops);
        match side {
            Side::Larder => timed(|| self.many.write_together(&users, WRITERS)),
            Side::Alone => timed(|| self.alone.write_together(&users, 1)),
            _ => timed(|| self.raw.write(&users)),
        }
    }

    fn written(&self, side: Side) -> Option<Written> {
        Some(Written::of(match side {
            Side::Larder => &self.many.counts,
            Side::Alone => &self.alone.counts,
            _ => &self.raw.counts,
        }))
    }

    fn lines(&self, rounds: &Rounds) -> Vec<Line> {
        let each = rounds.written(Side::Larder).map_or(0.0, |written| 1.0 / written.syncs);
        let alone = rounds.time(Side::Alone) / 1e3;
        let note = format!(
            "ratio: to one Larder writer, {alone:.0} µs; {each:.1} mutations a sync; raw: one writer"
        );
        vec![Line {
            name: self.name.to_owned(),
            larder: Side::Larder,
            raw: Side::Raw,
            ratio: (Side::Alone, Side::Larder),
            target: Target::AtLeast(self.least),
            // A dozen mutations a commit, where the disk gives them time to come together.
            most: self.slow.then_some(Written { syncs: 1.0 / 12.0, ..Written::ANY }),
            note,
        }]
    }
}
