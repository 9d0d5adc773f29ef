//! Queries built from names and values that are known at run time: from a form, a file, a request.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::check::MAX_DEPTH;
use super::{CompareOp, Cursor, Order, Predicate, Query, Select, TextOp};
use crate::dialect::json;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::kind::Kind;
use crate::row::Model;
use crate::schema::{FieldDef, Schema};
use crate::value::Value;

/// How a condition that is built from data relates a field to a value.
///
/// | name | value | as |
/// |---|---|---|
/// | `eq` `ne` `lt` `le` `gt` `ge` | one | [`Field::eq`](super::Field::eq) and the others |
/// | `between` | a list of two | [`Field::between`](super::Field::between) |
/// | `in` | a list | [`Field::is_in`](super::Field::is_in) |
/// | `contains` `does_not_contain` | a text, or a member of a list | [`Field::contains`](super::Field::contains) |
/// | `starts_with` `ends_with` | a text | [`Field::starts_with`](super::Field::starts_with) |
/// | `is_null` `is_not_null` | none | [`Field::is_null`](super::Field::is_null) |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the table says what each is")]
pub enum Operator {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Between,
    In,
    Contains,
    DoesNotContain,
    StartsWith,
    EndsWith,
    IsNull,
    IsNotNull,
}

impl Operator {
    const ALL: [(&'static str, Self); 14] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("lt", Self::Lt),
        ("le", Self::Le),
        ("gt", Self::Gt),
        ("ge", Self::Ge),
        ("between", Self::Between),
        ("in", Self::In),
        ("contains", Self::Contains),
        ("does_not_contain", Self::DoesNotContain),
        ("starts_with", Self::StartsWith),
        ("ends_with", Self::EndsWith),
        ("is_null", Self::IsNull),
        ("is_not_null", Self::IsNotNull),
    ];
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, one)| one == self).map_or("?", |(name, _)| name);
        f.write_str(name)
    }
}

impl std::str::FromStr for Operator {
    type Err = Error;

    /// # Errors
    /// `Invalid` for another name; the message says which one may be meant.
    fn from_str(name: &str) -> Result<Self> {
        let names = Self::ALL.iter().map(|(name, _)| *name);
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, operator)| *operator)
            .ok_or_else(|| unknown("operator", name, names))
    }
}

impl Predicate {
    /// A condition on the field that is called `name`; `value` is as the field's type stands in JSON.
    ///
    /// ```
    /// use larder_core::{FieldDef, IntKind, KeyDef, Kind, Operator, Predicate, Schema};
    ///
    /// static PERSON: Schema = Schema::new(
    ///     "Person",
    ///     &[FieldDef::new("id", Kind::Int(IntKind::U32)), FieldDef::new("city", Kind::Str)],
    ///     KeyDef::natural(&[0]),
    /// );
    /// let oslo = Predicate::on(&PERSON, "city", Operator::StartsWith, &"Os".into())?;
    /// let refused = Predicate::on(&PERSON, "citty", Operator::Eq, &"Oslo".into()).unwrap_err();
    /// assert!(refused.to_string().contains("did you mean `city`?"));
    /// assert!(Predicate::on(&PERSON, "id", Operator::Eq, &"Oslo".into()).is_err());
    /// # drop(oslo);
    /// # Ok::<(), larder_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid`, with model and field, for a field that the model does not have, a value of another type or out of
    /// range, and an operator that the type does not have.
    pub fn on(schema: &'static Schema, name: &str, operator: Operator, value: &Json) -> Result<Self> {
        let (field, def) = find(schema, name)?;
        let place = |error: Error| error.model(schema.model).at(def.name);
        Self::with(field, def, operator, value).map_err(place)
    }

    fn with(field: u16, def: &'static FieldDef, operator: Operator, value: &Json) -> Result<Self> {
        let compare = |op| Ok(Self::Compare { field, op, value: operand(def, value)? });
        let list = || value.as_array().ok_or_else(|| invalid(format!("`{operator}` takes a list of values")));
        match operator {
            Operator::Eq => compare(CompareOp::Eq),
            Operator::Ne => compare(CompareOp::Ne),
            Operator::Lt => compare(CompareOp::Lt),
            Operator::Le => compare(CompareOp::Le),
            Operator::Gt => compare(CompareOp::Gt),
            Operator::Ge => compare(CompareOp::Ge),
            Operator::IsNull | Operator::IsNotNull if !value.is_null() => {
                Err(invalid(format!("`{operator}` takes no value")))
            }
            Operator::IsNull => Ok(Self::Compare { field, op: CompareOp::Eq, value: Value::Null }),
            Operator::IsNotNull => Ok(Self::Compare { field, op: CompareOp::Ne, value: Value::Null }),
            Operator::Between => match list()?.as_slice() {
                [low, high] => {
                    Ok(Self::Between { field, low: operand(def, low)?, high: operand(def, high)? })
                }
                _ => Err(invalid("`between` takes a list of two values".to_owned())),
            },
            Operator::In => {
                let values = list()?.iter().map(|value| operand(def, value));
                Ok(Self::In { field, values: values.collect::<Result<_>>()? })
            }
            Operator::Contains => Self::holding(field, def, TextOp::Contains, value, false),
            Operator::DoesNotContain => Self::holding(field, def, TextOp::Contains, value, true),
            Operator::StartsWith => Self::holding(field, def, TextOp::StartsWith, value, false),
            Operator::EndsWith => Self::holding(field, def, TextOp::EndsWith, value, false),
        }
    }

    fn holding(field: u16, def: &'static FieldDef, op: TextOp, value: &Json, negated: bool) -> Result<Self> {
        match (def.kind.inner(), op, value) {
            (Kind::Str, _, Json::String(needle)) => {
                Ok(Self::Text { field, op, needle: needle.as_str().into(), ignore_case: false, negated })
            }
            (Kind::Str, _, _) => Err(invalid("a text contains texts".to_owned())),
            (Kind::List(of), TextOp::Contains, value) => {
                Ok(Self::Member { field, value: read(value, of)?, negated })
            }
            (kind, _, _) => Err(invalid(format!("a field of the type {} contains nothing", kind.name()))),
        }
    }
}

impl Query {
    /// Reads a query out of JSON.
    ///
    /// An object has the members of a condition, and of a window: `order` (a list of field names, or one; `-` in front
    /// means falling), `limit`, `offset`, `after` (a [`Cursor`]'s text) and `deny_scan`. A condition is one of
    ///
    /// - `{"field": "city", "op": "eq", "value": "Oslo"}`, with `"ignore_case": true` if wanted; see [`Operator`],
    /// - `{"and": […]}`, `{"or": […]}`, `{"not": …}`,
    /// - `{"key": …}`, `{"keys": […]}`; a key of several fields is a list of them.
    ///
    /// Fields go by their names in the model. Values are as they stand in the model's JSON. Without a condition, the
    /// query is for all rows.
    ///
    /// ```
    /// use larder_core::{FieldDef, IntKind, KeyDef, Kind, Query, Schema};
    /// use serde_json::json;
    ///
    /// static PERSON: Schema = Schema::new(
    ///     "Person",
    ///     &[FieldDef::new("id", Kind::Int(IntKind::U32)), FieldDef::new("city", Kind::Str)],
    ///     KeyDef::natural(&[0]),
    /// );
    /// let query = Query::from_json(&PERSON, &json!({
    ///     "or": [{"field": "city", "op": "eq", "value": "Oslo"}, {"field": "id", "op": "lt", "value": 9}],
    ///     "order": ["-city"],
    ///     "limit": 10,
    /// }))?;
    /// assert_eq!(query.limit, Some(10));
    /// let wrong = json!({"field": "id", "op": "eq", "value": -1});
    /// assert!(Query::from_json(&PERSON, &wrong).unwrap_err().to_string().contains("-1"));
    /// # Ok::<(), larder_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid`, with model and field, for an unknown field, operator or member, a value of another type or out of
    /// range, a cursor of another query, and conditions that nest too deep.
    pub fn from_json(schema: &'static Schema, json: &Json) -> Result<Self> {
        read_query(schema, json).map_err(|error| error.model(schema.model))
    }
}

impl<M: Model> Select<M> {
    /// Reads a query out of JSON; see [`Query::from_json`].
    ///
    /// # Errors
    /// As [`Query::from_json`].
    pub fn from_json(json: &Json) -> Result<Self> {
        Query::from_json(M::schema(), json).map(Self::new)
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// The members of a query that are no condition.
const WINDOW: [&str; 5] = ["order", "limit", "offset", "after", "deny_scan"];
/// The members that make a condition.
const CONDITION: [&str; 6] = ["field", "and", "or", "not", "key", "keys"];

fn read_query(schema: &'static Schema, json: &Json) -> Result<Query> {
    let members = object(json)?;
    let mut query = Query::all();
    for (name, value) in members {
        match name.as_str() {
            "order" => query.order = read_order(schema, value)?,
            "limit" if value.is_null() => query.limit = None,
            "limit" => query.limit = Some(number(name, value)?),
            "offset" => query.offset = number(name, value)?,
            "deny_scan" => query.deny_scan = truth(name, value)?,
            _ => {}
        }
    }
    if members.keys().any(|name| !WINDOW.contains(&name.as_str())) {
        query.filter = read_condition(schema, members, MAX_DEPTH, &WINDOW)?;
    }
    match members.get("after") {
        None | Some(Json::Null) => Ok(query),
        Some(Json::String(text)) => query.continued(schema, &text.parse::<Cursor>()?),
        Some(_) => Err(invalid("`after` takes the text of a cursor".to_owned())),
    }
}

/// Reads a condition; the members `besides` are not its own.
fn read_condition(
    schema: &'static Schema,
    members: &Map<String, Json>,
    depth: usize,
    besides: &[&str],
) -> Result<Predicate> {
    let own = || members.keys().map(String::as_str).filter(|name| !besides.contains(name));
    let below = depth.checked_sub(1).ok_or_else(super::check::too_deep)?;
    let kinds: Vec<&str> = CONDITION.into_iter().filter(|kind| members.contains_key(*kind)).collect();
    let [kind] = kinds.as_slice() else {
        let unknown_one = own().find(|name| !CONDITION.contains(name));
        return Err(match (kinds.as_slice(), unknown_one) {
            ([], Some(name)) => unknown("member", name, CONDITION.into_iter().chain(WINDOW)),
            _ => invalid(format!("a condition has one of the members {}", CONDITION.join(", "))),
        });
    };
    let allowed: &[&str] = if *kind == "field" { &["field", "op", "value", "ignore_case"] } else { &[kind] };
    if let Some(name) = own().find(|name| !allowed.contains(name)) {
        return Err(unknown("member", name, allowed.iter().copied()));
    }
    let list = || -> Result<&Vec<Json>> {
        members[*kind].as_array().ok_or_else(|| invalid(format!("`{kind}` takes a list")))
    };
    let one = |json: &Json| read_condition(schema, object(json)?, below, &[]);
    let each = || list()?.iter().map(one).collect::<Result<Vec<_>>>();
    match *kind {
        "and" => Ok(Predicate::And(each()?)),
        "or" => Ok(Predicate::Or(each()?)),
        "not" => Ok(one(&members["not"])?.negate()),
        "key" => Ok(Predicate::Key(read_key(schema, &members["key"])?)),
        "keys" => {
            let keys = list()?.iter().map(|key| read_key(schema, key));
            Ok(Predicate::Keys(keys.collect::<Result<_>>()?))
        }
        _ => read_field(schema, members),
    }
}

fn read_field(schema: &'static Schema, members: &Map<String, Json>) -> Result<Predicate> {
    let text = |name: &str| {
        let text = members.get(name).and_then(Json::as_str);
        text.ok_or_else(|| invalid(format!("a condition on a field needs the text `{name}`")))
    };
    let (name, operator) = (text("field")?, text("op")?.parse()?);
    let mut on = Predicate::on(schema, name, operator, members.get("value").unwrap_or(&Json::Null))?;
    if members.get("ignore_case").map_or(Ok(false), |value| truth("ignore_case", value))? {
        match &mut on {
            Predicate::Text { ignore_case, .. } => *ignore_case = true,
            _ => return Err(invalid("`ignore_case` is for the operators of text".to_owned()).at(name)),
        }
    }
    Ok(on)
}

fn read_order(schema: &'static Schema, json: &Json) -> Result<Vec<Order>> {
    let names = match json {
        Json::Array(names) => names.as_slice(),
        one => std::slice::from_ref(one),
    };
    let one = |name: &Json| {
        let name = name.as_str().ok_or_else(|| invalid("`order` takes names of fields".to_owned()))?;
        Ok(match name.strip_prefix('-') {
            Some(name) => Order::desc(find(schema, name)?.0),
            None => Order::asc(find(schema, name)?.0),
        })
    };
    names.iter().map(one).collect()
}

fn read_key(schema: &'static Schema, json: &Json) -> Result<Key> {
    let part = |(at, json): (&usize, &Json)| {
        let def = &schema.fields[*at];
        let value = read(json, &def.kind).map_err(|error| error.at(def.name))?;
        let unfit = |_| invalid("such a value is no key".to_owned()).at(def.name);
        Key::take(value.show()).map_err(unfit)
    };
    match (schema.key.fields, json) {
        ([], Json::Null) => Ok(Key::Singleton),
        ([one], json) => part((one, json)),
        (many, Json::Array(parts)) if parts.len() == many.len() => {
            Ok(Key::Composite(many.iter().zip(parts).map(part).collect::<Result<_>>()?))
        }
        (many, _) => Err(invalid(format!("a key of this model is a list of {} values", many.len()))),
    }
}

/// The operand of a field: null, or a value of its type.
fn operand(def: &'static FieldDef, json: &Json) -> Result<Value> {
    if json.is_null() { Ok(Value::Null) } else { read(json, &def.kind) }
}

fn read(json: &Json, kind: &'static Kind) -> Result<Value> {
    json::read(json, kind).map_err(|error| {
        let place = error.path().map(str::to_owned);
        let refused = invalid(error.message().to_owned()).because(error);
        match place {
            Some(place) => refused.at(place),
            None => refused,
        }
    })
}

fn object(json: &Json) -> Result<&Map<String, Json>> {
    json.as_object().ok_or_else(|| invalid("a query and a condition are objects".to_owned()))
}

fn number(name: &str, json: &Json) -> Result<u64> {
    json.as_u64().ok_or_else(|| invalid(format!("`{name}` takes a number from 0 on")))
}

fn truth(name: &str, json: &Json) -> Result<bool> {
    json.as_bool().ok_or_else(|| invalid(format!("`{name}` takes true or false")))
}

fn find(schema: &'static Schema, name: &str) -> Result<(u16, &'static FieldDef)> {
    let at = schema.position(name).and_then(|at| u16::try_from(at).ok());
    let at = at.ok_or_else(|| {
        let names = schema.fields.iter().map(|field| field.name);
        unknown("field", name, names).model(schema.model)
    })?;
    Ok((at, &schema.fields[usize::from(at)]))
}

/// An unknown name, with the known one that is nearest, if one is near.
fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str> + Clone) -> Error {
    let near = known.clone().map(|one| (distance(one, name), one)).min();
    let hint = match near {
        Some((distance, one)) if distance <= 2.max(name.chars().count() / 3) => {
            format!("did you mean `{one}`?")
        }
        _ => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    };
    invalid(format!("there is no {what} `{}`; {hint}", name.escape_debug()))
}

/// By how many letters two names differ, at most; of long ones, only the beginnings are compared.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let swapped = before + usize::from(x != y);
            before = row[j + 1];
            row[j + 1] = swapped.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}
