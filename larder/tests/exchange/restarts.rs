//! The process is killed before the answer that gives a row its key is stored; the row was changed under both keys by then.

use larder::core::Store;

use super::*;
use crate::races::settings;
use crate::support::gates::dequeues;

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
    let disk = OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap();
    let builder = |store: Arc<dyn Store>| builder(&server).store(store).outbox(settings());
    let (store, faults) = Faulty::over(&disk, 0);
    let repo = builder(store).build().await.unwrap();
    let exchange = faults.gates.hold(dequeues);
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    soon(exchange.there.notified()).await;
    let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
    if named {
        drop(repo.update(&blue, |team| team.name = "sky".into()).await.unwrap());
    }
    match said {
        Said::Name => {
            let renamed = repo.update(&came, |team| team.name = "azure".into()).await.unwrap();
            drop(renamed.accepted().await.unwrap());
        }
        Said::Parent => {
            let moved = repo.update(&came, |team| team.parent = Some(One::to(17))).await.unwrap();
            drop(moved.accepted().await.unwrap());
        }
        Said::Deletion => drop(repo.delete(&came).await.unwrap().accepted().await.unwrap()),
    }
    faults.dead.store(true, Ordering::Relaxed);
    drop(repo);

    let repo = builder(Faulty::over(&disk, 0).0).build().await.unwrap();
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
