//! The same of rows to which the server gives their keys: they are written under whichever key is known, and pulled at any time,
//! also before the answer that tells the key. Whatever happens: each row is at the server once, and is what was written last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::core::{Context, Provider, Query, Store};
use larder::{ErrorKind, Idempotency, Model, ReadPolicy, Repository, Select};
use rstest::rstest;

use crate::support::Card;
use crate::support::chaos::{Chance, Faulty, Line, Weather, memory};
use crate::{Life, PATIENCE, check, settings};

const TASKS: u64 = 3;
const STEPS: u64 = 24;
/// Rows of a task.
const ROWS: usize = 3;

struct Run {
    disk: Arc<dyn Store>,
    weather: Arc<Weather>,
    chance: Chance,
    /// Rises with every write.
    clock: std::sync::atomic::AtomicI64,
    /// Writes that wait for their turn are merged.
    merging: bool,
}

/// A row that one task writes to.
#[derive(Debug)]
struct Own {
    name: String,
    /// By which the task knows it: the temporary one first.
    keys: Vec<i64>,
    /// What was written last.
    expected: Option<Card>,
    /// What it did, to be read.
    did: Vec<String>,
}

impl Run {
    fn over(disk: Arc<dyn Store>, weather: Weather, seed: u64, merging: bool) -> Self {
        let clock = std::sync::atomic::AtomicI64::new(1);
        Self { disk, weather: Arc::new(weather), chance: Chance::new(seed), clock, merging }
    }

    async fn start(&self, life: u64) -> Life {
        let (store, faults) = Faulty::over(&self.disk, self.chance.below(u64::MAX));
        let remote: Arc<dyn Provider> = Arc::new(Line { weather: Arc::clone(&self.weather), life });
        let builder = Repository::builder().store(store).remote(remote).model::<Card>();
        Life { repo: builder.outbox(settings(&self.chance, self.merging)).build().await.unwrap(), faults }
    }

    fn now(&self) -> i64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn any<T: Copy>(&self, of: &[T]) -> T {
        of[usize::try_from(self.chance.below(of.len() as u64)).unwrap()]
    }

    /// Writes and reads rows that nobody else writes to.
    async fn task(&self, life: &Life, nth: u64, own: &mut Vec<Own>) {
        for step in 0..STEPS {
            self.chance.dawdle().await;
            if own.is_empty() || own.len() < ROWS && self.chance.below(6) == 0 {
                own.extend(self.create(life, format!("{nth}/{step}")).await);
                continue;
            }
            let at = usize::try_from(self.chance.below(own.len() as u64)).unwrap();
            self.step(life, &mut own[at]).await;
            if self.chance.below(3) == 0 {
                self.look(life, own).await;
            }
        }
    }

    async fn create(&self, life: &Life, name: String) -> Option<Own> {
        let number = life.repo.new_key(Card::NUMBER).await.unwrap();
        let card = Card { number, name: name.clone(), left: self.now(), right: self.now() };
        let did = vec![format!("create {card:?}")];
        let stored = life.repo.upsert(&card).await.ok()?;
        drop(stored);
        Some(Own { name, keys: vec![number], expected: Some(card), did })
    }

    /// One write, under whichever key.
    async fn step(&self, life: &Life, own: &mut Own) {
        let (repo, key) = (&life.repo, self.any(&own.keys));
        let [left, right] = [self.now(), self.now()];
        let card = Card { number: key, name: own.name.clone(), left, right };
        match self.chance.below(8) {
            0..=4 => {
                let is_left = self.chance.below(2) == 0;
                let edit = |card: &mut Card| if is_left { card.left = left } else { card.right = left };
                match repo.update(&card, edit).await {
                    Ok(stored) => {
                        own.did.push(format!("{key}: edit {:?}", *stored));
                        match &mut own.expected {
                            Some(expected) => edit(expected),
                            None => own.expected = Some((*stored).clone()),
                        }
                        let seen = self.seen(life, key).await;
                        let shown = seen.as_ref().map(|seen| if is_left { seen.left } else { seen.right });
                        assert_eq!(shown, Some(left), "{own:#?} is not shown: {seen:?}");
                    }
                    Err(error) => assert!(
                        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Storage),
                        "{error}: {own:#?}"
                    ),
                }
            }
            5 => {
                if let Ok(stored) = repo.upsert(&card).await {
                    own.did.push(format!("{key}: put {:?}", *stored));
                    own.expected = Some(card);
                    let seen = self.seen(life, key).await.map(|seen| (seen.left, seen.right));
                    assert_eq!(seen, Some((left, right)), "{own:#?} is not shown");
                }
            }
            _ => {
                // One that is deleted under this key stays as it is under another.
                let is_there = self.seen(life, key).await.is_some();
                if is_there && repo.delete(&card).await.is_ok() {
                    own.did.push(format!("{key}: delete"));
                    own.expected = None;
                    assert_eq!(self.seen(life, key).await, None, "{own:#?} is deleted");
                }
            }
        }
    }

    async fn seen(&self, life: &Life, key: i64) -> Option<Card> {
        let local = life.repo.reading(ReadPolicy::LocalOnly);
        local.find::<Card>(key).await.unwrap().map(|card| (*card).clone())
    }

    /// Asks the server what there is: by that a key may be known before the answer tells it.
    async fn look(&self, life: &Life, own: &mut [Own]) {
        let Ok(rows) = life.repo.reading(ReadPolicy::RemoteOnly).get(Select::<Card>::all()).await else {
            return;
        };
        for card in rows.iter().filter(|card| card.number > 0) {
            let of_it = own.iter_mut().find(|own| own.name == card.name);
            if let Some(own) = of_it.filter(|own| !own.keys.contains(&card.number)) {
                own.keys.push(card.number);
                own.did.push(format!("found {}", card.number));
            }
        }
    }

    /// Somebody who renews credentials, and lets what is parked go again.
    async fn decide(&self, life: &Life, done: &AtomicBool) {
        while !done.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_micros(200)).await;
            life.repo.credentials_renewed();
            for entry in life.repo.outbox().parked().await.unwrap_or_default() {
                // It may be gone meanwhile, or the disk says no.
                let _ = life.repo.outbox().retry(entry.seq).await;
            }
        }
    }

    /// Fair weather: everything comes to its end.
    async fn calm_down(&self, life: &Life, own: &[Own]) {
        self.weather.calm.store(true, Ordering::SeqCst);
        life.faults.failing.store(0, Ordering::SeqCst);
        let started = std::time::Instant::now();
        while !life.repo.safe_to_wipe().await.unwrap().nothing() {
            life.repo.credentials_renewed();
            life.repo.outbox().drain().await;
            for entry in life.repo.outbox().parked().await.unwrap() {
                life.repo.outbox().retry(entry.seq).await.unwrap();
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
            let left = life.repo.outbox().list(0, 5).await.unwrap();
            assert!(started.elapsed() < PATIENCE, "stuck: {left:#?} {:?} {own:#?}", life.repo.status());
        }
    }

    async fn rows(&self) -> (Vec<Card>, Vec<Card>) {
        let mut both = Vec::new();
        for side in [&self.disk, &self.weather.server] {
            let page = side.get(&Context::new(), Card::schema(), &Query::all()).await.unwrap();
            both.push(page.rows.iter().map(|row| Card::from_row(&*row.row).unwrap()).collect());
        }
        (both.remove(0), both.remove(0))
    }
}

async fn run(disk: Arc<dyn Store>, seed: u64, merging: bool) {
    let weather = Weather::over(memory().await, !seed, Idempotency::KEYED);
    let run = Run::over(disk, weather, seed, merging);
    let life = run.start(1).await;
    life.faults.failing.store(run.chance.below(8), Ordering::SeqCst);
    let done = AtomicBool::new(false);
    let tasks = async {
        let tasks = (0..TASKS).map(|nth| {
            let (run, life) = (&run, &life);
            async move {
                let mut own = Vec::new();
                run.task(life, nth, &mut own).await;
                own
            }
        });
        let all: Vec<Own> = futures_util::future::join_all(tasks).await.into_iter().flatten().collect();
        done.store(true, Ordering::SeqCst);
        all
    };
    let (own, ()) = futures_util::join!(tasks, run.decide(&life, &done));
    run.calm_down(&life, &own).await;
    check(&run.weather.log.lock().unwrap(), Idempotency::KEYED);
    let (client, server) = run.rows().await;
    assert_eq!(client, server, "before the pull: {own:#?}");
    let mut there = BTreeMap::new();
    for card in server {
        let twice = there.insert(card.name.clone(), card);
        assert_eq!(twice, None, "there are two: {own:#?} {there:#?}");
    }
    for own in &own {
        let there = there.get(&own.name).map(|card| (card.left, card.right));
        let expected = own.expected.as_ref().map(|card| (card.left, card.right));
        assert_eq!(there, expected, "{own:#?}");
    }
    life.repo.sync().await.unwrap();
    let (client, server) = run.rows().await;
    assert_eq!(client, server);
    assert!(life.repo.status().is_settled());
    life.repo.close().await;
}

// Rules: o-crash, m-key-server-refs, m-key-server-held
#[rstest]
#[tokio::test]
async fn whatever_happens_to_rows_that_the_server_numbers(#[values(false, true)] merging: bool) {
    let seeds = std::env::var("CHAOS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20);
    let first = std::env::var("CHAOS_FIRST").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        println!("seed {seed}");
        let run = run(memory().await, seed, merging);
        tokio::time::timeout(2 * PATIENCE, run).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}

// Rules: o-crash, m-key-server-refs, m-key-server-held
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_happens_to_rows_that_the_server_numbers_on_a_file_and_on_several_threads() {
    let seeds = std::env::var("CHAOS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8);
    for seed in 3_000..3_000 + seeds {
        println!("seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let disk = crate::support::chaos::opened(larder::Redb::at(folder.path().join("app.redb"))).await;
        tokio::time::timeout(2 * PATIENCE, run(disk, seed, seed % 2 == 0))
            .await
            .unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}
