//! Everything that decides, and nothing that acts: events in, effects out.
//!
//! [`Engine`] keeps the outbox's schedule: which entry may go next, what an answer leads to, when to try again. The
//! pure functions in [`enqueue`], [`settle`] and [`exchange`] turn a write, an answer or a decision into the [`Batch`](crate::Batch)
//! that has to be committed. No clock is read here, no random number drawn, no task started and no lock taken; time
//! and randomness come in as values, so a run can be repeated.

pub(crate) mod backoff;
pub(crate) mod coalesce;
mod decided;
pub(crate) mod enqueue;
pub(crate) mod exchange;
mod hosts;
mod lanes;
mod machine;
pub(crate) mod rebase;
pub(crate) mod regroup;
pub(crate) mod renames;
mod schedule;
pub(crate) mod settle;
mod terms;
mod ties;
mod tracked;
mod window;

pub(crate) use machine::Engine;
pub use terms::PermanentFailure;
pub(crate) use terms::{Answer, Effect, Event, Head, Instants, Moved, Settings, Verdict};

#[cfg(test)]
pub(crate) mod tests;
