//! JSON: the dialect of REST, of fixtures and of everything that is read by people.
//!
//! | a field | in JSON |
//! |---|---|
//! | bool, text, char, floats, integers of 64 bits | bool, string, string, numbers |
//! | integers outside of 64 bits | a string of digits; a number is read as well |
//! | decimal | a string, `"1.50"`; a number is read as well |
//! | UUID | a string, hyphenated |
//! | moment | a string (RFC 3339), `"2024-06-30T08:00:00Z"`; another offset is read as well |
//! | date, time of day, both | a string (ISO 8601): `"2024-06-30"`, `"08:00:00"`, `"2024-06-30T08:00:00"` |
//! | bytes | a string in base64 (RFC 4648, 4) |
//! | list, set, array | an array |
//! | map | an object; keys that are no text are written as text |
//! | struct | an object |
//! | enum | as serde writes it; one that is stored by number, as the number |

mod pointer;
mod related;
mod writing;

pub use writing::write;
use writing::write_fields;

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json_};

use crate::association::Brought;
use crate::error::{Error, ErrorKind, Result};
use crate::kind::{EnumDef, IntKind, Kind, Tagging, VariantDef};
use crate::mutation::FieldSet;
use crate::query::eval;
use crate::row::{Record, Row};
use crate::schema::{FieldDef, Schema};
use crate::serdes::{Decoded, Serdes};
use crate::value::{Value, ValueRef, VariantValue};

/// The name of the dialect, as in `#[model(json(…))]`.
pub const DIALECT: &str = "json";

/// The JSON codec.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Serdes for Json {
    type Encoded = Json_;

    fn dialect(&self) -> &'static str {
        DIALECT
    }

    fn encode(&self, schema: &'static Schema, row: &dyn Row) -> Result<Json_> {
        self.encode_some(schema, row, |_| true)
    }

    fn decode(&self, schema: &'static Schema, encoded: &Json_) -> Result<Decoded> {
        self.decode_with(schema, encoded, Missing::Refuse)
    }
}

/// What to do about a required field that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refuse,
    Absent,
}

impl Json {
    /// Encodes the fields of `row` that are in `fields`.
    ///
    /// # Errors
    /// As [`encode`](Serdes::encode).
    pub fn encode_fields(self, schema: &'static Schema, row: &dyn Row, fields: &FieldSet) -> Result<Json_> {
        self.encode_some(schema, row, |at| fields.contains(at))
    }

    /// Decodes an answer that may lack fields: what is missing is absent, default or not.
    ///
    /// # Errors
    /// As [`decode`](Serdes::decode), but for missing fields.
    pub fn decode_partial(self, schema: &'static Schema, encoded: &Json_) -> Result<Decoded> {
        self.decode_with(schema, encoded, Missing::Absent)
    }

    fn encode_some(
        self,
        schema: &'static Schema,
        row: &dyn Row,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Json_> {
        if let Some(via) = schema.via(DIALECT) {
            return (via.write)(row).map_err(|error| error.model(schema.model).during("encode"));
        }
        let mut object = Map::new();
        for (at, field) in schema.fields.iter().enumerate().filter(|(at, _)| wanted(*at)) {
            let shown = row.field(at).map_err(|fault| schema.fault(at, fault).during("encode"))?;
            write_field(&mut object, field, shown)
                .map_err(|error| error.at(field.name).model(schema.model).during("encode"))?;
        }
        for computed in schema.computed.iter().filter(|computed| computed.dialect == DIALECT) {
            let json = (computed.write)(row)
                .map_err(|error| error.at(computed.name).model(schema.model).during("encode"))?;
            object.insert(computed.name.to_owned(), json);
        }
        Ok(Json_::Object(object))
    }

    fn decode_with(self, schema: &'static Schema, encoded: &Json_, missing: Missing) -> Result<Decoded> {
        let Json_::Object(object) = encoded else {
            return Err(mismatch("an object", encoded).model(schema.model).during("decode"));
        };
        if let Some(via) = schema.via(DIALECT) {
            let (record, known) =
                (via.read)(encoded).map_err(|error| error.model(schema.model).during("decode"))?;
            let extra = beside(object, |name| known.get(name).is_some());
            return Ok(Decoded { record, extra, brought: Brought::default() });
        }
        let mut reading = related::Reading { schema, object, missing, brought: Brought::default() };
        let mut fields = Vec::with_capacity(schema.fields.len());
        for (at, field) in schema.fields.iter().enumerate() {
            let read = reading
                .field(at, field)
                .map_err(|error| error.at(field.name).model(schema.model).during("decode"))?;
            fields.push(read);
        }
        let record = Record::new(fields);
        reading.derived(&record).map_err(|error| error.model(schema.model).during("decode"))?;
        let computed = |name: &str| {
            schema.computed.iter().any(|computed| computed.dialect == DIALECT && computed.name == name)
        };
        let known = |name: &str| knows(schema.fields, name) || related::knows(schema, name) || computed(name);
        Ok(Decoded { record, extra: beside(object, known), brought: reading.brought })
    }
}

/// True if one of the fields is called `name`.
fn knows(fields: &'static [FieldDef], name: &str) -> bool {
    fields.iter().any(|field| match field.flat_in(DIALECT) {
        Some(flat) => knows(flat, name),
        None => field.name_in(DIALECT) == name || field.alias_in(DIALECT).contains(&name),
    })
}

/// What the object has and the model has not.
fn beside(object: &Map<String, Json_>, known: impl Fn(&str) -> bool) -> Option<std::sync::Arc<str>> {
    let rest: Map<_, _> = object
        .iter()
        .filter(|(name, _)| !known(name))
        .map(|(name, json)| (name.clone(), json.clone()))
        .collect();
    (!rest.is_empty()).then(|| Json_::Object(rest).to_string().into())
}

fn write_field(object: &mut Map<String, Json_>, field: &'static FieldDef, value: ValueRef<'_>) -> Result<()> {
    let special = field.dialect(DIALECT);
    if matches!(value, ValueRef::Absent) || special.is_some_and(|special| special.skip_write) {
        return Ok(());
    }
    if let Some(flat) = field.flat_in(DIALECT) {
        if let ValueRef::Struct(nested) = value {
            let values = writing::flat(nested)
                .map_err(|fault| Error::new(ErrorKind::Serialization, fault.to_string()))?;
            object.append(&mut write_fields(flat, &values)?);
        }
        return Ok(());
    }
    let json = match special.and_then(|special| special.convert) {
        Some(convert) => {
            (convert.write)(value).map_err(|refusal| Error::new(ErrorKind::Serialization, refusal))?
        }
        None => write(value, &field.kind)?,
    };
    object.insert(field.name_in(DIALECT).to_owned(), json);
    Ok(())
}

fn read_field(
    object: &Map<String, Json_>,
    field: &'static FieldDef,
    missing: Missing,
) -> Result<Option<Value>> {
    let special = field.dialect(DIALECT);
    if special.is_some_and(|special| special.skip_read) {
        return Ok(None);
    }
    if let Some(flat) = field.flat_in(DIALECT) {
        let has_any = object.keys().any(|name| knows(flat, name));
        return match field.default_in(DIALECT) {
            _ if has_any => read_fields(object, flat).map(Value::Struct).map(Some),
            _ if missing == Missing::Absent => Ok(None),
            Some(default) => Ok(Some(default)),
            None => read_fields(object, flat).map(Value::Struct).map(Some),
        };
    }
    let found = object
        .get(field.name_in(DIALECT))
        .or_else(|| field.alias_in(DIALECT).iter().find_map(|alias| object.get(*alias)));
    let Some(json) = found else {
        if missing == Missing::Absent {
            return Ok(None);
        }
        return field.default_in(DIALECT).map(Some).ok_or_else(|| {
            Error::new(
                ErrorKind::Serialization,
                "required, but not there; give the field a default if it may be",
            )
        });
    };
    match special.and_then(|special| special.convert) {
        Some(convert) => {
            (convert.read)(json).map_err(|refusal| Error::new(ErrorKind::Serialization, refusal))
        }
        None => read(json, &field.kind),
    }
    .map(Some)
}

#[cold]
fn mismatch(expected: &str, found: &Json_) -> Error {
    let found = match found {
        Json_::Null => "null",
        Json_::Bool(_) => "a bool",
        Json_::Number(number) if number.is_f64() => "a float",
        Json_::Number(_) => "an integer",
        Json_::String(_) => "a string",
        Json_::Array(_) => "an array",
        Json_::Object(_) => "an object",
    };
    Error::new(ErrorKind::Serialization, format!("expected {expected}, found {found}"))
}

fn inexpressible(what: &str) -> Error {
    Error::new(ErrorKind::Serialization, format!("{what} can't be written as JSON"))
}

// ---- reading ----

/// Reads a value of type `kind`.
///
/// # Errors
/// `Serialization` with the path, for another type, a number out of range, an unknown variant, a missing field.
pub fn read(json: &Json_, kind: &'static Kind) -> Result<Value> {
    match (kind, json) {
        (Kind::Option(_), Json_::Null) => Ok(Value::Null),
        (Kind::Option(inner), json) => read(json, inner),
        (Kind::As(def), json) => match kind.converter(DIALECT) {
            Some(convert) => {
                (convert.read)(json).map_err(|refusal| Error::new(ErrorKind::Serialization, refusal))
            }
            None => read(json, &def.kind),
        },
        (Kind::Bool, Json_::Bool(v)) => Ok(Value::Bool(*v)),
        (Kind::Int(int), json) => read_int(json, *int),
        (Kind::F64, Json_::Number(v)) => {
            v.as_f64().map(Value::Float).ok_or_else(|| mismatch("a float", json))
        }
        (Kind::F32, Json_::Number(v)) => read_f32(v.as_f64().ok_or_else(|| mismatch("a float", json))?),
        (Kind::Str, Json_::String(v)) => Ok(Value::Str(v.as_str().into())),
        (Kind::Char, Json_::String(v)) => {
            single_char(v).map(Value::Char).ok_or_else(|| mismatch("one character", json))
        }
        (Kind::Bytes, Json_::String(v)) => read_bytes(v),
        (Kind::Uuid, Json_::String(v)) => parsed(v, "a uuid").map(Value::Uuid),
        (Kind::Time, Json_::String(v)) => parsed(v, "a moment (RFC 3339)").map(Value::Time),
        (Kind::Date, Json_::String(v)) => parsed(v, DATE).map(Value::Date),
        (Kind::Clock, Json_::String(v)) => parsed(v, CLOCK).map(Value::Clock),
        (Kind::DateTime, Json_::String(v)) => parsed(v, DATE_TIME).map(Value::DateTime),
        (Kind::Decimal, Json_::String(v)) => parsed(v, DECIMAL).map(Value::Decimal),
        (Kind::Decimal, Json_::Number(v)) => parsed(&v.to_string(), DECIMAL).map(Value::Decimal),
        (Kind::List(of), Json_::Array(elements)) => {
            let element =
                |(i, json): (usize, &Json_)| read(json, of).map_err(|error| error.at(format!("[{i}]")));
            elements.iter().enumerate().map(element).collect::<Result<_>>().map(Value::List)
        }
        (Kind::Map(of_key, of), Json_::Object(members)) => {
            let entry = |(name, json): (&String, &Json_)| {
                let read = read_map_key(name, of_key).and_then(|key| Ok((key, read(json, of)?)));
                read.map_err(|error| error.at(name))
            };
            let mut entries = members.iter().map(entry).collect::<Result<Vec<_>>>()?;
            entries.sort_by(|(a, _), (b, _)| order_keys(a, b, of_key));
            Ok(Value::Map(entries))
        }
        (Kind::Struct(def), Json_::Object(members)) => read_fields(members, def.fields).map(Value::Struct),
        (Kind::Enum(def), json) => read_enum(json, def),
        (Kind::Bool, _) => Err(mismatch("a bool", json)),
        (Kind::F32 | Kind::F64, _) => Err(mismatch("a float", json)),
        (Kind::Str, _) => Err(mismatch("a string", json)),
        (Kind::Char, _) => Err(mismatch("one character", json)),
        (Kind::Bytes, _) => Err(mismatch("bytes in base64", json)),
        (Kind::Uuid, _) => Err(mismatch("a uuid", json)),
        (Kind::Time, _) => Err(mismatch("a moment (RFC 3339)", json)),
        (Kind::Date, _) => Err(mismatch(DATE, json)),
        (Kind::Clock, _) => Err(mismatch(CLOCK, json)),
        (Kind::DateTime, _) => Err(mismatch(DATE_TIME, json)),
        (Kind::Decimal, _) => Err(mismatch(DECIMAL, json)),
        (Kind::List(_), _) => Err(mismatch("an array", json)),
        (Kind::Map(..) | Kind::Struct(_), _) => Err(mismatch("an object", json)),
    }
}

const DATE: &str = "a date such as 2024-06-30";
const CLOCK: &str = "a time of day such as 08:30:00";
const DATE_TIME: &str = "a date with a time such as 2024-06-30T08:30:00";
const DECIMAL: &str = "a decimal number";

fn read_int(json: &Json_, int: IntKind) -> Result<Value> {
    if let (Json_::String(digits), IntKind::U128) = (json, int)
        && let Ok(value) = digits.parse::<u128>()
    {
        return ValueRef::uint(value).to_value().map_err(|_| mismatch("an integer", json));
    }
    let value = match json {
        Json_::Number(number) if !number.is_f64() => {
            number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
        }
        Json_::String(digits) if matches!(int, IntKind::I128 | IntKind::U128) => digits.parse().ok(),
        _ => None,
    };
    within(value.ok_or_else(|| mismatch("an integer", json))?, int)
}

fn within(value: i128, int: IntKind) -> Result<Value> {
    let (least, greatest) = int.range();
    if value < least || value > greatest {
        return Err(Error::new(
            ErrorKind::Serialization,
            format!("{value} is not between {least} and {greatest}"),
        ));
    }
    Ok(Value::Int(value))
}

/// Narrowed on reading, so that a filter sees what the model gets.
fn read_f32(wide: f64) -> Result<Value> {
    #[allow(clippy::cast_possible_truncation, reason = "checked below: only the range can be lost")]
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        return Err(Error::new(ErrorKind::Serialization, format!("{wide} is out of range for f32")));
    }
    Ok(Value::Float(narrow.into()))
}

fn single_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

fn read_bytes(text: &str) -> Result<Value> {
    let packed: String = text.chars().filter(|char| !char.is_ascii_whitespace()).collect();
    let bytes = BASE64
        .decode(packed)
        .map_err(|error| Error::new(ErrorKind::Serialization, "expected bytes in base64").because(error))?;
    Ok(Value::Bytes(bytes.into()))
}

fn parsed<T: std::str::FromStr>(text: &str, expected: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse::<T>().map_err(|error| {
        Error::new(ErrorKind::Serialization, format!("expected {expected}, found another string"))
            .because(error)
    })
}

fn read_map_key(name: &str, kind: &'static Kind) -> Result<Value> {
    match kind {
        Kind::Int(int) => match name.parse::<u128>() {
            Ok(value) if *int == IntKind::U128 => Ok(ValueRef::uint(value).to_value().unwrap_or_default()),
            _ => within(parsed(name, "an integer as a key")?, *int),
        },
        Kind::Bool => parsed(name, "a bool as a key").map(Value::Bool),
        Kind::As(def) if kind.converter(DIALECT).is_none() => read_map_key(name, &def.kind),
        Kind::Enum(def) if def.numbers().is_some() => {
            numbered(parsed(name, "the number of a variant as a key")?, def)
        }
        kind => read(&Json_::String(name.to_owned()), kind),
    }
}

/// The order in which a model's own map shows its keys: variants as they are declared.
fn order_keys(a: &Value, b: &Value, kind: &'static Kind) -> Ordering {
    let declared = |value: &Value| match (kind.inner(), value) {
        (Kind::Enum(def), Value::Str(name)) => {
            def.variants.iter().position(|variant| *variant.name == **name)
        }
        _ => None,
    };
    let by_value = || eval::order(a.show(), b.show()).unwrap_or(Ordering::Equal);
    declared(a).cmp(&declared(b)).then_with(by_value)
}

fn read_fields(members: &Map<String, Json_>, defs: &'static [FieldDef]) -> Result<Vec<Value>> {
    let field = |def: &'static FieldDef| {
        let read = read_field(members, def, Missing::Refuse).map_err(|error| error.at(def.name))?;
        // A nested field that is not read has nothing to be merged with: it takes its default.
        read.or_else(|| def.default_in(DIALECT)).ok_or_else(|| {
            Error::new(ErrorKind::Serialization, "not read, and without a default").at(def.name)
        })
    };
    defs.iter().map(field).collect()
}

fn unknown_variant(def: &EnumDef, name: &str) -> Error {
    let known: Vec<_> = def.variants.iter().map(|variant| variant.name_in(DIALECT)).collect();
    Error::new(
        ErrorKind::Serialization,
        format!("unknown variant `{name}` of {}, expected one of {}", def.name, known.join(", ")),
    )
}

fn read_enum(json: &Json_, def: &'static EnumDef) -> Result<Value> {
    let find = |name: &str| def.variant_in(DIALECT, name).ok_or_else(|| unknown_variant(def, name));
    if def.numbers().is_some() {
        let number = if let Json_::Number(number) = json { number.as_i64() } else { None };
        return numbered(number.ok_or_else(|| mismatch("the number of a variant", json))?.into(), def);
    }
    if def.is_unit() {
        let Json_::String(name) = json else {
            return Err(mismatch("the name of a variant", json));
        };
        return Ok(Value::Str(find(name)?.name.into()));
    }
    let tag_of = |members: &Map<String, Json_>, tag: &str| match members.get(tag) {
        Some(Json_::String(name)) => find(name),
        Some(other) => Err(mismatch("the name of a variant", other).at(tag)),
        None => Err(Error::new(ErrorKind::Serialization, "the tag of the variant is missing").at(tag)),
    };
    match (def.tagging, json) {
        (Tagging::External, Json_::String(name)) => read_variant(find(name)?, None),
        (Tagging::External, Json_::Object(members)) if members.len() == 1 => match members.iter().next() {
            Some((name, content)) => read_variant(find(name)?, Some(content)).map_err(|error| error.at(name)),
            None => Err(mismatch("a variant", json)),
        },
        (Tagging::Internal { tag }, Json_::Object(members)) => {
            read_variant(tag_of(members, tag)?, Some(json))
        }
        (Tagging::Adjacent { tag, content }, Json_::Object(members)) => {
            read_variant(tag_of(members, tag)?, members.get(content)).map_err(|error| error.at(content))
        }
        (_, other) => Err(mismatch("a variant", other)),
    }
}

/// A number that is one of those of the enum.
fn numbered(number: i128, def: &'static EnumDef) -> Result<Value> {
    if def.numbered(number).is_some() {
        return Ok(Value::Int(number));
    }
    let known = def.variants.iter().zip(def.numbers().unwrap_or_default());
    let known: Vec<_> = known.map(|(variant, number)| format!("{number} ({})", variant.name)).collect();
    Err(Error::new(
        ErrorKind::Serialization,
        format!("unknown variant {number} of {}, expected one of {}", def.name, known.join(", ")),
    ))
}

fn read_variant(variant: &'static VariantDef, content: Option<&Json_>) -> Result<Value> {
    let fields = match (variant.fields, content) {
        ([], _) => Vec::new(),
        ([one], Some(content)) if variant.tuple => vec![read(content, &one.kind)?],
        (many, Some(Json_::Array(elements))) if variant.tuple && elements.len() == many.len() => {
            many.iter().zip(elements).map(|(def, json)| read(json, &def.kind)).collect::<Result<_>>()?
        }
        (many, Some(Json_::Object(members))) if !variant.tuple => read_fields(members, many)?,
        (_, Some(other)) => return Err(mismatch("the content of the variant", other)),
        (_, None) => {
            return Err(Error::new(ErrorKind::Serialization, "the content of the variant is missing"));
        }
    };
    Ok(Value::Variant(Box::new(VariantValue { name: variant.name.into(), fields })))
}
