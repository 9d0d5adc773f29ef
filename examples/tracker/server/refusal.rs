//! Why the server refused a request, in GitHub's words and statuses.

use serde_json::{Value, json};

use super::exchange::Answer;
use super::object::Object;

/// A request that changed nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// 400: what was sent cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// 404.
    #[error("not found")]
    NotFound,
    /// 412: the object is not in the state that `If-Match` names. The current one is the answer's body.
    #[error("the object was changed since it was read")]
    Stale(Option<Box<Object>>),
    /// 422: a create under a key that is taken.
    #[error("{field} already exists")]
    AlreadyExists {
        /// The key field.
        field: &'static str,
    },
    /// 422: a field breaks a rule.
    #[error("{field} {problem}")]
    Invalid {
        /// Which field.
        field: String,
        /// What it must be.
        problem: String,
    },
    /// 422: the idempotency key was used with another request.
    #[error("the idempotency key was used before with another request; make a new key")]
    KeyReused,
}

impl Refusal {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Unreadable(_) => 400,
            Self::NotFound => 404,
            Self::Stale(_) => 412,
            Self::AlreadyExists { .. } | Self::Invalid { .. } | Self::KeyReused => 422,
        }
    }

    fn body(&self) -> Value {
        let message = self.to_string();
        match self {
            Self::Unreadable(_) | Self::KeyReused | Self::Stale(None) => json!({ "message": message }),
            Self::NotFound => json!({ "message": "Not Found" }),
            Self::Stale(Some(current)) => Value::Object(current.fields.clone()),
            Self::AlreadyExists { field } => {
                json!({ "message": "Validation Failed", "errors": [{ "field": field, "code": "already_exists" }] })
            }
            Self::Invalid { field, .. } => {
                json!({ "message": "Validation Failed",
                        "errors": [{ "field": field, "code": "invalid", "message": message }] })
            }
        }
    }

    /// The answer to send.
    pub(crate) fn answer(&self) -> Answer {
        let etag = match self {
            Self::Stale(Some(current)) => Some(current.etag()),
            _ => None,
        };
        Answer { status: self.status(), etag, body: Some(self.body()), ..Answer::default() }
    }
}
