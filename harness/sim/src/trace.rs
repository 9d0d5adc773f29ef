//! What happened, line by line: two runs of one seed give the same bytes.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::kernel::lock;
use crate::schedule::Span;

/// What happened in a run: one line a step, each with the world's time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(String);

impl Trace {
    /// The lines.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last lines, at most so many.
    #[must_use]
    pub fn tail(&self, lines: usize) -> &str {
        let cut = self.0.trim_end().rmatch_indices('\n').nth(lines.saturating_sub(1));
        cut.map_or(&self.0, |(at, _)| &self.0[at + 1..])
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the lines are gathered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scribe(Arc<Mutex<Trace>>);

impl Scribe {
    /// Notes what `who` did.
    pub(crate) fn note(&self, at: Duration, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _ = writeln!(lock(&self.0).0, "{:>10} {who} {what}", Span(at).to_string());
    }

    pub(crate) fn take(&self) -> Trace {
        std::mem::take(&mut lock(&self.0))
    }
}
