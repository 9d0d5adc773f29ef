//! What one bench measured, and the table of those beside raw redb.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::compared::{self, Compared};
use crate::Result;
use crate::table::Table;

/// The result of one bench.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    name: String,
    rows: u64,
    larder_ns: f64,
    raw_ns: f64,
    ratio: f64,
    target: Target,
    /// Larder's and raw's syncs, pages and bytes.
    counted: Option<[[f64; 3]; 2]>,
    /// Whether what Larder has written is as little as it has to be, if anything is asked of that.
    kept: Option<bool>,
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// The results in the directory, by name: those beside raw redb, and those of the engines.
pub(super) fn read(directory: &Path) -> Result<(Vec<Measured>, Vec<Compared>)> {
    let (mut measured, mut compared) = (Vec::new(), Vec::new());
    for file in fs::read_dir(directory).into_iter().flatten() {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let named = |why| format!("{name}: {why}");
            let value: Value = serde_json::from_str(&text).map_err(|why| format!("{name}: {why}"))?;
            if value["sqlite"].is_object() {
                compared.push(compared::parse(&value).map_err(named)?);
            } else {
                measured.push(parse(&value).map_err(named)?);
            }
        }
    }
    measured.sort_by(|a, b| (&a.name, a.rows).cmp(&(&b.name, b.rows)));
    compared.sort_by(|a, b| (&a.name, a.rows).cmp(&(&b.name, b.rows)));
    Ok((measured, compared))
}

fn parse(value: &Value) -> Result<Measured> {
    let number = |key: &str| value[key].as_f64().ok_or_else(|| format!("`{key}` is not a number"));
    let target = match &value["target"] {
        Value::Null => Target::None,
        target if target["min"].is_number() => Target::AtLeast(target["min"].as_f64().unwrap_or_default()),
        target => {
            Target::AtMost(target.as_f64().ok_or("`target` is neither a number, {\"min\": …} nor null")?)
        }
    };
    let side = |side: &str| {
        ["syncs", "pages", "bytes"].map(|key| value["counted"][side][key].as_f64().unwrap_or(0.0))
    };
    Ok(Measured {
        name: value["name"].as_str().ok_or("`name` is missing")?.to_owned(),
        rows: value["rows"].as_u64().ok_or("`rows` is not a number")?,
        larder_ns: number("larder_ns")?,
        raw_ns: number("raw_ns")?,
        ratio: number("ratio")?,
        target,
        counted: value["counted"].is_object().then(|| [side("larder"), side("raw")]),
        kept: value["kept"].as_bool(),
        note: value["note"].as_str().unwrap_or_default().to_owned(),
    })
}

impl Measured {
    /// Whether the ratio is as it has to be, and whether what was counted is.
    pub(super) fn met(&self) -> impl Iterator<Item = bool> {
        let ratio = match self.target {
            Target::None => None,
            Target::AtMost(most) => Some(self.ratio <= most),
            Target::AtLeast(least) => Some(self.ratio >= least),
        };
        [ratio, self.kept].into_iter().flatten()
    }

    /// Each verdict in a word; what was counted says that it was.
    fn verdict(&self) -> String {
        let word = |met: bool| if met { "pass" } else { "MISS" };
        let ratio = (!matches!(self.target, Target::None)).then(|| self.met().next()).flatten();
        let words =
            [ratio.map(|met| word(met).to_owned()), self.kept.map(|kept| format!("counted: {}", word(kept)))];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Larder beside the raw engine, and whether the target is met.
pub(super) fn table(measured: &[Measured]) -> Table {
    let mut table = Table::new([
        "bench", "rows", "larder", "raw", "ratio", "target", "", "syncs", "pages", "bytes", "note",
    ]);
    for one in measured {
        let target = match one.target {
            Target::None => "–".to_owned(),
            Target::AtMost(most) => format!("≤ {most}"),
            Target::AtLeast(least) => format!("≥ {least}"),
        };
        let counted = |at: usize| {
            one.counted.map_or("–".to_owned(), |[larder, raw]| {
                format!("{} / {}", short(larder[at]), short(raw[at]))
            })
        };
        table.row([
            one.name.clone(),
            one.rows.to_string(),
            time(one.larder_ns),
            time(one.raw_ns),
            format!("{:.2}", one.ratio),
            target,
            one.verdict(),
            counted(0),
            counted(1),
            counted(2),
            one.note.clone(),
        ]);
    }
    table
}

/// Nanoseconds in the unit that reads well.
pub(super) fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// A count, or a mean of counts.
fn short(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISS: &str = r#"{"name": "get/miss", "rows": 100000, "larder_ns": 1500.0, "raw_ns": 1000, "ratio": 1.5, "target": 1.4,
        "counted": {"larder": {"syncs": 1, "pages": 16.5, "bytes": 61500}, "raw": {"syncs": 1, "pages": 16, "bytes": 1}},
        "kept": true, "note": "three indexes"}"#;

    #[track_caller]
    fn parsed(text: &str) -> Measured {
        parse(&serde_json::from_str(text).expect("JSON")).expect("a result")
    }

    #[test]
    fn a_result_is_compared_with_its_target() {
        let miss = parsed(MISS);
        assert_eq!(miss.met().collect::<Vec<_>>(), [false, true]);
        let least = parsed(
            r#"{"name": "w", "rows": 1, "larder_ns": 1, "raw_ns": 5, "ratio": 5.2, "target": {"min": 5}}"#,
        );
        assert_eq!(least.met().collect::<Vec<_>>(), [true]);
        let none =
            parsed(r#"{"name": "w", "rows": 1, "larder_ns": 1, "raw_ns": 5, "ratio": 5.2, "target": null}"#);
        assert_eq!(none.met().count(), 0);
        assert!(parse(&serde_json::json!({"name": "w", "larder_ns": 1, "raw_ns": 5})).is_err());
    }

    #[test]
    fn the_table_shows_both_sides() {
        let table = table(&[parsed(MISS)]).markdown();
        let row = table.lines().last().unwrap_or_default();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(
            cells[1..12],
            [
                "get/miss",
                "100000",
                "1.50 µs",
                "1.00 µs",
                "1.50",
                "≤ 1.4",
                "MISS, counted: pass",
                "1 / 1",
                "16.5 / 16",
                "61500 / 1",
                "three indexes"
            ]
        );
    }
}
