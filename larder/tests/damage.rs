//! A damaged store, as an application sees it.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use larder::{Builder, ErrorKind, Model, OnCorrupt, ReadPolicy, Redb, Repository, Select, Stored, Strategy};
use larder_redb::{StorageBackend, backend};
use rstest::rstest;
use support::chaos::{Faults, Faulty, memory, opened};
use support::gates::Call;
use support::{Net, Note, Switches, User, flip, local, note, settled, soon};

async fn open_with(store: Redb, net: &Arc<Switches>) -> larder::Result<Repository> {
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(net)));
    let builder = builder
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20)));
    builder.model::<Note>().model::<User>().build().await
}

async fn open(file: &Path, net: &Arc<Switches>) -> Repository {
    open_with(Redb::at(file), net).await.unwrap()
}

/// Alters one bit of every place where this stands.
fn spoil(file: &Path, what: impl AsRef<[u8]>) {
    let (bytes, what) = (std::fs::read(file).unwrap(), what.as_ref());
    let places: Vec<usize> =
        (0..bytes.len() - what.len()).filter(|at| bytes[*at..].starts_with(what)).collect();
    assert!(!places.is_empty());
    flip(file, &places);
}

// Rules: d-salvage, d-salvage-status
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_fetched_again_and_what_is_queued_goes_out() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net).await;
    for at in 0..200 {
        net.elsewhere(note(&format!("n{at:03}"), &format!("of the server {at:03}"), at)).await;
    }
    assert_eq!(repo.get(Select::<Note>::all()).await.unwrap().len(), 200);
    net.offline(true);
    for at in 0..20 {
        let _ = repo.upsert(&note(&format!("mine{at}"), "written here", at)).await.unwrap();
    }
    assert!(repo.check().await.unwrap().is_sound());
    repo.close().await;
    spoil(&file, "of the server 150");

    let repo = open(&file, &net).await;
    assert_eq!(repo.status().damage, None);
    let everything = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await;
    assert_eq!(everything.unwrap_err().kind(), ErrorKind::Corrupt);
    // It mends itself behind that answer; asking for it waits for it.
    assert_eq!(repo.salvage().await.unwrap(), None);
    let damage = repo.status().damage.expect("the status says so");
    assert_eq!((damage.rows, damage.entries, damage.lost), (219, 20, 1));
    assert!(Path::new(&damage.aside).exists());
    assert_eq!(local(&repo).await.len(), 219);
    // Nothing counts as known any more: without a remote that is an error and not a list with a hole.
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap().is_none());
    net.offline(false);
    settled(&repo).await;
    assert_eq!(repo.get(Select::<Note>::all()).await.unwrap().len(), 220);
    assert_eq!(net.notes().await.len(), 220);
    assert_eq!(repo.find::<Note>("n150").await.unwrap().unwrap().text, "of the server 150");
    assert!(repo.check().await.unwrap().is_sound());
    // It is told again after each start, until somebody has taken note of it.
    repo.close().await;
    let repo = open(&file, &net).await;
    assert_eq!(repo.status().damage.as_ref(), Some(&damage));
    repo.acknowledge(&damage).await.unwrap();
    assert_eq!(repo.status().damage, None);
    repo.close().await;
    let repo = open(&file, &net).await;
    assert_eq!(repo.status().damage, None);
    repo.close().await;
}

// Rules: d-check, d-salvage
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_whether_the_store_is_sound_is_told_and_may_have_it_mended() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net).await;
    let notes: Vec<Note> = (0..200).map(|at| note(&format!("{at}"), &format!("text {at}."), at)).collect();
    let _ = repo.writing(larder::WritePolicy::LocalOnly).upsert_many(&notes).await.unwrap();
    assert_eq!(repo.salvage().await.unwrap(), None, "there is nothing to mend");
    repo.close().await;
    spoil(&file, "text 150.");
    let repo = open(&file, &net).await;
    let late = repo.within(Duration::ZERO).check().await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    let found = repo.check().await.unwrap();
    assert!(!found.is_sound() && found.rows == 200 && repo.status().damage.is_none(), "{found:?}");
    let damage = repo.salvage().await.unwrap().expect("it was mended");
    assert_eq!((damage.rows, damage.lost), (199, 1));
    assert!(repo.check().await.unwrap().is_sound() && repo.status().damage == Some(damage));
    assert_eq!(repo.store_size().await.unwrap().bytes, std::fs::metadata(&file).unwrap().len());
    repo.close().await;
}

// Rules: s-wipe
#[tokio::test(flavor = "multi_thread")]
async fn a_wipe_that_fails_removes_nothing_and_gives_nothing_up() {
    let ((store, faults), net) = (Faulty::over(&memory().await, 1), Switches::new());
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(&net)));
    let repo = builder.model::<Note>().model::<User>().build().await.unwrap();
    net.offline(true);
    let stored = repo.upsert(&note("1", "unsent", 1)).await.unwrap();
    faults.failing.store(100, Ordering::SeqCst);
    assert_eq!(repo.wipe().await.unwrap_err().kind(), ErrorKind::Storage);
    faults.failing.store(0, Ordering::SeqCst);
    assert_eq!(local(&repo).await, ["1"]);
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 1);
    net.offline(false);
    support::soon(stored.accepted()).await.unwrap();
    repo.wipe().await.unwrap();
    assert!(local(&repo).await.is_empty() && repo.safe_to_wipe().await.unwrap().nothing());
}

// Rules: d-salvage
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_t_be_opened_is_begun_anew_unless_told_otherwise() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open(&file, &net).await;
    let _ = repo.upsert(&note("1", "a", 1)).await.unwrap();
    repo.close().await;
    // The two names of the model are in the notes and in their second copy.
    spoil(&file, "Note");
    let error = open_with(Redb::at(&file).on_corrupt(OnCorrupt::Fail), &net).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let repo = open(&file, &net).await;
    let damage = repo.status().damage.expect("the status says so");
    assert!(damage.lost > 0, "{damage:?}");
    let _ = repo.upsert(&note("2", "b", 1)).await.unwrap();
    assert_eq!(local(&repo).await, ["2"]);
    repo.close().await;
}

// Rules: d-compact
#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_time_offline_the_file_becomes_small_again() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    for by_itself in [true, false] {
        net.offline(true);
        let file = folder.path().join(format!("{by_itself}.redb"));
        let above = if by_itself { 256 << 10 } else { u64::MAX };
        let repo = open_with(Redb::at(&file).compact_above(above), &net).await.unwrap();
        let text = "x".repeat(1500);
        for some in 0..10 {
            let notes: Vec<Note> =
                (0..100).map(|at| note(&format!("{}", some * 100 + at), &text, 0)).collect();
            let _ = repo.upsert_many(&notes).await.unwrap();
        }
        let all: Vec<larder::Key> = (0..1000).map(|at| format!("{at}").into()).collect();
        let _ = repo.delete::<Note>(all).await.unwrap();
        let full = repo.store_size().await.unwrap().bytes;
        net.offline(false);
        settled(&repo).await;
        let drained = repo.store_size().await.unwrap().bytes;
        // redb gives back what is free at the end of the file, by chance more or less of it.
        assert!(by_itself || drained > full / 10, "nobody has asked for it: {full} became {drained}");
        let small = repo.compact().await.unwrap();
        assert_eq!(small, repo.store_size().await.unwrap());
        assert!(small.bytes <= full / 10, "{full} became {}", small.bytes);
        assert!(repo.check().await.unwrap().is_sound());
        repo.close().await;
    }
}

/// A store whose damage is come across at once, and an outbox that sends nothing yet.
async fn watchful(file: &Path, net: &Arc<Switches>, on_corrupt: OnCorrupt) -> (Repository, Arc<Faults>) {
    configured(file, net, on_corrupt, |builder| builder).await
}

async fn configured(
    file: &Path,
    net: &Arc<Switches>,
    on_corrupt: OnCorrupt,
    configure: impl FnOnce(Builder) -> Builder,
) -> (Repository, Arc<Faults>) {
    let store = opened(Redb::at(file).cache_size(0).on_corrupt(on_corrupt)).await;
    let (store, faults) = Faulty::over(&store, 1);
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(net))).paused();
    let builder = configure(builder.model::<Note>().model::<User>());
    (builder.build().await.unwrap(), faults)
}

/// Long enough that the store has more than one page: redb keeps the first one.
async fn wrote(repo: &Repository, id: &str) -> Stored<Note> {
    soon(repo.upsert(&note(id, &"written here ".repeat(150), 1))).await.unwrap()
}

/// Damages the entry of a note, and nothing else of it.
async fn lose(repo: &Repository, file: &Path, id: &str) {
    let queued = repo.outbox().list(0, 100).await.unwrap();
    let entry = queued.iter().find(|entry| entry.key == id.into()).unwrap();
    spoil(file, entry.id.0.as_bytes());
}

async fn is_told(stored: Stored<Note>) {
    let error = soon(stored.accepted()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("lost by damage"), "{error}");
}

// Rules: o-lost
#[rstest]
#[case::by_a_salvage(OnCorrupt::Salvage)]
#[case::by_being_given_up(OnCorrupt::Fail)]
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_mutation_whose_entry_is_lost_is_told(#[case] on_corrupt: OnCorrupt) {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let (repo, _) = watchful(&file, &net, on_corrupt).await;
    let (first, lost, last) = (wrote(&repo, "1").await, wrote(&repo, "2").await, wrote(&repo, "3").await);
    lose(&repo, &file, "2").await;
    if on_corrupt == OnCorrupt::Salvage {
        repo.salvage().await.unwrap();
        assert_eq!(repo.status().damage.unwrap().entries, 2);
    } else {
        let unreadable = repo.outbox().unreadable().await.unwrap();
        repo.outbox().discard(unreadable[0].seq).await.unwrap();
    }
    is_told(lost).await;
    assert_eq!(local(&repo).await, ["1", "2", "3"], "the row stays as it was written");
    repo.outbox().resume();
    soon(first.accepted()).await.unwrap();
    soon(last.accepted()).await.unwrap();
    // They are of two rows, and go side by side.
    let mut seen = net.seen();
    seen.sort();
    assert_eq!(seen, ["insert 1", "insert 3"]);
    repo.close().await;
}

// Rules: o-lost
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_while_the_outbox_is_looked_through_is_not_lost() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let (repo, faults) = watchful(&file, &net, OnCorrupt::Salvage).await;
    let lost = wrote(&repo, "lost").await;
    settled_loads(&repo).await;
    lose(&repo, &file, "lost").await;
    // One is about to be stored when the store begins anew.
    let storing = faults.gates.hold(|call| call.writes(Note::schema(), &"early".into()));
    let early = tokio::spawn({
        let repo = repo.clone();
        async move { wrote(&repo, "early").await }
    });
    soon(storing.there.notified()).await;
    let load = faults.gates.hold(|call| matches!(call, Call::Outbox));
    soon(repo.salvage()).await.unwrap();
    load.during(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It is stored now; and another one while the driver loads the outbox, and while it is looked through.
    let looks = [(); 2].map(|()| faults.gates.hold(|call| matches!(call, Call::Outbox)));
    storing.go.notify_one();
    let early = soon(early).await.unwrap();
    for look in &looks {
        soon(look.there.notified()).await;
    }
    let late = wrote(&repo, "late").await;
    looks.iter().for_each(|look| look.go.notify_one());
    is_told(lost).await;
    repo.outbox().resume();
    soon(early.accepted()).await.unwrap();
    soon(late.accepted()).await.unwrap();
    repo.close().await;
}

// Rules: o-lost
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_while_the_store_began_anew_is_not_lost() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let (repo, faults) = watchful(&file, &net, OnCorrupt::Salvage).await;
    let accepted = wrote(&repo, "accepted").await;
    // Its entry is gone, and the one who has removed it does not know it yet.
    let removing = faults.gates.hold(|call| matches!(call, Call::Removed(_)));
    repo.outbox().resume();
    soon(removing.there.notified()).await;
    repo.outbox().pause();
    let lost = wrote(&repo, "lost").await;
    lose(&repo, &file, "lost").await;
    let load = faults.gates.hold(|call| matches!(call, Call::Outbox));
    soon(repo.salvage()).await.unwrap();
    load.during(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    removing.go.notify_one();
    soon(accepted.accepted()).await.unwrap();
    is_told(lost).await;
    repo.close().await;
}

// Rules: o-lost, s-rebase
#[rstest]
#[case::done_as_others_did_it(false)]
#[case::overruled_as_its_row_is_gone(true)]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_pull_decides_while_the_store_begins_anew_is_not_lost(#[case] gone: bool) {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let wins = |builder: Builder| builder.conflict_strategy::<Note>(Strategy::ServerWins);
    let (repo, faults) = configured(&file, &net, OnCorrupt::Salvage, wins).await;
    let remote = repo.reading(ReadPolicy::RemoteOnly);
    net.elsewhere(note("1", "others'", 1)).await;
    let row = remote.find::<Note>("1").await.unwrap().unwrap();
    let decided = repo.update(&row, |note| note.stars = 9).await.unwrap();
    if gone {
        net.delete_elsewhere("1").await;
    } else {
        net.elsewhere(note("1", "others'", 9)).await;
    }
    let removing = faults.gates.hold(|call| matches!(call, Call::Removed(_)));
    let pull = tokio::spawn(async move { remote.find::<Note>("1").await });
    soon(removing.there.notified()).await;
    let lost = wrote(&repo, "lost").await;
    lose(&repo, &file, "lost").await;
    let load = faults.gates.hold(|call| matches!(call, Call::Outbox));
    soon(repo.salvage()).await.unwrap();
    load.during(tokio::task::yield_now()).await;
    // Long enough for the outbox to be looked through; whoever is too slow for that is not wrong.
    tokio::time::sleep(Duration::from_millis(100)).await;
    removing.go.notify_one();
    soon(pull).await.unwrap().unwrap();
    let fate = soon(decided.accepted()).await.map(drop).map_err(|error| error.kind());
    assert_eq!(fate, if gone { Err(ErrorKind::Conflict) } else { Ok(()) });
    is_told(lost).await;
    repo.close().await;
}

// Rules: o-lost
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_while_the_outbox_is_looked_through_is_not_lost() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let (repo, faults) = watchful(&file, &net, OnCorrupt::Salvage).await;
    let lost = wrote(&repo, "lost").await;
    // More than are looked at by one read: the last one is looked at later.
    let many: Vec<Note> = (0..300).map(|at| note(&format!("{at}"), "written here", at)).collect();
    let _ = repo.upsert_many(&many).await.unwrap();
    let given_up = wrote(&repo, "given up").await;
    settled_loads(&repo).await;
    lose(&repo, &file, "lost").await;
    let looks = [(); 2].map(|()| faults.gates.hold(|call| matches!(call, Call::Outbox)));
    soon(repo.salvage()).await.unwrap();
    for look in &looks {
        soon(look.there.notified()).await;
    }
    let removing = faults.gates.hold(|call| matches!(call, Call::Removed(_)));
    let discard = tokio::spawn({
        let repo = repo.clone();
        async move { repo.outbox().discard(302).await }
    });
    removing
        .during(async {
            looks.iter().for_each(|look| look.go.notify_one());
            // Long enough for the rest to be looked through; whoever is too slow for that is not wrong.
            tokio::time::sleep(Duration::from_millis(100)).await;
        })
        .await;
    soon(discard).await.unwrap().unwrap();
    assert_eq!(soon(given_up.accepted()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    is_told(lost).await;
    repo.close().await;
}

// Rules: o-lost, s-wipe
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wiped_is_cancelled_and_not_lost() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let (repo, _) = watchful(&folder.path().join("app.redb"), &net, OnCorrupt::Salvage).await;
    let stored = wrote(&repo, "1").await;
    repo.wipe().await.unwrap();
    assert_eq!(soon(stored.accepted()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    repo.close().await;
}

/// Waits until the driver has loaded what there is.
async fn settled_loads(repo: &Repository) {
    soon(async {
        while repo.status().more {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A file that can't be written to for a while.
#[derive(Debug)]
struct Stuck {
    inner: Box<dyn StorageBackend>,
    disk: Arc<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    stuck: AtomicBool,
    /// How many writes have failed.
    failed: AtomicUsize,
}

impl Disk {
    fn may_write(&self) -> io::Result<()> {
        if !self.stuck.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.failed.fetch_add(1, Ordering::SeqCst);
        Err(io::Error::other("not now"))
    }

    /// Waits until something more can't be written.
    async fn fails(&self) {
        let failed = self.failed.load(Ordering::SeqCst);
        soon(async {
            while self.failed.load(Ordering::SeqCst) < failed + 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

impl StorageBackend for Stuck {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.may_write()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.may_write()?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.may_write()?;
        self.inner.write(offset, data)
    }
}

// Rules: d-full, o-next-step, o-bookkeeping
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_could_not_be_written_to_comes_back_and_the_outbox_goes_on_by_itself(
    #[values(false, true)] on_its_way: bool,
) {
    let (folder, net, disk) = (tempfile::tempdir().unwrap(), Switches::new(), Arc::<Disk>::default());
    let (file, shared) = (folder.path().join("app.redb"), Arc::clone(&disk));
    let store = Redb::at(&file)
        .backend(move || Ok(Box::new(Stuck { inner: backend::file(&file)?, disk: Arc::clone(&shared) })));
    let repo = open_with(store, &net).await.unwrap();
    repo.outbox().pause();
    let stored = wrote(&repo, "1").await;
    if on_its_way {
        net.hang(true);
        repo.outbox().resume();
        soon(async {
            while net.seen().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    disk.stuck.store(true, Ordering::SeqCst);
    assert_eq!(repo.upsert(&note("2", "no", 1)).await.unwrap_err().kind(), ErrorKind::Storage);
    // What is queued can't be marked as sent, or settled: that is what is tried again.
    net.hang(false);
    repo.outbox().resume();
    disk.fails().await;
    assert_eq!(net.seen().len(), usize::from(on_its_way), "nothing goes that is not marked");
    disk.stuck.store(false, Ordering::SeqCst);
    // Nobody asks the store for anything.
    soon(stored.accepted()).await.unwrap();
    assert_eq!(net.seen(), ["insert 1"]);
    repo.close().await;
}
