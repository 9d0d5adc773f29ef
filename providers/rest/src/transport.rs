//! The seam below the provider: any tower service that takes a request and gives a response.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use larder_core::Sent;
use larder_core::runtime::BoxFuture;
use tower::{Service, ServiceExt};

use crate::error::sent_of;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a request: bytes that are there at once.
///
/// ```
/// use larder_rest::Body;
///
/// let body = Body::from("{}");
/// assert_eq!(body.bytes().as_ref(), b"{}");
/// assert!(Body::empty().bytes().is_empty());
/// ```
#[derive(Clone, Default)]
pub struct Body(Option<Bytes>);

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(None)
    }

    /// What has not been sent yet, which is everything as long as nobody has polled it.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.0.clone().unwrap_or_default()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.as_ref().map_or(0, Bytes::len))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// The body of an answer: it comes in pieces.
pub struct ResponseBody(UnsyncBoxBody<Bytes, BoxError>);

impl ResponseBody {
    /// Boxes a body.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Marks an error as one of a request of which not one byte has left this machine.
///
/// A transport or layer that knows that wraps its error in this; it is found anywhere in the chain of
/// [`source`](StdError::source)s. Everything else counts as "may have been sent", except for what hyper's client
/// calls a failure to connect, and for a [`larder_core::Error`], which says by itself how far it had got.
#[derive(Debug)]
pub struct NotSent(BoxError);

impl NotSent {
    /// Marks `source`.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was not sent")
    }
}

impl StdError for NotSent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// Why there is no answer, and how far the request had gone.
#[derive(Debug)]
pub struct TransportError {
    sent: Sent,
    source: BoxError,
}

impl TransportError {
    /// Finds out from the chain of sources how far the request had gone; see [`NotSent`].
    pub fn new(source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self { sent: sent_of(&*source).unwrap_or(Sent::Maybe), source }
    }

    /// How far the request had gone.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.sent {
            Sent::Never => "the request could not be sent",
            Sent::Maybe => "the request may have been sent, and has no answer",
            Sent::Answered => "the answer could not be read",
        })
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// A tower service for HTTP, boxed and cheap to clone.
///
/// Whatever tower has plugs in: a `Transport` is itself a service, so layers go around it.
///
/// ```
/// use std::convert::Infallible;
///
/// use larder_rest::{Body, Rest, Transport, http};
///
/// let nobody = tower::service_fn(|request: http::Request<Body>| async move {
///     assert_eq!(request.method(), http::Method::GET);
///     Ok::<_, Infallible>(http::Response::new(Body::from("[]")))
/// });
/// let rest = Rest::at("https://api.example.com").transport(Transport::new(nobody));
/// # drop(rest);
/// ```
///
/// A client with a request body of its own is adapted with `ServiceExt::map_request`; [`Body::bytes`] gives it the
/// bytes. A transport neither repeats a request nor follows a redirect by itself: a write would be sent twice behind the
/// outbox's back.
#[derive(Clone)]
pub struct Transport(Arc<dyn Exchange>);

trait Exchange: Send + Sync {
    fn exchange(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<ResponseBody>, TransportError>>;
}

/// A service that is cloned for each request. The lock is held for the clone alone, so the service needn't be `Sync`.
struct Cloned<S>(Mutex<S>);

impl<S, B> Exchange for Cloned<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn exchange(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<ResponseBody>, TransportError>> {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let response = service.oneshot(request).await.map_err(TransportError::new)?;
            Ok(response.map(ResponseBody::new))
        })
    }
}

impl Transport {
    /// Boxes a service.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(Cloned(Mutex::new(service))))
    }

    /// Sends `request`, once.
    ///
    /// # Errors
    /// Whatever kept it from being answered; [`TransportError::sent`] tells how far it had gone.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<ResponseBody>, TransportError> {
        self.0.exchange(request).await
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<ResponseBody>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.exchange(request)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
