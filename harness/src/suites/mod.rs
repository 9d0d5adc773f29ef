//! The suites: what every provider is asked, and what it has to answer.
//!
//! A case is an asynchronous function from a [`Trial`] to a [`Verdict`]; what it finds wrong it panics about. To add one,
//! write it into its suite's module, and its name and the rules that it pins into the list in `list.rs`: every provider of
//! that face runs it then.

mod ask;
mod associations;
mod batches;
mod capabilities;
mod crud;
mod cursors;
mod delta;
mod durable;
mod errors;
mod evolution;
mod floats;
mod keys;
mod list;
mod listening;
mod membership;
mod nulls;
mod observers;
mod operators;
mod ordering;
mod outbox;
mod paging;
mod reads;
mod realtime;
mod refusals;
mod repeats;
mod requests;
mod revisions;
mod table;
mod text;
mod told;
mod tombstones;
mod unique;
mod versions;
mod window;
mod wipe;

use std::pin::Pin;

use crate::differential;
use crate::run::Candidate;
use crate::trial::{Trial, Verdict};

/// A case, and who runs it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Who runs it: every `provider`, or who has the face `store`, `durable`, `remote`, `delta`,
    /// `realtime` or `requests`.
    pub face: &'static str,
    /// The suite.
    pub suite: &'static str,
    /// The name within the suite.
    pub name: &'static str,
    rules: &'static str,
    pub(crate) run: Run,
}

type Judged<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// How a case runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    /// Over one provider.
    Once(fn(Trial) -> Judged<'static>),
    /// Over as many as it makes.
    Often(for<'a> fn(&'a Candidate<'a>, &'static str) -> Judged<'a>),
}

macro_rules! registry {
    ($($face:literal $how:ident $suite:ident { $($case:ident: $rules:literal),* $(,)? })*) => {
        &[$($(registry!(@ $face $how $suite $case $rules)),*),*]
    };
    (@ $face:literal $how:ident $suite:ident $case:ident $rules:expr) => {
        Case {
            face: $face,
            suite: stringify!($suite),
            name: stringify!($case),
            rules: $rules,
            run: run!($how $suite $case),
        }
    };
}

macro_rules! run {
    (once $suite:ident $case:ident) => {
        Run::Once(|trial| Box::pin($suite::$case(trial)))
    };
    (often $suite:ident $case:ident) => {
        Run::Often(|candidate, name| Box::pin($suite::$case(candidate, name)))
    };
    (table $suite:ident $case:ident) => {
        Run::Once(|trial| Box::pin(table::answers(trial, stringify!($suite), stringify!($case))))
    };
}

/// A list for each type, of the same cases.
macro_rules! types {
    ([$($suite:ident $rule:literal),* $(,)?] $cases:tt) => {
        &[$(types!(@ $suite $rule $cases)),*]
    };
    (@ $suite:ident $rule:literal { $($case:ident: $rules:literal),* $(,)? }) => {
        &[$(registry!(@ "provider" table $suite $case concat!($rules, " ", $rule))),*]
    };
}

const PROVIDER: &[Case] = list::provider!(registry);
const TYPES: &[&[Case]] = list::types!(types);
const STORE: &[Case] = list::store!(registry);
const DURABLE: &[Case] = list::durable!(registry);
const REMOTE: &[Case] = list::remote!(registry);
const DELTA: &[Case] = list::delta!(registry);
const REALTIME: &[Case] = list::realtime!(registry);
const REQUESTS: &[Case] = list::requests!(registry);

/// All cases.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    let faces = [PROVIDER, STORE, DURABLE, REMOTE, DELTA, REALTIME, REQUESTS];
    faces.into_iter().chain(TYPES.iter().copied()).flatten()
}

impl Case {
    /// The rules of the reference that it pins.
    pub fn rules(&self) -> impl Iterator<Item = &'static str> {
        self.rules.split(' ')
    }
}
