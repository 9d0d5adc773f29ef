//! Percent-encoding, and the query of a request target.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but what RFC 3986 calls unreserved: no value can end its segment, its parameter or the path.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a value whole.
pub(crate) fn encode(value: &str) -> String {
    utf8_percent_encode(value, RESERVED).to_string()
}

/// The parameters of a query, encoded, in the order in which they go out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Params(Vec<String>);

impl Params {
    /// Splits a query that is encoded already.
    pub(crate) fn parse(query: &str) -> Self {
        Self(query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned).collect())
    }

    /// Adds a parameter.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push(format!("{}={}", encode(name), encode(value)));
    }

    /// Sets a parameter, in place of all of that name.
    pub(crate) fn replace(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes all parameters of that name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|pair| {
            let key = pair.split_once('=').map_or(pair.as_str(), |(key, _)| key).replace('+', " ");
            percent_decode_str(&key).decode_utf8_lossy() != name
        });
    }

    /// The path with these parameters.
    pub(crate) fn target(&self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{path}?{}", self.0.join("&")) }
    }
}

/// A request target, taken apart at its query.
pub(crate) fn split(target: &str) -> (&str, Params) {
    match target.split_once('?') {
        Some((path, query)) => (path, Params::parse(query)),
        None => (target, Params::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("abcXYZ019-._~", "abcXYZ019-._~")]
    #[case("../admin", "..%2Fadmin")]
    #[case("a/b?x=1#y", "a%2Fb%3Fx%3D1%23y")]
    #[case("%2e%2e", "%252e%252e")]
    #[case("a b+c", "a%20b%2Bc")]
    #[case("\r\nX-Evil: 1", "%0D%0AX-Evil%3A%201")]
    #[case("Zoë", "Zo%C3%AB")]
    #[case("\0;@&", "%00%3B%40%26")]
    fn encodes_all_that_is_not_unreserved(#[case] value: &str, #[case] expected: &str) {
        assert_eq!(encode(value), expected);
    }

    #[test]
    fn a_parameter_is_replaced_however_it_is_spelt() {
        let mut params = Params::parse("a=1&api%5Fkey=old&b=2&api_key=older&flag");
        params.replace("api_key", "n w");
        assert_eq!(params.target("/x"), "/x?a=1&b=2&flag&api_key=n%20w");
        params.remove("flag");
        assert_eq!(params.target("/x"), "/x?a=1&b=2&api_key=n%20w");
        assert_eq!(Params::default().target("/x"), "/x");
    }
}
