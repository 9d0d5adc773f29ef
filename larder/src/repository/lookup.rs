//! References by other fields than the key: which row is meant is found out before the row that refers is stored.
//!
//! First among the rows that came together, then here, then at the remote: what is missing is fetched in one batch for
//! each association.

use std::sync::Arc;

use larder_core::runtime::BoxFuture;
use larder_core::{
    CompareOp, Error, ErrorKind, PageRow, Predicate, Query, Record, Result, Row, Schema, Value, Wanted,
};

use super::Repository;

/// How many fetches one may lead to, each for the references of the one before.
const DEEP: usize = 8;

/// What a fetch is made for: the rows of the fetches that led to it, which are not stored yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Above {
    rows: Vec<(&'static Schema, Arc<dyn Row>)>,
    depth: usize,
}

impl Above {
    /// True for a fetch that was made for the references of another.
    pub(super) fn is_nested(&self) -> bool {
        self.depth > 0
    }
}

/// The references of one association by the same fields.
struct Group<'a> {
    wanted: Vec<&'a Wanted>,
    /// What each of them comes to.
    found: Vec<Option<Arc<dyn Row>>>,
}

impl<'a> Group<'a> {
    /// The references, those that ask the same once.
    fn all(wanted: impl Iterator<Item = &'a Wanted>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for wanted in wanted {
            let fits = |group: &&mut Self| group.wanted[0].def == wanted.def;
            match groups.iter_mut().find(fits) {
                Some(group) if group.wanted.contains(&wanted) => {}
                Some(group) => group.wanted.push(wanted),
                None => groups.push(Self { wanted: vec![wanted], found: Vec::new() }),
            }
        }
        for group in &mut groups {
            group.found = vec![None; group.wanted.len()];
        }
        groups
    }

    fn target(&self) -> &'static Schema {
        (self.wanted[0].def.target)()
    }

    /// Takes the rows that are meant out of `rows`.
    fn take(&mut self, rows: &[Arc<dyn Row>]) -> Result<()> {
        for (wanted, found) in self.wanted.iter().zip(&mut self.found).filter(|(_, found)| found.is_none()) {
            let (mut key, target) = (None, (wanted.def.target)());
            for row in rows {
                if !wanted.is(&**row)? {
                    continue;
                }
                let own = target.key_of(&**row)?;
                if key.as_ref().is_some_and(|other| *other != own) {
                    return Err(wanted.ambiguous());
                }
                key = Some(own);
                *found = Some(Arc::clone(row));
            }
        }
        Ok(())
    }

    /// What asks for the rows that have not been found; `None` if all have.
    fn query(&self) -> Option<Query> {
        let missing = self.wanted.iter().zip(&self.found).filter(|(_, found)| found.is_none());
        let missing: Vec<&Wanted> = missing.map(|(wanted, _)| *wanted).collect();
        let first = missing.first()?;
        if let [(field, _)] = first.by[..] {
            let values = missing.iter().map(|wanted| wanted.by[0].1.clone()).collect();
            return Some(Query::filter(Predicate::In { field, values }));
        }
        let equal = |(field, value): &(u16, Value)| Predicate::Compare {
            field: *field,
            op: CompareOp::Eq,
            value: value.clone(),
        };
        let mut all: Vec<_> =
            missing.iter().map(|wanted| Predicate::And(wanted.by.iter().map(equal).collect())).collect();
        let filter = if all.len() == 1 { all.remove(0) } else { Predicate::Or(all) };
        Some(Query::filter(filter))
    }
}

impl Repository {
    /// Puts the keys of the rows that are meant into `rows` and what stood within them.
    ///
    /// # Errors
    /// `Serialization` if there is no such row and the reference can't be empty, or if several are meant; what fetching
    /// says.
    pub(super) async fn look_up(
        &self,
        schema: &'static Schema,
        rows: &mut [PageRow],
        above: &Above,
    ) -> Result<()> {
        let brought = || rows.iter().filter_map(|row| row.brought.as_deref());
        let wanted = brought().flat_map(|brought| {
            brought.lookups.iter().chain(brought.rows.iter().flat_map(|row| &row.lookups))
        });
        let mut groups = Group::all(wanted);
        if groups.is_empty() {
            return Ok(());
        }
        let mut near = above.rows.clone();
        near.extend(rows.iter().map(|row| (schema, Arc::clone(&row.row))));
        for row in brought().flat_map(|brought| &brought.rows) {
            near.push((row.schema, Arc::new(row.row.clone())));
        }
        let near = Above { rows: near, depth: above.depth + 1 };
        for group in &mut groups {
            self.find_meant(group, &near).await?;
        }
        let known: Vec<(Wanted, Option<Value>)> = groups
            .iter()
            .flat_map(|group| group.wanted.iter().zip(&group.found))
            .map(|(wanted, found)| {
                Ok(((*wanted).clone(), found.as_ref().map(|row| key(wanted, row)).transpose()?))
            })
            .collect::<Result<_>>()?;
        rows.iter_mut().try_for_each(|row| fill(schema, row, &known))
    }

    async fn find_meant(&self, group: &mut Group<'_>, near: &Above) -> Result<()> {
        let target = group.target();
        let together = near.rows.iter().filter(|(schema, _)| *schema == target);
        group.take(&together.map(|(_, row)| Arc::clone(row)).collect::<Vec<_>>())?;
        self.find_here(group).await?;
        let Some(query) = group.query() else { return Ok(()) };
        if near.depth > DEEP {
            let what =
                format!("references by other fields than the key lead through more than {DEEP} fetches");
            return Err(Error::new(ErrorKind::Serialization, what).model(target.model));
        }
        self.fetch_meant(target, query, near).await?;
        self.find_here(group).await
    }

    async fn find_here(&self, group: &mut Group<'_>) -> Result<()> {
        let Some(query) = group.query() else { return Ok(()) };
        let page = self.shared.store.get(&self.cx(), group.target(), &query).await?;
        group.take(&page.rows.into_iter().map(|row| row.row).collect::<Vec<_>>())
    }

    /// A fetch for the references of another joins none: two that wait for each other would wait for ever.
    fn fetch_meant<'a>(
        &'a self,
        target: &'static Schema,
        query: Query,
        near: &'a Above,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.fetch_pages_for(target, &query, near).await?;
            Ok(())
        })
    }
}

/// The key of the row that is meant, as the field that refers to it holds it.
fn key(wanted: &Wanted, row: &Arc<dyn Row>) -> Result<Value> {
    let target = (wanted.def.target)();
    let at = target.key.fields.first().copied().unwrap_or_default();
    row.field(at).and_then(larder_core::ValueRef::to_value).map_err(|fault| target.fault(at, fault))
}

/// Puts the keys into a row and into what stood within it.
fn fill(schema: &'static Schema, row: &mut PageRow, known: &[(Wanted, Option<Value>)]) -> Result<()> {
    let Some(brought) = &mut row.brought else { return Ok(()) };
    if !brought.lookups.is_empty() {
        let mut filled = Record::copy(schema, &*row.row)?;
        for wanted in std::mem::take(&mut brought.lookups) {
            set(schema, &mut filled, &wanted, known)?;
        }
        row.row = Arc::new(filled);
    }
    for embedded in &mut brought.rows {
        for wanted in std::mem::take(&mut embedded.lookups) {
            set(embedded.schema, &mut embedded.row, &wanted, known)?;
        }
    }
    Ok(())
}

fn set(
    schema: &'static Schema,
    row: &mut Record,
    wanted: &Wanted,
    known: &[(Wanted, Option<Value>)],
) -> Result<()> {
    let at = usize::from(wanted.def.at);
    let found = known.iter().find(|(known, _)| known == wanted).and_then(|(_, key)| key.clone());
    let value = match found {
        Some(key) => key,
        None if schema.field(at)?.kind.is_nullable() => Value::Null,
        None => return Err(wanted.missing().during("decode").model(schema.model)),
    };
    row.set(at, value);
    Ok(())
}
