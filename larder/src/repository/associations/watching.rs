//! What a live query listens to: every model that its answer depends on.

use futures_util::future::select_all;
use larder_core::association::{Includes, involved};
use larder_core::{Error, ErrorKind, Query, Result, Schema};
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;

use super::super::Repository;

/// The changes of several models.
pub(crate) struct Watching(Vec<watch::Receiver<u64>>);

impl Watching {
    /// Waits until one of the models has changed.
    pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
        select_all(self.0.iter_mut().map(|model| Box::pin(model.changed()))).await.0
    }

    /// From here on, a later change is news.
    pub(crate) fn mark_unchanged(&mut self) {
        self.0.iter_mut().for_each(watch::Receiver::mark_unchanged);
    }
}

impl Repository {
    /// What the answer to `query`, with `includes`, depends on.
    ///
    /// # Errors
    /// `Invalid` if an association is named that the model does not have, or a model is not registered.
    pub(in super::super) fn watching(
        &self,
        schema: &'static Schema,
        query: &Query,
        includes: &Includes,
    ) -> Result<Watching> {
        let unknown =
            |model: &Schema| Error::new(ErrorKind::Invalid, "the model is not watched").model(model.model);
        let receiver = |model| self.shared.changes.of(model).ok_or_else(|| unknown(model));
        Ok(Watching(involved(schema, query, includes)?.into_iter().map(receiver).collect::<Result<_>>()?))
    }
}
