//! The faces of remotes that tell what has changed: since a cursor, and as it happens.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::context::Context;
use crate::error::Result;
use crate::key::Key;
use crate::provider::{Misfit, PageRow};
use crate::schema::Schema;

/// Changes since a cursor.
///
/// What an implementor promises:
///
/// - A cursor is text that means something to the provider alone. It is good until the answer is
///   [`Expired`](DeltaAnswer::Expired), for another connection and another process as well.
/// - From `None` on, page by page up to the first without [`more`](DeltaPage::more), come all rows that there are; of
///   what changes meanwhile, the change comes as well, on one of these pages or after the last cursor.
/// - After a cursor come all changes that are not in the pages before it. A row may come more than once, and the last
///   time is how it is.
#[async_trait]
pub trait Delta: Send + Sync {
    /// What the changes of `schema` tell; the same for as long as the provider is open.
    fn scope(&self, schema: &'static Schema) -> DeltaScope;

    /// The changes of `schema` after the cursor `since`, or a first part of them; everything if that is `None`.
    ///
    /// # Errors
    /// As [`Provider::get`](crate::Provider::get); `Unsupported` if the scope is [`Nothing`](DeltaScope::Nothing).
    async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer>;
}

/// What a provider tells of the changes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaScope {
    /// Nothing: it has no delta of this model.
    Nothing,
    /// Rows that are new or have changed, and not those that are gone.
    Changes,
    /// Changes, and which rows are gone.
    ChangesAndDeletions,
}

/// What a provider answers to the question what has changed.
#[derive(Clone, Debug)]
pub enum DeltaAnswer {
    /// This, so far.
    Page(DeltaPage),
    /// The cursor is too old, or none: everything has to be pulled.
    Expired,
}

/// A part of the changes since a cursor. More may be said later: end a literal with `..DeltaPage::default()`.
#[derive(Clone, Debug, Default)]
pub struct DeltaPage {
    /// Rows that are new or have changed.
    pub rows: Vec<PageRow>,
    /// Keys of rows that are gone; none of them is among the rows.
    pub deleted: Vec<Key>,
    /// The cursor after these changes.
    pub cursor: String,
    /// True if there is more after `cursor`.
    pub more: bool,
    /// As [`Page::misfits`](crate::Page::misfits).
    pub misfits: Vec<Misfit>,
    /// How many changes come after the cursor that was asked with, on all pages, if the provider says so: of a walk through
    /// several pages, what the first one tells.
    pub total: Option<u64>,
    /// As [`Page::steady`](crate::Page::steady).
    pub steady: bool,
}

/// Changes as they happen.
#[async_trait]
pub trait Realtime: Send + Sync {
    /// Whether it pushes changes of `schema`; the same for as long as the provider is open.
    fn carries(&self, schema: &'static Schema) -> bool;

    /// A stream of the changes of `schema` after the position `from`; from now on if that is `None`.
    ///
    /// - If changes after `from` are not known any more, the stream begins with a [`Hint`](Changed::Hint).
    /// - It ends when the provider is gone; an error is its last item.
    /// - A slow reader does not make it grow without bound: what is dropped is made up for by a hint.
    ///
    /// # Errors
    /// As [`Provider::get`](crate::Provider::get); `Unsupported` if it does not carry the model.
    async fn subscribe(
        &self,
        cx: &Context,
        schema: &'static Schema,
        from: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Change>>>;
}

/// A change that was pushed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where in the stream it stands, if the remote says so: to go on after it.
    pub position: Option<String>,
    /// What changed.
    pub what: Changed,
}

/// What changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Changed {
    /// A row is new or different.
    Row(PageRow),
    /// A row is gone.
    Deleted(Key),
    /// Something changed: pull.
    Hint,
}
