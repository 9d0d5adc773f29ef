//! A network of one's own below the shipped transport.

#![cfg(feature = "hyper")]
#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use larder_core::{Context, Error, ErrorKind, Operation, Outcome, Provider, Query, Sent};
use larder_rest::{HyperTransport, Rest, http};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Our end of a connection.
struct Pipe(TokioIo<DuplexStream>);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A network on which each connection ends here.
#[derive(Clone, Default)]
struct Network(Arc<Mutex<Vec<DuplexStream>>>);

impl Network {
    fn connections(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The peer's end of the newest connection.
    fn take(&self) -> DuplexStream {
        self.0.lock().unwrap().pop().unwrap()
    }
}

impl tower::Service<http::Uri> for Network {
    type Response = Pipe;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        self.0.lock().unwrap().push(theirs);
        std::future::ready(Ok(Pipe(TokioIo::new(ours))))
    }
}

/// A network on which nobody ever answers.
#[derive(Clone)]
struct Desert;

impl tower::Service<http::Uri> for Desert {
    type Response = Pipe;
    type Error = io::Error;
    type Future = std::future::Pending<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        std::future::pending()
    }
}

async fn insert(remote: &Arc<dyn Provider>) -> Result<Outcome, Error> {
    let insert = mutation(Operation::Insert, Some(user("7", "Ada", None, "Open")), "7");
    Ok(remote.apply(&Context::new(), &insert).await?.outcome)
}

/// Reads a request and answers it.
async fn answer(network: &Network) -> (String, DuplexStream) {
    while network.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let mut peer = network.take();
    let mut request = vec![0; 4096];
    let read = peer.read(&mut request).await.unwrap();
    request.truncate(read);
    peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await.unwrap();
    (String::from_utf8(request).unwrap(), peer)
}

#[tokio::test]
async fn a_connection_that_takes_too_long_sent_nothing() {
    let builder = HyperTransport::builder().connector(Desert).connect_timeout(Duration::from_millis(20));
    let rest = Rest::at("https://api.example.com").transport_with(|runtime| builder.build(runtime));
    let error = insert(&open(rest).await).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Timeout, Sent::Never), "{error:?}");
}

#[tokio::test]
async fn a_request_in_the_queue_of_a_broken_connection_was_not_sent_and_is_not_repeated() {
    let network = Network::default();
    let builder = HyperTransport::builder().connector(network.clone());
    let rest = Rest::at("http://localhost").transport_with(|runtime| builder.build(runtime));
    let remote = open(rest).await;
    let (cx, all) = (Context::new(), Query::all());
    let (page, (request, peer)) = futures_util::join!(remote.get(&cx, &USER, &all), answer(&network));
    assert!(page.unwrap().rows.is_empty());
    assert!(request.starts_with("GET /users HTTP/1.1\r\n"), "{request}");
    tokio::task::yield_now().await;

    // It breaks, and the task that would notice does not run before the next request is in its queue.
    drop(peer);
    let error = insert(&remote).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Transport, Sent::Never), "{error:?}");
    assert_eq!(network.connections(), 0, "there was no second try");

    let (outcome, (request, _)) = futures_util::join!(insert(&remote), answer(&network));
    assert_eq!(outcome.unwrap(), Outcome::Inserted);
    assert!(request.starts_with("POST /users HTTP/1.1\r\n"), "the next one connects anew: {request}");
}
