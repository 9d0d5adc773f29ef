//! Listening to a remote that pushes its changes: from the last position on, with a pull for what may have been missed.

use std::sync::Arc;

use futures_util::stream::StreamExt;
use larder_core::{Change, Changed, Error, ErrorKind, Op, Result, Schema};

use super::Repository;
use super::pull::{Kept, stray};
use super::pushed::Gathered;
use crate::engine::backoff::{Backoff, Turns};

/// How many changes that have come already are stored in one transaction.
const TOGETHER: usize = 256;

/// The task that listens to the changes of one model.
pub(super) struct Listening {
    pub(super) schema: &'static Schema,
    pub(super) backoff: Backoff,
}

impl Listening {
    pub(super) async fn run(self, repo: Repository) {
        let (mut turns, mut gap) = (Turns::default(), true);
        loop {
            let model = self.schema.model;
            match self.listen(&repo, &mut gap, &mut turns).await {
                Ok(()) => tracing::debug!(model, "the stream of changes has ended"),
                Err(error) if error.kind() == ErrorKind::Unsupported => return,
                Err(error) => tracing::debug!(model, %error, "the stream of changes broke off"),
            }
            let runtime = &repo.shared.runtime;
            let next = turns.next(&self.backoff, runtime.monotonic(), runtime.random());
            runtime.sleep(next.saturating_sub(runtime.monotonic())).await;
        }
    }

    /// Listens until the stream ends. `gap`: something may have been missed that no position tells of.
    async fn listen(&self, repo: &Repository, gap: &mut bool, turns: &mut Turns) -> Result<()> {
        let (schema, provider) = (self.schema, Arc::clone(&repo.remote()?.provider));
        let unsupported =
            || Error::new(ErrorKind::Unsupported, "the remote does not push").model(schema.model);
        let remote = provider.realtime().ok_or_else(unsupported)?;
        let from = repo.shared.store.cursor(&repo.cx(), &scope(schema)).await?;
        let changes = remote.subscribe(&repo.cx(), schema, from.as_deref()).await?;
        // What has changed before the stream began is in no change of it.
        if from.is_none() || *gap {
            repo.pull_behind(schema).await?;
        }
        *gap = false;
        let mut changes = changes.ready_chunks(TOGETHER);
        while let Some(chunk) = changes.next().await {
            if chunk.iter().any(Result::is_ok) {
                *turns = Turns::default();
            }
            self.take(repo, chunk, gap).await?;
        }
        Ok(())
    }

    /// Stores what has come, with the position after it.
    async fn take(&self, repo: &Repository, chunk: Vec<Result<Change>>, gap: &mut bool) -> Result<()> {
        let schema = self.schema;
        let (mut gathered, mut position, mut hinted, mut broken) = (Gathered::default(), None, false, None);
        for change in chunk {
            let change = match change {
                Ok(change) => change,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            };
            // A stream without positions can't be gone on with: whatever comes next may not be all.
            *gap |= change.position.is_none();
            position = change.position.or(position);
            match change.what {
                Changed::Row(row) => match schema.key_of(&*row.row) {
                    Ok(key) => gathered.add(key, Some(row)),
                    // Which row has changed can't be said: a pull finds it, and the stream goes on behind it.
                    Err(error) => {
                        tracing::warn!(model = schema.model, %error, "a row was pushed that has no key");
                        hinted = true;
                    }
                },
                Changed::Deleted(key) => gathered.add(key, None),
                // Of a kind that is not known here it is known that something changed.
                _ => hinted = true,
            }
        }
        if hinted {
            // The position moves when that is here: who is broken off before hears of it again.
            repo.pull_behind(schema).await?;
        }
        let strays = repo.strays(schema).await?;
        let note = |kept: &Kept| {
            let mut ops = stray(schema, &strays, kept)?;
            let value = position.clone();
            ops.extend(value.map(|value| Op::Cursor { scope: scope(schema), value: Some(value) }));
            Ok(ops)
        };
        repo.merge(schema, gathered.into_part(), &note).await?;
        repo.pulled_at(repo.now());
        broken.map_or(Ok(()), Err)
    }
}

/// The name under which it is noted up to where the changes have been heard.
fn scope(schema: &Schema) -> String {
    format!("live/{}/{}", schema.model, schema.version)
}
