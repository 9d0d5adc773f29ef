//! Reads a stored row as owned values, by the shape that it was stored with.

use super::read::Cursor;
use super::shape::{ShapeField, ShapeKind};
use crate::error::Fault;
use crate::value::{Value, ValueRef};

/// How deep values are followed: no deeper than a shape can be.
const DEPTH: usize = 128;

/// The value that fills `bytes`, in the forms that [`OldRow`](crate::OldRow) describes.
pub(super) fn value(bytes: &[u8], kind: &ShapeKind) -> Result<Value, Fault> {
    read(&mut Cursor(bytes), kind, 0)
}

fn read(cursor: &mut Cursor<'_>, kind: &ShapeKind, depth: usize) -> Result<Value, Fault> {
    if depth > DEPTH {
        return Err(Fault::Malformed);
    }
    if cursor.is_null() {
        cursor.skip()?;
        return Ok(Value::Null);
    }
    match kind {
        ShapeKind::Option(inner) => read(cursor, inner, depth + 1),
        ShapeKind::List(of) => {
            let len = cursor.array()?;
            (0..len).map(|_| read(cursor, of, depth + 1)).collect::<Result<_, _>>().map(Value::List)
        }
        ShapeKind::Map(of_key, of_value) => {
            let len = cursor.map()?;
            let entry = |_| Ok((read(cursor, of_key, depth + 1)?, read(cursor, of_value, depth + 1)?));
            (0..len).map(entry).collect::<Result<_, _>>().map(Value::Map)
        }
        ShapeKind::Struct(of) => {
            let len = cursor.array()?;
            fields(cursor, of, len, depth)
        }
        ShapeKind::Enum(variants) => {
            let (at, len) = cursor.variant()?;
            let variant = variants.get(at).ok_or(Fault::Malformed)?;
            let of = fields(cursor, &variant.fields, len, depth)?;
            Ok(Value::Map(vec![(Value::Str(variant.name.as_str().into()), of)]))
        }
        _ => cursor.scalar().and_then(ValueRef::to_value),
    }
}

fn fields(cursor: &mut Cursor<'_>, of: &[ShapeField], len: usize, depth: usize) -> Result<Value, Fault> {
    if len != of.len() {
        return Err(Fault::Malformed);
    }
    let named = |field: &ShapeField| {
        Ok((Value::Str(field.name.as_str().into()), read(cursor, &field.kind, depth + 1)?))
    };
    of.iter().map(named).collect::<Result<_, _>>().map(Value::Map)
}
