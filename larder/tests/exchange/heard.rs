//! What is heard of a row while a change under its given key is on its way, and an earlier one under its temporary key is
//! still to go.

use larder::{PermanentFailure, Select};

use super::*;
use crate::club::Then;
use crate::races::{Said, both_keys, settings};

/// What becomes of the change that is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comes {
    Parked,
    Reverted,
    /// It is in conflict, and goes on.
    Merged,
    /// It never left.
    Unsent,
}

// Rules: m-key-server-refs, s-pending
#[rstest]
#[tokio::test]
async fn what_another_device_has_changed_stands_if_the_later_change_is_not_accepted(
    #[values(Comes::Parked, Comes::Reverted, Comes::Merged, Comes::Unsent)] comes: Comes,
    #[values(false, true)] unversioned: bool,
) {
    let server = Server::default();
    server.unversioned.store(unversioned, Ordering::Relaxed);
    server.once.store(comes == Comes::Unsent, Ordering::Relaxed);
    let settings = match comes {
        Comes::Reverted => settings().on_permanent_failure::<Team>(PermanentFailure::Revert),
        _ => settings(),
    };
    let then = match comes {
        Comes::Parked | Comes::Reverted => Then::Refused,
        Comes::Merged => Then::Disputed,
        Comes::Unsent => Then::Unreachable,
    };
    let (repo, sent) = both_keys(&server, settings, then, Said::Parent).await;
    let there = server.rows::<Team>().await.remove(0);
    server.elsewhere(&Team { number: 18, name: "root".into(), ..Team::default() }).await;
    server.elsewhere(&Team { parent: Some(One::to(18)), ..there }).await;
    let _ = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap();
    repo.outbox().pause();
    sent.go.notify_one();
    while repo.status().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(local::<Team>(&repo).await[0].name, "sky", "nothing that is shown here goes away");
    repo.outbox().resume();
    let status = soon(repo.outbox().settled()).await;
    let failed = matches!(comes, Comes::Parked | Comes::Reverted);
    assert_eq!(status.parked, usize::from(failed));
    assert_eq!(server.seen()[1], "update Team 17 Team:18", "the earlier change goes: {:?}", server.seen());
    let there = server.rows::<Team>().await.remove(0);
    let parent = if failed { 18 } else { 17 };
    assert_eq!((there.name.as_str(), there.parent), ("sky", Some(One::to(parent))), "{:?}", server.seen());
}

// Rules: m-key-server-refs, s-pending
#[rstest]
#[case::and_so_does_what_was_queued_before([("sky", None), ("sky", Some(17))])]
#[case::or_another_one([("blue", Some(18)), ("sky", Some(17))])]
#[tokio::test]
async fn a_change_that_never_left_is_put_on_what_was_heard_meanwhile(
    #[case] rows: [(&str, Option<i64>); 2],
    #[values(false, true)] unversioned: bool,
) {
    let server = Server::default();
    server.unversioned.store(unversioned, Ordering::Relaxed);
    server.once.store(true, Ordering::Relaxed);
    let (repo, sent) = both_keys(&server, settings(), Then::Unreachable, Said::Parent).await;
    let there = server.rows::<Team>().await.remove(0);
    server.elsewhere(&Team { number: 18, name: "root".into(), ..Team::default() }).await;
    let [heard, last] = rows.map(|(name, parent)| (name.to_owned(), parent.map(One::to)));
    server.elsewhere(&Team { name: heard.0, parent: heard.1, ..there }).await;
    let _ = repo.reading(ReadPolicy::RemoteOnly).get(Select::<Team>::all()).await.unwrap();
    sent.go.notify_one();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let there = server.rows::<Team>().await.remove(0);
    assert_eq!((there.name, there.parent), last, "{:?}", server.seen());
}

// Rules: s-pending
#[rstest]
#[tokio::test]
async fn nor_does_one_undo_another_device_s_change_that_was_alone_and_never_left(
    #[values(false, true)] unversioned: bool,
) {
    let server = Server::default();
    server.unversioned.store(unversioned, Ordering::Relaxed);
    server.once.store(true, Ordering::Relaxed);
    let repo = builder(&server).store(Memory::new()).outbox(settings()).build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().accepted().await.unwrap();
    let sent = server.hold(Then::Unreachable);
    drop(repo.update(&blue, |team| team.name = "sky".into()).await.unwrap());
    let meanwhile = async {
        server.elsewhere(&Team { parent: Some(One::to(17)), ..Team::clone(&blue) }).await;
        let _ = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap();
    };
    sent.during(meanwhile).await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let there = server.rows::<Team>().await.remove(0);
    assert_eq!((there.name.as_str(), there.parent), ("sky", Some(One::to(17))), "{:?}", server.seen());
}
