//! A panic that was caught, and what catches one.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::future::FutureExt;
use larder_core::Error;

/// What somebody said who panicked.
#[derive(Debug)]
pub(crate) struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Panicked {}

impl Panicked {
    pub(super) fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("it did not say why").to_owned())
    }

    /// Whether that is what an error comes from.
    pub(crate) fn is_cause_of(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<Self>)
    }
}

/// What `ask` gives, unless it panics.
pub(crate) fn now<T>(ask: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(ask)).map_err(|payload| Panicked::of(&*payload))
}

/// What `request` comes to, unless it panics. It is made where it is awaited: to make it may panic as well.
pub(crate) async fn later<F: Future + Send>(
    request: impl FnOnce() -> F + Send,
) -> Result<F::Output, Panicked> {
    let asked = AssertUnwindSafe(async move { request().await }).catch_unwind().await;
    asked.map_err(|payload| Panicked::of(&*payload))
}
