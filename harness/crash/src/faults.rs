//! Operations of the medium that fail.

use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, Fault, Random};
use crate::report::Outcome;
use crate::server::{Phase, Server};
use crate::story::{Story, Verdict};
use crate::world::{self, Broken};

/// What a run comes to.
struct Run {
    phase: Phase,
    acknowledged: u64,
    operations: u64,
    result: larder::Result<()>,
    reopened: Result<(), String>,
}

/// Tells the story over a disk that fails as told, heals it, and looks at the end: first without a restart, then after
/// one.
fn tell(seed: u64, fault: Fault) -> Result<Run, Broken> {
    world::run(seed, async |world| {
        let (disk, server) = (Disk::default(), Server::default());
        disk.fail(fault);
        let story = Story::new(world, server.clone());
        let hit = Arc::new(Mutex::new(Phase::Open));
        let (noted, there) = (hit.clone(), server.clone());
        disk.on_failure(move || {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = there.snapshot().phase;
        });
        story.run(|| disk.store(), || disk.fail(Fault::None)).await;
        let (operations, _) = disk.operations();
        let phase = *hit.lock().unwrap_or_else(PoisonError::into_inner);
        disk.fail(Fault::None);
        let (result, reopened) = end(&story, &disk).await;
        Run { phase, acknowledged: story.known().acknowledged, operations, result, reopened }
    })
}

async fn end(story: &Story, disk: &Disk) -> (larder::Result<()>, Result<(), String>) {
    let repo = match story.open(disk.store(), true).await {
        Ok(repo) => repo,
        Err(error) => return (Ok(()), Err(error.to_string())),
    };
    let result = story.end(&repo).await;
    repo.close().await;
    match story.open(disk.store(), true).await {
        Ok(repo) => {
            repo.close().await;
            (result, Ok(()))
        }
        Err(error) => (result, Err(error.to_string())),
    }
}

fn judge(outcome: &mut Outcome, run: Result<Run, Broken>, how: &str) {
    outcome.runs += 1;
    match run {
        Err(broken) => outcome.panic(format!("{how}: {broken:?}")),
        Ok(run) => {
            outcome.hit(run.phase);
            outcome.acknowledged += run.acknowledged;
            if let Err(error) = run.reopened {
                outcome.fault(Verdict::Unopenable, format!("{how}: {error}"));
            } else if let Err(error) = run.result {
                outcome.fault(Verdict::of(&error), format!("{how}: {error}"));
            }
        }
    }
}

/// How many operations a story without faults takes.
///
/// # Panics
/// If the story does not come to its end without any fault.
#[must_use]
pub fn points(seed: u64) -> u64 {
    match tell(seed, Fault::None) {
        Ok(Run { result: Ok(()), reopened: Ok(()), operations, .. }) => operations,
        Ok(run) => panic!("without faults: {:?}, {:?}", run.result, run.reopened),
        Err(broken) => panic!("without faults: {broken:?}"),
    }
}

/// In each of so many stories, every `stride`-th operation fails, once and from then on.
#[must_use]
pub fn each(seed: u64, stories: u64, stride: u64) -> Outcome {
    let mut outcome = Outcome::new("faults", "each operation of the medium fails once, and from then on");
    for story in seed..seed + stories {
        let points = points(story);
        outcome.points += points;
        for at in (0..points).step_by(usize::try_from(stride.max(1)).unwrap_or(1)) {
            let how = |what: &str| format!("story {story}, operation {at} {what}");
            judge(&mut outcome, tell(story, Fault::Once(at)), &how("fails once"));
            judge(&mut outcome, tell(story, Fault::From(at)), &how("and all after it fail"));
        }
    }
    outcome
}

/// Operations fail at random, from a random one on.
#[must_use]
pub fn compound(seed: u64, runs: u64) -> Outcome {
    let mut outcome = Outcome::new("compound", "many operations fail at random");
    outcome.points = points(seed);
    for run in 0..runs {
        let mut random = Random::new(seed ^ run);
        let one_in = [2, 3, 10, 30, 100][random.below(5)];
        let from = random.below(usize::try_from(outcome.points).unwrap_or(1)) as u64;
        let fault = Fault::Often(from, one_in, seed ^ run);
        let how = format!("seed {}, one in {one_in} fails from {from} on", seed ^ run);
        judge(&mut outcome, tell(seed ^ run, fault), &how);
    }
    outcome
}
