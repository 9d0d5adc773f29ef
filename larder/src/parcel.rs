//! A request that is no model, as it lies in the store: a row of a model of our own, and an entry of the same outbox.
//!
//! The entry has the row without its body. So the schedule reads heads and no bodies, a mark rewrites no body, and what
//! is sent is read when it is sent.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{
    Batch, Entry, Error, ErrorKind, Idempotency, Key, Model, MutationId, Op, Request, Result, Row, Schema,
    Sent, StoredRow, Timestamp, Uuid,
};
use larder_derive::{Datum, Model};

use crate::engine::enqueue::{Intent, Write, enqueue};

/// The row.
#[derive(Model, Clone, Debug)]
#[model(crate = "crate", name = "larder::Request")]
pub(crate) struct Parcel {
    #[model(key)]
    id: Uuid,
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<Header>,
    /// `None` for the remote itself.
    host: Option<String>,
    lane: String,
    repeat: Repeat,
    /// How long a key is remembered, in seconds.
    key_life: u64,
    /// How long the body is.
    length: u64,
    body: Vec<u8>,
}

#[derive(Datum, Clone, Debug)]
#[model(crate = "crate")]
struct Header {
    name: String,
    value: String,
}

/// How it stands being sent twice, by name: the values are stored.
#[derive(Datum, Clone, Copy, Debug, PartialEq)]
#[model(crate = "crate")]
enum Repeat {
    Idempotent,
    Keyed,
    AtMostOnce,
}

/// What is known of a request before it is kept.
pub(crate) struct Draft {
    pub(crate) request: Request,
    pub(crate) host: Option<Arc<str>>,
    pub(crate) lane: String,
}

/// True if an entry is a request that is no model.
pub(crate) fn is_parcel(entry: &Entry) -> bool {
    std::ptr::eq(entry.schema, Parcel::schema())
}

impl Parcel {
    /// What is stored of a request.
    ///
    /// # Errors
    /// `Unsupported` for a declaration that a request can't have.
    pub(crate) fn of(draft: Draft) -> Result<Self> {
        let Draft { request, host, lane } = draft;
        let (repeat, key_life) = match request.idempotency {
            Idempotency::Idempotent => (Repeat::Idempotent, Duration::ZERO),
            Idempotency::Keyed { life } => (Repeat::Keyed, life),
            Idempotency::AtMostOnce => (Repeat::AtMostOnce, Duration::ZERO),
            other => {
                let what = format!(
                    "a request can't be {other:?}, for nobody knows what to ask or to compare: declare it as \
                     `Idempotent`, `Keyed` or `AtMostOnce`"
                );
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
        };
        Ok(Self {
            id: request.id.0,
            method: request.method,
            target: request.target,
            headers: request.headers.into_iter().map(|(name, value)| Header { name, value }).collect(),
            host: host.map(|host| host.to_string()),
            lane,
            repeat,
            key_life: key_life.as_secs(),
            length: request.body.len() as u64,
            body: request.body.to_vec(),
        })
    }

    /// The request of an entry, without its body.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt` if it can't be read.
    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let row = entry.row.as_deref();
        Self::from_row(row.ok_or_else(|| Error::new(ErrorKind::Serialization, "a request without a row"))?)
    }

    /// The lane in which it goes: requests of one lane and host go in order, one at a time.
    pub(crate) fn lane(&self) -> Key {
        let host = self.host.as_deref().unwrap_or_default();
        Key::Composite([Key::from(host), Key::from(self.lane.as_str())].into())
    }

    pub(crate) fn host(&self) -> Option<Arc<str>> {
        self.host.as_deref().map(Into::into)
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn idempotency(&self) -> Idempotency {
        match self.repeat {
            Repeat::Idempotent => Idempotency::Idempotent,
            Repeat::Keyed => Idempotency::Keyed { life: Duration::from_secs(self.key_life) },
            Repeat::AtMostOnce => Idempotency::AtMostOnce,
        }
    }

    /// The same request with what an edit made of it. It keeps its key, its lane and how it stands being sent twice.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn edited(&self, request: Request) -> Result<Self> {
        let draft = Draft { request, host: self.host(), lane: self.lane.clone() };
        Ok(Self { id: self.id, ..Self::of(draft)? })
    }

    /// What stands of it in its entry: all but the body.
    pub(crate) fn head(&self) -> Arc<dyn Row> {
        Arc::new(Self { body: Vec::new(), ..self.clone() })
    }

    /// Adds to a batch what keeps it.
    ///
    /// # Errors
    /// As [`enqueue`].
    pub(crate) fn keep(
        self,
        batch: &mut Batch,
        id: MutationId,
        account: Option<Arc<str>>,
        now: Timestamp,
    ) -> Result<()> {
        let (schema, key) = (Self::schema(), self.key()?);
        let head = self.head();
        let (carries, within) = (Vec::new(), None);
        let write = Write::Put(Arc::new(self));
        enqueue(batch, None, Intent { schema, key, write, id: Some(id), account, now, carries, within })?;
        for op in &mut batch.ops {
            if let Op::Enqueue(entry) = op {
                entry.row = Some(Arc::clone(&head));
            }
        }
        Ok(())
    }

    /// What is sent of an entry and its row.
    ///
    /// # Errors
    /// `Unsupported`, as of an entry that can't be sent, if the body is not there any more.
    pub(crate) fn request(entry: &Entry, stored: Option<&StoredRow>, repeated: bool) -> Result<Request> {
        let lost = |why: &str| {
            let error = Error::new(ErrorKind::Unsupported, why).with_sent(Sent::Never);
            error.model(Self::schema().model).key(&entry.key)
        };
        let row = stored.and_then(|stored| stored.row.as_deref());
        let whole = Self::from_row(row.ok_or_else(|| lost("the body of the request is lost"))?)
            .map_err(|error| lost("the request can't be read").because(error))?;
        // A row that was lost is made again from its entry, which has no body.
        if whole.body.len() as u64 != whole.length {
            return Err(lost("the body of the request is lost"));
        }
        Ok(Request {
            id: entry.id,
            idempotency: whole.idempotency(),
            method: whole.method,
            target: whole.target,
            headers: whole.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            body: whole.body.into(),
            repeated,
        })
    }
}

/// The model under which requests are stored.
pub(crate) fn schema() -> &'static Schema {
    Parcel::schema()
}
