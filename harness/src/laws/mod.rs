//! The laws of conflict resolvers, tried on random rows and histories of any model.
//!
//! A function that decides about conflicts is tried before its users do it:
//!
//! ```
//! use larder_core::{Conflict, Model, Resolution};
//! use larder_derive::Model;
//! use larder_harness::laws::Laws;
//!
//! #[derive(Model, Clone, Debug)]
//! #[model(crate = "larder_core")]
//! struct Stock {
//!     #[model(key)]
//!     article: u32,
//!     pieces: u32,
//! }
//!
//! fn the_greater(sides: Conflict<Stock>) -> Resolution<Stock> {
//!     match (sides.mine, sides.theirs) {
//!         (Some(mine), Some(theirs)) if mine.pieces > theirs.pieces => Resolution::Mine,
//!         (Some(_), None) => Resolution::Mine,
//!         _ => Resolution::Theirs,
//!     }
//! }
//!
//! // "base, mine: 9 pieces; theirs: 2" is no conflict: here nothing was changed.
//! let broken = Laws::of::<Stock>().whole_rows().counterexample(&*larder_core::conflict::custom(the_greater));
//! assert!(broken.is_some());
//!
//! // Where it is asked about conflicts alone, it is a good one.
//! Laws::of::<Stock>().whole_rows().conflicts_alone().check(the_greater);
//! ```
//!
//! What breaks a law is made as small as it gets and printed as a test to paste, which [`replay`] runs.

mod case;
mod generate;
mod law;
mod shrink;
#[cfg(test)]
mod tests;

pub use case::Case;
pub use law::Law;

use std::sync::Arc;

use larder_core::conflict::custom;
use larder_core::{Conflict, Model, Resolution, Resolve, Schema};

use crate::plain::{Plain, plain};
use crate::random::Random;

/// How many cases each law gets, unless told otherwise.
pub const CASES: usize = 2_000;

/// What is to be tried, and how.
#[derive(Clone, Debug)]
pub struct Laws {
    schema: &'static Schema,
    whole_rows: bool,
    order_free: bool,
    conflicts_alone: bool,
    /// The positions of fields that never change alone.
    together: Vec<Vec<usize>>,
    samples: Vec<Plain>,
    cases: usize,
    seed: u64,
}

impl Laws {
    /// The laws, for resolvers of `M`.
    #[must_use]
    pub fn of<M: Model>() -> Self {
        Self::on(M::schema())
    }

    /// The laws, for resolvers of a model that is known by its schema.
    #[must_use]
    pub fn on(schema: &'static Schema) -> Self {
        Self {
            schema,
            whole_rows: false,
            order_free: false,
            conflicts_alone: false,
            together: Vec::new(),
            samples: Vec::new(),
            cases: CASES,
            seed: 0,
        }
    }

    /// The resolver decides about whole rows: it need not keep what one side alone has changed.
    #[must_use]
    pub fn whole_rows(mut self) -> Self {
        self.whole_rows = true;
        self
    }

    /// The resolver claims more than it has to: in whatever order the changes of several devices arrive, the same row
    /// is left ([`Law::OrderFree`]).
    #[must_use]
    pub fn order_free(mut self) -> Self {
        self.order_free = true;
        self
    }

    /// The resolver is asked through [`resolve`](larder_core::conflict::resolve()), as a repository does: where there is
    /// no conflict, it is not asked.
    #[must_use]
    pub fn conflicts_alone(mut self) -> Self {
        self.conflicts_alone = true;
        self
    }

    /// These fields never change alone: a text and the moment at which it was written.
    ///
    /// # Panics
    /// If the model has no such field.
    #[must_use]
    pub fn together(mut self, fields: &[&str]) -> Self {
        let position = |name: &&str| {
            self.schema
                .position(name)
                .unwrap_or_else(|| panic!("{} has no field `{name}`", self.schema.model))
        };
        self.together.push(fields.iter().map(position).collect());
        self
    }

    /// Rows that the cases are made of, beside made-up ones: where the model's own checks take few rows.
    #[must_use]
    pub fn samples<M: Model>(mut self, samples: &[M]) -> Self {
        self.samples.extend(samples.iter().map(|sample| plain(self.schema, sample)));
        self
    }

    /// How many cases each law gets; [`CASES`] unless told otherwise.
    #[must_use]
    pub fn cases(mut self, cases: usize) -> Self {
        self.cases = cases;
        self
    }

    /// The seed of the cases: the same one makes the same cases.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Tries a function of the application.
    ///
    /// # Panics
    /// If it breaks a law, with the smallest case that was found and a test to paste.
    pub fn check<M: Model>(&self, resolve: impl Fn(Conflict<M>) -> Resolution<M> + Send + Sync + 'static) {
        assert!(
            M::schema() == self.schema,
            "the laws are of {}, not of {}",
            self.schema.model,
            M::schema().model
        );
        self.check_resolver(&*custom(resolve));
    }

    /// Tries a resolver.
    ///
    /// # Panics
    /// As [`check`](Self::check).
    pub fn check_resolver(&self, resolver: &dyn Resolve) {
        if let Some((case, why)) = self.counterexample(resolver) {
            panic!("{why}\n{}", case.as_test());
        }
    }

    /// The smallest case that was found to break a law, and what is wrong with it.
    #[must_use]
    pub fn counterexample(&self, resolver: &dyn Resolve) -> Option<(Case, String)> {
        for law in self.laws() {
            let mut random = Random::new(self.seed ^ ((law as u64 + 1) << 32));
            for _ in 0..self.cases {
                let Some(case) = generate::case(self, law, &mut random) else { continue };
                if let Err(why) = case.holds(resolver, self.conflicts_alone) {
                    return Some(shrink::shrink(self, resolver, case, why));
                }
            }
        }
        None
    }

    fn laws(&self) -> impl Iterator<Item = Law> {
        let (whole_rows, order_free) = (self.whole_rows, self.order_free);
        Law::ALL.into_iter().filter(move |law| match law {
            Law::Keeps => !whole_rows,
            Law::OrderFree => order_free,
            _ => true,
        })
    }
}

/// Tries a function of the application on a case that was written down.
///
/// # Panics
/// If it breaks the law, or the text is no case of the model.
pub fn replay<M: Model>(
    law: Law,
    resolve: impl Fn(Conflict<M>) -> Resolution<M> + Send + Sync + 'static,
    text: &str,
) {
    let resolver: Arc<dyn Resolve> = custom(resolve);
    let case = Case::read(M::schema(), law, text).unwrap_or_else(|why| panic!("no case: {why}"));
    if let Err(why) = case.holds(&*resolver, false) {
        panic!("{why}\n{}", case.as_test());
    }
}
