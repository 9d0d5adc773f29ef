//! What listeners hear of what the engine is told.

use larder_core::{Idempotency, ParkReason, Sent};
use rstest::rstest;

use super::{after, before, brought};
use crate::engine::rebase::Ended;
use crate::engine::tests::{at, head, loaded, tell};
use crate::engine::{Answer, Engine, Event, Head, Moved, Settings, Verdict};
use crate::events::{Happened, OutboxEvent};

const KEYED: Idempotency = Idempotency::KEYED;

/// What listeners hear as the engine is told of `event`.
fn told(engine: &mut Engine, event: Event) -> Vec<(u64, Happened)> {
    let answered = if let Event::Answered { seq, answer, .. } = event { Some((seq, answer)) } else { None };
    let (told, brought) = (before(engine, &event), brought(engine, &event));
    let effects = tell(engine, at(0), event);
    let told = told.into_iter().chain(after(engine, &brought, answered, &effects));
    let heard = |event| match event {
        OutboxEvent::Mutation { seq, what, .. } => Some((seq, what)),
        OutboxEvent::Missed(_) | OutboxEvent::Panicked { .. } => None,
    };
    told.filter_map(heard).collect()
}

fn moved() -> Moved {
    let parked = Head { parked: Some(ParkReason::Conflict), ..head(4, "d", KEYED) };
    Moved { ended: vec![(1, Ended::Done), (2, Ended::Overruled)], heads: vec![head(3, "c", KEYED), parked] }
}

// Rules: o-events
#[rstest]
#[case::accepted(
    Event::Settled { seq: 1, verdict: Verdict::Accept },
    &[(1, Happened::Accepted), (2, Happened::Accepted)],
)]
#[case::with_a_key(
    Event::Exchanged { seq: 1, renames: Vec::new() },
    &[(1, Happened::Accepted), (2, Happened::Accepted)],
)]
#[case::parked(
    Event::Settled { seq: 1, verdict: Verdict::Park(ParkReason::Rejected) },
    &[(1, Happened::Parked(ParkReason::Rejected))],
)]
#[case::noted(Event::Settled { seq: 1, verdict: Verdict::Note }, &[])]
#[case::reverted(Event::Reverted(vec![1, 3]), &[(1, Happened::Reverted), (3, Happened::Reverted)])]
#[case::heard_of(
    Event::Rebased(moved()),
    &[
        (1, Happened::Accepted),
        (2, Happened::Overruled),
        (3, Happened::Rebased),
        (4, Happened::Parked(ParkReason::Conflict)),
    ],
)]
#[case::deleted_later(
    Event::Rebased(Moved { ended: vec![(3, Ended::Covered)], heads: Vec::new() }),
    &[(3, Happened::Covered)],
)]
#[case::resolved(
    Event::Resolved { seq: 1, moved: moved(), jitter: 0 },
    &[
        (1, Happened::Accepted),
        (2, Happened::Overruled),
        (3, Happened::Rebased),
        (4, Happened::Parked(ParkReason::Conflict)),
    ],
)]
#[case::retried(Event::Retried(1), &[(1, Happened::Retried)])]
#[case::edited(Event::Edited { seq: 1, id: head(9, "", KEYED).id }, &[(1, Happened::Retried)])]
#[case::at_the_end_of_the_outbox(Event::Requeued(1), &[(1, Happened::Retried)])]
#[case::given_up(Event::Discarded(1), &[(1, Happened::Discarded)])]
#[case::undone(Event::Revised { revised: Vec::new(), gone: vec![1] }, &[(1, Happened::Cancelled)])]
#[case::read(
    Event::Loaded { heads: vec![head(4, "d", KEYED), head(5, "e", KEYED)], last: 5, more: false, wipes: 0 },
    &[(5, Happened::Queued)],
)]
#[case::of_one_that_is_not_known(Event::Discarded(9), &[])]
fn what_happens_is_told_of_each_mutation_it_happens_to(
    #[case] event: Event,
    #[case] expected: &[(u64, Happened)],
) {
    let mut heads: Vec<Head> =
        (1..).zip(["a", "b", "c", "d"]).map(|(seq, key)| head(seq, key, KEYED)).collect();
    // The second one goes in the request of the first.
    heads[0].tied.carries = Some(heads[0].id);
    heads[1].tied.carrier = Some(heads[0].id);
    let (mut engine, _) = loaded(at(0), heads);
    tell(&mut engine, at(0), Event::Pause);
    assert_eq!(told(&mut engine, event), expected);
}

// Rules: o-events
#[rstest]
#[case::nobody_there(KEYED, Answer::Unreachable { sent: Sent::Maybe, wait: None }, &[(1, Happened::Postponed)])]
#[case::failed(KEYED, Answer::Failed { wait: None }, &[(1, Happened::Postponed)])]
#[case::panicked(KEYED, Answer::Broken { sent: Sent::Maybe }, &[(1, Happened::Postponed)])]
#[case::not_let_in(KEYED, Answer::Unauthorized, &[(1, Happened::Held)])]
#[case::accepted(KEYED, Answer::Accepted, &[])]
#[case::in_conflict(KEYED, Answer::Conflict, &[(1, Happened::Asked)])]
#[case::never_again(Idempotency::AtMostOnce, Answer::Failed { wait: None }, &[])]
fn an_answer_that_decides_something_is_told_when_that_is_durable_and_any_other_at_once(
    #[case] idempotency: Idempotency,
    #[case] answer: Answer,
    #[case] expected: &[(u64, Happened)],
) {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", idempotency)]);
    let marked = Event::Marked { seqs: vec![1], at: at(0).wall, revised: Vec::new(), gone: Vec::new() };
    assert_eq!(told(&mut engine, marked), [(1, Happened::Sent { repeated: false })]);
    assert_eq!(told(&mut engine, Event::Answered { seq: 1, answer, jitter: u64::MAX }), expected);
}

// Rules: o-events
#[test]
fn what_becomes_of_another_at_the_same_moment_says_nothing_of_the_one_that_was_answered() {
    let mut engine = Engine::new(Settings { parallel: 1, ..Settings::default() });
    tell(&mut engine, at(0), Event::Tick);
    // The second one was on its way when the process was killed, and must not be repeated.
    let once = Head { marked: Some(at(0).wall), ..head(2, "b", Idempotency::AtMostOnce) };
    let sent = Head { marked: Some(at(0).wall), ..head(1, "a", KEYED) };
    let load = Event::Loaded { heads: vec![sent, once], last: 2, more: false, wipes: 0 };
    let queued = [(1, Happened::Queued), (2, Happened::Queued), (1, Happened::Sent { repeated: true })];
    assert_eq!(told(&mut engine, load), queued);
    let failed = Event::Answered { seq: 1, answer: Answer::Failed { wait: None }, jitter: u64::MAX };
    assert_eq!(told(&mut engine, failed), [(1, Happened::Postponed)]);
}
