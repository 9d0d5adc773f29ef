//! The models of the suites: every field type, every field called otherwise in every dialect.
//!
//! [`Specimen`](SPECIMEN) has every type that a field can have; the others are small, one per kind of key, and
//! [`Account`](ACCOUNT) has the constraints, and [`Person`], [`Book`] and [`Loan`] the associations. Pairs of fields exchange their names in JSON (`low` and `high`, `city`
//! and `org`): a provider that uses a model's names where the dialect's belong answers wrongly and not just empty.

mod evolution;
mod keyed;
mod related;
mod specimen;

pub use evolution::{NOTE_BROKEN, NOTE_V1, NOTE_V2};
pub use keyed::{ACCOUNT, BLOB, MOMENT, NAMED, NUMBERED, PROFILE, SEAT, TAGGED, account, keyed};
pub use related::{Book, Loan, Person, related};
pub use specimen::{GRADES, MOODS, SHAPES, SPECIMEN, mood, shape, specimen, struct_of};

use std::sync::LazyLock;

use larder_core::{FieldDef, FieldDialect, Kind, Record, Schema, Value};

/// Every model that a provider of the suites is opened with, but for those of the evolution.
pub static ALL: LazyLock<[&'static Schema; 12]> = LazyLock::new(|| {
    let [person, book, loan] = related();
    [&SPECIMEN, &ACCOUNT, &NAMED, &NUMBERED, &TAGGED, &SEAT, &BLOB, &MOMENT, &PROFILE, person, book, loan]
});

/// A field that is called `json` in JSON and `row` in the store.
const fn renamed(
    name: &'static str,
    kind: Kind,
    dialects: &'static [(&'static str, FieldDialect)],
) -> FieldDef {
    FieldDef::new(name, kind).with_dialects(dialects)
}

/// What is special about a field that has another name.
const fn called(name: &'static str) -> FieldDialect {
    FieldDialect { name: Some(name), ..FieldDialect::PLAIN }
}

/// `field!("city", Kind::Str, json "org_", row "r_city")`
macro_rules! field {
    ($name:literal, $kind:expr, $json:literal, $row:literal) => {
        $crate::models::renamed(
            $name,
            $kind,
            &[("json", $crate::models::called($json)), ("row", $crate::models::called($row))],
        )
    };
}
use field;

/// Sets a field by its name in the model.
///
/// # Panics
/// If the model has no such field: the suites are wrong then, not the provider.
#[must_use]
pub fn with(schema: &'static Schema, mut record: Record, name: &str, value: Value) -> Record {
    record.set(at(schema, name), value);
    record
}

/// The position of a field.
///
/// # Panics
/// If the model has no such field: the suites are wrong then, not the provider.
#[must_use]
pub fn at(schema: &'static Schema, name: &str) -> usize {
    schema.position(name).unwrap_or_else(|| panic!("{} has no field `{name}`", schema.model))
}

/// Text as a value.
#[must_use]
pub fn text(text: &str) -> Value {
    Value::Str(text.into())
}
