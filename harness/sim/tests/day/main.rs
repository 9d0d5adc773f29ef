//! Offline for a virtual day: a million mutations are queued on a real disk, sent, and the space that they took is given
//! back; all of it in little memory. A test of its own, so that the memory of its process is its own. Here at a hundredth
//! of its length; `cargo xtask sim` runs it at full length and writes what it showed into the book.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod process;
#[path = "../support/record.rs"]
mod record;
mod remote;
mod runtime;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder::core::Runtime;
use larder::{Model, OutboxSettings, Redb, Repository};
use larder_sim::Random;

use crate::process::{Memory, cpu};
use crate::record::{is_full, note, size};
use crate::remote::Remote;
use crate::runtime::Day;

/// How many mutations there are of each row.
const EACH: u64 = 10;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many mutations one transaction makes.
const TOGETHER: u64 = 250;

/// How many mutations are on their way at a time, and leave the outbox together.
const PARALLEL: usize = 64;

/// By how much memory may grow, from the moment when the device goes offline.
const GROWTH: u64 = 64 << 20;

#[derive(Model, Clone, Debug, PartialEq)]
struct Reading {
    #[model(key)]
    id: i64,
    /// Which mutation it is of.
    mutation: i64,
    text: String,
}

fn reading(id: i64, mutation: i64) -> Reading {
    Reading { id, mutation, text: format!("reading {id} {}", "x".repeat(200)) }
}

async fn open(file: &Path, remote: &Remote, day: &Arc<Day>) -> Repository {
    let runtime: Arc<dyn Runtime> = Arc::<Day>::clone(day);
    let builder = Repository::builder().store(Redb::at(file)).remote(remote.clone()).runtime(runtime);
    let settings = OutboxSettings::new().parallel(PARALLEL).without_coalescing();
    builder.model::<Reading>().outbox(settings).build().await.unwrap()
}

/// Writes all day long: of a reading that is there it makes another version, seldom it deletes it; one that is not there it
/// makes.
async fn write(repo: &Repository, day: &Day, remote: &Remote, mutations: u64) {
    let mut random = Random::new(1);
    let pause = DAY * u32::try_from(TOGETHER).unwrap() / u32::try_from(mutations).unwrap();
    let mut there = vec![true; usize::try_from(mutations / EACH).unwrap()];
    for first in (0..mutations).step_by(usize::try_from(TOGETHER).unwrap()) {
        let (mut ids, mut writes) = (BTreeSet::new(), Vec::new());
        while (writes.len() as u64) < TOGETHER {
            let at = random.below(there.len());
            if !ids.insert(at) {
                continue;
            }
            let (id, mutation) =
                (i64::try_from(at).unwrap(), i64::try_from(first).unwrap() + writes.len() as i64);
            there[at] = !there[at] || !random.chance(5);
            writes.push((id, there[at].then(|| reading(id, mutation))));
            remote.expects(id, there[at].then_some(mutation));
        }
        let made = repo.transaction(move |tx| {
            writes.iter().try_for_each(|(id, row)| match row {
                Some(row) => tx.upsert(row),
                None => tx.delete::<Reading>(*id),
            })
        });
        made.await.unwrap();
        day.advance(pause);
    }
}

// Rules: o-entry, o-order, d-compact
#[test]
fn offline_for_a_day() {
    let mutations = size(1_000_000);
    // One thread for what may block: each thread has memory of its own that the allocator keeps.
    let tokio =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_time().build().unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("day.redb");
    let length = || std::fs::metadata(&file).unwrap().len();
    let (remote, day) = (Remote::with(mutations / EACH), Arc::new(Day::on(tokio.handle())));
    let (queued, drained) = tokio.block_on(async {
        let repo = open(&file, &remote, &day).await;
        repo.sync().await.unwrap();
        let memory = Memory::now();
        remote.offline(true);
        write(&repo, &day, &remote, mutations).await;
        assert_eq!(repo.outbox().len().await.unwrap(), mutations);
        assert_eq!(day.monotonic(), DAY);
        let queued = Seen { bytes: length(), grown: memory.growth(), cpu: cpu() };
        remote.offline(false);
        repo.outbox().drain().await;
        assert!(repo.outbox().is_empty().await.unwrap(), "{:?}", repo.status());
        if is_full() {
            // The store gives space back by itself.
            day.until(|| length() < queued.bytes / 10).await;
        } else {
            repo.compact().await.unwrap();
        }
        (queued, Seen { bytes: length(), grown: memory.growth(), cpu: cpu() })
    });
    remote.assert_all_arrived_once(mutations);
    println!("queued with {:?} of computing, drained with {:?} more", queued.cpu, drained.cpu - queued.cpu);
    assert!(drained.grown <= GROWTH, "memory has grown by {} MiB", drained.grown >> 20);
    let left = drained.bytes as f64 / queued.bytes as f64;
    // Of a short queue more is of the file's own.
    assert!(
        left <= if is_full() { 0.1 } else { 0.3 },
        "{} MB became {} MB",
        queued.bytes / 1_000_000,
        drained.bytes / 1_000_000
    );
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    note(
        "offline for a day",
        &format!(
            "{mutations} mutations of {} rows, {TOGETHER} a transaction, redb on a disk",
            mutations / EACH
        ),
        &[
            ("attempts meanwhile", remote.refused().to_string()),
            ("memory has grown by, while they were queued", format!("{} MiB", queued.grown >> 20)),
            ("by, in all", format!("{} MiB", drained.grown >> 20)),
            ("file", megabytes(queued.bytes)),
            ("file after they were sent", megabytes(drained.bytes)),
            ("given back", format!("{:.1} %", 100.0 * (1.0 - left))),
            ("with an effect", mutations.to_string()),
            ("with two, or out of order within a row", "0".to_owned()),
        ],
    );
}

/// What there was at some moment.
struct Seen {
    /// The length of the file.
    bytes: u64,
    /// By how much memory has grown so far.
    grown: u64,
    cpu: Duration,
}
