//! What is written here alone, and what the remote says of those rows later.

use larder::core::DeltaScope;
use larder::{Memory, Pushed, ReadPolicy, Repository, RowState, Select, WritePolicy};
use rstest::rstest;

use crate::server::{Server, name, opened};
use crate::support::{Note, note};

/// How the remote tells.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Everything,
    Changes,
    Push,
    Resync,
}

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

fn rows(rows: &[(usize, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(id, text)| (name(*id), (*text).to_owned())).collect()
}

// Rules: w-local-only, w-local-over, s-delete, s-delta, s-resync
#[rstest]
#[tokio::test]
async fn what_is_written_here_alone_stands_until_the_remote_says_something_of_a_row_that_it_has(
    #[values(Way::Everything, Way::Changes, Way::Push, Way::Resync)] way: Way,
) {
    let server = Server::telling(Memory::new()).await;
    if way == Way::Everything {
        *server.scope.lock().unwrap() = DeltaScope::Nothing;
    }
    server.fill(5).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    let alone = repo.writing(WritePolicy::LocalOnly);
    for id in [1, 2, 9] {
        drop(alone.upsert(&note(&name(id), "mine", 1)).await.unwrap());
    }
    drop(alone.delete::<Note>(name(3)).await.unwrap());
    drop(alone.delete::<Note>(name(4)).await.unwrap());
    let mine = rows(&[(0, "theirs"), (1, "mine"), (2, "mine"), (9, "mine")]);
    assert_eq!(here(&repo).await, mine);
    if way == Way::Changes {
        repo.sync().model::<Note>().unwrap().await.unwrap();
        assert_eq!(here(&repo).await, mine, "it has said nothing new of them");
    }
    // Of 1 and 9 it says that they are gone, of 2 and 4 that somebody has written them; 3 is as it was.
    server.write(&name(1), None).await;
    for id in [2, 4] {
        server.write(&name(id), Some(note(&name(id), "new", 2))).await;
    }
    match way {
        Way::Push => {
            let new = [2, 4].map(|id| note(&name(id), "new", 2));
            repo.pushed(Pushed::rows(new)).await.unwrap();
            repo.pushed(Pushed::<Note>::deleted([name(1), name(9)])).await.unwrap();
        }
        Way::Resync => drop(repo.resync().model::<Note>().unwrap().await.unwrap()),
        Way::Everything | Way::Changes => drop(repo.sync().model::<Note>().unwrap().await.unwrap()),
    }
    // Who tells everything tells of 3 as well.
    let mut then = rows(&[(0, "theirs"), (2, "new"), (3, "theirs"), (4, "new"), (9, "mine")]);
    if matches!(way, Way::Changes | Way::Push) {
        then.remove(2);
    }
    assert_eq!(here(&repo).await, then);
    let state = repo.sync_state::<Note>(name(9)).await.unwrap().unwrap().state;
    assert_eq!(state, RowState::Local, "the remote never had it");
}

// Rules: w-local-over
#[tokio::test]
async fn what_is_queued_for_a_row_outlives_its_deletion_with_what_was_written_here_alone() {
    let server = Server::telling(Memory::new()).await;
    server.fill(1).await;
    let repo = server.builder(opened(Memory::new()).await).paused().build().await.unwrap();
    repo.sync().model::<Note>().unwrap().await.unwrap();
    drop(repo.upsert(&note(&name(0), "queued", 1)).await.unwrap());
    drop(repo.writing(WritePolicy::LocalOnly).upsert(&note(&name(0), "mine", 1)).await.unwrap());
    server.write(&name(0), None).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(here(&repo).await, rows(&[(0, "mine")]), "it is created again, so it is not gone");
    repo.outbox().resume();
    repo.outbox().drain().await;
    assert_eq!(server.notes().await, rows(&[(0, "queued")]), "what was written here alone is never sent");
}
