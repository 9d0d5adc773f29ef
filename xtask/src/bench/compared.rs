//! What one bench of the engines measured, and the table of them: Larder, redb and SQLite.

use serde_json::Value;

use super::measured::time;
use crate::Result;
use crate::table::Table;

/// The result of one bench.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Compared {
    pub(super) name: String,
    pub(super) rows: u64,
    bytes: bool,
    larder: f64,
    redb: Other,
    sqlite: Other,
    note: String,
}

/// An engine beside Larder.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Other {
    value: f64,
    ratio: f64,
    /// The greatest ratio that is aimed at.
    target: Option<f64>,
}

impl Other {
    fn parse(value: &Value, name: &str) -> Result<Self> {
        let number = |key: &str| value[key].as_f64().ok_or_else(|| format!("`{name}.{key}` is not a number"));
        Ok(Self { value: number("value")?, ratio: number("ratio")?, target: value["target"].as_f64() })
    }

    fn met(self) -> Option<bool> {
        self.target.map(|most| self.ratio <= most)
    }

    /// The ratio, and what was aimed at.
    fn show(self) -> String {
        let ratio = format!("{:.2}", self.ratio);
        match (self.target, self.met()) {
            (Some(most), Some(true)) => format!("{ratio} (≤ {most}: pass)"),
            (Some(most), _) => format!("{ratio} (≤ {most}: MISS)"),
            _ => ratio,
        }
    }
}

pub(super) fn parse(value: &Value) -> Result<Compared> {
    Ok(Compared {
        name: value["name"].as_str().ok_or("`name` is missing")?.to_owned(),
        rows: value["rows"].as_u64().ok_or("`rows` is not a number")?,
        bytes: value["unit"] == "bytes",
        larder: value["larder"].as_f64().ok_or("`larder` is not a number")?,
        redb: Other::parse(&value["redb"], "redb")?,
        sqlite: Other::parse(&value["sqlite"], "sqlite")?,
        note: value["note"].as_str().unwrap_or_default().to_owned(),
    })
}

impl Compared {
    /// Whether each target is met.
    pub(super) fn met(&self) -> impl Iterator<Item = bool> {
        [self.redb, self.sqlite].into_iter().filter_map(Other::met)
    }

    fn show(&self, value: f64) -> String {
        if self.bytes { format!("{value:.0} B") } else { time(value) }
    }
}

/// Larder beside the others, by name and number of rows.
pub(super) fn table(compared: &[Compared]) -> Table {
    let mut table = Table::new(["bench", "rows", "larder", "redb", "SQLite", "to redb", "to SQLite", "note"]);
    for one in compared {
        table.row([
            one.name.clone(),
            one.rows.to_string(),
            one.show(one.larder),
            one.show(one.redb.value),
            one.show(one.sqlite.value),
            one.redb.show(),
            one.sqlite.show(),
            one.note.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCAN: &str = r#"{"name": "scan", "rows": 10000, "unit": "ns", "larder": 2.0e6,
        "redb": {"value": 5e6, "ratio": 0.4, "target": 0.6}, "sqlite": {"value": 1e6, "ratio": 2.0, "target": 1.0},
        "note": "41 rounds"}"#;

    fn scan() -> Compared {
        parse(&serde_json::from_str(SCAN).expect("JSON")).expect("a result")
    }

    #[test]
    fn each_ratio_is_compared_with_its_target() {
        assert_eq!(scan().met().collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn the_table_shows_all_three() {
        let table = table(&[scan()]).markdown();
        let cells: Vec<&str> = table.lines().last().unwrap_or_default().split('|').map(str::trim).collect();
        let expected = [
            "scan",
            "10000",
            "2.00 ms",
            "5.00 ms",
            "1.00 ms",
            "0.40 (≤ 0.6: pass)",
            "2.00 (≤ 1: MISS)",
            "41 rounds",
        ];
        assert_eq!(cells[1..9], expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        let why =
            parse(&serde_json::json!({"name": "scan", "rows": 1, "larder": 1.0, "redb": {"value": 1.0}}));
        assert_eq!(why.expect_err("no ratio").to_string(), "`redb.ratio` is not a number");
    }
}
