//! The order and the window of an answer.

use std::collections::BinaryHeap;

use larder_core::{Direction, Order, Query, Result, Row, ordered};

use crate::catalog::Slot;
use crate::scan::Found;

/// Which of the rows are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) skip: usize,
    pub(crate) take: usize,
}

impl Window {
    pub(crate) fn of(query: &Query) -> Self {
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        Self { skip: size(query.offset), take: query.limit.map_or(usize::MAX, size) }
    }

    pub(crate) fn end(self) -> usize {
        self.skip.saturating_add(self.take)
    }
}

/// Bytes that sort as the query orders: each value encoded, turned round where it falls, and the key.
pub(crate) fn rank(slot: &Slot, order: &[Order], row: &dyn Row, key: &[u8]) -> Result<Vec<u8>> {
    let mut rank = Vec::with_capacity(16 * order.len() + key.len());
    for one in order {
        let (at, start) = (usize::from(one.field), rank.len());
        let encoded = row.field(at).and_then(|value| ordered::encode(value, &mut rank));
        encoded.map_err(|fault| slot.schema.fault(at, fault))?;
        if one.direction == Direction::Descending {
            rank[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
    rank.extend_from_slice(key);
    Ok(rank)
}

/// The rows that were found so far.
pub(crate) enum Rows {
    /// They come in order; so many are still to be left out.
    Streamed(Vec<Found>, usize),
    /// They come in any order.
    Sorted(Sorter),
    /// They are only counted.
    Counted(u64),
}

impl Rows {
    pub(crate) fn new(window: Window, sorts: bool) -> Self {
        if sorts { Self::Sorted(Sorter::new(window)) } else { Self::Streamed(Vec::new(), window.skip) }
    }

    pub(crate) fn finish(self, window: Window) -> Vec<Found> {
        match self {
            Self::Streamed(rows, _) => rows,
            Self::Counted(_) => Vec::new(),
            Self::Sorted(sorter) => {
                let ranked = sorter.heap.into_sorted_vec().into_iter();
                ranked.skip(window.skip).take(window.take).map(|ranked| ranked.found).collect()
            }
        }
    }
}

/// Keeps the first so many rows of an order.
pub(crate) struct Sorter {
    heap: BinaryHeap<Ranked>,
    most: usize,
}

struct Ranked {
    rank: Vec<u8>,
    found: Found,
}

impl Sorter {
    fn new(window: Window) -> Self {
        Self { heap: BinaryHeap::new(), most: window.end() }
    }

    pub(crate) fn refuses(&self, rank: &[u8]) -> bool {
        self.heap.len() >= self.most && self.heap.peek().is_some_and(|last| last.rank.as_slice() <= rank)
    }

    pub(crate) fn push(&mut self, rank: Vec<u8>, found: Found) {
        self.heap.push(Ranked { rank, found });
        if self.heap.len() > self.most {
            self.heap.pop();
        }
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}
