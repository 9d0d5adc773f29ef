//! What tells of the device panics: nothing is known then, it is asked again after a backoff, and all else goes on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::runtime::BoxFuture;
use larder::core::{Provider, Store};
use larder::{AutoSync, Connectivity, OutboxEvent, OutboxEvents, Power, Repository, Select};
use rstest::rstest;
use tokio::sync::watch;

use crate::support::chaos::memory;
use crate::support::clock::{Clock, rest};
use crate::support::{Note, note};

const MINUTE: Duration = Duration::from_secs(60);

/// A device of which some questions panic.
#[derive(Debug)]
struct Device {
    online: watch::Sender<bool>,
    panics: Mutex<BTreeSet<&'static str>>,
    asked: AtomicUsize,
}

impl Device {
    fn new(online: bool, panics: &[&'static str]) -> Arc<Self> {
        let panics = Mutex::new(panics.iter().copied().collect());
        Arc::new(Self { online: watch::Sender::new(online), panics, asked: AtomicUsize::new(0) })
    }

    fn may_panic(&self, question: &str) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let panics = self.panics.lock().unwrap().contains(question);
        assert!(!panics, "{question} is not known");
    }

    fn is_well(&self) {
        self.panics.lock().unwrap().clear();
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

impl Connectivity for Device {
    fn is_online(&self) -> bool {
        self.may_panic("online");
        *self.online.borrow()
    }

    fn is_metered(&self) -> bool {
        self.may_panic("metered");
        true
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        self.may_panic("changed");
        let (mut online, later) = (self.online.subscribe(), self.panics.lock().unwrap().contains("later"));
        Box::pin(async move {
            assert!(!later, "it is not known later either");
            drop(online.wait_for(|online| *online != seen).await);
        })
    }
}

impl Power for Device {
    fn battery(&self) -> Option<u8> {
        self.may_panic("battery");
        Some(5)
    }
}

/// A repository with this device, the clock that it goes by, and its server.
async fn with(device: &Arc<Device>, auto: AutoSync) -> (Repository, Clock, Arc<dyn Store>) {
    let (clock, server) = (Clock::new(), memory().await);
    let remote: Arc<dyn Provider> = Arc::clone(&server) as _;
    let builder = Repository::builder().store(memory().await).remote(remote).model::<Note>();
    let builder = builder.connectivity(Arc::clone(device) as _).power(Arc::clone(device) as _);
    let repo = builder.auto_sync(auto).runtime(Arc::new(clock.clone())).build().await.unwrap();
    (repo, clock, server)
}

async fn has(server: &Arc<dyn Store>, id: &str) -> bool {
    let (cx, schema) = (larder::core::Context::new(), <Note as larder::Model>::schema());
    server.load(&cx, schema, &id.into()).await.unwrap().is_some()
}

/// Which parts have panicked so far.
fn panicked(events: &mut OutboxEvents) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
        if let OutboxEvent::Panicked { part, said } = event {
            parts.insert(format!("{part:?}: {said}"));
        }
    }
    parts
}

// Rules: s-panic, o-panic-parts, o-next-step
#[rstest]
#[case::over_everything(&["online", "metered", "changed"])]
#[case::over_whether_it_is_connected(&["online"])]
#[case::before_it_waits_for_a_change(&["changed"])]
#[case::while_it_waits_for_a_change(&["later"])]
#[tokio::test]
async fn whatever_a_monitor_panics_over_what_is_queued_is_sent_and_it_is_asked_seldom(
    #[case] panics: &[&'static str],
    #[values(true, false)] online: bool,
) {
    let device = Device::new(online, panics);
    let (repo, clock, server) = with(&device, AutoSync::new()).await;
    let mut events = repo.outbox().events();
    drop(repo.upsert(&note("1", "mine", 0)).await.unwrap());
    rest().await;
    // What is not known to be offline is tried.
    assert_eq!(has(&server, "1").await, online || panics.contains(&"online"));
    // An hour passes: no more than a few questions up to the longest wait, and then one in each.
    device.asked();
    for _ in 0..720 {
        clock.advance(Duration::from_secs(5)).await;
    }
    let asked = device.asked();
    assert!(asked < 120, "{asked} questions in an hour");
    assert!(panicked(&mut events).iter().all(|part| part.starts_with("Connectivity: ")));
    // Offline, and online again: that is seen within the longest wait, however often it has panicked.
    if panics.contains(&"online") {
        device.is_well();
    }
    device.online.send_replace(false);
    for _ in 0..6 {
        clock.advance(MINUTE).await;
    }
    drop(repo.upsert(&note("2", "mine", 0)).await.unwrap());
    rest().await;
    assert!(!has(&server, "2").await, "it is offline");
    device.online.send_replace(true);
    for _ in 0..6 {
        clock.advance(MINUTE).await;
    }
    assert!(has(&server, "1").await && has(&server, "2").await);
}

// Rules: s-panic
#[tokio::test]
async fn a_monitor_that_has_panicked_once_is_listened_to_again_within_half_a_second() {
    let device = Device::new(true, &["later"]);
    let (repo, clock, server) = with(&device, AutoSync::new()).await;
    let mut events = repo.outbox().events();
    rest().await;
    device.is_well();
    clock.advance(Duration::from_millis(500)).await;
    device.online.send_replace(false);
    rest().await;
    drop(repo.upsert(&note("1", "mine", 0)).await.unwrap());
    rest().await;
    assert!(!has(&server, "1").await);
    device.online.send_replace(true);
    rest().await;
    // Others have regained their connection as well.
    clock.advance(Duration::from_secs(2)).await;
    assert!(has(&server, "1").await);
    assert!(panicked(&mut events).len() <= 1);
}

// Rules: s-panic, s-conditions
#[rstest]
#[case::whether_it_is_metered(AutoSync::new().at_start().only_unmetered(), "metered", "Connectivity")]
#[case::how_full_the_battery_is(AutoSync::new().at_start().only_above(20), "battery", "Power")]
#[tokio::test]
async fn what_is_not_known_of_the_device_holds_no_sync_back(
    #[case] auto: AutoSync,
    #[case] question: &'static str,
    #[case] part: &str,
) {
    for knows in [false, true] {
        let device = Device::new(true, if knows { &[] } else { std::slice::from_ref(&question) });
        let (repo, clock, _) = with(&device, auto.clone()).await;
        let mut events = repo.outbox().events();
        rest().await;
        clock.advance(MINUTE).await;
        let known = repo.coverage(Select::<Note>::all()).await.unwrap();
        assert_eq!(known.is_some(), !knows, "it is metered, and the battery is low");
        let told = panicked(&mut events);
        assert_eq!(told.iter().any(|told| told.starts_with(part)), !knows, "{told:?}");
    }
}
