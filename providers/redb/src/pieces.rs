//! Reading a few thousand rows on the calling thread, in pieces between which others have their turn.
//!
//! Another thread has to be waited for, and fills memory that is let go of here: both cost more than looking the rows up.
//! No state is held while others have their turn, for a state that is held keeps its pages; if there is a newer one when it
//! goes on, what was read is void.

use std::sync::{Mutex, PoisonError};

use larder_core::runtime::yield_now;
use larder_core::{Borrower, Query, Result};

use crate::catalog::Slot;
use crate::error::contain;
use crate::keys::Keys;
use crate::plan::{Access, Delivery, Plan};
use crate::provider::{LOOKUPS_HERE, RedbStore};
use crate::reads::{Generation, Halt, Watch};
use crate::scan;

/// How many rows are looked up, or passed, in a piece: that takes a millisecond or so.
const LOOKED_UP: usize = LOOKUPS_HERE;
const PASSED: usize = 2 * LOOKED_UP;
/// The most pieces.
const PIECES: usize = 8;

/// What is read.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) query: &'a Query,
    pub(crate) plan: &'a Plan,
    pub(crate) watch: &'a Watch,
}

/// Where the rows are.
enum Where {
    /// At these keys.
    Keys(Keys),
    /// Among those in these ranges.
    Rows,
}

impl RedbStore {
    /// Lends all rows that answer, in the order of their keys, and gives how many steps that took. `None`: they are asked for
    /// otherwise, there are too many, or there is a newer state; what was lent is void then.
    pub(crate) async fn lend_in_pieces(
        &self,
        asked: Asked<'_>,
        to: &Mutex<Box<dyn Borrower>>,
    ) -> Result<Option<usize>> {
        if !is_whole(asked.query) {
            return Ok(None);
        }
        let found =
            self.on_this_thread(None, |generation| Ok((generation.revision, find(generation, asked)?)));
        let Some((revision, Some(rows))) = found? else { return Ok(None) };
        to.lock().unwrap_or_else(PoisonError::into_inner).anew();
        match rows {
            Where::Keys(keys) => self.lend_keys(asked, &keys, revision, to).await,
            Where::Rows => self.lend_rows(asked, revision, to).await,
        }
    }

    async fn lend_keys(
        &self,
        asked: Asked<'_>,
        keys: &Keys,
        revision: u64,
        to: &Mutex<Box<dyn Borrower>>,
    ) -> Result<Option<usize>> {
        let (keys, mut steps) = (keys.iter().collect::<Vec<_>>(), keys.len());
        for piece in keys.chunks(LOOKED_UP) {
            yield_now().await;
            let lent = self.on_this_thread(Some(revision), |generation| {
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                scan::lend_keys(generation, asked.slot, asked.query, piece, asked.watch, &mut **to)
            });
            let Some(more) = lent? else { return Ok(None) };
            steps += more;
        }
        Ok(Some(steps))
    }

    async fn lend_rows(
        &self,
        asked: Asked<'_>,
        revision: u64,
        to: &Mutex<Box<dyn Borrower>>,
    ) -> Result<Option<usize>> {
        let Access::Rows(spans) = &asked.plan.access else { return Ok(None) };
        let mut steps = 0;
        for span in spans {
            let mut rest = Some(span.clone());
            while let Some(span) = rest {
                yield_now().await;
                asked.watch.check()?;
                let lent = self.on_this_thread(Some(revision), |generation| {
                    let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                    scan::lend_rows(generation, asked.slot, asked.query, &span, PASSED, &mut **to)
                });
                let Some(ended) = lent? else { return Ok(None) };
                steps += PASSED;
                rest = ended.map(|start| (start, span.1));
            }
        }
        Ok(Some(steps))
    }

    /// Reads the newest state; `None` if there is none at the moment, or another than that of `revision`.
    fn on_this_thread<T>(
        &self,
        revision: Option<u64>,
        read: impl FnOnce(&Generation) -> Result<T, Halt>,
    ) -> Result<Option<T>> {
        let Some(generation) = self.shared.reads.load_full() else { return Ok(None) };
        if revision.is_some_and(|revision| revision != generation.revision) {
            return Ok(None);
        }
        match contain(|| read(&generation)) {
            Ok(found) => Ok(Some(found)),
            Err(Halt::Failed(error)) => Err(error),
            Err(Halt::Closed) => Ok(None),
        }
    }
}

/// Where the rows are that answer; `None` if it takes too many pieces to go there.
fn find(generation: &Generation, Asked { slot, query, plan, .. }: Asked<'_>) -> Result<Option<Where>, Halt> {
    if plan.gather.is_some() {
        let most = PIECES * LOOKED_UP;
        let keys = scan::gather_within(generation, slot, query, plan, 2 * most)?;
        if let Some(keys) = keys {
            return Ok((keys.len() <= most).then_some(Where::Keys(keys)));
        }
    }
    let few = matches!(plan.access, Access::Rows(_))
        && plan.delivery != Some(Delivery::Backward)
        && scan::rows_at_most(generation, slot, query)? <= PIECES * PASSED;
    Ok(few.then_some(Where::Rows))
}

/// True if all that answers is asked for, in the order of keys.
fn is_whole(query: &Query) -> bool {
    query.order.is_empty() && query.after.is_none() && query.limit.is_none() && query.offset == 0
}
