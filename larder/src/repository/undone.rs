//! Rows that were created here and then deleted or given up, before the remote heard of them. Nothing of them is left, and
//! that they are not there is known all the same: it is an answer where the remote can't be asked.

use std::collections::BTreeMap;

use larder_core::{Batch, Context, Expect, Key, Op, Query, Result, Schema, Store};

use super::Repository;

/// How many keys of a model are remembered; of more, those that were deleted first are forgotten.
const MOST: usize = 128;

/// Notes with a batch that it leaves nothing of these rows.
pub(crate) async fn note_undone(
    store: &dyn Store,
    cx: &Context,
    batch: &mut Batch,
    rows: Vec<(&'static Schema, Key)>,
) -> Result<()> {
    let mut models: BTreeMap<&str, (&'static Schema, Vec<Key>)> = BTreeMap::new();
    for (schema, key) in rows {
        models.entry(schema.model).or_insert((schema, Vec::new())).1.push(key);
    }
    for (schema, mut new) in models.into_values() {
        // Whoever writes the same note writes the model as well.
        batch.expect.push(Expect::Model { schema, revision: store.revision() });
        let mut keys = undone(store, cx, schema).await?;
        keys.retain(|key| !new.contains(key));
        keys.append(&mut new);
        keys.drain(..keys.len().saturating_sub(MOST));
        // Keys that were stored can be written down.
        let value = serde_json::to_string(&keys).unwrap_or_default();
        batch.ops.push(Op::Cursor { scope: scope(schema), value: Some(value) });
    }
    Ok(())
}

impl Repository {
    /// Whether a row of this key was created here, and is not there without the remote having heard of it.
    pub(super) async fn is_undone(&self, schema: &'static Schema, query: &Query) -> Result<bool> {
        let Some(key) = query.as_key() else { return Ok(false) };
        Ok(undone(&*self.shared.store, &self.cx(), schema).await?.contains(key))
    }
}

async fn undone(store: &dyn Store, cx: &Context, schema: &Schema) -> Result<Vec<Key>> {
    let noted = store.cursor(cx, &scope(schema)).await?;
    // What can't be read is not known.
    Ok(noted.and_then(|noted| serde_json::from_str(&noted).ok()).unwrap_or_default())
}

fn scope(schema: &Schema) -> String {
    format!("undone/{}/{}", schema.model, schema.version)
}
