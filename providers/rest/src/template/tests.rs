//! What templates accept, and what values can't do to them.

use larder_core::{FieldDef, IntKind, KeyDef};
use rstest::rstest;

use super::*;

static USER: Schema = Schema::new(
    "User",
    &[
        FieldDef::new("id", Kind::Str),
        FieldDef::new("org", Kind::Str),
        FieldDef::new("age", Kind::Int(IntKind::I64)),
        FieldDef::new("tags", Kind::List(&Kind::Str)),
    ],
    KeyDef::natural(&[0]),
);

static SEAT: Schema = Schema::new(
    "Seat",
    &[FieldDef::new("row", Kind::Int(IntKind::I64)), FieldDef::new("at", Kind::Time)],
    KeyDef::natural(&[0, 1]),
);

static PROFILE: Schema = Schema::new("Profile", &[FieldDef::new("name", Kind::Str)], KeyDef::singleton());

fn target(template: &str, key: &str) -> Result<String> {
    let template = Template::compile(template, &USER, Scope::Row)?;
    let filled = template.fill(|hole| match hole {
        Hole::Key(part) => key_text(&USER, &Key::from(key), part),
        Hole::Field(1) => Ok("a&b=c".to_owned()),
        Hole::Field(other) => Ok(other.to_string()),
    });
    filled.map(|(path, params)| params.target(&path))
}

#[rstest]
#[case("/users/{key}", "7", "/users/7")]
#[case("users/{id}", "7", "/users/7")]
#[case("/users/{key.0}/", "7", "/users/7/")]
#[case("/users/{key}.json", "7", "/users/7.json")]
#[case("/orgs/{org}/users/{key}?org={org}&x=%20", "7", "/orgs/a%26b%3Dc/users/7?org=a%26b%3Dc&x=%20")]
#[case("/users/{key}", "../admin", "/users/..%2Fadmin")]
#[case("/users/{key}", "a/b?x=1#y", "/users/a%2Fb%3Fx%3D1%23y")]
#[case("/users/{key}", "%2e%2e", "/users/%252e%252e")]
#[case("/users/{key}", "...", "/users/...")]
#[case("/users/{key}", "\r\nHost: evil", "/users/%0D%0AHost%3A%20evil")]
#[case("/users/{key}", "\\..\\admin", "/users/%5C..%5Cadmin")]
#[case("/users/{key}", "Zoë 😀", "/users/Zo%C3%AB%20%F0%9F%98%80")]
#[case("/users/{key}.", "7", "/users/7.")]
fn fills(#[case] template: &str, #[case] key: &str, #[case] expected: &str) {
    assert_eq!(target(template, key).unwrap(), expected);
}

#[rstest]
#[case("/users/{key}", "")]
#[case("/users/{key}", ".")]
#[case("/users/{key}", "..")]
#[case("/users/{key}.", ".")]
#[case("/users/.{key}/x", ".")]
#[case("/users/%2e{key}", ".")]
fn refuses_values_that_leave_their_segment(#[case] template: &str, #[case] key: &str) {
    assert_eq!(target(template, key).unwrap_err().kind(), ErrorKind::Invalid);
}

#[rstest]
#[case("/users/{name}", "neither `key` nor a field; the fields are id, org, age, tags")]
#[case("/users/{key.1}", "but the key has 1 parts")]
#[case("/users/{key.x}", "but the key has 1 parts")]
#[case("/users/{tags}", "not a scalar")]
#[case("/users/{key", "without its `}`")]
#[case("/users/key}", "has to be percent-encoded")]
#[case("/users//{key}", "empty segment")]
#[case("/users/../{key}", "`.` or `..`")]
#[case("/users/%2e/{key}", "`.` or `..`")]
#[case("/us ers", "has to be percent-encoded")]
#[case("/users#x", "has to be percent-encoded")]
#[case("/users\r\n", "has to be percent-encoded")]
fn refuses_templates(#[case] template: &str, #[case] expected: &str) {
    let error = Template::compile(template, &USER, Scope::Row).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains(expected), "{error}");
}

#[rstest]
#[case(&USER, Scope::List, "/users/{key}", "a list has no key")]
#[case(&USER, Scope::Key, "/orgs/{org}/{key}", "know nothing but the key")]
#[case(&SEAT, Scope::Key, "/seats/{key}", "the key has 2 parts")]
#[case(&PROFILE, Scope::Key, "/profile/{key}", "one row and no key")]
fn refuses_what_is_not_known(
    #[case] schema: &'static Schema,
    #[case] scope: Scope,
    #[case] template: &str,
    #[case] expected: &str,
) {
    let error = Template::compile(template, schema, scope).unwrap_err();
    assert!(error.message().contains(expected), "{error}");
}

#[test]
fn composite_keys_fill_part_by_part() {
    let key = Key::Composite([Key::from(7), Key::Int(1_700_000_000_000_000_000)].into());
    let template = Template::compile("/rows/{key.0}/seats/{at}", &SEAT, Scope::Key).unwrap();
    let (path, _) = template
        .fill(|hole| match hole {
            Hole::Key(part) => key_text(&SEAT, &key, part),
            Hole::Field(_) => panic!("a key field is part of the key"),
        })
        .unwrap();
    assert_eq!(path, "/rows/7/seats/2023-11-14T22%3A13%3A20Z");
    assert_eq!(key_text(&SEAT, &Key::from(7), 0).unwrap_err().kind(), ErrorKind::Invalid);
}
