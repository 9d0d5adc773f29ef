//! Where actions go by default, and how repeats stand.

use super::*;
use larder_core::{FieldDef, KeyDef, Kind};
use rstest::rstest;

#[rstest]
#[case("user", "users")]
#[case("category", "categories")]
#[case("day", "days")]
#[case("address", "addresses")]
#[case("box", "boxes")]
#[case("branch", "branches")]
#[case("y", "ys")]
fn plurals(#[case] word: &str, #[case] expected: &str) {
    let mut word = word.to_owned();
    pluralise(&mut word);
    assert_eq!(word, expected);
}

static LINE: Schema = Schema::new(
    "LineItem",
    &[FieldDef::new("order", Kind::Str), FieldDef::new("no", Kind::Str)],
    KeyDef::natural(&[0, 1]),
);
static ME: Schema = Schema::new("MyProfile", &[FieldDef::new("name", Kind::Str)], KeyDef::singleton());
static USER: Schema = Schema::new("User", &[FieldDef::new("id", Kind::Str)], KeyDef::natural(&[0]));

#[track_caller]
fn check(schema: &'static Schema, endpoint: &Endpoint, expected: &[(Action, &str)]) {
    let defaults = Defaults { headers: &[], idempotency_header: None };
    let route = Route::compile(endpoint, schema, &defaults).unwrap();
    let found: Vec<_> = route.templates.iter().map(|(action, template)| (*action, template.text())).collect();
    assert_eq!(found, expected);
}

#[test]
fn paths_have_defaults() {
    use Action::{Create, Delete, List, One, Update, Upsert};
    let row = "/line_items/{key.0}/{key.1}";
    let paths = [
        (List, "/line_items"),
        (One, row),
        (Create, "/line_items"),
        (Update, row),
        (Upsert, row),
        (Delete, row),
    ];
    check(&LINE, &default_endpoint(&LINE), &paths);
    let me = "/my_profile";
    check(&ME, &default_endpoint(&ME), &[(One, me), (Create, me), (Update, me), (Upsert, me), (Delete, me)]);
    let row = "/u/{key}/";
    let posted = Endpoint::new("/u/?x=1").upsert_with(Method::POST).create_with(Method::PUT).without(Delete);
    check(&USER, &posted, &[(List, "/u/?x=1"), (One, row), (Create, row), (Update, row), (Upsert, row)]);
    let moved = Endpoint::new("/u").one("/v/{key}").upsert_with(Method::POST);
    let paths = [
        (List, "/u"),
        (One, "/v/{key}"),
        (Create, "/u"),
        (Update, "/v/{key}"),
        (Upsert, "/u"),
        (Delete, "/v/{key}"),
    ];
    check(&USER, &moved, &paths);
}

#[rstest]
#[case(Endpoint::new("/u"), Operation::Insert, Idempotency::KEYED, true)]
#[case(Endpoint::new("/u"), Operation::Update, Idempotency::Idempotent, false)]
#[case(Endpoint::new("/u"), Operation::Upsert, Idempotency::Idempotent, false)]
#[case(Endpoint::new("/u"), Operation::Delete, Idempotency::Idempotent, false)]
#[case(Endpoint::new("/u").update_with(Method::PATCH), Operation::Update, Idempotency::KEYED, true)]
#[case(Endpoint::new("/u").create_with(Method::PUT), Operation::Insert, Idempotency::Conditional, false)]
#[case(
    Endpoint::new("/u").create_with(Method::PUT).send_if_none_match(false),
    Operation::Insert, Idempotency::Idempotent, false
)]
#[case(Endpoint::new("/u").without_idempotency_header(), Operation::Insert, Idempotency::AtMostOnce, false)]
#[case(
    Endpoint::new("/u").without_idempotency_header().update_with(Method::PATCH),
    Operation::Update, Idempotency::Idempotent, false
)]
#[case(
    Endpoint::new("/u").idempotency(Operation::Insert, Idempotency::Probe),
    Operation::Insert, Idempotency::Probe, false
)]
#[case(Endpoint::new("/u").idempotency(Operation::Update, Idempotency::KEYED), Operation::Update, Idempotency::KEYED, true)]
fn idempotency_follows_from_the_method(
    #[case] endpoint: Endpoint,
    #[case] operation: Operation,
    #[case] expected: Idempotency,
    #[case] key_sent: bool,
) {
    let defaults = Defaults { headers: &[], idempotency_header: Some("Idempotency-Key") };
    let route = Route::compile(&endpoint, &USER, &defaults).unwrap();
    assert_eq!(route.idempotency(operation), expected);
    assert_eq!(route.key_header(operation).is_some(), key_sent);
}
