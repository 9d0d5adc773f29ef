//! Rows that are decoded where they lie in the store, on the store's thread.

use std::sync::{Arc, Mutex, PoisonError};

use larder_core::{Borrower, MetaRef, Query, Result, Row, Schema};

use super::Repository;

/// Adds each row to what was made of those before it.
struct Gathering<S, F> {
    /// Shared with the one who waits.
    so_far: Arc<Mutex<S>>,
    add: F,
}

impl<S, F> Borrower for Gathering<S, F>
where
    S: Default + Send,
    F: Fn(&mut S, MetaRef<'_>, &dyn Row) -> Result<()> + Send,
{
    fn take(&mut self, meta: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        (self.add)(&mut self.so_far.lock().unwrap_or_else(PoisonError::into_inner), meta, row)
    }

    fn anew(&mut self) {
        *self.so_far.lock().unwrap_or_else(PoisonError::into_inner) = S::default();
    }
}

impl Repository {
    /// What `add` makes of the stored rows that answer `query`, one after the other. The query asks nothing of related
    /// rows.
    pub(super) async fn lent<S: Default + Send + 'static>(
        &self,
        schema: &'static Schema,
        query: &Query,
        add: impl Fn(&mut S, MetaRef<'_>, &dyn Row) -> Result<()> + Send + 'static,
    ) -> Result<S> {
        let so_far = Arc::new(Mutex::new(S::default()));
        let gathering = Gathering { so_far: Arc::clone(&so_far), add };
        self.shared.store.lend(&self.cx(), schema, query, Box::new(gathering)).await?;
        let made = std::mem::take(&mut *so_far.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(made)
    }
}
