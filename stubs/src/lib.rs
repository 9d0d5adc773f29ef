//! Replays JSON fixtures per endpoint variant, as an HTTP transport that opens no socket.
//!
//! [`Stubs`] is a [`tower::Service`] for HTTP requests: where a client takes a transport, it takes stubs.
//!
//! ```
//! use http::Request;
//! use http_body_util::{BodyExt, Empty};
//! use larder_stubs::Stubs;
//! use serde_json::json;
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stubs = Stubs::new().on("users?by_first_name=Guy", json!([{ "id": 7 }])).collections(["hats"]);
//!
//! let request = Request::get("https://example.com/users?by_first_name=Guy").body(Empty::<&[u8]>::new())?;
//! let answer = stubs.clone().oneshot(request).await?;
//! assert_eq!(answer.into_body().collect().await?.to_bytes(), r#"[{"id":7}]"#);
//! stubs.assert_called("GET users?by_first_name=Guy", 1);
//!
//! // What nobody declared fails, and says what was meant.
//! let request = Request::get("https://example.com/user?by_first_name=Guy").body(Empty::<&[u8]>::new())?;
//! assert_eq!(stubs.clone().oneshot(request).await?.status(), 501);
//! assert_eq!(stubs.undeclared()[0].nearest[0], "users?by_first_name=Guy");
//! # Ok(())
//! # }
//! ```
//!
//! # Variants
//!
//! A variant is `[METHOD ]path[?query]`: `user`, `users`, `users?by_first_name=Guy`, `POST hat/1`. Without a method it
//! answers every method. The query is compared as a set; `users` does not answer `users?page=2`, but `users?*` does.
//! Unless an answer declares its status, it is 200, for POST 201 and for DELETE 204. [`Variant`] has the rest: headers,
//! delays, sequences of answers, templates, a condition on the body.
//!
//! [`Collection`] is stateful: what is created can be read back.
//!
//! # Fixtures
//!
//! [`Stubs::dir`] declares a variant for each `.json` file of a directory, called like the file below it:
//!
//! | file | variant |
//! |---|---|
//! | `users.json` | `users` |
//! | `users?by_first_name=Guy.json`, or `users%3Fby_first_name=Guy.json` where a `?` is not allowed | `users?by_first_name=Guy` |
//! | `hat/1.json` | `hat/1` |
//! | `POST users.json` | `POST users` |
//!
//! A file is the body of the answer. If it is an object with the member `$stub`, that says more:
//!
//! ```json
//! {
//!   "$stub": { "status": 503, "headers": { "retry-after": "2" }, "delay_ms": 50 },
//!   "body": { "error": "later" },
//!   "then": [{ "status": 200, "body": [] }]
//! }
//! ```
//!
//! What names can't say stands in `stubs.manifest.json`, whose variants take their answers from `body`, `template` or
//! `file`; a file that it uses is no variant by its name as well:
//!
//! ```json
//! {
//!   "base": "/api",
//!   "variants": [
//!     { "on": ["user", "profile"], "answer": { "file": "user.json" } },
//!     { "on": "POST users", "body_like": { "name": "" }, "answer": { "status": 422 } },
//!     { "on": "POST echo", "answer": { "template": { "id": "{{path.0}}", "name": "{{body.name}}" } } }
//!   ],
//!   "collections": [{ "at": "hats", "key": "id", "rows": [{ "id": 1 }], "page_size": 30, "etags": true,
//!     "idempotency_key": "Idempotency-Key", "filters": ["colour"], "sort": "sort", "window": ["offset", "limit"] }]
//! }
//! ```
//!
//! # When the network is bad
//!
//! [`Stubs::switches`] turn all stubs offline, slow or flaky, [`Variant::switches`] a single one. What a client gets
//! instead of an answer is a [`larder_core::Error`], whose cause is the [`std::io::Error`] that a socket would have given:
//!
//! | what | kind | sent | cause |
//! |---|---|---|---|
//! | refused | `Offline` | never | `ConnectionRefused` |
//! | reply lost, after the request was acted on | `Transport` | maybe | `ConnectionReset` |

mod calls;
mod collection;
mod error;
mod fixtures;
mod manifest;
mod nearest;
mod pattern;
mod service;
mod stubs;
mod switches;
mod template;
mod variant;

pub use calls::Call;
pub use collection::{Collection, Filters};
pub use error::{BoxError, FixtureError, Undeclared};
pub use stubs::Stubs;
pub use switches::{Fault, Flaky, Switches};
pub use variant::{Answer, Variant};
