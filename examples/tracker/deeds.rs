//! What the tracker's user does, apart from how it is done: sent to the client as an order, and known to the judge.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::server::{Effect, ExpectedMutation, Fields, Kind, LabelStep};

/// One thing that the user does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Opens an issue under an id that the client made.
    OpenIssue { id: String, title: String, body: String, labels: Vec<String> },
    /// Gives an issue another title.
    Retitle { id: String, title: String },
    /// Closes an issue.
    Close { id: String },
    /// Gives an issue these labels.
    Relabel { id: String, labels: Vec<String> },
    /// Removes an issue.
    DeleteIssue { id: String },
    /// Makes a label.
    NewLabel { name: String, color: String, description: Option<String> },
    /// Gives a label another colour.
    Recolor { name: String, color: String },
    /// Gives a label another name. The name is the key, so this is a new label and a label less.
    RenameLabel { from: String, to: String, color: String },
    /// Removes a label.
    DeleteLabel { name: String },
}

impl Deed {
    /// What the server must have done exactly once for it.
    pub(crate) fn expected(&self) -> Vec<ExpectedMutation> {
        let one = |effect, kind, id: &str| ExpectedMutation::new(effect, kind, id);
        match self {
            Self::OpenIssue { id, title, body, labels } => {
                let opened = one(Effect::Create, Kind::Issue, id).with("title", title.as_str());
                vec![opened.with("body", body.as_str()).with("labels", json!(labels))]
            }
            Self::Retitle { id, title } => {
                vec![one(Effect::Update, Kind::Issue, id).with("title", title.as_str())]
            }
            Self::Close { id } => vec![one(Effect::Update, Kind::Issue, id).with("state", "closed")],
            Self::Relabel { id, labels } => {
                vec![one(Effect::Update, Kind::Issue, id).with("labels", json!(labels))]
            }
            Self::DeleteIssue { id } => vec![one(Effect::Delete, Kind::Issue, id)],
            Self::NewLabel { name, color, .. } => vec![new_label(name, color)],
            Self::Recolor { name, color } => {
                vec![one(Effect::Update, Kind::Label, name).with("color", color.as_str())]
            }
            Self::RenameLabel { from, to, color } => {
                vec![new_label(to, color), one(Effect::Delete, Kind::Label, from)]
            }
            Self::DeleteLabel { name } => vec![one(Effect::Delete, Kind::Label, name)],
        }
    }

    /// The rows that are gone after it.
    pub(crate) fn removed(&self) -> Option<(Kind, &str)> {
        match self {
            Self::DeleteIssue { id } => Some((Kind::Issue, id)),
            Self::RenameLabel { from: name, .. } | Self::DeleteLabel { name } => Some((Kind::Label, name)),
            _ => None,
        }
    }

    /// The deed that repeats a recorded step; `None` for one that only reads.
    pub(crate) fn of_step(step: &LabelStep) -> Option<Self> {
        let text = |fields: &Fields, name: &str| {
            fields.get(name).and_then(|value| value.as_str()).map(str::to_owned)
        };
        let color = |fields: &Fields| text(fields, "color").unwrap_or_else(|| "ededed".to_owned());
        Some(match step {
            LabelStep::Create(fields) => Self::NewLabel {
                name: text(fields, "name")?,
                color: color(fields),
                description: text(fields, "description"),
            },
            LabelStep::Read(_) => return None,
            LabelStep::Update { name, fields } => match text(fields, "new_name") {
                Some(to) => Self::RenameLabel { from: name.clone(), to, color: color(fields) },
                None => Self::Recolor { name: name.clone(), color: color(fields) },
            },
            LabelStep::Delete(name) => Self::DeleteLabel { name: name.clone() },
        })
    }
}

fn new_label(name: &str, color: &str) -> ExpectedMutation {
    ExpectedMutation::new(Effect::Create, Kind::Label, name).with("color", color)
}

impl fmt::Display for Deed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenIssue { title, .. } => write!(out, "opens an issue, “{title}”"),
            Self::Retitle { id, title } => write!(out, "calls issue {} “{title}”", short(id)),
            Self::Close { id } => write!(out, "closes issue {}", short(id)),
            Self::Relabel { id, labels } => write!(out, "labels issue {} {}", short(id), labels.join(", ")),
            Self::DeleteIssue { id } => write!(out, "deletes issue {}", short(id)),
            Self::NewLabel { name, color, .. } => write!(out, "makes the label {name}, #{color}"),
            Self::Recolor { name, color } => write!(out, "paints the label {name} #{color}"),
            Self::RenameLabel { from, to, .. } => {
                write!(out, "renames the label {from} to {to}: a new key, so one more and one less")
            }
            Self::DeleteLabel { name } => write!(out, "deletes the label {name}"),
        }
    }
}

/// A key as people see it: UUIDs by their end, which differs most.
pub(crate) fn short(key: &str) -> String {
    match key.rsplit_once('-') {
        Some((_, end)) if key.len() == 36 => format!("…{end}"),
        _ => key.to_owned(),
    }
}
