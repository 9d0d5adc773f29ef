//! Related rows: loaded with what a query asks for, saved and deleted with the row that holds them.
//!
//! - [`save`] and [`delete`] plan which rows are written, from the row that the application gave and what is stored;
//!   [`graph`] puts the writes in order; [`write`] carries a plan out in one transaction.
//! - [`load`] puts related rows into rows; [`read`] says where they come from, and answers queries that ask something of
//!   related rows; [`watching`] tells what a live query has to listen to.
//! - What a plan relies on is in its expectations: if it moves meanwhile, the plan is made again.

mod delete;
mod graph;
mod ground;
mod load;
mod order;
mod plan;
mod read;
mod save;
mod watching;
mod write;

pub(super) use delete::{Referrers, extend as delete};
pub(super) use ground::Ground;
pub(super) use load::{Source, load_typed};
pub(super) use order::order;
pub(super) use plan::Plan;
pub(super) use save::{Root, carries, plan as save};
pub(super) use watching::Watching;
