//! A surf client as a transport.

use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use http::{Request, Response};
use larder_core::runtime::BoxFuture;
use larder_rest::{Body, BoxError, NotSent, ResponseBody};
use tower::Service;

use crate::codec::{request_to_surf, response_from_surf};
use crate::error::SurfError;

/// A [`surf::Client`], with its middleware, as a transport of larder-rest.
///
/// - The client is taken as it is: the base URL and the headers of its configuration are not applied to finished requests.
/// - A panic in the client or in a middleware is an error here, of a request that may have been sent.
/// - A middleware that repeats requests, or surf's own `Redirect`, sends writes twice or elsewhere: leave it out.
///
/// # Errors
/// `Invalid`, before anything is sent, for what surf can't express: a header value that is not ASCII, a method that it
/// does not know, a URL whose path it would change. Others are told from the errors' sources as for every transport.
///
/// ```
/// use larder_rest::{Rest, Transport};
/// use larder_rest_surf::{SurfTransport, surf_client};
///
/// # fn example(transport: Transport) {
/// let client: surf::Client = surf_client(transport);
/// let rest = Rest::at("https://api.example.com").transport(SurfTransport::new(client));
/// # drop(rest);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SurfTransport(surf::Client);

impl SurfTransport {
    /// Sends through `client`.
    #[must_use]
    pub fn new(client: surf::Client) -> Self {
        Self(client)
    }
}

impl Service<Request<Body>> for SurfTransport {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let request = request_to_surf(request).map_err(|error| BoxError::from(NotSent::new(error)))?;
            let sent = AssertUnwindSafe(client.send(request)).catch_unwind().await;
            let answered = sent.map_err(|_| BoxError::from("surf, or a middleware of it, panicked"))?;
            let response = answered.map_err(SurfError::from)?;
            Ok(response_from_surf(response)?)
        })
    }
}
