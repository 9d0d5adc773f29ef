//! Plans and conditions, for people.

use std::fmt;

use super::plan::{Access, Finds, Ordering, Plan, Planned, RelatedPlan, Served, name};
use super::{Predicate, TextOp};
use crate::key::Key;
use crate::schema::Schema;
use crate::value::Value;

/// The most bytes of a condition's description.
const LONGEST: usize = 200;

/// The condition, for people: cut where it gets long.
pub(crate) fn describe(schema: &Schema, condition: &Predicate) -> String {
    let mut text = String::new();
    write(schema, condition, &mut text);
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn write(schema: &Schema, condition: &Predicate, text: &mut String) {
    use std::fmt::Write as _;
    if text.len() > LONGEST {
        return;
    }
    // Writing to a string does not fail.
    let _ = match condition {
        Predicate::All => write!(text, "every row"),
        Predicate::TooDeep => write!(text, "…"),
        Predicate::Key(key) => write!(text, "key eq {}", show_key(key)),
        Predicate::Keys(keys) => write!(text, "key in ({} keys)", keys.len()),
        Predicate::Compare { field, op, value } => {
            write!(text, "{} {} {}", name(schema, *field), format!("{op:?}").to_lowercase(), show(value))
        }
        Predicate::Between { field, low, high } => {
            write!(text, "{} between {} and {}", name(schema, *field), show(low), show(high))
        }
        Predicate::In { field, values } => {
            write!(text, "{} in ({} values)", name(schema, *field), values.len())
        }
        Predicate::Text { field, op, needle, ignore_case, negated } => {
            let op = match op {
                TextOp::Contains => "contains",
                TextOp::StartsWith => "starts with",
                TextOp::EndsWith => "ends with",
            };
            let (not, case) =
                (if *negated { "not " } else { "" }, if *ignore_case { " in any case" } else { "" });
            let needle: String = needle.chars().take(LONGEST).collect();
            write!(text, "{} {not}{op} {needle:?}{case}", name(schema, *field))
        }
        Predicate::Member { field, value, negated } => {
            let has = if *negated { "has no" } else { "has" };
            write!(text, "{} {has} {}", name(schema, *field), show(value))
        }
        Predicate::And(all) => return join(schema, all, " and ", text),
        Predicate::Or(any) => return join(schema, any, " or ", text),
        Predicate::Not(one) => {
            text.push_str("not (");
            write(schema, one, text);
            write!(text, ")")
        }
        Predicate::Among { field, keys } => {
            write!(text, "{} among ({} keys)", name(schema, *field), keys.len())
        }
        Predicate::Related { assoc, all, filter } => {
            let Ok(def) = schema.association(*assoc) else { return };
            let _ = write!(text, "{} of {} (", if *all { "all" } else { "any" }, def.name);
            write((def.target)(), filter, text);
            write!(text, ")")
        }
    };
}

fn join(schema: &Schema, all: &[Predicate], by: &str, text: &mut String) {
    text.push('(');
    for (at, one) in all.iter().enumerate() {
        if at > 0 {
            text.push_str(by);
        }
        if text.len() > LONGEST {
            return;
        }
        write(schema, one, text);
    }
    text.push(')');
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Char(v) => format!("{v:?}"),
        Value::Str(v) => format!("{:?}", v.chars().take(LONGEST).collect::<String>()),
        Value::Uuid(v) => v.to_string(),
        Value::Uint(v) => v.to_string(),
        Value::Time(v) => v.to_string(),
        Value::Date(v) => v.to_string(),
        Value::Clock(v) => v.to_string(),
        Value::DateTime(v) => v.to_string(),
        Value::Decimal(v) => v.to_string(),
        other => format!("a {}", other.show().describe()),
    }
}

fn show_key(key: &Key) -> String {
    key.to_string().chars().take(LONGEST).collect()
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, all: &[Self], by: &str| {
            for (at, one) in all.iter().enumerate() {
                f.write_str(if at > 0 { by } else { "" })?;
                one.fmt(f)?;
            }
            Ok(())
        };
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Keys(1) => f.write_str("one key"),
            Self::Keys(count) => write!(f, "{count} keys"),
            Self::Found => f.write_str("keys that are found"),
            Self::KeyRange => f.write_str("range of keys"),
            Self::Index { name, fields } => write!(f, "index {name} ({})", fields.join(", ")),
            Self::Union(all) => list(f, all, " or "),
            Self::Intersection(all) => list(f, all, " and "),
            Self::Scan => f.write_str("scan"),
            Self::Remote(how) => f.write_str(how),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

impl Plan {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        write!(f, "{}", self.access)?;
        if let Some(estimate) = self.estimate {
            write!(f, ", at most {estimate}")?;
        }
        for Planned { condition, served, .. } in &self.conditions {
            let how = match served {
                Served::Key => "by key".to_owned(),
                Served::Index(names) => format!("by index {}", names.join(", ")),
                Served::Pushed => "pushed down".to_owned(),
                Served::Residual => "row by row".to_owned(),
                Served::Unindexed => "row by row, no index".to_owned(),
            };
            write!(f, "\n{indent}  {condition}: {how}")?;
        }
        let order = match self.order {
            Ordering::Delivered => "as it comes",
            Ordering::Sorted => "sorted",
            Ordering::Caller => "sorted by the caller",
        };
        write!(f, "\n{indent}  order: {order}")?;
        for RelatedPlan { association, finds, model, plan } in &self.related {
            let what = match finds {
                Finds::Matches => "what a condition asks for",
                Finds::Links => "what leads there",
                Finds::Order => "what the order goes by",
            };
            write!(f, "\n{indent}  {association}, {what}: {model}, ")?;
            plan.write(f, &format!("{indent}  "))?;
        }
        Ok(())
    }
}
