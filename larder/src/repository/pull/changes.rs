//! A pull of what has changed since the last one.

use larder_core::{Delta, DeltaAnswer, Op, Result};

use super::page::{Kept, Part};
use super::run::Run;
use super::state::{Remark, Strays, delta_op, strays_op};
use crate::repository::fetch::circling;

impl Run<'_, '_> {
    /// Pulls what has changed since the cursor; `false` if the remote does not know that any more.
    pub(super) async fn changes(
        &mut self,
        delta: &dyn Delta,
        mut cursor: String,
        strays: Strays,
    ) -> Result<bool> {
        let schema = self.schema;
        let again = strays.keys.iter().chain(&strays.pending).cloned().collect();
        let Some(again) = self.ask_again(again).await? else { return Ok(true) };
        let (mut left, mut noted) = (Strays::default(), strays);
        loop {
            let cx = self.repo.cx();
            let asking = delta.changes(&cx, schema, Some(&cursor));
            let page = match self.repo.in_time(self.pulling.limits, asking).await.transpose()? {
                None => return Ok(true),
                Some(DeltaAnswer::Page(page)) => page,
                Some(DeltaAnswer::Expired) => {
                    self.pulled.remarks.push(Remark::Expired { model: schema.model });
                    return Ok(false);
                }
            };
            if page.more && page.cursor == cursor {
                return Err(circling(schema));
            }
            self.expects(page.total);
            let (more, next) = (page.more, page.cursor);
            let part = Part { rows: page.rows, deleted: page.deleted, misfits: page.misfits };
            let Some(part) = self.looked_up(part).await? else { return Ok(true) };
            let moved = (next != cursor).then(|| delta_op(schema, Some(next.clone())));
            let note = |kept: &Kept| {
                let mut strays = left.clone();
                strays.add(schema, kept);
                let (strays, mut ops): (_, Vec<Op>) = (strays.and(&again), moved.iter().cloned().collect());
                if strays != noted {
                    ops.push(strays_op(schema, &strays)?);
                }
                Ok(ops)
            };
            let kept = self.store(part, &note).await?;
            left.add(schema, &kept);
            (cursor, noted) = (next, left.and(&again));
            if !more {
                break;
            }
            if self.is_spent() {
                return Ok(true);
            }
        }
        self.try_again().await?;
        left.settle(schema, &self.asides);
        let left = left.and(&again);
        let mut ops = Vec::new();
        if left != noted {
            ops.push(strays_op(schema, &left)?);
        }
        self.finish(ops, None, left.is_none()).await?;
        Ok(true)
    }
}
