//! What the server stores: issues and labels as JSON objects, and the rules that a write must keep.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// The fields of one stored object.
pub(crate) type Fields = Map<String, Value>;

/// The two collections of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Keyed by `id`; found by `number` too.
    Issue,
    /// Keyed by `name`.
    Label,
}

impl Kind {
    /// The path segment of the collection.
    pub(crate) fn collection(self) -> &'static str {
        match self {
            Self::Issue => "issues",
            Self::Label => "labels",
        }
    }

    /// The field that holds the key.
    pub(crate) fn key_field(self) -> &'static str {
        match self {
            Self::Issue => "id",
            Self::Label => "name",
        }
    }

    /// Fields that the server keeps whatever a client sends, as GitHub does. The key is not among them: a write that
    /// contradicts it is refused.
    fn owned(self) -> &'static [&'static str] {
        match self {
            Self::Issue => &["number", "user", "comments", "created_at", "updated_at", "html_url"],
            Self::Label => &["id", "url", "default"],
        }
    }

    /// Checks the fields of a whole object and fills in what may be left out.
    pub(crate) fn complete(self, fields: &mut Fields) -> Result<(), Refusal> {
        match self {
            Self::Issue => complete_issue(fields),
            Self::Label => complete_label(fields),
        }
    }
}

fn complete_issue(fields: &mut Fields) -> Result<(), Refusal> {
    non_empty_string(fields, "title")?;
    default(fields, "body", Value::Null);
    default(fields, "state", "open".into());
    default(fields, "labels", Value::Array(Vec::new()));
    string_or_null(fields, "body")?;
    match fields.get("state").and_then(Value::as_str) {
        Some("open" | "closed") => {}
        _ => return Err(Refusal::invalid("state", "must be \"open\" or \"closed\"")),
    }
    match fields.get("labels") {
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => Ok(()),
        _ => Err(Refusal::invalid("labels", "must be a list of label names")),
    }
}

fn complete_label(fields: &mut Fields) -> Result<(), Refusal> {
    non_empty_string(fields, "name")?;
    default(fields, "color", "ededed".into());
    default(fields, "description", Value::Null);
    string_or_null(fields, "description")?;
    match fields.get("color").and_then(Value::as_str) {
        Some(color) if color.len() == 6 && color.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(()),
        _ => Err(Refusal::invalid("color", "must be six hexadecimal digits")),
    }
}

fn default(fields: &mut Fields, name: &str, value: Value) {
    fields.entry(name).or_insert(value);
}

fn non_empty_string(fields: &Fields, name: &'static str) -> Result<(), Refusal> {
    match fields.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err(Refusal::invalid(name, "must be a string that is not empty")),
    }
}

fn string_or_null(fields: &Fields, name: &'static str) -> Result<(), Refusal> {
    match fields.get(name) {
        Some(Value::String(_) | Value::Null) => Ok(()),
        _ => Err(Refusal::invalid(name, "must be a string or null")),
    }
}

/// One stored object and the revision that its `ETag` is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// The value of [`Kind::key_field`].
    pub(crate) key: String,
    /// Everything that a GET answers, the key included.
    pub(crate) fields: Fields,
    /// Unique among all writes of the server.
    pub(crate) revision: u64,
}

impl Object {
    /// The strong entity tag: no two states of any object share one.
    pub(crate) fn etag(&self) -> String {
        format!("\"{:08x}\"", self.revision)
    }

    /// The `number` of an issue.
    pub(crate) fn number(&self) -> Option<u64> {
        self.fields.get("number").and_then(Value::as_u64)
    }

    /// The fields after `sent` replaced all that the client may write; unknown fields that it left out are gone.
    pub(crate) fn replaced(&self, kind: Kind, sent: &Fields) -> Fields {
        let mut next = Fields::new();
        for name in kind.owned().iter().copied().chain([kind.key_field()]) {
            if let Some(kept) = self.fields.get(name) {
                next.insert(name.to_owned(), kept.clone());
            }
        }
        merge(&mut next, kind, sent);
        next
    }

    /// The fields after only those in `sent` were written.
    pub(crate) fn patched(&self, kind: Kind, sent: &Fields) -> Fields {
        let mut next = self.fields.clone();
        merge(&mut next, kind, sent);
        next
    }
}

/// Writes what the client may write. `new_name` is an instruction, not a field.
fn merge(into: &mut Fields, kind: Kind, sent: &Fields) {
    for (name, value) in sent {
        let instruction = kind == Kind::Label && name == "new_name";
        if !kind.owned().contains(&name.as_str()) && name != kind.key_field() && !instruction {
            into.insert(name.clone(), value.clone());
        }
    }
}
