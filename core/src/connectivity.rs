//! Whether the remote is worth trying, and what the device can afford.

use std::fmt;

use crate::runtime::BoxFuture;

/// Tells whether the device is connected. A hint: only a request proves anything.
pub trait Connectivity: fmt::Debug + Send + Sync + 'static {
    /// False if a request is known to be hopeless.
    fn is_online(&self) -> bool;

    /// True if what is sent and received is paid for by volume, as far as that is known.
    fn is_metered(&self) -> bool;

    /// Ends when the answer of [`is_online`](Self::is_online) is no longer `seen`, or has been another one meanwhile; or when
    /// what could not be reached before is worth another try, because the connection is another one.
    fn changed(&self, seen: bool) -> BoxFuture<'static, ()>;
}

/// Never claims to be offline: the outcome of requests decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysOnline;

impl Connectivity for AlwaysOnline {
    fn is_online(&self) -> bool {
        true
    }

    fn is_metered(&self) -> bool {
        false
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        if seen { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(())) }
    }
}

/// Tells what the device runs on.
pub trait Power: fmt::Debug + Send + Sync + 'static {
    /// How full the battery is, in percent; `None` if there is none, it is being charged, or nothing is known of it.
    fn battery(&self) -> Option<u8>;
}

/// Runs on mains.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mains;

impl Power for Mains {
    fn battery(&self) -> Option<u8> {
        None
    }
}
