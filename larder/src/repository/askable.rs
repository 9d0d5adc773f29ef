//! What of a query the remote can be asked: it has never heard of a temporary key.

use std::borrow::Cow;
use std::collections::BTreeSet;

use larder_core::{CompareOp, Key, KeyKind, Predicate, Query, Result, Schema, Value};

use super::Repository;
use crate::given::target;

type Places = BTreeSet<(&'static str, Key)>;

impl Repository {
    /// `query` as the remote can be asked: given keys in place of temporary ones, and nothing about rows whose keys are
    /// still to come. `None` if it can have no row of what is asked.
    pub(super) async fn askable<'q>(
        &self,
        schema: &'static Schema,
        query: &'q Query,
    ) -> Result<Option<Cow<'q, Query>>> {
        let query = self.shared.given.renewed(schema, query);
        let mut named = Vec::new();
        named_by(schema, &query.filter, &mut named);
        let mut unknown = Places::new();
        for (schema, key) in named {
            if self.is_temporary(schema, &key).await? {
                unknown.insert((schema.model, key));
            }
        }
        if unknown.is_empty() {
            return Ok(Some(query));
        }
        let filter = without(schema, &query.filter, &unknown);
        Ok((!is_none(&filter)).then(|| Cow::Owned(Query { filter, ..query.into_owned() })))
    }
}

/// The row that a value of a field names, if its key is one that the remote gives.
fn place(schema: &'static Schema, field: u16, value: &Value) -> Option<(&'static Schema, Key)> {
    let target = target(schema, field).filter(|target| target.key.kind == KeyKind::Server)?;
    Some((target, Key::take(value.show()).ok()?))
}

/// Adds the rows that a condition names.
fn named_by(schema: &'static Schema, filter: &Predicate, named: &mut Vec<(&'static Schema, Key)>) {
    let server = schema.key.kind == KeyKind::Server;
    match filter {
        Predicate::Key(key) if server => named.push((schema, key.clone())),
        Predicate::Keys(keys) if server => named.extend(keys.iter().map(|key| (schema, key.clone()))),
        Predicate::Compare { field, op: CompareOp::Eq | CompareOp::Ne, value }
        | Predicate::Member { field, value, .. } => named.extend(place(schema, *field, value)),
        Predicate::In { field, values } => {
            named.extend(values.iter().filter_map(|value| place(schema, *field, value)));
        }
        Predicate::And(all) | Predicate::Or(all) => {
            all.iter().for_each(|filter| named_by(schema, filter, named));
        }
        Predicate::Not(filter) => named_by(schema, filter, named),
        _ => {}
    }
}

/// The same condition, where no row is one of these and none refers to one of them.
fn without(schema: &'static Schema, filter: &Predicate, unknown: &Places) -> Predicate {
    let is_unknown = |field: u16, value: &Value| {
        place(schema, field, value).is_some_and(|(target, key)| unknown.contains(&(target.model, key)))
    };
    let own = |key: &Key| unknown.contains(&(schema.model, key.clone()));
    match filter {
        Predicate::Key(key) if own(key) => Predicate::none(),
        Predicate::Keys(keys) => Predicate::Keys(keys.iter().filter(|key| !own(key)).cloned().collect()),
        Predicate::Compare { field, op: CompareOp::Eq, value } if is_unknown(*field, value) => {
            Predicate::none()
        }
        Predicate::Compare { field, op: CompareOp::Ne, value } if is_unknown(*field, value) => {
            Predicate::Compare { field: *field, op: CompareOp::Ne, value: Value::Null }
        }
        Predicate::Member { field, value, negated } if is_unknown(*field, value) => match negated {
            true => Predicate::Compare { field: *field, op: CompareOp::Ne, value: Value::Null },
            false => Predicate::none(),
        },
        Predicate::In { field, values } => {
            let known = values.iter().filter(|value| !is_unknown(*field, value));
            Predicate::In { field: *field, values: known.cloned().collect() }
        }
        Predicate::And(all) => {
            let all: Vec<_> = all.iter().map(|one| without(schema, one, unknown)).collect();
            if all.iter().any(is_none) { Predicate::none() } else { Predicate::And(all) }
        }
        Predicate::Or(any) => {
            let any = any.iter().map(|one| without(schema, one, unknown));
            Predicate::Or(any.filter(|one| !is_none(one)).collect())
        }
        Predicate::Not(not) => Predicate::Not(Box::new(without(schema, not, unknown))),
        other => other.clone(),
    }
}

/// True if no row can answer.
fn is_none(filter: &Predicate) -> bool {
    match filter {
        Predicate::Or(any) => any.is_empty(),
        Predicate::Keys(keys) => keys.is_empty(),
        Predicate::In { values, .. } => values.is_empty(),
        _ => false,
    }
}
