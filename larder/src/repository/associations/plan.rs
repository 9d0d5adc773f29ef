//! Writes of related rows: which, and in which order.

use std::collections::HashMap;
use std::sync::Arc;

use larder_core::{Error, ErrorKind, Key, Record, Result, Row, Schema, Value};

use super::super::nesting::Within;
use super::super::write::Change;
use super::graph::Edges;
use crate::engine::enqueue::Write;
use crate::engine::renames::shown;

/// The writes of one transaction; each row is written once.
#[derive(Default)]
pub(crate) struct Plan {
    pub(super) nodes: Vec<Node>,
    places: HashMap<(&'static str, Key), usize>,
    pub(super) edges: Edges,
}

/// The write of one row.
pub(super) struct Node {
    pub(super) schema: &'static Schema,
    pub(super) key: Key,
    /// `None` for a delete.
    pub(super) row: Option<Arc<dyn Row>>,
    /// Nothing is stored under the key yet.
    pub(super) new: bool,
    /// The row in whose request it goes.
    pub(super) within: Option<Within>,
}

impl Plan {
    /// The place of a row's write, if it is planned.
    pub(super) fn place(&self, schema: &'static Schema, key: &Key) -> Option<usize> {
        self.places.get(&(schema.model, key.clone())).copied()
    }

    /// Plans a write; a row that is written already stays as it is.
    pub(super) fn add(&mut self, node: Node) -> usize {
        let place = self.nodes.len();
        match self.places.entry((node.schema.model, node.key.clone())) {
            std::collections::hash_map::Entry::Occupied(known) => *known.get(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(place);
                self.nodes.push(node);
                place
            }
        }
    }

    /// True if the row is to be deleted.
    pub(super) fn deletes(&self, schema: &'static Schema, key: &Key) -> bool {
        self.place(schema, key).is_some_and(|place| self.nodes[place].row.is_none())
    }

    /// The writes, in an order in which each row comes after those that it refers to, and is deleted before them.
    ///
    /// # Errors
    /// `Invalid` if new rows require each other in a circle.
    pub(crate) fn into_changes(self) -> Result<Vec<Change>> {
        let order = self.edges.sort(self.nodes.len()).map_err(|stuck| {
            let mut models: Vec<_> = stuck.iter().map(|place| self.nodes[*place].schema.model).collect();
            models.sort_unstable();
            models.dedup();
            let what = format!(
                "new rows of {} require each other in a circle, and none can be the first: make one reference an \
                 `Option` and fill it in later",
                models.join(" and ")
            );
            Error::new(ErrorKind::Invalid, what).during("upsert")
        })?;
        let mut nodes: Vec<_> = self.nodes.into_iter().map(Some).collect();
        let change = |Node { schema, key, row, within, .. }| Change {
            schema,
            key,
            write: row.map_or(Write::Delete, Write::Put),
            within,
        };
        let nodes = order.into_iter().filter_map(|place| nodes[place].take());
        // What was to be created and is to go was never there.
        Ok(nodes.filter(|node| node.row.is_some() || !node.new).map(change).collect())
    }
}

/// `row` with another value in one field.
pub(super) fn with_value(
    schema: &'static Schema,
    row: &dyn Row,
    field: u16,
    value: Value,
) -> Result<Arc<dyn Row>> {
    let mut record = Record::copy(schema, row)?;
    record.set(usize::from(field), value);
    Ok(Arc::new(record))
}

/// The value with which a field refers to the row with this key.
pub(super) fn reference(schema: &'static Schema, field: u16, key: &Key) -> Result<Value> {
    Ok(shown(key, schema.field(usize::from(field))?.kind.inner()))
}

/// True if the field can be null.
pub(super) fn is_nullable(schema: &'static Schema, field: u16) -> bool {
    schema.fields.get(usize::from(field)).is_some_and(|def| def.kind.is_nullable())
}
