//! The conformance suites that every provider runs, and the reference evaluator.
//!
//! A provider gets the suites by one line of [`conformance!`] in its `tests/conformance.rs`. A case ends in one of four
//! ways, and none of them is silent:
//!
//! - *passed*;
//! - *refused*: the provider's capabilities say that it can't, and the case has observed the refusal and unchanged state;
//! - *exempt*: left out by name with a reason; if it passes after all, that is a failure;
//! - *failed*.
//!
//! With [`outcome::VARIABLE`] set to a directory, each case appends its outcome to `<provider>.tsv` there.
//!
//! # Adding a case
//!
//! Write an asynchronous function from a [`Trial`] to a [`Verdict`] into the module of its suite under `src/suites/`, and
//! its name, with the rules of the reference that it pins, into the list in `src/suites/list.rs`. What it finds wrong it
//! panics about. Then plant the fault that it is about into `tests/broken` and see the case find it. [`rules`] compares
//! the rules with the tests that name them.
//!
//! What each operator answers on each type of field, with null and without, is written out in `src/suites/types.txt`:
//! nothing there is computed.
//!
//! # The oracle
//!
//! [`oracle`] says what a query means, from the semantics and over plain data, and borrows no evaluation from core. The
//! suite `differential` compares every provider with it on random rows and queries; a difference is made as small as it
//! gets and printed as a test to paste, which [`replay`] runs.

mod conformance;
pub mod differential;
pub mod laws;
pub mod models;
pub mod oracle;
pub mod outcome;
pub mod plain;
pub mod random;
pub mod rules;
mod run;
pub mod runtime;
mod site;
mod subject;
pub mod suites;
#[cfg(test)]
mod tests;
mod trial;

pub use differential::replay;
pub use outcome::Outcome;
pub use random::Random;
pub use run::{Candidate, Make, check_exemptions, judge, run};
pub use runtime::{Clock, TestRuntime};
pub use site::{Arrived, Reply, Site};
pub use subject::{Reopen, Setup, Subject};
pub use trial::{Trial, Verdict, fails, numbers};

/// What `conformance!` names. Not for people.
#[doc(hidden)]
pub mod __private {
    pub use larder_core::Result;
    pub use larder_core::runtime::BoxFuture;
}
