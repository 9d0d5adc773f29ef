//! What statuses mean: one table, by number.

use std::collections::BTreeMap;

use larder_core::ErrorKind;

/// What a status means to whoever has sent a request: see [`Rest::status`](crate::Rest::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Meaning {
    /// The same request may succeed later. The outbox tries again, and gives up on a mutation after several failures over
    /// some time; 408, 425, 429, 502, 503, 504 and 511 don't count as such.
    Transient,
    /// The credentials are refused: the outbox waits for new ones.
    Unauthorized,
    /// There is no such row.
    NotFound,
    /// The server's row is another than the one that the write was made from, or is there already.
    Conflict,
    /// The server refuses the request, and will refuse it again.
    Rejected,
}

/// The table of a remote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statuses(BTreeMap<u16, Meaning>);

impl Statuses {
    pub(crate) fn set(&mut self, status: u16, meaning: Meaning) {
        self.0.insert(status, meaning);
    }

    /// What an answer without success means; `None` for what means nothing in particular.
    pub(crate) fn of(&self, status: u16) -> Option<Meaning> {
        let usual = match ErrorKind::of_status(status) {
            ErrorKind::Unauthorized => Meaning::Unauthorized,
            ErrorKind::NotFound => Meaning::NotFound,
            ErrorKind::Conflict => Meaning::Conflict,
            ErrorKind::Rejected => Meaning::Rejected,
            _ => match status {
                408 | 425 | 429 => Meaning::Transient,
                // What a server can't do, it can't do later.
                501 | 505 => return self.0.get(&status).copied(),
                500..=599 => Meaning::Transient,
                _ => return self.0.get(&status).copied(),
            },
        };
        Some(self.0.get(&status).copied().unwrap_or(usual))
    }
}

/// The kind of error that an answer of this meaning is.
pub(crate) fn kind_of(status: u16, meaning: Option<Meaning>) -> ErrorKind {
    match meaning {
        Some(Meaning::Unauthorized) => ErrorKind::Unauthorized,
        Some(Meaning::NotFound) => ErrorKind::NotFound,
        Some(Meaning::Conflict) => ErrorKind::Conflict,
        Some(Meaning::Rejected) => ErrorKind::Rejected,
        // Whatever else it may mean, it is tried again.
        Some(Meaning::Transient) | None => ErrorKind::Http { status },
    }
}
