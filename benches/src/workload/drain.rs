//! Sending what is queued: a POST over loopback for each entry, and its durable removal together with the row that is
//! synced by it.

use std::time::Duration;

use larder::OutboxSettings;
use larder_redb::backend::Counts;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Plan, Setup, Side, Workload, file};
use crate::Result;
use crate::medium::Written;
use crate::model::{User, shuffled};
use crate::paired::{Rounds, timed};
use crate::raw::Tables;
use crate::remote::{Client, serve};
use crate::report::{Line, Target};
use crate::subject::Subject;

struct Drain {
    /// By side: in one order, in lanes, strictly in one order.
    subjects: [Subject; 3],
    raw: Tables,
    /// Raw redb's end of the line, and where it waits for answers.
    client: Client,
    runtime: Runtime,
    order: Vec<u64>,
    /// How many each side has sent.
    done: [u64; 4],
    /// What each side has written while it sent.
    written: [Written; 4],
    /// How long the server takes to answer.
    takes: Duration,
    plan: Plan,
    _scratch: TempDir,
}

/// With a server that answers at once: what the client's own part takes.
pub(super) fn at_once(setup: &Setup) -> Result<Box<dyn Workload>> {
    start(setup, Duration::ZERO, Plan { unit: 16, ..Plan::new(41, 256) })
}

/// With a server that takes two milliseconds to answer.
pub(super) fn slow(setup: &Setup) -> Result<Box<dyn Workload>> {
    start(setup, Duration::from_millis(2), Plan { unit: 16, ..Plan::new(15, 64) })
}

fn start(setup: &Setup, takes: Duration, plan: Plan) -> Result<Box<dyn Workload>> {
    let (scratch, users, address) = (setup.scratch()?, setup.users(), serve(takes)?);
    let subject = |name: &str, settings: OutboxSettings| {
        Subject::sending(file(&scratch, name), &users, Client::to(address), settings)
    };
    let subjects = [
        subject("order.redb", OutboxSettings::new().serial())?,
        subject("lanes.redb", OutboxSettings::new())?,
        subject("strict.redb", OutboxSettings::new().serial().strict())?,
    ];
    let raw = Tables::filled(&file(&scratch, "raw.redb"), &users)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_io().build()?;
    let (client, order) = (Client::to(address), shuffled(setup.rows));
    let (done, written) = ([0; 4], <[Written; 4]>::default());
    Ok(Box::new(Drain {
        subjects,
        raw,
        client,
        runtime,
        order,
        done,
        written,
        takes,
        plan,
        _scratch: scratch,
    }))
}

fn index(side: Side) -> usize {
    match side {
        Side::Larder => 0,
        Side::Lanes => 1,
        Side::Strict => 2,
        _ => 3,
    }
}

impl Drain {
    fn counts(&self, side: Side) -> &Counts {
        self.subjects.get(index(side)).map_or(&self.raw.counts, |subject| &subject.counts)
    }

    /// Sends all that is queued.
    fn drain(&self, side: Side) -> Result<()> {
        let Some(subject) = self.subjects.get(index(side)) else {
            return self.runtime.block_on(self.raw.drain(&self.client));
        };
        subject.repo.outbox().resume();
        let status = subject.runtime.block_on(subject.repo.outbox().settled());
        if status.is_settled() { Ok(()) } else { Err(format!("something is left: {status:?}").into()) }
    }
}

impl Workload for Drain {
    fn plan(&self) -> Plan {
        self.plan
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Lanes, Side::Strict, Side::Raw]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let done = &mut self.done[index(side)];
        let numbers = *done..*done + ops;
        *done += ops;
        let known = self.order.len();
        let users: Vec<User> = numbers.map(|n| User::nth(self.order[n as usize % known]).edited(n)).collect();
        if side == Side::Raw {
            self.raw.queue(&users)?;
        } else {
            let subject = &self.subjects[index(side)];
            subject.repo.outbox().pause();
            subject.fill(&users)?;
        }
        let before = Written::of(self.counts(side));
        let took = timed(|| self.drain(side))?;
        let after = Written::of(self.counts(side));
        self.written[index(side)].add(before, after);
        Ok(took)
    }

    fn written(&self, side: Side) -> Option<Written> {
        Some(self.written[index(side)])
    }

    fn lines(&self, rounds: &Rounds) -> Vec<Line> {
        let line = |larder: Side, name: &str, target: Target, note: &str| Line {
            name: name.to_owned(),
            larder,
            raw: Side::Raw,
            ratio: (larder, Side::Raw),
            target,
            most: None,
            note: note.to_owned(),
        };
        let lanes = rounds.ratio(Side::Lanes, Side::Larder)[1];
        let lanes = format!("{lanes:.2} of the time in one order");
        if !self.takes.is_zero() {
            // Here the waiting decides, and that is the same for all that send one at a time.
            return vec![
                line(Side::Larder, "drain, 2 ms a POST, one order", Target::None, ""),
                line(Side::Strict, "drain, 2 ms a POST, one order, strict", Target::None, ""),
                line(Side::Lanes, "drain, 2 ms a POST, 8 lanes", Target::AtMost(0.35), &lanes),
            ];
        }
        vec![
            line(
                Side::Larder,
                "drain, one order",
                Target::AtMost(0.35),
                "raw: a POST and its durable removal, one after the other",
            ),
            line(
                Side::Strict,
                "drain, one order, strict",
                Target::AtMost(1.15),
                "each removal is durable before the next POST",
            ),
            line(Side::Lanes, "drain, 8 lanes", Target::AtMost(0.35), &lanes),
        ]
    }
}
