//! Keys that have come in place of others, and rows that name them.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::association::{AssocDef, Link, references};
use larder_core::{Entry, Key, Kind, Record, Result, Row, Schema, Timestamp, Value, ValueRef};

use super::ties::Place;

/// A row that gets another key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rename {
    pub(crate) schema: &'static Schema,
    pub(crate) from: Key,
    pub(crate) to: Key,
}

impl Rename {
    /// The row under its former key.
    pub(crate) fn place(&self) -> Place {
        (self.schema.model, self.from.clone())
    }

    /// True if the row was the one that is named here.
    pub(crate) fn is_of(&self, schema: &'static Schema, key: &Key) -> bool {
        self.schema == schema && self.from == *key
    }
}

/// The new key of a row, if it has one.
pub(crate) type Renamed<'a> = &'a (dyn Fn(&'static Schema, &Key) -> Option<Key> + Sync);

/// Looks a key up in `renames`.
pub(crate) fn among(renames: &[Rename]) -> impl Fn(&'static Schema, &Key) -> Option<Key> + Sync + use<> {
    // Nothing refers to a row by several fields.
    let alone = renames.iter().filter(|rename| !matches!(rename.from, Key::Composite(_)));
    let known: BTreeMap<_, _> = alone.map(|rename| (rename.place(), rename.to.clone())).collect();
    move |schema, key| known.get(&(schema.model, key.clone())).cloned()
}

/// `row` with the new keys in what it refers to; `None` if it refers to no row that has one.
///
/// # Errors
/// `Serialization` or `Corrupt` if a field can't be shown.
pub(crate) fn renamed(
    schema: &'static Schema,
    row: &dyn Row,
    new: Renamed<'_>,
) -> Result<Option<Arc<dyn Row>>> {
    let is_renamed = |(target, key): (&'static Schema, Key)| new(target, &key).is_some();
    if !references(schema, row)?.into_iter().any(is_renamed) {
        return Ok(None);
    }
    let mut record = Record::copy(schema, row)?;
    for def in schema.associations {
        let (Link::One { field } | Link::Keys { field }) = def.link else { continue };
        let (at, target) = (usize::from(field), (def.target)());
        let kind = schema.field(at)?.kind.inner();
        let value = record.get(at).map(|value| with_new(value, kind, &|key| new(target, key)));
        if let Some(Some(value)) = value {
            record.set(at, value);
        }
    }
    Ok(Some(Arc::new(record)))
}

/// The value of a reference, or of a list of them, with new keys; `None` if there are none.
fn with_new(value: &Value, kind: &Kind, new: &dyn Fn(&Key) -> Option<Key>) -> Option<Value> {
    match (value, kind) {
        (Value::Null, _) => None,
        (Value::List(all), Kind::List(of)) => {
            let of = of.inner();
            let changed: Vec<Option<Value>> = all.iter().map(|one| with_new(one, of, new)).collect();
            if changed.iter().all(Option::is_none) {
                return None;
            }
            let all = all.iter().zip(changed).map(|(one, new)| new.unwrap_or_else(|| one.clone()));
            Some(Value::List(all.collect()))
        }
        (one, kind) => new(&Key::take(one.show()).ok()?).map(|key| shown(&key, kind)),
    }
}

/// A key as a field of this type holds it.
pub(crate) fn shown(key: &Key, kind: &Kind) -> Value {
    match (kind, key) {
        // As a key, a moment is a number.
        (Kind::Time, Key::Int(nanoseconds)) => {
            Timestamp::from_nanosecond(*nanoseconds).map_or(Value::Null, Value::Time)
        }
        _ => key.to_value(),
    }
}

/// The new key of a row whose own key contains that of a row with a new one.
pub(crate) fn with_new_parts(schema: &'static Schema, key: &Key, new: Renamed<'_>) -> Option<Key> {
    let part = |(at, part): (&usize, &Key)| {
        let refers = |def: &&AssocDef| matches!(def.link, Link::One { field } if usize::from(field) == *at);
        let def = schema.associations.iter().find(refers)?;
        new((def.target)(), part)
    };
    let parts: Vec<_> = schema.key.fields.iter().zip(key.parts()).map(part).collect();
    if parts.iter().all(Option::is_none) {
        return None;
    }
    let mut parts: Vec<Key> =
        parts.into_iter().zip(key.parts()).map(|(new, part)| new.unwrap_or_else(|| part.clone())).collect();
    if parts.len() == 1 { parts.pop() } else { Some(Key::Composite(parts.into())) }
}

/// `row` with the key of `keyed`.
pub(super) fn rekeyed(schema: &'static Schema, row: &dyn Row, keyed: &dyn Row) -> Result<Arc<dyn Row>> {
    let mut record = Record::copy(schema, row)?;
    for at in schema.key.fields {
        let value = keyed.field(*at).and_then(ValueRef::to_value);
        record.set(*at, value.map_err(|fault| schema.fault(*at, fault))?);
    }
    Ok(Arc::new(record))
}

/// `row` with another key.
pub(crate) fn with_key(schema: &'static Schema, row: &dyn Row, key: &Key) -> Result<Arc<dyn Row>> {
    let mut record = Record::copy(schema, row)?;
    for (at, part) in schema.key.fields.iter().zip(key.parts()) {
        record.set(*at, shown(part, schema.field(*at)?.kind.inner()));
    }
    Ok(Arc::new(record))
}

/// Puts the new keys into what `entry` refers to, now and before; `false` if that changes nothing.
///
/// # Errors
/// As [`renamed`].
pub(super) fn rename_in(entry: &mut Entry, new: Renamed<'_>) -> Result<bool> {
    let mut changed = false;
    for row in [&mut entry.row, &mut entry.base].into_iter().flatten() {
        if let Some(other) = renamed(entry.schema, &**row, new)? {
            *row = other;
            changed = true;
        }
    }
    Ok(changed)
}
