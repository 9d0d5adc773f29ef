//! Which requests a variant answers: `[METHOD ]path[?query]`.
//!
//! - Path and query are compared after percent-decoding; slashes at either end and the order of the query don't count.
//! - A variant without a method answers every method.
//! - The query must be the same: `users` does not answer `users?page=2`. A `*` stands for one path segment, or one
//!   query value; `?*` or `&*` for any further query; `**` at the end of the path for any number of segments.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

/// A request's method, path and query, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
}

impl Target {
    /// The target of a request below the path `base`; a request beside it keeps its whole path.
    pub(crate) fn new(method: &Method, uri: &Uri, base: &[String]) -> Self {
        let mut segments = segments(uri.path());
        if segments.starts_with(base) {
            segments.drain(..base.len());
        }
        Self { method: method.clone(), segments, query: query(uri.query().unwrap_or_default()) }
    }
}

/// The target as a variant is written, with the query in order.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.segments.join("/"))?;
        let mut query = self.query.clone();
        query.sort();
        for (at, (name, value)) in query.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// Which requests a variant answers.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    method: Option<Method>,
    path: Vec<Segment>,
    /// Any further segments.
    deeper: bool,
    query: Vec<(String, Option<String>)>,
    /// Any further query.
    more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Exact(String),
    Any,
}

/// Words that are methods; any other is part of the path.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// How closely a pattern fits; the closest one answers.
pub(crate) type Fit = (bool, usize, bool, usize, bool);

impl Pattern {
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        let (method, target) = match text.split_once(char::is_whitespace) {
            Some((word, rest)) if METHODS.contains(&word) => (word.parse().ok(), rest.trim_start()),
            _ => (None, text),
        };
        let (path_text, query_text) = target.split_once('?').unwrap_or((target, ""));
        let mut path: Vec<Segment> = segments(path_text).into_iter().map(Segment::new).collect();
        let deeper = path.last() == Some(&Segment::Exact("**".to_owned()));
        if deeper {
            path.pop();
        }
        let more = query_text.split('&').any(|pair| pair == "*");
        let query = query(query_text)
            .into_iter()
            .filter(|(name, value)| !(name == "*" && value.is_empty()))
            .map(|(name, value)| (name, (value != "*").then_some(value)))
            .collect();
        Self { method, path, deeper, query, more }
    }

    /// How closely the pattern fits `target`; `None` if it does not.
    pub(crate) fn fit(&self, target: &Target) -> Option<Fit> {
        let method = self.method.as_ref().is_none_or(|method| *method == target.method);
        let enough = target.segments.len() == self.path.len()
            || self.deeper && target.segments.len() > self.path.len();
        let path = self.path.iter().zip(&target.segments).all(|(wanted, found)| wanted.takes(found));
        if !method || !enough || !path || !self.takes_query(&target.query) {
            return None;
        }
        let exact = self.path.iter().filter(|segment| **segment != Segment::Any).count();
        let values = self.query.iter().filter(|(_, value)| value.is_some()).count();
        Some((self.method.is_some(), exact, !self.deeper, values, !self.more))
    }

    fn takes_query(&self, query: &[(String, String)]) -> bool {
        let mut left: Vec<&(String, String)> = query.iter().collect();
        let mut take = |name: &str, value: Option<&str>| {
            let at = left.iter().position(|(n, v)| n == name && value.is_none_or(|value| v == value));
            at.map(|at| left.remove(at)).is_some()
        };
        // Exact values first: a `*` takes what they leave.
        let (exact, any): (Vec<_>, Vec<_>) = self.query.iter().partition(|(_, value)| value.is_some());
        exact.into_iter().chain(any).all(|(name, value)| take(name, value.as_deref()))
            && (self.more || left.is_empty())
    }

    /// True if both answer the same requests.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let sorted = |pattern: &Self| {
            let mut query = pattern.query.clone();
            query.sort();
            query
        };
        self.method == other.method
            && self.path == other.path
            && self.deeper == other.deeper
            && self.more == other.more
            && sorted(self) == sorted(other)
    }
}

impl Segment {
    fn new(text: String) -> Self {
        if text == "*" { Self::Any } else { Self::Exact(text) }
    }

    fn takes(&self, found: &str) -> bool {
        match self {
            Self::Exact(text) => text == found,
            Self::Any => true,
        }
    }
}

/// The decoded segments of a path.
pub(crate) fn segments(path: &str) -> Vec<String> {
    let path = path.trim_matches('/');
    if path.is_empty() { Vec::new() } else { path.split('/').map(decode).collect() }
}

/// The decoded names and values of a query; `+` is a space.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
    };
    text.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn target(method: &str, uri: &str) -> Target {
        Target::new(&method.parse().expect("a method"), &uri.parse().expect("a uri"), &[])
    }

    #[rstest]
    #[case::plain("GET users", "GET", "/users", true)]
    #[case::slashes("GET /users/", "GET", "https://example.com/users", true)]
    #[case::other_method("GET users", "POST", "/users", false)]
    #[case::every_method("users", "DELETE", "/users", true)]
    #[case::other_path("users", "GET", "/hats", false)]
    #[case::deeper_path("users", "GET", "/users/1", false)]
    #[case::query("users?a=1&b=2", "GET", "/users?b=2&a=1", true)]
    #[case::no_query("users", "GET", "/users?page=2", false)]
    #[case::missing_query("users?a=1", "GET", "/users", false)]
    #[case::repeated("users?id=1&id=2", "GET", "/users?id=2&id=1", true)]
    #[case::repeated_once("users?id=1&id=1", "GET", "/users?id=1", false)]
    #[case::any_query("users?*", "GET", "/users?page=2&x=y", true)]
    #[case::more_query("users?a=1&*", "GET", "/users?x=y&a=1", true)]
    #[case::any_value("users?page=*", "GET", "/users?page=7", true)]
    #[case::any_value_elsewhere("users?page=*", "GET", "/users?size=7", false)]
    #[case::exact_before_any("users?a=*&a=1", "GET", "/users?a=1&a=2", true)]
    #[case::any_segment("users/*", "GET", "/users/7", true)]
    #[case::one_segment("users/*", "GET", "/users/7/hats", false)]
    #[case::deep("users/**", "GET", "/users/7/hats", true)]
    #[case::encoded("tags/a b?q=Gr\u{f6}\u{df}e", "GET", "/tags/a%20b?q=Gr%C3%B6%C3%9Fe", true)]
    #[case::slash_in_a_segment("tags/a%2Fb", "GET", "/tags/a%2fb", true)]
    #[case::slash_between_segments("tags/a%2Fb", "GET", "/tags/a/b", false)]
    #[case::plus("users?name=a+b", "GET", "/users?name=a%20b", true)]
    fn fits(#[case] pattern: &str, #[case] method: &str, #[case] uri: &str, #[case] expected: bool) {
        assert_eq!(Pattern::parse(pattern).fit(&target(method, uri)).is_some(), expected);
    }

    #[rstest]
    #[case("GET users", "users", "/users")]
    #[case("users/1", "users/*", "/users/1")]
    #[case("users?a=1", "users?a=*", "/users?a=1")]
    #[case("users?a=1", "users?*", "/users?a=1")]
    #[case("users/*", "users/**", "/users/1")]
    fn the_closer_pattern_wins(#[case] closer: &str, #[case] other: &str, #[case] uri: &str) {
        let fit = |pattern| Pattern::parse(pattern).fit(&target("GET", uri)).expect("it fits");
        assert!(fit(closer) > fit(other));
    }

    #[test]
    fn a_base_is_taken_off() {
        let base = segments("api/v1");
        let uri = "/api/v1/users".parse().expect("a uri");
        assert_eq!(Target::new(&Method::GET, &uri, &base).to_string(), "GET users");
    }
}
