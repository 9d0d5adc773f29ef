//! Results that are larger than memory.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt};
use larder_core::{Includes, Model, Query, Result, Schema, Select};

use super::read::Prepared;
use super::{Origin, Repository, Rows};

/// How many rows a chunk has.
const CHUNK: u64 = 256;

/// How many it has where each chunk takes a sorting of everything.
const SORTED_CHUNK: u64 = 4096;

/// The rows that answer a query, a chunk at a time.
///
/// At most one chunk of rows is held. Each chunk is read from one committed state, and the next one from the state of
/// its own time, going on after the last row: a row that is there throughout and keeps its place comes exactly once;
/// one that is written meanwhile comes as it was or as it is, by whether its place had been passed. After an error
/// there is nothing more.
///
/// An order by a field of related rows is sorted as a whole for each chunk, so it is no way to go through more than
/// memory holds.
pub struct Iterate<M> {
    chunks: BoxStream<'static, Result<Rows<M>>>,
    current: VecDeque<Arc<M>>,
}

impl<M> Iterate<M> {
    /// The next row; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<Arc<M>>> {
        StreamExt::next(self).await
    }

    /// The next chunk, never an empty one, with what is known about it; `None` after the last one. Rows of a chunk that
    /// [`next`](Self::next) has not given yet are passed over.
    pub async fn next_chunk(&mut self) -> Option<Result<Rows<M>>> {
        self.current.clear();
        self.chunks.next().await
    }
}

impl<M> Stream for Iterate<M> {
    type Item = Result<Arc<M>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(row) = self.current.pop_front() {
                return Poll::Ready(Some(Ok(row)));
            }
            match std::task::ready!(self.chunks.poll_next_unpin(cx)) {
                Some(Ok(rows)) => self.current = rows.into_vec().into(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

// The rows are not pinned.
impl<M> Unpin for Iterate<M> {}

impl<M> fmt::Debug for Iterate<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iterate").finish_non_exhaustive()
    }
}

/// Where an iteration stands.
struct Place {
    repo: Repository,
    schema: &'static Schema,
    includes: Includes,
    /// What is still to come; `None` after the last chunk.
    rest: Option<Query>,
    prepared: Option<Prepared>,
}

impl Repository {
    /// Goes through the rows that answer `query`, a chunk at a time: see [`Iterate`]. The policy fetches first, as for
    /// [`get`](Self::get), page by page into the store; nothing happens before the first row is asked for.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Reading { #[model(key)] at: i64, value: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Reading>().build().await?;
    /// # let readings: Vec<Reading> = (0..1000).map(|at| Reading { at, value: 1 }).collect();
    /// # repo.upsert_many(&readings).await?;
    /// let (mut sum, mut rows) = (0, repo.iterate(Reading::VALUE.gt(0))?);
    /// while let Some(reading) = rows.next().await {
    ///     sum += reading?.value;
    /// }
    /// assert_eq!(sum, 1000);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the model is not registered. The stream gives what [`get`](Self::get) gives.
    pub fn iterate<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Iterate<M>> {
        let schema = self.schema::<M>()?;
        let select = query.into();
        let includes = select.includes().clone();
        let rest = Some(select.into_query());
        let place = Place { repo: self.clone(), schema, includes, rest, prepared: None };
        let chunks = futures_util::stream::try_unfold(place, |mut place| async move {
            Ok(place.chunk::<M>().await?.map(|rows| (rows, place)))
        });
        Ok(Iterate { chunks: chunks.boxed(), current: VecDeque::new() })
    }
}

impl Place {
    async fn chunk<M: Model>(&mut self) -> Result<Option<Rows<M>>> {
        let Some(rest) = self.rest.take() else {
            return Ok(None);
        };
        let prepared = match self.prepared.take() {
            Some(prepared) => prepared,
            None => self.repo.prepare(self.schema, &rest).await?,
        };
        let Prepared { origin, stale } = &prepared;
        let (origin, stale): (Origin, _) = (*origin, stale.as_ref().map(larder_core::Error::duplicate));
        let is_sorted = rest.order.iter().any(|order| order.through.is_some());
        let chunk = if is_sorted { SORTED_CHUNK } else { CHUNK };
        let limit = rest.limit.map_or(chunk, |limit| limit.min(chunk));
        let query = Query { limit: Some(limit), ..rest.clone() };
        let mut rows = self.repo.answer::<M>(self.schema, &query, Prepared { origin, stale }).await?;
        self.repo.load_related(self.schema, &mut rows, &self.includes).await?;
        self.prepared = Some(prepared);
        if rows.is_empty() {
            return Ok(None);
        }
        let left = rest.limit.map(|limit| limit.saturating_sub(rows.len() as u64));
        if left != Some(0)
            && let Some(end) = rows.end()?
        {
            self.rest = Some(Query { after: Some(Box::new(end)), offset: 0, limit: left, ..rest });
        }
        Ok(Some(rows))
    }
}
