//! The workloads: what is asked, and what is asked of the result.

mod bulk;
mod open;
mod read;
mod shop;
mod size;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use larder_benches::Side;
use larder_benches::paired::{Rounds, alternate};
use larder_benches::workload::Plan;
use serde_json::Value;

use crate::Result;
use crate::report::Line;
use crate::stock::Stock;

/// All of them, in the order of a round.
pub const SIDES: [Side; 3] = [Side::Larder, Side::Raw, Side::Sqlite];

/// What workloads run on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Files are made below this directory: it says which disk is measured.
    pub directory: PathBuf,
    /// How many rows there are.
    pub rows: u64,
    /// How much is measured, beside what a workload plans.
    pub effort: Effort,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// What the workloads plan.
    Whole,
    /// A first look.
    Quick,
    /// Whether it runs.
    Smoke,
}

impl Effort {
    /// The plan for so much effort.
    #[must_use]
    pub fn of(self, plan: Plan) -> Plan {
        match self {
            Self::Whole => plan,
            Self::Quick => plan.at_most((plan.rounds / 6).max(3)),
            Self::Smoke => plan.least(1),
        }
    }
}

/// Work that the three engines do in turn.
pub trait Contest {
    /// How much is measured at a time.
    fn plan(&self) -> Plan;

    /// Asks all engines the same and compares what they answer.
    ///
    /// # Errors
    /// Whatever fails, and an answer that differs.
    fn agree(&self) -> Result<()>;

    /// Does `ops` operations and gives the time that they took, preparation excluded.
    ///
    /// # Errors
    /// Whatever fails, a wrong answer included.
    fn run(&mut self, side: Side, ops: u64) -> Result<Duration>;

    /// What is reported.
    fn line(&self) -> Line;
}

/// Adapts a contest to [`alternate`].
struct Sides<'c>(&'c mut dyn Contest);

impl larder_benches::Workload for Sides<'_> {
    fn plan(&self) -> Plan {
        self.0.plan()
    }

    fn sides(&self) -> &'static [Side] {
        &SIDES
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        self.0.run(side, ops)
    }

    fn written(&self, _: Side) -> Option<larder_benches::medium::Written> {
        None
    }

    fn lines(&self, _: &Rounds) -> Vec<larder_benches::report::Line> {
        Vec::new()
    }
}

/// Holds a contest.
///
/// # Errors
/// Whatever fails.
pub fn hold(contest: &mut dyn Contest, effort: Effort) -> Result<(Line, Value)> {
    contest.agree()?;
    let plan = effort.of(contest.plan());
    let rounds = alternate(&mut Sides(contest), plan)?;
    let line = contest.line();
    let json = line.times(&rounds);
    Ok((line, json))
}

/// Does `ops` operations of the workload of that name on one side alone: for those who count instructions. What reads
/// takes files of `stock`.
///
/// # Errors
/// Whatever fails; a name that no workload has.
pub fn alone(
    name: &str,
    setup: &Setup,
    stock: impl FnOnce() -> Result<Stock>,
    side: Side,
    ops: u64,
) -> Result<()> {
    if let Some((_, start)) = read::ALL.into_iter().find(|(one, _)| *one == name) {
        start(name, Rc::new(stock()?)).run(side, ops)?;
        return Ok(());
    }
    let others = shop::ALL.into_iter().chain(bulk::ALL).chain(open::ALL);
    let (_, start) = others.into_iter().find(|(one, _)| *one == name).ok_or("there is no such workload")?;
    start(name, setup)?.run(side, ops)?;
    Ok(())
}

/// Runs the workloads whose names contain `filter`, and gives each line to `report` as soon as it is there.
///
/// # Errors
/// Whatever fails.
pub fn run(
    setup: &Setup,
    filter: Option<&str>,
    report: &mut dyn FnMut(&Line, &Value) -> Result<()>,
) -> Result<()> {
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let mut stock: Option<Rc<Stock>> = None;
    for (name, start) in read::ALL.into_iter().filter(|(name, _)| wanted(name)) {
        let stock = match &stock {
            Some(stock) => Rc::clone(stock),
            None => Rc::clone(stock.insert(Rc::new(Stock::filled(&setup.directory, setup.rows)?))),
        };
        let (line, json) = hold(&mut *start(name, stock), setup.effort)?;
        report(&line, &json)?;
    }
    drop(stock);
    let others = shop::ALL.into_iter().chain(bulk::ALL).chain(open::ALL);
    for (name, start) in others.filter(|(name, _)| wanted(name)) {
        let (line, json) = hold(&mut *start(name, setup)?, setup.effort)?;
        report(&line, &json)?;
    }
    if wanted(size::NAME) {
        let (line, json) = size::measure(setup)?;
        report(&line, &json)?;
    }
    Ok(())
}
