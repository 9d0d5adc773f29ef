//! Answers that are made from the request.
//!
//! A text of a template may hold `{{method}}`, `{{path.0}}` (a segment, from 0), `{{query.name}}`, `{{header.name}}`,
//! `{{body}}`, `{{body.a.0.b}}` and `{{call}}` (how often the variant was asked, from 1). A text that is nothing but
//! one of these becomes the JSON value itself; what is not there is null, or nothing within a longer text.

use serde_json::{Map, Value};

use crate::calls::Call;

/// Fills in `template` from `call`, which is the variant's `nth`.
pub(crate) fn fill(template: &Value, call: &Call, nth: usize) -> Value {
    match template {
        Value::String(text) => fill_text(text, call, nth),
        Value::Array(elements) => elements.iter().map(|element| fill(element, call, nth)).collect(),
        Value::Object(members) => {
            let filled = members.iter().map(|(name, value)| (name.clone(), fill(value, call, nth)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn fill_text(text: &str, call: &Call, nth: usize) -> Value {
    let whole = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    if let Some(name) = whole.filter(|name| !name.contains("{{")) {
        return look_up(name.trim(), call, nth);
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else {
            break;
        };
        out.push_str(before);
        match look_up(name.trim(), call, nth) {
            Value::Null => {}
            Value::String(value) => out.push_str(&value),
            other => out.push_str(&other.to_string()),
        }
        rest = behind;
    }
    out.push_str(rest);
    Value::String(out)
}

fn look_up(name: &str, call: &Call, nth: usize) -> Value {
    let (what, which) = name.split_once('.').unwrap_or((name, ""));
    let text = |found: Option<&str>| found.map_or(Value::Null, Value::from);
    match what {
        "method" => text(Some(call.method.as_str())),
        "call" => nth.into(),
        "path" => text(which.parse().ok().and_then(|at: usize| call.segments.get(at)).map(String::as_str)),
        "query" => text(call.query(which)),
        "header" => text(call.header(which)),
        "body" => {
            let body = call.json().unwrap_or(Value::Null);
            let steps = which.split('.').filter(|step| !step.is_empty());
            steps.fold(body, |value, step| match (&value, step.parse::<usize>()) {
                (Value::Array(elements), Ok(at)) => elements.get(at).cloned().unwrap_or(Value::Null),
                (value, _) => value.get(step).cloned().unwrap_or(Value::Null),
            })
        }
        _ => Value::Null,
    }
}
