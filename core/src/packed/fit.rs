//! Fits what the steps of a migration have left to the types of today's model.

use super::DIALECT;
use crate::error::Fault;
use crate::kind::{EnumDef, IntKind, Kind, VariantDef};
use crate::ordered;
use crate::schema::FieldDef;
use crate::value::{Value, VariantValue};

/// The two versions of the model, for faults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions {
    pub(super) stored: u32,
    pub(super) current: u32,
}

impl Versions {
    fn unfit(self, kind: &Kind) -> Fault {
        Fault::Unfit { stored: self.stored, current: self.current, expected: kind.name() }
    }

    fn gone(self) -> Fault {
        Fault::Gone { stored: self.stored, current: self.current }
    }
}

/// `value` as today's model has it.
pub(super) fn fit(value: Value, kind: &Kind, versions: Versions) -> Result<Value, Fault> {
    let unfit = || versions.unfit(kind);
    Ok(match (kind, value) {
        (Kind::Option(_), Value::Null) => Value::Null,
        (Kind::Option(of), value) => fit(value, of, versions)?,
        (Kind::Int(of), Value::Int(number)) => {
            let (least, most) = of.range();
            if number < least || number > most {
                return Err(unfit());
            }
            Value::Int(number)
        }
        (Kind::F32, Value::Float(number)) => Value::Float(f64::from(number as f32)),
        (Kind::Int(IntKind::U128), value @ Value::Uint(_)) => value,
        (Kind::As(def), value) => fit(value, &def.kind, versions)?,
        (Kind::Bool, value @ Value::Bool(_))
        | (Kind::F64, value @ Value::Float(_))
        | (Kind::Char, value @ Value::Char(_))
        | (Kind::Str, value @ Value::Str(_))
        | (Kind::Bytes, value @ Value::Bytes(_))
        | (Kind::Uuid, value @ Value::Uuid(_))
        | (Kind::Time, value @ Value::Time(_))
        | (Kind::Date, value @ Value::Date(_))
        | (Kind::Clock, value @ Value::Clock(_))
        | (Kind::DateTime, value @ Value::DateTime(_))
        | (Kind::Decimal, value @ Value::Decimal(_)) => value,
        (Kind::List(of), Value::List(values)) => {
            Value::List(values.into_iter().map(|value| fit(value, of, versions)).collect::<Result<_, _>>()?)
        }
        (Kind::Map(of_key, of_value), Value::Map(entries)) => {
            let entry = |(key, value)| Ok((fit(key, of_key, versions)?, fit(value, of_value, versions)?));
            sorted(entries.into_iter().map(entry).collect::<Result<_, Fault>>()?).ok_or_else(unfit)?
        }
        (Kind::Struct(def), value) => Value::Struct(fields(value, def.fields, versions).ok_or_else(unfit)??),
        (Kind::Enum(def), value) if def.numbers().is_some() => {
            let number = match value {
                Value::Int(number) => def.numbered(number).map(|_| number),
                value => def.number_of(variant(def, variant_name(&value).ok_or_else(unfit)?, versions)?.name),
            };
            Value::Int(number.ok_or(versions.gone())?)
        }
        (Kind::Enum(def), value) if def.is_unit() => {
            let name = variant_name(&value).ok_or_else(unfit)?;
            Value::Str(variant(def, name, versions)?.name.into())
        }
        (Kind::Enum(def), value) => with_data(value, def, versions).ok_or_else(unfit)??,
        _ => return Err(unfit()),
    })
}

/// The map, sorted as maps are stored; `None` if a key is there twice.
fn sorted(entries: Vec<(Value, Value)>) -> Option<Value> {
    let place = |(key, value): (Value, Value)| {
        let mut bytes = Vec::new();
        ordered::encode(key.show(), &mut bytes).ok()?;
        Some((bytes, (key, value)))
    };
    let mut placed = entries.into_iter().map(place).collect::<Option<Vec<_>>>()?;
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let twice = placed.windows(2).any(|pair| pair[0].0 == pair[1].0);
    (!twice).then(|| Value::Map(placed.into_iter().map(|(_, entry)| entry).collect()))
}

/// The fields of a struct or a variant: by name from a map, by position from a list. `None` if it is neither.
fn fields(value: Value, defs: &'static [FieldDef], versions: Versions) -> Option<Result<Vec<Value>, Fault>> {
    match value {
        Value::Struct(values) if values.len() == defs.len() => {
            let fitted = values.into_iter().zip(defs).map(|(value, def)| fit(value, &def.kind, versions));
            Some(fitted.collect())
        }
        Value::Map(mut entries) => {
            let field = |def: &FieldDef| match take(&mut entries, def) {
                Some(value) => fit(value, &def.kind, versions),
                None => def.default_in(DIALECT).ok_or(Fault::Missing),
            };
            Some(defs.iter().map(field).collect())
        }
        _ => None,
    }
}

fn take(entries: &mut Vec<(Value, Value)>, def: &FieldDef) -> Option<Value> {
    let mut named = |name: &str| {
        let at = entries.iter().position(|(key, _)| matches!(key, Value::Str(key) if **key == *name))?;
        Some(entries.swap_remove(at).1)
    };
    named(def.name_in(DIALECT)).or_else(|| def.alias_in(DIALECT).iter().find_map(|alias| named(alias)))
}

/// The name of the variant that `value` is, whatever data it carries.
fn variant_name(value: &Value) -> Option<&str> {
    match value {
        Value::Str(name) => Some(name),
        Value::Variant(variant) => Some(&variant.name),
        Value::Map(entries) => match entries.as_slice() {
            [(Value::Str(name), _)] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn variant(def: &'static EnumDef, name: &str, versions: Versions) -> Result<&'static VariantDef, Fault> {
    def.variant_in(DIALECT, name).ok_or(versions.gone())
}

/// A variant of an enum with data. `None` if `value` is no variant.
fn with_data(value: Value, def: &'static EnumDef, versions: Versions) -> Option<Result<Value, Fault>> {
    let found = match variant(def, variant_name(&value)?, versions) {
        Ok(found) => found,
        Err(gone) => return Some(Err(gone)),
    };
    let data = match value {
        Value::Map(mut entries) => entries.pop()?.1,
        Value::Variant(variant) => Value::Struct(variant.fields),
        _ => Value::Map(Vec::new()),
    };
    let variant = |fields| Value::Variant(Box::new(VariantValue { name: found.name.into(), fields }));
    Some(fields(data, found.fields, versions)?.map(variant))
}
