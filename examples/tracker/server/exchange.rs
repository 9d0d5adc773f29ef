//! What is asked of the repository and what it answers, apart from HTTP.

use serde_json::Value;

use super::journal::Origin;
use super::object::{Fields, Kind, Object};
use super::refusal::Refusal;

/// What kind of write a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A write as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) verb: Verb,
    /// As it was sent, for the journal and for comparing repetitions.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// From the path, decoded; none for a POST.
    pub(crate) target: Option<String>,
    /// Empty for a DELETE.
    pub(crate) body: Fields,
    /// Without its quotes.
    pub(crate) idempotency_key: Option<String>,
    pub(crate) if_match: Option<String>,
    /// `If-None-Match: *`: only a create will do.
    pub(crate) only_create: bool,
    pub(crate) origin: Origin,
}

impl Write {
    pub(crate) fn payload(&self) -> Value {
        if self.verb == Verb::Delete { Value::Null } else { Value::Object(self.body.clone()) }
    }
}

/// What is sent back.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    /// The path of what was created.
    pub(crate) location: Option<String>,
    pub(crate) body: Option<Value>,
    /// Taken from an earlier request with the same idempotency key.
    pub(crate) replayed: bool,
}

/// The answer that shows an object.
pub(crate) fn shown(object: &Object) -> Answer {
    let body = Some(Value::Object(object.fields.clone()));
    Answer { status: 200, etag: Some(object.etag()), body, ..Answer::default() }
}

/// Whether the write may happen in the object's present state.
pub(crate) fn check_preconditions(write: &Write, current: Option<&Object>) -> Result<(), Refusal> {
    if write.only_create && current.is_some() {
        return Err(Refusal::Stale(current.cloned().map(Box::new)));
    }
    let Some(wanted) = &write.if_match else {
        return Ok(());
    };
    match (current, write.verb) {
        (Some(object), _) if tag_listed(wanted, &object.etag()) => Ok(()),
        (Some(object), _) => Err(Refusal::Stale(Some(Box::new(object.clone())))),
        (None, Verb::Put | Verb::Post) => Err(Refusal::Stale(None)),
        // The request would be refused without its precondition too.
        (None, Verb::Patch | Verb::Delete) => Ok(()),
    }
}

/// Whether a list of entity tags names this one; `*` names every one.
pub(crate) fn tag_listed(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one == etag)
}
