//! A store that panics by a defect of its own: whoever has called it is told, and the outbox goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::{AutoSync, ErrorKind, OutboxEvent, OutboxSettings, Part, ReadPolicy, Repository};
use rstest::rstest;

use crate::support::chaos::{Faults, Faulty, memory};
use crate::support::clock::{Clock, rest};
use crate::support::{Note, Switches, builder, local, note, settled, soon};

fn over(switches: &Arc<Switches>, store: Arc<dyn larder::core::Store>) -> larder::Builder {
    let settings = OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5));
    builder(switches).store(store).outbox(settings)
}

/// What the parts have said that panicked.
async fn said(events: &mut larder::OutboxEvents) -> (Part, String) {
    loop {
        if let OutboxEvent::Panicked { part, said } = soon(events.next()).await.unwrap() {
            return (part, said);
        }
    }
}

// Rules: o-panic-parts, o-next-step, o-bookkeeping
#[rstest]
#[tokio::test]
async fn whatever_a_store_panics_over_what_is_queued_is_sent_once(
    #[values("outbox", "entry", "load", "commit", "revision")] call: &'static str,
    #[values(1, 2, 7)] times: u64,
) {
    let (switches, disk) = (Switches::new(), memory().await);
    let repo = over(&switches, Arc::clone(&disk)).paused().build().await.unwrap();
    for id in ["1", "2", "3"] {
        drop(repo.upsert(&note(id, "mine", 0)).await.unwrap());
    }
    repo.close().await;
    let (store, faults) = Faulty::over(&disk, 1);
    let repo = over(&switches, store).build().await.unwrap();
    let mut events = repo.outbox().events();
    faults.panic_at(call, times);
    assert_eq!(said(&mut events).await, (Part::Store, format!("{call} is not what it was")));
    let mut statuses = repo.watch_status();
    // Nobody asks the outbox to go on.
    while !repo.status().is_settled() || repo.status().more {
        let _ = soon(statuses.next()).await;
    }
    let mut seen = switches.seen();
    seen.sort();
    assert_eq!(seen, ["insert 1", "insert 2", "insert 3"], "{call} panicked {times} times");
    assert!(faults.panics_left(call) < times);
    settled(&repo).await;
}

// Rules: o-panic-entry, o-unreadable
#[rstest]
#[tokio::test]
async fn entries_that_a_store_always_panics_over_hold_up_no_others_and_can_be_given_up(
    #[values(&[2], &[1, 2, 3], &[3, 8], &[8], &[1, 2, 3, 4, 5, 6, 7, 8])] cursed: &'static [u64],
) {
    let (switches, disk) = (Switches::new(), memory().await);
    let repo = over(&switches, Arc::clone(&disk)).paused().build().await.unwrap();
    for id in 1..=8 {
        drop(repo.upsert(&note(&id.to_string(), "mine", 0)).await.unwrap());
    }
    repo.close().await;
    let (store, faults) = Faulty::over(&disk, 1);
    faults.cursed.lock().unwrap().extend(cursed);
    let repo = over(&switches, store).build().await.unwrap();
    let left = cursed.len() as u64;
    soon(async {
        while repo.outbox().len().await.unwrap() > left || repo.status().more {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut seen = switches.seen();
    seen.sort();
    let sound = (1..=8).filter(|seq| !cursed.contains(seq)).map(|id| format!("insert {id}"));
    assert_eq!(seen, sound.collect::<Vec<_>>());
    let unreadable = repo.outbox().unreadable().await.unwrap();
    assert_eq!(unreadable.iter().map(|entry| entry.seq).collect::<Vec<_>>(), cursed);
    let error = &unreadable[0].error;
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("is beyond it"), "{error}");
    // Somebody decides about it, as about any that can't be read.
    repo.outbox().discard(cursed[0]).await.unwrap();
    assert_eq!(repo.outbox().len().await.unwrap(), left - 1);
    repo.close().await;
}

// Rules: o-panic-entry, o-next-step
#[rstest]
#[tokio::test]
async fn an_entry_that_a_store_panics_over_for_a_while_is_sent_all_the_same(
    #[values(1, 2, 3, 4)] list: u64,
    #[values(1, 2, 3, 4)] entry: u64,
) {
    let (switches, disk) = (Switches::new(), memory().await);
    let repo = over(&switches, Arc::clone(&disk)).paused().build().await.unwrap();
    for id in ["1", "2", "3"] {
        drop(repo.upsert(&note(id, "mine", 0)).await.unwrap());
    }
    repo.close().await;
    let (store, faults) = Faulty::over(&disk, 1);
    faults.panic_at("outbox", list);
    faults.panic_at("entry", entry);
    let repo = over(&switches, store).build().await.unwrap();
    settled(&repo).await;
    let mut seen = switches.seen();
    seen.sort();
    assert_eq!(seen, ["insert 1", "insert 2", "insert 3"]);
    repo.close().await;
}

// Rules: r-panic-store
#[rstest]
#[case::a_row_is_read("read_now")]
#[case::a_write_looks_at_its_row("load")]
#[case::a_write_is_stored("commit")]
#[tokio::test]
async fn a_call_over_which_the_store_panics_is_a_call_that_has_failed(#[case] call: &'static str) {
    let (store, faults) = Faulty::over(&memory().await, 1);
    let repo = over(&Switches::new(), store).paused().build().await.unwrap();
    let mut events = repo.outbox().events();
    drop(repo.upsert(&note("1", "mine", 0)).await.unwrap());
    let here = repo.reading(ReadPolicy::LocalOnly);
    let ask = async |text: &str| -> larder::Result<()> {
        if call == "read_now" {
            return here.find::<Note>("unknown").await.map(drop);
        }
        repo.upsert(&note("1", text, 0)).await.map(drop)
    };
    faults.panic_at(call, 1);
    let error = ask("not stored").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.contains(&format!("the store faulty panicked ({call} is not what it was)")), "{text}");
    assert_eq!(said(&mut events).await.0, Part::Store);
    assert_eq!(here.find::<Note>("1").await.unwrap().unwrap().text, "mine");
    ask("stored").await.unwrap();
    assert_eq!(local(&repo).await, ["1"]);
}

/// A repository that syncs every minute of a clock that is moved by hand, and what its syncs came to.
async fn syncing(
    faults: &mut Option<Arc<Faults>>,
) -> (Repository, Clock, Arc<Mutex<Vec<Option<ErrorKind>>>>) {
    let (store, told) = Faulty::over(&memory().await, 1);
    *faults = Some(told);
    let (clock, reports) = (Clock::new(), Arc::<Mutex<Vec<_>>>::default());
    let telling = Arc::clone(&reports);
    let auto = AutoSync::new().every(Duration::from_secs(60)).on_report(move |report| {
        telling.lock().unwrap().push(report.as_ref().err().map(larder::Error::kind));
        assert!(telling.lock().unwrap().len() != 2, "two are too many");
    });
    let remote = memory().await;
    let remote: Arc<dyn larder::core::Provider> = remote;
    let builder = Repository::builder().store(store).remote(remote).model::<Note>().auto_sync(auto);
    let repo = builder.runtime(Arc::new(clock.clone())).build().await.unwrap();
    rest().await;
    (repo, clock, reports)
}

// Rules: s-auto, o-panic-parts
#[tokio::test]
async fn syncs_in_the_background_go_on_when_the_store_has_panicked_or_who_is_told_of_them() {
    let mut faults = None;
    let (repo, clock, reports) = syncing(&mut faults).await;
    let mut events = repo.outbox().events();
    let minute = Duration::from_secs(60);
    faults.unwrap().panic_at("cursor", 1);
    for _ in 0..3 {
        clock.advance(minute).await;
    }
    assert_eq!(*reports.lock().unwrap(), [Some(ErrorKind::Corrupt), None, None]);
    assert_eq!(said(&mut events).await.0, Part::Store);
    let (part, text) = said(&mut events).await;
    assert!(part == Part::Report && text.contains("two are too many"), "{text}");
}
