//! What an application or a third party supplies, with its panics contained: a defect of it fails what it was asked for, and
//! ends no task that runs behind the application's handles.
//!
//! - `remote` is a remote, `store` a store, `device` what tells of the connection and the battery.
//! - `outbox` is what is left of an outbox if a store panics over entries.
//! - `panicked` is a panic that was caught.

mod device;
mod outbox;
mod panicked;
mod remote;
mod store;

#[cfg(test)]
mod tests;

pub(crate) use device::{ContainedConnectivity, ContainedPower};
pub(crate) use panicked::{Panicked, now};
pub(crate) use remote::Contained;
pub(crate) use store::ContainedStore;
