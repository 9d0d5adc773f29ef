//! What is known, while queries are fetched, forgotten and doubted in any order: against a model of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use larder::{ReadPolicy, Repository, Select, Where};
use proptest::prelude::*;

use crate::support::{Note, Switches, note, repo};

type Range = (i64, i64);

#[derive(Clone, Debug)]
enum Step {
    Get(Range),
    /// The remote is asked, whatever is known.
    Ask(Range),
    /// What is known is too old.
    GetFresh(Range),
    Forget(Range),
    ServerPut(u8, i64),
    ServerDelete(u8),
}

fn range() -> impl Strategy<Value = Range> {
    (0..10_i64, 0..10_i64).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => range().prop_map(Step::Get),
        2 => range().prop_map(Step::Ask),
        1 => range().prop_map(Step::GetFresh),
        1 => range().prop_map(Step::Forget),
        4 => (0..6_u8, 0..10_i64).prop_map(|(id, stars)| Step::ServerPut(id, stars)),
        2 => (0..6_u8).prop_map(Step::ServerDelete),
    ]
}

/// What the repository should make of it all.
#[derive(Default)]
struct Expected {
    server: BTreeMap<String, i64>,
    local: BTreeMap<String, i64>,
    known: Vec<Range>,
}

fn holds(range: Range, stars: i64) -> bool {
    range.0 <= stars && stars <= range.1
}

fn includes(outer: Range, inner: Range) -> bool {
    outer.0 <= inner.0 && inner.1 <= outer.1
}

impl Expected {
    fn is_known(&self, range: Range) -> bool {
        self.known.iter().any(|known| includes(*known, range))
    }

    fn fetch(&mut self, range: Range) {
        let came: Vec<(String, i64)> = self
            .server
            .iter()
            .filter(|(_, stars)| holds(range, **stars))
            .map(|(id, stars)| (id.clone(), *stars))
            .collect();
        self.local.extend(came.iter().cloned());
        let there = |id: &String| came.iter().any(|(known, _)| known == id);
        let before = self.local.len();
        self.local.retain(|id, stars| !holds(range, *stars) || there(id));
        if self.local.len() < before {
            // Where the rows have gone is not known.
            self.known.clear();
        }
        if !self.known.contains(&range) {
            self.known.push(range);
        }
    }

    fn answer(&self, range: Range) -> Vec<(String, i64)> {
        let of_range = self.local.iter().filter(|(_, stars)| holds(range, **stars));
        of_range.map(|(id, stars)| (id.clone(), *stars)).collect()
    }
}

fn query((low, high): Range) -> Where<Note> {
    Note::STARS.between(low, high)
}

async fn answer(repo: &Repository, range: Range) -> Vec<(String, i64)> {
    repo.get(query(range)).await.unwrap().iter().map(|note| (note.id.clone(), note.stars)).collect()
}

async fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let net = Switches::new();
    let repo = repo(&net).await;
    let mut expected = Expected::default();
    for step in steps {
        let before = net.reads();
        match step {
            Step::Get(range) => {
                let asks = !expected.is_known(*range);
                if asks {
                    expected.fetch(*range);
                }
                prop_assert_eq!(answer(&repo, *range).await, expected.answer(*range), "{:?}", step);
                prop_assert_eq!(
                    net.reads() - before,
                    usize::from(asks),
                    "{:?} asks for what is not known",
                    step
                );
                prop_assert!(repo.coverage(query(*range)).await.unwrap().is_some());
            }
            Step::Ask(range) => {
                expected.fetch(*range);
                let asking = repo.reading(ReadPolicy::RemoteFirst);
                prop_assert_eq!(answer(&asking, *range).await, expected.answer(*range), "{:?}", step);
            }
            Step::GetFresh(range) => {
                expected.fetch(*range);
                tokio::time::sleep(Duration::from_millis(1)).await;
                let fresh = repo.max_age(Duration::ZERO);
                prop_assert_eq!(answer(&fresh, *range).await, expected.answer(*range), "{:?}", step);
                prop_assert_eq!(net.reads() - before, 1);
            }
            Step::Forget(range) => {
                repo.forget(query(*range)).await.unwrap();
                let touched = |known: &Range| includes(*known, *range) || includes(*range, *known);
                expected.known.retain(|known| !touched(known));
                prop_assert!(repo.coverage(query(*range)).await.unwrap().is_none());
            }
            Step::ServerPut(id, stars) => {
                expected.server.insert(id.to_string(), *stars);
                net.elsewhere(note(&id.to_string(), "theirs", *stars)).await;
            }
            Step::ServerDelete(id) => {
                if expected.server.remove(&id.to_string()).is_some() {
                    net.delete_elsewhere(&id.to_string()).await;
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    // Rules: r-coverage, r-included, r-forget, r-absence, r-max-age
    #[test]
    fn what_is_known_is_what_a_model_of_it_knows(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&steps))?;
    }
}

// Rules: r-coverage, r-forget, r-absence
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_that_fetch_forget_and_doubt_at_once_leave_nothing_that_is_falsely_known() {
    for round in 0..8_i64 {
        let net = Switches::new();
        let repo = repo(&net).await;
        for id in 0..8 {
            net.elsewhere(note(&id.to_string(), "theirs", (id + round) % 10)).await;
        }
        let readers = (0..4_i64).map(|nth| {
            let (repo, net) = (repo.clone(), Arc::clone(&net));
            tokio::spawn(async move {
                for turn in 0..20_i64 {
                    let low = (nth * 3 + turn * 7 + round) % 10;
                    let range = (low, (low + turn % 5).min(9));
                    match (nth + turn) % 4 {
                        0 => drop(repo.reading(ReadPolicy::RemoteFirst).get(query(range)).await.unwrap()),
                        1 => repo.forget(query(range)).await.unwrap(),
                        2 => net.elsewhere(note(&(turn % 8).to_string(), "theirs", (turn * nth) % 10)).await,
                        _ => drop(repo.get(query(range)).await.unwrap()),
                    }
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.unwrap();
        }
        // Now the server stands still: once all of it has been asked for, every part is known and right.
        let all = repo.reading(ReadPolicy::RemoteFirst).get(Select::<Note>::all()).await.unwrap();
        let reads = net.reads();
        for low in 0..10 {
            let here: Vec<String> = answer(&repo, (low, low)).await.into_iter().map(|(id, _)| id).collect();
            let there: Vec<String> =
                all.iter().filter(|note| note.stars == low).map(|note| note.id.clone()).collect();
            assert_eq!(here, there);
        }
        assert_eq!(net.reads(), reads, "a part of what is known is known");
    }
}
