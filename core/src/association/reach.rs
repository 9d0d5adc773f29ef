//! What a query over associations reaches: the models that it involves, and what of them has to be known.

use super::def::{AssocDef, Link};
use super::include::Includes;
use crate::error::Result;
use crate::query::{Predicate, Query};
use crate::schema::Schema;

/// The models that the answer to `query`, with `includes`, depends on; `schema` first, none twice.
///
/// # Errors
/// `Invalid` if an association is named that the model does not have.
pub fn involved(schema: &'static Schema, query: &Query, includes: &Includes) -> Result<Vec<&'static Schema>> {
    let mut models = vec![schema];
    for (model, _) in needed(schema, query)? {
        add(&mut models, model);
    }
    included(schema, includes, &mut models)?;
    Ok(models)
}

/// What has to be known of other models, so that `query` can be answered: for each a query that asks nothing of related
/// rows and leaves out none that matters.
///
/// # Errors
/// As [`involved`].
pub fn needed(schema: &'static Schema, query: &Query) -> Result<Vec<(&'static Schema, Query)>> {
    let mut needed = Vec::new();
    of_filter(schema, &query.filter, &mut needed)?;
    for through in query.order.iter().filter_map(|order| order.through) {
        needed.push(((schema.association(through)?.target)(), Query::all()));
    }
    Ok(needed)
}

fn of_filter(
    schema: &'static Schema,
    filter: &Predicate,
    needed: &mut Vec<(&'static Schema, Query)>,
) -> Result<()> {
    match filter {
        Predicate::And(all) | Predicate::Or(all) => {
            all.iter().try_for_each(|one| of_filter(schema, one, needed))
        }
        Predicate::Not(one) => of_filter(schema, one, needed),
        Predicate::Related { assoc, all, filter } => {
            let def = schema.association(*assoc)?;
            let target = (def.target)();
            if let Link::Through { link, .. } = def.link {
                needed.push((link(), Query::all()));
            }
            // For `all`, those are looked for that do not meet it.
            let wanted = if *all { filter.negated() } else { (**filter).clone() };
            needed.push((target, Query::filter(wanted).widened()));
            of_filter(target, filter, needed)
        }
        _ => Ok(()),
    }
}

impl Query {
    /// The same query as far as one model goes: it asks nothing of related rows, and has every row in its answer that
    /// this one may have. Where that may be more, it has no window.
    #[must_use]
    pub fn widened(&self) -> Self {
        if !self.is_related() {
            return self.clone();
        }
        let order = self.order.iter().filter(|order| order.through.is_none()).copied().collect();
        Self { filter: widened(&self.filter, true), order, after: None, ..self.unlimited() }
    }
}

/// `filter` with everything or nothing in place of what it asks of related rows, whichever lets more through.
fn widened(filter: &Predicate, positive: bool) -> Predicate {
    match filter {
        Predicate::Related { .. } if positive => Predicate::All,
        Predicate::Related { .. } => Predicate::none(),
        Predicate::And(all) => {
            all.iter().fold(Predicate::All, |and, one| match (and, widened(one, positive)) {
                (and, one) if is_none(&and) || is_none(&one) => Predicate::none(),
                (and, one) => and.and(one),
            })
        }
        Predicate::Or(any) => {
            any.iter().fold(Predicate::none(), |or, one| match (or, widened(one, positive)) {
                (Predicate::All, _) | (_, Predicate::All) => Predicate::All,
                (or, one) if is_none(&or) => one,
                (or, one) if is_none(&one) => or,
                (or, one) => or.or(one),
            })
        }
        Predicate::Not(one) => widened(one, !positive).negated(),
        other => other.clone(),
    }
}

fn is_none(filter: &Predicate) -> bool {
    matches!(filter, Predicate::Or(any) if any.is_empty())
}

impl Predicate {
    /// The opposite answer.
    #[must_use]
    pub fn negated(&self) -> Self {
        match self {
            Self::All => Self::none(),
            none if is_none(none) => Self::All,
            Self::Not(one) => (**one).clone(),
            other => Self::Not(Box::new(other.clone())),
        }
    }
}

fn add(models: &mut Vec<&'static Schema>, model: &'static Schema) -> bool {
    let new = !models.contains(&model);
    if new {
        models.push(model);
    }
    new
}

fn included(schema: &'static Schema, includes: &Includes, models: &mut Vec<&'static Schema>) -> Result<()> {
    for (def, _) in includes.of(schema)? {
        follow(def, models);
    }
    for include in &includes.named {
        included((schema.association(include.assoc)?.target)(), &include.nested, models)?;
    }
    // Each model is met first where it is nearest, and then as deep as it gets.
    let (mut near, mut met) = (vec![schema], vec![schema]);
    for _ in 0..includes.depth {
        let mut next = Vec::new();
        for def in near.iter().flat_map(|model| model.associations) {
            let target = follow(def, models);
            if add(&mut met, target) {
                next.push(target);
            }
        }
        if next.is_empty() {
            break;
        }
        near = next;
    }
    Ok(())
}

/// Adds the models that an association leads to, and gives the one at its end.
fn follow(def: &AssocDef, models: &mut Vec<&'static Schema>) -> &'static Schema {
    if let Link::Through { link, .. } = def.link {
        add(models, link());
    }
    let target = (def.target)();
    add(models, target);
    target
}

/// The models whose rows may come together with those of `schema`, which is first: at the other ends of its
/// associations, and of theirs, and between them.
#[must_use]
pub fn reached(schema: &'static Schema) -> Vec<&'static Schema> {
    let (mut models, mut at) = (vec![schema], 0);
    while let Some(model) = models.get(at).copied() {
        for def in model.associations {
            add(&mut models, (def.target)());
            if let Link::Through { link, .. } = def.link {
                add(&mut models, link());
            }
        }
        at += 1;
    }
    models
}
