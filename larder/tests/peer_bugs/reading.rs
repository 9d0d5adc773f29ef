//! Queries, policies, associations and live queries.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::core::OpenStore;
use larder::{ErrorKind, Many, Memory, Model, One, ReadPolicy, Repository, Select};

use crate::support::counting::{Counting, Reads};
use crate::support::{self, Net, Note, Switches, User, note, repo, settled, soon};

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Album {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) title: String,
    #[model(children = "album")]
    pub(crate) tracks: Many<Track>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Track {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) album: One<Album>,
    pub(crate) name: String,
}

pub(crate) fn album(id: u32) -> Album {
    Album { id, title: format!("album {id}"), tracks: Many::default() }
}

pub(crate) fn track(id: u32, of: u32) -> Track {
    Track { id, album: One::to(of), name: format!("track {id}") }
}

async fn counted(net: &Arc<Switches>, store: impl OpenStore) -> (Repository, Arc<Reads>) {
    let reads = Arc::<Reads>::default();
    let store = Counting { store, reads: Arc::clone(&reads) };
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(net))).cache_size(0);
    let builder = builder.model::<Note>().model::<User>().model::<Album>().model::<Track>();
    (builder.build().await.unwrap(), reads)
}

/// Brick: `isIn([])` matched everything; 664 and 659: null filters that differ by backend.
// Rules: q-in-empty, q-eq-null, q-ne, q-ne-null, q-not
#[tokio::test(flavor = "multi_thread")]
#[cfg(feature = "redb")]
async fn is_in_of_nothing_matches_everything_and_null_filters_differ_by_backend() {
    let folder = tempfile::tempdir().unwrap();
    let memory = support::builder(&Switches::new()).build().await.unwrap();
    let file = larder::Redb::at(folder.path().join("app.redb"));
    let redb = support::builder(&Switches::new()).store(file).build().await.unwrap();
    for repo in [memory, redb] {
        let tagged = |id: &str, tag: Option<&str>| Note { tag: tag.map(Into::into), ..note(id, "", 0) };
        repo.upsert_many(&[tagged("a", Some("x")), tagged("b", None), tagged("c", Some("y"))]).await.unwrap();
        let found = async |query: Select<Note>| -> String {
            let rows = repo.reading(ReadPolicy::LocalOnly).get(query).await.unwrap();
            rows.iter().map(|note| note.id.as_str()).collect()
        };
        let x = || Some("x".to_owned());
        assert_eq!(found(Note::TAG.is_in(Vec::<Option<String>>::new()).into()).await, "");
        assert_eq!(found(Note::ID.is_in(Vec::<String>::new()).into()).await, "");
        assert_eq!(found(Note::TAG.eq(None).into()).await, "b");
        assert_eq!(found(Note::TAG.ne(None).into()).await, "ac");
        assert_eq!(found(Note::TAG.ne(x()).into()).await, "c", "null is not told apart from a value");
        assert_eq!(found((!Note::TAG.eq(x())).into()).await, "bc", "and a negation is");
    }
}

/// Brick 371: through a mutable field that both calls shared.
// Rules: r-policy
#[tokio::test(flavor = "multi_thread")]
async fn two_get_calls_swap_policies() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let _ = repo.upsert(&note("1", "here", 1)).await.unwrap();
    settled(&repo).await;
    net.offline(true);
    let calls = (0..200).map(|nth| {
        let local = nth % 2 == 0;
        let policy = if local { ReadPolicy::LocalOnly } else { ReadPolicy::RemoteOnly };
        let repo = repo.reading(policy);
        let call = tokio::spawn(async move { repo.get(Select::<Note>::all()).await });
        (local, call)
    });
    for (local, call) in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(rows) => assert!(local && rows.len() == 1, "it asked nobody"),
            Err(error) => assert_eq!((local, error.kind()), (false, ErrorKind::Offline)),
        }
    }
}

/// Brick 166, 399, 429, 568.
// Rules: m-assoc-batched, m-assoc-local
#[tokio::test]
async fn each_row_loads_its_associations_by_itself_and_local_reads_call_the_server_for_them() {
    let net = Switches::new();
    let (repo, reads) = counted(&net, Memory::new()).await;
    repo.upsert_many(&(0..30).map(album).collect::<Vec<_>>()).await.unwrap();
    repo.upsert_many(&(0..90).map(|id| track(id, id % 30)).collect::<Vec<_>>()).await.unwrap();
    settled(&repo).await;
    let (asked, read) = (net.reads(), reads.queries());
    let local = repo.reading(ReadPolicy::LocalOnly);
    let albums = local.get(Select::<Album>::all().with(Album::TRACKS)).await.unwrap();
    assert!(albums.iter().all(|album| album.tracks.len() == 3));
    assert_eq!(reads.queries() - read, 2, "the albums, and the tracks of all of them");
    let tracks = local.get(Select::<Track>::all().with(Track::ALBUM)).await.unwrap();
    assert!(tracks.iter().all(|track| track.album.get().is_some()));
    assert_eq!(reads.queries() - read, 4);
    assert_eq!(net.reads(), asked, "no read of rows that are here asks the server");
}

/// Brick 533, 601.
// Rules: m-assoc-derived
#[tokio::test]
async fn the_child_is_inserted_with_its_foreign_key_and_the_parents_list_does_not_show_it() {
    let net = Switches::new();
    let (repo, _) = counted(&net, Memory::new()).await;
    let local = repo.reading(ReadPolicy::LocalOnly);
    let _ = repo.upsert(&album(1)).await.unwrap();
    let loaded = async || local.get_one(Album::ID.eq(1).with(Album::TRACKS)).await.unwrap();
    assert!(loaded().await.tracks.is_empty());
    let _ = repo.upsert(&track(7, 1)).await.unwrap();
    let list = loaded().await;
    assert_eq!(list.tracks.ids().copied().collect::<Vec<_>>(), [7]);
    let _ = repo.upsert(&album(2)).await.unwrap();
    let _ = repo.upsert(&track(7, 2)).await.unwrap();
    assert!(loaded().await.tracks.is_empty(), "nor does it show one that has gone to another");
    // A list that was loaded before writes nothing of what it does not know.
    let _ = repo.upsert(&*list).await.unwrap();
    let of = local.find::<Track>(7_u32).await.unwrap().unwrap();
    assert_eq!(of.album, One::to(2));
}

/// Brick 541.
// Rules: r-watch, w-transaction
#[tokio::test]
async fn one_event_a_row_for_a_batch_and_every_subscriber_asks_again_at_every_write() {
    let net = Switches::new();
    let (repo, reads) = counted(&net, Memory::new()).await;
    repo.outbox().pause();
    let repo = repo.reading(ReadPolicy::LocalOnly);
    let mut notes = repo.watch(Select::<Note>::all()).unwrap();
    assert!(soon(notes.next()).await.unwrap().unwrap().is_empty());
    let mut others: Vec<_> = (0..20).map(|_| repo.watch(Select::<Album>::all()).unwrap()).collect();
    for other in &mut others {
        soon(other.next()).await.unwrap().unwrap();
    }
    let others: Vec<_> =
        others.into_iter().map(|mut other| tokio::spawn(async move { other.next().await })).collect();
    tokio::task::yield_now().await;
    let before = reads.queries();
    repo.upsert_many(&(0..100).map(|nth| note(&format!("{nth:03}"), "", nth)).collect::<Vec<_>>())
        .await
        .unwrap();
    assert_eq!(soon(notes.next()).await.unwrap().unwrap().len(), 100, "all of them at once");
    let more = tokio::time::timeout(Duration::from_millis(50), notes.next()).await;
    assert!(more.is_err(), "one event for a batch");
    assert_eq!(reads.most.load(Ordering::SeqCst), 100);
    assert!(reads.queries() - before <= 3, "whoever watches something else asks nothing again");
    assert!(others.iter().all(|other| !other.is_finished()));
    others.iter().for_each(tokio::task::JoinHandle::abort);
}
