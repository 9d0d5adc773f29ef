//! Values as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value as Json_};

use super::{DIALECT, inexpressible, unknown_variant, write_field};
use crate::error::{Error, ErrorKind, Result};
use crate::kind::{EnumDef, Kind, Tagging};
use crate::schema::FieldDef;
use crate::value::{Item, Nested, ValueRef};

/// Writes a value of type `kind`.
///
/// # Errors
/// `Serialization` with the path, for what JSON can't express: a float that is no number.
pub fn write(value: ValueRef<'_>, kind: &'static Kind) -> Result<Json_> {
    let fault = |fault: crate::Fault| Error::new(ErrorKind::Serialization, fault.to_string());
    if let (false, Some(convert)) = (value.is_null(), kind.converter(DIALECT)) {
        return (convert.write)(value).map_err(|refusal| Error::new(ErrorKind::Serialization, refusal));
    }
    let kind = kind.inner();
    Ok(match value {
        ValueRef::Absent | ValueRef::Null => Json_::Null,
        ValueRef::Bool(v) => Json_::Bool(v),
        ValueRef::Int(v) => match (i64::try_from(v), u64::try_from(v)) {
            (Ok(v), _) => v.into(),
            (_, Ok(v)) => v.into(),
            _ => v.to_string().into(),
        },
        ValueRef::Uint(v) => v.to_string().into(),
        ValueRef::Float(v) => {
            let v = if matches!(kind, Kind::F32) { shortest(v) } else { v };
            Number::from_f64(v)
                .map(Json_::Number)
                .ok_or_else(|| inexpressible("a float that is no finite number"))?
        }
        ValueRef::Char(v) => v.to_string().into(),
        ValueRef::Str(v) => match kind {
            Kind::Enum(def) => write_variant(def, v, None)?,
            _ => v.into(),
        },
        ValueRef::Bytes(v) => BASE64.encode(v).into(),
        ValueRef::Uuid(v) => v.to_string().into(),
        ValueRef::Time(v) => v.to_string().into(),
        ValueRef::Date(v) => v.to_string().into(),
        ValueRef::Clock(v) => v.to_string().into(),
        ValueRef::DateTime(v) => v.to_string().into(),
        ValueRef::Decimal(v) => v.to_string().into(),
        ValueRef::Unfit(_) => return Err(fault(value.mismatch(kind.name()))),
        ValueRef::List(nested) => {
            let Kind::List(of) = kind else {
                return Err(fault(value.mismatch(kind.name())));
            };
            let values = flat(nested).map_err(fault)?;
            let element = |(i, value): (usize, &ValueRef<'_>)| {
                write(*value, of).map_err(|error| error.at(format!("[{i}]")))
            };
            Json_::Array(values.iter().enumerate().map(element).collect::<Result<_>>()?)
        }
        ValueRef::Map(nested) => {
            let Kind::Map(of_key, of) = kind else {
                return Err(fault(value.mismatch(kind.name())));
            };
            let mut entries = Vec::new();
            nested
                .each(&mut |item| {
                    if let Item::Entry(key, value) = item {
                        entries.push((key, value));
                    }
                    Ok(())
                })
                .map_err(fault)?;
            let entry = |(key, value): (ValueRef<'_>, ValueRef<'_>)| {
                let key = map_key(key, of_key)?;
                let value = write(value, of).map_err(|error| error.at(&key))?;
                Ok((key, value))
            };
            Json_::Object(entries.into_iter().map(entry).collect::<Result<_>>()?)
        }
        ValueRef::Struct(nested) => {
            let Kind::Struct(def) = kind else {
                return Err(fault(value.mismatch(kind.name())));
            };
            Json_::Object(write_fields(def.fields, &flat(nested).map_err(fault)?)?)
        }
        ValueRef::Variant(nested) => {
            let Kind::Enum(def) = kind else {
                return Err(fault(value.mismatch(kind.name())));
            };
            let name = nested.variant().map_err(fault)?.unwrap_or_default();
            write_variant(def, name, Some(&flat(nested).map_err(fault)?))?
        }
    })
}

/// The `f64` with the fewest digits that is the same `f32`: 0.1 and not 0.10000000149011612.
#[allow(clippy::cast_possible_truncation, reason = "the value is a widened f32")]
fn shortest(wide: f64) -> f64 {
    (wide as f32).to_string().parse().unwrap_or(wide)
}

pub(super) fn flat(nested: Nested<'_>) -> Result<Vec<ValueRef<'_>>, crate::Fault> {
    let mut values = Vec::new();
    nested.each(&mut |item| {
        if let Item::Value(value) = item {
            values.push(value);
        }
        Ok(())
    })?;
    Ok(values)
}

pub(super) fn write_fields(defs: &'static [FieldDef], values: &[ValueRef<'_>]) -> Result<Map<String, Json_>> {
    let mut object = Map::new();
    for (def, value) in defs.iter().zip(values) {
        write_field(&mut object, def, *value).map_err(|error| error.at(def.name))?;
    }
    Ok(object)
}

fn write_variant(def: &'static EnumDef, name: &str, fields: Option<&[ValueRef<'_>]>) -> Result<Json_> {
    let variant = def.variant(name).ok_or_else(|| unknown_variant(def, name))?;
    let tag = variant.name_in(DIALECT);
    let content = match fields {
        None | Some([]) => None,
        Some([one]) if variant.tuple => Some(write(*one, &variant.fields[0].kind)?),
        Some(many) if variant.tuple => {
            let element = |(def, value): (&'static FieldDef, &ValueRef<'_>)| write(*value, &def.kind);
            Some(Json_::Array(variant.fields.iter().zip(many).map(element).collect::<Result<_>>()?))
        }
        Some(many) => Some(Json_::Object(write_fields(variant.fields, many)?)),
    };
    Ok(match (def.tagging, content) {
        (_, None) if def.is_unit() => tag.into(),
        (Tagging::External | Tagging::Number(_), None) => tag.into(),
        (Tagging::External, Some(content)) => object([(tag, content)]),
        (Tagging::Internal { tag: at }, None) => object([(at, tag.into())]),
        (Tagging::Internal { tag: at }, Some(Json_::Object(mut fields))) => {
            fields.insert(at.to_owned(), tag.into());
            Json_::Object(fields)
        }
        (Tagging::Internal { .. }, Some(_)) => {
            return Err(inexpressible("an internally tagged variant without named fields"));
        }
        (Tagging::Number(_), Some(_)) => return Err(inexpressible("a numbered variant with data")),
        (Tagging::Adjacent { tag: at, .. }, None) => object([(at, tag.into())]),
        (Tagging::Adjacent { tag: at, content: to }, Some(content)) => {
            object([(at, tag.into()), (to, content)])
        }
    })
}

fn object<const N: usize>(members: [(&str, Json_); N]) -> Json_ {
    Json_::Object(members.into_iter().map(|(name, json)| (name.to_owned(), json)).collect())
}

/// The keys of a JSON object are text: what is written as a string or a number anyway can be one.
fn map_key(key: ValueRef<'_>, kind: &'static Kind) -> Result<String> {
    match write(key, kind)? {
        Json_::String(text) => Ok(text),
        json if matches!(key, ValueRef::Bool(_) | ValueRef::Int(_)) => Ok(json.to_string()),
        _ => Err(inexpressible(&format!("{} as the key of a map", key.describe()))),
    }
}
