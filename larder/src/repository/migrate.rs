//! Rewriting what older versions of the models have stored.

use larder_core::{Error, Result};

use super::Repository;

/// How many records one transaction rewrites.
const PIECE: usize = 1024;

/// What [`Repository::migrate`] has done.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct MigrationReport {
    /// Rows that were rewritten.
    pub rows: u64,
    /// Queued mutations that were rewritten.
    pub entries: u64,
    /// What can't be migrated, each with model and row. It stays as it is, and reading it is this error.
    pub failed: Vec<Error>,
}

impl Repository {
    /// Rewrites all rows and queued mutations of older versions of the models, piece by piece; `progress` is called
    /// after each piece.
    ///
    /// There is no need for it: a row is migrated whenever it is read, and rewritten when it is next written. Once all
    /// are rewritten, reading costs nothing more.
    ///
    /// - Each piece is one transaction that notes how far it has come: an application that is killed goes on there.
    /// - Reads and writes go on meanwhile; every answer stays the same, and nothing that is watched changes.
    ///
    /// # Errors
    /// `Storage` or `Full`; the pieces before are kept. What a step of a migration refuses is no error but in
    /// [`MigrationReport::failed`].
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model)] struct Person { #[model(key)] id: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Person>().build().await?;
    /// let report = repo.migrate(|so_far| println!("{} rows", so_far.rows)).await?;
    /// assert!(report.failed.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn migrate(
        &self,
        mut progress: impl FnMut(&MigrationReport) + Send,
    ) -> Result<MigrationReport> {
        let mut report = MigrationReport::default();
        loop {
            let piece = self.shared.store.migrate(&self.cx(), PIECE).await?;
            report.rows += piece.rows;
            report.entries += piece.entries;
            report.failed.extend(piece.failed);
            progress(&report);
            if piece.done {
                return Ok(report);
            }
        }
    }
}
