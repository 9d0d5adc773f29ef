//! How a repository stands towards its remote.

use larder_core::Timestamp;

/// How a repository stands towards its remote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether the last attempts reached the remote; true as long as none was made.
    pub online: bool,
    /// Whether the remote refuses the credentials: the outbox waits for new ones.
    pub unauthorized: bool,
    /// Whether sending is paused.
    pub paused: bool,
    /// Entries that wait to be sent; of a very long outbox, those that are loaded.
    pub pending: usize,
    /// Entries that are on their way.
    pub in_flight: usize,
    /// Entries that wait for a decision, conflicts included.
    pub parked: usize,
    /// Entries that the remote's row has overtaken.
    pub conflicts: usize,
    /// When the remote last accepted something.
    pub last_pushed: Option<Timestamp>,
    /// When something was last pulled.
    pub last_pulled: Option<Timestamp>,
}

impl Status {
    /// True if the remote has everything: nothing is waiting, on its way or parked.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending + self.in_flight + self.parked == 0
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            online: true,
            unauthorized: false,
            paused: false,
            pending: 0,
            in_flight: 0,
            parked: 0,
            conflicts: 0,
            last_pushed: None,
            last_pulled: None,
        }
    }
}
