//! Answers queries that ask something of related rows, over any provider.
//!
//! One row can't tell whether a related row meets a condition. So the conditions are turned into sets of keys first,
//! from the innermost outwards, with one query each; then the query asks of each row no more than whether a key is in a
//! set, and every provider can answer it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::def::{AssocDef, Link};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::key::Key;
use crate::provider::{Page, PageRow, Provider};
use crate::query::{Direction, KeySet, Order, Position, Predicate, Query, eval};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{Item, ValueRef};

/// Finds rows: a provider, or something in front of one.
#[async_trait]
pub trait Lookup: Send {
    /// The rows that answer `query`, finished. The query asks nothing of related rows.
    ///
    /// # Errors
    /// As [`Provider::get`].
    async fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>>;
}

/// Asks a provider, page by page.
#[derive(Debug)]
pub struct Asking<'a> {
    /// Who is asked.
    pub provider: &'a dyn Provider,
    /// What travels with each call.
    pub cx: Context,
}

#[async_trait]
impl Lookup for Asking<'_> {
    async fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let (mut cx, mut rows, mut done) = (self.cx.clone(), Vec::new(), None);
        loop {
            let page: Page = self.provider.get(&cx, schema, query).await?;
            rows.extend(page.rows);
            // What one page leaves undone is done to all of them.
            let so_far = *done.get_or_insert(page.done);
            done = Some(crate::provider::Done {
                filter: so_far.filter && page.done.filter,
                order: so_far.order && page.done.order,
                window: so_far.window && page.done.window,
            });
            match page.next {
                Some(next) => cx.resume = Some(next),
                None => return query.finish(schema, done.unwrap_or_default(), rows),
            }
        }
    }
}

/// The rows that answer `query`, whatever it asks of related rows.
///
/// ```
/// # extern crate larder_core as larder;
/// use larder::association::{Asking, answer};
/// use larder::{Context, Many, Model, One, Provider, Query, Select};
/// # use larder_derive::Model;
///
/// #[derive(Model)]
/// struct User {
///     #[model(key)]
///     name: String,
///     age: u8,
///     #[model(children = "author")]
///     notes: Many<Note>,
/// }
///
/// #[derive(Model)]
/// struct Note {
///     #[model(key)]
///     id: u64,
///     author: One<User>,
/// }
///
/// # async fn all(provider: &dyn Provider) -> larder::Result<()> {
/// let query = Select::from(Note::AUTHOR.any(User::AGE.ge(18))).order_by(Note::AUTHOR.by(User::NAME).asc());
/// let mut asking = Asking { provider, cx: Context::new() };
/// let rows = answer(&mut asking, Note::schema(), query.as_query()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Invalid` if the query names an association that the model does not have, or orders by one that leads to several
/// rows; else as [`Provider::get`].
pub async fn answer(lookup: &mut dyn Lookup, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
    let query = resolved(lookup, schema, query).await?;
    if query.order.iter().all(|order| order.through.is_none()) {
        return lookup.rows(schema, &query).await;
    }
    let unordered = Query { order: Vec::new(), after: None, ..query.unlimited() };
    let rows = lookup.rows(schema, &unordered).await?;
    sorted(lookup, schema, &query, rows).await
}

/// The same query with conditions on keys in place of those on related rows. An order by a field of a related row
/// stays: [`answer`] does both.
///
/// # Errors
/// As [`answer`].
pub async fn resolved(lookup: &mut dyn Lookup, schema: &'static Schema, query: &Query) -> Result<Query> {
    let filter = filter(lookup, schema, &query.filter).await?;
    Ok(Query { filter, ..query.clone() })
}

fn filter<'a>(
    lookup: &'a mut dyn Lookup,
    schema: &'static Schema,
    predicate: &'a Predicate,
) -> BoxFuture<'a, Result<Predicate>> {
    Box::pin(async move {
        Ok(match predicate {
            Predicate::And(all) => Predicate::And(each(lookup, schema, all).await?),
            Predicate::Or(any) => Predicate::Or(each(lookup, schema, any).await?),
            Predicate::Not(one) => Predicate::Not(Box::new(filter(lookup, schema, one).await?)),
            Predicate::Related { assoc, all, filter: wanted } => {
                let def = schema.association(*assoc)?;
                let wanted = filter(lookup, (def.target)(), wanted).await?;
                // Every one meets it: none does not.
                match all {
                    false => keys(lookup, schema, def, wanted).await?,
                    true => {
                        let not = Predicate::Not(Box::new(wanted));
                        Predicate::Not(Box::new(keys(lookup, schema, def, not).await?))
                    }
                }
            }
            other => other.clone(),
        })
    })
}

async fn each(lookup: &mut dyn Lookup, schema: &'static Schema, all: &[Predicate]) -> Result<Vec<Predicate>> {
    let mut resolved = Vec::with_capacity(all.len());
    for one in all {
        resolved.push(filter(lookup, schema, one).await?);
    }
    Ok(resolved)
}

/// The rows of `schema` that are related to one that meets `wanted`, as a condition on keys.
async fn keys(
    lookup: &mut dyn Lookup,
    schema: &'static Schema,
    def: &AssocDef,
    wanted: Predicate,
) -> Result<Predicate> {
    let target = (def.target)();
    let found = lookup.rows(target, &Query::filter(wanted)).await?;
    let rows = found.iter().map(|found| &*found.row);
    match def.link {
        Link::One { field } | Link::Keys { field } => {
            let keys = rows.map(|row| target.key_of(row)).collect::<Result<Vec<_>>>()?;
            Ok(Predicate::Among { field, keys: keys.into() })
        }
        Link::Children { field } => {
            let mut keys = Vec::new();
            for row in rows {
                keys.extend(reference(target, field, row)?);
            }
            Ok(Predicate::Among { field: own_key(schema)?, keys: keys.into() })
        }
        Link::Through { link, from, to } => {
            let link = link();
            let keys = rows.map(|row| target.key_of(row)).collect::<Result<KeySet>>()?;
            let links = lookup.rows(link, &Query::filter(Predicate::Among { field: to, keys })).await?;
            let mut keys = Vec::new();
            for found in &links {
                keys.extend(reference(link, from, &*found.row)?);
            }
            Ok(Predicate::Among { field: own_key(schema)?, keys: keys.into() })
        }
    }
}

/// The position of the one key field of a model that others refer to.
///
/// # Errors
/// `Invalid` if the model has none or several.
pub fn own_key(schema: &'static Schema) -> Result<u16> {
    match schema.key.fields {
        [one] => u16::try_from(*one)
            .map_err(|_| Error::new(ErrorKind::Invalid, "the model has too many fields").model(schema.model)),
        _ => Err(Error::new(ErrorKind::Invalid, "an association needs a model with one key field")
            .model(schema.model)),
    }
}

/// The key that the field of `row` refers to; `None` for null.
///
/// # Errors
/// `Serialization` or `Corrupt`, with model and field, if the field can't be shown or is no key.
pub fn reference(schema: &'static Schema, field: u16, row: &dyn Row) -> Result<Option<Key>> {
    let at = usize::from(field);
    let key = row.field(at).and_then(|value| match value {
        value if value.is_null() => Ok(None),
        value => Key::take(value).map(Some),
    });
    key.map_err(|fault| schema.fault(at, fault))
}

/// The keys in the list that the field of `row` is, in order.
///
/// # Errors
/// As [`reference()`].
pub fn references(schema: &'static Schema, field: u16, row: &dyn Row) -> Result<Vec<Key>> {
    let at = usize::from(field);
    let mut keys = Vec::new();
    let mut take = |list: ValueRef<'_>| -> Result<(), Fault> {
        match list {
            list if list.is_null() => Ok(()),
            ValueRef::List(list) => list.each(&mut |item| {
                if let Item::Value(value) = item {
                    keys.push(Key::take(value)?);
                }
                Ok(())
            }),
            other => Err(other.mismatch("a list of keys")),
        }
    };
    row.field(at).and_then(&mut take).map_err(|fault| schema.fault(at, fault))?;
    Ok(keys)
}

/// `rows` in an order that asks related rows as well, and the query's window of them. The related rows of each
/// association are found by one query.
async fn sorted(
    lookup: &mut dyn Lookup,
    schema: &'static Schema,
    query: &Query,
    rows: Vec<PageRow>,
) -> Result<Vec<PageRow>> {
    let mut related: HashMap<u16, Others> = HashMap::new();
    for through in query.order.iter().filter_map(|order| order.through) {
        if let Entry::Vacant(vacant) = related.entry(through) {
            vacant.insert(Others::find(lookup, schema, through, &rows).await?);
        }
    }
    let sorting = Sorting { schema, order: &query.order, related };
    let mut fault = None;
    let mut rows: Vec<(usize, PageRow)> = rows.into_iter().enumerate().collect();
    rows.sort_by(|a, b| {
        let compared = sorting.compare((a.0, &*a.1.row), (b.0, &*b.1.row));
        compared.unwrap_or_else(|error| {
            fault.get_or_insert(error);
            Ordering::Equal
        })
    });
    if let Some(error) = fault {
        return Err(error);
    }
    if let Some(place) = &query.after {
        let mut seen = 0;
        while let Some((at, row)) = rows.get(seen)
            && sorting.is_seen(place, (*at, &*row.row))?
        {
            seen += 1;
        }
        rows.drain(..seen);
    }
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let window = rows.into_iter().map(|(_, row)| row).skip(count(query.offset));
    Ok(window.take(query.limit.map_or(usize::MAX, count)).collect())
}

/// The related rows of a list of rows, by place.
struct Others {
    schema: &'static Schema,
    rows: Vec<Option<Arc<dyn Row>>>,
}

impl Others {
    async fn find(
        lookup: &mut dyn Lookup,
        schema: &'static Schema,
        through: u16,
        rows: &[PageRow],
    ) -> Result<Self> {
        let def = schema.association(through)?;
        let Link::One { field } = def.link else {
            let what =
                format!("`{}` leads to several rows: only a field of a single one can order", def.name);
            return Err(Error::new(ErrorKind::Invalid, what).model(schema.model));
        };
        let target = (def.target)();
        let keys = rows.iter().map(|row| reference(schema, field, &*row.row)).collect::<Result<Vec<_>>>()?;
        let among =
            Predicate::Among { field: own_key(target)?, keys: keys.iter().flatten().cloned().collect() };
        let mut found: HashMap<Key, Arc<dyn Row>> = HashMap::new();
        for other in lookup.rows(target, &Query::filter(among)).await? {
            found.insert(target.key_of(&*other.row)?, other.row);
        }
        let other = |key: Option<Key>| key.and_then(|key| found.get(&key).cloned());
        Ok(Self { schema: target, rows: keys.into_iter().map(other).collect() })
    }

    /// The field of the row that is related to the one at `place`.
    fn field(&self, place: usize, field: u16) -> Result<ValueRef<'_>> {
        let at = usize::from(field);
        match self.rows.get(place) {
            Some(Some(row)) => row.field(at).map_err(|fault| self.schema.fault(at, fault)),
            _ => Ok(ValueRef::Null),
        }
    }
}

/// An order, with the related rows that it asks.
struct Sorting<'a> {
    schema: &'static Schema,
    order: &'a [Order],
    related: HashMap<u16, Others>,
}

impl Sorting<'_> {
    /// What the row shows of one field of the order, and whose fault it would be.
    fn shown<'r>(&'r self, one: Order, (place, row): (usize, &'r dyn Row)) -> Result<ValueRef<'r>> {
        match one.through.and_then(|through| self.related.get(&through)) {
            Some(others) => others.field(place, one.field),
            None => {
                let at = usize::from(one.field);
                row.field(at).map_err(|fault| self.schema.fault(at, fault))
            }
        }
    }

    fn by(&self, one: Order, a: ValueRef<'_>, b: ValueRef<'_>) -> Result<Ordering> {
        let schema =
            one.through.and_then(|through| self.related.get(&through)).map_or(self.schema, |of| of.schema);
        let compared = eval::order(a, b).map_err(|fault| schema.fault(usize::from(one.field), fault))?;
        Ok(if one.direction == Direction::Descending { compared.reverse() } else { compared })
    }

    fn compare(&self, a: (usize, &dyn Row), b: (usize, &dyn Row)) -> Result<Ordering> {
        for one in self.order {
            let compared = self.by(*one, self.shown(*one, a)?, self.shown(*one, b)?)?;
            if compared.is_ne() {
                return Ok(compared);
            }
        }
        eval::compare(self.schema, &[], a.1, b.1)
    }

    /// True if the row does not come after `place`.
    fn is_seen(&self, place: &Position, row: (usize, &dyn Row)) -> Result<bool> {
        for (one, value) in self.order.iter().zip(&place.values) {
            let compared = self.by(*one, self.shown(*one, row)?, value.show())?;
            if compared.is_ne() {
                return Ok(compared.is_lt());
            }
        }
        Ok(self.schema.key_of(row.1)? <= place.key)
    }
}
