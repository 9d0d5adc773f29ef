//! Dropping what is here as the remote has it.

use std::collections::HashSet;

use larder_core::{Batch, Key, Op, Query, Result, Schema};

use super::seen::Seen;
use super::state::{Strays, delta_op, strays_op};
use crate::repository::Repository;
use crate::repository::known::doubt;

impl Repository {
    /// Drops the rows of these models that have nothing pending, and what is known of the remote. It is asked first,
    /// whether it is there.
    pub(in crate::repository) async fn drop_synced(&self, schemas: &[&'static Schema]) -> Result<()> {
        let one = Query { limit: Some(1), ..Query::all() };
        if let Some(first) = schemas.first() {
            self.remote()?.provider.get(&self.cx(), first, &one).await?;
        }
        for schema in schemas {
            let asked = self.asking(schema);
            // First of all nothing is known any more: whoever is killed from here on finds no false "there is none".
            let now = self.shared.store.revision();
            let mut ops = vec![Op::Cursor { scope: doubt(schema), value: Some(now.to_string()) }];
            ops.push(delta_op(schema, None));
            ops.push(strays_op(schema, &Strays::default())?);
            self.commit_fetched(Batch { expect: Vec::new(), ops }, asked.wipes).await?;
            if let Some(broken) = self.broken_off(schema).await? {
                self.clear_notes(schema, broken, asked.wipes).await?;
            }
            let (none, query) = (Seen::Here(HashSet::new()), Query::all());
            self.sweep(schema, &query, &none, &asked, None, &|_: Option<&Key>| Ok(Vec::new())).await?;
        }
        Ok(())
    }
}
