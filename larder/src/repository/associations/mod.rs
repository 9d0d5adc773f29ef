//! Related rows: loaded with what a query asks for, saved and deleted with the row that holds them.
//!
//! - [`save`] and [`delete`] plan which rows are written, from the row that the application gave and what is stored;
//!   [`graph`] puts the writes in order; [`write`] carries a plan out in one transaction.
//! - What a plan relies on is in its expectations: if it moves meanwhile, the plan is made again.

mod delete;
mod graph;
mod ground;
mod plan;
mod save;
mod write;

pub(super) use delete::{Referrers, extend as delete};
pub(super) use ground::Ground;
pub(super) use plan::Plan;
pub(super) use save::{Root, carries, plan as save};
