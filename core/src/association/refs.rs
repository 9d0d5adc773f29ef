//! The rows that a row refers to.

use super::def::Link;
use crate::error::{Fault, Result};
use crate::key::Key;
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{Item, ValueRef};

/// The models and keys of the rows that `row` refers to by its fields.
///
/// # Errors
/// `Serialization` or `Corrupt` if a field can't be shown.
pub fn references(schema: &'static Schema, row: &dyn Row) -> Result<Vec<(&'static Schema, Key)>> {
    let mut found = Vec::new();
    for def in schema.associations {
        let (Link::One { field } | Link::Keys { field }) = def.link else { continue };
        let (at, target) = (usize::from(field), (def.target)());
        let mut add = |value: ValueRef<'_>| -> Result<(), Fault> {
            if !matches!(value, ValueRef::Null | ValueRef::Absent) {
                found.push((target, Key::take(value)?));
            }
            Ok(())
        };
        let all = row.field(at).and_then(|value| match value {
            ValueRef::List(keys) => keys.each(&mut |item| match item {
                Item::Value(value) => add(value),
                Item::Entry(..) => Err(Fault::Malformed),
            }),
            one => add(one),
        });
        all.map_err(|fault| schema.fault(at, fault))?;
    }
    Ok(found)
}
