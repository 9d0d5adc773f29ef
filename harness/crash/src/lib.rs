//! Crash campaigns: failing storage, power cuts, kills and damaged files against a whole data layer.
//!
//! Each campaign runs a [`story`] (write offline, send, merge answers, exchange keys, pull, migrate, compact) over a real
//! repository and a real redb store, lets something go wrong at every place where it can, and then looks at what is left:
//! with the [`server`], which counts the effects of each mutation, and with the ledger of what the application was told.
//!
//! - [`faults`]: each operation of the medium fails once, or fails from then on; and many of them at random.
//! - [`power`]: the power is cut at each sync; of what was written since the one before, some is there, some is not, and
//!   some is torn.
//! - [`damaged`]: files with flipped bits, zeroed, random and swapped pages, cut off, and foreign ones.
//! - [`salvage`]: a damaged file is salvaged, and each operation of that goes wrong in several ways.
//! - [`kill`]: a real process is killed at a random moment.
//! - [`full`]: a disk without room.
//! - [`queue`]: a start after a kill, with a long queue.
//!
//! Everything but the kills follows from a seed. `cargo xtask crash` runs them and writes the page of the book; the tests
//! of this crate are the same campaigns, made short.

#![allow(
    clippy::disallowed_methods,
    reason = "stories live in a runtime of their own, and kills come in real time"
)]

pub mod damaged;
pub mod disk;
pub mod faults;
pub mod folder;
pub mod full;
pub mod kill;
pub mod power;
pub mod queue;
pub mod report;
pub mod salvage;
pub mod server;
pub mod story;
pub mod world;
