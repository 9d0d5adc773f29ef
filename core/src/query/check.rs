//! Whether a query makes sense for a model: asked before anything relies on it.
//!
//! The typed face makes no other queries; one that was read from somewhere may name fields that are not there, compare
//! a number with a text, or nest deeper than any stack is.

use super::{Order, Position, Predicate, Query};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::kind::{EnumDef, Kind};
use crate::schema::{FieldDef, Schema};
use crate::value::Value;

/// How deep the conditions of a query may nest. `and` and `or` in a row count once.
///
/// ```
/// use larder_core::{FieldDef, IntKind, KeyDef, Kind, Predicate, Query, Schema, query::MAX_DEPTH};
///
/// static TAG: Schema =
///     Schema::new("Tag", &[FieldDef::new("id", Kind::Int(IntKind::U32))], KeyDef::natural(&[0]));
/// let mut filter = Predicate::All;
/// for _ in 0..MAX_DEPTH {
///     filter = Predicate::Not(Box::new(filter));
/// }
/// assert!(Query::filter(filter.clone()).check(&TAG).is_ok());
/// assert!(Query::filter(Predicate::Not(Box::new(filter))).check(&TAG).is_err());
/// ```
pub const MAX_DEPTH: usize = 48;

impl Query {
    /// Checks that the query makes sense for `schema`: the fields are there, operands are of their types, the place
    /// that it begins at fits its order, and nothing nests too deep. The typed face makes no query that does not.
    ///
    /// An operand out of its field's range is not refused: no row has it.
    ///
    /// # Errors
    /// `Invalid`, with model and field.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        check_filter(&self.filter, schema)?;
        for one in &self.order {
            ordered(schema, *one)?;
        }
        self.after.as_ref().map_or(Ok(()), |after| check_position(after, &self.order, schema))
    }

    /// As [`check`](Self::check), for a provider, which knows one model at a time.
    ///
    /// # Errors
    /// `Invalid`; `Unsupported` if the query asks something of related rows.
    pub fn check_alone(&self, schema: &Schema) -> Result<()> {
        self.check(schema)?;
        self.of_one_model(schema)
    }
}

/// The field that an order goes by.
fn ordered(schema: &Schema, one: Order) -> Result<&'static FieldDef> {
    match one.through {
        Some(at) => field((schema.association(at)?.target)(), one.field),
        None => field(schema, one.field),
    }
}

#[cold]
pub(crate) fn too_deep() -> Error {
    let message = format!("the condition nests more than {MAX_DEPTH} deep");
    Error::new(ErrorKind::Invalid, message)
}

/// Without recursion: the tree may be deeper than the stack.
fn check_filter(filter: &Predicate, schema: &Schema) -> Result<()> {
    let mut left = vec![(filter, schema, 0)];
    while let Some((one, schema, depth)) = left.pop() {
        if depth > MAX_DEPTH {
            return Err(too_deep().model(schema.model));
        }
        match one {
            Predicate::And(all) | Predicate::Or(all) => {
                left.extend(all.iter().map(|one| (one, schema, depth + 1)));
            }
            Predicate::Not(one) => left.push((one, schema, depth + 1)),
            Predicate::Related { assoc, filter, .. } => {
                left.push((filter, (schema.association(*assoc)?.target)(), depth + 1));
            }
            leaf => check_leaf(leaf, schema)?,
        }
    }
    Ok(())
}

fn check_leaf(leaf: &Predicate, schema: &Schema) -> Result<()> {
    match leaf {
        Predicate::TooDeep => Err(too_deep().model(schema.model)),
        Predicate::Key(key) => check_parts(key, schema),
        Predicate::Keys(keys) => keys.iter().try_for_each(|key| check_parts(key, schema)),
        Predicate::Compare { field: at, value, .. } => operand(schema, *at, value),
        Predicate::Between { field: at, low, high } => {
            operand(schema, *at, low)?;
            operand(schema, *at, high)
        }
        Predicate::In { field: at, values } => {
            values.iter().try_for_each(|value| operand(schema, *at, value))
        }
        Predicate::Text { field: at, .. } => {
            let def = field(schema, *at)?;
            let is_text = match shown(&def.kind) {
                Kind::Str => true,
                Kind::Enum(def) => def.is_unit() && def.numbers().is_none(),
                _ => false,
            };
            if is_text { Ok(()) } else { Err(unfit(schema, def, "has no text to look into")) }
        }
        Predicate::Member { field: at, value, .. } => {
            let def = field(schema, *at)?;
            let fits = match shown(&def.kind) {
                Kind::List(of) => value.is_null() || fits(of, value),
                Kind::Bytes => value.is_null() || matches!(value, Value::Int(_)),
                _ => false,
            };
            if fits { Ok(()) } else { Err(unfit(schema, def, "can't have such a member")) }
        }
        Predicate::Among { field: at, keys } => {
            field(schema, *at)?;
            keys.iter().try_for_each(|key| check_parts(key, schema))
        }
        _ => Ok(()),
    }
}

/// What a field of this type is shown as, if it is not null.
fn shown(kind: &Kind) -> &Kind {
    match kind {
        Kind::Option(of) => shown(of),
        Kind::As(def) => shown(&def.kind),
        kind => kind,
    }
}

/// The field at `position`.
fn field(schema: &Schema, position: u16) -> Result<&'static FieldDef> {
    schema.field(position.into())
}

fn operand(schema: &Schema, at: u16, value: &Value) -> Result<()> {
    let def = field(schema, at)?;
    if value.is_null() || fits(&def.kind, value) {
        return Ok(());
    }
    let what = format!("is compared with {}", value.show().describe());
    Err(unfit(schema, def, &what))
}

#[cold]
fn unfit(schema: &Schema, def: &FieldDef, what: &str) -> Error {
    let message = format!("a field of the type {} {what}", def.kind.name());
    Error::new(ErrorKind::Invalid, message).model(schema.model).at(def.name)
}

/// Whether a value is of a type. Goes no deeper than the type does.
fn fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Option(of) => value.is_null() || fits(of, value),
        Kind::Bool => matches!(value, Value::Bool(_)),
        Kind::Int(_) => matches!(value, Value::Int(_) | Value::Uint(_)),
        Kind::F32 | Kind::F64 => matches!(value, Value::Float(_)),
        Kind::Char => matches!(value, Value::Char(_)),
        Kind::Str => matches!(value, Value::Str(_)),
        Kind::Bytes => matches!(value, Value::Bytes(_)),
        Kind::Uuid => matches!(value, Value::Uuid(_)),
        Kind::Time => matches!(value, Value::Time(_)),
        Kind::Date => matches!(value, Value::Date(_)),
        Kind::Clock => matches!(value, Value::Clock(_)),
        Kind::DateTime => matches!(value, Value::DateTime(_)),
        Kind::Decimal => matches!(value, Value::Decimal(_)),
        Kind::As(def) => fits(&def.kind, value),
        Kind::List(of) => matches!(value, Value::List(values) if values.iter().all(|value| fits(of, value))),
        Kind::Map(key, of) => match value {
            Value::Map(entries) => entries.iter().all(|(name, value)| fits(key, name) && fits(of, value)),
            _ => false,
        },
        Kind::Struct(def) => matches!(value, Value::Struct(values) if all_fit(def.fields, values)),
        Kind::Enum(def) => fits_variant(def, value),
    }
}

fn fits_variant(def: &EnumDef, value: &Value) -> bool {
    match value {
        Value::Str(_) => def.is_unit() && def.numbers().is_none(),
        Value::Int(_) => def.numbers().is_some(),
        Value::Variant(one) => {
            def.variant(&one.name).is_some_and(|variant| all_fit(variant.fields, &one.fields))
        }
        _ => false,
    }
}

fn all_fit(fields: &[FieldDef], values: &[Value]) -> bool {
    fields.len() == values.len() && fields.iter().zip(values).all(|(field, value)| fits(&field.kind, value))
}

/// A key of the wrong type is the key of no row; one that nests is none.
fn check_parts(key: &Key, schema: &Schema) -> Result<()> {
    if key.parts().iter().any(|part| matches!(part, Key::Composite(_))) {
        return Err(Error::new(ErrorKind::Invalid, "the parts of a key have no parts").model(schema.model));
    }
    Ok(())
}

fn check_position(after: &Position, order: &[Order], schema: &Schema) -> Result<()> {
    if after.values.len() != order.len() || after.key.parts().len() != schema.key.fields.len() {
        let message = "the place that the query begins at is one of another order or another key";
        return Err(Error::new(ErrorKind::Invalid, message).model(schema.model));
    }
    for (one, value) in order.iter().zip(&after.values) {
        let def = ordered(schema, *one)?;
        // A row that has no related row has no such value.
        if !value.is_null() && !fits(&def.kind, value) {
            return Err(unfit(schema, def, &format!("is compared with {}", value.show().describe())));
        }
    }
    check_parts(&after.key, schema)
}
