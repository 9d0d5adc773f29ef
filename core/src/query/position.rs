//! Places in the order of a query, and the cursors that carry them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Direction, MAX_DEPTH, Order, Predicate, Query, eval};
use crate::association::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{Value, ValueRef};

/// A place in a query's order, between two rows: what a cursor holds.
///
/// It stands right after the row that it was made from, whether or not that row is still there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The values of the row before it, one for each field of the query's order.
    pub values: Vec<Value>,
    /// The key of the row before it.
    pub key: Key,
}

impl Position {
    /// The place right after `row`.
    ///
    /// # Errors
    /// `Unsupported` if the order goes through an association, where
    /// [`association::answer`](crate::association::answer) tells the places; `Serialization` or `Corrupt`, with model and
    /// field, if a field can't be shown.
    pub fn of(schema: &Schema, order: &[Order], row: &dyn Row) -> Result<Self> {
        let value = |one: &Order| {
            alone(schema, *one)?;
            let at = usize::from(one.field);
            row.field(at).and_then(ValueRef::to_value).map_err(|fault| schema.fault(at, fault))
        };
        Ok(Self { values: order.iter().map(value).collect::<Result<_>>()?, key: schema.key_of(row)? })
    }

    /// Whether `row` comes after this place: by each field of `order` in its direction, then by the key.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt`, with model and field, if a field can't be shown.
    pub fn is_before(&self, schema: &Schema, order: &[Order], row: &dyn Row) -> Result<bool> {
        for (one, value) in order.iter().zip(&self.values) {
            alone(schema, *one)?;
            let at = usize::from(one.field);
            let shown = row.field(at).and_then(|shown| eval::order(shown, value.show()));
            let ordering = match one.direction {
                Direction::Ascending => shown,
                Direction::Descending => shown.map(Ordering::reverse),
            };
            match ordering.map_err(|fault| schema.fault(at, fault))? {
                Ordering::Less => return Ok(false),
                Ordering::Greater => return Ok(true),
                Ordering::Equal => {}
            }
        }
        for (at, part) in schema.key.fields.iter().zip(self.key.parts()) {
            let shown = row.field(*at).and_then(|shown| match (shown, part) {
                // A moment stands in a key as a number.
                (ValueRef::Time(moment), Key::Int(nanosecond)) => Ok(moment.as_nanosecond().cmp(nanosecond)),
                (shown, part) => eval::order(shown, part.show()),
            });
            match shown.map_err(|fault| schema.fault(*at, fault))? {
                Ordering::Less => return Ok(false),
                Ordering::Greater => return Ok(true),
                Ordering::Equal => {}
            }
        }
        Ok(false)
    }
}

/// Refuses an order by an association's field.
fn alone(schema: &Schema, order: Order) -> Result<()> {
    if order.through.is_none() {
        return Ok(());
    }
    let message = "a row alone has no place in an order by an association's field";
    Err(Error::new(ErrorKind::Unsupported, message).model(schema.model))
}

/// Where a page of an answer ended, to go on from there: `select.after(&cursor)?`.
///
/// Its text is opaque, safe in a URL and in JSON, and means something only together with the query that it was made
/// from: the same model at the same version, the same condition and the same order. The limit may be another.
///
/// ```
/// use larder_core::{Cursor, FieldDef, IntKind, KeyDef, Kind, Order, Query, Record, Schema, Value};
///
/// static TAG: Schema =
///     Schema::new("Tag", &[FieldDef::new("id", Kind::Int(IntKind::U32))], KeyDef::natural(&[0]));
/// let query = Query::all();
/// let last = Record::new([Some(Value::Int(9))]);
/// let text = query.cursor(&TAG, &last)?.to_string();
///
/// let cursor: Cursor = text.parse()?;
/// let next = query.clone().continued(&TAG, &cursor)?;
/// assert_eq!(next.after.unwrap().key, 9.into());
///
/// // Of another query it is refused.
/// assert!(Query { order: vec![Order::desc(0)], ..query }.continued(&TAG, &cursor).is_err());
/// assert!("nonsense".parse::<Cursor>().is_err());
/// # Ok::<(), larder_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    model: Box<str>,
    version: u32,
    query: u64,
    position: Position,
}

/// A cursor as it is written down; the names are short because the text is.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    m: std::borrow::Cow<'a, str>,
    v: u32,
    q: u64,
    p: std::borrow::Cow<'a, Position>,
}

/// The first byte of the text, once decoded.
const FORMAT: u8 = 1;

impl Query {
    /// Where an answer to this query goes on after `row`, mostly the last of its rows.
    ///
    /// # Errors
    /// As [`Position::of`].
    pub fn cursor(&self, schema: &Schema, row: &dyn Row) -> Result<Cursor> {
        self.cursor_at(schema, Position::of(schema, &self.order, row)?)
    }

    /// Where an answer to this query goes on after a place: of an order that asks related rows,
    /// [`association::answer`](crate::association::answer) tells the places.
    ///
    /// # Errors
    /// `Invalid` if the query can't be written down, or names an association that the model does not have.
    pub fn cursor_at(&self, schema: &Schema, position: Position) -> Result<Cursor> {
        let query = self.fingerprint(schema)?;
        Ok(Cursor { model: schema.model.into(), version: schema.version, query, position })
    }

    /// The same query, from the cursor on.
    ///
    /// # Errors
    /// `Invalid` if the cursor was made from another model, from another version of the model, or from a query with
    /// another condition or order; the message says which.
    pub fn continued(mut self, schema: &Schema, cursor: &Cursor) -> Result<Self> {
        let refuse = |message: String| Err(Error::new(ErrorKind::Invalid, message).model(schema.model));
        if *cursor.model != *schema.model {
            return refuse(format!("the cursor is one of the model {}", cursor.model));
        }
        if cursor.version != schema.version {
            return refuse(format!(
                "the cursor was made from version {} of the model, and this is version {}; start from the first page",
                cursor.version, schema.version
            ));
        }
        if cursor.query != self.fingerprint(schema)? || cursor.position.values.len() != self.order.len() {
            let more = if self.is_related() {
                ", and the related models of the version that they were of"
            } else {
                ""
            };
            return refuse(format!(
                "the cursor is one of another query: condition and order have to be those that it was made from{more}"
            ));
        }
        self.after = Some(Box::new(cursor.position.clone()));
        // Whoever makes up a cursor gets no further than whoever makes up a query.
        self.check(schema)?;
        Ok(self)
    }

    /// Tells queries apart by condition and order, and by the versions of the related models that they name fields of;
    /// the same on every run.
    fn fingerprint(&self, schema: &Schema) -> Result<u64> {
        if self.filter.depth() > MAX_DEPTH {
            return Err(super::check::too_deep());
        }
        let failed = |error| Error::new(ErrorKind::Invalid, "the query can't be written down").because(error);
        let mut json = serde_json::to_vec(&(&self.filter, &self.order)).map_err(failed)?;
        let related = self.related_versions(schema)?;
        if !related.is_empty() {
            json.extend(serde_json::to_vec(&related).map_err(failed)?);
        }
        // FNV-1a: unlike the hashes of the standard library, it stays what it is.
        Ok(json.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// The models at the other ends of the associations that the query names, with their versions.
    fn related_versions(&self, schema: &Schema) -> Result<Vec<(&'static str, u32)>> {
        let mut versions = Vec::new();
        let mut follow = |schema: &Schema, assoc: u16| -> Result<&'static Schema> {
            let def = schema.association(assoc)?;
            let target = (def.target)();
            versions.push((target.model, target.version));
            if let Link::Through { link, .. } = def.link {
                versions.push((link().model, link().version));
            }
            Ok(target)
        };
        for through in self.order.iter().filter_map(|one| one.through) {
            follow(schema, through)?;
        }
        let mut left = vec![(&self.filter, schema)];
        while let Some((one, schema)) = left.pop() {
            match one {
                Predicate::And(all) | Predicate::Or(all) => left.extend(all.iter().map(|one| (one, schema))),
                Predicate::Not(one) => left.push((one, schema)),
                Predicate::Related { assoc, filter, .. } => left.push((filter, follow(schema, *assoc)?)),
                _ => {}
            }
        }
        Ok(versions)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::borrow::Cow;
        let written = Written {
            m: Cow::Borrowed(&self.model),
            v: self.version,
            q: self.query,
            p: Cow::Borrowed(&self.position),
        };
        let mut bytes = vec![FORMAT];
        bytes.extend(rmp_serde::to_vec(&written).map_err(|_| fmt::Error)?);
        let sum = crc32fast::hash(&bytes);
        bytes.extend(sum.to_le_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// # Errors
    /// `Invalid` for a text that is no cursor.
    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::Invalid, "the text is no cursor");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| malformed().because(error))?;
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(malformed)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return Err(malformed());
        }
        let (format, packed) = body.split_first().ok_or_else(malformed)?;
        if *format != FORMAT {
            let message = "the cursor is one of another version of this library; start from the first page";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let written: Written<'_> =
            rmp_serde::from_slice(packed).map_err(|error| malformed().because(error))?;
        let (model, position) = (written.m.into_owned().into(), written.p.into_owned());
        Ok(Self { model, version: written.v, query: written.q, position })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
