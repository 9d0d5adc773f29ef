//! Answers queries that ask something of related rows, over any provider.
//!
//! One row can't tell whether a related row meets a condition. So the conditions are turned into sets of keys first,
//! from the innermost outwards, with one query each; then the query asks of each row no more than whether a key is in a
//! set, and every provider can answer it.

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::def::{AssocDef, Link};
use super::plan;
use super::sort::sorted;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::key::Key;
use crate::provider::{Page, PageRow, Provider};
use crate::query::{KeySet, Position, Predicate, Query};
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

/// The rows that answer a query.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows, finished and in order.
    pub rows: Vec<PageRow>,
    /// The place after each of the rows, if the query's order asks related rows; else empty, because each row tells its
    /// own ([`Position::of`]).
    pub places: Vec<Position>,
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
/// let rows = answer(&mut asking, Note::schema(), query.as_query()).await?.rows;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Invalid` if the query makes no sense for the model ([`Query::check`]), or orders by an association that leads to
/// several rows; `Unsupported`, before anything is read, if it denies scans and one of the queries that it takes is one; else as
/// [`Provider::get`].
pub async fn answer(lookup: &mut dyn Lookup, schema: &'static Schema, query: &Query) -> Result<Answer> {
    let ordered = query.order.iter().any(|order| order.through.is_some());
    if ordered {
        plan::permit_sorting(schema, query)?;
    }
    let query = resolved(lookup, schema, query).await?;
    if !ordered {
        return Ok(Answer { rows: lookup.rows(schema, &query).await?, places: Vec::new() });
    }
    let rows = lookup.rows(schema, &plan::unordered(&query)).await?;
    sorted(lookup, schema, &query, rows).await
}

/// The same query with conditions on keys in place of those on related rows. An order by a field of a related row
/// stays: [`answer`] does both.
///
/// # Errors
/// As [`answer`].
pub async fn resolved(lookup: &mut dyn Lookup, schema: &'static Schema, query: &Query) -> Result<Query> {
    query.check(schema)?;
    plan::permit_related(schema, query)?;
    let mut resolving = Resolving { lookup, deny_scan: query.deny_scan };
    let filter = resolving.filter(schema, &query.filter).await?;
    Ok(Query { filter, ..query.clone() })
}

/// The queries that conditions on related rows take. They deny scans if the query does that has the conditions.
struct Resolving<'a> {
    lookup: &'a mut dyn Lookup,
    deny_scan: bool,
}

impl Resolving<'_> {
    fn filter<'s>(
        &'s mut self,
        schema: &'static Schema,
        predicate: &'s Predicate,
    ) -> BoxFuture<'s, Result<Predicate>> {
        Box::pin(async move {
            Ok(match predicate {
                Predicate::And(all) => Predicate::And(self.each(schema, all).await?),
                Predicate::Or(any) => Predicate::Or(self.each(schema, any).await?),
                Predicate::Not(one) => Predicate::Not(Box::new(self.filter(schema, one).await?)),
                Predicate::Related { assoc, all, filter: wanted } => {
                    let def = schema.association(*assoc)?;
                    let wanted = self.filter((def.target)(), wanted).await?;
                    // Every one meets it: none does not.
                    match all {
                        false => self.keys(schema, def, wanted).await?,
                        true => {
                            let not = Predicate::Not(Box::new(wanted));
                            Predicate::Not(Box::new(self.keys(schema, def, not).await?))
                        }
                    }
                }
                other => other.clone(),
            })
        })
    }

    async fn each(&mut self, schema: &'static Schema, all: &[Predicate]) -> Result<Vec<Predicate>> {
        let mut resolved = Vec::with_capacity(all.len());
        for one in all {
            resolved.push(self.filter(schema, one).await?);
        }
        Ok(resolved)
    }

    async fn rows(&mut self, schema: &'static Schema, filter: Predicate) -> Result<Vec<PageRow>> {
        let query = Query { deny_scan: self.deny_scan, ..Query::filter(filter) };
        self.lookup.rows(schema, &query).await
    }

    /// The rows of `schema` that are related to one that meets `wanted`, as a condition on keys.
    async fn keys(
        &mut self,
        schema: &'static Schema,
        def: &AssocDef,
        wanted: Predicate,
    ) -> Result<Predicate> {
        let target = (def.target)();
        let found = self.rows(target, wanted).await?;
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
                let links = self.rows(link, Predicate::Among { field: to, keys }).await?;
                let mut keys = Vec::new();
                for found in &links {
                    keys.extend(reference(link, from, &*found.row)?);
                }
                Ok(Predicate::Among { field: own_key(schema)?, keys: keys.into() })
            }
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
