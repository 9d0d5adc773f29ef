//! The dialect `plain`: a row is a JSON object, and a value looks like what it is.
//!
//! | value | JSON |
//! |---|---|
//! | null, bool, text, a list, a number of 64 bits | itself |
//! | a UUID, a moment, a greater number | `{"$uuid": …}`, `{"$time": …}`, `{"$int": …}`, each with a text |
//! | a nested struct, by position | `{"$struct": […]}` |
//! | a map | `{"$map": [[key, value], …]}` |
//! | a variant with data | `{"$variant": [name, …]}` |
//! | anything else | `{"$": …}` with the value as Larder itself writes it down |
//!
//! Field names come from the schema: `#[model(dialect(name = "plain", rename = "…"))]`. So do defaults, former names,
//! skips and converters.

use std::sync::Arc;

use larder::core::value::VariantValue;
use larder::core::{Brought, Decoded, FieldDef, Kind, Record, Row, Schema, Serdes, Value, packed};
use larder::{Error, ErrorKind, Result};
use serde_json::{Map, Value as Json, json};

/// The name of the dialect.
const DIALECT: &str = "plain";

/// The codec.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain;

impl Serdes for Plain {
    type Encoded = Map<String, Json>;

    fn dialect(&self) -> &'static str {
        DIALECT
    }

    fn encode(&self, schema: &'static Schema, row: &dyn Row) -> Result<Self::Encoded> {
        let record = Record::copy(schema, row)?;
        check(schema, &record)?;
        let mut object = Map::new();
        for (at, field) in schema.fields.iter().enumerate() {
            let special = field.dialect(DIALECT);
            let Some(value) = record.get(at).filter(|_| !special.is_some_and(|special| special.skip_write))
            else {
                continue;
            };
            let json = match special.and_then(|special| special.convert) {
                Some(convert) => (convert.write)(value.show()).map_err(|why| refused(schema, field, why))?,
                None => write(value),
            };
            object.insert(field.name_in(DIALECT).to_owned(), json);
        }
        Ok(object)
    }

    fn decode(&self, schema: &'static Schema, object: &Self::Encoded) -> Result<Decoded> {
        let mut fields = Vec::with_capacity(schema.fields.len());
        for field in schema.fields {
            fields.push(read_field(schema, field, object)?);
        }
        let record = Record::new(fields);
        check(schema, &record)?;
        let known = |name: &str| {
            let named =
                |field: &FieldDef| field.name_in(DIALECT) == name || field.alias_in(DIALECT).contains(&name);
            schema.fields.iter().any(named)
        };
        let extra: Map<String, Json> = object
            .iter()
            .filter(|(name, _)| !known(name))
            .map(|(name, json)| (name.clone(), json.clone()))
            .collect();
        let extra: Option<Arc<str>> = (!extra.is_empty()).then(|| Json::Object(extra).to_string().into());
        Ok(Decoded { record, extra, brought: Brought::default() })
    }
}

fn read_field(
    schema: &'static Schema,
    field: &'static FieldDef,
    object: &Map<String, Json>,
) -> Result<Option<Value>> {
    let special = field.dialect(DIALECT);
    if special.is_some_and(|special| special.skip_read) {
        return Ok(None);
    }
    let names = std::iter::once(field.name_in(DIALECT)).chain(field.alias_in(DIALECT).iter().copied());
    let Some(json) = names.into_iter().find_map(|name| object.get(name)) else {
        let default = field.default_in(DIALECT);
        return default.map(Some).ok_or_else(|| refused(schema, field, "required, but not there"));
    };
    let value = match special.and_then(|special| special.convert) {
        Some(convert) => (convert.read)(json).map_err(|why| refused(schema, field, why))?,
        None => read(json).map_err(|why| refused(schema, field, why))?,
    };
    // Who edits the file by hand writes 3 and means 3.0.
    Ok(Some(match (value, field.kind.inner()) {
        #[expect(clippy::cast_precision_loss, reason = "a float is what the field holds")]
        (Value::Int(whole), Kind::F32 | Kind::F64) => Value::Float(whole as f64),
        (value, _) => value,
    }))
}

/// Refuses a row whose fields are not of the types that the schema says: what can't be stored can't be written here.
fn check(schema: &'static Schema, record: &Record) -> Result<()> {
    for (at, field) in schema.fields.iter().enumerate() {
        if let Some(value) = record.get(at).filter(|value| !fits(value, &field.kind)) {
            let (expected, found) = (field.kind.name(), value.show().describe());
            return Err(refused(schema, field, format!("expected {expected}, found {found}")));
        }
    }
    // What is nested is looked at by what would store it.
    packed::write_body(&mut Vec::new(), schema, 0, record)
}

fn fits(value: &Value, kind: &Kind) -> bool {
    match (kind, value) {
        (Kind::Option(_), Value::Null) => true,
        (Kind::Option(kind), value) => fits(value, kind),
        (Kind::Bool, value) => matches!(value, Value::Bool(_)),
        (Kind::Int(_), value) => matches!(value, Value::Int(_) | Value::Uint(_)),
        (Kind::F32 | Kind::F64, value) => matches!(value, Value::Float(_)),
        (Kind::Char, value) => matches!(value, Value::Char(_)),
        (Kind::Str, value) => matches!(value, Value::Str(_)),
        (Kind::Bytes, value) => matches!(value, Value::Bytes(_)),
        (Kind::Uuid, value) => matches!(value, Value::Uuid(_)),
        (Kind::Time, value) => matches!(value, Value::Time(_)),
        _ => true,
    }
}

fn refused(schema: &Schema, field: &FieldDef, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Serialization, why.into()).at(field.name).model(schema.model)
}

fn write(value: &Value) -> Json {
    let all = |values: &[Value]| values.iter().map(write).collect::<Vec<_>>();
    match value {
        Value::Null => Json::Null,
        Value::Bool(v) => json!(v),
        Value::Int(v) => i64::try_from(*v).map_or_else(|_| json!({ "$int": v.to_string() }), |v| json!(v)),
        Value::Float(v) if v.is_finite() => json!(v),
        Value::Str(v) => json!(v),
        Value::Uuid(v) => json!({ "$uuid": v }),
        Value::Time(v) => json!({ "$time": v.to_string() }),
        Value::List(values) => Json::Array(all(values)),
        Value::Struct(fields) => json!({ "$struct": all(fields) }),
        Value::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| json!([write(key), write(value)])).collect();
            json!({ "$map": entries })
        }
        Value::Variant(variant) => {
            let mut parts = vec![json!(variant.name)];
            parts.extend(all(&variant.fields));
            json!({ "$variant": parts })
        }
        // A text, because JSON's numbers may be too small for what is in it.
        other => json!({ "$": serde_json::to_string(other).unwrap_or_default() }),
    }
}

fn read(json: &Json) -> Result<Value, String> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(v) => Ok(Value::Bool(*v)),
        Json::String(v) => Ok(Value::Str(v.as_str().into())),
        Json::Array(values) => Ok(Value::List(all(values)?)),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(v), ..) => Ok(Value::Int(v.into())),
            (_, Some(v), _) => Ok(Value::Int(v.into())),
            (.., Some(v)) => Ok(Value::Float(v)),
            _ => Err(format!("{number} is no number of 64 bits")),
        },
        Json::Object(object) => {
            let mut entries = object.iter();
            match (entries.next(), entries.next()) {
                (Some((tag, json)), None) => tagged(tag, json),
                _ => Err("an object with one entry tells of what type a value is".to_owned()),
            }
        }
    }
}

fn all(values: &[Json]) -> Result<Vec<Value>, String> {
    values.iter().map(read).collect()
}

fn tagged(tag: &str, json: &Json) -> Result<Value, String> {
    let wrong = || format!("`{tag}` does not go with {json}");
    match (tag, json) {
        ("$int", Json::String(text)) => text.parse().map(Value::Int).map_err(|_| wrong()),
        ("$uuid", Json::String(text)) => text.parse().map(Value::Uuid).map_err(|_| wrong()),
        ("$time", Json::String(text)) => text.parse().map(Value::Time).map_err(|_| wrong()),
        ("$", Json::String(text)) => serde_json::from_str(text).map_err(|_| wrong()),
        ("$struct", Json::Array(fields)) => Ok(Value::Struct(all(fields)?)),
        ("$map", Json::Array(entries)) => {
            let entry = |entry: &Json| match entry.as_array().map(Vec::as_slice) {
                Some([key, value]) => Ok((read(key)?, read(value)?)),
                _ => Err(wrong()),
            };
            entries.iter().map(entry).collect::<Result<_, _>>().map(Value::Map)
        }
        ("$variant", Json::Array(parts)) => match parts.split_first() {
            Some((Json::String(name), fields)) => Ok(Value::Variant(Box::new(VariantValue {
                name: name.as_str().into(),
                fields: all(fields)?,
            }))),
            _ => Err(wrong()),
        },
        _ => Err(format!("`{tag}` is no type that is known here")),
    }
}
