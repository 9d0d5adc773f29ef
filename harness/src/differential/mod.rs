//! Random queries over random data, every provider against the oracle, row for row.
//!
//! A *triple* is a model, its rows (and those of the models that it is associated with) and a query; the seed determines
//! it. What differs is made as small as it gets and printed as a test. A provider gets [`COUNT`] triples, a third
//! of them if its requests are dear; `LARDER_TRIPLES` sets another number for all of them.

mod generate;
mod related;
mod shrink;
mod triple;
mod values;

pub use generate::{Focus, Limits, query, query_within, rows};
pub use related::world;
pub use triple::{Triple, replay};
pub(crate) use values::{key_part, value};

use larder_core::Schema;
use larder_core::association::{self, Asking};

use crate::models::{self, BLOB, MOMENT, NAMED, NUMBERED, SEAT, SPECIMEN, TAGGED};
use crate::oracle::{self, Table};
use crate::plain::{Plain, plain, record};
use crate::random::Random;
use crate::run::Candidate;
use crate::subject::Setup;
use crate::trial::{Trial, Verdict};

/// The variable that says how many triples a provider gets.
pub const TRIPLES: &str = "LARDER_TRIPLES";

/// How many triples a provider gets, unless the variable says otherwise.
pub const COUNT: usize = 10_000;

/// Cases of the suite.
const CASES: usize = 7;

/// Queries over the same rows.
const QUERIES: usize = 20;

pub(crate) async fn comparisons(candidate: &Candidate<'_>, name: &'static str) -> Verdict {
    compare_all(candidate, name, Focus::Comparisons, &[&SPECIMEN]).await
}

pub(crate) async fn texts(candidate: &Candidate<'_>, name: &'static str) -> Verdict {
    compare_all(candidate, name, Focus::Texts, &[&SPECIMEN]).await
}

pub(crate) async fn members(candidate: &Candidate<'_>, name: &'static str) -> Verdict {
    compare_all(candidate, name, Focus::Members, &[&SPECIMEN]).await
}

pub(crate) async fn trees(candidate: &Candidate<'_>, name: &'static str) -> Verdict {
    compare_all(candidate, name, Focus::Trees, &[&SPECIMEN]).await
}

pub(crate) async fn orders_and_windows(candidate: &Candidate<'_>, name: &'static str) -> Verdict {
    compare_all(candidate, name, Focus::Orders, &[&SPECIMEN]).await
}

pub(crate) async fn keyed(candidate: &Candidate<'_>, name: &'static str) -> Verdict {
    let models: [&'static Schema; 6] = [&NAMED, &NUMBERED, &TAGGED, &SEAT, &BLOB, &MOMENT];
    compare_all(candidate, name, Focus::Keys, &models).await
}

pub(crate) async fn related(candidate: &Candidate<'_>, name: &'static str) -> Verdict {
    compare_all(candidate, name, Focus::Related, &models::related()).await
}

/// How many triples a case gets.
fn share(limits: Limits) -> usize {
    let asked = std::env::var(TRIPLES).ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(if limits.dear { COUNT / 3 + 1 } else { COUNT }).div_ceil(CASES)
}

async fn compare_all(
    candidate: &Candidate<'_>,
    name: &str,
    focus: Focus,
    models: &[&'static Schema],
) -> Verdict {
    let (mut done, mut seed) = (0, 0);
    loop {
        let mut random = Random::new(seed ^ (focus as u64) << 32);
        let schema = models[seed as usize % models.len()];
        let trial = open(candidate).await;
        let share = share(trial.limits());
        let world = world(schema, trial.limits(), &mut random);
        for (schema, rows) in &world {
            trial.put(schema, rows.iter().map(|row| record(row))).await;
        }
        for nth in 0..QUERIES.min(share - done) {
            let query = query_within(&tables(&world), focus, &mut random);
            let triple = Triple { world: world.clone(), query };
            if let Err(why) = triple.holds_in(&trial).await {
                let (small, why) = shrink::shrink(candidate, triple, why).await;
                panic!("{why}\n{}", small.as_test(&format!("differential_{name}_{seed}_{nth}")));
            }
            done += 1;
        }
        seed += 1;
        if done == share {
            return Verdict::Passed;
        }
    }
}

/// The same as the oracle takes it.
fn tables<'a>(world: &'a [(&'static Schema, Vec<Plain>)]) -> Vec<Table<'a>> {
    world.iter().map(|(schema, rows)| Table { schema, rows }).collect()
}

/// An open, empty provider.
async fn open(candidate: &Candidate<'_>) -> Trial {
    let setup = Setup::new(0);
    let runtime = setup.runtime.clone();
    let subject = (candidate.make)(setup).await.unwrap_or_else(|error| panic!("can't be opened: {error:?}"));
    Trial::new(runtime, subject)
}

impl Triple {
    /// Compares what the provider answers with what the oracle does.
    async fn holds_in(&self, trial: &Trial) -> Result<(), String> {
        let (schema, rows) = (self.schema(), self.rows());
        let expected: Vec<&Plain> = oracle::answer_within(&tables(&self.world), &self.query)
            .into_iter()
            .map(|at| &rows[at])
            .collect();
        let found = if self.query.is_related() {
            let mut asking = Asking { provider: &**trial.provider(), cx: trial.cx.clone() };
            association::answer(&mut asking, schema, &self.query).await.map(|answer| answer.rows)
        } else {
            trial.select(schema, &self.query).await
        };
        let found = found.map_err(|error| format!("an error: {error:?}"))?;
        let found: Vec<Plain> = found.iter().map(|row| plain(schema, &*row.row)).collect();
        if found.iter().collect::<Vec<_>>() == expected {
            return Ok(());
        }
        let keys = |rows: &[&Plain]| {
            let keys: Vec<String> = rows.iter().map(|row| oracle::key_of(schema, row).to_string()).collect();
            format!("[{}]", keys.join(", "))
        };
        let found: Vec<&Plain> = found.iter().collect();
        Err(format!("expected the rows {}, found {}", keys(&expected), keys(&found)))
    }

    /// The same over a provider of its own.
    async fn holds(&self, candidate: &Candidate<'_>) -> Result<(), String> {
        let trial = open(candidate).await;
        for (schema, rows) in &self.world {
            trial.put(schema, rows.iter().map(|row| record(row))).await;
        }
        self.holds_in(&trial).await
    }
}
