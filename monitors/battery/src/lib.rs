//! What the device runs on, by its batteries: [`Power`](larder_core::Power) over `starship-battery`, which knows those of
//! Linux, macOS, Windows, FreeBSD and NetBSD. Elsewhere it does not compile: on a phone, ask the platform.
//!
//! [`BatteryPower`] looks and remembers, `cells` asks the system and says what its answer means.

mod cells;
mod power;

pub use power::BatteryPower;
