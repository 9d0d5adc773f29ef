//! The log of what was asked.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::pattern::{Pattern, Target};

/// A request that arrived, and what became of it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Call {
    /// Its number, from 0.
    pub number: usize,
    /// The method.
    pub method: Method,
    /// The path below the base, decoded.
    pub segments: Vec<String>,
    /// The query in the order of the request, decoded.
    pub query: Vec<(String, String)>,
    /// The headers. Those that carry credentials are marked as sensitive, so that they are not printed.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The variant or collection that answered, as it was declared.
    pub variant: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// True if the answer was lost on its way.
    pub lost: bool,
}

impl Call {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The first value of this name in the query.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first header of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn target(&self) -> Target {
        Target { method: self.method.clone(), segments: self.segments.clone(), query: self.query.clone() }
    }

    pub(crate) fn is_of(&self, pattern: &Pattern) -> bool {
        pattern.fit(&self.target()).is_some()
    }
}

/// One line: the request as a variant is written, and its status.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.target(), self.status)?;
        if self.lost { f.write_str(" (reply lost)") } else { Ok(()) }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Call");
        out.field("request", &self.to_string()).field("headers", &self.headers);
        match self.json() {
            Some(json) => out.field("body", &json.to_string()),
            None => out.field("body", &self.body),
        };
        out.field("variant", &self.variant).finish_non_exhaustive()
    }
}

/// Headers whose values are secrets.
const SECRET: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Marks secrets, so that a log of calls does not print them.
pub(crate) fn conceal(mut headers: HeaderMap) -> HeaderMap {
    for name in SECRET {
        if let http::header::Entry::Occupied(mut values) = headers.entry(name) {
            values.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
    headers
}
