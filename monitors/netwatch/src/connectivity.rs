//! Watches the interfaces, and tells what they mean.

use std::fmt;

use larder_core::runtime::BoxFuture;
use larder_core::{Connectivity, Error, ErrorKind, Result, Runtime};
use n0_watcher::{Direct, Watcher};
use netwatch::netmon::{Monitor, State};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::outlook::Outlook;

/// Whether this device is connected, by its network interfaces.
///
/// - Offline is a device on which no interface that is up has an address beyond the loopback and beyond a link. So a server
///   on the device itself can't be reached by it while there is no network: for such a server, leave it out.
/// - Connected is not reached: behind a captive portal, or where a bridge of virtual machines is up, the outcome of
///   requests decides, as it does without this.
/// - What waits is tried when the connection is back, when it is another one (from Wi-Fi to mobile) and when the device has
///   slept. Interfaces beside the default route wake nobody.
/// - Metered is what the system calls expensive. No system tells that today, so a connection counts as unmetered: where
///   the application knows better, it wraps this.
/// - Where the interfaces can't be read, it says connected.
///
/// It runs on tokio, whatever the runtime of the repository: netwatch has tasks of its own there, which end when this is
/// dropped. They are the only ones that don't come through the runtime; they stand outside of the engine, and what they
/// see enters it here.
///
/// ```no_run
/// use std::sync::Arc;
/// use larder_core::{Connectivity, Runtime};
/// use larder_netwatch::NetwatchConnectivity;
///
/// # async fn example(runtime: Arc<dyn Runtime>) -> larder_core::Result<()> {
/// let connectivity = NetwatchConnectivity::start(&*runtime).await?;
/// println!("connected: {}", connectivity.is_online());
/// # Ok(())
/// # }
/// ```
pub struct NetwatchConnectivity {
    seen: watch::Receiver<Seen>,
    _monitor: Monitor,
}

/// The last outlook, and how often one has been better than that before it.
#[derive(Clone, Debug)]
struct Seen {
    outlook: Outlook,
    better: u64,
}

impl NetwatchConnectivity {
    /// Looks at the interfaces, and goes on until this is dropped.
    ///
    /// # Errors
    /// `Invalid` outside of a tokio runtime, `Unsupported` if the system does not tell of changes.
    pub async fn start(runtime: &dyn Runtime) -> Result<Self> {
        Handle::try_current().map_err(|error| {
            let what = "no tokio runtime is running here: start the monitor inside one";
            Error::new(ErrorKind::Invalid, what).because(error)
        })?;
        let monitor = Monitor::new().await.map_err(|error| {
            let what = "the system does not tell of its network interfaces: leave the monitor out";
            Error::new(ErrorKind::Unsupported, what).because(std::io::Error::other(error.to_string()))
        })?;
        let seen = follow(runtime, monitor.interface_state());
        Ok(Self { seen, _monitor: monitor })
    }
}

/// Sees each state until there are no more, or nobody wants to know.
fn follow(runtime: &dyn Runtime, mut states: Direct<State>) -> watch::Receiver<Seen> {
    let first = Seen { outlook: Outlook::of(&states.get()), better: 0 };
    let (sender, receiver) = watch::channel(first);
    let task = async move {
        loop {
            let state = tokio::select! {
                state = states.updated() => state,
                () = sender.closed() => return,
            };
            let Ok(state) = state else { return };
            let outlook = Outlook::of(&state);
            sender.send_modify(|seen| {
                seen.better += u64::from(outlook.is_better_than(&seen.outlook));
                seen.outlook = outlook;
            });
        }
    };
    runtime.spawn("larder netwatch", Box::pin(task));
    receiver
}

/// Ends when the connection is no longer as it was `seen`, or a better one has come meanwhile.
fn changed(mut seen: watch::Receiver<Seen>, online: bool) -> BoxFuture<'static, ()> {
    let from = seen.borrow().better;
    Box::pin(async move {
        let is_news = |now: &Seen| now.outlook.online != online || now.better > from;
        let watched = seen.wait_for(is_news).await.is_ok();
        // Where nothing is watched any more, nothing changes.
        if !watched {
            std::future::pending::<()>().await;
        }
    })
}

impl Connectivity for NetwatchConnectivity {
    fn is_online(&self) -> bool {
        self.seen.borrow().outlook.online
    }

    fn is_metered(&self) -> bool {
        self.seen.borrow().outlook.metered
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        changed(self.seen.clone(), seen)
    }
}

impl fmt::Debug for NetwatchConnectivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetwatchConnectivity").field("seen", &*self.seen.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use larder_harness::TestRuntime;
    use n0_watcher::Watchable;

    use super::*;

    fn connected() -> State {
        State::fake()
    }

    fn unplugged() -> State {
        State { have_v4: false, have_v6: false, default_route_interface: None, ..State::fake() }
    }

    /// A system whose interfaces are what the test says, and who follows it.
    fn system(state: State) -> (Watchable<State>, watch::Receiver<Seen>) {
        let system = Watchable::new(state);
        let seen = follow(&TestRuntime::manual(1), system.watch());
        (system, seen)
    }

    /// Lets what follows see it.
    async fn pass() {
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }

    async fn becomes(system: &Watchable<State>, state: State) {
        system.set(state).unwrap();
        pass().await;
    }

    #[track_caller]
    fn check_ended(waits: &mut BoxFuture<'static, ()>, ended: bool) {
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(waits.as_mut().poll(&mut cx).is_ready(), ended);
    }

    // Rules: s-netwatch
    #[tokio::test]
    async fn a_connection_that_is_lost_and_back_is_told() {
        let (system, seen) = system(connected());
        let mut lost = changed(seen.clone(), true);
        check_ended(&mut lost, false);
        becomes(&system, unplugged()).await;
        check_ended(&mut lost, true);
        assert!(!seen.borrow().outlook.online);
        let mut back = changed(seen.clone(), false);
        check_ended(&mut back, false);
        becomes(&system, connected()).await;
        check_ended(&mut back, true);
        // Whoever was told something that holds no more does not wait.
        check_ended(&mut changed(seen, false), true);
    }

    // Rules: s-netwatch
    #[tokio::test]
    async fn one_that_was_lost_and_is_back_before_anybody_looked_is_told_too() {
        let (system, seen) = system(connected());
        let (mut one, mut other) = (changed(seen.clone(), true), changed(seen.clone(), true));
        becomes(&system, unplugged()).await;
        becomes(&system, connected()).await;
        check_ended(&mut one, true);
        check_ended(&mut other, true);
        check_ended(&mut changed(seen, true), false);
    }

    // Rules: s-netwatch
    #[tokio::test]
    async fn another_way_is_told_and_other_interfaces_are_not() {
        let (system, seen) = system(connected());
        let mut waits = changed(seen, true);
        let mut crowded = connected();
        crowded.interfaces.insert("veth0".to_owned(), crowded.interfaces["wifi0"].clone());
        becomes(&system, crowded.clone()).await;
        check_ended(&mut waits, false);
        crowded.default_route_interface = Some("veth0".to_owned());
        becomes(&system, crowded).await;
        check_ended(&mut waits, true);
    }

    #[tokio::test]
    async fn whoever_still_waits_when_the_monitor_ends_is_told_nothing() {
        let (system, seen) = system(connected());
        let mut waits = changed(seen, true);
        drop(system);
        pass().await;
        check_ended(&mut waits, false);
    }

    #[tokio::test]
    async fn nobody_watches_for_one_that_was_dropped() {
        let (system, seen) = system(connected());
        pass().await;
        assert!(system.has_watchers());
        drop(seen);
        pass().await;
        assert!(!system.has_watchers());
    }

    // Rules: s-netwatch
    #[tokio::test]
    async fn what_is_seen_is_what_is_told() {
        let (system, seen) = system(connected());
        let told = NetwatchConnectivity { seen, _monitor: Monitor::new().await.unwrap() };
        assert!(told.is_online() && !told.is_metered());
        becomes(&system, State { is_expensive: true, ..unplugged() }).await;
        assert!(!told.is_online() && told.is_metered());
    }

    /// Whatever this machine has.
    #[tokio::test]
    async fn this_machine_answers() {
        let connectivity = NetwatchConnectivity::start(&TestRuntime::manual(1)).await.unwrap();
        let online = connectivity.is_online();
        assert!(!connectivity.is_metered(), "no system tells that today");
        let mut waits = connectivity.changed(!online);
        check_ended(&mut waits, true);
        let state = State::new().await;
        assert_eq!(Outlook::of(&state).online, online, "{state}");
    }

    #[test]
    fn without_tokio_it_says_what_to_do() {
        let error = pollster::block_on(NetwatchConnectivity::start(&TestRuntime::manual(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
