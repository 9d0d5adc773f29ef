//! Temporary keys in writes: one that the application still holds stands for the key that was given in its place, and a
//! write that names a row whose key is still to come relies on that row.

use std::collections::{BTreeMap, HashMap};

use larder_core::association::references;
use larder_core::{
    Batch, Error, ErrorKind, Expect, Key, KeyKind, Op, Operation, Result, Row, RowState, Schema, StoredRow,
    WritePolicy,
};

use super::Repository;
use super::keys::looks_temporary;
use super::write::Change;
use crate::driver::left;
use crate::engine::enqueue::Write;
use crate::engine::renames::{Rename, among, renamed, with_key, with_new_parts};
use crate::given::KEYS;

/// What became of changes that named temporary keys.
#[derive(Debug, Default)]
pub(super) struct Renewed {
    /// The changes whose rows are written otherwise than they were given, with the keys of the rows.
    pub(super) moved: BTreeMap<usize, Key>,
    /// The changes that a later one of the same row takes the place of.
    pub(super) superseded: Vec<usize>,
}

impl Repository {
    /// The key under which a row stands that once had this one.
    pub(super) async fn current(&self, schema: &'static Schema, key: Key) -> Result<Key> {
        let mut key = key;
        for _ in 0..KEYS {
            let Some(given) = self.shared.given.get(schema, &key) else { break };
            if self.shared.store.load(&self.cx(), schema, &key).await?.is_some() {
                break;
            }
            key = given;
        }
        Ok(key)
    }

    /// Puts the keys that were given since in place of temporary ones.
    pub(super) async fn renew(&self, changes: &mut [Change], renewed: &mut Renewed) -> Result<()> {
        if self.shared.given.is_empty() {
            return Ok(());
        }
        for (at, change) in changes.iter_mut().enumerate() {
            if let Some(key) = self.renew_one(change).await? {
                renewed.moved.insert(at, key);
            }
            if let Some(within) = &mut change.within {
                within.key = self.current(within.schema, within.key.clone()).await?;
            }
        }
        let mut last = HashMap::new();
        for (at, change) in changes.iter().enumerate() {
            renewed.superseded.extend(last.insert((change.schema.model, &change.key), at));
        }
        Ok(())
    }

    /// A change with the keys that were given since in place of temporary ones.
    pub(super) async fn renewed(&self, mut change: Change) -> Result<Change> {
        self.renew(std::slice::from_mut(&mut change), &mut Renewed::default()).await?;
        Ok(change)
    }

    /// The key of the row, if anything of the change is another.
    async fn renew_one(&self, change: &mut Change) -> Result<Option<Key>> {
        let schema = change.schema;
        let mut key = self.current(schema, change.key.clone()).await?;
        if key == change.key {
            let renames = self.renames(schema, change).await?;
            if renames.is_empty() {
                return Ok(None);
            }
            let new = among(&renames);
            key = with_new_parts(schema, &key, &new).unwrap_or(key);
        }
        let renames = self.renames(schema, change).await?;
        if let Write::Put(row) = &mut change.write {
            if let Some(other) = renamed(schema, &**row, &among(&renames))? {
                *row = other;
            }
            if key != change.key {
                *row = with_key(schema, &**row, &key)?;
            }
        }
        change.key = key.clone();
        Ok(Some(key))
    }

    /// The rows with new keys that a change names.
    pub(super) async fn renames(&self, schema: &'static Schema, change: &Change) -> Result<Vec<Rename>> {
        let mut named = match &change.write {
            Write::Put(row) => references(schema, &**row)?,
            Write::Delete => Vec::new(),
        };
        for (at, part) in schema.key.fields.iter().zip(change.key.parts()) {
            let def = schema.associations.iter().find(|def| def.is_one() && usize::from(def.at) == *at);
            named.extend(def.map(|def| ((def.target)(), part.clone())));
        }
        let mut renames = Vec::new();
        for (schema, from) in named {
            let to = self.current(schema, from.clone()).await?;
            if to != from {
                renames.push(Rename { schema, from, to });
            }
        }
        Ok(renames)
    }

    /// Lets the batch rely on the rows that `changes` begin to refer to and that wait for their keys; and notes of those
    /// that they stop referring to that what is queued may name them.
    ///
    /// The exchange of a key looks at every row that refers to it and relies on what it saw: so either it sees the write,
    /// or the write sees that the row is gone, and is made again: then this is `false`.
    pub(super) async fn bind(
        &self,
        batch: &mut Batch,
        changes: &[Change],
        stored: &[Option<StoredRow>],
        order: &[usize],
    ) -> Result<bool> {
        if self.shared.remote.is_none() || !changes.iter().any(|change| may_wait(change.schema)) {
            return Ok(true);
        }
        let ranked = order.iter().enumerate().map(|(rank, at)| (changes[*at].place(), (rank, *at)));
        let ranks: HashMap<_, _> = ranked.collect();
        for (rank, at) in order.iter().enumerate().filter(|(_, at)| may_wait(changes[**at].schema)) {
            let (change, stored_row) = (&changes[*at], stored[*at].as_ref());
            let before = match stored_row.and_then(|stored| stored.row.as_deref()) {
                Some(row) if !is_new(stored_row) => waiting(change.schema, row)?,
                _ => Vec::new(),
            };
            let after = match &change.write {
                Write::Put(row) => waiting(change.schema, &**row)?,
                Write::Delete => Vec::new(),
            };
            for named in after.iter().filter(|named| !before.contains(named)) {
                match ranks.get(&(named.0.model, named.1.clone())) {
                    Some((other, to)) if *other >= rank && is_new(stored[*to].as_ref()) => {
                        return Err(circle(change, named));
                    }
                    Some(_) => {}
                    None if self.rely(batch, change, named).await? => {}
                    None => return Ok(false),
                }
            }
            for (schema, key) in before.iter().filter(|named| !after.contains(named)) {
                if self.is_temporary(schema, key).await? {
                    batch.ops.push(Op::Cursor { scope: left(schema, key), value: Some(String::new()) });
                }
            }
        }
        Ok(true)
    }

    /// Lets the batch rely on a row that a change begins to refer to, unless the remote knows that row by its key;
    /// `false` if it stands under another key now.
    async fn rely(&self, batch: &mut Batch, change: &Change, named: &(&'static Schema, Key)) -> Result<bool> {
        let (schema, key) = named;
        let target = self.shared.store.load(&self.cx(), schema, key).await?;
        let queued = self.options.write == WritePolicy::OptimisticLocal;
        match &target {
            Some(target) if !may_be_temporary(target) => return Ok(true),
            Some(target) if queued && is_new(Some(target)) => {
                let what =
                    "is kept here alone, and the server is still to give it its key: write that row first";
                return Err(unsendable(change, named, what));
            }
            // It has got another key this moment.
            None if self.shared.given.get(schema, key).is_some() => return Ok(false),
            None if queued && looks_temporary(schema, key) => {
                return Err(unsendable(
                    change,
                    named,
                    "is not here, and its key is a temporary one: write that row first",
                ));
            }
            _ => {}
        }
        let revision = target.map_or(0, |target| target.meta.revision);
        batch.expect.push(Expect::Row { schema, key: key.clone(), revision });
        Ok(true)
    }

    /// True if the row has a temporary key: it is to be created at the remote, or was never meant to be.
    pub(super) async fn is_temporary(&self, schema: &'static Schema, key: &Key) -> Result<bool> {
        let (KeyKind::Server, Some(remote)) = (schema.key.kind, &self.shared.remote) else {
            return Ok(false);
        };
        let Some(stored) = self.shared.store.load(&self.cx(), schema, key).await? else { return Ok(false) };
        if !may_be_temporary(&stored) || stored.meta.sync.state == RowState::Local {
            return Ok(may_be_temporary(&stored));
        }
        let chain = remote.acts.chain(schema, key, stored.meta.tail).await?;
        Ok(chain.first().is_some_and(|oldest| oldest.operation == Operation::Insert))
    }

    /// True if no row of the remote can have the key: it is a temporary one, or contains one.
    pub(super) async fn is_of_temporary(&self, schema: &'static Schema, key: &Key) -> Result<bool> {
        if schema.key.kind == KeyKind::Server && looks_temporary(schema, key) {
            return Ok(true);
        }
        for (at, part) in schema.key.fields.iter().zip(key.parts()) {
            let def = schema.associations.iter().find(|def| def.is_one() && usize::from(def.at) == *at);
            if let Some(def) = def
                && self.is_temporary((def.target)(), part).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses a row for the remote that refers to one which the remote does not know yet.
    pub(super) async fn refuse_temporary(&self, schema: &'static Schema, row: &dyn Row) -> Result<()> {
        for (target, key) in waiting(schema, row)? {
            if self.is_temporary(target, &key).await? {
                let what = format!(
                    "it refers to the {} {key}, whose key the remote is still to give: sync first",
                    target.model
                );
                return Err(Error::new(ErrorKind::Conflict, what).model(schema.model));
            }
        }
        Ok(())
    }
}

/// True if a write of the row creates it at the remote.
fn is_new(stored: Option<&StoredRow>) -> bool {
    let kept = |stored: &StoredRow| stored.meta.sync.state == RowState::Local && stored.meta.tail == 0;
    stored.is_none_or(|stored| kept(stored) || stored.row.is_none())
}

fn unsendable(change: &Change, (schema, key): &(&'static Schema, Key), what: &str) -> Error {
    let what = format!("it refers to the {} {key}, which {what}", schema.model);
    Error::new(ErrorKind::Invalid, what).model(change.schema.model).key(&change.key)
}

fn circle(change: &Change, named: &(&'static Schema, Key)) -> Error {
    let what = "is no earlier than it, and the server is still to give it its key: leave one reference empty and fill \
                it in by another write";
    unsendable(change, named, what)
}

/// True if rows of the model can refer to rows whose keys are still to come.
fn may_wait(schema: &'static Schema) -> bool {
    let server = |schema: &'static Schema| schema.key.kind == KeyKind::Server;
    schema.associations.iter().any(|def| def.is_stored() && server((def.target)()))
}

/// The rows that `row` refers to whose keys the remote gives.
fn waiting(schema: &'static Schema, row: &dyn Row) -> Result<Vec<(&'static Schema, Key)>> {
    let mut named = references(schema, row)?;
    named.retain(|(target, _)| target.key.kind == KeyKind::Server);
    Ok(named)
}

/// False for a row that the remote knows by its key.
fn may_be_temporary(stored: &StoredRow) -> bool {
    stored.meta.tail != 0 || stored.meta.sync.state == RowState::Local
}
