//! Rows that belong to others, loaded with them.

use std::hint::black_box;
use std::time::Duration;

use larder::Uuid;
use larder_benches::Side;
use larder_benches::model::mix;
use larder_benches::paired::timed;
use larder_benches::workload::Plan;
use tempfile::TempDir;

use super::bulk::Start;
use super::{Contest, SIDES, Setup};
use crate::Result;
use crate::larder::runtime;
use crate::report::{Aim, Line};
use crate::shop::{CUSTOMERS, Customer, Larder, Order, Raw, Shop, Sqlite, customer_id, order_id};
use crate::stock::Files;

pub(super) const ALL: [(&str, Start); 3] = [
    ("to-one, 1,000 parents", |name, setup| Loading::start(name, setup, Load::One { kept: true })),
    ("to-one, no row in memory", |name, setup| Loading::start(name, setup, Load::One { kept: false })),
    ("to-many, 1,000 parents", |name, setup| Loading::start(name, setup, Load::Many)),
];

/// What is loaded.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    /// Orders, each with its customer. The repository keeps rows in memory as it does unless told otherwise, or none.
    One { kept: bool },
    /// Customers, each with its orders: none of these are kept.
    Many,
}

/// How many rows are asked for, each with what belongs to it.
const PARENTS: u64 = 1000;

struct Loading {
    larder: Larder,
    raw: Raw,
    sqlite: Sqlite,
    load: Load,
    /// How many rows there are of those that are asked for.
    parents: u64,
    /// Where each side goes on.
    at: [u64; 3],
    line: Line,
    _scratch: TempDir,
}

impl Loading {
    fn start(name: &str, setup: &Setup, load: Load) -> Result<Box<dyn Contest>> {
        let scratch = tempfile::tempdir_in(&setup.directory)?;
        let files = Files::below(scratch.path());
        let count = (setup.rows / CUSTOMERS).max(1);
        let customers: Vec<_> = (0..count).map(Customer::nth).collect();
        let orders: Vec<_> = (0..setup.rows).map(|n| Order::nth(n, count)).collect();
        let larder = Larder::open(&files.larder, &runtime()?, load == Load::One { kept: true })?;
        let (raw, sqlite) = (Raw::open(&files.raw)?, Sqlite::open(&files.sqlite)?);
        larder.fill(&customers, &orders)?;
        raw.fill(&customers, &orders)?;
        sqlite.fill(&customers, &orders)?;
        let (parents, aim, note) = match load {
            Load::One { kept: true } => {
                (setup.rows, Aim::SQLITE, "up to 12 MiB of rows in memory, as shipped")
            }
            Load::One { kept: false } => (setup.rows, Aim::NONE, "for comparison"),
            Load::Many => (count, Aim::SQLITE, "each customer's orders"),
        };
        let note = format!("{} orders, {count} customers; {note}", setup.rows);
        let line = Line::new(name, setup.rows, aim, note);
        Ok(Box::new(Self { larder, raw, sqlite, load, parents, at: [0; 3], line, _scratch: scratch }))
    }

    /// A key that so many rows follow, if there are so many.
    fn from(&self, nth: u64) -> Uuid {
        let at = mix(nth) % self.parents.saturating_sub(PARENTS).max(1);
        if self.load == Load::Many { customer_id(at) } else { order_id(at) }
    }

    /// Asks a shop, and gives how many rows belong to others.
    fn ask(&self, shop: &impl Shop, nth: u64, show: &mut dyn FnMut(&Customer, &Order)) -> Result<()> {
        let from = self.from(nth);
        if self.load == Load::Many {
            shop.accounts(from, PARENTS, show)
        } else {
            shop.sales(from, PARENTS, &mut |order, customer| show(customer, order))
        }
    }

    /// Key, name and key of each pair.
    fn pairs(&self, shop: &impl Shop) -> Result<Vec<(Customer, Order)>> {
        let mut pairs = Vec::new();
        self.ask(shop, 0, &mut |customer, order| {
            let bare = Customer { orders: larder::Many::new(), ..customer.clone() };
            pairs.push((bare, order.clone()));
        })?;
        Ok(pairs)
    }

    fn time(&self, shop: &impl Shop, from: u64, ops: u64) -> Result<Duration> {
        timed(|| {
            for nth in from..from + ops {
                self.ask(shop, nth, &mut |customer, order| {
                    black_box((customer, order));
                })?;
            }
            Ok(())
        })
    }
}

impl Contest for Loading {
    fn plan(&self) -> Plan {
        Plan::new(81, 1)
    }

    fn agree(&self) -> Result<()> {
        let pairs = self.pairs(&self.larder)?;
        if pairs.is_empty() || pairs != self.pairs(&self.raw)? || pairs != self.pairs(&self.sqlite)? {
            return Err(format!("{}: the engines answer otherwise", self.line.name).into());
        }
        Ok(())
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let at = SIDES.iter().position(|one| *one == side).unwrap_or_default();
        let from = self.at[at];
        self.at[at] += ops;
        match side {
            Side::Larder => self.time(&self.larder, from, ops),
            Side::Raw => self.time(&self.raw, from, ops),
            _ => self.time(&self.sqlite, from, ops),
        }
    }

    fn line(&self) -> Line {
        self.line.clone()
    }
}
