//! How a row meets a dialect.

use std::fmt::Debug;
use std::sync::Arc;

use crate::association::Brought;
use crate::error::Result;
use crate::row::{Record, Row};
use crate::schema::Schema;

/// A dialect: names, skips, defaults and converters of a model's fields, and the codec that goes with them.
///
/// The derive writes *one* description per model and a dialect is *one* codec over descriptions, so N models and P
/// dialects cost N + P. What an implementor may rely on:
///
/// - [`FieldDef::name_in`](crate::FieldDef::name_in), `alias_in` and `default_in` resolve the attributes of the
///   dialect's name; a field without any is called and written as in the model.
/// - `encode` is given rows that show the schema's fields by position. A field that is
///   [`Absent`](crate::ValueRef::Absent) or has `skip_write` is left out.
/// - `decode` gives every field of the schema: a default where it is missing, absent where it has `skip_read`.
///   A missing field without a default is an error.
///
/// Errors are `Serialization` with model and field path.
///
/// ```
/// use larder_core::dialect::json::Json;
/// use larder_core::{FieldDef, KeyDef, Kind, Record, Row, Schema, Serdes, Value, ValueRef};
///
/// static TAG: Schema = Schema::new("Tag", &[FieldDef::new("name", Kind::Str)], KeyDef::natural(&[0]));
/// let json = Json.encode(&TAG, &Record::new([Some(Value::Str("bug".into()))]))?;
/// assert_eq!(json.to_string(), r#"{"name":"bug"}"#);
/// assert!(Json.decode(&TAG, &serde_json::json!({ "name": 7 })).is_err());
/// # Ok::<(), larder_core::Error>(())
/// ```
pub trait Serdes: Debug + Send + Sync {
    /// What a row is encoded to.
    type Encoded;

    /// The dialect's name, as in `#[model(json(…))]`.
    fn dialect(&self) -> &'static str;

    /// Encodes `row`.
    ///
    /// # Errors
    /// `Serialization` for a value that the dialect can't express.
    fn encode(&self, schema: &'static Schema, row: &dyn Row) -> Result<Self::Encoded>;

    /// Decodes a row.
    ///
    /// # Errors
    /// `Serialization` for a value of another type, out of range, or missing.
    fn decode(&self, schema: &'static Schema, encoded: &Self::Encoded) -> Result<Decoded>;
}

/// A decoded row.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Its fields.
    pub record: Record,
    /// What was there and the model does not have, as a JSON object.
    pub extra: Option<Arc<str>>,
    /// Related rows that stood within it, and references that are to be looked up.
    pub brought: Brought,
}
