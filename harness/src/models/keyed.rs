//! Small models: one per kind of key, and one with constraints.

use jiff::Timestamp;
use larder_core::{FieldDef, IndexDef, IntKind, Key, KeyDef, KeyKind, Kind, Record, Schema, Value};

use super::{field, text};

/// A key that is text.
pub static NAMED: Schema = Schema::new(
    "Named",
    &[field!("name", Kind::Str, "n_name", "k"), field!("note", Kind::Str, "n_note", "f1")],
    KeyDef::natural(&[0]),
);

/// A key that is a number.
pub static NUMBERED: Schema = Schema::new(
    "Numbered",
    &[field!("number", Kind::Int(IntKind::I128), "n_number", "k"), field!("note", Kind::Str, "n_note", "f1")],
    KeyDef::natural(&[0]),
);

/// A key that the client makes; it is not the first field.
pub static TAGGED: Schema = Schema::new(
    "Tagged",
    &[field!("note", Kind::Str, "t_note", "f1"), field!("tag", Kind::Uuid, "t_tag", "k")],
    KeyDef { fields: &[1], kind: KeyKind::Client },
);

/// A key of two fields, in another order than they stand.
pub static SEAT: Schema = Schema::new(
    "Seat",
    &[
        field!("place", Kind::Int(IntKind::I32), "s_place", "k2"),
        field!("note", Kind::Str, "s_note", "f1"),
        field!("line", Kind::Str, "s_line", "k1"),
    ],
    KeyDef::natural(&[2, 0]),
);

/// A key that is bytes.
pub static BLOB: Schema = Schema::new(
    "Blob",
    &[field!("hash", Kind::Bytes, "b_hash", "k"), field!("note", Kind::Str, "b_note", "f1")],
    KeyDef::natural(&[0]),
);

/// A key that is a moment.
pub static MOMENT: Schema = Schema::new(
    "Moment",
    &[field!("at", Kind::Time, "m_at", "k"), field!("note", Kind::Str, "m_note", "f1")],
    KeyDef::natural(&[0]),
);

/// A model of one row.
pub static PROFILE: Schema =
    Schema::new("Profile", &[field!("note", Kind::Str, "p_note", "f1")], KeyDef::singleton());

static ACCOUNT_FIELDS: [FieldDef; 6] = [
    field!("id", Kind::Int(IntKind::I64), "a_id", "k"),
    field!("email", Kind::Str, "a_email", "f1"),
    field!("phone", Kind::Option(&Kind::Str), "a_phone", "f2"),
    field!("org", Kind::Str, "city", "f3"),
    field!("nick", Kind::Option(&Kind::Str), "a_nick", "f4"),
    field!("city", Kind::Str, "org", "f5"),
];

/// Unique fields, one of them nullable, and a unique pair.
pub static ACCOUNT: Schema = Schema::new("Account", &ACCOUNT_FIELDS, KeyDef::natural(&[0])).indexes(&[
    IndexDef { name: "email", fields: &[1], unique: true },
    IndexDef { name: "phone", fields: &[2], unique: true },
    IndexDef { name: "org_nick", fields: &[3, 4], unique: true },
    IndexDef { name: "city", fields: &[5], unique: false },
]);

/// An account whose unique fields are derived from the key; no phone.
#[must_use]
pub fn account(id: i64) -> Record {
    Record::new(vec![
        Some(Value::Int(id.into())),
        Some(text(&format!("{id}@example.com"))),
        Some(Value::Null),
        Some(text("org")),
        Some(text(&format!("nick {id}"))),
        Some(text("Oslo")),
    ])
}

/// A row of one of the small models with this key and a note.
///
/// # Panics
/// If the key is not one of that model: the suites are wrong then, not the provider.
#[must_use]
pub fn keyed(schema: &'static Schema, key: &Key, note: &str) -> Record {
    let mut fields = vec![Some(text(note)); schema.fields.len()];
    let parts = key.parts();
    assert_eq!(parts.len(), schema.key.fields.len(), "{key} is no key of {}", schema.model);
    for (position, part) in schema.key.fields.iter().zip(parts) {
        fields[*position] = Some(match (schema.fields[*position].kind, part) {
            (Kind::Time, Key::Int(nanoseconds)) => {
                Value::Time(Timestamp::from_nanosecond(*nanoseconds).unwrap_or_default())
            }
            (_, part) => part.to_value(),
        });
    }
    Record::new(fields)
}
