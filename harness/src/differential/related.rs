//! Makes rows of models that hang together.

use larder_core::{Key, Link, Schema, Value};

use super::generate::{Limits, rows};
use crate::oracle;
use crate::plain::Plain;
use crate::random::Random;

/// How many percent of the references lead to a row that is there.
const FOUND: u64 = 85;

/// Rows of a model, first, and of the models that it is associated with.
#[must_use]
pub fn world(
    schema: &'static Schema,
    limits: Limits,
    random: &mut Random,
) -> Vec<(&'static Schema, Vec<Plain>)> {
    let mut models = vec![schema];
    let mut at = 0;
    while let Some(model) = models.get(at).copied() {
        for def in model.associations {
            let through = if let Link::Through { link, .. } = def.link { Some(link()) } else { None };
            for other in std::iter::once((def.target)()).chain(through) {
                if !models.contains(&other) {
                    models.push(other);
                }
            }
        }
        at += 1;
    }
    let mut world: Vec<_> = models.into_iter().map(|schema| (schema, rows(schema, limits, random))).collect();
    for at in 0..world.len() {
        let (schema, mut rows) = world[at].clone();
        rows.iter_mut().for_each(|row| refer(schema, row, &world, random));
        world[at].1 = rows;
    }
    world
}

/// Lets the references of a row lead to rows that are there, mostly.
fn refer(
    schema: &'static Schema,
    row: &mut Plain,
    world: &[(&'static Schema, Vec<Plain>)],
    random: &mut Random,
) {
    for def in schema.associations {
        let target = (def.target)();
        let there = world.iter().find(|(schema, _)| *schema == target).map_or(&[][..], |(_, rows)| rows);
        let found = |random: &mut Random| -> Option<Value> {
            let sure = !there.is_empty() && random.chance(FOUND);
            sure.then(|| oracle::key_of(target, random.pick(there))).as_ref().map(Key::to_value)
        };
        match def.link {
            Link::One { field } if !row[usize::from(field)].is_null() => {
                if let Some(key) = found(random) {
                    row[usize::from(field)] = key;
                }
            }
            Link::Keys { field } => {
                let keys = (0..random.below(4)).filter_map(|_| found(random));
                row[usize::from(field)] = Value::List(keys.collect());
            }
            _ => {}
        }
    }
}
