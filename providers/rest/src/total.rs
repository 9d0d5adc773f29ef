//! How a server tells how many rows there are in all.

use http::HeaderMap;
use serde_json::Value;

use crate::codec;

/// Where an answer tells how many rows there are in all: for [`Endpoint::total`](crate::Endpoint::total) and
/// [`Changes::total`](crate::Changes::total). An answer that does not tell it, or tells no number, has no total.
///
/// ```
/// use larder_rest::{Endpoint, Total};
///
/// let users = Endpoint::new("/users").total(Total::header("X-Total-Count"));
/// let notes = Endpoint::new("/notes").list_key("items").total(Total::member("meta.count"));
/// # drop((users, notes));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is given to `Endpoint::total` or `Changes::total`"]
pub struct Total(At);

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Header(String),
    Member(String),
}

impl Total {
    /// In this header: `X-Total-Count: 319`, or behind the slash of `Content-Range: items 0-24/319`.
    pub fn header(name: impl Into<String>) -> Self {
        Self(At::Header(name.into()))
    }

    /// In this member: `count`, or a path such as `meta.count`.
    pub fn member(path: impl Into<String>) -> Self {
        Self(At::Member(path.into()))
    }

    /// What an answer tells.
    pub(crate) fn of(&self, headers: &HeaderMap, json: &Value) -> Option<u64> {
        match &self.0 {
            At::Header(name) => {
                let text = headers.get(name)?.to_str().ok()?;
                text.rsplit('/').next()?.trim().parse().ok()
            }
            At::Member(path) => match codec::optional(json, path)? {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(told: &str, expected: Option<u64>) {
        let headers = HeaderMap::from_iter([(http::header::CONTENT_RANGE, told.parse().expect("a header"))]);
        assert_eq!(Total::header("content-range").of(&headers, &Value::Null), expected, "{told}");
    }

    #[test]
    fn a_header_tells_a_number_or_nothing() {
        check("319", Some(319));
        check("items 0-24/319", Some(319));
        check("items 0-24/*", None);
        check("-1", None);
        check("", None);
    }

    #[test]
    fn a_member_tells_a_number_or_nothing() {
        let total = Total::member("meta.count");
        let told =
            |count: Value| total.of(&HeaderMap::new(), &serde_json::json!({ "meta": { "count": count } }));
        assert_eq!(told(3.into()), Some(3));
        assert_eq!(told("3".into()), Some(3));
        assert_eq!((told(Value::Null), told((-3).into()), told("three".into())), (None, None, None));
        assert_eq!(total.of(&HeaderMap::new(), &Value::Array(Vec::new())), None);
    }
}
