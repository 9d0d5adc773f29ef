//! What a read answers.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Cursor, Error, Model, Position, Query, Result, RowState, SyncState, Timestamp};

/// Rows, and what is known about the answer.
///
/// It is a slice of `Arc<M>`: an empty answer means that there are none.
#[derive(Debug)]
pub struct Rows<M> {
    pub(super) rows: Vec<Arc<M>>,
    pub(super) origin: Origin,
    pub(super) known_since: Option<Timestamp>,
    pub(super) states: Vec<SyncState>,
    pub(super) stale: Option<Error>,
    /// Where there may be more.
    pub(super) goes_on: Option<GoesOn>,
}

/// An answer that reached its limit.
#[derive(Debug)]
pub(super) struct GoesOn {
    query: Box<Query>,
    /// The place after the last row, if the row alone does not tell it.
    place: Option<Position>,
}

impl GoesOn {
    /// What there may be more of, if the rows reach the limit of `query`; `places` are those after the rows, if the rows
    /// alone don't tell them.
    pub(super) fn of(query: &Query, rows: usize, places: &[Position]) -> Option<Self> {
        let reached = query.limit.is_some_and(|limit| rows as u64 >= limit);
        reached.then(|| Self { query: Box::new(query.clone()), place: places.last().cloned() })
    }
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Local storage, without asking the remote.
    Local,
    /// Local storage, after the remote's answer went into it.
    Remote,
}

impl<M> Rows<M> {
    /// Where the answer comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// When the remote last answered this query completely; `None` if it never did, and so rows may be missing.
    #[must_use]
    pub fn known_since(&self) -> Option<Timestamp> {
        self.known_since
    }

    /// How long ago the remote last answered this query completely, seen from `now`; `None` if it never did.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.known_since.map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default())
    }

    /// True if the remote has answered this query completely at some time.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.known_since.is_some()
    }

    /// Why the answer is not as fresh as was asked for; `None` if it is.
    #[must_use]
    pub fn stale(&self) -> Option<&Error> {
        self.stale.as_ref()
    }

    /// How many of the rows have changes that the remote has not confirmed.
    #[must_use]
    pub fn pending(&self) -> usize {
        let settled = |state| matches!(state, RowState::Synced | RowState::Local);
        self.states.iter().filter(|sync| !settled(sync.state)).count()
    }

    /// How each row stands towards the remote, and since when; in the order of the rows.
    #[must_use]
    pub fn states(&self) -> &[SyncState] {
        &self.states
    }

    /// Each row with how it stands towards the remote.
    pub fn with_states(&self) -> impl Iterator<Item = (&Arc<M>, SyncState)> {
        self.rows.iter().zip(self.states.iter().copied())
    }

    /// Where the answer goes on: after its last row, by `select.after(&cursor)?`. `None` if it does not: the query has no
    /// limit, or fewer rows came than the limit allows. The page after a last page that is just full is empty.
    ///
    /// # Errors
    /// `Serialization` if the row can't be shown.
    pub fn cursor(&self) -> Result<Option<Cursor>>
    where
        M: Model,
    {
        match (&self.goes_on, self.end()?) {
            (Some(goes_on), Some(place)) => goes_on.query.cursor_at(M::schema(), place).map(Some),
            _ => Ok(None),
        }
    }

    /// The place after the last row, if there may be more.
    pub(super) fn end(&self) -> Result<Option<Position>>
    where
        M: Model,
    {
        let (Some(goes_on), Some(last)) = (&self.goes_on, self.rows.last()) else {
            return Ok(None);
        };
        match &goes_on.place {
            Some(place) => Ok(Some(place.clone())),
            None => Position::of(M::schema(), &goes_on.query.order, &**last).map(Some),
        }
    }

    /// The rows alone.
    #[must_use]
    pub fn into_vec(self) -> Vec<Arc<M>> {
        self.rows
    }
}

impl<M> Deref for Rows<M> {
    type Target = [Arc<M>];

    fn deref(&self) -> &[Arc<M>] {
        &self.rows
    }
}

impl<M> IntoIterator for Rows<M> {
    type Item = Arc<M>;
    type IntoIter = std::vec::IntoIter<Arc<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

impl<'a, M> IntoIterator for &'a Rows<M> {
    type Item = &'a Arc<M>;
    type IntoIter = std::slice::Iter<'a, Arc<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}
