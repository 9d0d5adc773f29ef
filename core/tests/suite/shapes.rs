//! Rows that have another shape on the wire: flattened structs, computed values, a type that stands for the model.

use larder_core::dialect::json::Json;
use larder_core::{FieldSet, Key, KeyKind, Model, Record, Row, Serdes, Uuid};
use larder_derive::{Datum, Model};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{from_json, pack, refusal, to_json, unpack};

#[derive(Clone, Debug, Default, PartialEq, Datum)]
#[model(crate = "larder_core", json(rename_all = "camelCase"))]
struct Place {
    street_name: String,
    #[model(alias = "zip_code")]
    zip: u32,
    #[model(json(flatten))]
    geo: Option<Geo>,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Geo {
    lat: i32,
    lon: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Audit {
    #[model(default)]
    author: String,
    #[model(default = "7")]
    revision: u32,
}

#[derive(Clone, Debug, PartialEq, Model)]
#[model(
    crate = "larder_core",
    json(
        computed(name = "fullName", with = "Person::full_name"),
        computed(name = "initials", with = "initials")
    )
)]
struct Person {
    #[model(key)]
    id: u32,
    first: String,
    last: String,
    #[model(json(flatten))]
    home: Place,
    #[model(default, json(flatten))]
    audit: Audit,
}

impl Person {
    fn full_name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }
}

fn initials(person: &Person) -> Vec<char> {
    person.first.chars().take(1).chain(person.last.chars().take(1)).collect()
}

fn person() -> Person {
    Person {
        id: 1,
        first: "Ada".into(),
        last: "Lovelace".into(),
        home: Place { street_name: "Storgata".into(), zip: 155, geo: Some(Geo { lat: 1, lon: 2 }) },
        audit: Audit { author: "me".into(), revision: 3 },
    }
}

// Rules: m-flatten, m-computed
#[test]
fn structs_stand_among_the_fields_and_what_is_computed_beside_them() {
    let expected = json!({
        "id": 1, "first": "Ada", "last": "Lovelace", "streetName": "Storgata", "zip": 155, "lat": 1, "lon": 2,
        "author": "me", "revision": 3, "fullName": "Ada Lovelace", "initials": ["A", "L"],
    });
    assert_eq!(to_json(&person()), expected);
    assert_eq!(from_json::<Person>(&expected).expect("what was written"), person());
    assert_eq!(unpack::<Person, Person>(&pack(&person())).expect("what was packed"), person());
    let decoded = Json.decode(Person::schema(), &expected).expect("a person");
    assert_eq!(decoded.extra, None, "all of it is known");
}

// Rules: m-computed
#[test]
fn what_is_computed_is_never_read_and_written_from_any_row() {
    let mut json = to_json(&person());
    json["fullName"] = json!(7);
    assert_eq!(from_json::<Person>(&json).expect("it is not looked at"), person());
    let record = Record::copy(Person::schema(), &person()).expect("a record");
    assert_eq!(Json.encode(Person::schema(), &record).expect("a record as JSON")["fullName"], "Ada Lovelace");
    let first: FieldSet = [usize::from(Person::FIRST.position())].into_iter().collect();
    let partial = Json.encode_fields(Person::schema(), &person(), &first).expect("one field");
    assert_eq!(partial, json!({ "first": "Ada", "fullName": "Ada Lovelace", "initials": ["A", "L"] }));
    assert_eq!(Person::schema().position("fullName"), None, "it is not stored");
}

// Rules: m-flatten
#[test]
fn flattened_structs_are_there_if_a_field_of_them_is() {
    let mut json = to_json(&person());
    let object = json.as_object_mut().expect("an object");
    for name in ["lat", "lon", "author", "revision"] {
        object.remove(name);
    }
    let read = from_json::<Person>(&json).expect("a person");
    assert_eq!((read.home.geo, read.audit), (None, Audit::default()));
    json["author"] = json!("you");
    let read = from_json::<Person>(&json).expect("a person");
    assert_eq!(read.audit, Audit { author: "you".into(), revision: 7 });
    json["lat"] = json!(1);
    assert_eq!(refusal(from_json::<Person>(&json)).path(), Some("home.geo.lon"));
    json["lon"] = json!(1);
    json.as_object_mut().expect("an object").remove("zip");
    assert_eq!(refusal(from_json::<Person>(&json)).path(), Some("home.zip"));
    json["zip_code"] = json!(5);
    json["else"] = json!(true);
    let decoded = Json.decode(Person::schema(), &json).expect("a person");
    assert_eq!(decoded.extra.as_deref(), Some(r#"{"else":true}"#));
}

// Rules: m-flatten
#[test]
fn a_part_of_a_row_may_lack_flattened_structs() {
    let decoded = Json.decode_partial(Person::schema(), &json!({ "id": 4 })).expect("a part");
    let has: Vec<_> = (0..5).map(|at| decoded.record.get(at).is_some()).collect();
    assert_eq!(has, [true, false, false, false, false]);
    let home: FieldSet = [usize::from(Person::HOME.position())].into_iter().collect();
    let partial = Json.encode_fields(Person::schema(), &person(), &home).expect("one field");
    assert_eq!(partial["streetName"], "Storgata");
    assert_eq!(partial.get("author"), None);
}

/// What the server calls a user.
#[derive(Debug, Serialize, Deserialize)]
struct UserDto {
    id: String,
    name: NameDto,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nick: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NameDto {
    first: String,
    last: String,
}

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", json(via = "UserDto"))]
struct User {
    #[model(key)]
    id: u64,
    name: String,
    nick: Option<String>,
}

impl TryFrom<&User> for UserDto {
    type Error = String;

    fn try_from(user: &User) -> Result<Self, String> {
        let (first, last) = user.name.split_once(' ').ok_or("a user has two names")?;
        let name = NameDto { first: first.into(), last: last.into() };
        Ok(Self { id: format!("u{}", user.id), name, nick: user.nick.clone() })
    }
}

impl TryFrom<UserDto> for User {
    type Error = String;

    fn try_from(dto: UserDto) -> Result<Self, String> {
        let id = dto.id.strip_prefix('u').and_then(|id| id.parse().ok()).ok_or("the id is no user's")?;
        Ok(Self { id, name: format!("{} {}", dto.name.first, dto.name.last), nick: dto.nick })
    }
}

fn user() -> User {
    User { id: 7, name: "Ada Lovelace".into(), nick: None }
}

// Rules: m-via
#[test]
fn a_model_goes_out_and_comes_in_as_another_type() {
    let expected = json!({ "id": "u7", "name": { "first": "Ada", "last": "Lovelace" } });
    assert_eq!(to_json(&user()), expected);
    assert_eq!(from_json::<User>(&expected).expect("what was written"), user());
    let record = Record::copy(User::schema(), &user()).expect("a record");
    assert_eq!(Json.encode(User::schema(), &record).expect("a record as JSON"), expected);
    assert_eq!(unpack::<User, User>(&pack(&user())).expect("what was packed"), user());
    assert!(
        User::NAME.starts_with("Ada").into_predicate().matches(User::schema(), &record).expect("an answer")
    );
}

// Rules: m-via, m-extra
#[test]
fn what_the_type_does_not_know_is_kept() {
    let json =
        json!({ "id": "u7", "name": { "first": "Ada", "last": "Lovelace" }, "nick": "ada", "role": "admin" });
    let decoded = Json.decode(User::schema(), &json).expect("a user");
    assert_eq!(decoded.extra.as_deref(), Some(r#"{"role":"admin"}"#));
    let read = User::from_row(&decoded.record).expect("a user");
    assert_eq!((read.nick.as_deref(), read.key().expect("a key")), (Some("ada"), Key::from(7)));
}

// Rules: m-via
#[test]
fn what_the_conversion_refuses_is_told() {
    let nameless = User { name: "Ada".into(), ..user() };
    let error = refusal(Json.encode(User::schema(), &nameless));
    assert_eq!(error.to_string(), "failed to encode User: data does not fit: a user has two names");
    let error = refusal(from_json::<User>(&json!({ "id": "7", "name": { "first": "A", "last": "B" } })));
    assert_eq!(error.to_string(), "failed to decode User: data does not fit: the id is no user's");
    let error = refusal(from_json::<User>(&json!({ "id": "u7" })));
    assert!(error.message().contains("missing field `name`"), "{error}");
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Ticket {
    #[model(key(server))]
    number: i64,
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Document {
    #[model(key(server))]
    id: Uuid,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Slug(String);

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Article {
    #[model(key(server))]
    slug: Slug,
}

// Rules: m-key-server
#[test]
fn a_schema_says_that_the_server_gives_the_key() {
    for schema in [Ticket::schema(), Document::schema(), Article::schema()] {
        assert_eq!((schema.key.kind, schema.key.fields), (KeyKind::Server, &[0][..]));
    }
    assert_eq!(Ticket { number: -4 }.key().expect("a key"), Key::from(-4));
    assert!(Document { id: Uuid::nil() }.field(0).is_ok());
    assert_eq!(Article { slug: Slug("x".into()) }.key().expect("a key"), Key::from("x"));
}
