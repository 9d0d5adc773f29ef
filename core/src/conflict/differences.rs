//! In which fields two rows differ.

use std::cmp::Ordering;

use crate::error::Result;
use crate::mutation::FieldSet;
use crate::query::eval;
use crate::row::Row;
use crate::schema::Schema;

/// The fields in which two rows differ.
///
/// # Errors
/// `Serialization` or `Corrupt`, with model and field, if a field can't be shown.
pub fn differences(schema: &'static Schema, a: &dyn Row, b: &dyn Row) -> Result<FieldSet> {
    let mut changed = FieldSet::default();
    for at in 0..schema.fields.len() {
        if order(schema, at, a, b)? != Ordering::Equal {
            changed.insert(at);
        }
    }
    Ok(changed)
}

/// True if both are there and no field differs, or if neither is there.
///
/// # Errors
/// As [`differences`].
pub fn same(schema: &'static Schema, a: Option<&dyn Row>, b: Option<&dyn Row>) -> Result<bool> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(differences(schema, a, b)?.is_empty()),
        (None, None) => Ok(true),
        _ => Ok(false),
    }
}

/// How two rows stand to each other in one field.
pub(super) fn order(schema: &'static Schema, at: usize, a: &dyn Row, b: &dyn Row) -> Result<Ordering> {
    let order = a.field(at).and_then(|a| Ok((a, b.field(at)?))).and_then(|(a, b)| eval::order(a, b));
    order.map_err(|fault| schema.fault(at, fault))
}
