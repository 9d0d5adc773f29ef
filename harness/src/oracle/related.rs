//! Related rows: what an association of a row leads to.

use larder_core::{Key, Link, Schema, Value};

use super::{World, key_of};
use crate::plain::Plain;

/// The rows that an association of `row` leads to: those that are there.
pub(super) fn rows<'a>(
    world: World<'a>,
    schema: &'static Schema,
    row: &Plain,
    assoc: u16,
) -> (&'static Schema, Vec<&'a Plain>) {
    let def = schema.associations.iter().find(|def| def.at == assoc).expect("an association of the model");
    let target = (def.target)();
    let own = key_of(schema, row);
    let refers = |row: &Plain, field: u16| references(&row[usize::from(field)]).contains(&own);
    let related = all(world, target).iter().filter(|other| match def.link {
        // The row has the other's key, alone or in a list.
        Link::One { field } | Link::Keys { field } => {
            references(&row[usize::from(field)]).contains(&key_of(target, other))
        }
        // The other has the row's.
        Link::Children { field } => refers(other, field),
        // A third has both.
        Link::Through { link, from, to } => all(world, link()).iter().any(|third| {
            refers(third, from) && references(&third[usize::from(to)]).contains(&key_of(target, other))
        }),
        other => panic!("the oracle does not know the link {other:?}: write it from the rules"),
    });
    (target, related.collect())
}

/// A field of the one row that an association leads to; null where there is none.
///
/// # Panics
/// If the model has no such association, or the world lacks its target.
#[must_use]
pub fn field(world: World<'_>, schema: &'static Schema, row: &Plain, assoc: u16, field: u16) -> Value {
    let (_, related) = rows(world, schema, row, assoc);
    related.first().map_or(Value::Null, |other| other[usize::from(field)].clone())
}

/// The keys in a reference or in a list of them.
///
/// # Panics
/// If the value is none.
#[must_use]
pub fn references(value: &Value) -> Vec<Key> {
    match value {
        Value::Null => Vec::new(),
        Value::Uint(value) => vec![Key::Uint(*value)],
        Value::Date(value) => vec![Key::Date(*value)],
        Value::List(elements) => elements.iter().flat_map(references).collect(),
        Value::Bool(value) => vec![Key::Bool(*value)],
        Value::Int(value) => vec![Key::Int(*value)],
        Value::Str(value) => vec![Key::Str((**value).into())],
        Value::Bytes(value) => vec![Key::Bytes((**value).into())],
        Value::Uuid(value) => vec![Key::Uuid(*value)],
        Value::Time(value) => vec![Key::Int(value.as_nanosecond())],
        other => panic!("{other:?} refers to nothing"),
    }
}

fn all<'a>(world: World<'a>, schema: &'static Schema) -> &'a [Plain] {
    let table = world.iter().find(|table| *table.schema == *schema);
    table.unwrap_or_else(|| panic!("the world has no {}", schema.model)).rows
}
