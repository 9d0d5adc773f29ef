//! Where lists lead, and tokens.

use super::*;
use http::HeaderValue;
use http::header::LINK;
use rstest::rstest;

fn base() -> Base {
    Base::parse("https://a/v1", false).unwrap()
}

fn pages() -> Paging {
    Paging::pages("page", "size", 2)
}

fn keys(from: usize, to: usize) -> Vec<Key> {
    (from..to).map(|at| Key::from(at as u64)).collect()
}

fn advance(place: Place, paging: &Paging, keys: &[Key], link: Option<&str>) -> Result<Option<Place>> {
    let uri = Uri::from_static("https://a/v1/users");
    let headers = link.map(|link| (LINK, HeaderValue::from_str(link).unwrap())).into_iter().collect();
    let arrived =
        Arrived { uri: &uri, headers: &headers, keys, cursor: None, secrets: &["token".to_owned()] };
    place.advance(paging, &base(), &arrived)
}

#[test]
fn a_token_is_read_as_it_was_written() {
    let query = Query { limit: Some(9), offset: 2, ..Query::all() };
    let place = advance(Place::start(&query, true), &pages(), &keys(0, 2), None).unwrap().unwrap();
    assert_eq!(Place::read(&place.write()).unwrap(), place);
    assert_eq!(place.at, At::Page(2));
}

#[test]
fn a_secret_parameter_does_not_get_into_a_place() {
    let link = "</v1/users?page=2&token=x&to%6Ben=y>; rel=next";
    let place = advance(Place::default(), &Paging::Link, &keys(0, 2), Some(link));
    assert_eq!(place.unwrap().unwrap().target(), Some("/v1/users?page=2"));
}

#[test]
fn a_window_ends_the_list() {
    let query = Query { limit: Some(3), offset: 2, ..Query::all() };
    let mut place = Place::start(&query, true);
    let mut rows = keys(0, 4);
    place.cut(&mut rows);
    assert_eq!((rows, place.skip, place.left), (keys(2, 4), 0, Some(1)));
    let mut place = advance(place, &pages(), &keys(0, 4), None).unwrap().unwrap();
    let mut rows = keys(4, 8);
    place.cut(&mut rows);
    assert_eq!(rows, keys(4, 5));
    assert!(advance(place, &pages(), &keys(4, 8), None).unwrap().is_none());
}

#[rstest]
#[case(&[], false, None, false)]
#[case(&[1], false, None, false)]
#[case(&[1], false, Some("</x>; rel=next"), true)]
#[case(&[1], false, Some("</x>; rel=prev"), false)]
#[case(&[1], true, None, true)]
#[case(&[], true, Some("</x>; rel=next"), false)]
#[case(&[1, 2], false, None, true)]
#[case(&[1, 2, 3], false, None, true)]
fn when_a_numbered_list_goes_on(
    #[case] rows: &[u64],
    #[case] until: bool,
    #[case] link: Option<&str>,
    #[case] expected: bool,
) {
    let rows: Vec<_> = rows.iter().map(|at| Key::from(*at)).collect();
    let (param, size_param) = ("p".to_owned(), None);
    let offset =
        Paging::Offset { param: param.clone(), size_param: size_param.clone(), size: 2, until_empty: until };
    let page = Paging::Page { param, size_param, size: 2, start: 0, until_empty: until };
    for paging in [offset, page] {
        let next = advance(Place::default(), &paging, &rows, link).unwrap();
        assert_eq!(next.is_some(), expected);
    }
}

/// Brent: a circle of any length behind a beginning of any length.
#[rstest]
fn circles_are_noticed(#[values(1, 2, 3, 7, 64, 100)] circle: usize, #[values(0, 1, 5, 33)] before: usize) {
    let page = |at: usize| {
        let at = if at < before { at } else { before + (at - before) % circle };
        keys(at * 2, at * 2 + 2)
    };
    let mut place = Place::default();
    for at in 0..1000 {
        match advance(place, &pages(), &page(at), None) {
            Ok(next) => place = next.unwrap(),
            Err(error) => {
                assert!(error.message().contains("in circles"), "{error}");
                assert!(at <= 3 * (circle + before) + 2, "only after {at} pages");
                return;
            }
        }
    }
    panic!("not noticed");
}

#[test]
fn a_long_list_is_no_circle() {
    let mut place = Place::default();
    for at in 0..10_000 {
        place = advance(place, &pages(), &keys(at * 2, at * 2 + 2), None).unwrap().unwrap();
    }
    assert!(place.write().0.len() < 200, "the token stays small");
}
