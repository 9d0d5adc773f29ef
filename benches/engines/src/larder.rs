//! Larder, as an application has it.

use std::path::Path;
use std::sync::Arc;

use larder::{Model, Repository, Select};
use larder_redb::Redb;
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::engine::Engine;
use crate::model::User;

/// An open repository, and the runtime that it lives on.
#[derive(Debug)]
pub struct Larder {
    /// The repository.
    pub repo: Repository,
    /// After the repository: it is dropped last.
    runtime: Arc<Runtime>,
}

/// A runtime for repositories.
///
/// # Errors
/// Those of the system.
pub fn runtime() -> Result<Arc<Runtime>> {
    Ok(Arc::new(Builder::new_multi_thread().worker_threads(2).enable_time().build()?))
}

impl Larder {
    /// Opens the file at `path` for one model.
    ///
    /// # Errors
    /// Whatever opening reports.
    pub fn open<M: Model>(path: &Path, runtime: &Arc<Runtime>) -> Result<Self> {
        let builder = Repository::builder().store(Redb::at(path)).model::<M>().cache_size(0);
        let repo = runtime.block_on(builder.build())?;
        Ok(Self { repo, runtime: Arc::clone(runtime) })
    }

    /// Stores `rows` in one transaction.
    ///
    /// # Errors
    /// Whatever the repository reports.
    pub fn fill<M: Model + Clone>(&self, rows: &[M]) -> Result<()> {
        self.runtime.block_on(self.repo.upsert_many(rows))?;
        Ok(())
    }

    fn get(&self, query: impl Into<Select<User>>) -> Result<Vec<Arc<User>>> {
        Ok(self.runtime.block_on(self.repo.get(query))?.into_vec())
    }
}

impl Engine for Larder {
    type Row = Arc<User>;

    fn in_city(&self, city: &str) -> Result<Vec<Self::Row>> {
        self.get(User::CITY.eq(city))
    }

    fn by_score(&self, low: f64, high: f64, limit: u64) -> Result<Vec<Self::Row>> {
        self.get(User::SCORE.between(low, high).order_by(User::SCORE.asc()).limit(limit))
    }

    fn by_score_down(&self, low: f64, high: f64, limit: u64) -> Result<Vec<Self::Row>> {
        self.get(User::SCORE.between(low, high).order_by(User::SCORE.desc()).limit(limit))
    }

    fn younger(&self, age: u32) -> Result<Vec<Self::Row>> {
        self.get(User::AGE.lt(age))
    }

    fn walk(&self, size: u64, page: &mut dyn FnMut(&[Self::Row])) -> Result<()> {
        let first = Select::all().order_by(User::SCORE.asc()).limit(size);
        let mut select = first.clone();
        loop {
            let rows = self.runtime.block_on(self.repo.get(select))?;
            page(&rows);
            let Some(cursor) = rows.cursor()? else {
                return Ok(());
            };
            select = first.clone().after(&cursor)?;
        }
    }
}
