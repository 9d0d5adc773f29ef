//! Random histories: edits here and at the server, pulls, sends, lost replies. At rest both sides are the same, and what
//! was changed here last is there.

use larder::{Idempotency, Model};
use proptest::prelude::*;

use super::*;
use crate::support::{Turn, drained, settled};

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A field is changed here.
    Here(usize),
    /// A field is changed at the server.
    There(usize),
    Pull,
    /// What is queued goes, and somebody waits for that.
    Drain,
    /// The next reply is lost.
    LoseReply,
    /// The next request does not arrive.
    Outage,
    Pause,
    Resume,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4_usize).prop_map(Step::Here),
        4 => (1..4_usize).prop_map(Step::There),
        2 => Just(Step::Pull),
        2 => Just(Step::Drain),
        1 => Just(Step::LoseReply),
        1 => Just(Step::Outage),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
    ]
}

/// A field gets a value that it never had.
fn write(row: &mut Note, field: usize, nth: i64) {
    match field {
        1 => row.text = format!("{nth}"),
        2 => row.stars = nth,
        _ => row.tag = Some(format!("{nth}")),
    }
}

fn read(row: &Note, field: usize) -> String {
    match field {
        1 => row.text.clone(),
        2 => row.stars.to_string(),
        _ => row.tag.clone().unwrap_or_default(),
    }
}

/// The same with rows that come and go, by any strategy that decides by itself: at rest both sides are the same, and nothing
/// waits but what was refused for nothing that could be seen there: once nobody else writes, that goes as well.
async fn meet(
    steps: Vec<(Step, u8)>,
    strategy: larder::Strategy,
    idempotency: Idempotency,
) -> Result<(), TestCaseError> {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(idempotency);
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(strategy)).await;
    for ((step, dice), nth) in steps.into_iter().zip(100..) {
        match step {
            Step::Here(_) if dice < 60 => drop(repo.delete::<Note>("1").await.unwrap()),
            Step::Here(field) => {
                let mut row = here(&repo).await.unwrap_or_else(|| note("1", "new here", nth));
                write(&mut row, field, nth);
                drop(repo.upsert(&row).await.unwrap());
            }
            Step::There(_) if dice < 60 => net.delete_elsewhere("1").await,
            Step::There(field) => {
                let mut row = there(&net).await.unwrap_or_else(|| note("1", "new there", nth));
                write(&mut row, field, nth);
                net.elsewhere(row).await;
            }
            Step::Pull => {
                drop(repo.reading(ReadPolicy::RemoteFirst).get(larder::Select::<Note>::all()).await);
            }
            Step::Drain => drained(&repo).await,
            Step::LoseReply => net.next(Turn::LoseReply),
            Step::Outage => net.next(Turn::Unreachable),
            Step::Pause => repo.outbox().pause(),
            Step::Resume => repo.outbox().resume(),
        }
    }
    net.turns.lock().unwrap().clear();
    repo.outbox().resume();
    drained(&repo).await;
    // What failed before, and is refused though nothing is other there when it is asked, waits for the application.
    for left in repo.conflicts::<Note>().list().await.unwrap() {
        prop_assert_eq!((left.sides.base, left.asked), (left.sides.theirs, true));
        repo.conflicts::<Note>().settle(left.seq, larder::Resolution::Mine).await.unwrap();
    }
    drained(&repo).await;
    let parked = repo.outbox().parked().await.unwrap();
    prop_assert!(parked.is_empty(), "{parked:?}");
    settled(&repo).await;
    repo.sync().await.unwrap();
    prop_assert_eq!(here(&repo).await, there(&net).await);
    Ok(())
}

async fn run(steps: Vec<Step>, idempotency: Idempotency) -> Result<(), TestCaseError> {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(idempotency);
    let repo = plain(&net).await;
    // Of each field, who changed it last, and to what.
    let mut last: [Option<(bool, String)>; 4] = Default::default();
    for (step, nth) in steps.into_iter().zip(100..) {
        match step {
            Step::Here(field) => {
                let row = here(&repo).await.expect("nobody deletes it");
                let mut edited = row.clone();
                write(&mut edited, field, nth);
                let _ = repo.upsert(&edited).await.unwrap();
                prop_assert_eq!(here(&repo).await, Some(edited), "what was written is read");
                last[field] = Some((true, nth.to_string()));
            }
            Step::There(field) => {
                let mut row = there(&net).await.expect("nobody deletes it");
                write(&mut row, field, nth);
                net.elsewhere(row).await;
                last[field] = Some((false, nth.to_string()));
            }
            Step::Pull => {
                let mine: Vec<_> =
                    last.iter().enumerate().filter_map(|(at, last)| Some((at, last.clone()?))).collect();
                let _ = repo.reading(ReadPolicy::RemoteFirst).get(larder::Select::<Note>::all()).await;
                let row = here(&repo).await.expect("nobody deletes it");
                for (field, (own, value)) in mine {
                    prop_assert!(
                        !own || read(&row, field) == value,
                        "a pull took away what was written here"
                    );
                }
            }
            Step::Drain => drained(&repo).await,
            Step::LoseReply => net.next(Turn::LoseReply),
            Step::Outage => net.next(Turn::Unreachable),
            Step::Pause => repo.outbox().pause(),
            Step::Resume => repo.outbox().resume(),
        }
    }
    net.turns.lock().unwrap().clear();
    repo.outbox().resume();
    settled(&repo).await;
    let (mine, theirs) = (here(&repo).await.unwrap(), there(&net).await.unwrap());
    for (field, last) in last.iter().enumerate() {
        if let Some((true, value)) = last {
            prop_assert_eq!(&read(&theirs, field), value, "what was changed here last did not arrive");
            prop_assert_eq!(&read(&mine, field), value);
        }
    }
    repo.sync().await.unwrap();
    prop_assert_eq!(here(&repo).await, there(&net).await);
    // A field that was never changed here is as the server has it.
    let theirs = there(&net).await.unwrap();
    for (field, last) in last.iter().enumerate() {
        if let Some((false, value)) = last
            && !net
                .applied
                .lock()
                .unwrap()
                .iter()
                .any(|sent| sent.changed.as_ref().is_some_and(|changed| changed.contains(field)))
        {
            prop_assert_eq!(&read(&theirs, field), value, "what was changed there last is gone");
        }
    }
    prop_assert_eq!(Note::schema().fields.len(), 4);
    Ok(())
}

/// How many histories; `LARDER_HISTORIES` says otherwise.
fn cases() -> u32 {
    std::env::var("LARDER_HISTORIES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    // Rules: c-merge, s-rebase
    #[test]
    fn nothing_of_mine_is_lost_and_both_sides_meet(
        steps in proptest::collection::vec(step(), 1..24),
        keyed in any::<bool>(),
    ) {
        let idempotency = if keyed { Idempotency::KEYED } else { Idempotency::Conditional };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, idempotency))?;
    }

    // Rules: c-strategies, c-deleted, s-rebase
    #[test]
    fn whatever_the_strategy_both_sides_meet(
        steps in proptest::collection::vec((step(), any::<u8>()), 1..24),
        strategy in prop_oneof![
            Just(larder::Strategy::MergeFields),
            Just(larder::Strategy::ServerWins),
            Just(larder::Strategy::ClientWins),
            Just(larder::Strategy::LastWriteWins { by: 2 }),
        ],
        keyed in any::<bool>(),
    ) {
        let idempotency = if keyed { Idempotency::KEYED } else { Idempotency::Conditional };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(meet(steps, strategy, idempotency))?;
    }
}
