//! A row is deleted under the key that the server has given, before that has taken the place of the temporary one, under
//! which something is still queued: the deletion is on its way as both queues become one.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder::core::Store;
use larder::{
    Happened, Operation, OutboxEvent, OutboxEvents, Pushed, QueuedMutation, Repository, Resolution,
};

use Write::{Delete, Edit, Put};

use super::*;
use crate::club::Then;
use crate::races::settings;
use crate::support::chaos::Faults;
use crate::support::gates::{Held, dequeues};

/// A team of which the server has made one, and whose answer is not stored yet.
struct Scene {
    server: Server,
    repo: Repository,
    /// Under its temporary key.
    blue: Arc<Team>,
    /// Under the given one.
    came: Arc<Team>,
    exchange: Arc<Held>,
    faults: Arc<Faults>,
    events: OutboxEvents,
    _folder: tempfile::TempDir,
}

/// What the application writes.
#[derive(Clone, Copy, Debug)]
enum Write {
    /// It changes the name under the temporary key.
    Edit,
    /// It deletes the row under the given key.
    Delete,
    /// It puts one under the given key.
    Put,
}

impl Scene {
    async fn begin(durable: bool) -> Self {
        let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
        let disk: Arc<dyn Store> = match durable {
            true => {
                let disk = Redb::at(folder.path().join("club.redb"));
                OpenStore::open(Box::new(disk), &opening()).await.unwrap()
            }
            false => OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap(),
        };
        let (store, faults) = Faulty::over(&disk, 0);
        let repo = builder(&server).store(store).outbox(settings()).paused().build().await.unwrap();
        let events = repo.outbox().events();
        let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
        let exchange = faults.gates.hold(dequeues);
        repo.outbox().resume();
        soon(exchange.there.notified()).await;
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        Self { server, repo, blue, came, exchange, faults, events, _folder: folder }
    }

    /// Writes, and gives the name that the row has then.
    async fn write(&self, nth: usize, write: Write) -> Option<String> {
        let Self { repo, blue, came, .. } = self;
        let name = format!("{write:?} {nth}");
        match write {
            Edit => drop(repo.update(blue, |team| team.name.clone_from(&name)).await.unwrap()),
            Put => drop(repo.upsert(&Team { name: name.clone(), ..(**came).clone() }).await.unwrap()),
            Delete => {
                let _ = repo.delete(came).await.unwrap();
                return None;
            }
        }
        Some(name)
    }

    /// At rest, this is what the rows at the server are called.
    async fn ends_with(&self, then: impl IntoIterator<Item = impl ToString>) {
        settled(&self.repo).await;
        at_peace(&self.repo, &self.server).await;
        let rows = self.server.rows::<Team>().await;
        let names: Vec<String> = rows.into_iter().map(|team| team.name).collect();
        let then: Vec<String> = then.into_iter().map(|name| name.to_string()).collect();
        assert_eq!(names, then, "{:?}", self.server.seen());
    }

    /// The row has its key, and whatever can go has done so.
    async fn exchanged(&self) {
        self.exchange.go.notify_one();
        let one = async {
            while local::<Team>(&self.repo).await.iter().any(|team| team.number == self.blue.number) {
                tokio::task::yield_now().await;
            }
        };
        soon(one).await;
        self.rests().await;
    }

    /// The deletion is settled, while the answer with the key is still to be stored.
    async fn deleted(&self) {
        let deletes = |queued: &QueuedMutation| queued.operation == Operation::Delete;
        let gone = async {
            while self.repo.outbox().list(0, 9).await.unwrap().iter().any(deletes) {
                tokio::task::yield_now().await;
            }
        };
        soon(gone).await;
        self.rests().await;
    }

    /// Whatever can go does so.
    async fn rests(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// The deletion is answered, and the answer with the key stored.
    async fn answer(&self, sent: &Held, exchanged_first: bool) {
        if exchanged_first {
            self.exchanged().await;
            assert_eq!(self.server.seen(), ["insert Team 17"], "nothing goes beside the deletion");
            sent.go.notify_one();
        } else {
            sent.go.notify_one();
            self.deleted().await;
            self.exchanged().await;
        }
    }

    /// What has become of the first four mutations.
    async fn ends(&mut self) -> Vec<Happened> {
        let mut ends = BTreeMap::new();
        while ends.len() < 4 {
            if let OutboxEvent::Mutation { seq, what, .. } = soon(self.events.next()).await.unwrap()
                && !matches!(what, Happened::Queued | Happened::Sent { .. })
            {
                assert_eq!(ends.insert(seq, what), None, "it ends once");
            }
        }
        ends.into_values().collect()
    }
}

// Rules: m-key-server-refs, o-lanes, o-fate
#[rstest]
#[tokio::test]
async fn what_was_changed_before_the_deletion_of_its_row_asks_nobody_once_that_is_accepted(
    #[values(false, true)] durable: bool,
    #[values(false, true)] unversioned: bool,
    #[values(false, true)] exchanged_first: bool,
) {
    let mut scene = Scene::begin(durable).await;
    scene.server.unversioned.store(unversioned, Ordering::Relaxed);
    let sky = scene.repo.update(&scene.blue, |team| team.name = "sky".into()).await.unwrap();
    let again = scene.repo.update(&scene.blue, |team| team.name = "grey".into()).await.unwrap();
    let sent = scene.server.hold(Then::Accepted);
    let deleted = scene.repo.delete(&scene.came).await.unwrap();
    soon(sent.there.notified()).await;
    scene.answer(&sent, exchanged_first).await;
    soon(deleted.accepted()).await.unwrap();
    // They have become one with it, as they would have if none of them had been sent.
    soon(sky.accepted()).await.unwrap();
    soon(again.accepted()).await.unwrap();
    settled(&scene.repo).await;
    at_peace(&scene.repo, &scene.server).await;
    assert_eq!(scene.server.seen(), ["insert Team 17", "delete Team 17"]);
    assert_eq!(
        scene.ends().await,
        [Happened::Accepted, Happened::Covered, Happened::Covered, Happened::Accepted]
    );
}

/// Here and there is what the application has written last, and nobody is asked.
async fn check(writes: &[Write], then: Then, exchanged_first: bool, durable: bool) {
    let scene = Scene::begin(durable).await;
    let sent = scene.server.hold(then);
    let mut last = None;
    for (nth, write) in writes.iter().enumerate() {
        last = scene.write(nth, *write).await;
    }
    soon(sent.there.notified()).await;
    scene.answer(&sent, exchanged_first).await;
    let stuck = soon(scene.repo.outbox().settled()).await;
    assert_eq!((stuck.parked, stuck.conflicts), (0, 0), "{:?}", scene.server.seen());
    scene.ends_with(last).await;
}

// Rules: m-key-server-refs, o-lanes, o-order
#[rstest]
#[tokio::test]
async fn what_the_application_wrote_last_is_so_where_the_key_comes_before_the_answer_to_the_deletion(
    #[values(
        &[Delete],
        &[Edit, Delete],
        &[Delete, Edit],
        &[Edit, Delete, Put],
        &[Delete, Edit, Put],
        &[Delete, Put, Edit],
        &[Edit, Edit, Delete, Edit],
        &[Edit, Delete, Put, Edit]
    )]
    writes: &[Write],
    #[values(Then::Accepted, Then::Lost, Then::Unreachable, Then::Disputed)] then: Then,
    #[values(false, true)] durable: bool,
) {
    check(writes, then, true, durable).await;
}

// Rules: m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn what_the_application_wrote_last_is_so_where_the_deletion_is_settled_before_the_key_is_here(
    #[values(
        &[Delete],
        &[Edit, Delete],
        &[Delete, Edit],
        &[Edit, Delete, Put],
        &[Delete, Edit, Put],
        &[Delete, Put, Edit],
        &[Edit, Edit, Delete, Edit],
        &[Edit, Delete, Put, Edit],
        &[Edit, Delete, Edit, Put]
    )]
    writes: &[Write],
    #[values(Then::Accepted, Then::Lost, Then::Unreachable, Then::Disputed)] then: Then,
    #[values(false, true)] durable: bool,
) {
    check(writes, then, false, durable).await;
}

// Rules: m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn what_the_application_wrote_last_is_so_where_the_key_comes_while_the_deletion_is_being_settled(
    #[values(&[Edit, Delete], &[Delete, Edit], &[Delete, Put, Edit], &[Edit, Delete, Edit, Put, Edit])]
    writes: &[Write],
    #[values(false, true)] durable: bool,
) {
    let scene = Scene::begin(durable).await;
    let sent = scene.server.hold(Then::Accepted);
    let mut last = None;
    for (nth, write) in writes.iter().enumerate() {
        last = scene.write(nth, *write).await;
    }
    soon(sent.there.notified()).await;
    let settles = scene.faults.gates.hold(dequeues);
    sent.go.notify_one();
    settles.during(scene.exchanged()).await;
    scene.ends_with(last).await;
}

// Rules: m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn a_row_that_is_made_anew_is_made_once_though_that_is_on_its_way_as_the_key_comes(
    #[values(
        &[Delete, Put],
        &[Edit, Delete, Put],
        &[Delete, Edit, Put],
        &[Delete, Put, Edit],
        &[Delete, Edit, Put, Edit]
    )]
    writes: &[Write],
    #[values(Then::Accepted, Then::Lost, Then::Unreachable, Then::Refused)] then: Then,
    #[values(false, true)] durable: bool,
) {
    let scene = Scene::begin(durable).await;
    let sent = scene.server.hold(Then::Accepted);
    let mut last = None;
    for (nth, write) in writes.iter().enumerate() {
        last = scene.write(nth, *write).await;
    }
    soon(sent.there.notified()).await;
    let again = scene.server.hold(then);
    sent.go.notify_one();
    soon(again.there.notified()).await;
    scene.exchanged().await;
    assert_eq!(scene.server.seen(), ["insert Team 17", "delete Team 17"], "nothing goes beside it");
    again.go.notify_one();
    let stuck = soon(scene.repo.outbox().settled()).await;
    assert_eq!(stuck.parked, usize::from(then == Then::Refused), "{:?}", scene.server.seen());
    for refused in scene.repo.outbox().parked().await.unwrap() {
        scene.repo.outbox().retry(refused.seq).await.unwrap();
    }
    scene.ends_with(last).await;
}

// Rules: m-key-server-refs, s-rebase
#[rstest]
#[tokio::test]
async fn what_is_heard_of_a_row_while_its_deletion_is_on_its_way_asks_nobody(
    #[values(false, true)] gone: bool,
) {
    let scene = Scene::begin(false).await;
    let sent = scene.server.hold(Then::Accepted);
    scene.write(0, Edit).await;
    let deleted = scene.repo.delete(&scene.came).await.unwrap();
    soon(sent.there.notified()).await;
    scene.exchanged().await;
    let theirs = Team { name: "grey".into(), ..(*scene.came).clone() };
    let news = if gone { Pushed::<Team>::deleted([17]) } else { Pushed::rows([theirs]) };
    scene.repo.pushed(news).await.unwrap();
    scene.rests().await;
    assert_eq!(scene.repo.status().conflicts, 0);
    sent.go.notify_one();
    soon(deleted.accepted()).await.unwrap();
    settled(&scene.repo).await;
    at_peace(&scene.repo, &scene.server).await;
    assert_eq!(scene.server.rows::<Team>().await, []);
}

// Rules: m-key-server-refs
#[rstest]
#[tokio::test]
async fn what_was_changed_is_not_given_up_if_the_server_has_given_the_key_again(
    #[values(false, true)] exchanged_first: bool,
) {
    let scene = Scene::begin(false).await;
    let sent = scene.server.hold(Then::Accepted);
    scene.server.gives_again.store(true, Ordering::Relaxed);
    scene.write(0, Edit).await;
    let _ = scene.repo.delete(&scene.came).await.unwrap();
    soon(sent.there.notified()).await;
    scene.answer(&sent, exchanged_first).await;
    let stuck = soon(scene.repo.outbox().settled()).await;
    let named = scene.server.rows::<Team>().await.iter().any(|team| team.name == "Edit 0");
    assert!(named || stuck.conflicts == 1, "it has gone, or asks: {:?}", scene.server.seen());
}

// Rules: m-key-server-refs, c-settle, c-kept
#[rstest]
#[case::again(Resolution::Mine, &["Edit 1"])]
#[case::not_at_all(Resolution::Theirs, &[])]
#[tokio::test]
async fn what_was_changed_is_not_given_up_if_the_server_can_not_be_asked_whether_the_row_is_gone(
    #[case] decided: Resolution<Team>,
    #[case] then: &[&str],
    #[values(false, true)] durable: bool,
) {
    let scene = Scene::begin(durable).await;
    let sent = scene.server.hold(Then::Accepted);
    scene.write(0, Edit).await;
    scene.write(1, Edit).await;
    let deleted = scene.repo.delete(&scene.came).await.unwrap();
    soon(sent.there.notified()).await;
    scene.exchanged().await;
    scene.server.offline(true);
    sent.go.notify_one();
    soon(deleted.accepted()).await.unwrap();
    let left = scene.repo.outbox().list(0, 9).await.unwrap();
    assert_eq!(left.iter().map(|left| left.seq).collect::<Vec<_>>(), [2, 3]);
    // It goes, and the server says that the row is gone: the application decides about each.
    scene.server.offline(false);
    for conflicts in [1, usize::from(then.is_empty())] {
        assert_eq!(soon(scene.repo.outbox().settled()).await.conflicts, conflicts);
        for conflict in scene.repo.conflicts::<Team>().list().await.unwrap() {
            assert_eq!(conflict.sides.theirs, None);
            scene.repo.conflicts::<Team>().settle(conflict.seq, decided.clone()).await.unwrap();
        }
    }
    scene.ends_with(then).await;
}

// Rules: m-key-server-refs, o-fate
#[tokio::test]
async fn what_refers_to_the_row_goes_on_and_is_answered_by_the_server() {
    let scene = Scene::begin(false).await;
    let sent = scene.server.hold(Then::Accepted);
    scene.write(0, Edit).await;
    let ada = member(&scene.repo, "Ada", Some(scene.blue.number)).await;
    let ada = scene.repo.upsert(&ada).await.unwrap();
    scene.write(1, Delete).await;
    soon(sent.there.notified()).await;
    // Nobody can be in a team that is gone.
    sent.go.notify_one();
    scene.deleted().await;
    scene.exchanged().await;
    assert_eq!(soon(ada.accepted()).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(soon(scene.repo.outbox().settled()).await.parked, 1);
    let refused = scene.repo.outbox().parked().await.unwrap();
    assert_eq!((refused.len(), refused[0].model), (1, "Member"));
}

// Rules: m-key-server-refs, o-coalesce-apart
#[rstest]
#[tokio::test]
async fn what_another_account_has_changed_is_not_given_up(#[values(false, true)] exchanged_first: bool) {
    let scene = Scene::begin(false).await;
    let sent = scene.server.hold(Then::Accepted);
    scene.repo.sign_in("bob");
    scene.write(0, Edit).await;
    scene.repo.sign_out();
    let deleted = scene.repo.delete(&scene.came).await.unwrap();
    soon(sent.there.notified()).await;
    scene.answer(&sent, exchanged_first).await;
    soon(deleted.accepted()).await.unwrap();
    let left = scene.repo.outbox().list(0, 9).await.unwrap();
    assert_eq!(left.iter().map(|left| left.seq).collect::<Vec<_>>(), [2]);
    assert_eq!(scene.server.seen(), ["insert Team 17", "delete Team 17"]);
}
