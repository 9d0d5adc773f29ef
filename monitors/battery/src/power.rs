//! Looks at the batteries now and then, and remembers.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::{Power, Runtime};
use tokio::sync::{oneshot, watch};

use crate::cells::{Cell, level, read};

/// How often the system is asked. A battery loses about a percent in that time at most, and to ask wakes the machine.
const EVERY: Duration = Duration::from_secs(60);

/// How the system is asked. It may block, and fail with what only people read.
type Read = dyn Fn() -> Result<Vec<Cell>, String> + Send + Sync;

/// How full the batteries of this device are.
///
/// - The system is asked when this is made and then once a minute, off the asynchronous threads; to ask
///   [`battery`](Power::battery) costs nothing.
/// - Several batteries count as one.
/// - It tells no level while the batteries are charged or full, where there are none (mains), and where they can't be read:
///   then nothing is known, and nothing is held back for it.
/// - It stops asking when it is dropped.
///
/// It is given the runtime of the repository:
///
/// ```
/// use std::sync::Arc;
/// use larder_battery::BatteryPower;
/// use larder_core::Power;
/// # use larder_harness::TestRuntime;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let runtime = Arc::new(TestRuntime::manual(7));
/// let power = BatteryPower::start(runtime).await;
/// match power.battery() {
///     Some(level) => println!("{level} %"),
///     None => println!("on mains, as far as is known"),
/// }
/// # }
/// ```
pub struct BatteryPower {
    level: watch::Receiver<Option<u8>>,
}

impl BatteryPower {
    /// Asks the system for the first time, and goes on until this is dropped.
    pub async fn start(runtime: Arc<dyn Runtime>) -> Self {
        Self::over(runtime, Arc::new(|| read().map_err(|error| error.to_string()))).await
    }

    async fn over(runtime: Arc<dyn Runtime>, read: Arc<Read>) -> Self {
        let (told, level) = watch::channel(look(&*runtime, &read).await);
        let task = follow(Arc::clone(&runtime), read, told);
        runtime.spawn("larder battery", Box::pin(task));
        Self { level }
    }
}

impl Power for BatteryPower {
    fn battery(&self) -> Option<u8> {
        *self.level.borrow()
    }
}

impl fmt::Debug for BatteryPower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatteryPower").field("level", &self.battery()).finish()
    }
}

/// Asks every minute, as long as somebody may want to know.
async fn follow(runtime: Arc<dyn Runtime>, read: Arc<Read>, told: watch::Sender<Option<u8>>) {
    while let Either::Left(_) = select(runtime.sleep(EVERY), pin!(told.closed())).await {
        told.send_replace(look(&*runtime, &read).await);
    }
}

/// Asks once.
async fn look(runtime: &dyn Runtime, read: &Arc<Read>) -> Option<u8> {
    let (done, answer) = oneshot::channel();
    let read = Arc::clone(read);
    runtime.blocking("larder battery", Box::new(move || drop(done.send(read()))));
    match answer.await {
        Ok(Ok(cells)) => level(&cells),
        Ok(Err(error)) => {
            tracing::debug!(error, "the batteries can't be read");
            None
        }
        // It panicked, or the runtime is coming to its end.
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use larder_core::Timestamp;
    use larder_core::runtime::BoxFuture;
    use larder_harness::TestRuntime;
    use starship_battery::State;

    use super::*;

    /// A system whose batteries are what the test says.
    #[derive(Clone, Default)]
    struct System {
        cells: Arc<Mutex<Option<Vec<Cell>>>>,
        asked: Arc<AtomicUsize>,
    }

    impl System {
        fn holds(&self, charge: f32) {
            let cell = Cell { state: State::Discharging, charge, size: 50.0 };
            *self.cells.lock().unwrap() = Some(vec![cell]);
        }

        fn breaks(&self) {
            *self.cells.lock().unwrap() = None;
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        async fn power(&self, runtime: &TestRuntime) -> BatteryPower {
            self.power_on(Arc::new(runtime.clone())).await
        }

        async fn power_on(&self, runtime: Arc<dyn Runtime>) -> BatteryPower {
            let system = self.clone();
            let read = move || {
                system.asked.fetch_add(1, Ordering::SeqCst);
                system.cells.lock().unwrap().clone().ok_or_else(|| "no such device".to_owned())
            };
            BatteryPower::over(runtime, Arc::new(read)).await
        }
    }

    async fn pass(runtime: &TestRuntime, time: Duration) {
        // What was spawned comes to where it waits, then the time passes, then it acts.
        tokio::task::yield_now().await;
        runtime.advance(time);
        tokio::task::yield_now().await;
    }

    // Rules: s-battery
    #[tokio::test]
    async fn the_system_is_asked_once_a_minute_and_no_oftener() {
        let (system, runtime) = (System::default(), TestRuntime::manual(1));
        system.holds(0.5);
        let power = system.power(&runtime).await;
        assert_eq!(power.battery(), Some(50), "known from the beginning");
        system.holds(0.4);
        for _ in 0..1000 {
            assert_eq!(power.battery(), Some(50));
        }
        pass(&runtime, Duration::from_secs(59)).await;
        assert_eq!((power.battery(), system.asked()), (Some(50), 1));
        pass(&runtime, Duration::from_secs(1)).await;
        assert_eq!((power.battery(), system.asked()), (Some(40), 2));
        // A device that slept asks once, and not for each minute.
        pass(&runtime, Duration::from_secs(36_000)).await;
        assert_eq!(system.asked(), 3);
    }

    // Rules: s-battery
    #[tokio::test]
    async fn what_can_t_be_read_is_not_known() {
        let (system, runtime) = (System::default(), TestRuntime::manual(1));
        let power = system.power(&runtime).await;
        assert_eq!(power.battery(), None);
        system.holds(0.1);
        pass(&runtime, EVERY).await;
        assert_eq!(power.battery(), Some(10));
        system.breaks();
        pass(&runtime, EVERY).await;
        assert_eq!(power.battery(), None);
    }

    /// A runtime that comes to its end: it does nothing any more that may block.
    #[derive(Debug)]
    struct Ending(TestRuntime);

    impl Runtime for Ending {
        fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
            self.0.spawn(name, task);
        }

        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            self.0.sleep(duration)
        }

        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }

        fn random(&self) -> u64 {
            self.0.random()
        }

        fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
            drop(work);
        }

        fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
            self.blocking(name, work);
        }
    }

    // Rules: s-battery
    #[tokio::test]
    async fn the_system_is_asked_where_it_may_block_and_of_an_answer_that_does_not_come_nothing_is_known() {
        let system = System::default();
        system.holds(0.5);
        let power = system.power_on(Arc::new(Ending(TestRuntime::manual(1)))).await;
        assert_eq!((power.battery(), system.asked()), (None, 0));
    }

    #[tokio::test]
    async fn nobody_is_asked_for_one_that_was_dropped() {
        let (system, runtime) = (System::default(), TestRuntime::manual(1));
        let power = system.power(&runtime).await;
        pass(&runtime, Duration::from_secs(1)).await;
        assert_eq!(runtime.sleeping(), 1);
        drop(power);
        pass(&runtime, Duration::ZERO).await;
        assert_eq!(runtime.sleeping(), 0, "nothing of it waits for the clock any more");
        pass(&runtime, EVERY).await;
        assert_eq!(system.asked(), 1);
    }

    /// Whatever this machine has, also nothing.
    #[tokio::test]
    async fn this_machine_answers() {
        let power = BatteryPower::start(Arc::new(TestRuntime::manual(1))).await;
        assert!(power.battery().is_none_or(|level| level <= 100), "{power:?}");
        if std::path::Path::new("/sys").exists() && !std::path::Path::new("/sys/class/power_supply").exists()
        {
            assert_eq!(power.battery(), None, "a machine without batteries runs on mains");
        }
    }
}
