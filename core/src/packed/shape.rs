//! The shape of a stored row: what has to be known to read it with tomorrow's model.

use serde::{Deserialize, Serialize};

use super::DIALECT;
use crate::error::{Error, ErrorKind, Result};
use crate::kind::Kind;
use crate::schema::{FieldDef, Schema};

/// How deep value types may nest: a type that contains itself has no finite shape.
const DEPTH: usize = 64;

/// The ordered fields of one version of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The model.
    pub model: String,
    /// The version of the model.
    pub version: u32,
    /// The fields.
    pub fields: Vec<ShapeField>,
}

/// A field within a shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeField {
    /// Its name in the store.
    pub name: String,
    /// Its type.
    pub kind: ShapeKind,
}

/// The type of a stored field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is named after its kind")]
pub enum ShapeKind {
    Bool,
    Int,
    Float,
    Char,
    Str,
    Bytes,
    Uuid,
    Time,
    Date,
    Clock,
    DateTime,
    Decimal,
    Option(Box<ShapeKind>),
    List(Box<ShapeKind>),
    Map(Box<ShapeKind>, Box<ShapeKind>),
    Struct(Vec<ShapeField>),
    /// An enum without data, stored as the variant's name.
    Names,
    /// An enum with data, stored as the variant's position here and its fields.
    Enum(Vec<ShapeVariant>),
}

/// A variant of a stored enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeVariant {
    /// Its name in the store.
    pub name: String,
    /// Its fields.
    pub fields: Vec<ShapeField>,
}

impl Shape {
    /// The shape of today's model.
    ///
    /// # Errors
    /// `Unsupported` if a value type contains itself.
    pub fn of(schema: &Schema) -> Result<Self> {
        let fields = fields(schema.fields, 0).map_err(|error| error.model(schema.model))?;
        Ok(Self { model: schema.model.to_owned(), version: schema.version, fields })
    }
}

fn fields(defs: &[FieldDef], depth: usize) -> Result<Vec<ShapeField>> {
    let shape = |def: &FieldDef| {
        let kind = kind(&def.kind, depth).map_err(|error| error.at(def.name))?;
        Ok(ShapeField { name: def.name_in(DIALECT).to_owned(), kind })
    };
    defs.iter().map(shape).collect()
}

fn kind(of: &Kind, depth: usize) -> Result<ShapeKind> {
    if depth > DEPTH {
        return Err(Error::new(ErrorKind::Unsupported, "a value type that contains itself can't be stored"));
    }
    let inner = |of: &Kind| kind(of, depth + 1).map(Box::new);
    Ok(match of {
        Kind::Bool => ShapeKind::Bool,
        Kind::Int(_) => ShapeKind::Int,
        Kind::F32 | Kind::F64 => ShapeKind::Float,
        Kind::Char => ShapeKind::Char,
        Kind::Str => ShapeKind::Str,
        Kind::Bytes => ShapeKind::Bytes,
        Kind::Uuid => ShapeKind::Uuid,
        Kind::Time => ShapeKind::Time,
        Kind::Date => ShapeKind::Date,
        Kind::Clock => ShapeKind::Clock,
        Kind::DateTime => ShapeKind::DateTime,
        Kind::Decimal => ShapeKind::Decimal,
        Kind::Option(of) => ShapeKind::Option(inner(of)?),
        // What has its own way elsewhere has none here.
        Kind::As(def) => return kind(&def.kind, depth),
        Kind::List(of) => ShapeKind::List(inner(of)?),
        Kind::Map(key, value) => ShapeKind::Map(inner(key)?, inner(value)?),
        Kind::Struct(def) => ShapeKind::Struct(fields(def.fields, depth + 1)?),
        Kind::Enum(def) if def.numbers().is_some() => ShapeKind::Int,
        Kind::Enum(def) if def.is_unit() => ShapeKind::Names,
        Kind::Enum(def) => {
            let variant = |variant: &crate::kind::VariantDef| {
                let name = variant.name_in(DIALECT).to_owned();
                Ok(ShapeVariant { name, fields: fields(variant.fields, depth + 1)? })
            };
            ShapeKind::Enum(def.variants.iter().map(variant).collect::<Result<_>>()?)
        }
    })
}
