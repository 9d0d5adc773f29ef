//! What happens: writes offline, sending, answers that are merged, keys that are exchanged, a pull, a migration, a
//! compaction. And what has to be true of it afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder::{Error, Model, ReadPolicy, Redb, Repository, Result, Select};

use crate::server::{Phase, Server, wrong};
use crate::world::World;

/// A note as the first version of the application has it.
pub mod first {
    use larder::Model;

    /// A note.
    #[derive(Model, Clone, Debug, PartialEq)]
    pub struct Note {
        /// Its key.
        #[model(key)]
        pub id: String,
        /// What it says.
        #[model(index)]
        pub text: String,
        /// What the server says of it.
        pub seen: i64,
    }
}

/// A note as the second version has it.
pub mod second {
    use larder::{Model, OldRow};

    /// A note.
    #[derive(Model, Clone, Debug, PartialEq)]
    #[model(version = 2, migrate(1 => "measure"))]
    pub struct Note {
        /// Its key.
        #[model(key)]
        pub id: String,
        /// What it says.
        #[model(index)]
        pub text: String,
        /// What the server says of it.
        pub seen: i64,
        /// How long the text is.
        #[model(index)]
        pub length: i64,
    }

    fn measure(row: &mut OldRow) -> Result<(), String> {
        let length = row.text("text")?.len();
        row.set("length", i64::try_from(length).ok());
        Ok(())
    }
}

/// Something that gets its key from the server.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct Ticket {
    /// Its key.
    #[model(key(server))]
    pub number: i64,
    /// What it is about.
    #[model(unique)]
    pub title: String,
}

/// What the application did and what it was told: for each note the texts that it wanted (none: deleted), the last that it
/// was told is stored, and all that came after.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    notes: BTreeMap<String, Vec<Option<String>>>,
    tickets: BTreeMap<String, bool>,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// What was written elsewhere.
    elsewhere: BTreeMap<String, String>,
    /// True once a pull has been told to be complete.
    pulled: bool,
}

impl Ledger {
    fn wants(&mut self, id: &str, text: Option<&str>) {
        self.notes.entry(id.to_owned()).or_insert_with(|| vec![None]).push(text.map(Into::into));
    }

    /// The last wish is stored: what was wanted before does not count any more.
    fn stored(&mut self, id: &str) {
        self.acknowledged += 1;
        if let Some(wishes) = self.notes.get_mut(id) {
            let last = wishes.pop().unwrap_or_default();
            *wishes = vec![last];
        }
    }
}

/// A run of the story.
#[derive(Clone, Debug)]
pub struct Story {
    /// Where.
    pub world: Arc<World>,
    /// With which server.
    pub server: Server,
    /// What the application knows.
    pub ledger: Arc<Mutex<Ledger>>,
}

impl Story {
    /// The beginning of one.
    #[must_use]
    pub fn new(world: Arc<World>, server: Server) -> Self {
        Self { world, server, ledger: Arc::default() }
    }

    /// What the application knows now.
    #[must_use]
    pub fn known(&self) -> Ledger {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn noted<T>(&self, note: impl FnOnce(&mut Ledger) -> T) -> T {
        note(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens the repository as a version of the application does.
    ///
    /// # Errors
    /// What the store says.
    pub async fn open(&self, store: Redb, second: bool) -> Result<Repository> {
        let runtime: Arc<dyn larder::Runtime> = Arc::<World>::clone(&self.world);
        let builder = Repository::builder().store(store).remote(self.server.clone()).runtime(runtime);
        let builder = builder
            .outbox(
                larder::OutboxSettings::new().backoff(Duration::from_millis(100), Duration::from_secs(10)),
            )
            .model::<Ticket>();
        let builder = if second { builder.model::<second::Note>() } else { builder.model::<first::Note>() };
        builder.paused().build().await
    }

    async fn write(&self, repo: &Repository, id: &str, text: Option<&str>, second: bool) {
        self.noted(|ledger| ledger.wants(id, text));
        let stored = match text {
            None if second => repo.delete::<second::Note>(id).await.map(drop),
            None => repo.delete::<first::Note>(id).await.map(drop),
            Some(text) if second => {
                let length = i64::try_from(text.len()).unwrap_or_default();
                let note = second::Note { id: id.into(), text: text.into(), seen: 0, length };
                repo.upsert(&note).await.map(drop)
            }
            Some(text) => {
                let note = first::Note { id: id.into(), text: text.into(), seen: 0 };
                repo.upsert(&note).await.map(drop)
            }
        };
        if stored.is_ok() {
            self.noted(|ledger| ledger.stored(id));
        }
    }

    /// All of it, as the first version of the application begins and the second one ends. Errors are what the
    /// application is told, and it goes on.
    pub async fn run(&self, store: impl Fn() -> Redb, heal: impl Fn()) {
        let server = &self.server;
        server.enter(Phase::Open);
        let repo = match self.open(store(), false).await {
            Ok(repo) => repo,
            Err(_) => {
                heal();
                let Ok(repo) = self.open(store(), false).await else { return };
                repo
            }
        };
        server.enter(Phase::Enqueue);
        for nth in 0..6 {
            self.write(&repo, &format!("n{nth}"), Some(&format!("first {nth}")), false).await;
        }
        self.write(&repo, "n1", Some("again 1"), false).await;
        self.write(&repo, "n2", None, false).await;
        server.enter(Phase::Send);
        repo.outbox().resume();
        // It may be stuck as long as the disk fails.
        drop(tokio::time::timeout(Duration::from_secs(5), repo.outbox().drain()).await);
        self.tickets_written(&repo).await;
        drop(tokio::time::timeout(Duration::from_secs(5), repo.outbox().drain()).await);
        // On its own, so that its answer, which brings no row, is settled on its own.
        server.enter(Phase::Enqueue);
        self.write(&repo, "n0", None, false).await;
        server.enter(Phase::Send);
        drop(tokio::time::timeout(Duration::from_secs(5), repo.outbox().drain()).await);
        self.pull(&repo, 0, false).await;
        repo.outbox().pause();
        server.enter(Phase::Enqueue);
        self.write(&repo, "n3", Some("before the update"), false).await;
        tokio::time::timeout(Duration::from_secs(60), repo.close()).await.ok();
        server.enter(Phase::Migrate);
        let repo = match self.open(store(), true).await {
            Ok(repo) => repo,
            Err(_) => {
                heal();
                let Ok(repo) = self.open(store(), true).await else { return };
                repo
            }
        };
        drop(repo.migrate(|_| ()).await);
        server.enter(Phase::Enqueue);
        self.write(&repo, "n4", Some("after the update"), true).await;
        self.write(&repo, "n6", Some("new"), true).await;
        self.write(&repo, "n5", None, true).await;
        server.enter(Phase::Compact);
        drop(repo.compact().await);
        server.enter(Phase::Read);
        drop(repo.reading(ReadPolicy::LocalOnly).get(Select::<second::Note>::all()).await);
        drop(repo.get(second::Note::LENGTH.gt(3)).await);
        server.enter(Phase::Send);
        repo.outbox().resume();
        drop(tokio::time::timeout(Duration::from_secs(5), repo.outbox().drain()).await);
        self.pull(&repo, 1, true).await;
        tokio::time::timeout(Duration::from_secs(60), repo.close()).await.ok();
    }

    /// Rows that get their keys from the server.
    async fn tickets_written(&self, repo: &Repository) {
        self.server.enter(Phase::Enqueue);
        for title in ["one", "two"] {
            self.noted(|ledger| ledger.tickets.insert(title.to_owned(), false));
            let Ok(number) = repo.new_key(Ticket::NUMBER).await else { continue };
            let ticket = Ticket { number, title: title.into() };
            if repo.upsert(&ticket).await.is_ok() {
                self.noted(|ledger| {
                    ledger.acknowledged += 1;
                    ledger.tickets.insert(title.to_owned(), true)
                });
            }
        }
        self.server.enter(Phase::Send);
    }

    async fn pull(&self, repo: &Repository, round: usize, second: bool) {
        self.server.enter(Phase::Pull);
        for nth in 0..5 {
            let (id, text) = (format!("e{nth}"), format!("elsewhere {round} {nth}"));
            self.noted(|ledger| ledger.elsewhere.insert(id.clone(), text.clone()));
            let length = i64::try_from(text.len()).unwrap_or_default();
            let written = if second {
                self.server.elsewhere(second::Note::schema(), &second::Note { id, text, seen: 0, length })
            } else {
                self.server.elsewhere(first::Note::schema(), &first::Note { id, text, seen: 0 })
            };
            drop(written);
        }
        let repo = repo.reading(ReadPolicy::RemoteFirst);
        let pulled = if second {
            repo.get(Select::<second::Note>::all()).await.map(drop)
        } else {
            repo.get(Select::<first::Note>::all()).await.map(drop)
        };
        self.noted(|ledger| ledger.pulled = pulled.is_ok());
    }

    /// Looks at what a crash has left, before anything is sent: rows, entries and cursors are of one transaction.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn left(&self, repo: &Repository) -> Result<()> {
        let found = repo.check().await?;
        if !found.is_sound() {
            return Err(wrong(format!("the check found {:?}", found.findings)));
        }
        // If the pull counts as complete, all of it is there.
        if repo.coverage(Select::<second::Note>::all()).await?.is_some() {
            let here = repo.reading(ReadPolicy::LocalOnly).get(Select::<second::Note>::all()).await?;
            let pulled = here.iter().filter(|note| note.id.starts_with('e')).count();
            if pulled != 5 {
                return Err(wrong(format!("a pull counts as complete, and {pulled} of its 5 rows are here")));
            }
        }
        Ok(())
    }

    /// Brings everything to rest and looks at it.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn end(&self, repo: &Repository) -> Result<()> {
        repo.outbox().resume();
        let rest = async {
            for _ in 0..100 {
                repo.outbox().drain().await;
                if repo.safe_to_wipe().await?.nothing() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            let queued = repo.outbox().list(0, 100).await?;
            Err(wrong(format!("the outbox does not come to rest: {queued:?}, {:?}", repo.status())))
        };
        let rest: Result<()> = tokio::time::timeout(Duration::from_secs(7200), rest)
            .await
            .unwrap_or_else(|_| Err(wrong("the outbox does not come to rest")));
        rest?;
        let remote = repo.reading(ReadPolicy::RemoteOnly);
        remote.get(Select::<second::Note>::all()).await?;
        remote.get(Select::<Ticket>::all()).await?;
        self.effects()?;
        self.notes(repo).await?;
        self.tickets(repo).await?;
        let found = repo.check().await?;
        if found.is_sound() { Ok(()) } else { Err(wrong(format!("the check found {:?}", found.findings))) }
    }

    fn effects(&self) -> Result<()> {
        match self.server.snapshot().effects.iter().find(|(_, count)| **count > 1) {
            Some((id, count)) => Err(wrong(format!("doubled: the mutation {id} had {count} effects"))),
            None => Ok(()),
        }
    }

    async fn notes(&self, repo: &Repository) -> Result<()> {
        let ledger = self.known();
        let server: BTreeMap<String, second::Note> = self
            .server
            .rows("Note")
            .iter()
            .map(|row| note_of(row).map(|note| (note.id.clone(), note)))
            .collect::<Result<_>>()?;
        let here = repo.reading(ReadPolicy::LocalOnly).get(Select::<second::Note>::all()).await?;
        let here: BTreeMap<String, second::Note> =
            here.iter().map(|note| (note.id.clone(), (**note).clone())).collect();
        for (id, wishes) in &ledger.notes {
            let there = server.get(id).map(|note| note.text.clone());
            if !wishes.contains(&there) {
                return Err(wrong(format!("lost: {id} is {there:?} and should be one of {wishes:?}")));
            }
        }
        for (id, text) in &ledger.elsewhere {
            if here.get(id).map(|note| &note.text) != Some(text) {
                return Err(wrong(format!("{id} was pulled as {text:?} and is {:?}", here.get(id))));
            }
        }
        let of_server = |note: &second::Note| (note.id.clone(), note.text.clone(), note.seen);
        let (one, other): (Vec<_>, Vec<_>) =
            (here.values().map(of_server).collect(), server.values().map(of_server).collect());
        if one != other {
            return Err(wrong(format!("here is {one:?}, and the server has {other:?}")));
        }
        Ok(())
    }

    async fn tickets(&self, repo: &Repository) -> Result<()> {
        let ledger = self.known();
        let there: Vec<Ticket> =
            self.server.rows("Ticket").iter().map(|row| Ticket::from_row(row)).collect::<Result<_>>()?;
        for (title, stored) in &ledger.tickets {
            let count = there.iter().filter(|ticket| ticket.title == *title).count();
            match (count, stored) {
                (0, true) => return Err(wrong(format!("lost: the ticket {title}"))),
                (0 | 1, _) => {}
                (count, _) => {
                    return Err(wrong(format!("doubled: the ticket {title} is there {count} times")));
                }
            }
        }
        let here = repo.reading(ReadPolicy::LocalOnly).get(Select::<Ticket>::all()).await?;
        let here: Vec<Ticket> = here.iter().map(|ticket| (**ticket).clone()).collect();
        if here == there {
            Ok(())
        } else {
            Err(wrong(format!("here is {here:?}, and the server has {there:?}")))
        }
    }
}

/// A note of the server, whichever version of the application wrote it.
fn note_of(row: &larder::core::Record) -> Result<second::Note> {
    let text = |at: usize| match row.get(at) {
        Some(larder::Value::Str(text)) => Ok(text.to_string()),
        other => Err(wrong(format!("a note of the server has {other:?}"))),
    };
    let seen = match row.get(2) {
        Some(larder::Value::Int(seen)) => i64::try_from(*seen).unwrap_or_default(),
        _ => 0,
    };
    Ok(second::Note { id: text(0)?, text: text(1)?, seen, length: 0 })
}

/// What went wrong, sorted for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An acknowledged write is lost.
    Lost,
    /// A mutation had two effects.
    Doubled,
    /// The store can't be opened.
    Unopenable,
    /// Anything else.
    Wrong,
}

impl Verdict {
    /// What an error of [`Story::end`] means.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let message = error.message();
        if message.starts_with("lost") {
            Self::Lost
        } else if message.starts_with("doubled") {
            Self::Doubled
        } else {
            Self::Wrong
        }
    }
}
