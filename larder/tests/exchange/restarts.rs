//! The process is killed before the answer that gives a row its key is stored; the row was changed under both keys by then.

use larder::Repository;
use larder::core::Store;

use super::*;
use crate::races::settings;
use crate::support::chaos::Faults;
use crate::support::gates::{Held, dequeues};

/// A team whose creation the server has accepted, which is not stored yet, and which has come by a pull.
struct Created {
    repo: Repository,
    disk: Arc<dyn Store>,
    faults: Arc<Faults>,
    exchange: Arc<Held>,
    /// Under its temporary key.
    blue: Arc<Team>,
    /// Under the given one.
    came: Arc<Team>,
}

impl Created {
    async fn at(server: &Server) -> Self {
        let disk = OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap();
        let (store, faults) = Faulty::over(&disk, 0);
        let repo = builder(server).store(store).outbox(settings()).build().await.unwrap();
        let exchange = faults.gates.hold(dequeues);
        let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
        soon(exchange.there.notified()).await;
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        Self { repo, disk, faults, exchange, blue, came }
    }

    /// The answer is stored, or the process is killed before that and started again.
    async fn goes_on(self, server: &Server, killed: bool) -> Repository {
        if killed {
            return self.killed(server).await;
        }
        self.exchange.go.notify_one();
        self.repo.outbox().resume();
        self.repo
    }

    /// The process is killed, and started again.
    async fn killed(self, server: &Server) -> Repository {
        self.faults.dead.store(true, Ordering::Relaxed);
        drop(self.repo);
        let store = Faulty::over(&self.disk, 0).0;
        builder(server).store(store).outbox(settings()).build().await.unwrap()
    }
}

/// What is accepted under the given key.
#[derive(Clone, Copy, Debug)]
enum Said {
    Name,
    Parent,
    Deletion,
}

// Rules: m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn what_was_accepted_under_the_given_key_stands_though_what_was_queued_before_goes_after_a_restart(
    #[values(Said::Name, Said::Parent, Said::Deletion)] said: Said,
    #[values(false, true)] named: bool,
    #[values(false, true)] unversioned: bool,
) {
    let server = Server::default();
    server.unversioned.store(unversioned, Ordering::Relaxed);
    let created = Created::at(&server).await;
    let Created { repo, blue, came, .. } = &created;
    if named {
        drop(repo.update(blue, |team| team.name = "sky".into()).await.unwrap());
    }
    match said {
        Said::Name => {
            let renamed = repo.update(came, |team| team.name = "azure".into()).await.unwrap();
            drop(renamed.accepted().await.unwrap());
        }
        Said::Parent => {
            let moved = repo.update(came, |team| team.parent = Some(One::to(17))).await.unwrap();
            drop(moved.accepted().await.unwrap());
        }
        Said::Deletion => repo.delete(came).await.unwrap().accepted().await.unwrap(),
    }
    let repo = created.killed(&server).await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let rows = server.rows::<Team>().await;
    let rows: Vec<_> = rows.iter().map(|team| (team.name.as_str(), team.parent.is_some())).collect();
    let expected: &[_] = match said {
        Said::Name => &[("azure", false)],
        Said::Parent => &[(if named { "sky" } else { "blue" }, true)],
        Said::Deletion => &[],
    };
    assert_eq!(rows, expected, "{:?}", server.seen());
}

// Rules: m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn a_change_that_the_server_has_anyway_is_the_last_one_as_well(
    #[values(false, true)] killed: bool,
    #[values(false, true)] with_more: bool,
) {
    let server = Server::default();
    let created = Created::at(&server).await;
    let Created { repo, blue, came, .. } = &created;
    repo.outbox().pause();
    for (team, name) in [(blue, "sky"), (came, "azure")] {
        drop(repo.update(team, |team| team.name = name.into()).await.unwrap());
    }
    let parent = with_more.then(|| One::to(17));
    server.elsewhere(&Team { name: "azure".into(), parent, ..Team::clone(came) }).await;
    let _ = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap();
    assert_eq!(repo.outbox().len().await.unwrap(), 2, "nobody has to be told");
    let repo = created.goes_on(&server, killed).await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "azure", "{:?}", server.seen());
}

// Rules: m-key-server-refs, o-order
#[rstest]
#[tokio::test]
async fn nor_does_an_earlier_change_go_over_one_that_ends_as_another_is_accepted(
    #[values(false, true)] killed: bool,
) {
    let server = Server::default();
    let created = Created::at(&server).await;
    let Created { repo, blue, came, .. } = &created;
    drop(repo.update(blue, |team| team.name = "sky".into()).await.unwrap());
    let settling = created.faults.gates.hold(dequeues);
    let moved = repo.update(came, |team| team.parent = Some(One::to(17))).await.unwrap();
    let meanwhile = async {
        drop(repo.update(came, |team| team.name = "azure".into()).await.unwrap());
        let there = server.rows::<Team>().await.remove(0);
        server.elsewhere(&Team { name: "azure".into(), ..there }).await;
        let _ = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap();
    };
    settling.during(meanwhile).await;
    drop(soon(moved.accepted()).await.unwrap());
    assert_eq!(repo.outbox().len().await.unwrap(), 2, "nobody has to be told");
    let repo = created.goes_on(&server, killed).await;
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let there = server.rows::<Team>().await.remove(0);
    assert_eq!((there.name.as_str(), there.parent), ("azure", Some(One::to(17))), "{:?}", server.seen());
}
