//! Whether the device is connected, by its network interfaces: [`Connectivity`](larder_core::Connectivity) over `netwatch`.
//!
//! [`NetwatchConnectivity`] tells what is seen, `outlook` says what the state of the interfaces means.

mod connectivity;
mod outlook;

pub use connectivity::NetwatchConnectivity;
