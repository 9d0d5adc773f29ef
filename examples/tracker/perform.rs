//! What the tracker's user does, done: writes, which need no server either.

use larder::core::RuntimeExt;
use larder::{Error, ErrorKind, Model, Repository, Result, Timestamp, TokioRuntime};

use crate::deeds::Deed;
use crate::desk::settle;
use crate::models::{Issue, Label, State};

/// Does it. Returns when it is durable here, or, with `accepted`, at the server.
pub(crate) async fn perform(repo: &Repository, deed: Deed, accepted: bool) -> Result<()> {
    let hand = Hand { repo, accepted };
    match deed {
        Deed::OpenIssue { id, title, body, labels } => hand.put(&opened(id, title, body, labels)).await,
        Deed::Retitle { id, title } => hand.edit(&id, |issue: &mut Issue| issue.title = title.clone()).await,
        Deed::Close { id } => hand.edit(&id, |issue: &mut Issue| issue.state = State::Closed).await,
        Deed::Relabel { id, labels } => {
            hand.edit(&id, |issue: &mut Issue| issue.labels = labels.clone()).await
        }
        Deed::DeleteIssue { id } => hand.delete::<Issue>(id).await,
        Deed::NewLabel { name, color, description } => hand.put(&Label { name, color, description }).await,
        Deed::Recolor { name, color } => {
            hand.edit(&name, |label: &mut Label| label.color = color.clone()).await
        }
        Deed::RenameLabel { from, to, color } => hand.rename(from, to, color).await,
        Deed::DeleteLabel { name } => hand.delete::<Label>(name).await,
    }
}

/// A repository, and how long to wait.
struct Hand<'a> {
    repo: &'a Repository,
    accepted: bool,
}

impl Hand<'_> {
    async fn put<M: Model>(&self, row: &M) -> Result<()> {
        let stored = self.repo.upsert(row).await?;
        if self.accepted {
            stored.accepted().await?;
        }
        Ok(())
    }

    async fn edit<M: Model>(&self, key: &str, edit: impl FnMut(&mut M)) -> Result<()> {
        let missing = || Error::new(ErrorKind::NotFound, "there is no such row to edit").key(key);
        let row = self.repo.find::<M>(key).await?.ok_or_else(missing)?;
        let stored = self.repo.update(&*row, edit).await?;
        if self.accepted {
            stored.accepted().await?;
        }
        Ok(())
    }

    async fn delete<M: Model>(&self, key: String) -> Result<()> {
        let deleted = self.repo.delete::<M>(key).await?;
        if self.accepted {
            deleted.accepted().await?;
        }
        Ok(())
    }

    /// A new label with the old one's description and a label less, in one transaction.
    async fn rename(&self, from: String, to: String, color: String) -> Result<()> {
        let rename = move |tx: &mut larder::Transaction<'_>| {
            let old = tx.find::<Label>(from.as_str())?;
            let description = old.and_then(|label| label.description.clone());
            tx.upsert(&Label { name: to.clone(), color: color.clone(), description })?;
            tx.delete::<Label>(from.as_str())
        };
        self.repo.transaction(rename).await?;
        if self.accepted {
            // A transaction has no word of its own from the server.
            settle(self.repo).await?;
        }
        Ok(())
    }
}

/// An issue as it is opened here; the server gives number, times and comments of its own.
fn opened(id: String, title: String, body: String, labels: Vec<String>) -> Issue {
    let now = Timestamp::now();
    Issue {
        id,
        number: None,
        title,
        body: Some(body),
        state: State::Open,
        labels,
        user: "you".to_owned(),
        comments: 0,
        created_at: now,
        updated_at: now,
    }
}

/// A new id, as Larder makes them.
pub(crate) fn new_id() -> Result<String> {
    Ok(TokioRuntime::current()?.uuid().to_string())
}
