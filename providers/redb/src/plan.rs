//! How a query is answered: by key, over indexes, or by a scan.
//!
//! A plan only narrows down where to look. Every row that is found is judged by the whole filter again, so what a plan
//! does not understand costs time and never changes an answer.
//!
//! The rule, where a step is a row or an entry that is passed and a row that is looked up counts for [`LOOKUP`]:
//!
//! 1. Keys that the filter names are looked up, and nothing else is done.
//! 2. Ranges of the key or of an index that the filter limits are *candidates*; "any of these" is one if each branch is.
//!    Of two candidates, one that limits the same fields and more replaces the other.
//! 3. The candidates' entries are gathered in turns. The one that ends first is the most selective; another goes on only
//!    for as long as reading its entries costs less than the lookups that it may save, and what both have is looked up.
//! 4. Gathering is given up for a scan when the candidates have more than a `1 + LOOKUP`th of the rows: then the lookups
//!    cost more than the scan. The number of rows is bounded by that of all pairs in the table, which is known.
//! 5. With a limit, and a way that gives the rows in the query's order, that way is walked until the limit is reached.
//!    Candidates are gathered first where that is cheaper, up to the `n` where `n` lookups cost what the walk is expected to:
//!    `n² = rows × limit`.
//! 6. A query that denies scans gathers whatever it costs.

use larder_core::{Error, ErrorKind, Query, Result};

use crate::catalog::Slot;
use crate::codec::PREFIX;
use crate::keys::Keys;
use crate::paths::{Path, Planner};
use crate::scan::INLINE;

/// A row that is looked up by its key costs about as much as this many that are scanned.
pub(crate) const LOOKUP: usize = 4;
/// So few entries are always gathered.
const FEW: usize = 64;
/// The most candidates that are gathered in turns.
const CANDIDATES: usize = 4;

/// Where to look, and what order that gives.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// What is gathered first, unless that turns out to be too much.
    pub(crate) gather: Option<Gather>,
    /// Where to look, at once or when the gathering was given up.
    pub(crate) access: Access,
    /// How looking there gives the rows in the query's order; `None` if they have to be sorted.
    pub(crate) delivery: Option<Delivery>,
}

/// Keys that are gathered from several places.
#[derive(Debug, PartialEq)]
pub(crate) struct Gather {
    /// Where: rows that answer are in each.
    pub(crate) candidates: Vec<Candidate>,
    /// How much may be gathered.
    pub(crate) budget: Budget,
    /// How the keys, which are gathered in their order, give the rows in the query's order.
    pub(crate) delivery: Option<Delivery>,
    /// The key that the query begins after, if it delivers.
    pub(crate) place: Option<Vec<u8>>,
}

/// Places that together have all rows that answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Candidate {
    /// Ranges of rows, or of the entries of an index.
    pub(crate) sources: Vec<(Option<usize>, Span)>,
    /// Keys, each with the model's prefix.
    pub(crate) keys: Keys,
    /// The fields that are limited there, by rising position; none for "any of these".
    pub(crate) fields: Vec<usize>,
    /// Which of the conditions it is, if it is "any of these".
    pub(crate) of: Option<usize>,
}

/// How much may be gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// Whatever it takes.
    Any,
    /// What costs less than a scan.
    Scan,
    /// What costs less than a walk to so many rows.
    Walk(usize),
}

impl Budget {
    /// The most entries, where the model has so many rows at most.
    pub(crate) fn entries(self, rows: usize) -> usize {
        match self {
            Self::Any => usize::MAX,
            Self::Scan => FEW.max(rows / (1 + LOOKUP)),
            Self::Walk(end) => FEW.max(rows.saturating_mul(end).isqrt().min(rows / (1 + LOOKUP))),
        }
    }
}

/// Where to look.
#[derive(Debug, PartialEq)]
pub(crate) enum Access {
    /// At these keys, sorted; each with the model's prefix. None: no row can answer.
    Keys(Keys),
    /// At the rows in these ranges.
    Rows(Vec<Span>),
    /// At the rows that the entries in these ranges lead to, in their order.
    Index {
        /// The ranges.
        spans: Vec<Span>,
        /// A range that comes before them, as it lies.
        head: Option<Span>,
        /// The index.
        index: usize,
    },
}

/// From a key on, up to another and without it.
pub(crate) type Span = (Vec<u8>, Vec<u8>);

/// The order in which rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As they lie.
    Forward,
    /// From the last to the first.
    Backward,
    /// From the last to the first, but rows that agree in the index's values as they lie.
    Grouped,
}

impl Plan {
    /// Plans `query`.
    pub(crate) fn of(slot: &Slot, query: &Query) -> Self {
        Planner::new(slot, query, query.filter.conditions()).plan()
    }

    /// True if the plan reads all rows of the model at once.
    pub(crate) fn is_scan(&self) -> bool {
        self.gather.is_none() && self.access.is_scan()
    }

    /// True if the plan reads as many rows as the model has, or as many as are asked for, if that is more than are read
    /// on the calling thread.
    pub(crate) fn goes_on(&self, query: &Query) -> bool {
        let walks = self.gather.is_none() && matches!(self.access, Access::Rows(_));
        match query.limit.filter(|_| self.delivery.is_some()) {
            Some(limit) => walks && limit.saturating_add(query.offset) > INLINE as u64,
            None => self.is_scan(),
        }
    }

    /// Refuses a scan that is denied: the schema's indexes would serve the query, but one of them does not.
    ///
    /// # Errors
    /// `Unsupported`.
    pub(crate) fn permit(&self, slot: &Slot, query: &Query) -> Result<()> {
        let ends_early =
            query.limit.is_some() && self.delivery.is_some() && query.filter.conditions().is_empty();
        if !query.deny_scan || !self.is_scan() || ends_early {
            return Ok(());
        }
        let broken = slot.indexes.iter().filter(|index| !index.is_complete()).map(|index| index.def.name);
        let names: Vec<&str> = broken.collect();
        let message = format!(
            "the query would look at all rows: the index {} misses a row that could not be read when it was built",
            names.join(", ")
        );
        Err(Error::new(ErrorKind::Unsupported, message).model(slot.schema.model))
    }

    /// The number of keys that are looked up, if it is known.
    pub(crate) fn lookups(&self) -> Option<usize> {
        match &self.access {
            Access::Keys(keys) => Some(keys.len()),
            _ => None,
        }
    }
}

impl Access {
    pub(crate) fn is_scan(&self) -> bool {
        match self {
            Self::Rows(spans) => spans.iter().any(|(low, _)| low.len() == PREFIX),
            _ => false,
        }
    }
}

impl Planner<'_> {
    fn plan(&self) -> Plan {
        if self.query.limit == Some(0) {
            return self.keys(Keys::default());
        }
        if let Some(keys) = self.whole_keys() {
            return self.keys(keys);
        }
        let by_key = self.by_key();
        let indexes: Vec<Path> = self.complete_indexes().map(|at| self.by_index(at)).collect();
        let mut candidates = Vec::new();
        let limited = std::iter::once(&by_key).chain(&indexes).filter(|path| path.is_limited());
        candidates.extend(limited.map(|path| self.candidate(path)));
        prune(&mut candidates);
        candidates.extend(self.unions());
        candidates.sort_by_key(|one| one.sources.len());
        candidates.truncate(CANDIDATES);
        if candidates.iter().any(|one| one.sources.is_empty() && one.keys.is_empty()) {
            return self.keys(Keys::default());
        }
        let walk = self.walk(by_key, indexes);
        self.choose(candidates, walk)
    }

    fn keys(&self, mut keys: Keys) -> Plan {
        keys.sort();
        let delivery = self.in_key_order();
        self.seek_keys(&mut keys, delivery);
        Plan { gather: None, access: Access::Keys(keys), delivery }
    }

    /// The way that is taken at once, or when gathering turns out to be too much: with a limit, one that gives the
    /// order, if there is one; else the rows as they lie.
    fn walk(&self, by_key: Path, indexes: Vec<Path>) -> Path {
        let mut best = by_key;
        if self.query.limit.is_some() {
            for path in indexes.into_iter().filter(|path| path.delivery.is_some()) {
                if path.rank() > best.rank() {
                    best = path;
                }
            }
        }
        best
    }

    fn choose(&self, candidates: Vec<Candidate>, walk: Path) -> Plan {
        let delivers = walk.delivery.is_some() && self.query.limit.is_some();
        // What is walked is all that is limited: gathering it first would gain nothing.
        let alone = candidates.iter().all(|one| one.of.is_none() && walk.limits_all(&one.fields))
            && (delivers || walk.index.is_none());
        let budget = match (self.query.deny_scan, delivers) {
            (true, _) if !walk.is_limited() => Budget::Any,
            (_, true) => Budget::Walk(self.window_end()),
            _ => Budget::Scan,
        };
        let gather = (!candidates.is_empty() && !alone).then(|| Gather {
            candidates,
            budget,
            delivery: self.in_key_order(),
            place: self.place(),
        });
        let Path { spans, head, delivery, index, .. } = self.seek(walk);
        let access = match index {
            Some(index) => Access::Index { spans, head, index },
            None => Access::Rows(spans),
        };
        Plan { gather, access, delivery }
    }

    fn window_end(&self) -> usize {
        let end = self.query.limit.unwrap_or(u64::MAX).saturating_add(self.query.offset);
        usize::try_from(end).unwrap_or(usize::MAX)
    }
}

/// Leaves out candidates that limit no field that another does not limit as well.
fn prune(candidates: &mut Vec<Candidate>) {
    let covers = |a: &Candidate, b: &Candidate| b.fields.iter().all(|field| a.fields.contains(field));
    let mut kept: Vec<Candidate> = Vec::new();
    for one in candidates.drain(..) {
        if kept.iter().any(|other| covers(other, &one)) {
            continue;
        }
        kept.retain(|other| !covers(&one, other));
        kept.push(one);
    }
    *candidates = kept;
}
