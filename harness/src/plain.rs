//! Rows as plain data.

use larder_core::{Record, Row, Schema, Value};

/// A row as plain data: its fields by position, null where it has none.
pub type Plain = Vec<Value>;

/// What `row` shows.
///
/// # Panics
/// If a field can't be shown.
#[must_use]
pub fn plain(schema: &'static Schema, row: &dyn Row) -> Plain {
    let record =
        Record::copy(schema, row).unwrap_or_else(|error| panic!("a row that can't be read: {error}"));
    (0..schema.fields.len()).map(|at| record.get(at).cloned().unwrap_or_default()).collect()
}

/// The row that shows `fields`.
#[must_use]
pub fn record(fields: &[Value]) -> Record {
    Record::new(fields.iter().cloned().map(Some).collect::<Vec<_>>())
}
