//! Rows by how they stand towards the remote: read, filtered, watched.

use larder::{ErrorKind, RowState, Select, WritePolicy};

use crate::support::{Note, Switches, Turn, note, parked, repo, settled, soon};

async fn ids(repo: &larder::Repository, states: &[RowState]) -> Vec<String> {
    let rows = repo.in_state(states.iter().copied()).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| note.id.clone()).collect()
}

// Rules: r-sync-state
#[tokio::test]
async fn every_row_has_a_state_that_can_be_read_and_filtered_by() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("synced", "theirs", 0)).await;
    repo.sync().await.unwrap();
    let _ = repo.writing(WritePolicy::LocalOnly).upsert(&note("local", "mine", 0)).await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let _ = repo.upsert(&note("parked", "mine", 0)).await.unwrap();
    parked(&repo, 1).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("pending", "mine", 0)).await.unwrap();

    let rows = repo.get(Select::<Note>::all()).await.unwrap();
    let states: Vec<_> = rows.with_states().map(|(note, sync)| (note.id.as_str(), sync.state)).collect();
    let expected = [
        ("local", RowState::Local),
        ("parked", RowState::Parked),
        ("pending", RowState::Pending),
        ("synced", RowState::Synced),
    ];
    assert_eq!(states, expected);
    for (id, state) in expected {
        assert_eq!(ids(&repo, &[state]).await, [id]);
    }
    assert_eq!(ids(&repo, &[RowState::Parked, RowState::Synced]).await, ["parked", "synced"]);
    assert_eq!(ids(&repo, &[]).await, [""; 0]);
    let unconfirmed = repo.pending::<Note>().await.unwrap();
    assert_eq!(unconfirmed.iter().map(|note| note.id.as_str()).collect::<Vec<_>>(), ["parked", "pending"]);
}

// Rules: r-sync-state
#[tokio::test]
async fn a_condition_and_a_window_apply_to_the_rows_in_that_state() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for stars in 0..4 {
        net.elsewhere(note(&format!("theirs {stars}"), "text", stars)).await;
    }
    repo.sync().await.unwrap();
    repo.outbox().pause();
    for stars in 0..4 {
        let _ = repo.upsert(&note(&format!("mine {stars}"), "text", stars)).await.unwrap();
    }
    let pending = repo.in_state([RowState::Pending]);
    let rows = pending.get(Note::STARS.gt(0).order_by(Note::STARS.desc()).offset(1).limit(1)).await.unwrap();
    assert_eq!(rows.iter().map(|note| note.id.as_str()).collect::<Vec<_>>(), ["mine 2"]);
    assert_eq!(pending.count(Note::STARS.gt(0)).await.unwrap(), 3);
    let synced = repo.in_state([RowState::Synced]);
    assert_eq!(synced.get(Note::STARS.ge(2)).await.unwrap().len(), 2);
}

// Rules: r-sync-state
#[tokio::test]
async fn a_row_that_is_on_its_way_is_in_flight() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let mut flying = repo.in_state([RowState::InFlight]).watch(Select::<Note>::all()).unwrap();
    assert!(soon(flying.next()).await.unwrap().unwrap().is_empty());
    net.hang(true);
    let _ = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    assert_eq!(soon(flying.next()).await.unwrap().unwrap()[0].id, "1");
    assert_eq!(ids(&repo, &[RowState::InFlight]).await, ["1"]);
    assert_eq!(ids(&repo, &[RowState::Pending]).await, [""; 0]);
    net.hang(false);
    assert!(soon(flying.next()).await.unwrap().unwrap().is_empty());
    settled(&repo).await;
    assert_eq!(ids(&repo, &[RowState::Synced]).await, ["1"]);
}

// Rules: r-sync-state
#[tokio::test]
async fn a_parked_row_shows_up_in_the_watch_of_what_needs_a_decision() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let undecided = repo.in_state([RowState::Parked, RowState::Conflicted]);
    let mut live = undecided.watch(Select::<Note>::all()).unwrap();
    assert!(soon(live.next()).await.unwrap().unwrap().is_empty());
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let _ = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    let rows = soon(live.next()).await.unwrap().unwrap();
    assert_eq!((rows[0].id.as_str(), rows.states()[0].state), ("1", RowState::Parked));
    let seq = parked(&repo, 1).await[0].seq;
    repo.outbox().discard(seq).await.unwrap();
    assert!(soon(live.next()).await.unwrap().unwrap().is_empty());
}
