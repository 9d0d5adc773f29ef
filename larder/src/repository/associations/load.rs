//! Loads related rows, level by level: one query an association and level, however many rows there are.

use std::collections::HashMap;
use std::sync::Arc;

use larder_core::association::resolve::{own_key, reference, references};
use larder_core::association::{AnyModel, AssocDef, Includes, Link, Lookup};
use larder_core::runtime::BoxFuture;
use larder_core::{
    Error, ErrorKind, Key, KeySet, Model, PageRow, Places, Predicate, Query, Result, Row, Schema, async_trait,
};

/// A row that related rows are put into.
type Owner<'r> = &'r mut (dyn AnyModel + 'static);

/// A related row.
pub(crate) struct Child {
    /// Where the key by which it was found stands among those that were asked for.
    pub(crate) place: usize,
    pub(crate) row: Arc<dyn AnyModel>,
}

/// How related rows are decoded.
#[derive(Clone)]
pub(crate) struct Decode {
    /// Their model.
    pub(crate) target: &'static Schema,
    build: fn(&dyn Row) -> Result<Arc<dyn AnyModel>>,
    /// The field by which they are found: their own key, or the one that refers to the parent.
    field: u16,
    /// The keys that are asked for.
    keys: Places,
    /// True if others may have the rows as well: nothing is put into them.
    shared: bool,
}

impl Decode {
    /// Adds a row to the others, unless it is none of those that were asked for.
    pub(crate) fn add(&self, row: &dyn Row, to: &mut Vec<Child>) -> Result<()> {
        let at = usize::from(self.field);
        let place = row.field(at).and_then(|value| self.keys.place(value));
        if let Some(place) = place.map_err(|fault| self.target.fault(at, fault))? {
            to.push(Child { place, row: (self.build)(row)? });
        }
        Ok(())
    }

    /// The rows that were asked for among `rows`.
    pub(crate) fn all(&self, rows: &[PageRow]) -> Result<Vec<Child>> {
        let mut children = Vec::with_capacity(rows.len());
        rows.iter().try_for_each(|row| self.add(&*row.row, &mut children))?;
        Ok(children)
    }

    /// The keys that are asked for; each has its place.
    pub(crate) fn keys(&self) -> &KeySet {
        self.keys.keys()
    }

    /// True if it does not matter who else has the rows, and each key is the one of a row.
    pub(crate) fn shares_by_key(&self) -> bool {
        self.shared && own_key(self.target).is_ok_and(|own| own == self.field)
    }

    /// What asks for all of them.
    pub(crate) fn query(&self) -> Query {
        self.asking(self.keys().clone())
    }

    /// What asks for some of them.
    pub(crate) fn asking(&self, keys: KeySet) -> Query {
        Query::filter(Predicate::Among { field: self.field, keys })
    }
}

/// Where related rows come from.
#[async_trait]
pub(crate) trait Source: Lookup {
    /// The rows that are asked for, decoded.
    async fn children(&mut self, decode: &Decode) -> Result<Vec<Child>> {
        decode.all(&self.rows(decode.target, &decode.query()).await?)
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
            for (at, owner) in owners.iter_mut().enumerate() {
                (def.glue.attach)(&mut **owner, &mut found.of(wanted.places(at)))?;
            }
        }
        Ok(())
    })
}

/// Which rows belong to which owner.
struct Wanted {
    /// What finds them all: a field and the keys that it may have.
    field: u16,
    keys: KeySet,
    /// The places of each owner's keys among `keys`, in the order in which its rows are listed, owner after owner.
    places: Vec<usize>,
    /// Where in `places` those of each owner end.
    ends: Vec<usize>,
}

impl Wanted {
    /// Of each owner, the keys by which its rows are found.
    fn of<L: IntoIterator<Item = Key>>(field: u16, lists: impl Iterator<Item = Result<L>>) -> Result<Self> {
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for list in lists {
            all.extend(list?);
            ends.push(all.len());
        }
        let (keys, places) = KeySet::placing(all);
        Ok(Self { field, keys, places, ends })
    }

    fn places(&self, owner: usize) -> &[usize] {
        let start = owner.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.places[start..self.ends[owner]]
    }
}

async fn wanted(
    lookup: &mut dyn Source,
    schema: &'static Schema,
    owners: &[Owner<'_>],
    def: &AssocDef,
) -> Result<Wanted> {
    let target = (def.target)();
    let owners = owners.iter().map(|owner| &**owner);
    match def.link {
        Link::One { field } => Wanted::of(own_key(target)?, owners.map(|row| reference(schema, field, row))),
        Link::Keys { field } => {
            Wanted::of(own_key(target)?, owners.map(|row| references(schema, field, row)))
        }
        Link::Children { field } => Wanted::of(field, owners.map(|row| schema.key_of(row).map(Some))),
        Link::Through { link, from, to } => {
            let (link, own) = (link(), owners.map(|row| schema.key_of(row)).collect::<Result<Vec<_>>>()?);
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
                Ok(keys)
            };
            Wanted::of(own_key(target)?, own.iter().map(list))
        }
        _ => Err(Error::new(ErrorKind::Unsupported, "an association of an unknown form").model(schema.model)),
    }
}

/// Related rows, with what was loaded into them.
struct Found {
    /// In the order in which they came.
    rows: Vec<Arc<dyn AnyModel>>,
    /// Which they are, ordered by the places of their keys, those of one place as they came.
    by_place: Vec<usize>,
    /// Where in `by_place` the rows of each place begin; one more at the end.
    starts: Vec<usize>,
}

impl Found {
    /// Sorts rows by their places, of which there are so many: by counting them.
    fn new(children: Vec<Child>, places: usize) -> Self {
        let mut starts = vec![0; places + 1];
        children.iter().for_each(|child| starts[child.place + 1] += 1);
        for place in 0..places {
            starts[place + 1] += starts[place];
        }
        let (mut next, mut by_place) = (starts.clone(), vec![0; children.len()]);
        for (at, child) in children.iter().enumerate() {
            by_place[next[child.place]] = at;
            next[child.place] += 1;
        }
        Self { rows: children.into_iter().map(|child| child.row).collect(), by_place, starts }
    }

    fn of(&self, places: &[usize]) -> impl Iterator<Item = Arc<dyn AnyModel>> {
        let at = |place: usize| self.starts[place]..self.starts[place + 1];
        let rows = places.iter().flat_map(move |place| &self.by_place[at(*place)]);
        // Whoever takes them makes room for all of them at once.
        let count = places.iter().map(|place| at(*place).len()).sum();
        rows.map(|at| Arc::clone(&self.rows[*at])).take(count)
    }
}

async fn targets(
    lookup: &mut dyn Source,
    def: &AssocDef,
    wanted: &Wanted,
    nested: &Includes,
) -> Result<Found> {
    let Wanted { field, keys, .. } = wanted;
    if keys.is_empty() {
        return Ok(Found::new(Vec::new(), 0));
    }
    let (target, build, keys) = ((def.target)(), def.glue.build, Places::of(keys));
    let decode = Decode { target, build, field: *field, keys, shared: nested.is_empty() };
    let children = lookup.children(&decode).await?;
    let mut found = Found::new(children, decode.keys().len());
    if !nested.is_empty() {
        // Nobody else has them yet.
        let mut owners: Vec<Owner<'_>> = found.rows.iter_mut().filter_map(Arc::get_mut).collect();
        load(lookup, decode.target, &mut owners, nested).await?;
    }
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
