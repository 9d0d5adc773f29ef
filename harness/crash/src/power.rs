//! The power is cut at a sync.

use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, Moment, Random};
use crate::report::Outcome;
use crate::server::{Server, State};
use crate::story::{Ledger, Story, Verdict};
use crate::world;

/// A moment at which the power may go, with all that is elsewhere.
struct Cut {
    moment: Moment,
    server: State,
    known: Ledger,
}

/// The moments of one telling.
fn moments(seed: u64) -> Vec<Cut> {
    let cuts = Arc::new(Mutex::new(Vec::new()));
    let kept = cuts.clone();
    let told = world::run(seed, async |world| {
        let (disk, server) = (Disk::default(), Server::default());
        let story = Story::new(world, server.clone());
        let watching = story.clone();
        disk.watch(move |moment| {
            let cut = Cut { moment, server: server.snapshot(), known: watching.known() };
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(cut);
        });
        story.run(|| disk.store(), || ()).await;
    });
    drop(told);
    let mut cuts = cuts.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *cuts)
}

/// At each sync of the story, `images` ways in which the power may go.
#[must_use]
pub fn cut(seed: u64, images: u64) -> Outcome {
    let mut outcome = Outcome::new("power", "the power is cut at each sync");
    let cuts = moments(seed);
    outcome.points = cuts.len() as u64;
    let mut random = Random::new(seed);
    for (at, cut) in cuts.iter().enumerate() {
        for way in 0..images {
            outcome.runs += 1;
            outcome.hit(cut.server.phase);
            outcome.acknowledged += cut.known.acknowledged;
            let how = format!("sync {at}, way {way}");
            let image = cut.moment.image(way, &mut random);
            let run = world::run(seed ^ way, async |world| {
                let story = Story::new(world, Server::of(cut.server.clone()));
                *story.ledger.lock().unwrap_or_else(PoisonError::into_inner) = cut.known.clone();
                let disk = Disk::of(image);
                let repo = match story.open(disk.store(), true).await {
                    Ok(repo) => repo,
                    Err(error) => return Err((Verdict::Unopenable, error)),
                };
                let looked = async {
                    story.left(&repo).await?;
                    story.end(&repo).await
                };
                let looked = looked.await.map_err(|error| (Verdict::of(&error), error));
                repo.close().await;
                looked
            });
            match run {
                Ok(Ok(())) => {}
                Ok(Err((verdict, error))) => outcome.fault(verdict, format!("{how}: {error}")),
                Err(broken) => outcome.panic(format!("{how}: {broken:?}")),
            }
        }
    }
    outcome
}
