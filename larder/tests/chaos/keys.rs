//! The same of rows to which the server gives their keys: they are written under whichever key is known, and pulled at any time,
//! also before the answer that tells the key. Whatever happens: each row is at the server once, and is what was written last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::core::{Context, Datum, Field, Provider, Query, Store};
use larder::{ErrorKind, Idempotency, Key, Model, OutboxEvent, ReadPolicy, Repository, Select, Uuid};
use rstest::rstest;

use crate::support::chaos::{Chance, Faulty, Line, Weather, memory};
use crate::support::{Badge, Card};
use crate::{Life, PATIENCE, check, settings};

const TASKS: u64 = 3;
const STEPS: u64 = 24;
/// Rows of a task.
const ROWS: usize = 3;

/// A row to which the server gives its key.
trait Numbered: Model + Clone + PartialEq + std::fmt::Debug {
    type Number: Datum + Copy + PartialEq + std::fmt::Debug + std::fmt::Display + Into<Key> + Send + Sync;

    fn keyed_by() -> Field<Self, Self::Number>;
    fn new(number: Self::Number, name: &str, left: i64, right: i64) -> Self;
    /// True if the key is one that the server gives.
    fn is_given(number: Self::Number) -> bool;
    fn name(&self) -> &str;
    fn number(&self) -> Self::Number;
    fn left(&mut self) -> &mut i64;
    fn right(&mut self) -> &mut i64;

    fn sides(&self) -> (i64, i64) {
        let mut row = self.clone();
        (*row.left(), *row.right())
    }
}

macro_rules! numbered {
    ($model:ident, $number:ty, $is_given:expr) => {
        impl Numbered for $model {
            type Number = $number;

            fn keyed_by() -> Field<Self, $number> {
                $model::NUMBER
            }

            fn new(number: $number, name: &str, left: i64, right: i64) -> Self {
                Self { number, name: name.into(), left, right }
            }

            fn is_given(number: $number) -> bool {
                $is_given(number)
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn number(&self) -> $number {
                self.number
            }

            fn left(&mut self) -> &mut i64 {
                &mut self.left
            }

            fn right(&mut self) -> &mut i64 {
                &mut self.right
            }
        }
    };
}

numbered!(Card, i64, |number: i64| number > 0);
numbered!(Badge, Uuid, |number: Uuid| number.get_version_num() != 7);

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
struct Own<M: Numbered> {
    name: String,
    /// By which the task knows it: the temporary one first.
    keys: Vec<M::Number>,
    /// What was written last.
    expected: Option<M>,
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
        let builder = Repository::builder().store(store).remote(remote).model::<Card>().model::<Badge>();
        Life { repo: builder.outbox(settings(&self.chance, self.merging)).build().await.unwrap(), faults }
    }

    fn now(&self) -> i64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn any<T: Copy>(&self, of: &[T]) -> T {
        of[usize::try_from(self.chance.below(of.len() as u64)).unwrap()]
    }

    /// Writes and reads rows that nobody else writes to.
    async fn task<M: Numbered>(&self, life: &Life, nth: u64, own: &mut Vec<Own<M>>) {
        for step in 0..STEPS {
            self.chance.dawdle().await;
            let known: Vec<usize> = (0..own.len()).filter(|at| !own[*at].keys.is_empty()).collect();
            if known.is_empty() || known.len() < ROWS && self.chance.below(6) == 0 {
                own.extend(self.create(life, format!("{nth}/{step}/{}", own.len())).await);
                continue;
            }
            self.step(life, &mut own[self.any(&known)]).await;
            if self.chance.below(3) == 0 {
                self.look(life, own).await;
            }
        }
    }

    async fn create<M: Numbered>(&self, life: &Life, name: String) -> Option<Own<M>> {
        let number = life.repo.new_key(M::keyed_by()).await.unwrap();
        let card = M::new(number, &name, self.now(), self.now());
        let did = vec![format!("create {card:?}")];
        let stored = life.repo.upsert(&card).await.ok()?;
        drop(stored);
        Some(Own { name, keys: vec![number], expected: Some(card), did })
    }

    /// One write, under whichever key.
    async fn step<M: Numbered>(&self, life: &Life, own: &mut Own<M>) {
        let (repo, key) = (&life.repo, self.any(&own.keys));
        let [left, right] = [self.now(), self.now()];
        let card = M::new(key, &own.name, left, right);
        match self.chance.below(8) {
            0..=4 => {
                let is_left = self.chance.below(2) == 0;
                let edit = |card: &mut M| *(if is_left { card.left() } else { card.right() }) = left;
                match repo.update(&card, edit).await {
                    Ok(stored) => {
                        own.did.push(format!("{key}: edit {:?}", *stored));
                        match &mut own.expected {
                            Some(expected) => edit(expected),
                            None => own.expected = Some((*stored).clone()),
                        }
                        let seen = self.seen::<M>(life, key).await;
                        let shown =
                            seen.as_ref().map(|seen| if is_left { seen.sides().0 } else { seen.sides().1 });
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
                    let seen = self.seen::<M>(life, key).await.map(|seen| seen.sides());
                    assert_eq!(seen, Some((left, right)), "{own:#?} is not shown");
                }
            }
            _ => {
                // One that is deleted under this key stays as it is under another.
                let is_there = self.seen::<M>(life, key).await.is_some();
                if is_there && repo.delete(&card).await.is_ok() {
                    own.did.push(format!("{key}: delete"));
                    own.expected = None;
                    assert_eq!(self.seen::<M>(life, key).await, None, "{own:#?} is deleted");
                }
            }
        }
    }

    async fn seen<M: Numbered>(&self, life: &Life, key: M::Number) -> Option<M> {
        let local = life.repo.reading(ReadPolicy::LocalOnly);
        local.find::<M>(key).await.unwrap().map(|card| (*card).clone())
    }

    /// After a restart a row is known by the keys under which it is here.
    async fn find_again<M: Numbered>(&self, life: &Life, own: &mut [Own<M>]) {
        let rows = life.repo.reading(ReadPolicy::LocalOnly).get(Select::<M>::all()).await.unwrap();
        for own in own {
            own.keys = rows.iter().filter(|row| row.name() == own.name).map(|row| row.number()).collect();
            own.did.push(format!("killed, and found {:?}", own.keys));
            assert!(own.expected.is_none() || !own.keys.is_empty(), "{own:#?} is not there");
        }
    }

    /// Asks the server what there is: by that a key may be known before the answer tells it.
    async fn look<M: Numbered>(&self, life: &Life, own: &mut [Own<M>]) {
        let Ok(rows) = life.repo.reading(ReadPolicy::RemoteOnly).get(Select::<M>::all()).await else {
            return;
        };
        for card in rows.iter().filter(|card| M::is_given(card.number())) {
            let of_it = own.iter_mut().find(|own| own.name == card.name());
            if let Some(own) = of_it.filter(|own| !own.keys.contains(&card.number())) {
                own.keys.push(card.number());
                own.did.push(format!("found {}", card.number()));
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
    async fn calm_down<M: Numbered>(&self, life: &Life, own: &[Own<M>]) {
        self.weather.calm.store(true, Ordering::SeqCst);
        life.faults.failing.store(0, Ordering::SeqCst);
        let started = std::time::Instant::now();
        while !life.repo.safe_to_wipe().await.unwrap().nothing() {
            life.repo.credentials_renewed();
            within("a drain", Some(&life.repo), life.repo.outbox().drain()).await;
            for entry in life.repo.outbox().parked().await.unwrap() {
                life.repo.outbox().retry(entry.seq).await.unwrap();
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
            let left = life.repo.outbox().list(0, 5).await.unwrap();
            assert!(started.elapsed() < PATIENCE, "stuck: {left:#?} {:?} {own:#?}", life.repo.status());
        }
    }

    /// What the outbox tells, beside what the server does.
    fn listen(&self, life: &Life) -> impl Future<Output = ()> + use<> {
        let (mut events, weather) = (life.repo.outbox().events(), Arc::clone(&self.weather));
        async move {
            while let Some(event) = events.next().await {
                if let OutboxEvent::Mutation { seq, id, key, what, .. } = event {
                    weather.log.lock().unwrap().story.push((key, format!("{seq} ({}) {what:?}", id.0)));
                }
            }
        }
    }

    fn story<M: Numbered>(&self, own: &Own<M>) -> Vec<String> {
        let keys: Vec<Key> = own.keys.iter().map(|key| (*key).into()).collect();
        let log = self.weather.log.lock().unwrap();
        let of_it = log.story.iter().filter(|(key, _)| keys.contains(key));
        of_it.map(|(key, what)| format!("{key:?}: {what}")).collect()
    }

    async fn rows<M: Numbered>(&self) -> (Vec<M>, Vec<M>) {
        let mut both = Vec::new();
        for side in [&self.disk, &self.weather.server] {
            let page = side.get(&Context::new(), M::schema(), &Query::all()).await.unwrap();
            both.push(page.rows.iter().map(|row| M::from_row(&*row.row).unwrap()).collect());
        }
        (both.remove(0), both.remove(0))
    }
}

/// Writes for so many days, each of which but the last ends with the death of the process.
async fn run<M: Numbered>(disk: Arc<dyn Store>, seed: u64, merging: bool, days: u64) {
    let weather = Weather::over(memory().await, !seed, Idempotency::KEYED);
    let run = Run::over(disk, weather, seed, merging);
    let mut life = run.start(1).await;
    let mut listening = tokio::spawn(run.listen(&life));
    let mut all: Vec<Vec<Own<M>>> = (0..TASKS).map(|_| Vec::new()).collect();
    for day in 1..=days {
        life.faults.failing.store(run.chance.below(8), Ordering::SeqCst);
        let done = AtomicBool::new(false);
        let tasks = async {
            let tasks = (0..).zip(&mut all).map(|(nth, own)| run.task(&life, nth, own));
            futures_util::future::join_all(tasks).await;
            done.store(true, Ordering::SeqCst);
        };
        let both = futures_util::future::join(tasks, run.decide(&life, &done));
        within("a task", Some(&life.repo), both).await;
        if day < days {
            // What is under way stays under way for ever; the disk stays as it is.
            life.faults.kill().await;
            run.weather.dead.store(day, Ordering::SeqCst);
            run.weather.log.lock().unwrap().under_way.clear();
            listening.abort();
            std::mem::forget(std::mem::replace(&mut life, run.start(day + 1).await));
            listening = tokio::spawn(run.listen(&life));
            for own in &mut all {
                run.find_again(&life, own).await;
            }
        }
    }
    let own: Vec<Own<M>> = all.into_iter().flatten().collect();
    run.calm_down(&life, &own).await;
    check(&run.weather.log.lock().unwrap(), Idempotency::KEYED);
    let (client, server) = run.rows::<M>().await;
    assert_eq!(client, server, "before the pull: {own:#?}");
    let mut there = BTreeMap::new();
    for card in server {
        let twice = there.insert(card.name().to_owned(), card);
        assert_eq!(twice, None, "there are two: {own:#?} {there:#?}");
    }
    for own in &own {
        let there = there.get(&own.name).map(Numbered::sides);
        let expected = own.expected.as_ref().map(Numbered::sides);
        assert_eq!(there, expected, "{own:#?} {:#?}", run.story(own));
    }
    within("a sync", Some(&life.repo), life.repo.sync().into_future()).await.unwrap();
    let (client, server) = run.rows::<M>().await;
    assert_eq!(client, server);
    assert!(life.repo.status().is_settled());
    within("closing", None, life.repo.close()).await;
    within("what is told", None, listening).await.unwrap();
}

/// What `of` comes to, which may not take for ever: else it tells how things stand.
async fn within<T>(what: &str, repo: Option<&Repository>, of: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, of).await {
        Ok(done) => done,
        Err(_) => panic!("{what} does not end: {:#?}", repo.map(Repository::status)),
    }
}

/// How many seeds are tried, and the first of them.
fn seeds(otherwise: u64) -> (u64, u64) {
    let told = |name: &str| std::env::var(name).ok().and_then(|told| told.parse().ok());
    (told("CHAOS_SEEDS").unwrap_or(otherwise), told("CHAOS_FIRST").unwrap_or(0))
}

async fn in_memory<M: Numbered>(merging: bool, count: u64, days: u64) {
    let (count, first) = seeds(count);
    for seed in first..first + count {
        println!("seed {seed}");
        run::<M>(memory().await, seed, merging, days).await;
    }
}

#[cfg(feature = "redb")]
async fn on_a_file<M: Numbered>() {
    let (count, first) = seeds(8);
    for seed in first + 3_000..first + 3_000 + count {
        println!("seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let disk = crate::support::chaos::opened(larder::Redb::at(folder.path().join("app.redb"))).await;
        run::<M>(disk, seed, seed % 2 == 0, 1 + seed / 2 % 2).await;
    }
}

// Rules: o-crash, m-key-server-refs, m-key-server-held
#[rstest]
#[tokio::test]
async fn whatever_happens_to_rows_that_the_server_numbers(#[values(false, true)] merging: bool) {
    in_memory::<Card>(merging, 20, 1).await;
}

// Rules: o-crash, m-key-server-refs, m-key-server-held, o-coalesce-apart
#[tokio::test]
async fn whatever_happens_to_rows_whose_keys_do_not_tell_who_gave_them() {
    in_memory::<Badge>(true, 20, 1).await;
}

// Rules: o-crash, m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn whatever_happens_to_rows_that_the_server_numbers_and_to_the_process(
    #[values(false, true)] merging: bool,
) {
    in_memory::<Card>(merging, 20, 3).await;
}

// Rules: o-crash, m-key-server-refs, o-order, o-coalesce-apart
#[tokio::test]
async fn whatever_happens_to_rows_whose_keys_do_not_tell_who_gave_them_and_to_the_process() {
    in_memory::<Badge>(true, 20, 3).await;
}

// Rules: o-crash, m-key-server-refs, m-key-server-held
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_happens_to_rows_that_the_server_numbers_on_a_file_and_on_several_threads() {
    on_a_file::<Card>().await;
}

// Rules: o-crash, m-key-server-refs, m-key-server-held, o-coalesce-apart
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_happens_to_rows_whose_keys_do_not_tell_who_gave_them_on_a_file_and_on_several_threads() {
    on_a_file::<Badge>().await;
}
