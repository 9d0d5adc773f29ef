//! Rows begin to refer to one, or are written, while it is about to get its key or to be given up.

use std::sync::Arc;

use larder::core::Op;
use larder::{OutboxSettings, PermanentFailure, Pushed, Repository, Resolution};

use super::*;
use crate::club::Then;
use crate::support::chaos::Faults;
use crate::support::gates::{Call, Held, dequeues, marks};

pub(crate) fn settings() -> OutboxSettings {
    let wait = std::time::Duration::from_millis(1);
    OutboxSettings::new().without_coalescing().backoff(wait, 5 * wait)
}

/// A repository that sends nothing yet, over a store that can be made to wait, in which a team is queued.
pub(crate) async fn with_a_team(
    server: &Server,
    settings: OutboxSettings,
    parent: Option<i64>,
) -> (Repository, Arc<Faults>, Arc<Team>) {
    let disk = OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap();
    let (store, faults) = Faulty::over(&disk, 0);
    let repo = builder(server).store(store).outbox(settings).paused().build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", parent).await).await.unwrap().into_row();
    (repo, faults, blue)
}

/// A commit that takes a row away.
fn removes<M: Model>(number: i64) -> impl Fn(&Call<'_>) -> bool {
    move |call| {
        let of = |op: &Op| matches!(op, Op::Remove { schema, key } if *schema == M::schema() && *key == number.into());
        matches!(call, Call::Commit(batch) if batch.ops.iter().any(of))
    }
}

async fn joins(repo: &Repository, team: &Team) {
    drop(repo.upsert(&member(repo, "Ada", Some(team.number)).await).await.unwrap());
}

// Rules: m-key-server-refs
#[tokio::test]
async fn what_begins_to_refer_to_a_row_that_is_about_to_get_its_key_learns_it() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(joins(&repo, &blue)).await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Member>(&repo).await[0].team, Some(One::to(17)));
}

// Rules: m-key-server-refs, w-merge
#[tokio::test]
async fn what_is_written_to_a_row_that_is_about_to_get_its_key_is_not_lost() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async { drop(repo.update(&blue, |team| team.name = "azure".into()).await.unwrap()) }).await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "azure");
}

// Rules: m-key-server-refs, s-pending
#[tokio::test]
async fn what_is_written_to_a_row_that_a_fetch_has_brought_under_its_new_key_is_not_lost() {
    let server = Server::default();
    let (repo, faults, _blue) = with_a_team(&server, settings(), None).await;
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async {
        // The server has made the team, and its answer is not stored yet.
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        drop(repo.update(&came, |team| team.name = "azure".into()).await.unwrap());
    })
    .await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Team>(&repo).await.len(), 1);
    assert_eq!(server.rows::<Team>().await[0].name, "azure");
}

// Rules: m-key-server-refs, o-lanes, o-order
#[tokio::test]
async fn of_changes_under_both_keys_the_last_one_stands_though_it_was_sent_before_the_other_could_be() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    drop(repo.update(&blue, |team| team.name = "sky".into()).await.unwrap());
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async {
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        server.lose.store(1, Ordering::Relaxed);
        server.budget.store(1, Ordering::Relaxed);
        drop(repo.update(&came, |team| team.name = "azure".into()).await.unwrap());
        // It arrives, and nobody here knows.
        while server.lose.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    while local::<Team>(&repo).await.len() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(local::<Team>(&repo).await[0].name, "azure", "what was written last is read");
    server.budget.store(-1, Ordering::Relaxed);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "azure", "{:?}", server.seen());
}

/// What is written under the temporary key.
#[derive(Clone, Copy, Debug)]
enum Late {
    Edit,
    Put,
    Deletion,
}

// Rules: m-key-server-held
#[rstest]
#[tokio::test]
async fn what_is_written_under_the_temporary_key_as_that_is_exchanged_goes_to_the_row(
    #[values(Late::Edit, Late::Put, Late::Deletion)] late: Late,
) {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    let (exchange, temporary) = (faults.gates.hold(dequeues), Key::from(blue.number));
    repo.outbox().resume();
    soon(exchange.there.notified()).await;
    // It is still there under its temporary key, and no more as it is looked at next.
    let looks = faults.gates.hold(move |call| call.loads(Team::schema(), &temporary));
    let writes = tokio::spawn({
        let repo = repo.clone();
        async move {
            match late {
                Late::Edit => drop(repo.update(&blue, |team| team.name = "sky".into()).await.unwrap()),
                Late::Put => {
                    drop(repo.upsert(&Team { name: "sky".into(), ..(*blue).clone() }).await.unwrap());
                }
                Late::Deletion => drop(repo.delete(&blue).await.unwrap()),
            }
        }
    });
    let meanwhile = async {
        exchange.go.notify_one();
        while local::<Team>(&repo).await.iter().any(|team| team.number < 0) {
            tokio::task::yield_now().await;
        }
    };
    looks.during(meanwhile).await;
    soon(writes).await.unwrap();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let names: Vec<String> = server.rows::<Team>().await.into_iter().map(|team| team.name).collect();
    let expected: &[_] = if matches!(late, Late::Deletion) { &[] } else { &["sky"] };
    assert_eq!(names, expected, "{:?}", server.seen());
}

// Rules: m-key-server-held, w-delete
#[tokio::test]
async fn what_is_deleted_under_the_temporary_key_is_not_found_by_it_as_that_is_exchanged() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    let gone = async {
        let _ = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        drop(repo.delete(&blue).await.unwrap());
        assert_eq!(repo.find::<Team>(blue.number).await.unwrap(), None);
    };
    exchange.during(gone).await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
}

/// What is written under the given key, after the name was changed under the temporary one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    Name,
    Parent,
}

impl Said {
    async fn say(self, repo: &Repository, team: &Team) {
        match self {
            Self::Name => drop(repo.update(team, |team| team.name = "azure".into()).await.unwrap()),
            Self::Parent => drop(repo.update(team, |team| team.parent = Some(One::to(17))).await.unwrap()),
        }
    }

    /// Here and there is what was written last.
    async fn is_so(self, repo: &Repository, server: &Server) {
        settled(repo).await;
        at_peace(repo, server).await;
        let rows = server.rows::<Team>().await;
        let rows: Vec<_> = rows.iter().map(|team| (team.name.as_str(), team.parent.is_some())).collect();
        let expected: &[_] = match self {
            Self::Name => &[("azure", false)],
            Self::Parent => &[("sky", true)],
        };
        assert_eq!(rows, expected, "{:?}", server.seen());
    }
}

/// A team whose name was changed under its temporary key, and that was changed under the given one before that took its
/// place: this change is on its way, alone, and ends when it is let go.
pub(crate) async fn under_both_keys(server: &Server, then: Then, said: Said) -> (Repository, Arc<Held>) {
    both_keys(server, settings(), then, said).await
}

/// The same, with settings.
pub(crate) async fn both_keys(
    server: &Server,
    settings: OutboxSettings,
    then: Then,
    said: Said,
) -> (Repository, Arc<Held>) {
    let (repo, faults, blue) = with_a_team(server, settings, None).await;
    drop(repo.update(&blue, |team| team.name = "sky".into()).await.unwrap());
    let exchange = faults.gates.hold(dequeues);
    let sent = server.hold(then);
    repo.outbox().resume();
    let meanwhile = async {
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        said.say(&repo, &came).await;
        sent.there.notified().await;
    };
    exchange.during(meanwhile).await;
    let one = async {
        while local::<Team>(&repo).await.iter().any(|team| team.number < 0) {
            tokio::task::yield_now().await;
        }
    };
    soon(one).await;
    // Whatever can go does so.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.seen(), ["insert Team 17"]);
    (repo, sent)
}

// Rules: m-key-server-refs, o-lanes, o-order
#[rstest]
#[tokio::test]
async fn what_is_on_its_way_under_the_given_key_is_waited_for_by_what_was_queued_under_the_temporary_one(
    #[values(Then::Accepted, Then::Lost, Then::Unreachable, Then::Disputed)] then: Then,
    #[values(Said::Name, Said::Parent)] said: Said,
) {
    let server = Server::default();
    let (repo, sent) = under_both_keys(&server, then, said).await;
    sent.go.notify_one();
    said.is_so(&repo, &server).await;
}

// Rules: m-key-server-refs, o-lanes
#[rstest]
#[tokio::test]
async fn at_a_server_that_takes_whole_rows_what_was_queued_under_the_temporary_key_comes_after_what_is_on_its_way(
    #[values(Then::Accepted, Then::Lost, Then::Unreachable)] then: Then,
    #[values(Said::Name, Said::Parent)] said: Said,
) {
    let server = Server::default();
    server.unversioned.store(true, Ordering::Relaxed);
    let (repo, sent) = under_both_keys(&server, then, said).await;
    sent.go.notify_one();
    said.is_so(&repo, &server).await;
}

// Rules: m-key-server-refs, o-serial, o-order
#[rstest]
#[tokio::test]
async fn in_one_order_as_well_whatever_was_queued_under_the_temporary_key_reaches_a_server_that_takes_whole_rows(
    #[values(Said::Name, Said::Parent)] said: Said,
) {
    let server = Server::default();
    server.unversioned.store(true, Ordering::Relaxed);
    let (repo, faults, blue) = with_a_team(&server, settings().serial(), None).await;
    drop(repo.update(&blue, |team| team.name = "sky".into()).await.unwrap());
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    let meanwhile = async {
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        said.say(&repo, &came).await;
        // Whatever can be marked is.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    exchange.during(meanwhile).await;
    said.is_so(&repo, &server).await;
}

// Rules: m-key-server-refs, o-lanes, o-parked
#[rstest]
#[tokio::test]
async fn what_is_refused_under_the_given_key_keeps_nothing_that_was_queued_under_the_temporary_one(
    #[values(Said::Name, Said::Parent)] said: Said,
) {
    let server = Server::default();
    let (repo, sent) = under_both_keys(&server, Then::Refused, said).await;
    sent.go.notify_one();
    assert_eq!(soon(repo.outbox().settled()).await.parked, 1);
    assert_eq!(server.seen().len(), 2, "{:?}", server.seen());
    let refused = repo.outbox().parked().await.unwrap()[0].seq;
    repo.outbox().retry(refused).await.unwrap();
    said.is_so(&repo, &server).await;
}

/// The same, where the change under the given key is settled by the time that this takes the place of the temporary one.
async fn settled_under_the_given_key(server: &Server, first: First, said: Said) -> Repository {
    let (repo, faults, blue) = with_a_team(server, settings(), None).await;
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    let meanwhile = async {
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        match first {
            First::Name => drop(repo.update(&blue, |team| team.name = "sky".into()).await.unwrap()),
            First::Deletion => drop(repo.delete(&blue).await.unwrap()),
        }
        said.say(&repo, &came).await;
        while repo.outbox().list(0, 9).await.unwrap().len() > 2 {
            tokio::task::yield_now().await;
        }
    };
    exchange.during(meanwhile).await;
    repo
}

/// What is written under the temporary key, before the row is changed under the given one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    Name,
    Deletion,
}

// Rules: m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn what_was_written_last_stands_though_it_is_settled_before_what_was_written_under_the_temporary_key(
    #[values(Said::Name, Said::Parent)] said: Said,
    #[values(false, true)] unversioned: bool,
) {
    let server = Server::default();
    server.unversioned.store(unversioned, Ordering::Relaxed);
    let repo = settled_under_the_given_key(&server, First::Name, said).await;
    said.is_so(&repo, &server).await;
    let asked = match said {
        Said::Name => 2,
        Said::Parent => 3,
    };
    assert_eq!(server.seen().len(), asked, "nobody is told what is so no more: {:?}", server.seen());
}

// Rules: m-key-server-refs, o-order
#[tokio::test]
async fn what_was_written_before_goes_first_though_the_schedule_has_not_heard_yet_that_both_queues_are_one() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    soon(exchange.there.notified()).await;
    let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
    let mark = faults.gates.hold(marks);
    for (team, name) in [(&blue, "sky"), (&came, "azure")] {
        drop(repo.update(team, |team| team.name = name.into()).await.unwrap());
    }
    soon(mark.there.notified()).await;
    // What was written meanwhile makes the exchange look again.
    let stale = faults.gates.hold(|call| matches!(call, Call::Removed(_)));
    exchange.go.notify_one();
    soon(stale.there.notified()).await;
    let durable = faults.gates.hold(|call| matches!(call, Call::Removed(_)));
    stale.go.notify_one();
    soon(durable.there.notified()).await;
    mark.go.notify_one();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    durable.go.notify_one();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "azure", "{:?}", server.seen());
}

// Rules: m-key-server-refs, o-order
#[tokio::test]
async fn a_row_that_was_deleted_under_the_temporary_key_and_changed_under_the_given_one_is_there() {
    let server = Server::default();
    let repo = settled_under_the_given_key(&server, First::Deletion, Said::Name).await;
    Said::Name.is_so(&repo, &server).await;
    assert_eq!(server.seen().len(), 2, "{:?}", server.seen());
}

// Rules: m-key-server-refs, s-pending, r-sync-state
#[tokio::test]
async fn a_row_of_which_an_earlier_change_still_waits_is_pending_once_a_later_one_is_accepted() {
    let server = Server::default();
    let (repo, sent) = under_both_keys(&server, Then::Accepted, Said::Parent).await;
    server.offline(true);
    sent.go.notify_one();
    while repo.outbox().list(0, 9).await.unwrap().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(repo.sync_state::<Team>(17).await.unwrap().unwrap().state, RowState::Pending);
    let there = server.rows::<Team>().await;
    assert_eq!(there[0].name, "blue");
    repo.pushed(Pushed::rows(there)).await.unwrap();
    let here = local::<Team>(&repo).await;
    assert_eq!((here[0].name.as_str(), &here[0].parent), ("sky", &Some(One::to(17))));
    server.offline(false);
    Said::Parent.is_so(&repo, &server).await;
}

// Rules: m-key-server-refs, o-status
#[tokio::test]
async fn what_is_accepted_before_an_earlier_change_counts_as_pushed() {
    let server = Server::default();
    let (repo, sent) = under_both_keys(&server, Then::Accepted, Said::Parent).await;
    let before = repo.status().last_pushed;
    server.offline(true);
    sent.go.notify_one();
    while repo.outbox().list(0, 9).await.unwrap().len() > 1 || repo.status().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert!(repo.status().last_pushed > before);
    server.offline(false);
    Said::Parent.is_so(&repo, &server).await;
}

// Rules: m-key-server-refs, s-pending, c-fields
#[rstest]
#[tokio::test]
async fn what_another_device_has_changed_stands_though_it_was_heard_before_the_answer_to_the_later_change(
    #[values(false, true)] unversioned: bool,
) {
    let server = Server::default();
    server.unversioned.store(unversioned, Ordering::Relaxed);
    let (repo, sent) = under_both_keys(&server, Then::Lost, Said::Name).await;
    repo.outbox().pause();
    sent.go.notify_one();
    let lost = async {
        while repo.status().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(lost).await;
    let there = server.rows::<Team>().await.remove(0);
    assert_eq!(there.name, "azure", "the server has it, and the reply was lost");
    server.elsewhere(&Team { parent: Some(One::to(17)), ..there }).await;
    // The other device's change is heard of now, and the repeat is answered as the first one was.
    let _ = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap();
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let there = server.rows::<Team>().await.remove(0);
    assert_eq!((there.name.as_str(), there.parent), ("azure", Some(One::to(17))), "{:?}", server.seen());
}

// Rules: m-key-server-refs, o-discard
#[tokio::test]
async fn an_earlier_change_goes_on_if_a_later_one_was_put_on_what_the_server_has_and_is_given_up() {
    let server = Server::default();
    let (repo, sent) = under_both_keys(&server, Then::Disputed, Said::Parent).await;
    // The server says what it has, and no more.
    server.budget.store(1, Ordering::Relaxed);
    sent.go.notify_one();
    let waits = async {
        while repo.outbox().list(0, 9).await.unwrap()[1].attempts == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(waits).await;
    let later = repo.outbox().list(0, 9).await.unwrap()[1].seq;
    repo.outbox().pause();
    repo.outbox().discard(later).await.unwrap();
    assert_eq!(local::<Team>(&repo).await[0].name, "sky");
    assert_eq!(repo.sync_state::<Team>(17).await.unwrap().unwrap().state, RowState::Pending);
    server.budget.store(-1, Ordering::Relaxed);
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "sky", "{:?}", server.seen());
}

// Rules: o-discard-dependants
#[tokio::test]
async fn a_creation_is_not_given_up_if_something_begins_to_depend_on_it_meanwhile() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    let seq = repo.outbox().list(0, 9).await.unwrap()[0].seq;
    let held = faults.gates.hold(removes::<Team>(blue.number));
    let giving_up = repo.clone();
    let discard = tokio::spawn(async move { giving_up.outbox().discard(seq).await });
    held.during(joins(&repo, &blue)).await;
    assert_eq!(soon(discard).await.unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Member>(&repo).await[0].team, Some(One::to(17)));
}

// Rules: o-discard-dependants, c-settle
#[tokio::test]
async fn a_conflict_is_not_settled_by_giving_up_a_creation_that_something_begins_to_depend_on_meanwhile() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, settings(), None).await;
    server.disputes.store(1, Ordering::Relaxed);
    repo.outbox().resume();
    assert_eq!(soon(repo.outbox().settled()).await.conflicts, 1);
    let seq = repo.conflicts::<Team>().list().await.unwrap()[0].seq;
    let held = faults.gates.hold(removes::<Team>(blue.number));
    let settling = repo.clone();
    let settle =
        tokio::spawn(async move { settling.conflicts::<Team>().settle(seq, Resolution::Theirs).await });
    held.during(joins(&repo, &blue)).await;
    assert_eq!(soon(settle).await.unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    repo.conflicts::<Team>().settle(seq, Resolution::Mine).await.unwrap();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Member>(&repo).await[0].team, Some(One::to(17)));
}

// Rules: o-discard-dependants, o-revert
#[tokio::test]
async fn what_begins_to_depend_on_a_creation_that_is_about_to_be_put_back_is_put_back_as_well() {
    let server = Server::default();
    let settings = settings().on_permanent_failure::<Team>(PermanentFailure::Revert);
    // The server has no such parent.
    let (repo, faults, blue) = with_a_team(&server, settings, Some(999)).await;
    let held = faults.gates.hold(removes::<Team>(blue.number));
    repo.outbox().resume();
    held.during(joins(&repo, &blue)).await;
    soon(repo.outbox().settled()).await;
    let parked = repo.outbox().parked().await.unwrap();
    assert!(parked.iter().all(|one| one.parked == Some(larder::ParkReason::Reverted)), "{parked:?}");
    assert_eq!(parked.len(), 2);
    assert!(local::<Team>(&repo).await.is_empty() && local::<Member>(&repo).await.is_empty());
}

// Rules: o-discard-dependants, o-revert
#[tokio::test]
async fn what_ceases_to_depend_on_a_creation_while_that_is_put_back_stays() {
    let server = Server::default();
    let wait = std::time::Duration::from_millis(1);
    // What is written goes into the mutation that depends on the team.
    let settings = OutboxSettings::new().backoff(wait, 5 * wait);
    let settings = settings.on_permanent_failure::<Team>(PermanentFailure::Revert);
    let (repo, faults, blue) = with_a_team(&server, settings, Some(999)).await;
    let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap();
    let held = faults.gates.hold(removes::<Member>(ada.row().number));
    repo.outbox().resume();
    held.during(async { drop(repo.update(ada.row(), |ada| ada.team = None).await.unwrap()) }).await;
    soon(ada.accepted()).await.unwrap();
    soon(repo.outbox().settled()).await;
    assert_eq!(repo.outbox().parked().await.unwrap().len(), 1, "the team alone");
    assert_eq!((local::<Team>(&repo).await.len(), server.rows::<Member>().await.len()), (0, 1));
}
