//! What it takes to answer a query over associations, told without answering it.

use super::def::{AssocDef, Link};
use super::resolve::own_key;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::query::plan::{Access, Finds, Ordering, RelatedPlan};
use crate::query::{KeySet, Plan, Predicate, Query, describe};
use crate::schema::Schema;

/// How `query` is answered: its own plan, and those of the queries for related rows that [`answer`](super::answer) makes
/// for it. `explain` tells the plan of a query that asks nothing of related rows, as
/// [`Provider::explain`](crate::Provider::explain) does.
///
/// Which keys will be found is not known, so what they lead to is told as if they were few.
///
/// # Errors
/// As [`answer`](super::answer), and whatever `explain` returns.
pub fn plan(
    schema: &'static Schema,
    query: &Query,
    explain: &dyn Fn(&'static Schema, &Query) -> Result<Plan>,
) -> Result<Plan> {
    query.check(schema)?;
    if !query.is_related() {
        return explain(schema, query);
    }
    let mut related = Vec::new();
    let told = Telling { explain, deny_scan: query.deny_scan };
    let through = query.order.iter().filter_map(|order| order.through);
    let asked = if through.clone().next().is_some() { unordered(query) } else { query.clone() };
    told.of_filter(schema, &asked.filter, &mut related)?;
    let mut plan = told.of_one(schema, &asked)?;
    let mut known = Vec::new();
    for through in through {
        plan.order = Ordering::Caller;
        if known.contains(&through) {
            continue;
        }
        known.push(through);
        let def = schema.association(through)?;
        let target = (def.target)();
        let filter = Predicate::Among { field: own_key(target)?, keys: some_keys() };
        related.push(told.step(schema, def, Finds::Order, target, filter)?);
    }
    Ok(Plan { related, ..plan })
}

struct Telling<'a> {
    explain: &'a dyn Fn(&'static Schema, &Query) -> Result<Plan>,
    deny_scan: bool,
}

impl Telling<'_> {
    /// The steps for the conditions within `filter`, from the innermost outwards.
    fn of_filter(
        &self,
        schema: &'static Schema,
        filter: &Predicate,
        steps: &mut Vec<RelatedPlan>,
    ) -> Result<()> {
        match filter {
            Predicate::And(all) | Predicate::Or(all) => {
                all.iter().try_for_each(|one| self.of_filter(schema, one, steps))
            }
            Predicate::Not(one) => self.of_filter(schema, one, steps),
            Predicate::Related { assoc, all, filter } => {
                let def = schema.association(*assoc)?;
                let target = (def.target)();
                self.of_filter(target, filter, steps)?;
                let wanted = looked_for(filter, *all);
                steps.push(self.step(schema, def, Finds::Matches, target, wanted)?);
                if let Link::Through { link, to, .. } = def.link {
                    let among = Predicate::Among { field: to, keys: some_keys() };
                    steps.push(self.step(schema, def, Finds::Links, link(), among)?);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn step(
        &self,
        owner: &Schema,
        def: &AssocDef,
        finds: Finds,
        model: &'static Schema,
        filter: Predicate,
    ) -> Result<RelatedPlan> {
        let query = Query { deny_scan: self.deny_scan, ..Query::filter(filter) };
        let plan = self.of_one(model, &query)?;
        let association = format!("{}.{}", owner.model, def.name);
        Ok(RelatedPlan { association, finds, model: model.model.to_owned(), plan })
    }

    /// The plan of one query, whose conditions on related rows have become conditions on keys.
    fn of_one(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        let filter = on_keys(schema, &query.filter)?;
        let mut plan = (self.explain)(schema, &Query { filter, ..query.clone() })?;
        let mut asks_found = false;
        for (planned, condition) in plan.conditions.iter_mut().zip(query.filter.conditions()) {
            if let Some(shown) = shown(schema, condition) {
                planned.condition = shown;
                asks_found = true;
            }
        }
        if asks_found {
            plan.estimate = None;
            if !names_keys(&query.filter) {
                found(&mut plan.access);
            }
        }
        Ok(plan)
    }
}

/// What stands for the keys that will be found: one that hardly any row has, and that can be any field's.
fn some_keys() -> KeySet {
    [Key::Int(-377_000_000_000_123_456_789)].into_iter().collect()
}

/// The condition on the related rows that are looked for: every one meets it if none is found that does not.
fn looked_for(filter: &Predicate, all: bool) -> Predicate {
    if all { Predicate::Not(Box::new(filter.clone())) } else { filter.clone() }
}

/// The query for the rows that are sorted afterwards by fields of related ones: all that answer, in no order.
pub(super) fn unordered(query: &Query) -> Query {
    Query { order: Vec::new(), ..query.unlimited() }
}

/// The filter with conditions on keys in place of those on related rows. Goes as deep as a checked filter does.
fn on_keys(schema: &'static Schema, filter: &Predicate) -> Result<Predicate> {
    let each = |all: &[Predicate]| all.iter().map(|one| on_keys(schema, one)).collect::<Result<_>>();
    Ok(match filter {
        Predicate::And(all) => Predicate::And(each(all)?),
        Predicate::Or(any) => Predicate::Or(each(any)?),
        Predicate::Not(one) => Predicate::Not(Box::new(on_keys(schema, one)?)),
        Predicate::Related { assoc, all, .. } => {
            let field = match schema.association(*assoc)?.link {
                Link::One { field } | Link::Keys { field } => field,
                Link::Children { .. } | Link::Through { .. } => own_key(schema)?,
            };
            let among = Predicate::Among { field, keys: some_keys() };
            if *all { Predicate::Not(Box::new(among)) } else { among }
        }
        other => other.clone(),
    })
}

/// A condition that asks for keys that will be found, for people; `None` for any other.
fn shown(schema: &'static Schema, condition: &Predicate) -> Option<String> {
    match condition {
        Predicate::Among { field, keys } if *keys == some_keys() => {
            let name = schema.field(usize::from(*field)).map_or("?", |field| field.name);
            Some(format!("{name} among the keys that are found"))
        }
        condition if condition.is_related() => Some(describe(schema, condition)),
        _ => None,
    }
}

/// Whether the filter itself names keys of rows.
fn names_keys(filter: &Predicate) -> bool {
    match filter {
        Predicate::Key(_) | Predicate::Keys(_) => true,
        Predicate::And(all) | Predicate::Or(all) => all.iter().any(names_keys),
        Predicate::Not(one) => names_keys(one),
        _ => false,
    }
}

/// Keys that are not known yet have no number.
fn found(access: &mut Access) {
    match access {
        Access::Keys(_) => *access = Access::Found,
        Access::Union(all) | Access::Intersection(all) => all.iter_mut().for_each(found),
        _ => {}
    }
}

/// Refuses the query if it denies scans and it, or a query for related rows that its conditions take, is one: before
/// anything is read.
///
/// # Errors
/// `Unsupported`, of the model whose rows would be scanned.
pub(super) fn permit_related(schema: &'static Schema, query: &Query) -> Result<()> {
    if !query.deny_scan || !query.is_related() {
        return Ok(());
    }
    permit_filter(schema, &query.filter)?;
    let order = query.order.iter().filter(|order| order.through.is_none()).copied().collect();
    Query { order, ..query.clone() }.permit_scan(schema)
}

/// Refuses a query that denies scans and has to look at all rows to sort them.
///
/// # Errors
/// As [`permit_related`].
pub(super) fn permit_sorting(schema: &'static Schema, query: &Query) -> Result<()> {
    let unordered = unordered(query);
    if query.deny_scan && unordered.filter.conditions().is_empty() {
        let what = "an order by a field of related rows looks at all rows: give the query a condition that an index \
                    serves, or allow the scan";
        return Err(Error::new(ErrorKind::Unsupported, what).model(schema.model));
    }
    unordered.permit_scan(schema)
}

fn permit_filter(schema: &'static Schema, filter: &Predicate) -> Result<()> {
    match filter {
        Predicate::And(all) | Predicate::Or(all) => all.iter().try_for_each(|one| permit_filter(schema, one)),
        Predicate::Not(one) => permit_filter(schema, one),
        Predicate::Related { assoc, all, filter } => {
            let def = schema.association(*assoc)?;
            let target = (def.target)();
            permit_filter(target, filter)?;
            let permit = |model: &'static Schema, filter: Predicate| {
                Query { deny_scan: true, ..Query::filter(filter) }.permit_scan(model)
            };
            permit(target, looked_for(filter, *all))?;
            match def.link {
                Link::Through { link, to, .. } => {
                    permit(link(), Predicate::Among { field: to, keys: some_keys() })
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
