//! What waits for the tracker's user: issues that were changed on both sides, and mutations that the server has refused.

use larder::{ParkReason, Repository, Resolution, Result};

use crate::models::{Issue, Label};
use crate::protocol::{Decision, Disputed, Refused, Waiting};

/// Sends until nothing goes by itself any more; gives how many conflicts a watch has told of by then.
pub(crate) async fn settle(repo: &Repository) -> Result<usize> {
    let mut watch = repo.conflicts::<Issue>().watch()?;
    let mut told = watch.next().await.transpose()?.map_or(0, |list| list.len());
    repo.outbox().resume();
    repo.outbox().drain().await;
    let status = repo.outbox().settled().await;
    while told < status.conflicts {
        told = watch.next().await.transpose()?.map_or(0, |list| list.len());
    }
    Ok(told)
}

/// What waits, with what the server has said.
pub(crate) async fn waiting(repo: &Repository) -> Result<Waiting> {
    let status = repo.status();
    let title = |issue: Option<Issue>| issue.map(|issue| issue.title);
    let disputed = repo.conflicts::<Issue>().list().await?.into_iter().map(|conflict| Disputed {
        seq: conflict.seq,
        id: conflict.key.to_string(),
        base: title(conflict.sides.base),
        mine: title(conflict.sides.mine),
        theirs: title(conflict.sides.theirs),
    });
    let parked = repo.outbox().parked().await?.into_iter();
    let refused = parked.filter(|mutation| mutation.parked != Some(ParkReason::Conflict)).map(|mutation| {
        let (verb, model) = (mutation.operation.verb(), mutation.model.to_lowercase());
        Refused {
            seq: mutation.seq,
            what: format!("{verb} {model} {}, {}", mutation.key, mutation.changed.join(", ")),
            key: mutation.key.to_string(),
            status: mutation.failure.as_ref().and_then(|failure| failure.status),
            answer: mutation.failure.and_then(|failure| failure.body),
        }
    });
    Ok(Waiting {
        parked: status.parked,
        conflicts: status.conflicts,
        disputed: disputed.collect(),
        refused: refused.collect(),
    })
}

/// Carries out what the user has decided.
pub(crate) async fn decide(repo: &Repository, decision: Decision) -> Result<()> {
    match decision {
        Decision::Title { seq, title } => {
            let conflicts = repo.conflicts::<Issue>();
            let theirs = conflicts.list().await?.into_iter().find(|conflict| conflict.seq == seq);
            let resolution = match theirs.and_then(|conflict| conflict.sides.theirs) {
                Some(theirs) => Resolution::Merged(Issue { title, ..theirs }),
                // Deleted there: there is nothing to give a title to.
                None => Resolution::Theirs,
            };
            conflicts.settle(seq, resolution).await
        }
        Decision::Color { seq, color } => {
            repo.outbox().edit::<Label>(seq, move |label| label.color = color.clone()).await
        }
        Decision::GiveUp { seq } => repo.outbox().discard(seq).await,
    }
}
