//! Several tasks write to few rows while the network, the disk and the process fail as chance has it. Whatever happens:
//! what was written is seen, arrives once and in order, and in the end both sides have the same.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on stops, and waits in real time"
)]

#[path = "../support/mod.rs"]
mod support;

mod keys;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::{Context, Provider, Query, Store};
use larder::{Idempotency, Model, ReadPolicy, Repository, Select};
use rstest::rstest;
use support::chaos::{Chance, Faults, Faulty, Line, Log, Weather, memory};
use support::{Note, note};

const TASKS: u64 = 3;
const STEPS: u64 = 14;
const SHARED: u64 = 2;

/// After this it hangs, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// One run: what outlives the client's process, and what is expected of it.
struct Run {
    disk: Arc<dyn Store>,
    weather: Arc<Weather>,
    chance: Chance,
    /// Rises with every write, within the write: so each row's values rise in the order of its commits.
    clock: Arc<AtomicI64>,
    /// A deletion has its row for itself. Of two transactions that find nothing there, either may be the first, even if
    /// the row came and went between: then values would not say in which order they were committed.
    turns: BTreeMap<String, tokio::sync::RwLock<()>>,
    /// Nothing is given up; then nothing may be lost.
    faithful: bool,
    /// Writes that wait for their turn are merged.
    merging: bool,
    /// What was written, in the order of its commits.
    journal: Mutex<BTreeMap<i64, Did>>,
}

/// A write that was said to be durable.
#[derive(Debug)]
enum Did {
    Wrote(Note),
    /// Of this row the stars.
    Rated(String),
    Deleted(String),
}

/// A life of the client's process.
struct Life {
    repo: Repository,
    faults: Arc<Faults>,
}

/// How the outbox sends.
fn settings(chance: &Chance, merging: bool) -> larder::OutboxSettings {
    let mut settings = larder::OutboxSettings::new()
        .parallel(1 + usize::try_from(chance.below(4)).unwrap())
        .backoff(Duration::from_micros(100), Duration::from_millis(1));
    if !merging {
        settings = settings.without_coalescing();
    }
    if chance.below(3) == 0 {
        settings = settings.serial();
    }
    if chance.below(3) == 0 {
        settings = settings.strict();
    }
    settings
}

impl Run {
    fn over(disk: Arc<dyn Store>, weather: Weather, seed: u64, kind: Kind) -> Self {
        let own = (0..TASKS).map(|nth| format!("own{nth}"));
        let keys = own.chain((0..SHARED).map(|nth| format!("s{nth}")));
        Self {
            disk,
            weather: Arc::new(weather),
            chance: Chance::new(seed),
            clock: Arc::new(AtomicI64::new(1)),
            turns: keys.map(|key| (key, tokio::sync::RwLock::default())).collect(),
            faithful: kind.faithful,
            merging: kind.merging,
            journal: Mutex::default(),
        }
    }

    async fn start(&self, life: u64) -> Life {
        let (store, faults) = Faulty::over(&self.disk, self.chance.below(u64::MAX));
        let remote: Arc<dyn Provider> = Arc::new(Line { weather: Arc::clone(&self.weather), life });
        let repo = Repository::builder()
            .store(store)
            .remote(remote)
            .model::<Note>()
            .model::<support::User>()
            .outbox(settings(&self.chance, self.merging))
            .build()
            .await
            .unwrap();
        Life { repo, faults }
    }

    /// Writes and reads; `own` is a row that nobody else writes to, so what is read of it is known.
    async fn task(
        &self,
        life: &Life,
        own: &str,
        expected: &mut Option<i64>,
        accepted: &mut Vec<(String, i64)>,
    ) {
        let repo = &life.repo;
        let mut waiting = Vec::new();
        for _ in 0..STEPS {
            self.chance.dawdle().await;
            let shared = format!("s{}", self.chance.below(SHARED));
            let (key, is_own) =
                if self.chance.below(2) == 0 { (own, true) } else { (shared.as_str(), false) };
            match self.chance.below(10) {
                0..=4 => {
                    let _beside = self.turns[key].read().await;
                    let (id, clock) = (key.to_owned(), Arc::clone(&self.clock));
                    let written = repo.transaction(move |tx| {
                        let found = tx.find::<Note>(id.as_str())?;
                        let stars = clock.fetch_add(1, Ordering::SeqCst);
                        let text = if found.is_some() { "again" } else { "new" };
                        let note = note(&id, text, stars);
                        tx.upsert(&note)?;
                        Ok(note)
                    });
                    if let Ok(note) = written.await {
                        if is_own {
                            *expected = Some(note.stars);
                        }
                        self.did(note.stars, Did::Wrote(note));
                    }
                }
                5 | 6 => {
                    let _beside = self.turns[key].read().await;
                    if let Ok(Some(found)) = repo.reading(ReadPolicy::LocalOnly).find::<Note>(key).await {
                        let mut stars = 0;
                        let edit = |note: &mut Note| {
                            stars = self.clock.fetch_add(1, Ordering::SeqCst);
                            note.stars = stars;
                        };
                        if let Ok(stored) = repo.update(&found, edit).await {
                            waiting.push((key.to_owned(), stored));
                            self.did(stars, Did::Rated(key.to_owned()));
                            if is_own {
                                *expected = Some(stars);
                            }
                        }
                    }
                }
                7 => {
                    let _alone = self.turns[key].write().await;
                    let (id, clock) = (key.to_owned(), Arc::clone(&self.clock));
                    let deleted = repo.transaction(move |tx| {
                        tx.find::<Note>(id.as_str())?;
                        let at = clock.fetch_add(1, Ordering::SeqCst);
                        tx.delete::<Note>(id.as_str())?;
                        Ok(at)
                    });
                    if let Ok(at) = deleted.await {
                        if is_own {
                            *expected = None;
                        }
                        self.did(at, Did::Deleted(key.to_owned()));
                    }
                }
                8 => drop(repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await),
                _ => drop(repo.reading(ReadPolicy::RemoteFirst).find::<Note>(key).await),
            }
            if self.faithful {
                let seen = repo.reading(ReadPolicy::LocalOnly).find::<Note>(own).await.unwrap();
                assert_eq!(seen.map(|note| note.stars), *expected, "{own} does not show what was written");
            }
        }
        for (key, stored) in waiting {
            let stars = stored.stars;
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(2), stored.accepted()).await {
                accepted.push((key, stars));
            }
        }
    }

    fn did(&self, at: i64, did: Did) {
        self.journal.lock().unwrap().insert(at, did);
    }

    /// What the server has if the same is written where nothing goes wrong.
    async fn without_faults(&self) -> BTreeMap<String, Note> {
        let weather = Weather::over(memory().await, 0, Idempotency::KEYED);
        weather.calm.store(true, Ordering::SeqCst);
        let kind =
            Kind { idempotency: Idempotency::KEYED, faithful: true, crashes: false, merging: self.merging };
        let quiet = Self::over(memory().await, weather, 0, kind);
        let life = quiet.start(1).await;
        let journal = std::mem::take(&mut *self.journal.lock().unwrap());
        for (at, did) in journal {
            match did {
                Did::Wrote(note) => drop(life.repo.upsert(&note).await.unwrap()),
                Did::Rated(key) => {
                    let local = life.repo.reading(ReadPolicy::LocalOnly);
                    let found = local.find::<Note>(key.as_str()).await.unwrap().expect("what was rated");
                    drop(life.repo.update(&found, |note| note.stars = at).await.unwrap());
                }
                Did::Deleted(key) => drop(life.repo.delete::<Note>(key.as_str()).await.unwrap()),
            }
        }
        quiet.calm_down(&life).await;
        let (client, server) = quiet.rows().await;
        assert_eq!(client, server, "without faults");
        life.repo.close().await;
        server
    }

    /// Somebody who renews credentials, and lets what is parked go again or gives it up.
    async fn decide(&self, life: &Life, done: &AtomicBool) {
        while !done.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_micros(200)).await;
            self.decide_once(life).await;
        }
    }

    async fn decide_once(&self, life: &Life) {
        life.repo.credentials_renewed();
        let Ok(parked) = life.repo.outbox().parked().await else {
            return;
        };
        for entry in parked {
            // It may be gone meanwhile, or the disk says no.
            let _ = if self.faithful || self.chance.below(3) > 0 {
                life.repo.outbox().retry(entry.seq).await
            } else {
                life.repo.outbox().discard(entry.seq).await
            };
        }
        if !self.faithful && self.chance.below(4) == 0 {
            let any = life.repo.outbox().list(0, 20).await.unwrap();
            if let Some(entry) = any.get(usize::try_from(self.chance.below(20)).unwrap()) {
                let _ = life.repo.outbox().discard(entry.seq).await;
            }
        }
    }

    /// Fair weather: everything comes to its end.
    async fn calm_down(&self, life: &Life) {
        self.weather.calm.store(true, Ordering::SeqCst);
        life.faults.failing.store(0, Ordering::SeqCst);
        let started = std::time::Instant::now();
        let mut rounds = 0;
        while !life.repo.safe_to_wipe().await.unwrap().nothing() {
            rounds += 1;
            life.repo.credentials_renewed();
            life.repo.outbox().drain().await;
            for entry in life.repo.outbox().parked().await.unwrap() {
                let outcome = if self.faithful || rounds < 20 {
                    life.repo.outbox().retry(entry.seq).await
                } else {
                    life.repo.outbox().discard(entry.seq).await
                };
                outcome.unwrap();
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
            let left = life.repo.outbox().list(0, 5).await.unwrap();
            assert!(started.elapsed() < PATIENCE, "stuck: {left:#?} {:?}", life.repo.status());
        }
    }

    async fn rows(&self) -> (BTreeMap<String, Note>, BTreeMap<String, Note>) {
        let mut both = Vec::new();
        for side in [&self.disk, &self.weather.server] {
            let page = side.get(&Context::new(), Note::schema(), &Query::all()).await.unwrap();
            let notes = page.rows.iter().map(|row| Note::from_row(&*row.row).unwrap());
            both.push(notes.map(|note| (note.id.clone(), note)).collect());
        }
        (both.remove(0), both.remove(0))
    }
}

/// A row has one request on its way at a time, each mutation had one effect, and those of a row came in the order in which
/// they were written.
fn check(log: &Log, idempotency: Idempotency) {
    assert_eq!(log.together, [], "two requests at a time");
    // Who lets an uncertain mutation go again knows what may come of it.
    if idempotency != Idempotency::AtMostOnce {
        for (id, effects) in &log.effects {
            assert_eq!(*effects, 1, "{id} had more than one effect");
        }
        for (key, written) in &log.written {
            let values: Vec<i64> = written.iter().copied().flatten().collect();
            assert!(values.is_sorted(), "{key} was written out of order: {values:?}");
        }
    }
}

/// How a run is: what the remote declares, and what befalls the client.
#[derive(Clone, Copy)]
struct Kind {
    idempotency: Idempotency,
    faithful: bool,
    crashes: bool,
    merging: bool,
}

/// How many writes there were, and how many of them went by themselves.
async fn run(disk: Arc<dyn Store>, seed: u64, kind: Kind) -> (usize, usize) {
    let Kind { idempotency, faithful, crashes, merging } = kind;
    let weather = Weather::over(memory().await, !seed, idempotency);
    let run = Run::over(disk, weather, seed, kind);
    let mut expected = [None; TASKS as usize];
    let mut accepted = Vec::new();
    let mut life = run.start(1).await;
    for day in 1..=2 {
        life.faults.failing.store(run.chance.below(8), Ordering::SeqCst);
        let done = AtomicBool::new(false);
        let tasks = async {
            let life = &life;
            let tasks = expected.iter_mut().enumerate().map(|(nth, expected)| {
                let run = &run;
                async move {
                    let mut accepted = Vec::new();
                    run.task(life, &format!("own{nth}"), expected, &mut accepted).await;
                    accepted
                }
            });
            let all = futures_util::future::join_all(tasks).await;
            done.store(true, Ordering::SeqCst);
            all.into_iter().flatten().collect::<Vec<_>>()
        };
        let (heard, ()) = futures_util::join!(tasks, run.decide(&life, &done));
        accepted.extend(heard);
        if day == 1 {
            if crashes {
                // What is under way stays under way for ever; the disk stays as it is.
                life.faults.kill().await;
                run.weather.dead.store(1, Ordering::SeqCst);
                run.weather.log.lock().unwrap().under_way.clear();
                std::mem::forget(life);
            } else {
                life.repo.close().await;
            }
            life = run.start(2).await;
        }
    }
    run.calm_down(&life).await;
    {
        let log = run.weather.log.lock().unwrap();
        check(&log, idempotency);
        for (key, stars) in &accepted {
            let arrived = log.written.get(&key.as_str().into()).map_or(&[][..], Vec::as_slice);
            // One that was merged into a later one arrives with it.
            let written = match merging {
                true => arrived.iter().any(|arrived| arrived.is_none_or(|arrived| arrived >= *stars)),
                false => arrived.contains(&Some(*stars)),
            };
            assert!(written, "{key}={stars} was accepted and never arrived");
        }
    }
    if faithful {
        let (client, server) = run.rows().await;
        assert_eq!(client, server, "before the pull");
        for (nth, expected) in expected.iter().enumerate() {
            assert_eq!(
                server.get(&format!("own{nth}")).map(|note| note.stars),
                *expected,
                "own{nth} was lost"
            );
        }
    }
    let writes = run.journal.lock().unwrap().len();
    if faithful {
        let (_, server) = run.rows().await;
        assert_eq!(server, run.without_faults().await, "it ends as it does without faults");
    }
    life.repo.sync().await.unwrap();
    let (client, server) = run.rows().await;
    assert_eq!(client, server);
    let mut status = life.repo.status();
    while !status.is_settled() {
        status = tokio::time::timeout(PATIENCE, life.repo.status_changed(&status)).await.unwrap();
    }
    assert!(status.online && !status.unauthorized && !status.paused, "{status:?}");
    life.repo.close().await;
    let sent = run.weather.log.lock().unwrap().effects.len();
    (writes, sent)
}

// Rules: o-crash
#[rstest]
#[case::keyed(Idempotency::KEYED, true, false)]
#[case::keyed_with_crashes(Idempotency::KEYED, true, true)]
#[case::keyed_with_discards(Idempotency::KEYED, false, false)]
#[case::probed(Idempotency::Probe, false, false)]
#[case::probed_with_crashes(Idempotency::Probe, false, true)]
#[case::conditional(Idempotency::Conditional, false, true)]
#[case::at_most_once(Idempotency::AtMostOnce, false, true)]
#[tokio::test]
async fn whatever_happens(#[case] idempotency: Idempotency, #[case] faithful: bool, #[case] crashes: bool) {
    let seeds = std::env::var("CHAOS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8);
    let first = std::env::var("CHAOS_FIRST").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        // The seed of a run that fails is the last one that is named.
        println!("seed {seed}");
        let kind = Kind { idempotency, faithful, crashes, merging: false };
        let run = run(memory().await, seed, kind);
        tokio::time::timeout(2 * PATIENCE, run).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}

// Rules: o-crash, o-coalesce
#[rstest]
#[case::keyed(Idempotency::KEYED, true, false)]
#[case::keyed_with_crashes(Idempotency::KEYED, true, true)]
#[case::keyed_with_discards(Idempotency::KEYED, false, true)]
#[case::probed(Idempotency::Probe, false, true)]
#[case::conditional(Idempotency::Conditional, false, true)]
#[case::at_most_once(Idempotency::AtMostOnce, false, true)]
#[tokio::test]
async fn whatever_happens_to_merged_writes(
    #[case] idempotency: Idempotency,
    #[case] faithful: bool,
    #[case] crashes: bool,
) {
    let seeds = std::env::var("CHAOS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8);
    let first = std::env::var("CHAOS_FIRST").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let (mut written, mut sent) = (0, 0);
    for seed in first..first + seeds {
        println!("seed {seed}");
        let kind = Kind { idempotency, faithful, crashes, merging: true };
        let run = tokio::time::timeout(2 * PATIENCE, run(memory().await, seed, kind));
        let (writes, of_them) = run.await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
        (written, sent) = (written + writes, sent + of_them);
    }
    assert!(sent < written, "{written} writes have gone as {sent} mutations: none was merged");
}

// Rules: o-crash
#[cfg(feature = "redb")]
#[tokio::test]
async fn whatever_happens_on_a_file() {
    for seed in 1_000..1_003 {
        println!("seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let disk = support::chaos::opened(larder::Redb::at(folder.path().join("app.redb"))).await;
        let merging = seed % 2 == 0;
        let kind = Kind { idempotency: Idempotency::KEYED, faithful: true, crashes: true, merging };
        tokio::time::timeout(2 * PATIENCE, run(disk, seed, kind))
            .await
            .unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}

// Rules: o-crash
#[cfg(feature = "redb")]
#[rstest]
#[case::keyed(Idempotency::KEYED, true)]
#[case::conditional(Idempotency::Conditional, false)]
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_happens_on_a_file_and_on_several_threads(
    #[case] idempotency: Idempotency,
    #[case] faithful: bool,
) {
    let seeds = std::env::var("CHAOS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    for seed in 2_000..2_000 + seeds {
        println!("seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let disk = support::chaos::opened(larder::Redb::at(folder.path().join("app.redb"))).await;
        // A life that is over has to stand still, and threads do not: it is closed.
        let kind = Kind { idempotency, faithful, crashes: false, merging: seed % 2 == 0 };
        tokio::time::timeout(2 * PATIENCE, run(disk, seed, kind))
            .await
            .unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}
