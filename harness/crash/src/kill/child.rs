//! The life of a child: a repository over a file, and the server at the other end of a socket.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder::core::{
    Applied, Capabilities, Context, Delta, Meta, Mutation, Outcome, Page, PageRow, Plan, Presence, Provider,
    Query, Realtime, Requests, Schema, Sent, async_trait,
};
use larder::{
    Error, ErrorKind, Idempotency, Model, Operation, ReadPolicy, Redb, Repository, Result, Runtime as _,
    Select, Timestamp, TokioRuntime,
};

use super::{Said, Told};
use crate::server::Phase;
use crate::story::first::Note;

/// The line to the server.
#[derive(Clone, Debug)]
struct Line(Arc<Mutex<(BufReader<TcpStream>, TcpStream)>>);

impl Line {
    fn to(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(Arc::new(Mutex::new((BufReader::new(stream.try_clone()?), stream)))))
    }

    fn say(&self, said: &Said) -> Result<Told> {
        let broken = |error: std::io::Error| {
            Error::new(ErrorKind::Transport, error.to_string()).with_sent(Sent::Maybe)
        };
        let mut line = serde_json::to_string(said).map_err(|error| broken(error.into()))?;
        line.push('\n');
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        both.1.write_all(line.as_bytes()).map_err(broken)?;
        line.clear();
        both.0.read_line(&mut line).map_err(broken)?;
        serde_json::from_str(&line).map_err(|error| broken(error.into()))
    }
}

#[async_trait]
impl larder::core::OpenProvider for Line {
    async fn open(self: Box<Self>, _: &larder::core::Opening) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(*self))
    }
}

#[async_trait]
impl Provider for Line {
    fn name(&self) -> &str {
        "line"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::NONE;
        (can.list, can.insert, can.update, can.upsert, can.delete) = (true, true, true, true, true);
        can
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        Idempotency::KEYED
    }

    async fn get(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Page> {
        let row = |(id, text): (String, String)| {
            PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), Arc::new(Note { id, text, seen: 0 }))
        };
        let rows = self.say(&Said::All)?.notes.into_iter().map(row).collect();
        Ok(Page { rows, ..Page::default() })
    }

    async fn exists(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Presence> {
        Ok(Presence::Unknown)
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        Ok(query.plan(schema, &self.capabilities()))
    }

    async fn apply(&self, _: &Context, mutation: &Mutation) -> Result<Applied> {
        let text = mutation.row.as_ref().map(|row| Note::from_row(&**row)).transpose()?.map(|note| note.text);
        let (id, key) = (mutation.id.to_string(), mutation.key.to_string());
        self.say(&Said::Apply { id, key, text })?;
        Ok(Applied { outcome: Outcome::Accepted, row: None })
    }

    fn delta(&self) -> Option<&dyn Delta> {
        None
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        None
    }
}

/// Lives until it is killed, or comes to rest if that is its mode; otherwise the mode is the phase that it hurries to.
#[must_use]
pub fn live(mode: &str, file: &Path, address: &str) -> std::process::ExitCode {
    let lived = || -> std::io::Result<()> {
        let line = Line::to(address)?;
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
        tokio.block_on(async {
            if let Err(error) = life(mode, file, &line).await {
                drop(line.say(&Said::Wrong(error.to_string())));
            }
        });
        Ok(())
    };
    match lived() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}

async fn life(mode: &str, file: &Path, line: &Line) -> Result<()> {
    line.say(&Said::Phase(Phase::Open.name().to_owned()))?;
    let runtime = TokioRuntime::current()?;
    let mut settings =
        larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(50));
    // Every other life sends in one order.
    if runtime.random().is_multiple_of(2) {
        settings = settings.serial();
    }
    let builder = Repository::builder().store(Redb::at(file).compact_above(32 << 10)).remote(line.clone());
    let repo = builder.model::<Note>().outbox(settings).paused().build().await;
    let repo = repo.map_err(|error| Error::new(ErrorKind::Storage, format!("unopenable: {error}")))?;
    if let Some(damage) = repo.status().damage {
        return Err(Error::new(ErrorKind::Corrupt, format!("a kill is no damage: {damage:?}")));
    }
    if mode == "rest" {
        return rest(&repo, line).await;
    }
    loop {
        enqueue(&repo, line, &runtime).await?;
        if mode != Phase::Enqueue.name() {
            line.say(&Said::Phase(Phase::Send.name().to_owned()))?;
            repo.outbox().resume();
            repo.outbox().drain().await;
            repo.outbox().pause();
        }
        if mode != Phase::Send.name() {
            line.say(&Said::Phase(Phase::Pull.name().to_owned()))?;
            repo.reading(ReadPolicy::RemoteFirst).get(Select::<Note>::all()).await?;
        }
        if mode == Phase::Compact.name() {
            line.say(&Said::Phase(Phase::Compact.name().to_owned()))?;
            repo.compact().await?;
        }
    }
}

async fn enqueue(repo: &Repository, line: &Line, runtime: &TokioRuntime) -> Result<()> {
    line.say(&Said::Phase(Phase::Enqueue.name().to_owned()))?;
    for _ in 0..8 {
        let chance = runtime.random();
        let key = format!("n{}", chance % 40);
        let text = (!chance.is_multiple_of(7))
            .then(|| format!("{:x} {}", chance, "x".repeat((chance % 900) as usize)));
        line.say(&Said::Wants(key.clone(), text.clone()))?;
        match text {
            Some(text) => drop(repo.upsert(&Note { id: key.clone(), text, seen: 0 }).await?),
            None => drop(repo.delete::<Note>(key.as_str()).await?),
        }
        line.say(&Said::Stored(key))?;
    }
    Ok(())
}

async fn rest(repo: &Repository, line: &Line) -> Result<()> {
    let found = repo.check().await?;
    if !found.is_sound() {
        return Err(Error::new(ErrorKind::Corrupt, format!("the check found {:?}", found.findings)));
    }
    repo.outbox().resume();
    let mut rounds = 0;
    while !repo.safe_to_wipe().await?.nothing() {
        repo.outbox().drain().await;
        rounds += 1;
        if rounds == 1000 {
            return Err(Error::new(ErrorKind::Timeout, "the outbox does not come to rest"));
        }
    }
    repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await?;
    let here = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await?;
    let notes: BTreeMap<String, String> =
        here.iter().map(|note| (note.id.clone(), note.text.clone())).collect();
    line.say(&Said::Rest(notes))?;
    Ok(())
}
