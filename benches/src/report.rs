//! Results as `cargo xtask bench` reads them: a JSON file each, in the directory that `LARDER_BENCH_DIR` names.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::medium::Written;
use crate::paired::Rounds;
use crate::workload::Side;

/// What a ratio has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Whatever it is.
    None,
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// The name of the bench.
    pub name: String,
    /// Shown as Larder's.
    pub larder: Side,
    /// Shown as raw.
    pub raw: Side,
    /// The ratio: of the first to the second.
    pub ratio: (Side, Side),
    /// What it has to be.
    pub target: Target,
    /// The most that Larder may write for an operation; infinite where it may be as much as it wants.
    pub most: Option<Written>,
    /// What else is to be known.
    pub note: String,
}

impl Line {
    /// Larder's time over that of `raw`.
    #[must_use]
    pub fn against(raw: Side, name: &str, target: Target, note: impl Into<String>) -> Self {
        let (name, note) = (name.to_owned(), note.into());
        Self { name, larder: Side::Larder, raw, ratio: (Side::Larder, raw), target, most: None, note }
    }

    /// The line as JSON.
    #[must_use]
    pub fn json(&self, rounds: &Rounds, rows: u64) -> Value {
        let [low, ratio, high] = rounds.ratio(self.ratio.0, self.ratio.1);
        let spread = format!("{} rounds, half within {low:.2}–{high:.2}", rounds.count());
        let limits = self.most.map(limits).unwrap_or_default();
        let kept =
            self.most.map(|most| rounds.written(self.larder).is_some_and(|written| within(written, most)));
        let told = [self.note.clone(), limits, spread].into_iter().filter(|part| !part.is_empty());
        let note = told.collect::<Vec<_>>().join("; ");
        let counted = match (rounds.written(self.larder), rounds.written(self.raw)) {
            (Some(larder), Some(raw)) => json!({ "larder": show(larder), "raw": show(raw) }),
            _ => Value::Null,
        };
        json!({
            "name": self.name,
            "rows": rows,
            "larder_ns": rounds.time(self.larder),
            "raw_ns": rounds.time(self.raw),
            "ratio": ratio,
            "target": match self.target {
                Target::None => Value::Null,
                Target::AtMost(most) => json!(most),
                Target::AtLeast(least) => json!({ "min": least }),
            },
            "counted": counted,
            "kept": kept,
            "note": note,
        })
    }

    /// Writes the line to its file in `directory`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, rounds: &Rounds, rows: u64, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        let name = format!("{} of {rows}.json", self.name).replace(['/', ' '], "-");
        fs::write(directory.join(name), serde_json::to_string_pretty(&self.json(rounds, rows))?)?;
        Ok(())
    }
}

/// What may be written, in words.
fn limits(Written { syncs, pages, bytes }: Written) -> String {
    let limits = [(syncs, "syncs"), (pages, "pages"), (bytes, "bytes")];
    let told = limits.iter().filter(|(most, _)| most.is_finite());
    let told: Vec<String> = told.map(|(most, what)| format!("≤ {} {what}", round(*most))).collect();
    format!("counted: {}", told.join(", "))
}

/// Whether no more was written than may be.
fn within(written: Written, most: Written) -> bool {
    let pairs = [(written.syncs, most.syncs), (written.pages, most.pages), (written.bytes, most.bytes)];
    pairs.iter().all(|(value, most)| round(*value) <= round(*most))
}

/// To a hundredth: what is counted is exact, its mean need not be.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn show(written: Written) -> Value {
    json!({ "syncs": round(written.syncs), "pages": round(written.pages), "bytes": written.bytes.round() })
}
