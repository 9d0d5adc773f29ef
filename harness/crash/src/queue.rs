//! After a kill with a long queue: how long opening takes, and how long it takes until the first mutation goes out; with
//! redb's quick repair and without, and what that costs for each commit.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::{Error, ErrorKind, Redb, Repository, Result};
use larder_redb::backend::{self, CountingBackend, Counts};

use crate::report::Outcome;
use crate::server::Server;
use crate::story::{Verdict, first::Note};

/// How many single commits are counted.
const COMMITS: u64 = 100;
/// How often a file is opened.
const OPENED: usize = 5;

async fn open(store: Redb, server: &Server) -> Result<Repository> {
    let builder = Repository::builder().store(store).remote(server.clone());
    builder.model::<Note>().cache_size(0).paused().build().await
}

fn note(nth: u64) -> Note {
    Note { id: format!("{nth:07}"), text: format!("note {nth} {}", "x".repeat(400)), seen: 0 }
}

/// What a commit costs.
struct Cost {
    syncs: f64,
    writes: f64,
    bytes: f64,
    took: Duration,
}

/// Fills a file with so many pending mutations, counts single commits, and leaves it as a kill does.
async fn fill(file: &Path, killed: &Path, pending: u64, quick: bool) -> Result<Cost> {
    let counts = Arc::<Counts>::default();
    let (counted, path) = (counts.clone(), file.to_owned());
    let store = Redb::at(file)
        .quick_repair(quick)
        .backend(move || Ok(Box::new(CountingBackend::new(backend::file(&path)?, counted.clone()))));
    let repo = open(store, &Server::default()).await?;
    for first in (0..pending).step_by(1000) {
        let notes: Vec<Note> = (first..pending.min(first + 1000)).map(note).collect();
        drop(repo.upsert_many(&notes).await?);
    }
    let before = (counts.syncs(), counts.writes(), counts.bytes());
    let began = Instant::now();
    for nth in pending..pending + COMMITS {
        drop(repo.upsert(&note(nth)).await?);
    }
    let took = began.elapsed() / u32::try_from(COMMITS).unwrap_or(1);
    let each = |after: u64, before: u64| (after - before) as f64 / COMMITS as f64;
    let cost = Cost {
        syncs: each(counts.syncs(), before.0),
        writes: each(counts.writes(), before.1),
        bytes: each(counts.bytes(), before.2),
        took,
    };
    std::fs::copy(file, killed)
        .map_err(|error| Error::new(ErrorKind::Storage, "a file can't be copied").because(error))?;
    repo.close().await;
    Ok(cost)
}

/// Opens what a kill has left, and waits until something goes out.
async fn start(killed: &Path, file: &Path, quick: bool) -> Result<(Duration, Duration)> {
    std::fs::copy(killed, file)
        .map_err(|error| Error::new(ErrorKind::Storage, "a file can't be copied").because(error))?;
    let server = Server::default();
    let began = Instant::now();
    let repo = open(Redb::at(file).quick_repair(quick), &server).await?;
    let opened = began.elapsed();
    repo.outbox().resume();
    while server.effects() == 0 {
        tokio::time::sleep(Duration::from_micros(200)).await;
        if began.elapsed() > Duration::from_secs(120) {
            return Err(Error::new(ErrorKind::Timeout, "nothing goes out"));
        }
    }
    let sent = began.elapsed();
    repo.outbox().pause();
    drop(tokio::time::timeout(Duration::from_secs(30), repo.close()).await);
    Ok((opened, sent))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Measures with so many pending mutations.
#[must_use]
pub fn pending(pending: u64) -> Outcome {
    let mut outcome = Outcome::new("queue", format!("{pending} pending mutations after a kill, measured"));
    let measured = || -> std::result::Result<Vec<String>, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
        let tokio = tokio.map_err(|error| error.to_string())?;
        let mut told = Vec::new();
        for quick in [false, true] {
            let (file, killed) = (folder.path().join("a.redb"), folder.path().join(format!("{quick}.redb")));
            drop(std::fs::remove_file(&file));
            let cost =
                tokio.block_on(fill(&file, &killed, pending, quick)).map_err(|error| error.to_string())?;
            let (mut opened, mut sent) = (Vec::new(), Vec::new());
            for _ in 0..OPENED {
                let (open, first) =
                    tokio.block_on(start(&killed, &file, quick)).map_err(|error| error.to_string())?;
                opened.push(open);
                sent.push(first);
            }
            told.push(format!(
                "queue, {}: after a kill with {pending} pending mutations the store is open after {:.1?} and the first goes \
                 out after {:.1?}; a single commit takes {:.1} syncs, {:.1} writes, {:.1} KB, {:.2?}",
                if quick { "with quick repair" } else { "without quick repair" },
                median(opened),
                median(sent),
                cost.syncs,
                cost.writes,
                cost.bytes / 1000.0,
                cost.took,
            ));
        }
        Ok(told)
    };
    outcome.points = 2;
    outcome.runs = 2 * OPENED as u64;
    outcome.acknowledged = 2 * (pending + COMMITS);
    match measured() {
        Ok(notes) => outcome.notes = notes,
        Err(error) => outcome.fault(Verdict::Wrong, error),
    }
    outcome
}
