//! The model of the golden files, in three versions. What is here has been released: it is added to, never changed.

use larder_core::{
    EnumDef, FieldDef, FieldDialect, IndexDef, IntKind, KeyDef, Kind, Migration, OldRow, Record, Schema,
    StructDef, Tagging, Timestamp, Uuid, Value, VariantDef, value::VariantValue,
};

use crate::support::text;

const fn variant(name: &'static str, fields: &'static [FieldDef], tuple: bool) -> VariantDef {
    VariantDef { name, names: &[], alias: &[], fields, tuple }
}

static STATES: EnumDef = EnumDef {
    name: "State",
    variants: &[variant("Open", &[], false), variant("Frozen", &[], false), variant("Lost", &[], false)],
    tagging: Tagging::External,
};
static PLANS: EnumDef = EnumDef {
    name: "Plan",
    variants: &[
        variant("Plain", &[], false),
        variant("Gold", &[FieldDef::new("level", Kind::Int(IntKind::U8))], false),
        variant("Joint", &[FieldDef::new("0", Kind::Str), FieldDef::new("1", Kind::Bool)], true),
    ],
    tagging: Tagging::External,
};
static HOME: StructDef = StructDef {
    name: "Home",
    fields: &[FieldDef::new("street", Kind::Str), FieldDef::new("floor", Kind::Str)],
};

const ID: FieldDef = FieldDef::new("id", Kind::Uuid);
const OPENED: FieldDef = FieldDef::new("opened", Kind::Time);
const INITIAL: FieldDef = FieldDef::new("initial", Kind::Char);
const BLOB: FieldDef = FieldDef::new("blob", Kind::Bytes);
const TAGS: FieldDef = FieldDef::new("tags", Kind::List(&Kind::Str));
const LIMITS: FieldDef = FieldDef::new("limits", Kind::Map(&Kind::Str, &Kind::Int(IntKind::I64)));
const PLAN: FieldDef = FieldDef::new("plan", Kind::Enum(&PLANS));
const BIG: FieldDef = FieldDef::new("big", Kind::Int(IntKind::I128));

const KEY: KeyDef = KeyDef::client(&[0]);

static V1: Schema = Schema::new(
    "Account",
    &[
        ID,
        FieldDef::new("owner", Kind::Str),
        FieldDef::new("balance", Kind::Str),
        FieldDef::new("rate", Kind::F64),
        FieldDef::new("state", Kind::Enum(&STATES)),
        FieldDef::new("home", Kind::Struct(&HOME)),
        FieldDef::new("dropped", Kind::Option(&Kind::Str)),
        OPENED,
        INITIAL,
        BLOB,
        TAGS,
        LIMITS,
        PLAN,
        BIG,
    ],
    KEY,
)
.indexes(&[
    IndexDef { name: "owner", fields: &[1], unique: true },
    IndexDef { name: "state_opened", fields: &[4, 7], unique: false },
]);

/// The balance, a text such as `4.50`, becomes a number of cents.
fn cents(row: &mut OldRow) -> Result<(), String> {
    let (whole, part) = row.text("balance")?.split_once('.').ok_or("`balance` has no point")?;
    let number = |text: &str| text.parse::<i64>().map_err(|error| error.to_string());
    let cents = number(whole)? * 100 + number(part)?;
    row.set("cents", cents);
    row.remove("balance");
    Ok(())
}

/// Balances are cents; `rate` is called `interest`, `dropped` is gone, and there are notes.
static V2: Schema = Schema::new(
    "Account",
    &[
        ID,
        FieldDef::new("owner", Kind::Str),
        FieldDef::new("cents", Kind::Int(IntKind::I64)),
        FieldDef::new("interest", Kind::F64)
            .with_dialects(&[("row", FieldDialect { alias: &["rate"], ..FieldDialect::PLAIN })]),
        FieldDef::new("state", Kind::Enum(&STATES)),
        FieldDef::new("home", Kind::Struct(&HOME)),
        FieldDef::new("note", Kind::Option(&Kind::Str)),
        OPENED,
        INITIAL,
        BLOB,
        TAGS,
        LIMITS,
        PLAN,
        BIG,
    ],
    KEY,
)
.version(2)
.indexes(&[
    IndexDef { name: "owner", fields: &[1], unique: true },
    IndexDef { name: "cents", fields: &[2], unique: false },
])
.migrations(&[Migration::step(1, cents)]);

static FEWER_STATES: EnumDef = EnumDef {
    name: "State",
    variants: &[variant("Frozen", &[], false), variant("Open", &[], false)],
    tagging: Tagging::External,
};
static PLACE: StructDef = StructDef {
    name: "Place",
    fields: &[FieldDef::new("floor", Kind::Int(IntKind::I8)), FieldDef::new("street", Kind::Str)],
};

/// The owner's name is split, what was lost is frozen, and floors are numbers.
fn split(row: &mut OldRow) -> Result<(), String> {
    let owner = row.text("owner")?.to_owned();
    let (first, last) = owner.split_once(' ').ok_or("`owner` has one part")?;
    row.remove("owner");
    row.set("first", first);
    row.set("last", last);
    if row.text("state")? == "Lost" {
        row.set("state", "Frozen");
    }
    let Some(Value::Map(mut home)) = row.remove("home") else { return Err("`home` is no struct".to_owned()) };
    for (name, value) in &mut home {
        if let (Value::Str(name), Value::Str(floor)) = (name, &*value)
            && **name == *"floor"
        {
            *value = floor.parse::<i64>().map_err(|error| error.to_string())?.into();
        }
    }
    row.set("home", Value::Map(home));
    Ok(())
}

/// Today's version.
pub(super) static ACCOUNT: Schema = Schema::new(
    "Account",
    &[
        ID,
        FieldDef::new("last", Kind::Str),
        FieldDef::new("first", Kind::Str),
        FieldDef::new("cents", Kind::Int(IntKind::I64)),
        FieldDef::new("interest", Kind::F64)
            .with_dialects(&[("row", FieldDialect { alias: &["rate"], ..FieldDialect::PLAIN })]),
        FieldDef::new("state", Kind::Enum(&FEWER_STATES)),
        FieldDef::new("home", Kind::Struct(&PLACE)),
        FieldDef::new("note", Kind::Option(&Kind::Str)),
        OPENED,
        INITIAL,
        BLOB,
        TAGS,
        LIMITS,
        PLAN,
        BIG,
    ],
    KEY,
)
.version(3)
.indexes(&[
    IndexDef { name: "name", fields: &[1, 2], unique: true },
    IndexDef { name: "cents", fields: &[3], unique: false },
    IndexDef { name: "state_opened", fields: &[5, 8], unique: false },
])
.migrations(&[Migration::step(1, cents), Migration::step(2, split)]);

/// A row of some version: which one it is, and whether it has been changed.
type Make = fn(u32, bool) -> Record;

/// Each version with its rows.
pub(super) static VERSIONS: [(&Schema, Make); 3] = [(&V1, first), (&V2, second), (&ACCOUNT, third)];

/// The positions of the fields that a change changes, version by version.
pub(super) static CHANGED: [&[usize]; 3] = [&[1, 3], &[1, 3], &[1, 4]];

/// The names of the fields that such a change changes as today's version reads it.
pub(super) static CHANGED_TODAY: [&[&str]; 3] = [&["last", "interest"]; 3];

/// A row as today's version has it.
pub(super) const TODAY: Make = third;

fn last(id: u32, changed: bool) -> String {
    if changed { format!("Changed{id}") } else { format!("L{id}") }
}

fn interest(id: u32, changed: bool) -> Value {
    Value::Float(f64::from(id) / 8.0 + if changed { 1.0 } else { 0.0 })
}

fn state(id: u32) -> &'static str {
    ["Open", "Frozen", "Lost"][id as usize % 3]
}

/// The fields from `opened` on, which no version has touched.
fn rest(id: u32) -> Vec<Value> {
    let plan = |name: &str, fields| Value::Variant(Box::new(VariantValue { name: name.into(), fields }));
    vec![
        Value::Time(
            Timestamp::from_nanosecond(1_600_000_000_000_000_001 * i128::from(id)).unwrap_or_default(),
        ),
        Value::Char(['a', 'ø', '猫', '🦀'][id as usize % 4]),
        Value::Bytes(vec![0, 255, id as u8].into()),
        Value::List(vec![text("a\0b"), text("")]),
        Value::Map(vec![(text("day"), Value::Int(-1)), (text("week"), i64::MAX.into())]),
        match id % 3 {
            0 => plan("Plain", Vec::new()),
            1 => plan("Gold", vec![(id % 256).into()]),
            _ => plan("Joint", vec![text("Bob"), true.into()]),
        },
        Value::Int(i128::MIN + i128::from(id)),
    ]
}

fn record(head: Vec<Value>, id: u32) -> Record {
    Record::new(head.into_iter().chain(rest(id)).map(Some).collect::<Vec<_>>())
}

fn first(id: u32, changed: bool) -> Record {
    let home = Value::Struct(vec![text("High St"), text(&(i64::from(id) - 3).to_string())]);
    let head = vec![
        Value::Uuid(Uuid::from_u128(id.into())),
        text(&format!("Ada {}", last(id, changed))),
        text(&format!("{id}.50")),
        interest(id, changed),
        text(state(id)),
        home,
        if id.is_multiple_of(2) { text("dropped") } else { Value::Null },
    ];
    record(head, id)
}

fn second(id: u32, changed: bool) -> Record {
    let home = Value::Struct(vec![text("High St"), text(&(i64::from(id) - 3).to_string())]);
    let head = vec![
        Value::Uuid(Uuid::from_u128(id.into())),
        text(&format!("Ada {}", last(id, changed))),
        (i64::from(id) * 100 + 50).into(),
        interest(id, changed),
        text(state(id)),
        home,
        Value::Null,
    ];
    record(head, id)
}

fn third(id: u32, changed: bool) -> Record {
    let home = Value::Struct(vec![(i64::from(id) - 3).into(), text("High St")]);
    let head = vec![
        Value::Uuid(Uuid::from_u128(id.into())),
        text(&last(id, changed)),
        text("Ada"),
        (i64::from(id) * 100 + 50).into(),
        interest(id, changed),
        text(if state(id) == "Lost" { "Frozen" } else { state(id) }),
        home,
        Value::Null,
    ];
    record(head, id)
}
