//! What push messages and sockets deliver: merged like pages that were pulled.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::dialect::json::Json;
use larder_core::{Decoded, Key, Meta, Misfit, Model, Op, PageRow, Result, Row, Schema, Select, Serdes};

use super::Repository;
use super::lookup::Above;
use super::pull::{Asides, Kept, Limits, Part, Pulling, Steps};

/// How many rows of a push are stored in one transaction.
const TOGETHER: usize = 1_000;

/// What a push message or a socket has delivered of a model: for [`Repository::pushed`].
#[derive(Debug)]
#[must_use = "it is merged by `Repository::pushed`"]
pub struct Pushed<M>(What<M>);

#[derive(Debug)]
enum What<M> {
    Rows(Vec<M>),
    Json(Vec<serde_json::Value>),
    Deleted(Vec<Key>),
    Hint(Option<Select<M>>),
}

impl<M: Model> Pushed<M> {
    /// Rows that are new or different, each as a whole.
    pub fn rows(rows: impl IntoIterator<Item = M>) -> Self {
        Self(What::Rows(rows.into_iter().collect()))
    }

    /// The same as JSON, as a remote writes it: names, converters and embedded rows are those of the dialect `json`.
    pub fn json(rows: impl IntoIterator<Item = serde_json::Value>) -> Self {
        Self(What::Json(rows.into_iter().collect()))
    }

    /// Keys of rows that are gone.
    pub fn deleted(keys: impl IntoIterator<Item = impl Into<Key>>) -> Self {
        Self(What::Deleted(keys.into_iter().map(Into::into).collect()))
    }

    /// Something of the model has changed.
    pub fn hint() -> Self {
        Self(What::Hint(None))
    }

    /// Something has changed in the answer to this query.
    pub fn hint_of(query: impl Into<Select<M>>) -> Self {
        Self(What::Hint(Some(query.into())))
    }
}

impl Repository {
    /// Merges what a push message or a socket has delivered, like a page that was pulled, and gives how many rows were new,
    /// different or gone. Rows with something pending keep it; a hint leads to a pull of the model, or of the query.
    ///
    /// ```
    /// # use larder::{Memory, Model, Pushed, Repository, Select};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// let message = serde_json::json!([{ "name": "bug", "color": "red" }]);
    /// let rows = message.as_array().cloned().unwrap_or_default();
    /// assert_eq!(repo.pushed(Pushed::<Label>::json(rows)).await?, 1);
    /// assert_eq!(repo.pushed(Pushed::<Label>::deleted(["bug"])).await?, 1);
    /// repo.pushed(Pushed::<Label>::hint()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Offline` without a remote; `Serialization` or `Conflict` if a row can't be read or stored, upon
    /// which the others are stored; `Storage`, `Full` or `Corrupt`; of a hint, what a pull gives.
    pub async fn pushed<M: Model>(&self, pushed: Pushed<M>) -> Result<u64> {
        let schema = self.schema::<M>()?;
        let part = match pushed.0 {
            What::Hint(None) => return self.pull_behind(schema).await,
            What::Hint(Some(select)) => return self.fetch(schema, select.as_query()).await.map(|()| 0),
            What::Deleted(deleted) => Part { deleted, ..Part::default() },
            What::Rows(rows) => {
                let row = |row: M| PageRow::new(Meta::synced(self.now()), Arc::new(row) as Arc<dyn Row>);
                Part { rows: rows.into_iter().map(row).collect(), ..Part::default() }
            }
            What::Json(rows) => self.decoded(schema, &rows),
        };
        let (kept, asides) = self.merge(schema, part, &|_| Ok(Vec::new())).await?;
        match asides.rows.first() {
            Some(aside) => Err(aside.error.duplicate()),
            None => Ok(kept),
        }
    }

    /// Pulls a model, and gives how many rows have changed by that.
    pub(super) async fn pull_behind(&self, schema: &'static Schema) -> Result<u64> {
        let (mut limits, steps) = (Limits::default(), Steps::default());
        let ticket = self.shared.pulls.ticket();
        let mut pulling = Pulling { full: false, ticket, limits: &mut limits, steps: &steps, models: (0, 1) };
        Ok(self.pull(schema, &mut pulling).await?.changed)
    }

    fn decoded(&self, schema: &'static Schema, rows: &[serde_json::Value]) -> Part {
        let mut part = Part::default();
        for row in rows {
            match Json.decode(schema, row) {
                Ok(Decoded { record, extra, brought }) => {
                    let meta = Meta { extra, ..Meta::synced(self.now()) };
                    let brought = (!brought.is_empty()).then(|| Box::new(brought));
                    part.rows.push(PageRow { meta, row: Arc::new(record), brought });
                }
                Err(error) => {
                    let error = Arc::new(error.during("read what was pushed").model(schema.model));
                    part.misfits.push(Misfit { key: None, error });
                }
            }
        }
        part
    }

    /// Stores what was pushed, in order; `note` goes with the last piece.
    pub(super) async fn merge(
        &self,
        schema: &'static Schema,
        part: Part,
        note: &(dyn Fn(&Kept) -> Result<Vec<Op>> + Send + Sync),
    ) -> Result<(u64, Asides)> {
        let mut asked = self.asking(schema);
        let (mut changed, mut asides, above) = (0, Asides::default(), Above::default());
        let (mut rows, none) = (part.rows, |_: &Kept| Ok(Vec::new()));
        while rows.len() > TOGETHER {
            let rest = rows.split_off(TOGETHER);
            let piece = Part { rows: std::mem::replace(&mut rows, rest), ..Part::default() };
            let kept = self.store_page(schema, piece, &mut asked, &above, &none).await?;
            asides.add(schema, &kept);
            changed += kept.changed;
        }
        let last = Part { rows, deleted: part.deleted, misfits: part.misfits };
        let kept = self.store_page(schema, last, &mut asked, &above, note).await?;
        asides.add(schema, &kept);
        changed += kept.changed + self.try_again(schema, &mut asides, &mut asked).await?;
        Ok((changed, asides))
    }
}

/// What came of rows, the last word on each.
#[derive(Debug, Default)]
pub(super) struct Gathered(BTreeMap<Key, Option<PageRow>>);

impl Gathered {
    pub(super) fn add(&mut self, key: Key, row: Option<PageRow>) {
        self.0.insert(key, row);
    }

    pub(super) fn into_part(self) -> Part {
        let mut part = Part::default();
        for (key, row) in self.0 {
            match row {
                Some(row) => part.rows.push(row),
                None => part.deleted.push(key),
            }
        }
        part
    }
}
