//! Larder as an application has it: a repository on a file, with or without a remote.

use std::sync::Arc;
use std::time::Duration;

use larder::core::runtime::BoxFuture;
use larder::core::{Provider, Runtime as Services};
use larder::{Memory, OutboxSettings, Repository, Timestamp, TokioRuntime};
use larder_redb::Redb;
use larder_redb::backend::Counts;
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::medium::Medium;
use crate::model::{PAGE, User};
use crate::remote::{Client, Posting};

/// How a repository is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// How many bytes of rows the memory cache keeps.
    pub cache: usize,
    /// Whether there is a remote; its outbox is paused, so that every write is queued and none is sent.
    pub remote: bool,
    /// Whether each batch is committed where it is made: it waits in no queue for others to share its commit, and no thread
    /// is woken for it.
    pub inline: bool,
}

/// The services of a tokio runtime, except that what may block does so on the calling thread.
#[derive(Debug)]
struct Inline(TokioRuntime);

impl Services for Inline {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.0.spawn(name, task);
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}

/// An open repository, the runtime that it lives on, and what it has written.
#[derive(Debug)]
pub struct Subject {
    /// The repository.
    pub repo: Repository,
    /// What went to its file.
    pub counts: Arc<Counts>,
    /// After the repository: it is dropped last.
    pub runtime: Runtime,
}

impl Subject {
    /// Opens a repository on a file.
    ///
    /// # Errors
    /// Whatever opening reports.
    pub fn open(medium: Medium, config: Config) -> Result<Self> {
        Self::build(medium, |builder, runtime| {
            let builder = builder.cache_size(config.cache);
            let builder = if config.inline {
                builder.runtime(Arc::new(Inline(TokioRuntime::new(runtime.handle().clone()))))
            } else {
                builder
            };
            if config.remote { builder.remote(Memory::new()).paused() } else { builder }
        })
    }

    /// Opens a repository on a file that has `users` in it, with a remote that `client` speaks to and a paused outbox.
    ///
    /// # Errors
    /// Whatever the repository reports.
    pub fn sending(medium: Medium, users: &[User], client: Client, settings: OutboxSettings) -> Result<Self> {
        Self::fill_pages(&medium, users)?;
        let remote: Arc<dyn Provider> = Arc::new(Posting::through(client)?);
        Self::build(medium, |builder, _| builder.remote(remote).outbox(settings).paused())
    }

    fn build(
        medium: Medium,
        configure: impl FnOnce(larder::Builder, &Runtime) -> larder::Builder,
    ) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().enable_io().build()?;
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        let store = Redb::at(&medium.path).backend(move || Ok(Box::new(medium.open(Arc::clone(&counted))?)));
        let builder = configure(Repository::builder().store(store).model::<User>(), &runtime);
        let repo = runtime.block_on(builder.build())?;
        Ok(Self { repo, counts, runtime })
    }

    /// Opens a repository on a file that has `users` in it and nothing in the outbox.
    ///
    /// # Errors
    /// Whatever the repository reports.
    pub fn filled(medium: Medium, users: &[User], config: Config) -> Result<Self> {
        Self::fill_pages(&medium, users)?;
        Self::open(medium, config)
    }

    fn fill_pages(medium: &Medium, users: &[User]) -> Result<()> {
        let subject = Self::open(medium.clone(), Config::default())?;
        users.chunks(PAGE).try_for_each(|users| subject.fill(users))
    }

    /// Stores `users` in one transaction.
    ///
    /// # Errors
    /// Whatever the repository reports.
    pub fn fill(&self, users: &[User]) -> Result<()> {
        self.runtime.block_on(self.repo.upsert_many(users))?;
        Ok(())
    }

    /// Stores each of `users` by itself, one after the other.
    ///
    /// # Errors
    /// Whatever the repository reports.
    pub fn write(&self, users: &[User]) -> Result<()> {
        self.runtime.block_on(each(&self.repo, users))?;
        Ok(())
    }

    /// Stores each of `users` by itself: `writers` tasks take their share each, one after the other.
    ///
    /// # Errors
    /// Whatever the repository reports.
    pub fn write_together(&self, users: &[User], writers: usize) -> Result<()> {
        let share = users.len().div_ceil(writers.max(1)).max(1);
        let task = |share: &[User]| {
            let (repo, share) = (self.repo.clone(), share.to_vec());
            self.runtime.spawn(async move { each(&repo, &share).await })
        };
        let tasks: Vec<_> = users.chunks(share).map(task).collect();
        self.runtime.block_on(async {
            for task in tasks {
                task.await??;
            }
            Ok(())
        })
    }
}

async fn each(repo: &Repository, users: &[User]) -> larder::Result<()> {
    for user in users {
        let _queued = repo.upsert(user).await?;
    }
    Ok(())
}
