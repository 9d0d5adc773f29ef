//! Where requests go: the base URL, its origin, and references that are resolved against it.

use std::fmt;

use http::Uri;
use http::uri::{Authority, Scheme};
use larder_core::Result;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::error::invalid;

/// The base URL.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
    origin: Origin,
}

impl Base {
    /// Checks what was configured.
    pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Self> {
        if text.contains('@') {
            return Err(invalid(
                "the base URL holds a user name or a password; give them to `Rest::credentials` instead",
            ));
        }
        let wrong = |why: &str| invalid(format!("the base URL `{text}` {why}"));
        if text.contains(['?', '#']) {
            return Err(wrong("has a query or a fragment; give parameters to the endpoints"));
        }
        let uri: Uri = text.parse().map_err(|error| wrong(&format!("is none: {error}")))?;
        let parts = uri.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong("is not absolute; write it as `https://host/path`"));
        };
        let origin = Origin::of(&uri).ok_or_else(|| wrong("is neither https nor http"))?;
        if scheme == Scheme::HTTP && !allow_http && !is_loopback(&origin.host) {
            return Err(wrong("is not encrypted; use https, or say `Rest::allow_http` if that is meant"));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        if path != remove_dots(&path) {
            return Err(wrong("has `.` or `..` in its path"));
        }
        Ok(Self { scheme, authority, path, origin })
    }

    /// The origin.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A path below the base, as a path of the server.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }

    /// The URL of a target: a path of the server, perhaps with a query.
    pub(crate) fn uri(&self, target: &str) -> Result<Uri> {
        let built = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(target)
            .build();
        // The target may hold a secret or a row's data, so the message does not show it.
        built.map_err(|error| {
            invalid("the path and query can't be sent, perhaps because they are too long").because(error)
        })
    }
}

/// Scheme, host and port: what a browser takes for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute URL of http or https.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let (scheme, default) = match uri.scheme_str()?.to_ascii_lowercase().as_str() {
            "https" => ("https", 443),
            "http" => ("http", 80),
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().unwrap_or(default) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        let default = if *scheme == "https" { 443 } else { 80 };
        if *port == default { write!(f, "{scheme}://{host}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    match address {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Resolves a reference against an absolute URL (RFC 3986, 5.2); the fragment is left out.
pub(crate) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = utf8_percent_encode(reference.split('#').next().unwrap_or_default(), ODD).to_string();
    let reference = reference.as_str();
    let scheme = base.scheme_str()?;
    if has_scheme(reference) {
        return tidy(&reference.parse().ok()?);
    }
    if reference.starts_with("//") {
        return tidy(&format!("{scheme}:{reference}").parse().ok()?);
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let (path, query) = if path.is_empty() {
        (base.path().to_owned(), query.or(base.query()))
    } else if path.starts_with('/') {
        (path.to_owned(), query)
    } else {
        let folder = base.path().rfind('/').map_or("/", |at| &base.path()[..=at]);
        (format!("{folder}{path}"), query)
    };
    build(base, &path, query)
}

/// What has no place in a URL, and is in some all the same.
const ODD: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

fn tidy(uri: &Uri) -> Option<Uri> {
    build(uri, uri.path(), uri.query())
}

fn build(of: &Uri, path: &str, query: Option<&str>) -> Option<Uri> {
    let path = remove_dots(path);
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let builder = Uri::builder().scheme(of.scheme()?.clone()).authority(of.authority()?.clone());
    builder.path_and_query(target).build().ok()
}

fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else {
        return false;
    };
    scheme.starts_with(|char: char| char.is_ascii_alphabetic())
        && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
}

/// Removes `.` and `..` (RFC 3986, 5.2.4), encoded ones as well: servers decode before they look.
fn remove_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // What ends in dots is a folder.
        if last {
            kept.push("");
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_core::ErrorKind;
    use rstest::rstest;

    #[rstest]
    #[case("https://api.example.com", false, "/users", "https://api.example.com/users")]
    #[case("https://api.example.com/", false, "/users", "https://api.example.com/users")]
    #[case("https://api.example.com:8443/v1/", false, "/users", "https://api.example.com:8443/v1/users")]
    #[case("http://localhost:3000", false, "/users", "http://localhost:3000/users")]
    #[case("http://127.0.0.2:3000", false, "/users", "http://127.0.0.2:3000/users")]
    #[case("http://[::1]:3000", false, "/users", "http://[::1]:3000/users")]
    #[case("http://intranet", true, "/users", "http://intranet/users")]
    fn a_base_url_gives_urls(
        #[case] base: &str,
        #[case] http: bool,
        #[case] path: &str,
        #[case] expected: &str,
    ) {
        let base = Base::parse(base, http).unwrap();
        assert_eq!(base.uri(&base.below(path)).unwrap().to_string(), expected);
    }

    #[rstest]
    #[case("")]
    #[case("api.example.com")]
    #[case("/users")]
    #[case("https://")]
    #[case("https://api example.com")]
    #[case("ftp://api.example.com")]
    #[case("https://api.example.com?x=1")]
    #[case("https://api.example.com#x")]
    #[case("https://api.example.com/v1/../v2")]
    #[case("https://user:pa55word@api.example.com")]
    #[case("http://api.example.com")]
    #[case("http://localhost.example.com")]
    #[case("http://128.0.0.1")]
    fn what_is_no_base_url_is_refused(#[case] base: &str) {
        let error = Base::parse(base, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(!error.to_string().contains("pa55word"), "{error}");
    }

    /// RFC 3986, 5.4, without the fragments and without what is no URL of http.
    #[rstest]
    #[case("g", "http://a/b/c/g")]
    #[case("./g", "http://a/b/c/g")]
    #[case("g/", "http://a/b/c/g/")]
    #[case("/g", "http://a/g")]
    #[case("//g", "http://g/")]
    #[case("?y", "http://a/b/c/d;p?y")]
    #[case("g?y", "http://a/b/c/g?y")]
    #[case("#s", "http://a/b/c/d;p?q")]
    #[case("g#s", "http://a/b/c/g")]
    #[case(";x", "http://a/b/c/;x")]
    #[case("g;x?y#s", "http://a/b/c/g;x?y")]
    #[case("", "http://a/b/c/d;p?q")]
    #[case(".", "http://a/b/c/")]
    #[case("./", "http://a/b/c/")]
    #[case("..", "http://a/b/")]
    #[case("../", "http://a/b/")]
    #[case("../g", "http://a/b/g")]
    #[case("../..", "http://a/")]
    #[case("../../g", "http://a/g")]
    #[case("../../../g", "http://a/g")]
    #[case("/./g", "http://a/g")]
    #[case("/../g", "http://a/g")]
    #[case("g.", "http://a/b/c/g.")]
    #[case("..g", "http://a/b/c/..g")]
    #[case("./g/.", "http://a/b/c/g/")]
    #[case("g/./h", "http://a/b/c/g/h")]
    #[case("g/../h", "http://a/b/c/h")]
    #[case("g?y/../x", "http://a/b/c/g?y/../x")]
    #[case("%2e%2E/g", "http://a/b/g")]
    #[case("http://other/x?y", "http://other/x?y")]
    #[case("Zoë {1}?a=b c", "http://a/b/c/Zo%C3%AB%20%7B1%7D?a=b%20c")]
    #[case("..\\g", "http://a/b/c/..%5Cg")]
    fn references_resolve(#[case] reference: &str, #[case] expected: &str) {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        assert_eq!(resolve(&base, reference).unwrap().to_string(), expected);
    }

    #[rstest]
    #[case("https://a/x", "https://A:443/y", true)]
    #[case("https://a", "http://a", false)]
    #[case("https://a", "https://a:8443", false)]
    #[case("https://a", "https://b.a", false)]
    fn origins_compare(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
        let [one, other] = [one, other].map(|text| Origin::of(&text.parse().unwrap()).unwrap());
        assert_eq!(one == other, same);
    }
}
