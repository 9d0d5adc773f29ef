//! Loads related rows, level by level: one query an association and level, however many rows there are.

use std::collections::HashMap;
use std::sync::Arc;

use larder_core::association::resolve::{own_key, reference, references};
use larder_core::association::{AnyModel, AssocDef, Includes, Link, Lookup};
use larder_core::runtime::BoxFuture;
use larder_core::{Error, ErrorKind, Key, Model, Predicate, Query, Result, Row, Schema, async_trait};

/// A row that related rows are put into.
type Owner<'r> = &'r mut (dyn AnyModel + 'static);

/// A related row.
pub(crate) struct Child {
    pub(crate) key: Key,
    /// The key that it refers to, if that is how it was found.
    parent: Option<Key>,
    row: Box<dyn AnyModel>,
}

/// How related rows are decoded.
#[derive(Clone, Copy)]
pub(crate) struct Decode {
    /// Their model.
    pub(crate) target: &'static Schema,
    build: fn(&dyn Row) -> Result<Box<dyn AnyModel>>,
    /// The field with the key of the parent, if that is how they are found.
    parent: Option<u16>,
}

impl Decode {
    fn of(def: &AssocDef) -> Self {
        let parent = if let Link::Children { field } = def.link { Some(field) } else { None };
        Self { target: (def.target)(), build: def.glue.build, parent }
    }

    pub(crate) fn child(&self, row: &dyn Row) -> Result<Child> {
        let parent = self.parent.map(|field| reference(self.target, field, row)).transpose()?.flatten();
        Ok(Child { key: self.target.key_of(row)?, parent, row: (self.build)(row)? })
    }
}

/// Where related rows come from.
#[async_trait]
pub(crate) trait Source: Lookup {
    /// The rows that answer `query`, decoded.
    async fn children(&mut self, query: &Query, decode: Decode) -> Result<Vec<Child>> {
        self.rows(decode.target, query).await?.iter().map(|row| decode.child(&*row.row)).collect()
    }
}

/// Puts into `owners`, which are rows of `schema`, what `includes` asks for.
///
/// # Errors
/// `Invalid` if an association is named that the model does not have; else what `lookup` reports.
pub(crate) fn load<'a>(
    lookup: &'a mut dyn Source,
    schema: &'static Schema,
    owners: &'a mut [Owner<'_>],
    includes: &'a Includes,
) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        for (def, nested) in includes.of(schema)? {
            if owners.is_empty() {
                continue;
            }
            let wanted = wanted(lookup, schema, owners, def).await?;
            let found = targets(lookup, def, &wanted, &nested).await?;
            for (owner, wanted) in owners.iter_mut().zip(wanted.of) {
                (def.glue.attach)(&mut **owner, found.of(&wanted))?;
            }
        }
        Ok(())
    })
}

/// Which rows belong to which owner.
struct Wanted {
    /// What finds them all: a field and the keys that it may have.
    field: u16,
    keys: Vec<Key>,
    /// For each owner, in order.
    of: Vec<By>,
}

/// How the rows of an owner are told.
enum By {
    /// By their own keys, in this order.
    Keys(Vec<Key>),
    /// By the key that they refer to.
    Parent(Key),
}

async fn wanted(
    lookup: &mut dyn Source,
    schema: &'static Schema,
    owners: &[Owner<'_>],
    def: &AssocDef,
) -> Result<Wanted> {
    let target = (def.target)();
    let own = || owners.iter().map(|owner| schema.key_of(&**owner));
    let by_keys = |lists: Vec<Vec<Key>>| -> Result<Wanted> {
        let keys = lists.iter().flatten().cloned().collect();
        Ok(Wanted { field: own_key(target)?, keys, of: lists.into_iter().map(By::Keys).collect() })
    };
    match def.link {
        Link::One { field } => {
            let keys = owners.iter().map(|owner| reference(schema, field, &**owner));
            by_keys(keys.map(|key| Ok(key?.into_iter().collect())).collect::<Result<_>>()?)
        }
        Link::Keys { field } => {
            by_keys(owners.iter().map(|owner| references(schema, field, &**owner)).collect::<Result<_>>()?)
        }
        Link::Children { field } => {
            let keys = own().collect::<Result<Vec<_>>>()?;
            let of = keys.iter().cloned().map(By::Parent).collect();
            Ok(Wanted { field, keys, of })
        }
        Link::Through { link, from, to } => {
            let (link, own) = (link(), own().collect::<Result<Vec<_>>>()?);
            let of_owners = Predicate::Among { field: from, keys: own.iter().cloned().collect() };
            let mut ends: HashMap<Key, Vec<Key>> = HashMap::new();
            for found in lookup.rows(link, &Query::filter(of_owners)).await? {
                let (near, far) = (reference(link, from, &*found.row)?, reference(link, to, &*found.row)?);
                if let (Some(near), Some(far)) = (near, far) {
                    ends.entry(near).or_default().push(far);
                }
            }
            let list = |key: &Key| {
                let mut keys = ends.get(key).cloned().unwrap_or_default();
                keys.sort_unstable();
                keys.dedup();
                keys
            };
            by_keys(own.iter().map(list).collect())
        }
        _ => Err(Error::new(ErrorKind::Unsupported, "an association of an unknown form").model(schema.model)),
    }
}

/// Related rows, with what was loaded into them.
struct Found {
    rows: Vec<Arc<dyn AnyModel>>,
    by_key: HashMap<Key, usize>,
    by_parent: HashMap<Key, Vec<usize>>,
}

impl Found {
    fn of(&self, wanted: &By) -> Vec<Arc<dyn AnyModel>> {
        let row = |place: &usize| Arc::clone(&self.rows[*place]);
        match wanted {
            By::Keys(keys) => keys.iter().filter_map(|key| self.by_key.get(key)).map(row).collect(),
            By::Parent(key) => self.by_parent.get(key).into_iter().flatten().map(row).collect(),
        }
    }
}

async fn targets(
    lookup: &mut dyn Source,
    def: &AssocDef,
    wanted: &Wanted,
    nested: &Includes,
) -> Result<Found> {
    let mut found = Found { rows: Vec::new(), by_key: HashMap::new(), by_parent: HashMap::new() };
    if wanted.keys.is_empty() {
        return Ok(found);
    }
    let (decode, keys) = (Decode::of(def), wanted.keys.iter().cloned().collect());
    let among = Query::filter(Predicate::Among { field: wanted.field, keys });
    let children = lookup.children(&among, decode).await?;
    let mut rows = Vec::with_capacity(children.len());
    for Child { key, parent, row } in children {
        match (decode.parent, parent) {
            (None, _) => drop(found.by_key.insert(key, rows.len())),
            (_, Some(parent)) => found.by_parent.entry(parent).or_default().push(rows.len()),
            _ => {}
        }
        rows.push(row);
    }
    let mut owners: Vec<Owner<'_>> = rows.iter_mut().map(|row| &mut **row).collect();
    load(lookup, decode.target, &mut owners, nested).await?;
    found.rows = rows.into_iter().map(AnyModel::share).collect();
    Ok(found)
}

/// Puts into `rows` what `includes` asks for.
///
/// # Errors
/// As [`load`].
pub(crate) async fn load_typed<M: Model>(
    lookup: &mut dyn Source,
    schema: &'static Schema,
    rows: &mut [Arc<M>],
    includes: &Includes,
) -> Result<()> {
    let mut owners: Vec<Owner<'_>> = Vec::with_capacity(rows.len());
    for row in rows {
        if Arc::get_mut(row).is_none() {
            // Somebody else has it, and sees what he saw.
            *row = Arc::new(M::from_row(&**row)?);
        }
        owners.extend(Arc::get_mut(row).map(|row| row as Owner<'_>));
    }
    load(lookup, schema, &mut owners, includes).await
}
