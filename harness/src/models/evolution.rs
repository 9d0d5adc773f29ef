//! One model in three versions, for stores that are opened again.

use larder_core::{
    EnumDef, FieldDef, FieldDialect, IntKind, KeyDef, Kind, Schema, StructDef, Tagging, Value, VariantDef,
};

use super::{called, field, text};

const fn variant(name: &'static str, alias: &'static [&'static str]) -> VariantDef {
    VariantDef { name, names: &[], alias, fields: &[], tuple: false }
}

static STATE_V1: EnumDef = EnumDef {
    name: "State",
    variants: &[variant("Open", &[]), variant("Shut", &[]), variant("Lost", &[])],
    tagging: Tagging::External,
};

/// `Shut` has become `Closed`, another place in the order of the declaration, and `Lost` is gone.
static STATE_V2: EnumDef = EnumDef {
    name: "State",
    variants: &[variant("Closed", &["Shut"]), variant("Open", &[])],
    tagging: Tagging::External,
};

static PART_V1: StructDef = StructDef {
    name: "Part",
    fields: &[FieldDef::new("name", Kind::Str), FieldDef::new("weight", Kind::Int(IntKind::I32))],
};

/// `name` has become `label`, `weight` is gone, `colour` is new.
static PART_V2: StructDef = StructDef {
    name: "Part",
    fields: &[
        FieldDef::new("colour", Kind::Str).with_default(|| text("grey")),
        FieldDef::new("label", Kind::Str)
            .with_dialects(&[("row", FieldDialect { alias: &["name"], ..FieldDialect::PLAIN })]),
    ],
};

/// The first version.
pub static NOTE_V1: Schema = Schema::new(
    "Note",
    &[
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        field!("body", Kind::Str, "n_body", "stored_body"),
        FieldDef::new("stars", Kind::Int(IntKind::U8)),
        FieldDef::new("state", Kind::Enum(&STATE_V1)),
        FieldDef::new("part", Kind::Struct(&PART_V1)),
        FieldDef::new("gone", Kind::Str),
    ],
    KeyDef::natural(&[0]),
);

/// The second: fields moved, added, removed, renamed and widened; so in the nested struct and the enum.
pub static NOTE_V2: Schema = Schema::new(
    "Note",
    &[
        FieldDef::new("priority", Kind::Int(IntKind::I32)).with_default(|| Value::Int(3)),
        FieldDef::new("stars", Kind::Int(IntKind::I64)),
        FieldDef::new("text", Kind::Str).with_dialects(&[
            ("row", FieldDialect { name: Some("text_2"), alias: &["stored_body"], ..FieldDialect::PLAIN }),
            ("json", called("n_text")),
        ]),
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        FieldDef::new("state", Kind::Enum(&STATE_V2)),
        FieldDef::new("part", Kind::Struct(&PART_V2)),
        FieldDef::new("due", Kind::Option(&Kind::Time)),
    ],
    KeyDef::natural(&[3]),
)
.version(2);

/// What can't be bridged: the number of stars has become a text, and a new field has no default.
pub static NOTE_BROKEN: Schema = Schema::new(
    "Note",
    &[
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        FieldDef::new("stars", Kind::Str),
        FieldDef::new("owner", Kind::Str),
    ],
    KeyDef::natural(&[0]),
)
.version(3);
