//! The short ways: surf over a transport, and a remote through surf.

use std::sync::Arc;

use larder_core::{Result, Runtime};
use larder_rest::{HyperTransport, Transport};

use crate::client::LarderHttpClient;
use crate::transport::SurfTransport;

/// A surf client over `transport`. Middleware is added to it by `with`.
///
/// ```
/// use larder_rest::{Body, Transport, http};
/// use larder_rest_surf::surf_client;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let server = tower::service_fn(|_: http::Request<Body>| async {
///     Ok::<_, std::convert::Infallible>(http::Response::new(Body::from("hello")))
/// });
/// let client = surf_client(Transport::new(server));
/// let request = surf::Request::new(surf::http::Method::Get, "https://api.example.com/".parse()?);
/// assert_eq!(client.recv_string(request).await?, "hello");
/// # surf::Result::Ok(()) }).unwrap();
/// ```
#[must_use]
pub fn surf_client(transport: Transport) -> surf::Client {
    surf::Client::with_http_client(LarderHttpClient::new(transport))
}

/// For [`Rest::transport_with`](larder_rest::Rest::transport_with): requests go through a surf client, to which
/// `configure` adds its middleware, and are carried by the shipped hyper transport.
pub fn over_hyper<F>(configure: F) -> impl FnOnce(&Arc<dyn Runtime>) -> Result<Transport> + Send + 'static
where
    F: FnOnce(surf::Client) -> surf::Client + Send + 'static,
{
    move |runtime| {
        let client = surf_client(HyperTransport::builder().build(runtime)?);
        Ok(Transport::new(SurfTransport::new(configure(client))))
    }
}
