//! Turns the engine's effects into calls on the store and the remote, and their outcomes into events. Decides nothing.

mod act;
mod nested;
mod task;

pub(crate) use act::Acts;
pub(crate) use task::{Handle, start};
