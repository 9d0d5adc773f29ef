//! A medium that gives redb no branch which is not one: a wall in front of cycles.
//!
//! redb believes what it reads. A damaged leaf is an error or a panic, which is contained; but a branch that lies where
//! another page belongs leads back to where it came from, or to pages that others lead to as well. Following such a tree
//! a write uses up its stack, or writes over pages that are in use, and that ends the process.
//!
//! So the branches of the tree, one page in a hundred or so, are verified when the database is opened, and remembered with
//! those that are written later. A page that is a branch and is not remembered is not given out. Leaves are looked at by
//! their first byte alone.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use crate::backend::{Lent, forward, forward_locks};
use crate::nodes::BRANCH;
use crate::pages::{Pages, Search};

/// Pages by where they begin, each with the hash of all of its bytes.
type Branches = HashMap<u64, u128>;

#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Arc<dyn StorageBackend>,
    /// None as long as redb verifies all pages itself.
    branches: Mutex<Option<Branches>>,
}

impl Guarded {
    pub(crate) fn new(inner: Arc<dyn StorageBackend>) -> Self {
        Self { inner, branches: Mutex::new(None) }
    }

    fn branches(&self) -> MutexGuard<'_, Option<Branches>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies the branches of the state that is committed; from now on no other is given out.
    pub(crate) fn begin(&self) {
        let found = self.verified(Search::Branches);
        *self.branches() = found;
    }

    fn verified(&self, search: Search) -> Option<Branches> {
        let pages = Pages::open(Box::new(Lent(self.inner.clone()))).ok().flatten()?;
        let slot = pages.current?;
        let mut found = Branches::new();
        pages.branches(&slot, search, &mut |start, page| {
            found.insert(start, XxHash3_128::oneshot(page));
        });
        Some(found)
    }

    /// Whether a page that says it is a branch is one, as it was written.
    fn is_known(&self, start: u64, page: &[u8]) -> bool {
        let hash = XxHash3_128::oneshot(page);
        let known = |branches: &Option<Branches>| {
            branches.as_ref().is_none_or(|branches| branches.get(&start) == Some(&hash))
        };
        if known(&self.branches()) {
            return true;
        }
        // A tree may be deeper in one place than in another: before it is refused, all of it is looked through.
        let Some(all) = self.verified(Search::Everywhere) else { return false };
        let mut branches = self.branches();
        if let Some(branches) = &mut *branches {
            for (start, hash) in all {
                branches.entry(start).or_insert(hash);
            }
        }
        known(&branches)
    }
}

impl StorageBackend for Guarded {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)?;
        if offset > 0 && out.first() == Some(&BRANCH) && !self.is_known(offset, out) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a page leads to others, and should not"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)?;
        if let Some(branches) = &mut *self.branches() {
            if data.first() == Some(&BRANCH) {
                branches.insert(offset, XxHash3_128::oneshot(data));
            } else {
                branches.remove(&offset);
            }
        }
        Ok(())
    }

    forward! { inner:
        set_len(len: u64) -> io::Result<()>;
        sync_data() -> io::Result<()>;
    }

    forward_locks!(inner);
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'static, u64, u64> = TableDefinition::new("t");
    const PAGE: usize = 4096;

    // Rules: d-closing
    #[test]
    fn a_branch_is_given_out_where_it_was_written_and_nowhere_else() {
        let medium: Arc<dyn StorageBackend> = Arc::new(InMemoryBackend::new());
        let database = Database::builder().create_with_backend(Lent(medium.clone())).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(TABLE).unwrap();
        (0..200_000).for_each(|nth| drop(table.insert(nth, nth).unwrap()));
        drop(table);
        transaction.commit().unwrap();
        drop(database);
        let guarded = Guarded::new(medium.clone());
        guarded.begin();
        let known = guarded.branches().clone().unwrap();
        assert!(known.len() > 3, "{}", known.len());
        let everywhere = guarded.verified(Search::Everywhere).unwrap();
        assert_eq!(known, everywhere, "the leaves need not be read");
        let len = medium.len().unwrap();
        let (mut page, mut out) = (vec![0; PAGE], vec![0; PAGE]);
        medium.read(*known.keys().next().unwrap(), &mut page).unwrap();
        let mut refused = 0;
        for start in (PAGE as u64..len).step_by(PAGE) {
            let mut before = vec![0; PAGE];
            medium.read(start, &mut before).unwrap();
            let sound = guarded.read(start, &mut out);
            assert_eq!(sound.is_ok(), before[0] != BRANCH || known.contains_key(&start), "{start}");
            if !known.contains_key(&start) {
                medium.write(start, &page).unwrap();
                assert_eq!(guarded.read(start, &mut out).unwrap_err().kind(), io::ErrorKind::InvalidData);
                refused += 1;
            }
            medium.write(start, &before).unwrap();
        }
        assert!(refused > 100, "{refused}");
        // What is written is known.
        let start = len - PAGE as u64;
        guarded.write(start, &page).unwrap();
        guarded.read(start, &mut out).unwrap();
        guarded.write(start, &vec![1; PAGE]).unwrap();
        medium.write(start, &page).unwrap();
        assert!(guarded.read(start, &mut out).is_err());
    }
}
