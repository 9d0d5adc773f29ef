//! What fields show and take, and what the derive writes about them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use larder_core::packed::Shape;
use larder_core::{
    Datum, ErrorKind, Fault, FieldDef, IntKind, Key, KeyDef, KeyKind, Kind, Model, Record, Row, Schema,
    StructDef, Timestamp, Uuid, Value, ValueRef,
};
use larder_derive::{Datum, Model};
use rstest::rstest;

use crate::support::refusal;

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a value of the test")]
pub(crate) fn comes_back<T: Datum + PartialEq + std::fmt::Debug>(value: T) {
    let owned = value.show().to_value().expect("a live value shows itself");
    assert_eq!(T::take(value.show()).expect("what is shown"), value);
    assert_eq!(T::take(owned.show()).expect("what was shown"), value);
}

#[test]
fn what_is_shown_is_taken() {
    comes_back(true);
    comes_back(i8::MIN);
    comes_back(i128::MIN);
    comes_back(u64::MAX);
    comes_back(usize::MAX);
    comes_back(isize::MIN);
    comes_back(0.1_f32);
    comes_back(f32::INFINITY);
    comes_back(f64::MIN_POSITIVE);
    comes_back('𝄞');
    comes_back(String::from("text"));
    comes_back(vec![1_u8, 2]);
    comes_back(vec![1_i8, 2]);
    comes_back(Uuid::from_u128(7));
    comes_back(Timestamp::MAX);
    comes_back(Some(5_u16));
    comes_back(None::<u16>);
    comes_back(Box::new(5_u16));
    comes_back(BTreeSet::from([3, 1, 2]));
    comes_back(HashSet::from([3, 1, 2]));
    comes_back(BTreeMap::from([(String::from("k"), vec![Some(1_u8), None])]));
    comes_back(HashMap::from([(1_u8, BTreeMap::from([('x', 1.5)]))]));
    assert!(f32::take(f32::NAN.show()).expect("a NaN").is_nan());
}

fn fault<T: Datum>(value: &Value) -> Option<Fault> {
    T::take(value.show()).err()
}

fn kind(expected: &'static str, found: &'static str) -> Option<Fault> {
    Some(Fault::Type { expected, found })
}

#[rstest]
#[case::bool(fault::<bool>(&Value::Int(1)), kind("a bool", "an integer"))]
#[case::int(fault::<i8>(&Value::Str("1".into())), kind("an integer", "a string"))]
#[case::int_null(fault::<i8>(&Value::Null), kind("an integer", "null"))]
#[case::int_range(fault::<i8>(&Value::Int(128)), Some(Fault::Range { expected: "i8" }))]
#[case::u8_range(fault::<u8>(&Value::Int(-1)), Some(Fault::Range { expected: "u8" }))]
#[case::u64_range(fault::<u64>(&Value::Int(1 << 64)), Some(Fault::Range { expected: "u64" }))]
#[case::float(fault::<f64>(&Value::Int(1)), kind("a float", "an integer"))]
#[case::f32_range(fault::<f32>(&Value::Float(1e39)), Some(Fault::Range { expected: "f32" }))]
#[case::char(fault::<char>(&Value::Str("x".into())), kind("a char", "a string"))]
#[case::text(fault::<String>(&Value::Char('x')), kind("a string", "a char"))]
#[case::bytes(fault::<Vec<u8>>(&Value::List(vec![])), kind("bytes", "a list"))]
#[case::list(fault::<Vec<i8>>(&Value::Bytes([].into())), kind("a list", "bytes"))]
#[case::list_element(fault::<Vec<i8>>(&Value::List(vec![Value::Null])), kind("an integer", "null"))]
#[case::uuid(fault::<Uuid>(&Value::Bool(true)), kind("a uuid", "a bool"))]
#[case::moment(fault::<Timestamp>(&Value::Float(1.0)), kind("a timestamp", "a float"))]
#[case::option(fault::<Option<i8>>(&Value::Bool(true)), kind("an integer", "a bool"))]
#[case::set(fault::<BTreeSet<i8>>(&Value::Map(vec![])), kind("a list", "a map"))]
#[case::map(fault::<HashMap<i8, i8>>(&Value::List(vec![])), kind("a map", "a list"))]
#[case::structure(fault::<Inner>(&Value::Uuid(Uuid::nil())), kind("a struct", "a uuid"))]
#[case::structure_short(fault::<Inner>(&Value::Struct(vec![])), Some(Fault::Missing))]
#[case::structure_field(fault::<Inner>(&Value::Struct(vec![Value::Null])), kind("an integer", "null"))]
#[case::unit_enum(fault::<Unit>(&Value::Int(0)), kind("the name of a variant", "an integer"))]
#[case::unit_enum_name(fault::<Unit>(&Value::Str("three".into())), Some(Fault::Variant))]
#[case::data_enum(fault::<Data>(&Value::Str("Empty".into())), kind("an enum variant", "a string"))]
#[case::absent(String::take(ValueRef::Absent).err(), Some(Fault::Missing))]
#[case::absent_newtype(Id::take(ValueRef::Absent).err(), Some(Fault::Missing))]
fn what_does_not_fit_is_a_fault(#[case] found: Option<Fault>, #[case] expected: Option<Fault>) {
    assert_eq!(found, expected);
}

#[test]
fn an_absent_option_is_none() {
    assert_eq!(<Option<u8> as Datum>::take(ValueRef::Absent), Ok(None));
}

#[derive(Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Inner {
    number: u8,
    #[model(default = "4")]
    later: u8,
    #[model(skip)]
    cache: Option<String>,
}

#[derive(Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
enum Unit {
    One,
    Two {},
    Three(),
}

#[derive(Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
enum Data {
    Empty,
    Newtype(Unit),
    Tuple(u8, Inner),
    Struct {
        r#type: String,
        #[model(skip, default = "Some(1)")]
        cache: Option<u8>,
    },
}

#[derive(Debug, Clone, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Id(Uuid);

#[derive(Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Amount(#[model(with = "crate::models::Cents")] crate::models::Price);

#[test]
fn derived_values_come_back() {
    comes_back(Inner { number: 1, later: 2, cache: None });
    comes_back(Unit::One);
    comes_back(Unit::Two {});
    comes_back(Unit::Three());
    comes_back(Data::Empty);
    comes_back(Data::Newtype(Unit::One));
    comes_back(Data::Tuple(1, Inner { number: 1, later: 2, cache: None }));
    comes_back(Data::Struct { r#type: "x".into(), cache: Some(1) });
    comes_back(Id(Uuid::from_u128(1)));
    comes_back(Amount(crate::models::Price { cents: -5 }));
    assert!(matches!(Unit::Two {}.show(), ValueRef::Str("Two")));
    assert!(matches!(Amount::KIND, Kind::Int(IntKind::I64)));
}

#[test]
fn a_short_struct_takes_its_defaults() {
    let short = Value::Struct(vec![Value::Int(1)]);
    assert_eq!(Inner::take(short.show()), Ok(Inner { number: 1, later: 4, cache: None }));
}

#[derive(Debug, Clone, PartialEq, Model)]
#[model(
    crate = "larder_core",
    name = "people",
    version = 4,
    tokens = "by_",
    unique(tenant, email),
    index(age, email, name = "adults"),
    rename_all = "camelCase",
    json(rename_all = "SCREAMING_SNAKE_CASE"),
    dialect(name = "toml", rename_all = "kebab-case")
)]
struct Person {
    #[model(unique)]
    nick_name: String,
    #[model(key)]
    user_id: Id,
    #[model(index, rename = "mail")]
    email: String,
    tenant: u32,
    #[model(
        alias = "years",
        row(alias = "y"),
        dialect(name = "toml", rename = "a", alias = "b", default = "Some(3)")
    )]
    age: Option<u8>,
}

// Rules: q-tokens
#[test]
fn the_schema_says_what_the_attributes_say() {
    let schema = Person::schema();
    assert_eq!((schema.model, schema.version), ("people", 4));
    assert_eq!((schema.key.fields, schema.key.kind), (&[1][..], KeyKind::Natural));
    let indexes: Vec<_> =
        schema.indexes.iter().map(|index| (index.name, index.fields, index.unique)).collect();
    assert_eq!(
        indexes,
        [
            ("nick_name", &[0][..], true),
            ("email", &[2][..], false),
            ("tenant_email", &[3, 2][..], true),
            ("adults", &[4, 2][..], false),
        ]
    );
    let names = |dialect| schema.fields.iter().map(|field| field.name_in(dialect)).collect::<Vec<_>>();
    assert_eq!(names("row"), ["nickName", "userId", "mail", "tenant", "age"]);
    assert_eq!(names("json"), ["NICK_NAME", "USER_ID", "mail", "TENANT", "AGE"]);
    assert_eq!(names("toml"), ["nick-name", "user-id", "mail", "tenant", "a"]);
    assert_eq!(names("of a third party"), ["nickName", "userId", "mail", "tenant", "age"]);
    let age = &schema.fields[4];
    assert_eq!(age.alias_in("json"), ["years"]);
    assert_eq!(age.alias_in("row"), ["years", "y"]);
    assert_eq!(age.alias_in("toml"), ["years", "b"]);
    assert_eq!(age.alias_in("of a third party"), ["years"]);
    let found = ["nickName", "mail", "years", "y", "b"].map(|name| schema.position_in("row", name));
    assert_eq!(found, [Some(0), Some(2), Some(4), Some(4), None], "by its name there, or by a former one");
    assert_eq!((age.default_in("toml"), age.default_in("json")), (Some(Value::Int(3)), Some(Value::Null)));
    assert_eq!((Person::BY_NICK_NAME.position(), Person::BY_AGE.position()), (0, 4));
    assert!(std::ptr::eq(Person::schema(), Person::schema()), "one address");
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Client {
    #[model(key)]
    id: Uuid,
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Given {
    #[model(key(natural))]
    id: Uuid,
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Wrapped {
    #[model(key(client))]
    id: Id,
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Composite {
    #[model(key)]
    tenant: Uuid,
    note: String,
    #[model(key)]
    number: i16,
    #[model(key)]
    at: Timestamp,
    #[model(key)]
    unit: Unit,
    #[model(key)]
    raw: Vec<u8>,
    #[model(key)]
    flag: bool,
}

#[derive(Debug, Default, Model)]
#[model(crate = "larder_core", singleton)]
struct Settings {
    #[model(default)]
    dark: bool,
}

#[test]
fn keys_are_made_of_their_fields() {
    assert_eq!(Client::schema().key.kind, KeyKind::Client);
    assert_eq!(Given::schema().key.kind, KeyKind::Natural);
    assert_eq!(Wrapped::schema().key.kind, KeyKind::Client);
    let id = Uuid::from_u128(4);
    assert_eq!(Client { id }.key().expect("a key"), Key::Uuid(id));
    assert_eq!(Wrapped { id: Id(id) }.key().expect("a key"), Key::Uuid(id));
    let at = Timestamp::from_second(2).expect("a moment");
    let composite = Composite {
        tenant: id,
        note: "n".into(),
        number: -1,
        at,
        unit: Unit::Two {},
        raw: vec![1],
        flag: true,
    };
    let parts = [
        Key::Uuid(id),
        Key::Int(-1),
        Key::Int(2_000_000_000),
        Key::from("Two"),
        Key::Bytes([1].into()),
        Key::Bool(true),
    ];
    assert_eq!(composite.key().expect("a key"), Key::Composite(parts.into()));
    assert_eq!(Settings::default().key().expect("a key"), Key::Singleton);
    assert_eq!(Settings::schema().key.kind, KeyKind::Singleton);
}

#[test]
fn a_row_without_its_key_has_none() {
    let error = refusal(Client::schema().key_of(&Record::new([Some(Value::Null)])));
    assert_eq!(
        error.to_string(),
        "Client.id: data does not fit: expected a key: bool, integer, string, bytes, uuid, moment or date, found null"
    );
}

#[test]
fn rows_and_schemas_know_their_positions() {
    let client = Client { id: Uuid::nil() };
    assert_eq!(client.field(1).err(), Some(Fault::NoSuchField));
    assert!(client.as_any().expect("a model is itself").downcast_ref::<Client>().is_some());
    assert_eq!(Composite::schema().position("number"), Some(2));
    assert_eq!(Composite::schema().position("nope"), None);
    assert_eq!(refusal(Composite::schema().field(9)).kind(), ErrorKind::Invalid);
    assert_eq!(format!("{:?}", &client as &dyn Row), "[Uuid(00000000-0000-0000-0000-000000000000)]");
}

#[test]
fn a_value_that_contains_itself_is_refused_and_not_followed_for_ever() {
    static TREE: StructDef = StructDef {
        name: "Tree",
        fields: &[
            FieldDef::new("left", Kind::Option(&Kind::Struct(&TREE))),
            FieldDef::new("right", Kind::List(&Kind::Struct(&TREE))),
        ],
    };
    static FOREST: Schema = Schema::new(
        "Forest",
        &[FieldDef::new("id", Kind::Str), FieldDef::new("tree", Kind::Struct(&TREE))],
        KeyDef::natural(&[0]),
    );
    let error = refusal(Shape::of(&FOREST));
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Unsupported, Some("Forest")));
    assert_eq!(error.message(), "a value type that contains itself can't be stored");
    assert!(error.path().is_some_and(|path| path.starts_with("tree.left.left.")));
}
