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
    /// One issue, as the server has it now: [`Reply::Seen`].
    ReadIssue(String),
    /// One label: [`Reply::Seen`].
    ShowLabel(String),
    /// Do something; with `accepted`, wait until the server has it: [`Reply::Done`].
    Do { deed: Deed, accepted: bool },
    /// Send until nothing goes by itself any more: [`Reply::Settled`].
    Settle,
    /// What waits for the user: [`Reply::Waiting`].
    Waiting,
    /// Carry out what the user has decided: [`Reply::Done`].
    Decide(Decision),
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
    /// Nothing goes by itself any more; a watch of the conflicts has told of so many.
    Settled { conflicts: usize },
    /// What waits for the user.
    Waiting(Waiting),
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

/// What waits for the user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// How many mutations are parked, as the status counts them.
    pub(crate) parked: usize,
    /// How many of those are in a conflict.
    pub(crate) conflicts: usize,
    pub(crate) disputed: Vec<Disputed>,
    pub(crate) refused: Vec<Refused>,
}

/// An issue that was changed on both sides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Disputed {
    pub(crate) seq: u64,
    pub(crate) id: String,
    /// Its titles: what it was changed from, here, and at the server. `None`: there it is gone.
    pub(crate) base: Option<String>,
    pub(crate) mine: Option<String>,
    pub(crate) theirs: Option<String>,
}

/// A mutation that the server has refused for good.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) seq: u64,
    /// What it would have done, and to which row.
    pub(crate) what: String,
    pub(crate) key: String,
    /// What the server answered.
    pub(crate) status: Option<u16>,
    pub(crate) answer: Option<String>,
}

/// What the user decides about a mutation that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Decision {
    /// The disputed issue gets this title, and has the server's row else.
    Title { seq: u64, title: String },
    /// The refused change of a label becomes one to this colour, and goes again.
    Color { seq: u64, color: String },
    /// It is given up.
    GiveUp { seq: u64 },
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
