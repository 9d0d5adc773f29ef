//! The simulator for an application's own data layer: several devices with real repositories, a model server, a network
//! that fails, and a clock that costs nothing, in a plain `cargo test`.
//!
//! Start with [`Simulation`]. A seed decides everything; the same seed gives the same [`Trace`], byte for byte. A run that
//! fails is made small and printed as a test to paste, which [`Simulation::replay`] runs.
//!
//! Everything is one thread: an executor picks the next task by the seed, and moves the clock when no task can go on. The
//! repositories are those of production, over [`Disk::Memory`] or [`Disk::Redb`]; only store medium, network, time and
//! randomness are of the simulator.

mod device;
mod disk;
mod errand;
mod feeds;
mod kernel;
mod link;
mod network;
mod overseer;
mod parted;
mod report;
mod rest;
mod rules;
mod run;
mod runtime;
mod schedule;
mod server;
mod shrink;
mod simulation;
mod steps;
mod trace;
mod weather;
mod world;

pub use device::{Device, World};
pub use disk::Disk;
pub use errand::{Errand, Host, Repeat};
pub use larder_harness::Random;
pub use network::Network;
pub use report::{Failure, Run, Tally};
pub use rules::Server;
pub use schedule::{Event, Fate, Schedule, Unreadable, What, When};
pub use simulation::Simulation;
pub use trace::Trace;

/// The examples of the guide's chapter, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guide/simulation.md")]
#[derive(Debug)]
pub struct Chapter;
