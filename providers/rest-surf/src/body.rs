//! Bodies: http-body's frames as a reader, and a reader as frames. Neither is read before somebody asks.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::io::{AsyncBufRead, AsyncRead};
use http_body::{Body as _, Frame, SizeHint};
use larder_rest::ResponseBody;

/// An answer's frames as a reader, which surf asks to be `Sync`; the lock is never waited for.
pub(crate) struct Reader {
    body: Mutex<ResponseBody>,
    chunk: Bytes,
}

impl Reader {
    /// The answer as surf's kind of body.
    pub(crate) fn body(body: ResponseBody) -> http_types::Body {
        let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        http_types::Body::from_reader(Self { body: Mutex::new(body), chunk: Bytes::new() }, length)
    }
}

impl AsyncBufRead for Reader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            let body = this.body.get_mut().unwrap_or_else(PoisonError::into_inner);
            match ready!(Pin::new(body).poll_frame(cx)) {
                None => break,
                Some(Ok(frame)) => this.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.chunk.advance(amount.min(this.chunk.len()));
    }
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let there = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = there.len().min(into.len());
        into[..amount].copy_from_slice(&there[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(amount))
    }
}

/// A body of surf as frames.
#[derive(Debug)]
pub(crate) struct Frames {
    body: http_types::Body,
    done: bool,
}

impl Frames {
    /// How much is read at once, in bytes.
    const PIECE: usize = 8 * 1024;

    pub(crate) fn new(body: http_types::Body) -> Self {
        Self { done: body.is_empty() == Some(true), body }
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let mut piece = [0; Self::PIECE];
        let read = ready!(Pin::new(&mut this.body).poll_read(cx, &mut piece));
        this.done = !matches!(read, Ok(1..));
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(length) => Some(Ok(Frame::data(Bytes::copy_from_slice(&piece[..length])))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.len() {
            // What a middleware has read of it already is in there too.
            Some(length) => {
                let mut hint = SizeHint::new();
                hint.set_upper(length as u64);
                hint
            }
            None => SizeHint::default(),
        }
    }
}
