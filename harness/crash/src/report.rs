//! What the campaigns found: the table, the histogram of phases, and the page of the book.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::server::Phase;
use crate::story::Verdict;

/// What one campaign found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What was tried, for people.
    pub what: String,
    /// Places at which something can go wrong.
    pub points: u64,
    /// Runs.
    pub runs: u64,
    /// Writes that were acknowledged in all runs together.
    pub acknowledged: u64,
    /// Runs in which one of them was lost.
    pub lost: u64,
    /// Runs in which a mutation had two effects.
    pub doubled: u64,
    /// Runs after which the store could not be opened.
    pub unopenable: u64,
    /// Runs that ended in a panic, or waited for ever.
    pub panics: u64,
    /// Runs in which something else was wrong.
    pub wrong: u64,
    /// How often each phase was hit.
    pub phases: BTreeMap<&'static str, u64>,
    /// What else is worth telling.
    pub notes: Vec<String>,
    /// The first of what was wrong, each with how to see it again.
    pub first: Vec<String>,
}

impl Outcome {
    /// How much of what was wrong is told.
    const TOLD: usize = 10;

    /// An outcome without runs.
    #[must_use]
    pub fn new(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, what: what.into(), ..Self::default() }
    }

    /// Notes that a phase was hit.
    pub fn hit(&mut self, phase: Phase) {
        *self.phases.entry(phase.name()).or_default() += 1;
    }

    /// Notes that something was wrong.
    pub fn fault(&mut self, verdict: Verdict, told: impl Into<String>) {
        match verdict {
            Verdict::Lost => self.lost += 1,
            Verdict::Doubled => self.doubled += 1,
            Verdict::Unopenable => self.unopenable += 1,
            Verdict::Wrong => self.wrong += 1,
        }
        self.tell(told);
    }

    /// Notes that a run panicked or hung.
    pub fn panic(&mut self, told: impl Into<String>) {
        self.panics += 1;
        self.tell(told);
    }

    fn tell(&mut self, told: impl Into<String>) {
        if self.first.len() < Self::TOLD {
            self.first.push(told.into());
        }
    }

    /// True if nothing was wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.unopenable + self.panics + self.wrong == 0
    }
}

/// The table, as Markdown.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut out = String::from(
        "| campaign | what | points | runs | acknowledged writes | lost | doubled | unopenable | panics, hangs | otherwise wrong |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for outcome in outcomes {
        let Outcome {
            name, what, points, runs, acknowledged, lost, doubled, unopenable, panics, wrong, ..
        } = outcome;
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "| {name} | {what} | {points} | {runs} | {acknowledged} | {lost} | {doubled} | {unopenable} | {panics} | {wrong} |"
        );
    }
    out
}

/// How often each phase was hit, as Markdown.
#[must_use]
pub fn histogram(outcomes: &[Outcome]) -> String {
    let names: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
    let mut out = format!("| campaign | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()));
    for outcome in outcomes.iter().filter(|outcome| !outcome.phases.is_empty()) {
        let counts: Vec<String> = names
            .iter()
            .map(|name| outcome.phases.get(name).map_or_else(|| "–".to_owned(), u64::to_string))
            .collect();
        let _ = writeln!(out, "| {} | {} |", outcome.name, counts.join(" | "));
    }
    out
}

/// The page of the book.
#[must_use]
pub fn page(outcomes: &[Outcome], command: &str, seed: u64) -> String {
    let mut out = String::from(INTRODUCTION);
    let _ = write!(out, "\nTaken with `{command}` (seed {seed}).\n\n{}", table(outcomes));
    out.push_str("\n## Which phases were hit\n\n");
    out.push_str(&histogram(outcomes));
    let notes: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.notes).collect();
    if !notes.is_empty() {
        out.push_str("\n## In figures\n\n");
        for note in notes {
            let _ = writeln!(out, "- {note}");
        }
        out.push_str(NOTICED);
    }
    out
}

const NOTICED: &str = "
Damaged files in which the alteration hit nothing that is in use, or pages that a later state has replaced, are not noticed, and
nothing is missing from them. Times are from a shared two-core machine: only their ratios mean something.
";

const INTRODUCTION: &str = "# What crashes leave

Each campaign runs a whole data layer (a repository over redb, its outbox, a server that honours idempotency keys and counts
the effects of each mutation), lets something go wrong, brings everything to rest, and compares what the application was told
with what the server and the store have. `harness/crash` holds them; its tests are the same campaigns, made short.

- *faults*: each operation of the medium fails once, or fails from then on; *compound*: many of them at random, without room,
  and healed. The repository goes on without a restart.
- *power*: the power is cut at a sync. Of what was written since the sync before, all is there, none, or some, in another
  order, and one write is torn at a sector.
- *kill*: a real process gets SIGKILL at a random moment; the server lives elsewhere.
- *damaged*: a file with flipped bits, zeroed, random and swapped pages, cut off, or foreign; one as a kill leaves it, all of
  which redb verifies when it opens it, or one that was closed, which redb believes. No altered row may be returned, what is
  missing has to be found by the check, what verifies has to be salvaged, and whatever is read, written, given back and
  closed in between, no panic may get out.
- *salvage*: a damaged file is salvaged, at opening and later, over a file system that knows second names of a file and over
  one that does not, and what is queued is sent meanwhile. Each operation fails once, fails from then on, or finds no room, and
  the repository goes on; or it is the last one before a kill or a power cut, of which names and bytes that were not synced are
  there in part. What verifies has to be there after the next start, or at the server, once, with the damaged file beside it and
  the application told.
- *full*: a disk without room, a real one where it can be mounted.

*Lost*: a write that was acknowledged and is nowhere. *Doubled*: a mutation with two effects on the server.
";
