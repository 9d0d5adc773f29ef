//! Finds everything that names a row which gets another key: by the indexes of the fields that refer to it, or by a scan
//! of the model where there is none.

use std::collections::BTreeSet;

use larder_core::association::{AssocDef, Link, references};
use larder_core::{
    Batch, CompareOp, Entry, Expect, Key, MutationId, Op, PageRow, Predicate, Query, Result, Row, Schema,
    StoredRow,
};

use super::act::Acts;
use super::covered::Gone;
use crate::engine::exchange::{self, Named, Queued};
use crate::engine::rebase::{Ended, Rebased};
use crate::engine::renames::{Rename, among, shown, with_key, with_new_parts};

/// How many entries are read at a time.
const READ: usize = 256;

/// Under which name it is noted that some row has stopped referring to this one while its key was temporary: then what is
/// queued may name the key, and no stored row does.
pub(crate) fn left(schema: &Schema, key: &Key) -> String {
    format!("left/{}/{key}", schema.model)
}

impl Acts {
    /// The batch that moves a row from its temporary key to `key`, with everything that names it, and what is renamed
    /// by it; and what has become of entries of before its deletion under that key.
    pub(super) async fn exchanged(
        &self,
        entry: &Entry,
        stored: &StoredRow,
        answer: &PageRow,
        key: Key,
        gone: &mut Gone,
    ) -> Result<(Batch, Vec<Rename>, Rebased, Vec<(MutationId, MutationId)>)> {
        let (schema, from) = (entry.schema, entry.key.clone());
        let mut entries = self.chain(schema, &from, stored.meta.tail).await?;
        entries.retain(|other| other.seq != entry.seq);
        let since = self.since(entry, &key, &mut entries, gone).await?;
        let mut named = self.named(Rename { schema, from: from.clone(), to: since.key.clone() }).await?;
        named.expect.push(Expect::Row { schema, key: from.clone(), revision: stored.meta.revision });
        named.expect.push(since.expect);
        (named.deleted, named.written) = (since.deleted, since.written);
        let answer = PageRow::new(answer.meta.clone(), with_key(schema, &*answer.row, &since.key)?);
        let renames = named.renames.clone();
        // Whoever does not find a row under its former key any more has to find the new one here.
        self.given.note(&renames);
        let row = Queued { schema, key: from, stored: stored.clone(), entries };
        let (mut batch, spent) = exchange::exchanged(entry, row, &answer, named, self.runtime.now())?;
        let (mut ended, mut joined) = (since.ended, Vec::new());
        for (entry, within) in spent {
            joined.extend(within.map(|id| (entry.id, id)));
            batch.ops.push(Op::Dequeue(entry.seq));
            ended.ended.push((entry, Ended::Covered));
        }
        Ok((batch, renames, ended, joined))
    }

    /// Everything that names the row of `first`, and the rows that get another key with it.
    pub(crate) async fn named(&self, first: Rename) -> Result<Named> {
        let mut named = Named::default();
        let mut seen = BTreeSet::from([first.place()]);
        let mut open = vec![first];
        while let Some(rename) = open.pop() {
            self.look_there(&mut named, &rename).await?;
            let of_it = [rename.clone()];
            let new = among(&of_it);
            for (schema, key) in self.naming(&mut named, &rename).await? {
                if !seen.insert((schema.model, key.clone())) {
                    continue;
                }
                let Some(queued) = self.queued(schema, &key).await? else { continue };
                if let Some(to) = with_new_parts(schema, &key, &new) {
                    open.push(Rename { schema, from: key, to });
                }
                named.others.push(queued);
            }
            named.renames.push(rename);
        }
        Ok(named)
    }

    /// What is stored under the new key already.
    async fn look_there(&self, named: &mut Named, rename: &Rename) -> Result<()> {
        let there = self.queued(rename.schema, &rename.to).await?;
        let revision = there.as_ref().map_or(0, |there| there.stored.meta.revision);
        named.expect.push(Expect::Row { schema: rename.schema, key: rename.to.clone(), revision });
        named.there.extend(there.map(|there| (rename.place(), there)));
        Ok(())
    }

    /// The rows that name the row of `rename`, or did so in what is queued for them.
    pub(super) async fn naming(
        &self,
        named: &mut Named,
        rename: &Rename,
    ) -> Result<Vec<(&'static Schema, Key)>> {
        let mut found = Vec::new();
        let revision = self.store.revision();
        for schema in self.schemas.iter().copied() {
            let to_it = |def: &&AssocDef| def.is_stored() && (def.target)() == rename.schema;
            let defs: Vec<_> = schema.associations.iter().filter(to_it).collect();
            if defs.is_empty() {
                continue;
            }
            // A row that begins to refer to it meanwhile is found the next time.
            named.expect.push(Expect::Model { schema, revision });
            for def in defs {
                let query = Query::filter(refers(schema, def, &rename.from)?);
                for row in self.store.get(&self.cx(), schema, &query).await?.rows {
                    found.push((schema, schema.key_of(&*row.row)?));
                }
            }
        }
        let note = left(rename.schema, &rename.from);
        if self.store.cursor(&self.cx(), &note).await?.is_some() {
            self.scan_naming(rename, &mut found).await?;
            named.notes.push(note);
        }
        Ok(found)
    }

    /// The rows whose queued mutations name the row of `rename`.
    async fn scan_naming(&self, rename: &Rename, found: &mut Vec<(&'static Schema, Key)>) -> Result<()> {
        let mut after = 0;
        loop {
            let loaded = self.store.outbox(&self.cx(), after, READ).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(());
            }
            after = loaded.last;
            for entry in loaded.entries {
                if names(&entry, rename)? {
                    found.push((entry.schema, entry.key));
                }
            }
        }
    }

    /// A row, and what is queued for it.
    async fn queued(&self, schema: &'static Schema, key: &Key) -> Result<Option<Queued>> {
        let Some(stored) = self.store.load(&self.cx(), schema, key).await? else { return Ok(None) };
        let entries = self.chain(schema, key, stored.meta.tail).await?;
        Ok(Some(Queued { schema, key: key.clone(), stored, entries }))
    }
}

/// The rows of `schema` that refer to the row with this key by `def`.
fn refers(schema: &'static Schema, def: &AssocDef, key: &Key) -> Result<Predicate> {
    let kind = schema.field(usize::from(def.at))?.kind.inner();
    Ok(match (def.link, kind) {
        (Link::Keys { field }, larder_core::Kind::List(of)) => {
            Predicate::Member { field, value: shown(key, of.inner()), negated: false }
        }
        _ => Predicate::Compare { field: def.at, op: CompareOp::Eq, value: shown(key, kind) },
    })
}

/// Whether a queued mutation names the row of `rename`.
fn names(entry: &Entry, rename: &Rename) -> Result<bool> {
    for row in [&entry.row, &entry.base].into_iter().flatten() {
        if in_row(entry.schema, &**row, rename)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a row names that of `rename`.
pub(super) fn in_row(schema: &'static Schema, row: &dyn Row, rename: &Rename) -> Result<bool> {
    Ok(references(schema, row)?.iter().any(|(schema, key)| rename.is_of(schema, key)))
}
