//! Creations that are given up while others refer to what they would have created.

use larder::{OutboxSettings, PermanentFailure, QueuedMutation, Repository, Resolution};

use super::*;

/// What is queued, as "verb model".
async fn queued(repo: &Repository) -> Vec<String> {
    let queued = repo.outbox().list(0, 1000).await.unwrap();
    queued.iter().map(|one| format!("{} {}", one.operation.verb(), one.model)).collect()
}

fn shown(given_up: &[QueuedMutation]) -> Vec<String> {
    given_up.iter().map(|one| format!("{} {}", one.operation.verb(), one.model)).collect()
}

/// A repository that has Bob as the server has him; and, queued alone, a team, with Ada in it, what Ada has to do, her seat,
/// and Bob, who has come over. Beside that something that has nothing to do with them.
struct Club {
    repo: Repository,
    team: i64,
    ada: i64,
    bob: i64,
    _folder: tempfile::TempDir,
}

async fn club(server: &Server, durable: bool, parent: Option<i64>, settings: OutboxSettings) -> Club {
    let folder = tempfile::tempdir().unwrap();
    let builder = builder(server).outbox(settings);
    let repo = match durable {
        true => builder.store(Redb::at(folder.path().join("club.redb"))).build().await.unwrap(),
        false => builder.store(Memory::new()).build().await.unwrap(),
    };
    let bob = repo.upsert(&member(&repo, "Bob", None).await).await.unwrap().accepted().await.unwrap();
    server.offline(true);
    // Nothing is on its way.
    repo.outbox().pause();
    let team = repo.upsert(&team(&repo, "blue", parent).await).await.unwrap().into_row();
    let ada = repo.upsert(&member(&repo, "Ada", Some(team.number)).await).await.unwrap().into_row();
    let _ = repo.upsert(&task("tidy up", ada.number)).await.unwrap();
    let _ = repo.update(&ada, |ada| ada.name = "Ada L.".into()).await.unwrap();
    let _ = repo.upsert(&seat(team.number, ada.number)).await.unwrap();
    let _ = repo.update(&bob, |bob| bob.team = Some(One::to(team.number))).await.unwrap();
    let _ = repo.update(&bob, |bob| bob.name = "Bobby".into()).await.unwrap();
    let _ = repo.upsert(&task("alone", bob.number)).await.unwrap();
    Club { repo, team: team.number, ada: ada.number, bob: bob.number, _folder: folder }
}

fn settings() -> OutboxSettings {
    let wait = std::time::Duration::from_millis(1);
    OutboxSettings::new().without_coalescing().backoff(wait, 5 * wait)
}

/// The seq of the creation of the team.
async fn creation(repo: &Repository) -> u64 {
    let queued = repo.outbox().list(0, 1000).await.unwrap();
    queued.iter().find(|one| one.model == "Team").unwrap().seq
}

/// What is left once the team is given up with all that hangs on it, and goes on as if that had never been.
async fn without_the_team(club: &Club, server: &Server) {
    assert!(local::<Team>(&club.repo).await.is_empty());
    assert!(local::<Seat>(&club.repo).await.is_empty());
    let names: Vec<_> =
        local::<Member>(&club.repo).await.iter().map(|one| (one.name.clone(), one.team.is_some())).collect();
    assert_eq!(names, [("Bobby".to_owned(), false)], "what was changed besides stays");
    server.offline(false);
    club.repo.outbox().resume();
    settled(&club.repo).await;
    assert!(club.repo.outbox().is_empty().await.unwrap());
    at_peace(&club.repo, server).await;
    assert_eq!(server.rows::<Task>().await.len(), 1);
}

// Rules: o-discard-dependants
#[rstest]
#[tokio::test]
async fn a_creation_that_others_depend_on_is_not_given_up_alone(#[values(false, true)] durable: bool) {
    let server = Server::default();
    let club = club(&server, durable, None, settings()).await;
    let before = queued(&club.repo).await;
    let error = club.repo.outbox().discard(creation(&club.repo).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let said = error.to_string();
    for dependant in
        [format!("Member {}", club.ada), format!("Member {}", club.bob), "Task ".into(), "Seat ".into()]
    {
        assert!(said.contains(&dependant), "no {dependant} in: {said}");
    }
    assert!(said.contains("discard_with_dependants"), "{said}");
    assert_eq!(queued(&club.repo).await, before, "nothing has happened");
    assert_eq!(local::<Team>(&club.repo).await[0].number, club.team);
    server.offline(false);
    club.repo.outbox().resume();
    settled(&club.repo).await;
    at_peace(&club.repo, &server).await;
    assert_eq!(server.rows::<Member>().await.len(), 2);
}

// Rules: o-discard-dependants
#[rstest]
#[tokio::test]
async fn it_is_given_up_with_all_that_depends_on_it(#[values(false, true)] durable: bool) {
    let server = Server::default();
    let club = club(&server, durable, None, settings()).await;
    let given_up = club.repo.outbox().discard_with_dependants(creation(&club.repo).await).await.unwrap();
    let expected =
        ["update Member", "insert Seat", "insert Task", "insert Member", "update Member", "insert Team"];
    assert_eq!(shown(&given_up), expected);
    assert_eq!(given_up[0].changed, ["team"], "Bob does not come over");
    assert_eq!(given_up.last().unwrap().key, club.team.into());
    without_the_team(&club, &server).await;
    let again = club.repo.outbox().discard_with_dependants(1).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

// Rules: o-discard-dependants, o-clear
#[rstest]
#[tokio::test]
async fn clearing_gives_up_what_depends_before_what_it_depends_on(#[values(false, true)] durable: bool) {
    let server = Server::default();
    let club = club(&server, durable, None, settings()).await;
    let queued = queued(&club.repo).await.len();
    let mut lost = Vec::new();
    let cleared = club.repo.outbox().clear(|one| lost.push(one)).await.unwrap();
    assert_eq!((cleared.kept, lost.len(), lost.last().unwrap().model), (0, queued, "Team"));
    assert_eq!(usize::try_from(cleared.discarded).unwrap(), queued);
    server.offline(false);
    club.repo.outbox().resume();
    settled(&club.repo).await;
    at_peace(&club.repo, &server).await;
    assert_eq!(server.rows::<Member>().await.len(), 1);
}

// Rules: o-discard-dependants, o-revert
#[rstest]
#[tokio::test]
async fn a_creation_that_is_put_back_takes_what_depends_on_it_along(#[values(false, true)] durable: bool) {
    let server = Server::default();
    let settings = settings().on_permanent_failure::<Team>(PermanentFailure::Revert);
    // A team that the server does not take, because it has no such parent.
    let club = club(&server, durable, Some(999), settings).await;
    let ada = club.repo.find::<Member>(club.ada).await.unwrap().unwrap();
    let waits = club.repo.update(&*ada, |ada| ada.name = "Ada Lovelace".into()).await.unwrap();
    server.offline(false);
    club.repo.outbox().resume();
    soon(club.repo.outbox().settled()).await;
    let fate = soon(waits.accepted()).await.unwrap_err();
    assert_eq!(fate.kind(), ErrorKind::Cancelled, "{fate}");
    let parked = club.repo.outbox().parked().await.unwrap();
    assert!(parked.iter().all(|one| one.parked == Some(larder::ParkReason::Reverted)), "{parked:?}");
    assert!(parked.iter().all(|one| one.failure.is_some()), "each says why");
    assert_eq!(parked[0].failure.as_ref().unwrap().status, Some(422));
    for one in &parked {
        club.repo.outbox().discard(one.seq).await.unwrap();
    }
    without_the_team(&club, &server).await;
}

// Rules: o-discard-dependants, o-parked
#[tokio::test]
async fn what_depends_on_a_parked_creation_waits_until_it_is_decided() {
    let server = Server::default();
    let club = club(&server, false, Some(999), settings()).await;
    server.offline(false);
    club.repo.outbox().resume();
    let status = soon(club.repo.outbox().settled()).await;
    assert_eq!(status.parked, 1);
    let seq = club.repo.outbox().parked().await.unwrap()[0].seq;
    assert_eq!(club.repo.outbox().discard(seq).await.unwrap_err().kind(), ErrorKind::Conflict);
    club.repo.outbox().edit::<Team>(seq, |team| team.parent = None).await.unwrap();
    settled(&club.repo).await;
    at_peace(&club.repo, &server).await;
    assert_eq!(server.rows::<Member>().await.len(), 2);
}

// Rules: o-discard-dependants, c-settle
#[tokio::test]
async fn a_conflict_about_a_creation_is_not_settled_by_giving_it_up_while_others_depend_on_it() {
    let server = Server::default();
    let club = club(&server, false, None, settings()).await;
    server.disputes.store(1, Ordering::Relaxed);
    server.offline(false);
    club.repo.outbox().resume();
    assert_eq!(soon(club.repo.outbox().settled()).await.conflicts, 1);
    let conflicts = club.repo.conflicts::<Team>();
    let seq = conflicts.list().await.unwrap()[0].seq;
    for resolution in [Resolution::Theirs, Resolution::Delete] {
        let error = conflicts.settle(seq, resolution).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&format!("Member {}", club.ada)), "{error}");
    }
    conflicts.settle(seq, Resolution::Mine).await.unwrap();
    settled(&club.repo).await;
    at_peace(&club.repo, &server).await;
    assert_eq!(server.rows::<Team>().await.len(), 1);

    // One that nothing depends on is gone, and the server does not hear of it.
    server.disputes.store(1, Ordering::Relaxed);
    let alone = club.repo.upsert(&team(&club.repo, "red", None).await).await.unwrap();
    alone.accepted().await.unwrap_err();
    let seq = conflicts.list().await.unwrap()[0].seq;
    let before = server.seen().len();
    conflicts.settle(seq, Resolution::Delete).await.unwrap();
    settled(&club.repo).await;
    assert_eq!(server.seen().len(), before);
    at_peace(&club.repo, &server).await;
}

// Rules: o-discard-dependants
#[tokio::test]
async fn what_a_row_says_of_itself_keeps_nobody_from_giving_its_creation_up() {
    let server = Server::default();
    let repo = builder(&server).store(Memory::new()).outbox(settings()).paused().build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    drop(repo.update(&blue, |blue| blue.parent = Some(One::to(blue.number))).await.unwrap());
    repo.outbox().discard(creation(&repo).await).await.unwrap();
    assert!(repo.outbox().is_empty().await.unwrap() && local::<Team>(&repo).await.is_empty());
}

// Rules: o-discard-dependants
#[tokio::test]
async fn what_was_queued_before_a_row_is_created_anew_does_not_depend_on_that() {
    let server = Server::default();
    let repo = builder(&server).store(Memory::new()).outbox(settings()).paused().build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap().into_row();
    drop(repo.update(&ada, |ada| ada.team = None).await.unwrap());
    drop(repo.delete(&*blue).await.unwrap());
    drop(repo.upsert(&*blue).await.unwrap());
    let queued = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!(
        shown(&queued),
        ["insert Team", "insert Member", "update Member", "delete Team", "insert Team"]
    );
    repo.outbox().discard(queued[4].seq).await.unwrap();
    assert!(local::<Team>(&repo).await.is_empty());
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
}

// Rules: o-discard-dependants
#[tokio::test]
async fn a_creation_depends_on_that_of_another_row_whatever_was_kept_here_before() {
    let server = Server::default();
    let repo = builder(&server).store(Memory::new()).outbox(settings()).paused().build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    let ada = member(&repo, "Ada", Some(blue.number)).await;
    drop(repo.writing(WritePolicy::LocalOnly).upsert(&ada).await.unwrap());
    drop(repo.upsert(&ada).await.unwrap());
    let error = repo.outbox().discard(creation(&repo).await).await.unwrap_err();
    assert!(error.to_string().contains(&format!("Member {}", ada.number)), "{error}");
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
}
