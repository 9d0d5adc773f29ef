//! Syncs that nobody asks for.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::Store;
use larder::core::runtime::BoxFuture;
use larder::{AutoSync, Budget, Connectivity, Memory, Power, ReadPolicy, Repository, Select};
use tokio::sync::watch;

use crate::server::{Server, name, opened};
use crate::support::clock::{Clock, rest};
use crate::support::{Note, note, soon};

const QUARTER: Duration = Duration::from_secs(15 * 60);

/// What the device says of itself.
#[derive(Debug)]
struct Device {
    online: watch::Sender<bool>,
    metered: AtomicBool,
    battery: AtomicU8,
}

impl Connectivity for Device {
    fn is_online(&self) -> bool {
        *self.online.borrow()
    }

    fn is_metered(&self) -> bool {
        self.metered.load(Ordering::SeqCst)
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        let mut online = self.online.subscribe();
        Box::pin(async move { drop(online.wait_for(|online| *online != seen).await) })
    }
}

impl Power for Device {
    fn battery(&self) -> Option<u8> {
        Some(self.battery.load(Ordering::SeqCst))
    }
}

fn device() -> Arc<Device> {
    Arc::new(Device {
        online: watch::Sender::new(true),
        metered: AtomicBool::new(false),
        battery: AtomicU8::new(100),
    })
}

/// What the syncs came to: rows, or `None` for an error.
type Reports = Arc<Mutex<Vec<Option<u64>>>>;

struct Run {
    server: Arc<Server>,
    clock: Clock,
    reports: Reports,
    store: Arc<dyn Store>,
    repo: Repository,
}

impl Run {
    /// How many syncs there were since this was called last.
    fn syncs(&self) -> usize {
        std::mem::take(&mut *self.reports.lock().unwrap()).len()
    }
}

async fn run(auto: AutoSync, device: Option<Arc<Device>>, offline: bool) -> Run {
    let server = Server::telling(Memory::new()).await;
    server.fill(3).await;
    server.offline.store(offline, Ordering::SeqCst);
    let (clock, store, reports) = (Clock::new(), opened(Memory::new()).await, Reports::default());
    let telling = Arc::clone(&reports);
    let auto = auto.on_report(move |report| {
        telling.lock().unwrap().push(report.as_ref().ok().map(|report| report.pulled));
    });
    let mut builder = server.builder(Arc::clone(&store)).runtime(Arc::new(clock.clone())).auto_sync(auto);
    if let Some(device) = device {
        builder = builder.connectivity(Arc::<Device>::clone(&device)).power(device);
    }
    let repo = builder.build().await.unwrap();
    rest().await;
    Run { server, clock, reports, store, repo }
}

// Rules: s-auto
#[tokio::test]
async fn it_syncs_at_the_start_and_at_an_interval_and_nothing_piles_up() {
    let run = run(AutoSync::new().at_start().every(QUARTER), None, false).await;
    assert_eq!(*run.reports.lock().unwrap(), [Some(3)]);
    assert_eq!(run.syncs(), 1);
    run.clock.advance(QUARTER / 2).await;
    assert_eq!(run.syncs(), 0);
    run.clock.advance(QUARTER / 2).await;
    assert_eq!(run.syncs(), 1);
    // A device that slept for ten hours has one sync to make up for, and then keeps to its times.
    run.clock.advance(40 * QUARTER + QUARTER / 2).await;
    assert_eq!(run.syncs(), 1);
    run.clock.advance(QUARTER / 2).await;
    assert_eq!(run.syncs(), 1);
}

// Rules: s-auto, s-regained
#[tokio::test]
async fn what_could_not_be_reached_is_tried_again_after_a_backoff() {
    let run = run(AutoSync::new().at_start(), None, true).await;
    assert_eq!(*run.reports.lock().unwrap(), [None]);
    run.syncs();
    run.clock.advance(Duration::from_millis(500)).await;
    assert_eq!(run.syncs(), 1, "the first wait is within half a second");
    for _ in 0..20 {
        run.clock.advance(5 * 60 * Duration::from_secs(1)).await;
    }
    assert!((20..=22).contains(&run.syncs()), "the longest is within five minutes");
    run.server.offline.store(false, Ordering::SeqCst);
    run.clock.advance(5 * 60 * Duration::from_secs(1)).await;
    assert_eq!(*run.reports.lock().unwrap(), [Some(3)]);
    run.syncs();
    run.clock.advance(40 * QUARTER).await;
    assert_eq!(run.syncs(), 0, "nothing else sets it off");
}

// Rules: s-regained
#[tokio::test]
async fn an_answer_after_an_outage_sets_it_off_without_any_wait() {
    let run = run(AutoSync::new().when_regained(), None, false).await;
    assert_eq!(run.syncs(), 0);
    let fresh = run.repo.reading(ReadPolicy::RemoteFirst);
    drop(fresh.get(Select::<Note>::all()).await.unwrap());
    rest().await;
    assert_eq!(run.syncs(), 0, "nothing was regained");
    run.server.offline.store(true, Ordering::SeqCst);
    drop(fresh.get(Select::<Note>::all()).await);
    // What is written meanwhile waits for a backoff …
    drop(run.repo.upsert(&note("a", "mine", 1)).await.unwrap());
    rest().await;
    run.server.offline.store(false, Ordering::SeqCst);
    assert_eq!(run.repo.safe_to_wipe().await.unwrap().entries, 1);
    drop(fresh.get(Select::<Note>::all()).await.unwrap());
    rest().await;
    // … which is cut short too.
    assert_eq!((run.syncs(), run.repo.safe_to_wipe().await.unwrap().entries), (1, 0));
}

// Rules: s-regained
#[tokio::test]
async fn without_any_trigger_an_answer_after_an_outage_cuts_a_backoff_short() {
    let run = run(AutoSync::new(), None, true).await;
    drop(run.repo.upsert(&note("a", "mine", 1)).await.unwrap());
    let fresh = run.repo.reading(ReadPolicy::RemoteOnly);
    assert!(fresh.get(Select::<Note>::all()).await.is_err());
    rest().await;
    run.server.offline.store(false, Ordering::SeqCst);
    rest().await;
    assert_eq!(run.repo.safe_to_wipe().await.unwrap().entries, 1, "nobody has moved the clock");
    drop(fresh.get(Select::<Note>::all()).await.unwrap());
    rest().await;
    assert_eq!(run.repo.safe_to_wipe().await.unwrap().entries, 0);
}

// Rules: s-conditions
#[tokio::test]
async fn a_sync_that_is_due_waits_for_all_conditions() {
    let device = device();
    device.online.send_replace(false);
    device.metered.store(true, Ordering::SeqCst);
    device.battery.store(20, Ordering::SeqCst);
    let auto = AutoSync::new().at_start().only_unmetered().only_above(20);
    let run = run(auto, Some(Arc::clone(&device)), false).await;
    run.clock.advance(QUARTER).await;
    assert_eq!(run.syncs(), 0);
    device.online.send_replace(true);
    run.clock.advance(QUARTER).await;
    assert_eq!(run.syncs(), 0, "it is paid for by volume");
    device.metered.store(false, Ordering::SeqCst);
    run.clock.advance(QUARTER).await;
    assert_eq!(run.syncs(), 0, "twenty percent are not above twenty");
    device.battery.store(21, Ordering::SeqCst);
    run.clock.advance(Duration::from_secs(60)).await;
    assert_eq!(run.syncs(), 1);
    run.clock.advance(QUARTER).await;
    assert_eq!(run.syncs(), 0, "it was due once");
}

// Rules: s-conditions, s-regained, s-apart
#[tokio::test]
async fn a_connection_that_is_regained_sets_it_off() {
    let device = device();
    let run = run(AutoSync::new().when_regained().only_connected(), Some(Arc::clone(&device)), false).await;
    device.online.send_replace(false);
    rest().await;
    assert_eq!(run.syncs(), 0);
    device.online.send_replace(true);
    rest().await;
    assert_eq!(run.syncs(), 0, "others have regained theirs at the same moment");
    run.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(run.syncs(), 1);
    run.clock.advance(QUARTER).await;
    assert_eq!(run.syncs(), 0, "it was set off once");
}

// Rules: s-apart
#[tokio::test]
async fn a_sync_that_waited_for_the_connection_begins_at_a_moment_of_its_own() {
    let minute = Duration::from_secs(60);
    let device = device();
    device.online.send_replace(false);
    let auto = AutoSync::new().at_start().only_connected().spread(minute);
    let run = run(auto, Some(Arc::clone(&device)), false).await;
    // A connection that is lost again has to be there again, and then it is waited as before.
    for online in [true, false, true] {
        assert_eq!(run.syncs(), 0);
        device.online.send_replace(online);
        rest().await;
        run.clock.advance(minute / 4).await;
    }
    assert_eq!(run.syncs(), 0);
    run.clock.advance(minute / 4).await;
    assert_eq!(run.syncs(), 1);
}

// Rules: s-apart
#[tokio::test]
async fn without_a_spread_nothing_waits() {
    let device = device();
    device.online.send_replace(false);
    let auto = AutoSync::new().at_start().only_connected().spread(Duration::ZERO);
    let run = run(auto, Some(Arc::clone(&device)), false).await;
    assert_eq!(run.syncs(), 0);
    device.online.send_replace(true);
    rest().await;
    assert_eq!(run.syncs(), 1);
}

// Rules: s-until, s-auto
#[tokio::test]
async fn each_sync_keeps_within_its_budget() {
    let auto = AutoSync::new().every(QUARTER).within(QUARTER, Budget::unlimited().pages(1));
    let run = run(auto, None, false).await;
    *run.server.scope.lock().unwrap() = larder::core::DeltaScope::Nothing;
    run.server.page.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        run.clock.advance(QUARTER).await;
    }
    assert_eq!(*run.reports.lock().unwrap(), [Some(1), Some(1)]);
}

// Rules: s-auto-end
#[tokio::test]
async fn it_ends_with_the_last_handle() {
    let run = run(AutoSync::new().at_start().every(QUARTER), None, false).await;
    let Run { server, clock, reports, store, repo } = run;
    let other = repo.reading(ReadPolicy::LocalOnly);
    drop(repo);
    clock.advance(QUARTER).await;
    assert_eq!(reports.lock().unwrap().len(), 2, "there is a handle left");
    drop(other);
    rest().await;
    assert_eq!(Arc::strong_count(&store), 1, "the store is free");
    server.asked();
    clock.advance(QUARTER).await;
    assert!(server.asked().is_empty());
}

// Rules: s-auto-end
#[tokio::test]
async fn closing_breaks_a_sync_off_that_hangs() {
    let run = run(AutoSync::new().every(QUARTER), None, false).await;
    let Run { server, clock, store, repo, .. } = run;
    server.hangs.store(true, Ordering::SeqCst);
    server.write(&name(9), Some(note(&name(9), "new", 1))).await;
    clock.advance(QUARTER).await;
    soon(repo.close()).await;
    rest().await;
    assert_eq!(Arc::strong_count(&store), 1);
}
