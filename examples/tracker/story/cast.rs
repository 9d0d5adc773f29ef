//! Which seeded rows play which part, whatever the seeds are.

use serde_json::Value;

use crate::process::Problem;
use crate::server::{Fields, Snapshot};

/// The rows that somebody does something to.
#[derive(Debug)]
pub(super) struct Cast {
    /// Gets another title here: a locked issue if there is one, for the model does not know `locked`.
    pub(super) retitled: String,
    /// Is closed here.
    pub(super) closed: String,
    /// Gets a new label here.
    pub(super) relabelled: String,
    /// Its labels before.
    pub(super) labels: Vec<String>,
    /// Is deleted here.
    pub(super) dropped: String,
    /// Is changed by somebody else.
    pub(super) moved: String,
    /// Is deleted by somebody else.
    pub(super) vanished: String,
    /// Gets another title here, and yet another from somebody else.
    pub(super) disputed: String,
    /// Gets a title here that the server does not take.
    pub(super) untitled: String,
    /// Its title before.
    pub(super) title: String,
    /// Gets another colour here and another description from somebody else.
    pub(super) painted: String,
    /// Gets a colour here that the server does not take.
    pub(super) garish: String,
    /// Is deleted here.
    pub(super) dropped_label: String,
}

impl Cast {
    /// Gives out the parts.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, Problem> {
        let few = || "the seeds have too few issues or labels for the story";
        let mut issues: Vec<&Fields> = snapshot.issues.iter().collect();
        let locked = issues.iter().position(|issue| issue.get("locked") == Some(&Value::Bool(true)));
        if issues.len() < 8 {
            return Err(few().into());
        }
        let retitled = issues.remove(locked.unwrap_or(0));
        let open = |issue: &&Fields| text(issue, "state") == "open";
        let closed = issues.remove(issues.iter().position(open).ok_or_else(few)?);
        let dropped = issues.remove(issues.len() - 1);
        let [relabelled, moved, vanished, disputed, untitled, ..] = issues[..] else {
            return Err(few().into());
        };
        let labels = relabelled.get("labels").and_then(Value::as_array).into_iter().flatten();
        let [painted, garish, .., dropped_label] = &snapshot.labels[..] else {
            return Err(few().into());
        };
        Ok(Self {
            retitled: text(retitled, "id"),
            closed: text(closed, "id"),
            relabelled: text(relabelled, "id"),
            labels: labels.filter_map(Value::as_str).map(str::to_owned).collect(),
            dropped: text(dropped, "id"),
            moved: text(moved, "id"),
            vanished: text(vanished, "id"),
            disputed: text(disputed, "id"),
            untitled: text(untitled, "id"),
            title: text(untitled, "title"),
            painted: text(painted, "name"),
            garish: text(garish, "name"),
            dropped_label: text(dropped_label, "name"),
        })
    }
}

fn text(fields: &Fields, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
