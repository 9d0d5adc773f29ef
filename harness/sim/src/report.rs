//! What a run came to, and how a failure is told.

use std::fmt;
use std::time::Duration;

use crate::schedule::{Schedule, Span};
use crate::trace::Trace;

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The rule.
    pub rule: String,
    /// How it did not hold.
    pub detail: String,
    /// When.
    pub at: Duration,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (at {})", self.rule, self.detail, Span(self.at))
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// What happened to the devices, what befell requests included.
    pub schedule: Schedule,
    /// What they made of it.
    pub trace: Trace,
    /// The rule that did not hold, if any.
    pub failure: Option<Failure>,
    /// Counts.
    pub tally: Tally,
}

/// What was counted in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Steps of tasks.
    pub steps: u64,
    /// How long the world was running.
    pub elapsed: Duration,
    /// Mutations that had their effect at the server.
    pub effects: u64,
    /// Mutations that arrived at the server, repeats included: when, and from which device.
    pub arrivals: Vec<(Duration, usize)>,
    /// Mutations that the server refused for good.
    pub refused: u64,
    /// Mutations that wait for a decision in the end, over all devices.
    pub parked: u64,
    /// From the end of all faults until nothing was left to send.
    pub rested_after: Duration,
    /// Pages by number whose rows had moved since the page before ([`numbered_pages_of`](crate::Server::numbered_pages_of)).
    pub moved: u64,
    /// How often it was looked at whether what goes to one host goes on while another can't be reached, and something did.
    pub parted: u64,
    /// Lives of devices.
    pub lives: u64,
}

/// How many lines of the trace a failure shows.
const LINES: usize = 60;

impl Run {
    /// Panics if a rule did not hold, with the end of the trace.
    ///
    /// # Panics
    /// If a rule did not hold.
    #[track_caller]
    pub fn expect_success(&self) {
        if let Some(failure) = &self.failure {
            panic!("{failure}\n\nthe end of the trace:\n{}", self.trace.tail(LINES));
        }
    }

    /// The run as a test to paste.
    #[must_use]
    pub fn as_test(&self) -> String {
        let mut test = String::from("#[test]\n");
        let name = match &self.failure {
            Some(failure) => failure.rule.clone(),
            None => format!("seed {}", self.schedule.seed),
        };
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        test += &format!("fn {name}() {{\n    simulation().replay(\n        \"");
        for line in self.schedule.to_string().lines() {
            test += &format!("{line}\\n\\\n         ");
        }
        test.truncate(test.trim_end().len());
        test.truncate(test.trim_end_matches("\\n\\").len());
        test += "\",\n    );\n}\n";
        test
    }
}
