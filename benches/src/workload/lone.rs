//! What it costs a lone writer that others could share its commits: Larder's store as it is, and the same store on a runtime
//! that commits each batch where it is made.

use std::time::Duration;

use larder::Builder;
use tempfile::TempDir;

use super::{Plan, Setup, Side, Workload, file};
use crate::Result;
use crate::medium::Written;
use crate::model::{User, shuffled};
use crate::paired::{Rounds, timed};
use crate::report::{Line, Target};
use crate::subject::{Config, Subject};

struct Lone {
    grouped: Subject,
    ungrouped: Subject,
    order: Vec<u64>,
    /// How many each side has edited.
    done: [u64; 2],
    _scratch: TempDir,
}

pub(super) fn start(setup: &Setup) -> Result<Box<dyn Workload>> {
    let (scratch, users) = (setup.scratch()?, setup.users());
    let subject = |name: &str, inline: bool| {
        Subject::filled(
            file(&scratch, name),
            &users,
            Config { cache: Builder::CACHE_SIZE, remote: true, inline },
        )
    };
    let (grouped, ungrouped) = (subject("grouped.redb", false)?, subject("ungrouped.redb", true)?);
    let order = shuffled(setup.rows);
    Ok(Box::new(Lone { grouped, ungrouped, order, done: [0; 2], _scratch: scratch }))
}

impl Lone {
    fn subject(&self, side: Side) -> &Subject {
        if side == Side::Ungrouped { &self.ungrouped } else { &self.grouped }
    }
}

impl Workload for Lone {
    fn plan(&self) -> Plan {
        Plan::new(151, 4)
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Ungrouped]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let done = &mut self.done[usize::from(side == Side::Ungrouped)];
        let numbers = *done..*done + ops;
        *done += ops;
        let known = self.order.len();
        let users: Vec<User> = numbers.map(|n| User::nth(self.order[n as usize % known]).edited(n)).collect();
        timed(|| self.subject(side).write(&users))
    }

    fn written(&self, side: Side) -> Option<Written> {
        Some(Written::of(&self.subject(side).counts))
    }

    fn lines(&self, _: &Rounds) -> Vec<Line> {
        let note = "one task edits rows; raw: the same batches through the same store, each committed on the calling thread";
        vec![Line::against(Side::Ungrouped, "lone writer, against ungrouped", Target::AtMost(1.15), note)]
    }
}
