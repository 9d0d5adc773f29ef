//! What the tracker stores: issues and labels, as GitHub's REST interface shows them.

use larder::{Datum, Model, Timestamp};
use serde::{Deserialize, Serialize};

/// An issue. What only the server knows has a default, is read and never written.
///
/// The server's issues have more fields (`locked`, `author_association`, `html_url`); Larder keeps them beside the row.
#[derive(Model, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Issue {
    /// The issue's number for those that were opened at the server, a UUID for those that are opened here.
    #[model(key)]
    pub(crate) id: String,
    #[model(json(skip_write))]
    pub(crate) number: Option<u64>,
    /// Two people may call an issue differently: then one of them has to decide.
    #[model(conflict = "ask")]
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    #[model(index)]
    pub(crate) state: State,
    /// The names of its labels.
    pub(crate) labels: Vec<String>,
    /// Who opened it.
    pub(crate) user: String,
    #[model(json(skip_write))]
    pub(crate) comments: u64,
    #[model(json(skip_write))]
    pub(crate) created_at: Timestamp,
    #[model(json(skip_write))]
    pub(crate) updated_at: Timestamp,
}

/// Whether there is still something to do.
#[derive(Datum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[model(json(rename_all = "snake_case"))]
pub(crate) enum State {
    Open,
    Closed,
}

/// A label. Its name is its key, whatever characters are in it.
#[derive(Model, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    #[model(key)]
    pub(crate) name: String,
    /// Six hexadecimal digits.
    pub(crate) color: String,
    pub(crate) description: Option<String>,
}
