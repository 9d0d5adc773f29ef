//! What the engine knows of an entry, and where it stands.

use std::time::Duration;

use super::terms::Head;

/// Where an entry of the window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It may go as soon as its lane is free.
    Ready,
    /// Not before this moment.
    Waiting {
        until: Duration,
    },
    Marking,
    Sending,
    Probing,
    /// The answer is known; the bookkeeping is not durable yet.
    Settling,
    /// The same, where the remote has accepted and a repeat would do no harm: entries of other rows go meanwhile.
    Acknowledged,
    /// Waits for credentials.
    Held,
    Parked,
    /// The application is about to give it up.
    Withdrawn,
}

impl Stage {
    pub(super) fn is_busy(self) -> bool {
        matches!(self, Self::Marking | Self::Sending | Self::Probing | Self::Settling | Self::Acknowledged)
    }
}

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) head: Head,
    /// Changed by [`Window::set`](super::window::Window::set) alone.
    pub(super) stage: Stage,
    pub(super) failures: u32,
    /// When it failed first in a way that counts, if that was since the start.
    pub(super) struck: Option<Duration>,
    /// It belongs to another account than the one that is signed in.
    pub(super) foreign: bool,
    /// An attempt may have arrived.
    pub(super) maybe_sent: bool,
    /// The remote was asked about that, and does not have it.
    pub(super) reconciled: bool,
    /// The remote said that there is a conflict, and is asked what it has.
    pub(super) disputed: bool,
    /// How many conflicts of it were resolved.
    pub(super) conflicts: u32,
    /// Which credentials the request on its way was begun with: see [`Engine::credentials`](super::Engine).
    pub(super) credentials: u64,
    /// The application lets it go again, and did so before the engine knew that it was parked: what is heard of that next
    /// is of before. Should it be newer, the entry is looked at once more before it goes.
    pub(super) revived: bool,
    /// It was revised while it was being marked.
    pub(super) overtaken: bool,
}

impl Tracked {
    /// True if a repeat may do harm: it is marked only when it goes at once.
    pub(super) fn marks_alone(&self) -> bool {
        self.head.idempotency.is_marked_alone()
    }

    /// True if it does not go before somebody decides something.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.stage, Stage::Parked | Stage::Withdrawn) || (self.foreign && !self.stage.is_busy())
    }
}
