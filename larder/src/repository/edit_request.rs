//! Editing a request that is no model and waits for a decision.

use std::fmt;
use std::sync::Arc;

use larder_core::{Error, ErrorKind, Request, Result};

use super::outbox::{Outbox, gone};
use crate::driver::Retry;
use crate::engine::Event;

/// What of a request can be edited: see [`Outbox::edit_request`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestContent {
    /// The method.
    pub method: String,
    /// Where it goes: a path, or a URL of the same host.
    pub target: String,
    /// The headers, as they were given.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Neither the query nor the values of headers are shown: who knows what is in them.
impl fmt::Debug for RequestContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("RequestContent")
            .field("method", &self.method)
            .field("path", &self.target.split(['?', '#']).next().unwrap_or_default())
            .field("headers", &headers)
            .field("body", &self.body.len())
            .finish()
    }
}

impl Outbox<'_> {
    /// Lets a parked request that is no model go again with another content; `edit` gets what it is. One that was refused
    /// goes as another request at the end, as after [`retry`](Self::retry); one that stops its lane keeps its place. It
    /// goes under a new idempotency key if it may have been sent, and keeps its lane and what was declared of it.
    ///
    /// # Errors
    /// `NotFound` if there is no such request; `Conflict` if it is not parked; `Invalid` if it is a mutation of a model, if
    /// it would go to another host or change nothing there, for a header that is not kept, and for what can't be sent;
    /// `Full` for a body that is too long; `Unsupported` if its body is lost; `Offline` without a remote; `Storage`.
    pub async fn edit_request(
        &self,
        seq: u64,
        mut edit: impl FnMut(&mut RequestContent) + Send + 'static,
    ) -> Result<()> {
        let remote = self.remote()?;
        let (acts, driver, id) = (Arc::clone(&remote.acts), remote.driver.clone(), self.repo.mint());
        let (provider, shared) = (Arc::clone(&remote.provider), Arc::clone(&self.repo.shared));
        let decision = async move {
            let mut edit = |request: Request| -> Result<(Request, Option<Arc<str>>)> {
                let mut content = RequestContent {
                    method: request.method,
                    target: request.target,
                    headers: request.headers,
                    body: request.body.to_vec(),
                };
                edit(&mut content);
                let RequestContent { method, target, headers, body } = content;
                let request = Request { method, target, headers, body: body.into(), ..request };
                if request.is_safe() {
                    let what = "a request that changes nothing is not kept: discard it and send another";
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
                let requests = provider.requests().ok_or_else(|| {
                    let what = format!("{} takes no requests that are no models", provider.name());
                    Error::new(ErrorKind::Unsupported, what)
                })?;
                let host = requests.admit(&request)?;
                shared.requests.clone().unwrap_or_default().check(&request)?;
                Ok((request, host))
            };
            match acts
                .edit_request(seq, id, &mut edit)
                .await
                .map_err(|error| error.during("edit a request"))?
            {
                None => return Err(gone(seq)),
                Some(Retry::Anew) => {
                    driver.tell(Event::Requeued(seq));
                    driver.tell(Event::Nudge);
                }
                Some(Retry::Again | Retry::Moved(_) | Retry::Waiting) => {
                    driver.tell(Event::Edited { seq, id });
                }
            }
            Ok(())
        };
        self.decide("larder edit", Box::pin(decision)).await
    }
}
