//! What a person sees while a command runs: which step, for how long, and what it is busy with.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::clock::{Stopwatch, show};

/// How often a log that is not a terminal is told that a step is still running.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Columns that a line rewritten in place may take; a longer one would wrap and stay behind.
const WIDTH: usize = 110;

/// The steps of a command, announced on standard error: on a terminal one line is rewritten in place, elsewhere a
/// line is written now and then.
#[derive(Debug)]
pub(crate) struct Progress {
    steps: usize,
    step: usize,
    name: String,
    since: Stopwatch,
    total: Stopwatch,
    terminal: bool,
    spoke: Stopwatch,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        let now = Stopwatch::start();
        let terminal = std::io::stderr().is_terminal();
        Self { steps, step: 0, name: String::new(), since: now, total: now, terminal, spoke: now }
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, name: &str) {
        self.step += 1;
        name.clone_into(&mut self.name);
        self.since = Stopwatch::start();
        self.line(&format!("{} …", self.head()));
    }

    /// What the step is busy with now.
    pub(crate) fn busy(&mut self, with: &str) {
        if self.terminal {
            let line = format!("{} {} {with}", self.head(), show(self.since.elapsed()));
            let line: String = line.chars().take(WIDTH).collect();
            eprint!("\r\x1b[2K{line}");
            let _ = std::io::stderr().flush();
        } else if self.spoke.elapsed() >= HEARTBEAT {
            self.line(&format!("{} {} {with}", self.head(), show(self.since.elapsed())));
        }
    }

    /// Writes a line that stays.
    pub(crate) fn line(&mut self, text: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        eprintln!("{clear}{text}");
        self.spoke = Stopwatch::start();
    }

    /// Ends the step.
    pub(crate) fn done(&mut self, ok: bool, summary: &str) {
        let verdict = if ok { "ok" } else { "FAILED" };
        let comma = if summary.is_empty() { "" } else { ", " };
        let took = show(self.since.elapsed());
        self.line(&format!("{} {verdict}{comma}{summary} ({took})", self.head()));
    }

    /// How long all steps took so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.total.elapsed()
    }

    fn head(&self) -> String {
        format!("[{}/{}] {}", self.step, self.steps, self.name)
    }
}
