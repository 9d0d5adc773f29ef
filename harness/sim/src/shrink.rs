//! Makes a failing schedule as small as it gets: whatever can be left out without the failure going away is left out.

use crate::report::Run;
use crate::schedule::Schedule;
use crate::simulation::Simulation;

/// How many runs are spent on it.
const RUNS: usize = 400;

impl Simulation {
    /// A smaller schedule that fails by the same rule, and its run. One that fails no more when it is told exactly is
    /// given back as it is.
    #[must_use]
    pub fn shrink(&self, failing: &Run) -> Run {
        let Some(rule) = failing.failure.as_ref().map(|failure| failure.rule.clone()) else {
            return failing.clone();
        };
        let mut left = RUNS;
        let mut fails = |schedule: &Schedule| {
            left = left.checked_sub(1)?;
            let run = self.play_exactly(schedule);
            run.failure.as_ref().is_some_and(|failure| failure.rule == rule).then_some(run)
        };
        let Some(mut best) = fails(&failing.schedule) else { return failing.clone() };
        loop {
            let before = best.schedule.clone();
            best = without_devices(best, &mut fails);
            best = without_events(best, &mut fails);
            if best.schedule == before {
                return best;
            }
        }
    }
}

/// Leaves out devices, one by one.
fn without_devices(mut best: Run, fails: &mut impl FnMut(&Schedule) -> Option<Run>) -> Run {
    for device in (0..best.schedule.devices).rev() {
        if best.schedule.devices == 1 {
            break;
        }
        let mut smaller = best.schedule.clone();
        smaller.devices -= 1;
        smaller.events.retain(|event| event.device != device);
        for event in &mut smaller.events {
            event.device -= usize::from(event.device > device);
        }
        best = fails(&smaller).unwrap_or(best);
    }
    best
}

/// Leaves out events: first half of them, then smaller parts, in the end one by one.
fn without_events(mut best: Run, fails: &mut impl FnMut(&Schedule) -> Option<Run>) -> Run {
    let mut size = best.schedule.events.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < best.schedule.events.len() {
            let mut smaller = best.schedule.clone();
            let to = (at + size).min(smaller.events.len());
            smaller.events.drain(at..to);
            match fails(&smaller) {
                Some(run) => best = run,
                None => at += size,
            }
        }
        size /= 2;
    }
    best
}
