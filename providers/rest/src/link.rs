//! The `Link` header (RFC 8288): small, and forgiving as its appendix B asks.

use http::HeaderMap;
use http::header::LINK;

/// One link of a header field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    /// The target, perhaps relative.
    pub(crate) target: String,
    /// The parameters, names in lower case.
    pub(crate) params: Vec<(String, String)>,
}

impl Link {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether `rel`, which may list several relations, lists that one. A second `rel` does not count.
    fn is(&self, relation: &str) -> bool {
        let mut relations = self.param("rel").unwrap_or_default().split_ascii_whitespace();
        relations.any(|one| one.eq_ignore_ascii_case(relation))
    }
}

/// The target of the first link to the next page. One with an `anchor` is about another resource.
pub(crate) fn next(headers: &HeaderMap) -> Option<String> {
    let fields =
        headers.get_all(LINK).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut links = fields.flat_map(|field| parse(&field));
    links.find(|link| link.is("next") && link.param("anchor").is_none()).map(|link| link.target)
}

/// The links of a field; what is malformed ends the parsing, and what came before it counts.
pub(crate) fn parse(field: &str) -> Vec<Link> {
    let mut rest = field;
    let mut links = Vec::new();
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_ascii_whitespace() || char == ',');
        let Some(inside) = rest.strip_prefix('<') else {
            return links;
        };
        let Some((target, after)) = inside.split_once('>') else {
            return links;
        };
        let (params, after) = params(after);
        links.push(Link { target: target.trim().to_owned(), params });
        rest = after;
    }
}

fn params(text: &str) -> (Vec<(String, String)>, &str) {
    let mut rest = text.trim_start();
    let mut params = Vec::new();
    while let Some(after) = rest.strip_prefix(';') {
        let after = after.trim_start();
        let end = after
            .find(|char: char| char.is_ascii_whitespace() || "=;,".contains(char))
            .unwrap_or(after.len());
        let name = after[..end].to_ascii_lowercase();
        let after = after[end..].trim_start();
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => value(after.trim_start()),
            None => (String::new(), after),
        };
        if !name.is_empty() {
            params.push((name, value));
        }
        rest = after.trim_start();
    }
    (params, rest)
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim_end().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use rstest::rstest;

    #[track_caller]
    fn check(field: &str, expected: &[(&str, &[(&str, &str)])]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(target, params)| Link {
                target: (*target).to_owned(),
                params: params
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            })
            .collect();
        assert_eq!(parse(field), expected);
    }

    /// RFC 8288, 3.5.
    #[test]
    fn the_examples_of_the_rfc() {
        check(
            r#"<http://example.com/TheBook/chapter2>; rel="previous"; title="previous chapter""#,
            &[("http://example.com/TheBook/chapter2", &[("rel", "previous"), ("title", "previous chapter")])],
        );
        check(r#"</>; rel="http://example.net/foo""#, &[("/", &[("rel", "http://example.net/foo")])]);
        check(
            r##"</terms>; rel="copyright"; anchor="#foo""##,
            &[("/terms", &[("rel", "copyright"), ("anchor", "#foo")])],
        );
        check(
            r#"</TheBook/chapter2>; rel="previous"; title*=UTF-8'de'letztes%20Kapitel, </TheBook/chapter4>; rel="next"; title*=UTF-8'de'n%c3%a4chstes%20Kapitel"#,
            &[
                ("/TheBook/chapter2", &[("rel", "previous"), ("title*", "UTF-8'de'letztes%20Kapitel")]),
                ("/TheBook/chapter4", &[("rel", "next"), ("title*", "UTF-8'de'n%c3%a4chstes%20Kapitel")]),
            ],
        );
        check(
            r#"<http://example.org/>; rel="start http://example.net/relation/other""#,
            &[("http://example.org/", &[("rel", "start http://example.net/relation/other")])],
        );
        check(
            r#"<https://example.org/>; rel="start", <https://example.org/index>; rel="index""#,
            &[
                ("https://example.org/", &[("rel", "start")]),
                ("https://example.org/index", &[("rel", "index")]),
            ],
        );
    }

    #[test]
    fn odd_spelling() {
        check(
            "< /a > ;rel=next ; foo ,, </b>;REL = \"prev\\\"ious\"",
            &[("/a", &[("rel", "next"), ("foo", "")]), ("/b", &[("rel", "prev\"ious")])],
        );
        check(
            "</a,b;c>; title=\"x, <y>; rel=\\\"next\\\"\"; rel=last",
            &[("/a,b;c", &[("title", "x, <y>; rel=\"next\""), ("rel", "last")])],
        );
        check("</a>; rel=\"next", &[("/a", &[("rel", "next")])]);
        check("</a>; rel=next, nonsense", &[("/a", &[("rel", "next")])]);
        check("</a", &[]);
        check("", &[]);
    }

    #[rstest]
    #[case(&["</2>; rel=\"prev next\""], Some("/2"))]
    #[case(&["</2>; rel=NEXT"], Some("/2"))]
    #[case(&["</1>; rel=prev", "</3>; rel=next"], Some("/3"))]
    #[case(&["</2>; rel=prev; rel=next"], None)]
    #[case(&["</2>; rel=next; anchor=\"/other\""], None)]
    #[case(&["</2>; rel=nextish"], None)]
    #[case(&[], None)]
    fn the_next_page(#[case] fields: &[&str], #[case] expected: Option<&str>) {
        let headers: HeaderMap =
            fields.iter().map(|field| (LINK, HeaderValue::from_str(field).unwrap())).collect();
        assert_eq!(next(&headers).as_deref(), expected);
    }
}
