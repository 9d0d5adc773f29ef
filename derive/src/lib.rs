//! The derives of Larder: [`Model`] for what is stored, [`Datum`] for what its fields are made of.
//!
//! They write static data (a schema, field tokens) and the functions that show and take fields; everything else is
//! done by `larder-core` from the data. This crate depends on none of ours: the code that it writes names its paths
//! through `::larder::__private`, or through what `#[model(crate = "…")]` says.

mod association;
mod attr;
mod case;
mod conflict;
mod container;
mod convert;
mod datum;
mod dialect;
mod errors;
mod field;
mod model;
mod types;
mod validate;
mod wire;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct with named fields a model.
///
/// It gets its schema, `Model`, `Row`, and a token for each field: `User::CITY` for `city`, as visible as the field.
///
/// ```
/// use larder::{Key, Model as _, Uuid};
/// use larder_derive::Model;
/// # use larder::{Convert, Datum, Fault, Kind, ValueRef};
/// # pub struct Money(i64);
/// # pub struct Cents;
/// # impl Convert<Money> for Cents {
/// #     const KIND: Kind = <i64 as Datum>::KIND;
/// #     fn show(value: &Money) -> ValueRef<'_> { ValueRef::Int(value.0.into()) }
/// #     fn take(value: ValueRef<'_>) -> Result<Money, Fault> { <i64 as Datum>::take(value).map(Money) }
/// # }
///
/// #[derive(Model)]
/// #[model(version = 2, json(rename_all = "camelCase"), unique(email, tenant), index(city, age, name = "by_city"))]
/// pub struct User {
///     #[model(key)]
///     pub id: Uuid,
///     pub email: String,
///     pub tenant: u32,
///     #[model(alias = "town", default = "String::from(\"Oslo\")")]
///     pub city: String,
///     #[model(index)]
///     pub age: Option<u8>,
///     #[model(json(rename = "avatar_url", alias = "avatar"))]
///     pub avatar: Option<String>,
///     #[model(with = "Cents")]
///     pub balance: Money,
///     #[model(default, json(skip))]
///     pub draft: bool,
///     #[model(skip)]
///     pub selected: bool,
/// }
///
/// let adults = User::CITY.eq("Oslo").and(User::AGE.ge(18)).order_by(User::BALANCE.desc()).limit(50);
/// assert_eq!(User::schema().indexes[2].name, "by_city");
/// # let id = Uuid::from_u128(1);
/// # let user = User {
/// #     id, email: String::new(), tenant: 1, city: "Oslo".into(), age: None, avatar: None, balance: Money(3),
/// #     draft: false, selected: false,
/// # };
/// # assert_eq!(user.key().unwrap(), Key::Uuid(id));
/// ```
///
/// # On the struct
/// | attribute | what it does |
/// |---|---|
/// | `name = "User"` | the name under which rows are stored, the type's unless given |
/// | `version = 2` | the version of the model, 1 unless given |
/// | `migrate(1 => "f", 2 => "g")` | how a row of version 1 becomes one of version 2, and so on: `fn(&mut OldRow) -> Result<(), String>` |
/// | `rekey(1 => "f")` | the same for a step after which rows have other keys; it runs when the store is opened |
/// | `singleton` | the model has one row and no key field |
/// | `rename_all = "camelCase"` | renames the fields in every dialect, the store included; the cases are serde's |
/// | `json(rename_all = "…")`, `row(…)`, `dialect(name = "toml", …)` | renames them in one dialect |
/// | `json(via = "UserDto")` | on the wire the model is what serde makes of a `UserDto`, with `UserDto: TryFrom<&User>` and `User: TryFrom<UserDto>`; stores and queries know the model |
/// | `json(computed(name = "fullName", with = "User::full_name"))` (repeatable) | what `fn(&User) -> impl Serialize` makes is written beside the fields; it is neither read nor stored |
/// | `unique(a, b)`, `index(a, b)`, either with `name = "…"` | a composite unique constraint, a composite index |
/// | `tokens = "prefix_"` | `User::PREFIX_CITY` instead of `User::CITY` |
/// | `validate = "path"` | `fn(&User) -> Result<(), larder::Invalid>` (or `String`, `&'static str`), asked before the application's writes are stored; `validate` alone is `User::validate` |
/// | `conflict = "server_wins"` | what becomes of a row that was changed here and at the remote: `merge_fields` (unless told otherwise), `server_wins`, `client_wins`, `ask`; `conflict(last_write_wins = updated_at)` by the field that says when |
/// | `crate = "path"` | where Larder is, `::larder` unless given |
///
/// # On a field
/// | attribute | what it does |
/// |---|---|
/// | `key` | the key, or a part of it, in the order of the fields; a single `Uuid` is made here, everything else natural |
/// | `key(natural)`, `key(client)` | says which of the two |
/// | `key(server)` | the server gives the key, and `Repository::new_key` a temporary one until then: an integer of at least 32 bits, a string or a UUID |
/// | `unique`, `index` | a unique constraint, an index |
/// | `rename = "…"` | its name in every dialect, the store included |
/// | `alias = "…"` (repeatable) | a former name, accepted on reading, in every dialect |
/// | `default`, `default = "…"` | what a reader gets where the field is missing: a constant. A path is a function that is called, anything else an expression |
/// | `with = "Converter"` | a type with `larder::Convert<FieldType>`: the representation that is stored, sent and compared |
/// | `validate = "path"` | `fn(&FieldType) -> Result<(), larder::Invalid>` (or `String`, `&'static str`), asked before the application's writes are stored |
/// | `conflict = "server_wins"` | what becomes of the field if both sides changed it and the rest is merged: `client_wins` (unless told otherwise), `server_wins`, `ask`, or `conflict(last_write_wins = updated_at)` |
/// | `children = "field"`, with `orphans = "delete"` | on a `Many<T>`: the rows whose `field` refers to this one; a path, `"T::TOKEN"`, where tokens are named otherwise |
/// | `through = "Link", from = "field", to = "field"` | on a `Many<T>`: the rows that rows of the link model join to this one |
/// | `keys` | on a `Many<T>`: a list of keys, stored here |
/// | `on_delete = "restrict"`, `"cascade"`, `"set_null"` | on a `One<T>` or an `Option` of one: what becomes of this row if the other is deleted |
/// | `unindexed` | on the same: no index of its own |
/// | `skip` | neither stored nor sent: it has its default in every row that is read |
/// | `json(flatten)` | the fields of the struct stand among those of the model; an optional struct is there if one of them is |
/// | `json(rename, alias, default, skip, skip_read, skip_write, with = "module")` | the same for JSON alone; `with` names a module or type with `fn write(ValueRef<'_>) -> Result<serde_json::Value, String>` and `fn read(&serde_json::Value) -> Result<Value, String>` |
/// | `json(path = "/owner/id")` | where an association's key stands: a JSON pointer, for reading; `*` stands for every element of a list |
/// | `json(lookup = "email")`, `json(lookup(email = "/owner/email", tenant = "/tenant"))` | other fields of the row that a `One` refers to, all of which have to be equal |
/// | `json(send = "id")`, `"nested"`, `"first"` | how an association is sent: as keys (the default), children within the request of this row, or as keys after what they refer to |
/// | `row(rename, alias, default)` | the same for the store alone |
/// | `dialect(name = "toml", …)` | the same for another dialect |
#[proc_macro_derive(Model, attributes(model))]
pub fn derive_model(input: TokenStream) -> TokenStream {
    model::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct or an enum a value that a field can hold.
///
/// - A struct with named fields is shown field by field. Its fields take `rename`, `alias`, `default`, `with`, `skip`
///   and `json(…)`, `row(…)`, `dialect(…)`, as those of a model do.
/// - A newtype, `struct Email(String);`, is shown as what it holds. Its field takes `with`.
/// - An enum without data is shown as the name of its variant; with `by = "index"` as the number that is written beside
///   it, `High = 5`, in stores and in every dialect.
/// - An enum with data is written in JSON as serde does it: externally tagged, internally with `tag = "type"`,
///   adjacently with `tag = "type", content = "value"`.
///
/// ```
/// use larder_derive::Datum;
///
/// #[derive(Datum)]
/// #[model(tag = "type", json(rename_all = "snake_case"))]
/// pub enum Shape {
///     Circle { radius: f64 },
///     #[model(alias = "Rect", json(rename = "rect"))]
///     Rectangle { width: f64, #[model(default)] height: f64 },
///     Nothing,
/// }
/// # use larder::{Datum as _, dialect::json};
/// # let rect = serde_json::json!({ "type": "rect", "width": 2.0 });
/// # assert!(matches!(Shape::take(json::read(&rect, &Shape::KIND).unwrap().show()), Ok(Shape::Rectangle { .. })));
/// ```
///
/// On the type: `crate = "…"`, `rename_all` (the fields of a struct, the variants of an enum), `rename_all_fields`
/// (of the variants), both also in `json(…)`, `row(…)`, `dialect(name = "…", …)`, and `tag` and `content`, or `by`.
///
/// A type can be one thing in the store and another on the wire:
///
/// | on the type | what it does |
/// |---|---|
/// | `with = "Converter"` | a type with `larder::Convert<This>`: the representation that is stored and compared |
/// | `json(with = "module")` | in JSON it is what `fn write(&This) -> Result<serde_json::Value, E>` makes and `fn read(&serde_json::Value) -> Result<This, E>` takes, wherever the type stands |
/// | `json(via = "Dto")` | in JSON it is what serde makes of a `Dto`, with `Dto: TryFrom<&This>` and `This: TryFrom<Dto>` |
///
/// ```
/// use larder_derive::Datum;
///
/// #[derive(Datum)]
/// #[model(by = "index")]
/// pub enum Level {
///     Low = 1,
///     High = 5,
/// }
///
/// /// `{"lat": 1, "lon": 2}` in the store, `[1, 2]` in JSON.
/// #[derive(Datum)]
/// #[model(json(via = "[i32; 2]"))]
/// pub struct Place {
///     lat: i32,
///     lon: i32,
/// }
///
/// impl From<&Place> for [i32; 2] {
///     fn from(place: &Place) -> Self {
///         [place.lat, place.lon]
///     }
/// }
///
/// impl From<[i32; 2]> for Place {
///     fn from([lat, lon]: [i32; 2]) -> Self {
///         Self { lat, lon }
///     }
/// }
/// # use larder::{Datum as _, dialect::json};
/// # assert_eq!(json::write(Place { lat: 1, lon: 2 }.show(), &Place::KIND).unwrap(), serde_json::json!([1, 2]));
/// # assert_eq!(json::write(Level::High.show(), &Level::KIND).unwrap(), 5);
/// # assert!(matches!(Level::take(larder::ValueRef::Int(1)), Ok(Level::Low)));
/// ```
///
/// On a variant: `rename`, `alias` (repeatable, in every dialect), and `rename` in `json(…)`, `row(…)`,
/// `dialect(name = "…", …)`.
#[proc_macro_derive(Datum, attributes(model))]
pub fn derive_datum(input: TokenStream) -> TokenStream {
    datum::derive(&parse_macro_input!(input as DeriveInput)).into()
}
