//! Temporary keys that the application still holds, and queries that name them.

use larder::core::Query;
use larder::{Key, One, ReadPolicy, RowState, Select};

use crate::club::{Member, Server, Team, at_peace, local, member, memory, seat, task, team};
use crate::support::{settled, soon};

// Rules: m-key-server-held
#[tokio::test]
async fn a_temporary_key_finds_its_row_and_writes_go_to_it() {
    let server = Server::default();
    let repo = memory(&server).await;
    let held = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    let ada = repo.upsert(&member(&repo, "Ada", Some(held.number)).await).await.unwrap().into_row();
    settled(&repo).await;
    let found = repo.find::<Team>(held.number).await.unwrap().unwrap();
    assert_eq!(found.number, 17);
    assert_eq!(repo.sync_state::<Team>(held.number).await.unwrap().unwrap().state, RowState::Synced);
    let many = repo.find_many::<Team>([held.number, 17]).await.unwrap();
    assert!(many.iter().all(|row| row.as_ref().is_some_and(|row| row.number == 17)));
    assert_eq!(repo.count(Member::TEAM.is(held.number)).await.unwrap(), 1);
    assert!(repo.exists(Member::TEAM.is(held.number).or(Member::NAME.eq(""))).await.unwrap());
    assert_eq!(repo.get(Member::TEAM.any(Team::NUMBER.eq(held.number))).await.unwrap().len(), 1);
    // Under the key that it was given, and nothing is created anew.
    let written = repo.upsert(&Team { name: "azure".into(), ..(*held).clone() }).await.unwrap();
    assert_eq!((written.number, written.name.as_str()), (17, "azure"));
    let edited = repo.update(&held, |team| team.name.push('!')).await.unwrap();
    assert_eq!((edited.number, edited.name.as_str()), (17, "azure!"));
    let late = repo.upsert(&member(&repo, "Bob", Some(held.number)).await).await.unwrap();
    assert_eq!(late.team, Some(One::to(17)));
    let _ = repo.upsert(&seat(held.number, ada.number)).await.unwrap();
    let _ = repo.upsert(&task("first", ada.number)).await.unwrap();
    let (team, member) = (held.number, ada.number);
    repo.transaction(move |tx| {
        let mut found = tx.find::<Team>(team)?.map(|team| (*team).clone()).unwrap();
        found.name.push('?');
        tx.upsert(&Team { number: team, ..found })?;
        assert_eq!(tx.get(Member::TEAM.is(team))?.len(), 2);
        tx.upsert(&task("second", member))
    })
    .await
    .unwrap();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Team>(&repo).await[0].name, "azure!?");
    let _ = repo
        .delete::<crate::club::Seat>(Key::Composite([Key::from(team), Key::from(member)].into()))
        .await
        .unwrap();
    for task in local::<crate::club::Task>(&repo).await {
        let _ = repo.delete(&*task).await.unwrap();
    }
    let _ = repo.delete(Member::TEAM.is(held.number)).await.unwrap();
    let deleted = repo.delete(&*held).await.unwrap();
    assert_eq!(deleted.count(), 1);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert!(local::<Team>(&repo).await.is_empty());
}

// Rules: m-key-server-refs, r-watch
#[tokio::test]
async fn a_live_query_that_names_a_temporary_key_goes_on_under_the_given_one() {
    let server = Server::default();
    let repo = memory(&server).await;
    server.offline(true);
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap();
    let here = repo.reading(ReadPolicy::LocalOnly);
    let mut one = here.watch(Team::NUMBER.eq(blue.number)).unwrap();
    let mut by_key = here.watch(Select::<Team>::new(Query::key(blue.number.into()))).unwrap();
    let mut members = here.watch(Member::TEAM.is(blue.number)).unwrap();
    for rows in [soon(one.next()).await, soon(by_key.next()).await] {
        assert_eq!(rows.unwrap().unwrap()[0].number, blue.number);
    }
    assert_eq!(soon(members.next()).await.unwrap().unwrap().len(), 1);
    server.offline(false);
    ada.accepted().await.unwrap();
    let given = blue.accepted().await.unwrap().number;
    for watch in [&mut one, &mut by_key] {
        loop {
            let rows = soon(watch.next()).await.unwrap().unwrap();
            assert_eq!(rows.len(), 1, "it is there throughout");
            if rows[0].number == given {
                break;
            }
        }
    }
    loop {
        let rows = soon(members.next()).await.unwrap().unwrap();
        assert_eq!(rows.len(), 1, "it is there throughout");
        if rows[0].team == Some(One::to(given)) && rows[0].number > 0 {
            break;
        }
    }
}

// Rules: m-key-server-refs
#[tokio::test]
async fn the_remote_is_not_asked_about_keys_that_it_is_still_to_give() {
    let server = Server::default();
    let repo = memory(&server).await;
    repo.outbox().pause();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap();
    for policy in [ReadPolicy::RemoteOnly, ReadPolicy::RemoteFirst, ReadPolicy::LocalFirst] {
        let repo = repo.reading(policy);
        assert_eq!(repo.find::<Team>(blue.number).await.unwrap().unwrap().name, "blue");
        assert_eq!(repo.get(Member::TEAM.is(blue.number)).await.unwrap().len(), 1);
        assert_eq!(repo.get(Member::TEAM.is(blue.number).or(Member::TEAM.is(5))).await.unwrap().len(), 1);
        assert!(
            repo.exists(Member::FRIENDS.contains(ada.number).or(Member::TEAM.is(blue.number))).await.unwrap()
        );
        assert_eq!(repo.get(Member::TEAM.any(Team::NUMBER.eq(blue.number))).await.unwrap().len(), 1);
    }
    let asked = server.asked();
    assert!(asked.iter().any(|line| line.contains("Int(5)")), "{asked:?}");
    assert!(asked.iter().all(|line| !line.contains("Int(-")), "{asked:?}");
}
