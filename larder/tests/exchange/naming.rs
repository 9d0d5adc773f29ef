//! Which rows a write may name whose keys are still to come, and under which of its keys a row is written.

use super::*;

// Rules: m-key-server-held
#[rstest]
#[case::the_given_one_last([-1, 17])]
#[case::the_temporary_one_last([17, -1])]
#[tokio::test]
async fn a_row_that_is_written_under_both_of_its_keys_at_once_is_written_once_as_the_last_one_says(
    #[case] numbers: [i64; 2],
    #[values(false, true)] in_a_transaction: bool,
) {
    let server = Server::default();
    let repo = memory(&server).await;
    let held = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    settled(&repo).await;
    repo.outbox().pause();
    let under = |number: i64, name: &str| Team {
        number: if number < 0 { held.number } else { number },
        name: name.into(),
        ..(*held).clone()
    };
    let both = [under(numbers[0], "azure"), under(numbers[1], "navy")];
    if in_a_transaction {
        repo.transaction(move |tx| both.iter().try_for_each(|team| tx.upsert(team))).await.unwrap();
    } else {
        let written = repo.upsert_many(&both).await.unwrap();
        assert!(written.iter().all(|row| (row.number, row.name.as_str()) == (17, "navy")));
    }
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let updates = server.seen().iter().filter(|line| line.starts_with("update")).count();
    assert_eq!((updates, server.rows::<Team>().await[0].name.as_str()), (1, "navy"), "{:?}", server.seen());
}

// Rules: m-key-server-held, w-require-remote
#[tokio::test]
async fn what_is_written_online_under_a_temporary_key_goes_to_the_row_that_has_got_another() {
    let server = Server::default();
    let repo = memory(&server).await;
    let held = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    settled(&repo).await;
    let online = repo.writing(WritePolicy::RequireRemote);
    let written = online.upsert(&Team { name: "azure".into(), ..(*held).clone() }).await.unwrap();
    assert_eq!((written.number, written.name.as_str()), (17, "azure"));
    let ada = online.upsert(&member(&repo, "Ada", Some(held.number)).await).await.unwrap();
    assert_eq!(ada.team, Some(One::to(17)));
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await.len(), 1);
}

// Rules: m-key-server-refs
#[tokio::test]
async fn rows_that_are_created_together_may_refer_to_each_other_in_one_direction() {
    let server = Server::default();
    let repo = memory(&server).await;
    let [root, mut blue] = [team(&repo, "root", None).await, team(&repo, "blue", None).await];
    blue.parent = Some(One::to(root.number));
    let _ = repo.upsert_many(&[blue, root]).await.unwrap();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let [mut red, mut pink] = [team(&repo, "red", None).await, team(&repo, "pink", None).await];
    (red.parent, pink.parent) = (Some(One::to(pink.number)), Some(One::to(red.number)));
    let refused = repo.upsert_many(&[red, pink]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert_eq!(local::<Team>(&repo).await.len(), 2, "nothing is written of what goes in a circle");
    at_peace(&repo, &server).await;
}

// Rules: m-key-server-refs
#[tokio::test]
async fn what_is_queued_may_not_name_a_row_that_is_kept_here_alone() {
    let server = Server::default();
    let repo = memory(&server).await;
    let here = repo.writing(WritePolicy::LocalOnly);
    let blue = here.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    let ada = member(&repo, "Ada", Some(blue.number)).await;
    let refused = repo.upsert(&ada).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    // Not even if it has named it before, here alone as well; and that may name what is nowhere.
    let _ = here.upsert(&ada).await.unwrap();
    assert_eq!(repo.upsert(&ada).await.unwrap_err().kind(), ErrorKind::Invalid);
    let nobody = repo.new_key(Team::NUMBER).await.unwrap();
    let _ = here.upsert(&member(&repo, "Bob", Some(nobody)).await).await.unwrap();
    assert!(repo.outbox().list(0, 9).await.unwrap().is_empty());
    // Once that row is on its way, so may be those that name it.
    let _ = repo.upsert(&*blue).await.unwrap();
    let ada = repo.upsert(&ada).await.unwrap();
    assert_eq!(ada.accepted().await.unwrap().team, Some(One::to(17)));
}

// Rules: m-key-server-refs
#[tokio::test]
async fn without_a_remote_no_key_is_ever_given_and_rows_refer_to_each_other_as_they_are() {
    let repo = larder::Repository::builder().store(Memory::new());
    let repo = repo.model::<Team>().model::<Member>().model::<Task>().model::<Seat>().build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap();
    assert_eq!(ada.team, Some(One::to(blue.number)));
}

// Rules: m-key-server-refs
#[tokio::test]
async fn a_row_may_go_on_naming_one_that_is_about_to_be_deleted() {
    let server = Server::default();
    let repo = memory(&server).await;
    repo.outbox().pause();
    let bob = repo.upsert(&member(&repo, "Bob", None).await).await.unwrap().into_row();
    let friend = |named: Member| Member { friends: Many::to([bob.number]), ..named };
    let ada = repo.upsert(&friend(member(&repo, "Ada", None).await)).await.unwrap().into_row();
    let _ = repo.delete(&*bob).await.unwrap();
    let edited = repo.update(&ada, |ada| ada.name = "Ada L.".into()).await.unwrap();
    assert_eq!((edited.name.as_str(), edited.friends.ids().count()), ("Ada L.", 1));
    // Whoever begins to name it comes too late.
    let late = repo.upsert(&friend(member(&repo, "Eve", None).await)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Invalid, "{late}");
}

// Rules: m-key-server-refs
#[tokio::test]
async fn what_names_a_row_that_gets_its_key_at_that_moment_is_made_again() {
    let server = Server::default();
    let disk = OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap();
    let (store, faults) = Faulty::over(&disk, 0);
    let repo = builder(&server).store(store).paused().build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    let ada = member(&repo, "Ada", Some(blue.number)).await;
    // It is seen that her team has no other key yet, and she is about to be looked at herself.
    let key = Key::from(ada.number);
    let held = faults.gates.hold(move |call| call.loads(Member::schema(), &key));
    let writer = tokio::spawn({
        let repo = repo.clone();
        async move { repo.upsert(&ada).await.map(|ada| ada.team.clone()) }
    });
    held.during(async {
        repo.outbox().resume();
        assert_eq!(blue.accepted().await.unwrap().number, 17);
    })
    .await;
    assert_eq!(soon(writer).await.unwrap().unwrap(), Some(One::to(17)));
    settled(&repo).await;
    at_peace(&repo, &server).await;
}

// Rules: m-key-server-held
#[tokio::test]
async fn each_part_of_a_key_that_is_made_of_keys_is_that_of_its_own_row() {
    let server = Server::default();
    let repo = memory(&server).await;
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    let ada = repo.upsert(&member(&repo, "Ada", None).await).await.unwrap().into_row();
    settled(&repo).await;
    for (team, member) in [(blue.number, ada.number), (17, ada.number), (blue.number, 18)] {
        let _ = repo.upsert(&seat(team, member)).await.unwrap();
        assert_eq!(local::<Seat>(&repo).await.len(), 1);
        let key = Key::Composite([Key::from(team), Key::from(member)].into());
        let _ = repo.delete::<Seat>(key).await.unwrap();
        assert_eq!(local::<Seat>(&repo).await.len(), 0, "{team}/{member}");
    }
    settled(&repo).await;
    at_peace(&repo, &server).await;
}

// Rules: m-key-server-refs, w-require-remote
#[tokio::test]
async fn what_the_remote_has_named_is_named_online_though_a_change_of_it_waits() {
    let server = Server::default();
    let repo = memory(&server).await;
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().accepted().await.unwrap();
    repo.outbox().pause();
    let _ = repo.update(&blue, |blue| blue.name = "azure".into()).await.unwrap();
    let online = repo.writing(WritePolicy::RequireRemote);
    let ada = online.upsert(&member(&repo, "Ada", Some(17)).await).await.unwrap();
    assert_eq!(ada.team, Some(One::to(17)));
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
}

// Rules: m-key-server-refs
#[tokio::test]
async fn the_deletion_of_a_temporary_key_of_no_row_is_not_sent() {
    let server = Server::default();
    let repo = memory(&server).await;
    repo.outbox().pause();
    let nobody = repo.new_key(Team::NUMBER).await.unwrap();
    let _ = repo.delete::<Team>(nobody).await.unwrap();
    assert!(repo.outbox().list(0, 9).await.unwrap().is_empty());
    let _ = repo.delete::<Team>(17).await.unwrap();
    assert_eq!(repo.outbox().list(0, 9).await.unwrap().len(), 1);
}
