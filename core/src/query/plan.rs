//! How a query is answered, as data: what a provider does itself, and which index serves what.
//!
//! What an index can serve is told from the schema alone, so that all stores agree in what is a scan:
//!
//! - a condition on the key, or on the first field of the key or of an index, by `eq`, `lt`, `le`, `gt`, `ge`,
//!   `between`, `is_in` or `starts_with` (with regard to case);
//! - "all of these" if one of them is served, "any of these" if each is;
//! - no condition at all, if there is a limit and the key or an index gives the order;
//! - `any` on an association, which becomes a condition on keys, if the reference has an index, or if it is the related
//!   rows that refer.

use serde::{Deserialize, Serialize};

use super::show::describe;
use super::{CompareOp, Direction, Predicate, Query, TextOp};
use crate::association::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Capabilities, Pushdown};
use crate::schema::Schema;
use crate::value::Value;

/// How a query is answered.
///
/// ```
/// use larder_core::{Capabilities, FieldDef, IndexDef, IntKind, KeyDef, Kind, Query, Schema};
/// use serde_json::json;
///
/// static PERSON: Schema = Schema::new(
///     "Person",
///     &[FieldDef::new("id", Kind::Int(IntKind::U32)), FieldDef::new("city", Kind::Str)],
///     KeyDef::natural(&[0]),
/// )
/// .indexes(&[IndexDef { name: "city", fields: &[1], unique: false }]);
/// let query = Query::from_json(&PERSON, &json!({"field": "city", "op": "eq", "value": "Oslo"}))?;
/// let plan = query.plan(&PERSON, &Capabilities::ALL);
/// assert_eq!(
///     plan.to_string(),
///     "index city (city)\n  city eq \"Oslo\": by index city\n  order: as it comes"
/// );
/// # Ok::<(), larder_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where the rows are looked for.
    pub access: Access,
    /// What becomes of each condition that must hold.
    pub conditions: Vec<Planned>,
    /// How the rows come into order.
    pub order: Ordering,
    /// How many rows or entries are looked at, where that is known. An upper bound.
    pub estimate: Option<u64>,
    /// What the query asks of related rows, each by a query of its own, in the order in which they are made. Those for
    /// conditions go before the query itself, those for an order after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<RelatedPlan>,
}

/// A query for related rows that another query takes, and its plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelatedPlan {
    /// The association, with the model that has it: `Order.customer`.
    pub association: String,
    /// What it finds.
    pub finds: Finds,
    /// The model whose rows it finds.
    pub model: String,
    /// How it is answered.
    pub plan: Plan,
}

/// What a query for related rows finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Finds {
    /// The rows that meet a condition; for `all`, those that don't.
    Matches,
    /// The link rows that lead to those.
    Links,
    /// The rows whose field orders the answer.
    Order,
}

/// Where rows are looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Access {
    /// Nowhere: no row can answer.
    Nothing,
    /// At so many keys.
    Keys(u64),
    /// At the keys that the queries for related rows find.
    Found,
    /// In ranges of keys.
    KeyRange,
    /// In ranges of an index.
    Index {
        /// Its name.
        name: String,
        /// The names of its fields.
        fields: Vec<String>,
    },
    /// In each of these.
    Union(Vec<Access>),
    /// Where all of these agree.
    Intersection(Vec<Access>),
    /// In all rows of the model.
    Scan,
    /// At a remote; how it is asked.
    Remote(String),
}

/// A condition, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The condition, for people.
    pub condition: String,
    /// The fields that it is about.
    pub fields: Vec<String>,
    /// What becomes of it.
    pub served: Served,
}

/// What becomes of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Served {
    /// The key finds the rows.
    Key,
    /// These indexes find the rows, and the key if it is called `key`.
    Index(Vec<String>),
    /// The provider's other side leaves out the rows that it excludes.
    Pushed,
    /// It is judged row by row. An index could serve it.
    Residual,
    /// It is judged row by row, and no index serves it.
    Unindexed,
}

/// How rows come into the order that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ordering {
    /// They come in it.
    Delivered,
    /// The provider sorts them.
    Sorted,
    /// The caller sorts them.
    Caller,
}

/// What finds the rows that meet a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finder {
    Nothing,
    Key,
    Indexes(Vec<&'static str>),
}

impl Query {
    /// What a provider with these capabilities does with the query, as far as that follows from the schema: what the
    /// key and the indexes serve if it evaluates filters itself, what is left to the caller if it does not. Ask
    /// [`Provider::explain`](crate::Provider::explain) for what a provider really does.
    #[must_use]
    pub fn plan(&self, schema: &Schema, capabilities: &Capabilities) -> Plan {
        let conjuncts = self.filter.conditions();
        let conditions = conjuncts.iter().map(|one| Planned {
            condition: describe(schema, one),
            fields: fields(schema, one),
            served: match (capabilities.filter, finder(schema, one)) {
                (Pushdown::All, Some(Finder::Nothing | Finder::Key)) => Served::Key,
                (Pushdown::All, Some(Finder::Indexes(names))) => {
                    Served::Index(names.into_iter().map(str::to_owned).collect())
                }
                (Pushdown::All, None) => Served::Unindexed,
                _ => Served::Residual,
            },
        });
        let order = match (self.is_in_key_order(schema), capabilities.order) {
            (true, true) => Ordering::Delivered,
            (false, true) => Ordering::Sorted,
            (_, false) => Ordering::Caller,
        };
        Plan {
            access: self.access(schema, capabilities),
            conditions: conditions.collect(),
            order,
            estimate: None,
            related: Vec::new(),
        }
    }

    fn access(&self, schema: &Schema, capabilities: &Capabilities) -> Access {
        if self.limit == Some(0) {
            return Access::Nothing;
        }
        if capabilities.filter != Pushdown::All {
            return Access::Scan;
        }
        let conjuncts = self.filter.conditions();
        let keys = conjuncts.iter().find_map(|one| match one {
            Predicate::Key(_) => Some(1),
            Predicate::Keys(keys) => Some(keys.len() as u64),
            _ => None,
        });
        if let Some(keys) = keys {
            return Access::Keys(keys);
        }
        let mut finders: Vec<Finder> = conjuncts.iter().filter_map(|one| finder(schema, one)).collect();
        finders.sort_by_key(|finder| matches!(finder, Finder::Indexes(names) if names.len() > 1));
        match finders.into_iter().next() {
            Some(Finder::Nothing) => Access::Nothing,
            Some(Finder::Key) => Access::KeyRange,
            Some(Finder::Indexes(names)) => {
                let mut parts: Vec<Access> = names.iter().map(|name| Access::of(schema, name)).collect();
                if parts.len() == 1 { parts.swap_remove(0) } else { Access::Union(parts) }
            }
            None => Access::Scan,
        }
    }

    fn is_in_key_order(&self, schema: &Schema) -> bool {
        self.order.is_empty() || gives(&self.order, &[], schema.key.fields)
    }

    /// Refuses the query if it denies scans and is one: see the [module](self) for what an index serves.
    ///
    /// # Errors
    /// `Unsupported`; the message names the fields that lack an index.
    pub fn permit_scan(&self, schema: &Schema) -> Result<()> {
        if !self.deny_scan || self.limit == Some(0) {
            return Ok(());
        }
        let conjuncts = self.filter.conditions();
        if conjuncts.iter().any(|one| finder(schema, one).is_some()) {
            return Ok(());
        }
        if conjuncts.is_empty() && self.limit.is_some() {
            let mut ways = schema.indexes.iter().map(|index| index.fields);
            let key = schema.key.fields;
            if self.is_in_key_order(schema) || ways.any(|index| gives(&self.order, index, key)) {
                return Ok(());
            }
        }
        Err(self.denied(schema, &conjuncts))
    }

    #[cold]
    fn denied(&self, schema: &Schema, conjuncts: &[&Predicate]) -> Error {
        let mut names: Vec<String> = conjuncts.iter().flat_map(|one| fields(schema, one)).collect();
        if names.is_empty() {
            let order = self.order.iter().filter(|one| one.through.is_none());
            names = order.map(|one| name(schema, one.field).to_owned()).collect();
        }
        names.sort_unstable();
        names.dedup();
        let message = match names.as_slice() {
            [] => "the query reads all rows; give it a condition that an index serves, or a limit".to_owned(),
            names => format!(
                "the query would look at all rows: no index serves {}; give the field an index, or allow the scan",
                names.join(", ")
            ),
        };
        Error::new(ErrorKind::Unsupported, message).model(schema.model)
    }
}

impl Access {
    /// The index that is called `name`.
    #[must_use]
    pub fn of(schema: &Schema, name: &str) -> Self {
        let Some(index) = schema.indexes.iter().find(|index| index.name == name) else {
            return Self::KeyRange;
        };
        let fields = index.fields.iter().map(|at| schema.fields[*at].name.to_owned()).collect();
        Self::Index { name: name.to_owned(), fields }
    }
}

/// Whether rows that come by `values`, then by `key`, come in this order.
fn gives(order: &[super::Order], values: &[usize], key: &[usize]) -> bool {
    let mut gives = values.iter().chain(key);
    let same = order.iter().all(|one| one.through.is_none() && gives.next() == Some(&usize::from(one.field)));
    let rising = order.iter().all(|one| one.direction == Direction::Ascending);
    let falling = order.iter().all(|one| one.direction == Direction::Descending);
    let whole = order.len() == values.len() + key.len();
    same && ((rising && order.len() >= values.len())
        || (falling && (whole || (order.len() == values.len() && !values.is_empty()))))
}

/// What finds the rows that meet `condition`, if anything does.
fn finder(schema: &Schema, condition: &Predicate) -> Option<Finder> {
    find(schema, condition, 0)
}

fn find(schema: &Schema, condition: &Predicate, depth: usize) -> Option<Finder> {
    if depth > super::MAX_DEPTH {
        return None;
    }
    match condition {
        Predicate::Compare { op: CompareOp::Ne, .. } => None,
        Predicate::Compare { field, value, .. } => by_field(schema, *field, &[value]),
        Predicate::Between { field, low, high } => by_field(schema, *field, &[low, high]),
        Predicate::In { values, .. } if values.is_empty() => Some(Finder::Nothing),
        Predicate::Keys(keys) if keys.is_empty() => Some(Finder::Nothing),
        Predicate::Among { keys, .. } if keys.is_empty() => Some(Finder::Nothing),
        Predicate::In { field, values } => by_field(schema, *field, &values.iter().collect::<Vec<_>>()),
        Predicate::Key(_) | Predicate::Keys(_) => Some(Finder::Key),
        Predicate::Among { field, .. } if is_key(schema, *field) => by_field(schema, *field, &[]),
        // It becomes a condition on the keys that are found.
        Predicate::Related { assoc, all: false, .. } => match schema.association(*assoc).ok()?.link {
            Link::One { field } => by_field(schema, field, &[]),
            Link::Keys { .. } => None,
            Link::Children { .. } | Link::Through { .. } => Some(Finder::Key),
        },
        Predicate::Text { field, op: TextOp::StartsWith, ignore_case: false, negated: false, .. } => {
            by_field(schema, *field, &[])
        }
        Predicate::And(all) => all.iter().find_map(|one| find(schema, one, depth + 1)),
        Predicate::Or(any) => {
            let mut names = Vec::new();
            for one in any {
                match find(schema, one, depth + 1)? {
                    Finder::Nothing => {}
                    Finder::Key => names.push("key"),
                    Finder::Indexes(more) => names.extend(more),
                }
            }
            names.sort_unstable();
            names.dedup();
            Some(match names.as_slice() {
                [] => Finder::Nothing,
                ["key"] => Finder::Key,
                _ => Finder::Indexes(names),
            })
        }
        _ => None,
    }
}

fn is_key(schema: &Schema, field: u16) -> bool {
    schema.fields.get(usize::from(field)).is_some_and(|field| field.kind.inner().is_key())
}

fn by_field(schema: &Schema, field: u16, operands: &[&Value]) -> Option<Finder> {
    let at = usize::from(field);
    schema.fields.get(at)?;
    // Equal composites with floats in them may lie anywhere.
    if operands.iter().any(|value| !matches!(value, Value::Float(_)) && has_float(value)) {
        return None;
    }
    if schema.key.fields.first() == Some(&at) {
        return Some(Finder::Key);
    }
    let index = schema.indexes.iter().find(|index| index.fields.first() == Some(&at))?;
    Some(Finder::Indexes(vec![index.name]))
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Float(_) => true,
        Value::List(values) | Value::Struct(values) => values.iter().any(has_float),
        Value::Map(entries) => entries.iter().any(|(key, value)| has_float(key) || has_float(value)),
        Value::Variant(one) => one.fields.iter().any(has_float),
        _ => false,
    }
}

pub(super) fn name(schema: &Schema, field: u16) -> &'static str {
    schema.fields.get(usize::from(field)).map_or("?", |field| field.name)
}

/// The names of the fields that a condition is about.
fn fields(schema: &Schema, condition: &Predicate) -> Vec<String> {
    let (mut names, mut left) = (Vec::new(), vec![condition]);
    while let Some(one) = left.pop() {
        match one {
            Predicate::And(all) | Predicate::Or(all) => left.extend(all),
            Predicate::Not(one) => left.push(one),
            Predicate::Key(_) | Predicate::Keys(_) => {
                names.extend(schema.key.fields.iter().map(|at| schema.fields[*at].name.to_owned()));
            }
            Predicate::Compare { field, .. }
            | Predicate::Between { field, .. }
            | Predicate::In { field, .. }
            | Predicate::Text { field, .. }
            | Predicate::Member { field, .. }
            | Predicate::Among { field, .. } => names.push(name(schema, *field).to_owned()),
            Predicate::Related { assoc, .. } => {
                names.extend(schema.association(*assoc).map(|def| def.name.to_owned()));
            }
            Predicate::All | Predicate::TooDeep => {}
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
