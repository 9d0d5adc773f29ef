//! Mutations that can't be sent without another one: those of rows that refer to a row which has no key of the server's yet.

use std::collections::{BTreeMap, BTreeSet};

use larder_core::{CommitOutcome, Entry, Error, ErrorKind, Expect, Failure, Operation, Result};

use super::act::Acts;
use super::exchange::in_row;
use crate::engine::exchange::{self, Named};
use crate::engine::renames::Rename;
use crate::fates::Fate;

/// How many of them an error names.
const NAMED: usize = 5;

impl Acts {
    /// The mutations that can't be sent if the creation that `entry` makes is given up, the newest first; and what is relied
    /// on in saying so.
    pub(crate) async fn dependants(&self, entry: &Entry) -> Result<(Vec<Entry>, Vec<Expect>)> {
        let (mut found, mut expect) = (BTreeMap::new(), Vec::new());
        let mut open = vec![entry.clone()];
        while let Some(entry) = open.pop() {
            if !exchange::is_temporary(&entry) {
                continue;
            }
            for dependant in self.naming_new(&entry, &mut expect).await? {
                if found.insert(dependant.seq, dependant.clone()).is_none() {
                    open.push(dependant);
                }
            }
        }
        Ok((found.into_values().rev().collect(), expect))
    }

    /// The mutations of other rows that begin to refer to the row which `entry` creates.
    async fn naming_new(&self, entry: &Entry, expect: &mut Vec<Expect>) -> Result<Vec<Entry>> {
        let rename = Rename { schema: entry.schema, from: entry.key.clone(), to: entry.key.clone() };
        let (mut named, mut dependants) = (Named::default(), Vec::new());
        let places: BTreeSet<_> = self
            .naming(&mut named, &rename)
            .await?
            .into_iter()
            .map(|(schema, key)| (schema.model, key))
            .collect();
        expect.append(&mut named.expect);
        for (model, key) in places {
            let Some(schema) = self.schemas.iter().copied().find(|schema| schema.model == model) else {
                continue;
            };
            if schema == entry.schema && key == entry.key {
                continue;
            }
            let Some(stored) = self.store.load(&self.cx(), schema, &key).await? else { continue };
            for other in self.chain(schema, &key, stored.meta.tail).await? {
                if other.seq > entry.seq && begins(&other, &rename)? {
                    dependants.push(other);
                }
            }
        }
        Ok(dependants)
    }

    /// Puts the rows of `dependants` back, since the creation of a row that they refer to was refused; what came of them
    /// stays. Gives those that are put back now.
    pub(super) async fn revert_dependants(&self, dependants: Vec<Entry>) -> Result<Vec<u64>> {
        let mut reverted = Vec::new();
        for dependant in dependants {
            // It may have been decided about meanwhile: then it is looked at anew.
            let Some((entry, stored)) = self.look(dependant.seq).await? else { continue };
            let error = refused(&entry);
            let failure = Failure::of(&error, self.runtime.now());
            let (batch, gone) = self.revert(&entry, stored, Some(failure)).await?;
            if self.store.commit(&self.cx(), batch).await? == CommitOutcome::Stale {
                return Ok(reverted);
            }
            for entry in gone {
                self.fates.settle(entry.id, &Fate::Failed(error.duplicate()));
                reverted.push(entry.seq);
            }
        }
        Ok(reverted)
    }
}

/// True if the mutation is what makes its row refer to the row of `rename`.
fn begins(entry: &Entry, rename: &Rename) -> Result<bool> {
    let names = |row: Option<&dyn larder_core::Row>| match row {
        Some(row) => in_row(entry.schema, row, rename),
        None => Ok(false),
    };
    let creates = matches!(entry.operation, Operation::Insert | Operation::Upsert);
    Ok(names(entry.row.as_deref())? && (creates || !names(entry.base.as_deref())?))
}

fn refused(entry: &Entry) -> Error {
    let what = "it refers to a row whose creation was refused";
    Error::new(ErrorKind::Cancelled, what).model(entry.schema.model).key(&entry.key)
}

/// What is said to whoever gives a creation up that others depend on.
pub(super) fn depended_on(entry: &Entry, dependants: &[Entry]) -> Error {
    let shown = |entry: &Entry| format!("{} {} (mutation {})", entry.schema.model, entry.key, entry.seq);
    let mut named: Vec<String> = dependants.iter().rev().take(NAMED).map(shown).collect();
    if dependants.len() > NAMED {
        named.push(format!("{} more", dependants.len() - NAMED));
    }
    let what = format!(
        "others refer to the row that it creates and can't be sent without it: {}: give them up before, or with it by \
         `discard_with_dependants`",
        named.join(", ")
    );
    Error::new(ErrorKind::Conflict, what).model(entry.schema.model).key(&entry.key)
}
