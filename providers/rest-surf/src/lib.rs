//! surf as a transport of larder-rest, and larder-rest's client offered to surf.
//!
//! For those who have surf code. Both directions:
//!
//! - [`SurfTransport`] makes a [`surf::Client`], with its middleware, the [`Transport`](larder_rest::Transport) of a
//!   remote.
//! - [`LarderHttpClient`] makes a `Transport` the client below surf, so that surf needs none of its own: surf is built
//!   without a built-in client here, because those have known vulnerabilities. [`surf_client`] is the short form.
//!
//! [`over_hyper`] does both: a remote whose requests go through surf's middleware and are carried by hyper.
//!
//! ```
//! use larder_rest::Rest;
//! use larder_rest_surf::over_hyper;
//! use surf::middleware::{Middleware, Next};
//!
//! struct Named;
//!
//! #[surf::utils::async_trait]
//! impl Middleware for Named {
//!     async fn handle(&self, mut request: surf::Request, client: surf::Client, next: Next<'_>) -> surf::Result<surf::Response> {
//!         request.set_header("x-client", "larder");
//!         next.run(request, client).await
//!     }
//! }
//!
//! let rest = Rest::at("https://api.example.com").transport_with(over_hyper(|client| client.with(Named)));
//! # drop(rest);
//! ```
//!
//! What surf can't express comes through all the same: a status that it does not know (520) is replaced by one of its class
//! for middleware, and is 520 again for the remote; see [`Original`]. A header or URL that it would change or panic on is
//! refused with `Invalid`, before anything is sent. How far a request had gone survives surf's errors. A middleware that
//! repeats requests or follows redirects does so behind the outbox's back: leave such out.

mod body;
mod client;
mod codec;
mod config;
mod error;
mod transport;

pub use client::LarderHttpClient;
pub use codec::Original;
pub use config::{over_hyper, surf_client};
pub use transport::SurfTransport;

pub use surf;
