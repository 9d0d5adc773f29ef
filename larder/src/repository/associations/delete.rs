//! Deletes rows together with what refers to them, as the references say.

use std::collections::HashMap;
use std::sync::Arc;

use larder_core::association::resolve::reference as refers_to;
use larder_core::association::{AssocDef, Link, OnDelete};
use larder_core::dialect::json;
use larder_core::{Error, ErrorKind, Key, Predicate, Query, Result, Row, Schema, Value};

use super::ground::Ground;
use super::plan::{Node, Plan, with_value};

/// Who refers to each model, by the model's name.
#[derive(Debug, Default)]
pub(crate) struct Referrers(HashMap<&'static str, Vec<Referrer>>);

/// A field that refers to a model.
#[derive(Clone, Copy, Debug)]
struct Referrer {
    schema: &'static Schema,
    def: &'static AssocDef,
    field: u16,
}

impl Referrers {
    /// Looks at the associations of all models.
    ///
    /// # Errors
    /// `Invalid` if one leads to a model that is not among them.
    pub(crate) fn of(schemas: &[&'static Schema]) -> Result<Self> {
        let mut this = Self::default();
        for schema in schemas {
            for def in schema.associations {
                let through = if let Link::Through { link, .. } = def.link { Some(link()) } else { None };
                tells_links(schema, def)?;
                for other in [Some((def.target)()), through].into_iter().flatten() {
                    if !schemas.contains(&other) {
                        return Err(unregistered(schema, def, other));
                    }
                }
                if let Link::One { field } = def.link {
                    let referrer = Referrer { schema, def, field };
                    this.0.entry((def.target)().model).or_default().push(referrer);
                }
            }
        }
        Ok(this)
    }

    /// True if anything may refer to rows of the model.
    pub(crate) fn any(&self, schema: &Schema) -> bool {
        self.0.contains_key(schema.model)
    }
}

/// Refuses to send what stands for link rows and does not tell them: a list of rows names the ends alone.
fn tells_links(schema: &Schema, def: &AssocDef) -> Result<()> {
    let Link::Through { link, from, to } = def.link else { return Ok(()) };
    let link = link();
    let mut ends = [usize::from(from), usize::from(to)];
    let mut key = link.key.fields.to_vec();
    ends.sort_unstable();
    key.sort_unstable();
    if !def.is_sent_nested(json::DIALECT) || (key == ends && link.fields.len() == ends.len()) {
        return Ok(());
    }
    let what = format!(
        "its association `{}` is sent nested, which tells of a row of {} no more than the two that it joins: make these \
         two its key and its only fields, or let the link rows go by themselves",
        def.name, link.model
    );
    Err(Error::new(ErrorKind::Invalid, what).during("build the repository").model(schema.model))
}

fn unregistered(schema: &Schema, def: &AssocDef, other: &Schema) -> Error {
    let what = format!(
        "its association `{}` leads to {}, which the repository does not know: register it with `.model::<{}>()`",
        def.name, other.model, other.model
    );
    Error::new(ErrorKind::Invalid, what).during("build the repository").model(schema.model)
}

/// A reference to a row that is to be deleted.
struct Reference {
    schema: &'static Schema,
    def: &'static AssocDef,
    field: u16,
    key: Key,
    row: Arc<dyn Row>,
    /// The place of the row that it refers to.
    to: usize,
}

/// Adds the deletion of `doomed` to a plan, and what comes of it for the rows that refer to them. A row that the plan
/// stores stays.
///
/// # Errors
/// `Conflict`, naming the row that refers, if it says `restrict` and is not deleted as well.
pub(crate) async fn extend(
    plan: &mut Plan,
    ground: &mut dyn Ground,
    referrers: &Referrers,
    doomed: Vec<(&'static Schema, Key)>,
) -> Result<()> {
    let (mut left, mut level) = (Vec::new(), Vec::new());
    for (schema, key) in doomed {
        level.extend(delete(plan, schema, key));
    }
    while !level.is_empty() {
        let mut next = Vec::new();
        for found in references(plan, ground, referrers, &level).await? {
            if found.def.on_delete != OnDelete::Cascade {
                left.push(found);
                continue;
            }
            next.extend(delete(plan, found.schema, found.key.clone()));
            if let Some(place) = plan.place(found.schema, &found.key) {
                plan.edges.add(place, found.to, false);
            }
        }
        level = next;
    }
    for reference in left {
        let Reference { schema, key, .. } = &reference;
        if plan.deletes(schema, key) {
            if let Some(place) = plan.place(schema, key) {
                plan.edges.add(place, reference.to, false);
            }
        } else if reference.def.on_delete == OnDelete::SetNull {
            set_null(plan, reference)?;
        } else {
            return Err(restricted(plan, &reference));
        }
    }
    Ok(())
}

/// Plans a deletion, if need be instead of a write; gives its place if it was not planned before.
fn delete(plan: &mut Plan, schema: &'static Schema, key: Key) -> Option<usize> {
    match plan.place(schema, &key) {
        Some(place) => plan.nodes[place].row.take().map(|_| place),
        None => Some(plan.add(Node { schema, key, row: None, new: false, within: None })),
    }
}

/// The rows that refer to those at the places `level`, by one query a reference.
async fn references(
    plan: &Plan,
    ground: &mut dyn Ground,
    referrers: &Referrers,
    level: &[usize],
) -> Result<Vec<Reference>> {
    let mut models: Vec<&'static Schema> = Vec::new();
    for place in level {
        let schema = plan.nodes[*place].schema;
        if !models.contains(&schema) {
            models.push(schema);
        }
    }
    let mut found = Vec::new();
    for model in models {
        let of_model = level.iter().filter(|place| plan.nodes[**place].schema == model);
        let places: HashMap<&Key, usize> = of_model.map(|place| (&plan.nodes[*place].key, *place)).collect();
        for Referrer { schema, def, field } in referrers.0.get(model.model).into_iter().flatten().copied() {
            let keys = places.keys().map(|key| (*key).clone()).collect();
            let query = Query::filter(Predicate::Among { field, keys });
            let stored = ground.rows(schema, &query).await?;
            // What the plan stores counts as it will be.
            let of_plan = plan.nodes.iter().filter(|node| node.schema == schema);
            let mut rows: Vec<_> =
                of_plan.filter_map(|node| Some((node.key.clone(), node.row.clone()?))).collect();
            for stored in stored {
                let key = schema.key_of(&*stored.row)?;
                let planned = plan.place(schema, &key).is_some_and(|at| plan.nodes[at].row.is_some());
                if !planned {
                    rows.push((key, stored.row));
                }
            }
            for (key, row) in rows {
                if let Some(to) = refers_to(schema, field, &*row)?.and_then(|to| places.get(&to).copied()) {
                    found.push(Reference { schema, def, field, key, row, to });
                }
            }
        }
    }
    Ok(found)
}

/// The row that refers lives on, and refers to nothing.
fn set_null(plan: &mut Plan, reference: Reference) -> Result<()> {
    let Reference { schema, field, key, row, to, .. } = reference;
    let place = plan.add(Node { schema, key, row: Some(row), new: false, within: None });
    if let Some(row) = &mut plan.nodes[place].row {
        *row = with_value(schema, &**row, field, Value::Null)?;
    }
    plan.edges.add(place, to, false);
    Ok(())
}

#[cold]
fn restricted(plan: &Plan, reference: &Reference) -> Error {
    let Node { schema, key, .. } = &plan.nodes[reference.to];
    let what = format!(
        "{} {} refers to it by its field `{}`: delete that first, or say what becomes of it with `on_delete`",
        reference.schema.model, reference.key, reference.def.name
    );
    Error::new(ErrorKind::Conflict, what).during("delete").model(schema.model).key(key)
}
