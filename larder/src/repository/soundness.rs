//! The store's soundness: checked, salvaged, made smaller, measured.

use larder_core::{Damage, Integrity, Result, StoreSize};

use super::Repository;

impl Repository {
    /// Looks at everything that is stored here: whether each record is as it was written, and whether rows, indexes,
    /// queued mutations and counts agree. Nothing is changed; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// `Storage` if the medium can't be read; `Timeout`. Damage is no error but a finding.
    ///
    /// ```
    /// # use larder::{Memory, Repository};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).build().await?;
    /// let found = repo.check().await?;
    /// assert!(found.is_sound(), "{:?}", found.findings);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self) -> Result<Integrity> {
        self.shared.store.check(&self.cx()).await
    }

    /// Checks, and where something is damaged begins anew with what verifies: queued mutations first, then rows. The
    /// damaged file is kept beside, and what was known of the remote is forgotten, so that reads ask it again. `None` if
    /// nothing is damaged.
    ///
    /// A store does this by itself as well, when it is opened and when a read or a write comes across damage, unless it
    /// was told to leave it alone; [`Status::damage`](crate::Status::damage) says that it has.
    ///
    /// # Errors
    /// `Unsupported` for a store that lies in no file of its own; `Storage` or `Full`, with nothing changed.
    pub async fn salvage(&self) -> Result<Option<Damage>> {
        self.shared.store.salvage(&self.cx()).await
    }

    /// Forgets a report that [`Status::damage`](crate::Status::damage) tells: to be called when the user has seen it, or the
    /// application has done what there is to do. Until then it is told again after each start. Of several salvages that
    /// nobody has acknowledged the newest is told, and then the one before it.
    ///
    /// # Errors
    /// `Storage` or `Full`; it is told again then.
    ///
    /// ```
    /// # use larder::{Memory, Repository};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).build().await?;
    /// while let Some(damage) = repo.status().damage {
    ///     println!("{} records are lost", damage.lost);
    ///     repo.acknowledge(&damage).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acknowledge(&self, damage: &Damage) -> Result<()> {
        self.shared.store.acknowledge(&self.cx(), damage).await
    }

    /// Gives the space back that is no longer used, and says how large the store is then. Reads and writes wait meanwhile.
    /// A store does this by itself after much has been sent, too.
    ///
    /// # Errors
    /// `Storage` or `Full`; nothing that is stored is lost then.
    pub async fn compact(&self) -> Result<StoreSize> {
        self.shared.store.compact(&self.cx()).await
    }

    /// How large the store is.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn store_size(&self) -> Result<StoreSize> {
        self.shared.store.size(&self.cx()).await
    }
}
