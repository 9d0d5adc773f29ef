//! The model that has every type of field.

use jiff::{Timestamp, ToSpan as _, civil};
use larder_core::schema::Converter;
use larder_core::value::VariantValue;
use larder_core::{
    AsDef, Decimal, EnumDef, FieldDef, IndexDef, IntKind, KeyDef, Kind, Record, Schema, StructDef, Tagging,
    Value, ValueRef, VariantDef,
};
use uuid::Uuid;

use super::{field, text};

const fn unit(name: &'static str, names: &'static [(&'static str, &'static str)]) -> VariantDef {
    VariantDef { name, names, alias: &[], fields: &[], tuple: false }
}

/// An enum without data. By name it orders otherwise than by declaration, and otherwise than in JSON.
static MOOD: EnumDef = EnumDef {
    name: "Mood",
    variants: &[
        unit("Sunny", &[("json", "a-sunny"), ("row", "s")]),
        unit("Calm", &[("json", "z-calm"), ("row", "c")]),
        unit("Grim", &[("json", "m-grim"), ("row", "g")]),
    ],
    tagging: Tagging::External,
};

/// The names of the enum without data, in the order of its declaration.
pub const MOODS: [&str; 3] = ["Sunny", "Calm", "Grim"];

const INT: Kind = Kind::Int(IntKind::I32);

const CIRCLE: VariantDef = VariantDef {
    name: "Circle",
    names: &[("json", "circle"), ("row", "ci")],
    alias: &[],
    fields: &[field!("radius", INT, "r", "rr")],
    tuple: false,
};

const EMPTY: VariantDef = unit("Empty", &[("json", "empty"), ("row", "em")]);

/// An enum with data: variants with named fields, with unnamed ones, and without any.
static SHAPE: EnumDef = EnumDef {
    name: "Shape",
    variants: &[
        CIRCLE,
        EMPTY,
        VariantDef {
            name: "Box",
            names: &[("json", "box"), ("row", "bo")],
            alias: &[],
            fields: &[FieldDef::new("0", INT), FieldDef::new("1", INT)],
            tuple: true,
        },
    ],
    tagging: Tagging::External,
};

/// The names of the enum with data.
pub const SHAPES: [&str; 3] = ["Circle", "Empty", "Box"];

static INTERNAL: EnumDef =
    EnumDef { name: "Internal", variants: &[CIRCLE, EMPTY], tagging: Tagging::Internal { tag: "type" } };

static ADJACENT: EnumDef = EnumDef {
    name: "Adjacent",
    variants: &[CIRCLE, EMPTY],
    tagging: Tagging::Adjacent { tag: "t", content: "c" },
};

/// An enum that is stored by number. By number it orders otherwise than by declaration and than by name.
static GRADE: EnumDef = EnumDef {
    name: "Grade",
    variants: &[unit("Best", &[]), unit("Fair", &[]), unit("Poor", &[])],
    tagging: Tagging::Number(&GRADES),
};

/// The numbers of the enum that is stored by number, in the order of its declaration.
pub const GRADES: [i128; 3] = [9, -1, 10];

/// A number that JSON has as a text: `"7 g"`.
static WEIGHT: AsDef = AsDef {
    name: "Weight",
    kind: INT,
    dialects: &[("json", Converter { write: write_weight, read: read_weight })],
};

fn write_weight(value: ValueRef<'_>) -> Result<serde_json::Value, String> {
    match value {
        ValueRef::Int(grams) => Ok(format!("{grams} g").into()),
        _ => Err("a weight is a number".to_owned()),
    }
}

fn read_weight(json: &serde_json::Value) -> Result<Value, String> {
    let grams = json.as_str().and_then(|text| text.strip_suffix(" g"));
    grams.and_then(|grams| grams.parse().ok()).map(Value::Int).ok_or_else(|| "no weight".to_owned())
}

static PLACE: StructDef = StructDef {
    name: "Place",
    fields: &[
        field!("street", Kind::Str, "zip", "p_street"),
        field!("zip", Kind::Option(&Kind::Str), "street", "p_zip"),
        field!("floor", INT, "level", "p_floor"),
    ],
};

const OPT_INT: Kind = Kind::Option(&Kind::Int(IntKind::I64));
const OPT_STR: Kind = Kind::Option(&Kind::Str);

static FIELDS: [FieldDef; 64] = [
    field!("id", Kind::Int(IntKind::I64), "_id", "k"),
    field!("flag", Kind::Bool, "is_flag", "f1"),
    field!("tiny", Kind::Int(IntKind::I8), "n_tiny", "f2"),
    field!("short", Kind::Int(IntKind::I16), "n_short", "f3"),
    field!("low", Kind::Int(IntKind::I32), "high", "f4"),
    field!("high", Kind::Int(IntKind::I32), "low", "f5"),
    field!("long", Kind::Int(IntKind::I64), "n_long", "f6"),
    field!("wide", Kind::Int(IntKind::I128), "n_wide", "f7"),
    field!("byte", Kind::Int(IntKind::U8), "n_byte", "f8"),
    field!("word", Kind::Int(IntKind::U16), "n_word", "f9"),
    field!("dword", Kind::Int(IntKind::U32), "n_dword", "f10"),
    field!("qword", Kind::Int(IntKind::U64), "n_qword", "f11"),
    field!("single", Kind::F32, "x_single", "f12"),
    field!("double", Kind::F64, "x_double", "f13"),
    field!("letter", Kind::Char, "c_letter", "f14"),
    field!("title", Kind::Str, "s_title", "f15"),
    field!("data", Kind::Bytes, "b_data", "f16"),
    field!("token", Kind::Uuid, "u_token", "f17"),
    field!("made", Kind::Time, "made_at", "f18"),
    field!("mood", Kind::Enum(&MOOD), "e_mood", "f19"),
    field!("shape", Kind::Enum(&SHAPE), "e_shape", "f20"),
    field!("internal", Kind::Enum(&INTERNAL), "e_internal", "f21"),
    field!("adjacent", Kind::Enum(&ADJACENT), "e_adjacent", "f22"),
    field!("place", Kind::Struct(&PLACE), "o_place", "f23"),
    field!("opt_flag", Kind::Option(&Kind::Bool), "q_flag", "f24"),
    field!("opt_int", OPT_INT, "q_int", "f25"),
    field!("opt_double", Kind::Option(&Kind::F64), "q_double", "f26"),
    field!("opt_title", OPT_STR, "q_title", "f27"),
    field!("opt_mood", Kind::Option(&Kind::Enum(&MOOD)), "q_mood", "f28"),
    field!("opt_made", Kind::Option(&Kind::Time), "q_made", "f29"),
    field!("opt_place", Kind::Option(&Kind::Struct(&PLACE)), "q_place", "f30"),
    field!("ints", Kind::List(&INT), "l_ints", "f31"),
    field!("words", Kind::List(&Kind::Str), "l_words", "f32"),
    field!("opt_words", Kind::Option(&Kind::List(&Kind::Str)), "q_words", "f33"),
    field!("doubles", Kind::List(&Kind::F64), "l_doubles", "f34"),
    field!("places", Kind::List(&Kind::Struct(&PLACE)), "l_places", "f35"),
    field!("counts", Kind::Map(&Kind::Str, &INT), "m_counts", "f36"),
    field!("opt_tiny", Kind::Option(&Kind::Int(IntKind::I8)), "q_tiny", "f37"),
    field!("opt_short", Kind::Option(&Kind::Int(IntKind::I16)), "q_short", "f38"),
    field!("opt_low", Kind::Option(&INT), "q_low", "f39"),
    field!("opt_wide", Kind::Option(&Kind::Int(IntKind::I128)), "q_wide", "f40"),
    field!("opt_byte", Kind::Option(&Kind::Int(IntKind::U8)), "q_byte", "f41"),
    field!("opt_word", Kind::Option(&Kind::Int(IntKind::U16)), "q_word", "f42"),
    field!("opt_dword", Kind::Option(&Kind::Int(IntKind::U32)), "q_dword", "f43"),
    field!("opt_qword", Kind::Option(&Kind::Int(IntKind::U64)), "q_qword", "f44"),
    field!("opt_single", Kind::Option(&Kind::F32), "q_single", "f45"),
    field!("opt_letter", Kind::Option(&Kind::Char), "q_letter", "f46"),
    field!("opt_data", Kind::Option(&Kind::Bytes), "q_data", "f47"),
    field!("opt_token", Kind::Option(&Kind::Uuid), "q_token", "f48"),
    field!("huge", Kind::Int(IntKind::U128), "n_huge", "f49"),
    field!("day", Kind::Date, "d_day", "f50"),
    field!("clock", Kind::Clock, "t_clock", "f51"),
    field!("local", Kind::DateTime, "d_local", "f52"),
    field!("price", Kind::Decimal, "n_price", "f53"),
    field!("grade", Kind::Enum(&GRADE), "e_grade", "f54"),
    field!("weight", Kind::As(&WEIGHT), "o_weight", "f55"),
    field!("opt_huge", Kind::Option(&Kind::Int(IntKind::U128)), "q_huge", "f56"),
    field!("opt_day", Kind::Option(&Kind::Date), "q_day", "f57"),
    field!("opt_clock", Kind::Option(&Kind::Clock), "q_clock", "f58"),
    field!("opt_local", Kind::Option(&Kind::DateTime), "q_local", "f59"),
    field!("opt_price", Kind::Option(&Kind::Decimal), "q_price", "f60"),
    field!("opt_grade", Kind::Option(&Kind::Enum(&GRADE)), "q_grade", "f61"),
    field!("opt_weight", Kind::Option(&Kind::As(&WEIGHT)), "q_weight", "f62"),
    field!("names", Kind::Map(&Kind::Int(IntKind::I64), &Kind::Str), "m_names", "f63"),
];

/// Every type of field; indexes on some of them, so that a store that has indexes uses them.
pub static SPECIMEN: Schema = Schema::new("Specimen", &FIELDS, KeyDef::natural(&[0])).indexes(&[
    IndexDef { name: "by_title", fields: &[15], unique: false },
    IndexDef { name: "by_opt_int", fields: &[25], unique: false },
    IndexDef { name: "by_double", fields: &[13], unique: false },
    IndexDef { name: "by_mood_low", fields: &[19, 4], unique: false },
    IndexDef { name: "by_opt_title_made", fields: &[27, 18], unique: false },
]);

/// A specimen with this key: plain values, derived from the key, and nulls.
#[must_use]
pub fn specimen(id: i64) -> Record {
    let int = |n: i128| Some(Value::Int(n));
    let (key, id) = (id, id % 10_000);
    let n = i128::from(id);
    let fields = vec![
        int(key.into()),
        Some(Value::Bool(id % 2 == 0)),
        int(n % 100),
        int(n),
        int(n),
        int(-n),
        int(n * 1_000),
        int(n * 1_000_000),
        int(n.rem_euclid(256)),
        int(n.rem_euclid(65_536)),
        int(n.rem_euclid(1 << 32)),
        int(n.rem_euclid(1 << 64)),
        Some(Value::Float(f64::from(id as f32) / 2.0)),
        Some(Value::Float(id as f64 / 4.0)),
        Some(Value::Char(char::from(b'a' + id.rem_euclid(26) as u8))),
        Some(text(&format!("title {id}"))),
        Some(Value::Bytes(id.to_le_bytes().into())),
        Some(Value::Uuid(Uuid::from_u128(n.unsigned_abs()))),
        Some(Value::Time(Timestamp::from_second(1_700_000_000 + id).unwrap_or_default())),
        Some(mood(MOODS[id.rem_euclid(3) as usize])),
        Some(shape("Circle", &[1])),
        Some(shape("Empty", &[])),
        Some(shape("Circle", &[2])),
        Some(struct_of("Main Street", None, id as i32)),
        Some(Value::Null),
        Some(Value::Null),
        Some(Value::Null),
        Some(Value::Null),
        Some(Value::Null),
        Some(Value::Null),
        Some(Value::Null),
        Some(Value::List(Vec::new())),
        Some(Value::List(Vec::new())),
        Some(Value::Null),
        Some(Value::List(Vec::new())),
        Some(Value::List(Vec::new())),
        Some(Value::Map(Vec::new())),
    ];
    let mut record =
        Record::new(fields.into_iter().chain(std::iter::repeat_n(Some(Value::Null), 27)).collect::<Vec<_>>());
    let day = civil::date(2026, 1, 1).checked_add(id.days()).unwrap_or_default();
    let clock = civil::time(0, 0, (id.rem_euclid(60)) as i8, 0);
    for (name, value) in [
        ("huge", Value::Int(n.rem_euclid(1 << 100))),
        ("day", Value::Date(day)),
        ("clock", Value::Clock(clock)),
        ("local", Value::DateTime(day.to_datetime(clock))),
        ("price", Decimal::new(n, 2).map_or(Value::Null, Value::Decimal)),
        ("grade", Value::Int(GRADES[id.rem_euclid(3) as usize])),
        ("weight", Value::Int(n)),
        ("names", Value::Map(Vec::new())),
    ] {
        record = super::with(&SPECIMEN, record, name, value);
    }
    record
}

/// A value of the enum without data.
#[must_use]
pub fn mood(name: &str) -> Value {
    text(name)
}

/// A value of an enum with data.
#[must_use]
pub fn shape(name: &str, fields: &[i128]) -> Value {
    let fields = fields.iter().map(|n| Value::Int(*n)).collect();
    Value::Variant(Box::new(VariantValue { name: name.into(), fields }))
}

/// A value of the nested struct.
#[must_use]
pub fn struct_of(street: &str, zip: Option<&str>, floor: i32) -> Value {
    Value::Struct(vec![text(street), zip.map_or(Value::Null, text), Value::Int(floor.into())])
}
