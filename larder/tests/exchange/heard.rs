//! What is heard of a row while a change under its given key is on its way, and an earlier one under its temporary key is
//! still to go.

use larder::PermanentFailure;

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
    sent.go.notify_one();
    let status = soon(repo.outbox().settled()).await;
    let failed = matches!(comes, Comes::Parked | Comes::Reverted);
    assert_eq!(status.parked, usize::from(failed));
    assert_eq!(server.seen()[1], "update Team 17 Team:18", "the earlier change goes: {:?}", server.seen());
    let there = server.rows::<Team>().await.remove(0);
    let parent = if failed { 18 } else { 17 };
    assert_eq!((there.name.as_str(), there.parent), ("sky", Some(One::to(parent))), "{:?}", server.seen());
}
