//! Connecting: names are looked up off the asynchronous threads, and it does not take for ever.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use larder_core::Runtime;
use larder_core::runtime::BoxFuture;
use tokio::sync::oneshot;
use tower::Service;

use super::Connecting;
use crate::transport::BoxError;

/// Looks names up with the system's resolver, which blocks.
#[derive(Clone, Debug)]
pub(super) struct Resolver(Arc<dyn Runtime>);

impl Resolver {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self(runtime)
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (answer, answered) = oneshot::channel();
        let lookup = move || {
            let addresses = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Nobody waits any more: the request was withdrawn.
            drop(answer.send(addresses));
        };
        self.0.blocking("look up a name", Box::new(lookup));
        Box::pin(async move {
            let addresses = answered.await.map_err(|_| io::Error::other("the name lookup was dropped"))??;
            Ok(addresses.into_iter())
        })
    }
}

/// A connector with a limit of time, measured by the runtime.
#[derive(Clone)]
pub(super) struct Timed<C> {
    inner: C,
    runtime: Arc<dyn Runtime>,
    limit: Duration,
}

impl<C> Timed<C> {
    pub(super) fn new(inner: C, runtime: Arc<dyn Runtime>, limit: Duration) -> Self {
        Self { inner, runtime, limit }
    }
}

impl<C> fmt::Debug for Timed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Connecting<C::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let sleep = self.runtime.sleep(self.limit);
        Box::pin(async move {
            match select(std::pin::pin!(connecting), sleep).await {
                Either::Left((connected, _)) => connected.map_err(Into::into),
                Either::Right(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}
