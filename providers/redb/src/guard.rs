//! A medium that gives redb no branch which is not one: a wall in front of cycles.
//!
//! redb believes what it reads. A damaged leaf is an error or a panic, which is contained; but a branch that lies where
//! another page belongs leads back to where it came from, or to pages that others lead to as well. Following such a tree
//! a write uses up its stack, or writes over pages that are in use, and that ends the process.
//!
//! So a branch is given out only if it is as the branch above it says, or as it was written: each one that is read tells
//! which ones lie below it, and with what checksums. What leads to the trees themselves is read when the database is opened;
//! nothing below is, before redb asks for it. Leaves are looked at by their first byte alone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use crate::backend::{Lent, forward, forward_locks};
use crate::nodes::BRANCH;
use crate::pages::{Layout, Lead, Pages};

/// What is known of a branch.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// What leads to it. Once it has been read, what it leads to is known as well.
    Below(Lead),
    /// The hash of all of its bytes, as they were written. What it leads to was known before.
    Written(u128),
}

/// Which branches redb is given.
#[derive(Debug)]
enum Gives {
    /// Any, as long as it verifies pages itself: those that it has read or written.
    Any(HashSet<u64>),
    /// Those that are known, by where they begin: one page in a hundred or so.
    Known(Layout, HashMap<u64, Known>),
}

#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Arc<dyn StorageBackend>,
    gives: Mutex<Gives>,
}

impl Guarded {
    pub(crate) fn new(inner: Arc<dyn StorageBackend>) -> Self {
        Self { inner, gives: Mutex::new(Gives::Any(HashSet::new())) }
    }

    fn gives(&self) -> MutexGuard<'_, Gives> {
        self.gives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no branch is given out but those of the state that is committed, and what is written later. Below one that
    /// redb has already, it goes on without asking: so what that leads to is looked at now.
    pub(crate) fn begin(&self) {
        let mut gives = self.gives();
        let Gives::Any(given) = &*gives else { return };
        if let Some((layout, found)) = self.search(|lead| lead, |start| given.contains(&start)) {
            let known = found.into_iter().map(|(start, lead)| (start, Known::Below(lead)));
            *gives = Gives::Known(layout, known.collect());
        }
    }

    /// The branches of the committed state, down from its trees' `tops` to those that are not to be `read`.
    fn search(&self, tops: fn(Lead) -> Lead, read: impl Fn(u64) -> bool) -> Option<(Layout, Leads)> {
        let pages = Pages::open(Box::new(Lent(self.inner.clone()))).ok().flatten()?;
        let mut leads: Vec<Lead> = pages.leads(&pages.current?).into_iter().map(tops).collect();
        let mut found = Leads::new();
        while let Some(lead) = leads.pop() {
            let Some(start) = pages.layout.start(&lead).filter(|_| !lead.is_to_leaf()) else { continue };
            if read(start) {
                // What is not as it was written is not followed, so there are no circles.
                let Some(below) = pages.below(&lead) else { continue };
                leads.extend(below);
            }
            found.push((start, lead));
        }
        Some((pages.layout, found))
    }

    /// Whether a page that says it is a branch is one, as it was written.
    fn admits(&self, start: u64, page: &[u8]) -> bool {
        let (layout, known) = match &mut *self.gives() {
            Gives::Any(given) => {
                given.insert(start);
                return true;
            }
            Gives::Known(layout, known) => (*layout, known.get(&start).copied()),
        };
        let lead = match known {
            Some(Known::Written(hash)) => return XxHash3_128::oneshot(page) == hash,
            Some(Known::Below(lead)) => lead,
            // A tree may be deeper in one place than in another: before it is refused, all of it is looked through.
            None => {
                let found = self.search(Lead::to_any_depth, |_| true);
                let of_start = |(_, found): (Layout, Leads)| found.into_iter().find(|(at, _)| *at == start);
                let Some((_, lead)) = found.and_then(of_start) else { return false };
                lead
            }
        };
        let Some(below) = lead.below(page) else { return false };
        if let (Gives::Known(_, known), false) = (&mut *self.gives(), below.is_empty()) {
            for (start, lead) in below.iter().filter_map(|lead| Some((layout.start(lead)?, lead))) {
                known.entry(start).or_insert(Known::Below(*lead));
            }
        }
        true
    }
}

/// Says what can't be read.
#[cold]
fn at(offset: u64, len: usize, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{len} bytes at {offset} can't be read: {error}"))
}

/// Branches by where they begin.
type Leads = Vec<(u64, Lead)>;

impl StorageBackend for Guarded {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out).map_err(|error| at(offset, out.len(), &error))?;
        if offset > 0 && out.first() == Some(&BRANCH) && !self.admits(offset, out) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a page leads to others, and should not"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)?;
        let is_branch = data.first() == Some(&BRANCH);
        match &mut *self.gives() {
            Gives::Any(given) if is_branch => drop(given.insert(offset)),
            Gives::Any(_) => {}
            Gives::Known(_, known) if is_branch => {
                known.insert(offset, Known::Written(XxHash3_128::oneshot(data)));
            }
            Gives::Known(_, known) => drop(known.remove(&offset)),
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
mod tests;
