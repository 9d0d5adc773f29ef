//! Several queries, of one model or of several, answered from one committed state.

use futures_util::future::try_join_all;
use larder_core::{Error, ErrorKind, Model, Query, ReadPolicy, Result, Schema, Select, Where};

use sealed::Fetched;

use super::read::Prepared;
use super::{Repository, Rows};

/// How often the queries are answered again because something was committed in between.
const ATTEMPTS: usize = 1_000;

/// A query in a set that is read together: a [`Select`], or a condition alone.
pub trait Question: Send {
    /// The model that it asks for.
    type Model: Model;

    /// The query.
    fn into_select(self) -> Select<Self::Model>;
}

impl<M: Model> Question for Select<M> {
    type Model = M;

    fn into_select(self) -> Self {
        self
    }
}

impl<M: Model> Question for Where<M> {
    type Model = M;

    fn into_select(self) -> Select<M> {
        self.into()
    }
}

/// Queries that are read together: tuples of two to six.
pub trait Questions: sealed::Asked {}

impl<Q: sealed::Asked> Questions for Q {}

mod sealed {
    use larder_core::runtime::BoxFuture;
    use larder_core::{Query, Result, Schema};

    use super::{Prepared, Repository};

    /// What came of asking the remote, query by query.
    #[derive(Debug)]
    pub struct Fetched(pub(super) Vec<Prepared>);

    pub trait Asked: Sized + Send {
        /// The answers, as a tuple.
        type Answers: Send;
        /// The queries as such.
        type Selects: Send + Sync;

        fn selects(self) -> Self::Selects;

        /// True if rows come with those that answer.
        fn includes(of: &Self::Selects) -> bool;

        fn queries<'a>(repo: &Repository, of: &'a Self::Selects)
        -> Result<Vec<(&'static Schema, &'a Query)>>;

        /// Answers each of them from here.
        fn answers<'a>(
            repo: &'a Repository,
            of: &'a Self::Selects,
            fetched: &'a Fetched,
        ) -> BoxFuture<'a, Result<Self::Answers>>;
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt),+))+) => {$(
        impl<$($name: Question),+> sealed::Asked for ($($name,)+) {
            type Answers = ($(Rows<$name::Model>,)+);
            type Selects = ($(Select<$name::Model>,)+);

            fn selects(self) -> Self::Selects {
                ($(self.$at.into_select(),)+)
            }

            fn includes(of: &Self::Selects) -> bool {
                $(!of.$at.includes().is_empty())||+
            }

            fn queries<'a>(
                repo: &Repository,
                of: &'a Self::Selects,
            ) -> Result<Vec<(&'static Schema, &'a Query)>> {
                Ok(vec![$((repo.schema::<$name::Model>()?, of.$at.as_query())),+])
            }

            fn answers<'a>(
                repo: &'a Repository,
                of: &'a Self::Selects,
                fetched: &'a Fetched,
            ) -> larder_core::runtime::BoxFuture<'a, Result<Self::Answers>> {
                Box::pin(async move { Ok(($(repo.answer_as(&of.$at, &fetched.0[$at]).await?,)+)) })
            }
        }
    )+};
}

tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

impl Repository {
    /// Answers several queries, of one model or of several, from one committed state: none of the answers knows of a
    /// write that another one does not know of. A condition or an order over an association, and what comes with the
    /// rows, is of the same state.
    ///
    /// The policy is that of the handle: each query fetches as [`get`](Self::get) would, all of them at a time, and
    /// what they brought is stored before they are answered.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository, Select};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Account { #[model(key)] name: String, cents: i64 }
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Payment { #[model(key)] id: u32, cents: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Account>().model::<Payment>().build().await?;
    /// let (accounts, payments) =
    ///     repo.get_together((Select::<Account>::all(), Payment::CENTS.gt(100))).await?;
    /// assert!(accounts.is_empty() && payments.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get); `Conflict` if something is committed in between again and again.
    #[tracing::instrument(name = "larder::get_together", skip_all, fields(policy = ?self.options.read))]
    pub async fn get_together<Q: Questions>(&self, queries: Q) -> Result<Q::Answers> {
        let selects = queries.selects();
        let asked = Q::queries(self, &selects)?;
        let prepare = |(schema, query): (&'static Schema, &'_ Query)| {
            let query = query.clone();
            async move { self.prepare(schema, &query).await }
        };
        let fetched = Fetched(try_join_all(asked.into_iter().map(prepare)).await?);
        if self.shared.remote.is_some() && self.options.read != ReadPolicy::LocalOnly && Q::includes(&selects)
        {
            // What is missing of the rows that come with them.
            Q::answers(self, &selects, &fetched).await?;
        }
        // From here on nothing is fetched: it would be of another state.
        let here = self.reading(ReadPolicy::LocalOnly);
        for _ in 0..ATTEMPTS {
            let before = self.shared.store.revision();
            let answers = Q::answers(&here, &selects, &fetched).await?;
            if self.shared.store.revision() == before {
                return Ok(answers);
            }
        }
        Err(Error::new(ErrorKind::Conflict, "something was written between the queries again and again"))
    }

    async fn answer_as<M: Model>(&self, select: &Select<M>, prepared: &Prepared) -> Result<Rows<M>> {
        let schema = self.schema::<M>()?;
        let stale = prepared.stale.as_ref().map(Error::duplicate);
        let prepared = Prepared { origin: prepared.origin, stale };
        let mut rows = self.answer(schema, select.as_query(), prepared).await?;
        self.load_related(schema, &mut rows, select.includes()).await?;
        Ok(rows)
    }
}
