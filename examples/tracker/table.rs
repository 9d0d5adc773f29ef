//! The last word: every row at the server and here, side by side.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::deeds::short;
use crate::models::{Issue, Label, State};
use crate::process::Problem;
use crate::server::{Fields, Kind, Snapshot};

/// How wide a side's text may be.
const WIDTH: usize = 42;

/// Both sides of one row.
#[derive(Debug)]
struct Line {
    kind: Kind,
    key: String,
    server: Option<String>,
    local: Option<String>,
    /// The fields that differ, with both values.
    differences: Vec<String>,
}

/// The comparison of all rows.
#[derive(Debug)]
pub(crate) struct Table {
    lines: Vec<Line>,
}

/// What the client has.
pub(crate) type Local = (Vec<Issue>, Vec<Label>);

impl Table {
    /// Compares every field that the models have. `gone` names rows that should be on neither side.
    ///
    /// # Errors
    /// A row of the server that does not fit the model.
    pub(crate) fn compare(
        server: &Snapshot,
        local: &Local,
        gone: &[(Kind, String)],
    ) -> Result<Self, Problem> {
        let mut lines =
            pair(Kind::Issue, &server.issues, &local.0, |issue: &Issue| issue.id.clone(), show_issue)?;
        lines.extend(pair(
            Kind::Label,
            &server.labels,
            &local.1,
            |label: &Label| label.name.clone(),
            show_label,
        )?);
        for (kind, key) in gone {
            if !lines.iter().any(|line| (line.kind, &line.key) == (*kind, key)) {
                let (kind, key, differences) = (*kind, key.clone(), Vec::new());
                lines.push(Line { kind, key, server: None, local: None, differences });
            }
        }
        lines.sort_by_cached_key(|line| {
            (line.kind, line.key.parse::<u64>().unwrap_or(u64::MAX), line.key.clone())
        });
        Ok(Self { lines })
    }

    /// How many rows there are on either side, and rows that should be on neither.
    pub(crate) fn rows(&self) -> usize {
        self.lines.len()
    }

    /// How many rows differ.
    pub(crate) fn differing(&self) -> usize {
        self.lines.iter().filter(|line| !line.differences.is_empty()).count()
    }
}

/// Joins both sides by key.
fn pair<M: DeserializeOwned + Serialize>(
    kind: Kind,
    server: &[Fields],
    local: &[M],
    key: fn(&M) -> String,
    show: fn(&M) -> String,
) -> Result<Vec<Line>, Problem> {
    let mut sides: BTreeMap<String, (Option<M>, Option<&M>)> = BTreeMap::new();
    for fields in server {
        let row: M = serde_json::from_value(Value::Object(fields.clone()))?;
        let key = key(&row);
        sides.entry(key).or_default().0 = Some(row);
    }
    for row in local {
        sides.entry(key(row)).or_default().1 = Some(row);
    }
    let mut lines = Vec::new();
    for (key, (server, local)) in sides {
        let differences = differences(server.as_ref(), local)?;
        let (server, local) = (server.as_ref().map(show), local.map(show));
        lines.push(Line { kind, key, server, local, differences });
    }
    Ok(lines)
}

fn differences<M: Serialize>(server: Option<&M>, local: Option<&M>) -> Result<Vec<String>, Problem> {
    let (Some(server), Some(local)) = (server, local) else {
        let missing = if server.is_some() { "not here" } else { "not at the server" };
        return Ok(vec![missing.to_owned()]);
    };
    let (server, local) = (serde_json::to_value(server)?, serde_json::to_value(local)?);
    let fields = server.as_object().into_iter().flatten();
    let differing = fields.filter(|(name, value)| local.get(name) != Some(value));
    let tell = |(name, value): (&String, &Value)| {
        format!("{name}: server {value}, here {}", local.get(name).unwrap_or(&Value::Null))
    };
    Ok(differing.map(tell).collect())
}

fn show_issue(issue: &Issue) -> String {
    let state = match issue.state {
        State::Open => "open",
        State::Closed => "closed",
    };
    let labels =
        if issue.labels.is_empty() { String::new() } else { format!(" [{}]", issue.labels.join(", ")) };
    format!("{state:<6} {}{labels}", issue.title)
}

fn show_label(label: &Label) -> String {
    let description = label.description.as_deref().unwrap_or_default();
    format!("#{} {description}", label.color)
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = |out: &mut fmt::Formatter<'_>, kind: &str| {
            writeln!(out, "      {kind:<18} {:<WIDTH$}  here", "server")
        };
        for (kind, title) in [(Kind::Issue, "issue"), (Kind::Label, "label")] {
            head(out, title)?;
            for line in self.lines.iter().filter(|line| line.kind == kind) {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: &Option<String>| match side {
            Some(text) => cut(text, WIDTH),
            None => "– gone".to_owned(),
        };
        let (server, local) = (side(&self.server), side(&self.local));
        let mark = if self.differences.is_empty() { "=" } else { "≠" };
        write!(out, "      {:<18} {server:<WIDTH$}  {local:<WIDTH$} {mark}", cut(&short(&self.key), 18))?;
        self.differences.iter().try_for_each(|difference| write!(out, "\n      {:<18} ≠ {difference}", ""))
    }
}

/// The beginning of a text, of at most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width - 1).collect();
    format!("{}…", start.trim_end())
}
