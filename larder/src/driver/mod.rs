//! Turns the engine's effects into calls on the store and the remote, and their outcomes into events. Decides nothing.

pub(crate) mod accepted;
mod act;
pub(crate) mod again;
mod covered;
pub(crate) mod creations;
mod decide;
mod dependants;
mod entries;
mod exchange;
mod forward;
mod fresh;
mod lost;
mod nested;
mod recent;
mod resolve;
mod settlement;
mod task;
mod tell;
mod work;

pub(crate) use act::Acts;
pub(crate) use decide::{Discard, Retry};
pub(crate) use exchange::left;
pub(crate) use fresh::Fresh;
pub(crate) use recent::Recent;
pub(crate) use resolve::Resolvers;
pub(crate) use task::{Handle, start};
