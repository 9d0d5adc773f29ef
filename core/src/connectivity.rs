//! Whether the remote is worth trying.

use std::fmt;

use crate::runtime::BoxFuture;

/// Tells whether the device is connected. A hint: only a request proves anything.
pub trait Connectivity: fmt::Debug + Send + Sync + 'static {
    /// False if a request is known to be hopeless.
    fn is_online(&self) -> bool;

    /// Ends when the answer of [`is_online`](Self::is_online) is no longer `seen`.
    fn changed(&self, seen: bool) -> BoxFuture<'static, ()>;
}

/// Never claims to be offline: the outcome of requests decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysOnline;

impl Connectivity for AlwaysOnline {
    fn is_online(&self) -> bool {
        true
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        if seen { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(())) }
    }
}
