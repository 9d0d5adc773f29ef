//! Requests that are no models: stored first, and sent as the outbox sends what is queued.

use std::fmt;

use larder_core::{
    Batch, CommitOutcome, Error, ErrorKind, Idempotency, MutationId, Request, Requests, Response, Result,
    WritePolicy,
};
use serde::Serialize;

use super::Repository;
#[cfg(doc)]
use super::RequestSettings;
use crate::fates::{Awaited, Fate};
use crate::parcel::{Draft, Parcel};

/// Makes requests that are no models, beside the outbox of the models: see [`Repository::http`].
#[derive(Clone, Copy, Debug)]
pub struct Http<'a> {
    repo: &'a Repository,
}

impl Repository {
    /// Requests that are no models, to the remote or to another host that it knows.
    ///
    /// What changes something (POST, PUT, PATCH, DELETE, whatever is not GET, HEAD or OPTIONS) is stored first and sent
    /// by the outbox: in the order in which it was made, as often as it takes, after a restart too, and only as often as
    /// its [`Idempotency`] allows. [`Outbox`](super::Outbox) lists it among the rest, and what is said there about
    /// pausing, draining, retrying, discarding and accounts holds for it. It is gone when the remote has answered; a
    /// request that the remote refuses is kept for its answer. Credentials are the remote's, and are added when it is sent.
    ///
    /// ```
    /// # #[cfg(feature = "rest")]
    /// # use std::convert::Infallible;
    /// # #[cfg(feature = "rest")]
    /// # use larder::rest::{Body, Rest, http};
    /// use larder::{Memory, Repository, RequestSettings};
    ///
    /// # #[cfg(not(feature = "rest"))]
    /// # fn main() {}
    /// # #[cfg(feature = "rest")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let server = tower::service_fn(|request: http::Request<Body>| async move {
    /// #     assert_eq!(request.method(), http::Method::POST);
    /// #     Ok::<_, Infallible>(http::Response::builder().status(202).body(Body::empty()).unwrap())
    /// # });
    /// # let rest = Rest::at("https://api.example.com").transport(server);
    /// let repo = Repository::builder()
    ///     .store(Memory::new())
    ///     .remote(rest)
    ///     .requests(RequestSettings::new())
    ///     .build()
    ///     .await?;
    ///
    /// let sent = repo.http().post("/events").json(&["opened"]).send().await?; // durable
    /// assert_eq!(sent.accepted().await?.status, 202); // the server's word
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn http(&self) -> Http<'_> {
        Http { repo: self }
    }
}

impl<'a> Http<'a> {
    /// A GET. It is never stored.
    pub fn get(self, target: impl Into<String>) -> HttpRequest<'a> {
        self.request("GET", target)
    }

    /// A HEAD. It is never stored.
    pub fn head(self, target: impl Into<String>) -> HttpRequest<'a> {
        self.request("HEAD", target)
    }

    /// A POST.
    pub fn post(self, target: impl Into<String>) -> HttpRequest<'a> {
        self.request("POST", target)
    }

    /// A PUT.
    pub fn put(self, target: impl Into<String>) -> HttpRequest<'a> {
        self.request("PUT", target)
    }

    /// A PATCH.
    pub fn patch(self, target: impl Into<String>) -> HttpRequest<'a> {
        self.request("PATCH", target)
    }

    /// A DELETE.
    pub fn delete(self, target: impl Into<String>) -> HttpRequest<'a> {
        self.request("DELETE", target)
    }

    /// A request with any method. Its target is a path below the remote's base, which begins with a slash, or a URL of
    /// the remote or of another host that it knows.
    pub fn request(self, method: impl Into<String>, target: impl Into<String>) -> HttpRequest<'a> {
        HttpRequest {
            repo: self.repo,
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            lane: String::new(),
            idempotency: None,
            unfit: None,
        }
    }
}

/// A request that is being put together.
#[must_use = "nothing happens before `send`"]
pub struct HttpRequest<'a> {
    repo: &'a Repository,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    lane: String,
    idempotency: Option<Idempotency>,
    /// What was given and can't be sent.
    unfit: Option<Error>,
}

impl HttpRequest<'_> {
    /// Adds a header. Of a request that is stored, it has to be one that is kept:
    /// see [`RequestSettings::keep_header`].
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body. Its `Content-Type` is `application/octet-stream` unless a header says otherwise.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a value as JSON, and the `Content-Type` that says so.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => {
                self.body = body;
                self.header("Content-Type", "application/json")
            }
            Err(error) => {
                let what = "the value can't be written as JSON";
                self.unfit = Some(Error::new(ErrorKind::Serialization, what).because(error));
                self
            }
        }
    }

    /// Names the lane: requests of one lane to one host go in order and one at a time, those of other lanes go beside
    /// them. Unless told otherwise, all requests to a host are in one lane.
    pub fn lane(mut self, name: impl Into<String>) -> Self {
        self.lane = name.into();
        self
    }

    /// Declares how the request stands being sent twice, in place of what [`RequestSettings::declare`] says.
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = Some(idempotency);
        self
    }

    /// Stores the request, and returns when it is durable; one that is not stored is sent, and answered when this
    /// returns: what changes nothing, what is excluded, and everything under [`WritePolicy::RequireRemote`].
    ///
    /// # Errors
    /// `Offline` without a remote; `Invalid` if requests were not asked for by
    /// [`Builder::requests`](crate::Builder::requests), for a header that is not kept, and for what can't be sent;
    /// `Unsupported` if the remote takes no such requests or does not send to the host, and under
    /// [`WritePolicy::LocalOnly`]; `Full` for a body that is too long, or if the outbox has no room; `Storage`. Of a
    /// request that is not stored, whatever the remote says.
    pub async fn send(self) -> Result<SentRequest> {
        let repo = self.repo;
        self.dispatch(repo).await.map_err(|error| error.during("send a request"))
    }

    async fn dispatch(self, repo: &Repository) -> Result<SentRequest> {
        if let Some(unfit) = self.unfit {
            return Err(unfit);
        }
        let remote = repo.remote()?;
        let requests = remote.provider.requests().ok_or_else(|| {
            let what = format!("{} takes no requests that are no models", remote.provider.name());
            Error::new(ErrorKind::Unsupported, what)
        })?;
        let settings = repo.shared.requests.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "say `.requests(RequestSettings::new())` when the repository is built",
            )
        })?;
        let idempotency = self.idempotency.unwrap_or_else(|| settings.declared(&self.method, &self.target));
        let request = Request {
            id: repo.mint(),
            method: self.method,
            target: self.target,
            headers: self.headers,
            body: self.body.into(),
            idempotency,
            repeated: false,
        };
        let host = requests.admit(&request)?;
        let directly = request.is_safe() || settings.excludes(&request.target);
        match repo.options.write {
            _ if directly => repo.send_now(requests, &request).await,
            WritePolicy::RequireRemote => repo.send_now(requests, &request).await,
            WritePolicy::OptimisticLocal => {
                settings.check(&request)?;
                repo.send_later(Draft { request, host, lane: self.lane }).await
            }
            WritePolicy::LocalOnly => {
                let what = "a request that is kept here alone is none: write by another policy";
                Err(Error::new(ErrorKind::Unsupported, what))
            }
        }
    }
}

impl Repository {
    async fn send_now(&self, requests: &dyn Requests, request: &Request) -> Result<SentRequest> {
        let response = requests.forward(&self.cx(), request).await?;
        Ok(SentRequest { id: request.id, word: Word::Given(response) })
    }

    async fn send_later(&self, draft: Draft) -> Result<SentRequest> {
        let id = draft.request.id;
        let mut batch = Batch::default();
        Parcel::of(draft)?.keep(&mut batch, id, self.shared.account.get(), self.now())?;
        let _room = self.room_for(&batch).await?;
        let _telling = self.shared.fates.telling();
        let awaited = self.shared.fates.await_fate(id);
        match self.shared.store.commit(&self.cx(), batch).await? {
            CommitOutcome::Committed(committed) => {
                self.remote()?.acts.fresh.lock().add(&committed);
                Ok(SentRequest { id, word: Word::Awaited(awaited) })
            }
            // Its key is new.
            CommitOutcome::Stale => Err(Error::new(ErrorKind::Conflict, "the request is stored already")),
        }
    }
}

/// A request that is durable here, or answered.
///
/// That the remote has it is another word: [`accepted`](Self::accepted).
#[derive(Debug)]
#[must_use = "a stored request may still be refused by the remote; ask `accepted` or watch the outbox"]
pub struct SentRequest {
    id: MutationId,
    word: Word,
}

#[derive(Debug)]
enum Word {
    Given(Response),
    Awaited(Awaited),
}

impl SentRequest {
    /// Its identity in the outbox, and the idempotency key.
    #[must_use]
    pub fn id(&self) -> MutationId {
        self.id
    }

    /// True if it is stored and the remote is still to be told.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        matches!(self.word, Word::Awaited(_))
    }

    /// Waits for the remote's answer, for as long as the remote can't be reached. The answer is not stored: who does not
    /// wait for it in this life of the repository does not get it.
    ///
    /// # Errors
    /// The remote's refusal, with its status and body, if the request is parked; `Cancelled` if it is discarded, or the
    /// repository is closed; `Corrupt` if its place in the outbox is lost by damage of the store.
    pub async fn accepted(self) -> Result<Response> {
        let awaited = match self.word {
            Word::Given(response) => return Ok(response),
            Word::Awaited(awaited) => awaited,
        };
        match awaited.fate().await {
            Some(Fate::Answered(response)) => Ok(response),
            Some(Fate::Failed(error)) => Err(error),
            Some(Fate::Accepted(_)) => {
                Err(Error::new(ErrorKind::Cancelled, "the answer went to another life of the repository"))
            }
            None => Err(Error::new(
                ErrorKind::Cancelled,
                "the repository was closed; the request stays in the outbox",
            )),
        }
    }
}

impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("path", &self.target.split(['?', '#']).next().unwrap_or_default())
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}
