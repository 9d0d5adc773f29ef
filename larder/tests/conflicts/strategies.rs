//! Refusals, and what the strategies make of them.

use larder::{
    Conflict, ErrorKind, Idempotency, Model, OutboxSettings, ParkReason, Resolution, RowState, Strategy,
};
use rstest::rstest;

use super::*;
use crate::support::chaos::memory;
use crate::support::{Turn, parked, settled, soon};

/// Changes the text here, and there whatever `theirs` has; gives what is left here and there.
async fn contest(
    repo: &Repository,
    net: &Switches,
    mine: &Note,
    theirs: &Note,
) -> (Option<Note>, Option<Note>) {
    repo.outbox().pause();
    let _ = repo.upsert(mine).await.unwrap();
    net.elsewhere(theirs.clone()).await;
    repo.outbox().resume();
    settled(repo).await;
    (here(repo).await, there(net).await)
}

// Rules: c-detect, c-strategies, c-merge
#[rstest]
#[case::merged(Strategy::MergeFields, tagged("mine", 5, "theirs"))]
#[case::mine(Strategy::ClientWins, note("1", "mine", 1))]
#[case::theirs(Strategy::ServerWins, tagged("theirs", 5, "theirs"))]
#[case::by_stars(Strategy::LastWriteWins { by: 2 }, tagged("theirs", 5, "theirs"))]
#[case::by_text(Strategy::LastWriteWins { by: 1 }, tagged("theirs", 5, "theirs"))]
#[tokio::test]
async fn a_refusal_leads_where_the_strategy_says(#[case] strategy: Strategy, #[case] expected: Note) {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(strategy)).await;
    let left = contest(&repo, &net, &note("1", "mine", 1), &tagged("theirs", 5, "theirs")).await;
    assert_eq!(left, (Some(expected.clone()), Some(expected)));
    assert_eq!(repo.status().conflicts, 0);
}

// Rules: c-again
#[tokio::test]
async fn what_was_resolved_goes_under_another_key_and_on_top_of_the_new_version() {
    let net = Switches::new();
    let repo = plain(&net).await;
    contest(&repo, &net, &note("1", "mine", 1), &tagged("base", 5, "theirs")).await;
    let applied = net.applied.lock().unwrap();
    assert_eq!(applied.len(), 2, "refused, and accepted");
    assert_ne!(applied[0].id, applied[1].id);
    assert_ne!(applied[0].base_version, applied[1].base_version);
    assert!(!applied[1].repeated);
}

// Rules: c-strategies
#[tokio::test]
async fn whoever_waits_hears_what_became_of_it() {
    let net = Switches::new();
    let repo = plain(&net).await;
    repo.outbox().pause();
    let merged = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(tagged("base", 5, "theirs")).await;
    repo.outbox().resume();
    assert_eq!(*soon(merged.accepted()).await.unwrap(), tagged("mine", 5, "theirs"));

    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(Strategy::ServerWins)).await;
    repo.outbox().pause();
    let dropped = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(tagged("base", 5, "theirs")).await;
    repo.outbox().resume();
    assert_eq!(soon(dropped.accepted()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

// Rules: o-success, c-detect
#[tokio::test]
async fn ones_own_success_after_a_lost_reply_is_none() {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(Idempotency::Conditional);
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(Strategy::Ask)).await;
    net.next(Turn::LoseReply);
    net.next(Turn::Say(ErrorKind::Conflict, 412));
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(there(&net).await, Some(note("1", "mine", 1)));
    assert!(repo.conflicts::<Note>().list().await.unwrap().is_empty());
}

// Rules: c-custom
#[tokio::test]
async fn a_function_of_the_three_sides_decides() {
    let net = Switches::new();
    let count = |sides: Conflict<Note>| match (sides.base, sides.mine, sides.theirs) {
        (Some(base), Some(mine), Some(theirs)) => {
            Resolution::Merged(Note { stars: theirs.stars + mine.stars - base.stars, ..theirs })
        }
        _ => Resolution::Ask,
    };
    let repo = with_row(&net, |builder| builder.on_conflict(count)).await;
    let (here, there) = contest(&repo, &net, &note("1", "base", 3), &note("1", "base", 11)).await;
    assert_eq!((here, there.map(|note| note.stars)), (Some(note("1", "base", 13)), Some(13)));
}

fn panics(_: Conflict<Note>) -> Resolution<Note> {
    panic!("out of luck")
}

fn renames(sides: Conflict<Note>) -> Resolution<Note> {
    sides.mine.map_or(Resolution::Ask, |mine| Resolution::Merged(Note { id: "2".into(), ..mine }))
}

// Rules: c-nonsense
#[rstest]
#[case::panic(panics, "the resolver panicked: out of luck")]
#[case::another_key(renames, "a row of another key")]
#[tokio::test]
async fn a_function_that_answers_nonsense_leaves_it_to_the_application(
    #[case] resolve: fn(Conflict<Note>) -> Resolution<Note>,
    #[case] told: &str,
) {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.on_conflict(resolve)).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(note("1", "theirs", 1)).await;
    repo.outbox().resume();
    let left = parked(&repo, 1).await;
    let failure = left[0].failure.as_ref().unwrap();
    assert_eq!((left[0].parked, failure.kind), (Some(ParkReason::Conflict), ErrorKind::Invalid));
    assert!(failure.message.contains(told), "{}", failure.message);
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "theirs", 1)));
}

#[derive(Model, Clone, Debug, PartialEq)]
#[model(conflict = "merge_fields", validate = "in_order")]
struct Stay {
    #[model(key)]
    id: String,
    from: i64,
    to: i64,
    #[model(conflict = "server_wins")]
    price: i64,
    #[model(conflict(last_write_wins = touched))]
    guest: String,
    #[model(conflict(last_write_wins = touched))]
    touched: i64,
    #[model(conflict = "ask")]
    room: String,
}

fn in_order(stay: &Stay) -> Result<(), larder::Invalid> {
    if stay.to < stay.from { Err(larder::Invalid::new("it ends before it begins").at("to")) } else { Ok(()) }
}

fn stay(from: i64, to: i64, price: i64, guest: &str, touched: i64) -> Stay {
    Stay { id: "1".into(), from, to, price, guest: guest.into(), touched, room: "12".into() }
}

/// Two devices with one server; gives what the first has after its change was put on that of the second.
async fn stays(mine: Stay, theirs: Stay) -> Result<Stay, (ErrorKind, String)> {
    let net = Switches::new();
    let device = async |net: &Arc<Switches>| {
        let builder =
            Repository::builder().store(larder::Memory::new()).remote(support::Net(Arc::clone(net)));
        builder.model::<Stay>().build().await.unwrap()
    };
    let (one, two) = (device(&net).await, device(&net).await);
    soon(one.upsert(&stay(1, 9, 100, "ada", 0)).await.unwrap().accepted()).await.unwrap();
    two.sync().await.unwrap();
    one.outbox().pause();
    let _ = one.upsert(&mine).await.unwrap();
    soon(two.upsert(&theirs).await.unwrap().accepted()).await.unwrap();
    one.sync().await.unwrap();
    match one.outbox().parked().await.unwrap().pop() {
        Some(parked) => {
            let failure = parked.failure.map(|failure| (failure.kind, failure.message));
            Err(failure.unwrap_or((ErrorKind::Conflict, "asks".into())))
        }
        None => Ok(one.find::<Stay>("1").await.unwrap().map(|stay| Stay::clone(&stay)).unwrap()),
    }
}

// Rules: c-fields
#[tokio::test]
async fn each_field_that_both_have_changed_has_its_own_strategy() {
    let merged = stays(stay(2, 9, 90, "grace", 5), stay(1, 8, 80, "alan", 4)).await;
    assert_eq!(merged.unwrap(), stay(2, 8, 80, "grace", 5));
    let merged = stays(stay(2, 9, 100, "grace", 5), stay(3, 9, 80, "alan", 6)).await;
    assert_eq!(merged.unwrap(), stay(2, 9, 80, "alan", 6), "one that declares none is mine");
}

// Rules: c-fields, c-ask
#[tokio::test]
async fn a_field_may_ask_for_its_row() {
    let room = |room: &str| Stay { room: room.into(), ..stay(1, 9, 100, "ada", 0) };
    assert_eq!(stays(room("13"), room("14")).await.unwrap_err().1, "asks");
    assert_eq!(stays(room("13"), stay(1, 9, 100, "ada", 1)).await.unwrap().room, "13", "one side alone");
}

// Rules: c-nonsense
#[tokio::test]
async fn what_the_models_own_checks_refuse_is_not_merged() {
    let (kind, message) = stays(stay(7, 9, 100, "ada", 0), stay(1, 3, 100, "ada", 0)).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(message.contains("it ends before it begins"), "{message}");
}

// Rules: c-again
#[tokio::test]
async fn a_refusal_for_another_reason_is_left_to_the_application() {
    let net = Switches::new();
    let repo = plain(&net).await;
    net.poison("1", Turn::Say(ErrorKind::Conflict, 409));
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    assert_eq!(soon(stored.accepted()).await.unwrap_err().kind(), ErrorKind::Conflict);
    let left = parked(&repo, 1).await;
    assert_eq!(left[0].attempts, 2, "the row there is what the change was made from: it is tried once more");
    let state = repo.sync_state::<Note>("1").await.unwrap().unwrap();
    assert_eq!(state.state, RowState::Conflicted);
    assert!(net.applied.lock().unwrap().is_empty());
}

// Rules: c-again
#[tokio::test]
async fn a_refusal_for_what_has_passed_is_tried_once_more() {
    let net = Switches::new();
    let repo = plain(&net).await;
    net.next(Turn::Say(ErrorKind::Conflict, 409));
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(there(&net).await, Some(note("1", "mine", 1)));
}

// Rules: c-again
#[rstest]
#[case::the_server_failed(Turn::Say(ErrorKind::Http { status: 500 }, 500))]
#[case::it_was_busy(Turn::Later(Duration::from_millis(1)))]
#[case::it_said_no_and_the_user_tried_again(Turn::Say(ErrorKind::Rejected, 422))]
#[tokio::test]
async fn what_failed_otherwise_before_a_refusal_for_what_has_passed_says_nothing_of_it(#[case] before: Turn) {
    let net = Switches::new();
    let repo = plain(&net).await;
    let by_hand = matches!(before, Turn::Say(ErrorKind::Rejected, _));
    net.next(before);
    net.next(Turn::Say(ErrorKind::Conflict, 409));
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    if by_hand {
        repo.outbox().retry(parked(&repo, 1).await[0].seq).await.unwrap();
    }
    settled(&repo).await;
    drop(stored);
    assert_eq!(there(&net).await, Some(note("1", "mine", 1)));
}

// Rules: c-again
#[tokio::test]
async fn a_retry_by_hand_begins_anew_with_refusals_for_nothing() {
    let net = Switches::new();
    let repo = plain(&net).await;
    for _ in 0..2 {
        net.next(Turn::Say(ErrorKind::Conflict, 409));
        // The row is read: what is lost of a write is lost of no read.
        net.next(Turn::LoseReply);
    }
    drop(repo.upsert(&note("1", "mine", 1)).await.unwrap());
    let waits = parked(&repo, 1).await;
    assert_eq!(waits[0].attempts, 2);
    net.next(Turn::Say(ErrorKind::Conflict, 409));
    repo.outbox().retry(waits[0].seq).await.unwrap();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(note("1", "mine", 1)));
}

// Rules: c-again
#[rstest]
#[tokio::test]
async fn a_second_refusal_for_nothing_waits_for_the_application_whatever_happens_in_between(
    #[values(Turn::Say(ErrorKind::Http { status: 500 }, 500), Turn::Later(Duration::from_secs(900)))]
    between: Turn,
    #[values(false, true)] restarted: bool,
) {
    let net = Switches::new();
    let store = memory().await;
    // Of what fails it is certain that it does not go again by itself.
    let slow = OutboxSettings::new().backoff(Duration::from_secs(900), Duration::from_secs(900));
    let configured = |made: larder::Builder| made.store(Arc::clone(&store)).outbox(slow.clone());
    let mut repo = with_row(&net, configured).await;
    net.next(Turn::Say(ErrorKind::Conflict, 409));
    // The row is read: what is lost of a write is lost of no read.
    net.next(Turn::LoseReply);
    net.next(between);
    drop(repo.upsert(&note("1", "mine", 1)).await.unwrap());
    repo.outbox().drain().await;
    let waits = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!((waits[0].attempts, waits[0].parked), (2, None));
    if restarted {
        repo.close().await;
        repo = configured(builder(&net)).build().await.unwrap();
    }
    net.poison("1", Turn::Say(ErrorKind::Conflict, 409));
    repo.outbox().drain().await;
    let left = parked(&repo, 1).await;
    assert_eq!((left[0].attempts, left[0].parked), (3, Some(ParkReason::Conflict)));
}
