//! GitHub's nested objects in the server's simple shape.

use jiff::Timestamp;
use serde_json::Value;

use super::object::Fields;

/// Fields of a recorded issue that the demo's model does not know and that must survive all the same.
const EXTRA_ISSUE_FIELDS: [&str; 3] = ["html_url", "locked", "author_association"];
/// The same for a label; `id` is GitHub's number, not the key.
const EXTRA_LABEL_FIELDS: [&str; 3] = ["id", "url", "default"];

/// An issue with the names of its labels, the login of its author and its number as key.
pub(crate) fn issue(recorded: &Fields) -> Result<Fields, String> {
    let number =
        field(recorded, "number", "a positive number", |value| value.as_u64().filter(|one| *one > 0))?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let time = |value: &Value| text(value).filter(|text| text.parse::<Timestamp>().is_ok());
    let mut fields = Fields::new();
    fields.insert("id".to_owned(), number.to_string().into());
    fields.insert("number".to_owned(), number.into());
    for name in ["created_at", "updated_at"] {
        fields.insert(name.to_owned(), field(recorded, name, "a date-time", time)?.into());
    }
    for name in ["title", "state"] {
        fields.insert(name.to_owned(), field(recorded, name, "a string", text)?.into());
    }
    fields.insert("comments".to_owned(), field(recorded, "comments", "a count", Value::as_u64)?.into());
    fields.insert("body".to_owned(), recorded.get("body").cloned().unwrap_or_default());
    let login = recorded.get("user").and_then(|user| user.get("login")?.as_str());
    fields.insert("user".to_owned(), login.unwrap_or("ghost").into());
    fields.insert("labels".to_owned(), field(recorded, "labels", "a list of labels", label_names)?);
    copy(recorded, &mut fields, &EXTRA_ISSUE_FIELDS);
    Ok(fields)
}

/// GitHub nests whole labels; the server keeps their names.
fn label_names(labels: &Value) -> Option<Value> {
    let name = |label: &Value| label.get("name").unwrap_or(label).as_str().map(Value::from);
    labels.as_array()?.iter().map(name).collect::<Option<Vec<_>>>().map(Value::Array)
}

/// A label without what only GitHub needs.
pub(crate) fn label(recorded: &Fields) -> Result<Fields, String> {
    let mut fields = Fields::new();
    copy(recorded, &mut fields, &["name", "color", "description"]);
    copy(recorded, &mut fields, &EXTRA_LABEL_FIELDS);
    Ok(fields)
}

fn copy(from: &Fields, into: &mut Fields, names: &[&str]) {
    for name in names {
        if let Some(value) = from.get(*name) {
            into.insert((*name).to_owned(), value.clone());
        }
    }
}

fn field<T>(
    fields: &Fields,
    name: &str,
    wanted: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<T, String> {
    let value = fields.get(name).ok_or_else(|| format!("field `{name}` is missing"))?;
    read(value).ok_or_else(|| format!("field `{name}`: expected {wanted}, found {value}"))
}
