//! The stream that ends: what is here, then what the remote says.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt};
use larder_core::{Error, ErrorKind, Model, Query, ReadPolicy, Result, Schema, Select};

use super::read::Prepared;
use super::{Repository, Rows};

/// At most two answers to a query: the local one, then the remote's or its error. Then it ends.
///
/// Dropping it ends it: a fetch that nobody else waits for is given up, and nothing is left behind.
pub struct Answers<M> {
    answers: BoxStream<'static, Result<Rows<M>>>,
}

impl<M> Answers<M> {
    /// The next answer; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<Rows<M>>> {
        self.answers.next().await
    }
}

impl<M> Stream for Answers<M> {
    type Item = Result<Rows<M>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.answers.poll_next_unpin(cx)
    }
}

impl<M> fmt::Debug for Answers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Local,
    Remote,
    Done,
}

impl Repository {
    /// Answers `query` at once with what is here, then with what the remote says, and ends: see [`Answers`].
    ///
    /// - `LocalOnly` gives the local answer alone, and so does `LocalFirst` if the query is known.
    /// - `LocalThenRemote` and `RemoteFirst` give both.
    /// - `RemoteOnly` gives the remote's answer or error alone.
    ///
    /// An answer of the remote comes out of local storage, as everywhere. The local answer of a query that is not known
    /// yet is not [complete](Rows::is_complete).
    ///
    /// ```
    /// # use larder::{Memory, Model, Origin, Repository, Select};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// let mut answers = repo.stream(Select::<Label>::all())?;
    /// assert_eq!(answers.next().await.expect("the local answer")?.origin(), Origin::Local);
    /// assert_eq!(answers.next().await.expect("the remote's")?.origin(), Origin::Remote);
    /// assert!(answers.next().await.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the model is not registered. What goes wrong later is an item of the stream, the last one if it is
    /// the remote's.
    pub fn stream<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Answers<M>> {
        let schema = self.schema::<M>()?;
        let (repo, select) = (self.clone(), query.into());
        select.as_query().check(schema)?;
        let first = match self.options.read {
            ReadPolicy::RemoteOnly => Next::Remote,
            _ => Next::Local,
        };
        let answers =
            futures_util::stream::unfold((repo, select, first), move |(repo, select, next)| async move {
                let (item, next) = match next {
                    Next::Local => repo.first::<M>(schema, &select).await,
                    Next::Remote => (repo.second::<M>(schema, &select).await, Next::Done),
                    Next::Done => return None,
                };
                Some((item, (repo, select, next)))
            });
        Ok(Answers { answers: answers.fuse().boxed() })
    }

    /// The local answer, and whether the remote is asked.
    async fn first<M: Model>(&self, schema: &'static Schema, select: &Select<M>) -> (Result<Rows<M>>, Next) {
        let query = select.as_query();
        let here = self.reading(ReadPolicy::LocalOnly);
        let local = here.answered(schema, select, Prepared::local()).await;
        // Of related rows some may be missing.
        if !select.includes().is_empty()
            && self.shared.remote.is_some()
            && self.options.read != ReadPolicy::LocalOnly
        {
            return (local, Next::Remote);
        }
        match self.wants_remote(schema, query).await {
            Ok(true) => (local, Next::Remote),
            Ok(false) => (local, Next::Done),
            Err(error) => (local.and(Err(error)), Next::Done),
        }
    }

    async fn second<M: Model>(&self, schema: &'static Schema, select: &Select<M>) -> Result<Rows<M>> {
        if self.shared.remote.is_none() {
            return Err(Error::new(ErrorKind::Offline, "the repository has no remote"));
        }
        if self.wants_remote(schema, select.as_query()).await? {
            self.fetch(schema, select.as_query()).await?;
        }
        self.answered(schema, select, Prepared::remote()).await
    }

    async fn answered<M: Model>(
        &self,
        schema: &'static Schema,
        select: &Select<M>,
        prepared: Prepared,
    ) -> Result<Rows<M>> {
        let mut rows = self.answer(schema, select.as_query(), prepared).await?;
        self.load_related(schema, &mut rows, select.includes()).await?;
        Ok(rows)
    }

    /// Whether a stream asks the remote after the local answer.
    pub(super) async fn wants_remote(&self, schema: &'static Schema, query: &Query) -> Result<bool> {
        if self.shared.remote.is_none() {
            return Ok(false);
        }
        match self.options.read {
            ReadPolicy::LocalOnly => Ok(false),
            ReadPolicy::LocalFirst => Ok(!self.is_known_enough(schema, query).await?),
            ReadPolicy::LocalThenRemote | ReadPolicy::RemoteFirst | ReadPolicy::RemoteOnly => Ok(true),
        }
    }
}
