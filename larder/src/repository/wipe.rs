//! The way out: what a wipe would lose, and the wipe.

use larder_core::{Error, ErrorKind, Result};

use super::Repository;

/// What a wipe would lose: entries that the remote does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WouldLose {
    /// Entries in the outbox, parked ones and those of every account included: see
    /// [`Outbox::by_account`](super::Outbox::by_account).
    pub entries: u64,
    /// Entries that wait for a decision.
    pub parked: u64,
}

impl WouldLose {
    /// True if nothing would be lost.
    #[must_use]
    pub fn nothing(&self) -> bool {
        self.entries == 0
    }
}

impl Repository {
    /// What [`wipe`](Self::wipe) would lose.
    ///
    /// # Errors
    /// `Storage` or `Corrupt`.
    pub async fn safe_to_wipe(&self) -> Result<WouldLose> {
        let counts = self.shared.store.outbox_counts(&self.cx()).await?;
        Ok(WouldLose { entries: counts.entries, parked: counts.parked })
    }

    /// Removes everything from the local side, in place: rows, outbox, what is known. The repository stays usable.
    /// What [`safe_to_wipe`](Self::safe_to_wipe) names is lost.
    ///
    /// # Errors
    /// `Storage` or `Full`; nothing is removed then.
    pub async fn wipe(&self) -> Result<()> {
        let _alone = self.shared.wiping.write().await;
        // Nothing of it counts as lost.
        let _telling = self.shared.fates.telling();
        // The observers of the store's commits tell the driver.
        self.shared.store.wipe(&self.cx()).await?;
        self.shared.given.clear();
        self.shared.fates.give_up(|| Error::new(ErrorKind::Cancelled, "the repository was wiped"));
        Ok(())
    }
}
