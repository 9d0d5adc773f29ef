//! From what the engine is told and what it answers to what listeners hear.

use std::collections::BTreeSet;

use crate::engine::rebase::Ended;
use crate::engine::{Answer, Effect, Engine, Event, Verdict};
use crate::events::{Happened, OutboxEvent};

/// What an event says of which mutations, seen before the engine is told: afterwards it may know them no more.
pub(super) fn before(engine: &Engine, event: &Event) -> Vec<OutboxEvent> {
    let mut told = Vec::new();
    let mut say = |seq: u64, what: Happened| told.extend(about(engine, seq, what));
    match event {
        Event::Settled { seq, verdict: Verdict::Accept } | Event::Exchanged { seq, .. } => {
            say(*seq, Happened::Accepted);
            engine.carried(*seq).into_iter().for_each(|carried| say(carried, Happened::Accepted));
        }
        Event::Settled { seq, verdict: Verdict::Park(reason) } => say(*seq, Happened::Parked(*reason)),
        Event::Rebased(moved) | Event::Resolved { moved, .. } => {
            for (seq, ended) in &moved.ended {
                let what = match ended {
                    Ended::Done => Happened::Accepted,
                    Ended::Overruled => Happened::Overruled,
                    Ended::Covered => Happened::Covered,
                };
                say(*seq, what);
            }
            for head in &moved.heads {
                say(head.seq, head.parked.map_or(Happened::Rebased, Happened::Parked));
            }
        }
        Event::Reverted(seqs) => seqs.iter().for_each(|seq| say(*seq, Happened::Reverted)),
        Event::Retried(seq) | Event::Requeued(seq) | Event::Edited { seq, .. } => {
            say(*seq, Happened::Retried);
        }
        Event::Discarded(seq) => say(*seq, Happened::Discarded),
        Event::Revised { gone, .. } => gone.iter().for_each(|seq| say(*seq, Happened::Cancelled)),
        _ => {}
    }
    told
}

/// The entries that an event is about to bring.
pub(super) fn brought(engine: &Engine, event: &Event) -> BTreeSet<u64> {
    match event {
        Event::Loaded { heads, .. } => {
            heads.iter().map(|head| head.seq).filter(|seq| engine.head(*seq).is_none()).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// What has come of it.
pub(super) fn after(
    engine: &Engine,
    brought: &BTreeSet<u64>,
    answered: Option<(u64, Answer)>,
    effects: &[Effect],
) -> Vec<OutboxEvent> {
    let mut told = Vec::new();
    let mut say = |seq: u64, what: Happened| told.extend(about(engine, seq, what));
    brought.iter().for_each(|seq| say(*seq, Happened::Queued));
    match answered {
        Some((seq, Answer::Unreachable { .. } | Answer::Failed { .. } | Answer::Broken { .. }))
            if !decided(effects, seq) =>
        {
            say(seq, Happened::Postponed);
        }
        Some((seq, Answer::Unauthorized)) => say(seq, Happened::Held),
        _ => {}
    }
    for effect in effects {
        match effect {
            Effect::Send { seq, repeated } => say(*seq, Happened::Sent { repeated: *repeated }),
            Effect::Probe(seq) => say(*seq, Happened::Asked),
            _ => {}
        }
    }
    told
}

/// True if it goes no further, which is told when that is durable.
fn decided(effects: &[Effect], seq: u64) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Settle(of, Verdict::Park(_)) if *of == seq))
}

fn about(engine: &Engine, seq: u64, what: Happened) -> Option<OutboxEvent> {
    let head = engine.head(seq)?;
    Some(OutboxEvent::Mutation { seq, id: head.id, model: head.model, key: head.key.clone(), what })
}

#[cfg(test)]
mod tests;
