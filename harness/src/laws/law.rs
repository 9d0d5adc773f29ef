//! The laws.

use std::panic::{AssertUnwindSafe, catch_unwind};

use larder_core::conflict::{Outcome, checked, resolve};
use larder_core::{Resolve, Row, Sides, Value};

use super::case::Case;
use crate::oracle::total;
use crate::plain::{Plain, plain, record};

/// What a resolver has to hold to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Law {
    /// It answers, with a row of the model that has the same key and passes the model's own checks.
    Sound,
    /// The same sides have the same outcome, whenever they are asked about.
    Deterministic,
    /// What was changed on one side alone is no conflict: the other side is given way to.
    Unchanged,
    /// The same row of the remote, coming again, changes nothing.
    Idempotent,
    /// A field that one side alone has changed is taken from that side.
    Keeps,
    /// A device that hears of each of the remote's changes comes to the same row as one that hears of the last alone.
    Converges,
    /// In whatever order the changes of three devices arrive, the same row is left.
    OrderFree,
}

impl Law {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sound,
        Self::Deterministic,
        Self::Unchanged,
        Self::Idempotent,
        Self::Keeps,
        Self::Converges,
        Self::OrderFree,
    ];
}

/// What a resolver made of a row.
#[derive(Clone, Debug, PartialEq)]
enum Made {
    Row(Option<Plain>),
    Asks,
}

type Side = Option<Plain>;

struct Asking<'a> {
    case: &'a Case,
    resolver: &'a dyn Resolve,
    conflicts_alone: bool,
}

impl Asking<'_> {
    fn ask(&self, base: &Side, mine: &Side, theirs: &Side) -> Result<Made, String> {
        let records = [base, mine, theirs].map(|side| side.as_deref().map(record));
        let [base_row, mine_row, theirs_row] =
            [0, 1, 2].map(|at| records[at].as_ref().map(|row| row as &dyn Row));
        let sides = Sides { schema: self.case.schema, base: base_row, mine: mine_row, theirs: theirs_row };
        let asked = if self.conflicts_alone {
            resolve(self.resolver, sides)
        } else {
            catch_unwind(AssertUnwindSafe(|| self.resolver.resolve(sides)))
                .map_err(|_| "it panics".to_owned())?
                .and_then(|outcome| checked(&sides, outcome))
        };
        Ok(match asked.map_err(|error| format!("{error}"))? {
            Outcome::Mine => Made::Row(mine.clone()),
            Outcome::Theirs => Made::Row(theirs.clone()),
            Outcome::Row(row) => Made::Row(Some(plain(self.case.schema, &row))),
            Outcome::Delete => Made::Row(None),
            Outcome::Ask => Made::Asks,
        })
    }

    /// The same, of a step that is nothing by itself: `None` if it asks.
    fn row(&self, base: &Side, mine: &Side, theirs: &Side) -> Result<Option<Side>, String> {
        Ok(match self.ask(base, mine, theirs)? {
            Made::Row(row) => Some(row),
            Made::Asks => None,
        })
    }
}

/// True if a store takes them for one value.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    total(a, b).is_eq()
}

fn alike(a: &Side, b: &Side) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.iter().zip(b).all(|(a, b)| same(a, b)),
        (None, None) => true,
        _ => false,
    }
}

impl Case {
    /// Tries the resolver on the case.
    ///
    /// # Errors
    /// What is wrong.
    pub fn holds(&self, resolver: &dyn Resolve, conflicts_alone: bool) -> Result<(), String> {
        let asking = Asking { case: self, resolver, conflicts_alone };
        let (base, mine) = (&self.base, &self.mine);
        let [theirs, ..] = &self.theirs[..] else { return Err("a case has a remote's row".to_owned()) };
        match self.law {
            Law::Sound => asking.ask(base, mine, theirs).map(drop),
            Law::Deterministic => {
                let first = asking.ask(base, mine, theirs)?;
                asking.ask(base, theirs, mine)?;
                let again = asking.ask(base, mine, theirs)?;
                if first == again { Ok(()) } else { Err("the same sides have two outcomes".to_owned()) }
            }
            Law::Unchanged => {
                let told = |made: Made, expected: &Side, why: &str| match made {
                    Made::Row(row) if alike(&row, expected) => Ok(()),
                    Made::Row(_) => Err(why.to_owned()),
                    Made::Asks => Err("it asks where one side alone has changed the row".to_owned()),
                };
                let theirs_alone = asking.ask(base, base, theirs)?;
                told(theirs_alone, theirs, "nothing was changed here, and the remote's row is not taken")?;
                let mine_alone = asking.ask(base, mine, base)?;
                told(mine_alone, mine, "nothing was changed there, and what is wanted here is not taken")
            }
            Law::Idempotent => {
                let Some(made) = asking.row(base, mine, theirs)? else { return Ok(()) };
                match asking.row(theirs, &made, theirs)? {
                    Some(again) if alike(&again, &made) => Ok(()),
                    _ => {
                        Err("the same row of the remote, coming again, changes what was made of it"
                            .to_owned())
                    }
                }
            }
            Law::Keeps => {
                let Some(made) = asking.row(base, mine, theirs)? else { return Ok(()) };
                let (Some(base), Some(mine), Some(theirs)) = (base, mine, theirs) else { return Ok(()) };
                self.keeps(base, mine, theirs, made)
            }
            Law::Converges => self.converges(&asking),
            Law::OrderFree => self.order_free(&asking),
        }
    }

    fn keeps(&self, base: &Plain, mine: &Plain, theirs: &Plain, made: Side) -> Result<(), String> {
        let Some(made) = made else { return Err("a row that nobody has deleted is gone".to_owned()) };
        for (at, field) in self.schema.fields.iter().enumerate() {
            let (here, there) = (!same(&base[at], &mine[at]), !same(&base[at], &theirs[at]));
            let expected = match (here, there) {
                (true, true) => continue,
                (true, false) => &mine[at],
                (false, _) => &theirs[at],
            };
            if !same(&made[at], expected) {
                let who = match (here, there) {
                    (true, _) => "was changed here alone",
                    (_, true) => "was changed there alone",
                    _ => "was changed by nobody",
                };
                return Err(format!("`{}` {who}, and is not kept", field.name));
            }
        }
        Ok(())
    }

    fn converges(&self, asking: &Asking<'_>) -> Result<(), String> {
        let (base, mine) = (&self.base, &self.mine);
        let [first, last] = &self.theirs[..] else { return Err("a history has two rows".to_owned()) };
        let Some(direct) = asking.row(base, mine, last)? else { return Ok(()) };
        let Some(between) = asking.row(base, mine, first)? else { return Ok(()) };
        let Some(step_by_step) = asking.row(first, &between, last)? else { return Ok(()) };
        if alike(&direct, &step_by_step) {
            return Ok(());
        }
        let (direct, step_by_step) = (self.told(&direct), self.told(&step_by_step));
        Err(format!("who hears of the last change alone has {direct}, who hears of both has {step_by_step}"))
    }

    fn order_free(&self, asking: &Asking<'_>) -> Result<(), String> {
        let [b, c] = &self.theirs[..] else { return Err("there are three changes".to_owned()) };
        let edits = [&self.mine, b, c];
        let mut left: Option<(Side, [usize; 3])> = None;
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut server = edits[order[0]].clone();
            for later in &order[1..] {
                let Some(made) = asking.row(&self.base, edits[*later], &server)? else { return Ok(()) };
                server = made;
            }
            match &left {
                Some((before, other)) if !alike(before, &server) => {
                    let (before, server) = (self.told(before), self.told(&server));
                    return Err(format!(
                        "in the order {other:?} {before} is left, in the order {order:?} {server}"
                    ));
                }
                Some(_) => {}
                None => left = Some((server, order)),
            }
        }
        Ok(())
    }

    /// A row as far as it differs from the base.
    fn told(&self, side: &Side) -> String {
        let Some(row) = side else { return "no row".to_owned() };
        let differs =
            |at: usize, value: &Value| self.base.as_ref().is_none_or(|base| !same(&base[at], value));
        let fields = row.iter().enumerate().filter(|(at, value)| differs(*at, value));
        let fields: Vec<String> =
            fields.map(|(at, value)| format!("{}: {value:?}", self.schema.fields[at].name)).collect();
        format!("{{{}}}", fields.join(", "))
    }
}
