//! Tells live queries and the outbox's driver that something was committed.

use std::collections::HashMap;

use larder_core::{CommitObserver, Schema, Touched};
use tokio::sync::{Notify, watch};

/// The revision at which each model was written last.
#[derive(Debug)]
pub(crate) struct Changes {
    models: HashMap<&'static str, watch::Sender<u64>>,
    /// Rung whenever the outbox has changed.
    pub(crate) outbox: Notify,
    /// Counts wipes.
    pub(crate) wipes: watch::Sender<u64>,
}

impl Changes {
    pub(crate) fn new(schemas: &[&'static Schema]) -> Self {
        let models = schemas.iter().map(|schema| (schema.model, watch::Sender::new(0))).collect();
        Self { models, outbox: Notify::new(), wipes: watch::Sender::new(0) }
    }

    /// The revisions of a model's changes, the latest one alone.
    pub(crate) fn of(&self, schema: &Schema) -> Option<watch::Receiver<u64>> {
        self.models.get(schema.model).map(watch::Sender::subscribe)
    }
}

impl CommitObserver for Changes {
    fn durable(&self, _: &Touched) {}

    fn published(&self, touched: &Touched) {
        for (model, changed) in &self.models {
            if touched.wiped || touched.rows.iter().any(|(schema, _)| schema.model == *model) {
                changed.send_replace(touched.revision);
            }
        }
        if touched.wiped {
            self.wipes.send_modify(|wipes| *wipes += 1);
        }
        if touched.outbox || touched.wiped {
            self.outbox.notify_one();
        }
    }
}
