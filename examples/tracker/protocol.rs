//! What the parent and its client process say to each other: a line of JSON each, on the client's stdin and stdout.

use serde::{Deserialize, Serialize};

use crate::deeds::Deed;
use crate::models::{Issue, Label};

/// What the parent asks for. Each order is answered once, after any number of [`Reply::Page`]s.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// How much is stored and queued: [`Reply::Stock`].
    Stock,
    /// Push and pull: [`Reply::Synced`].
    Sync,
    /// Reads as the tracker's screens make them: [`Reply::Seen`].
    Browse,
    /// One label: [`Reply::Seen`].
    ShowLabel(String),
    /// Do something; with `accepted`, wait until the server has it: [`Reply::Done`].
    Do { deed: Deed, accepted: bool },
    /// Send until nothing is waiting any more: [`Reply::Settled`].
    Settle,
    /// Every stored row: [`Reply::Rows`].
    Rows,
    /// Close the repository and end: [`Reply::Done`].
    Quit,
}

/// What the client answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The repository is open: the first line of every client.
    Open,
    /// A page of a sync is stored.
    Page(Page),
    /// What is stored and queued.
    Stock(Stock),
    /// What a sync came to.
    Synced(Synced),
    /// What a screen shows, line by line.
    Seen(Vec<String>),
    /// It is done, as far as was asked for.
    Done,
    /// Nothing is waiting any more; what the server refused is named.
    Settled { refused: Vec<String> },
    /// Every stored row.
    Rows { issues: Vec<Issue>, labels: Vec<Label> },
    /// The order failed; the client goes on.
    Failed(String),
}

/// A page that was stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Page {
    /// The model's name.
    pub(crate) model: String,
    /// Rows of it so far.
    pub(crate) rows: u64,
    /// Whether the model is complete; then the page brought nothing new.
    pub(crate) complete: bool,
}

/// What is stored and queued.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stock {
    pub(crate) issues: usize,
    pub(crate) labels: usize,
    /// Rows with changes that the server has not confirmed; deleted ones have no row any more.
    pub(crate) pending: usize,
    /// Requests of this process that went through surf's middleware, if that is its transport.
    pub(crate) surfed: Option<u64>,
    /// Mutations in the outbox.
    pub(crate) queued: u64,
}

/// What a sync came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Synced {
    pub(crate) pulled: u64,
    pub(crate) changed: u64,
    pub(crate) left: u64,
    /// What a live query of the open issues saw: how many before, and after if it was told of a change.
    pub(crate) open_before: usize,
    pub(crate) open_after: Option<usize>,
}
