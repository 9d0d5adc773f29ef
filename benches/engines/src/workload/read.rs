//! Reading what all three have: each question is asked of each engine.

use std::borrow::Borrow;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use larder_benches::Side;
use larder_benches::model::{CITIES, city, mix, shuffled};
use larder_benches::paired::timed;
use larder_benches::workload::Plan;

use super::{Contest, SIDES};
use crate::Result;
use crate::engine::Engine;
use crate::model::{SCORES, User};
use crate::report::{Aim, Line};
use crate::stock::Stock;

/// A question, with what it is about.
trait Question {
    /// Asks it and shows the answer, in one piece or in several.
    fn ask<E: Engine>(&self, engine: &E, show: &mut dyn FnMut(&[E::Row])) -> Result<()>;
}

/// The users of a city.
struct InCity(String);

impl Question for InCity {
    fn ask<E: Engine>(&self, engine: &E, show: &mut dyn FnMut(&[E::Row])) -> Result<()> {
        show(&engine.in_city(&self.0)?);
        Ok(())
    }
}

/// The first of a range.
struct First {
    low: f64,
    high: f64,
    down: bool,
}

/// How many of a range are asked for.
const FIRST: u64 = 50;

impl Question for First {
    fn ask<E: Engine>(&self, engine: &E, show: &mut dyn FnMut(&[E::Row])) -> Result<()> {
        let Self { low, high, down } = *self;
        show(&if down {
            engine.by_score_down(low, high, FIRST)?
        } else {
            engine.by_score(low, high, FIRST)?
        });
        Ok(())
    }
}

/// Those below an age.
struct Younger(u32);

impl Question for Younger {
    fn ask<E: Engine>(&self, engine: &E, show: &mut dyn FnMut(&[E::Row])) -> Result<()> {
        show(&engine.younger(self.0)?);
        Ok(())
    }
}

/// Everybody by score, page by page.
struct Walk;

/// How many users a page has.
const PAGE: u64 = 100;

impl Question for Walk {
    fn ask<E: Engine>(&self, engine: &E, show: &mut dyn FnMut(&[E::Row])) -> Result<()> {
        engine.walk(PAGE, show)
    }
}

/// A row of questions that is asked of each engine, over and over.
struct Asking<Q> {
    stock: Rc<Stock>,
    questions: Vec<Q>,
    /// Where each side goes on.
    at: [usize; 3],
    plan: Plan,
    line: Line,
}

impl<Q: Question + 'static> Asking<Q> {
    fn start(stock: Rc<Stock>, questions: Vec<Q>, plan: Plan, line: Line) -> Box<dyn Contest> {
        Box::new(Self { stock, questions, at: [0; 3], plan, line })
    }
}

/// The whole answer.
fn whole<E: Engine>(question: &impl Question, engine: &E) -> Result<Vec<User>> {
    let mut rows = Vec::new();
    question.ask(engine, &mut |page| rows.extend(page.iter().map(|row| row.borrow().clone())))?;
    Ok(rows)
}

/// How long the answers take.
fn ask<'q, E: Engine>(
    questions: impl Iterator<Item = &'q (impl Question + 'q)>,
    engine: &E,
) -> Result<Duration> {
    timed(|| {
        for question in questions {
            question.ask(engine, &mut |rows| {
                black_box(rows.len());
            })?;
        }
        Ok(())
    })
}

impl<Q: Question> Contest for Asking<Q> {
    fn plan(&self) -> Plan {
        self.plan
    }

    fn agree(&self) -> Result<()> {
        for question in &self.questions {
            let larder = whole(question, &self.stock.larder)?;
            if larder != whole(question, &self.stock.raw)? {
                return Err(format!("{}: redb answers otherwise than larder", self.line.name).into());
            }
            if larder != whole(question, &self.stock.sqlite)? {
                return Err(format!("{}: SQLite answers otherwise than larder", self.line.name).into());
            }
        }
        Ok(())
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let at = &mut self.at[SIDES.iter().position(|one| *one == side).unwrap_or_default()];
        let questions = self.questions.iter().cycle().skip(*at).take(ops as usize);
        *at = (*at + ops as usize) % self.questions.len();
        match side {
            Side::Larder => ask(questions, &self.stock.larder),
            Side::Raw => ask(questions, &self.stock.raw),
            _ => ask(questions, &self.stock.sqlite),
        }
    }

    fn line(&self) -> Line {
        self.line.clone()
    }
}

type Start = fn(&str, Rc<Stock>) -> Box<dyn Contest>;

pub(super) const ALL: [(&str, Start); 5] = [
    ("indexed equality", equality),
    ("range, order, limit 50", ascending),
    ("range, order down, limit 50", descending),
    ("scan", scan),
    ("keyset paging", paging),
];

fn equality(name: &str, stock: Rc<Stock>) -> Box<dyn Contest> {
    let line = Line::new(name, stock.rows, Aim::SQLITE, format!("about {} rows", stock.rows / CITIES));
    let questions = shuffled(CITIES).into_iter().map(|n| InCity(city(n))).collect();
    Asking::start(stock, questions, Plan::new(201, 4), line)
}

/// Ranges of a tenth of the scores.
fn ranges(down: bool) -> Vec<First> {
    let share = |n: u64| (mix(n) >> 11) as f64 / (1_u64 << 53) as f64;
    (0..200)
        .map(|n| share(n) * 0.9 * SCORES)
        .map(|low| First { low, high: low + 0.1 * SCORES, down })
        .collect()
}

fn ascending(name: &str, stock: Rc<Stock>) -> Box<dyn Contest> {
    let line = Line::new(name, stock.rows, Aim::SQLITE, "a tenth of the scores");
    Asking::start(stock, ranges(false), Plan::new(201, 8), line)
}

fn descending(name: &str, stock: Rc<Stock>) -> Box<dyn Contest> {
    let line = Line::new(name, stock.rows, Aim::SQLITE, "from the highest down");
    Asking::start(stock, ranges(true), Plan::new(201, 8), line)
}

/// A tenth of the users are younger.
const AGE: u32 = 10;

fn scan(name: &str, stock: Rc<Stock>) -> Box<dyn Contest> {
    let aim = Aim { raw: Some(0.6), sqlite: None };
    let line = Line::new(name, stock.rows, aim, "no index; a tenth of the rows; redb decodes all of each");
    Asking::start(stock, vec![Younger(AGE)], Plan::new(41, 1), line)
}

fn paging(name: &str, stock: Rc<Stock>) -> Box<dyn Contest> {
    let line = Line::new(name, stock.rows, Aim::SQLITE, format!("all rows by score, {PAGE} a page"));
    Asking::start(stock, vec![Walk], Plan::new(21, 1), line)
}
