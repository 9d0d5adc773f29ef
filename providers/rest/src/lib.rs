//! A remote over REST: endpoint templates, paging, entity tags, on any tower HTTP service.
//!
//! [`Rest::at`] configures a remote, an [`Endpoint`] says what is special about one model, and the repository's `build`
//! opens it. What a request goes through is a [`Transport`]: hyper's client by default (feature `hyper`), or whatever
//! tower has.
//!
//! - A write is sent once: no transport repeats it and no redirect of it is followed. An error says how far it had gone
//!   ([`larder_core::Error::sent`]).
//! - What the server accepted is never an error: an answer to a write that can't be read gives
//!   [`Applied`](larder_core::Applied) without a row, and a warning in the trace.
//! - Of a query the server gets what its endpoint declares, and [`Page::done`](larder_core::Page) says what that was.
//! - [`Credentials`] are asked at each send. They are in no error, no trace and no page token.
//! - Every request has an end: 30 seconds by default, or the deadline of the call.
//!
//! # What an answer means
//!
//! | status | kind |
//! |---|---|
//! | 401 | `Unauthorized` |
//! | 404, 410 | `NotFound`; of a read by key: no row; of a delete: done |
//! | 409, 412, 428 | `Conflict` |
//! | 408, 425, 429, and 5xx but 501 and 505 | `Http`, transient; `Retry-After` is kept |
//! | other 4xx | `Rejected` |
//! | a redirect that is not followed, and all else | `Http` |
//!
//! [`Rest::status`] says otherwise, by number. What a *repeated* write is answered is said by the endpoint
//! ([`Endpoint::on_repeat`]).
//!
//! The server's body is kept in the error, up to 64 KiB.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/runtime.rs")); }
//! # use support::opening;
//! use std::convert::Infallible;
//!
//! use larder_core::{Context, FieldDef, Key, KeyDef, Kind, OpenProvider, Query, Schema};
//! use larder_rest::{Body, Rest, http};
//!
//! static TAG: Schema = Schema::new("Tag", &[FieldDef::new("name", Kind::Str)], KeyDef::natural(&[0]));
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let server = tower::service_fn(|request: http::Request<Body>| async move {
//!     assert_eq!(request.uri().path(), "/tags/bug");
//!     Ok::<_, Infallible>(http::Response::new(Body::from(r#"{"name": "bug"}"#)))
//! });
//! let rest = Rest::at("https://api.example.com").transport(server);
//! let remote = Box::new(rest).open(&opening(&[&TAG])).await?;
//! let page = remote.get(&Context::new(), &TAG, &Query::key(Key::from("bug"))).await?;
//! assert_eq!(page.rows.len(), 1);
//! # Ok::<(), larder_core::Error>(()) }).unwrap();
//! ```

mod changes;
#[cfg(feature = "hyper")]
mod client;
mod codec;
mod config;
mod created;
mod credentials;
mod endpoint;
mod error;
mod exchange;
mod filters;
mod forward;
mod link;
mod meaning;
mod origin;
mod paging;
mod provider;
mod pushdown;
mod query;
mod refreshing;
mod route;
mod template;
mod total;
mod transport;
mod write;

pub use changes::Changes;
#[cfg(feature = "hyper")]
pub use client::{HyperBuilder, HyperTransport};
pub use config::Rest;
pub use credentials::{ApiKey, BearerToken, Credential, Credentials};
pub use endpoint::{Action, Endpoint, OnRepeat};
pub use filters::{FieldRef, FilterOp, OrderStyle};
pub use forward::Host;
pub use meaning::Meaning;
pub use paging::Paging;
pub use refreshing::Refreshing;
pub use total::Total;
pub use transport::{Body, BoxError, NotSent, ResponseBody, Transport, TransportError};

pub use http;
