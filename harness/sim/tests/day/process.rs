//! What the system knows of this process.

use std::time::Duration;

/// How much memory the process has had at some moment.
pub(crate) struct Memory(u64);

impl Memory {
    /// As it is; from here on the most of it is kept in mind.
    pub(crate) fn now() -> Self {
        // Forgets what was the most before.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(resident("VmRSS:"))
    }

    /// The most that there was since then, less what there was then: in bytes.
    pub(crate) fn growth(&self) -> u64 {
        resident("VmHWM:").saturating_sub(self.0)
    }
}

fn resident(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    kib.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// The time that the process has spent computing.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The 14th and the 15th field, in hundredths of a second; the second one is a name in brackets.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| 10 * ticks.parse::<u64>().unwrap()).sum())
}
