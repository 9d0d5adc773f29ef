//! Results as `cargo xtask bench` reads them: a JSON file for each line of the table of engines.

use std::fs;
use std::path::Path;

use larder_benches::Side;
use larder_benches::paired::Rounds;
use serde_json::{Value, json};

use crate::Result;

/// The greatest ratios of Larder to the others that are aimed at; `None`: whatever it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aim {
    /// To redb.
    pub raw: Option<f64>,
    /// To SQLite.
    pub sqlite: Option<f64>,
}

impl Aim {
    /// At least as fast as SQLite.
    pub const SQLITE: Self = Self { raw: None, sqlite: Some(1.0) };
    /// Anything.
    pub const NONE: Self = Self { raw: None, sqlite: None };
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// The name of the bench.
    pub name: String,
    /// How many rows there are.
    pub rows: u64,
    /// What is aimed at.
    pub aim: Aim,
    /// What else is to be known.
    pub note: String,
}

impl Line {
    /// A line that aims at nothing.
    #[must_use]
    pub fn new(name: &str, rows: u64, aim: Aim, note: impl Into<String>) -> Self {
        Self { name: name.to_owned(), rows, aim, note: note.into() }
    }

    /// The line for times.
    #[must_use]
    pub fn times(&self, rounds: &Rounds) -> Value {
        let [larder, raw, sqlite] = [Side::Larder, Side::Raw, Side::Sqlite].map(|side| rounds.time(side));
        let [raw_ratio, sqlite_ratio] =
            [Side::Raw, Side::Sqlite].map(|side| rounds.ratio(Side::Larder, side));
        let spread = |[low, _, high]: [f64; 3]| format!("{low:.2}–{high:.2}");
        let spread = format!(
            "{} rounds, half within {} and {}",
            rounds.count(),
            spread(raw_ratio),
            spread(sqlite_ratio)
        );
        self.json("ns", [larder, raw, sqlite], [raw_ratio[1], sqlite_ratio[1]], &spread)
    }

    /// The line for what was counted: bytes of Larder, redb and SQLite.
    #[must_use]
    pub fn bytes(&self, [larder, raw, sqlite]: [f64; 3]) -> Value {
        self.json("bytes", [larder, raw, sqlite], [larder / raw, larder / sqlite], "counted")
    }

    fn json(&self, unit: &str, values: [f64; 3], ratios: [f64; 2], how: &str) -> Value {
        let note = if self.note.is_empty() { how.to_owned() } else { format!("{}; {how}", self.note) };
        json!({
            "name": self.name,
            "rows": self.rows,
            "unit": unit,
            "larder": values[0],
            "redb": { "value": values[1], "ratio": ratios[0], "target": self.aim.raw },
            "sqlite": { "value": values[2], "ratio": ratios[1], "target": self.aim.sqlite },
            "note": note,
        })
    }

    /// Writes `line` to its file in `directory`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, line: &Value, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        let name = format!("{} {}", self.name, self.rows).replace(|char: char| !char.is_alphanumeric(), "-");
        fs::write(directory.join(name).with_extension("json"), serde_json::to_string_pretty(line)?)?;
        Ok(())
    }
}
