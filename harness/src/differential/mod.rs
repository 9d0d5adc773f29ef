//! Random queries over random data, every provider against the oracle, row for row.
//!
//! A *triple* is a model, its rows and a query; the seed determines it. What differs is made as small as it gets and
//! printed as a test. `LARDER_TRIPLES` sets how many triples a provider gets; 600 unless it says otherwise.

mod generate;
mod shrink;
mod triple;
mod values;

pub use generate::{Focus, Limits, query, rows};
pub use triple::{Triple, replay};

use larder_core::Schema;

use crate::models::{BLOB, MOMENT, NAMED, NUMBERED, SEAT, SPECIMEN, TAGGED};
use crate::oracle;
use crate::plain::{Plain, plain, record};
use crate::random::Random;
use crate::run::Candidate;
use crate::subject::Setup;
use crate::trial::{Trial, Verdict};

/// The variable that says how many triples a provider gets.
pub const TRIPLES: &str = "LARDER_TRIPLES";

/// How many triples a provider gets, unless the variable says otherwise.
const DEFAULT: usize = 600;

/// Cases of the suite.
const CASES: usize = 6;

/// Queries over the same rows.
const QUERIES: usize = 10;

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

/// How many triples a case gets.
fn share() -> usize {
    let asked = std::env::var(TRIPLES).ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(DEFAULT).div_ceil(CASES)
}

async fn compare_all(
    candidate: &Candidate<'_>,
    name: &str,
    focus: Focus,
    models: &[&'static Schema],
) -> Verdict {
    let share = share();
    for seed in 0..share.div_ceil(QUERIES) {
        let mut random = Random::new(seed as u64 ^ (focus as u64) << 32);
        let schema = models[seed % models.len()];
        let trial = open(candidate).await;
        let limits = trial.limits();
        let rows = rows(schema, limits, &mut random);
        trial.put(schema, rows.iter().map(|row| record(row))).await;
        for nth in 0..QUERIES.min(share - seed * QUERIES) {
            let query = query(schema, &rows, focus, &mut random);
            let triple = Triple { schema, rows: rows.clone(), query };
            if let Err(why) = triple.holds_in(&trial).await {
                let (small, why) = shrink::shrink(candidate, triple, why).await;
                panic!("{why}\n{}", small.as_test(&format!("differential_{name}_{seed}_{nth}")));
            }
        }
    }
    Verdict::Passed
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
        let expected: Vec<&Plain> = oracle::answer(self.schema, &self.rows, &self.query)
            .into_iter()
            .map(|at| &self.rows[at])
            .collect();
        let found =
            trial.select(self.schema, &self.query).await.map_err(|error| format!("an error: {error:?}"))?;
        let found: Vec<Plain> = found.iter().map(|row| plain(self.schema, &*row.row)).collect();
        if found.iter().collect::<Vec<_>>() == expected {
            return Ok(());
        }
        let keys = |rows: &[&Plain]| {
            let keys: Vec<String> =
                rows.iter().map(|row| oracle::key_of(self.schema, row).to_string()).collect();
            format!("[{}]", keys.join(", "))
        };
        let found: Vec<&Plain> = found.iter().collect();
        Err(format!("expected the rows {}, found {}", keys(&expected), keys(&found)))
    }

    /// The same over a provider of its own.
    async fn holds(&self, candidate: &Candidate<'_>) -> Result<(), String> {
        let trial = open(candidate).await;
        trial.put(self.schema, self.rows.iter().map(|row| record(row))).await;
        self.holds_in(&trial).await
    }
}
