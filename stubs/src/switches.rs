//! What can be turned on to make a stub as bad as a real network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Switches of all stubs, or of one variant. Clones share them; they can be turned at any time.
#[derive(Clone, Debug, Default)]
pub struct Switches(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    offline: bool,
    slow: Option<Duration>,
    flaky: Option<Flaky>,
}

/// A stub that fails now and then, in an order that the seed determines.
#[derive(Clone, Debug)]
pub struct Flaky {
    percent: u64,
    faults: Vec<Fault>,
    state: u64,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection is refused: nothing was sent.
    Refused,
    /// The request is acted on, and the answer is lost.
    LostReply,
    /// The request is answered by this status and not acted on.
    Status(u16),
}

impl Flaky {
    /// Fails in `percent` of a hundred requests: refused, reply lost, or status 503.
    #[must_use]
    pub fn new(seed: u64, percent: u64) -> Self {
        let faults = vec![Fault::Refused, Fault::LostReply, Fault::Status(503)];
        Self { percent, faults, state: seed }
    }

    /// Sets the ways to fail; without any, nothing fails.
    #[must_use]
    pub fn faults(mut self, faults: impl Into<Vec<Fault>>) -> Self {
        self.faults = faults.into();
        self
    }

    fn draw(&mut self) -> Option<Fault> {
        let drawn = self.next();
        let which = (drawn / 100) as usize % self.faults.len().max(1);
        if drawn % 100 < self.percent { self.faults.get(which).copied() } else { None }
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What the switches do to one request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effect {
    pub(crate) fault: Option<Fault>,
    pub(crate) delay: Duration,
}

impl Switches {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses every connection.
    pub fn offline(&self, on: bool) {
        self.state().offline = on;
    }

    /// Delays every answer by so much more; needs [`Stubs::runtime`](crate::Stubs::runtime).
    pub fn slow(&self, by: impl Into<Option<Duration>>) {
        self.state().slow = by.into();
    }

    /// Fails now and then.
    pub fn flaky(&self, flaky: impl Into<Option<Flaky>>) {
        self.state().flaky = flaky.into();
    }

    /// Turns everything off.
    pub fn clear(&self) {
        *self.state() = State::default();
    }

    /// What the switches do to the next request.
    pub(crate) fn draw(&self) -> Effect {
        let mut state = self.state();
        let fault =
            if state.offline { Some(Fault::Refused) } else { state.flaky.as_mut().and_then(Flaky::draw) };
        Effect { fault, delay: state.slow.unwrap_or_default() }
    }
}
