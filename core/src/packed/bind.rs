//! Binds a stored shape to today's schema: once per pair, not once per row.

use super::DIALECT;
use super::shape::{Shape, ShapeField, ShapeKind};
use crate::error::Fault;
use crate::kind::{EnumDef, Kind};
use crate::schema::{FieldDef, Schema};
use crate::value::Value;

/// Where today's fields are in rows of a stored shape.
#[derive(Debug)]
pub struct Bound {
    pub(super) slots: Box<[Slot]>,
}

/// Where one of today's fields is.
#[derive(Debug)]
pub enum Slot {
    /// At this position, read like this.
    At(u16, Bind),
    /// Not stored by that version: this constant.
    Default(Value),
    /// Not stored by that version, and there is no default.
    Missing,
    /// Stored with a type that can't be read as today's.
    Broken(Fault),
}

/// How a stored value is read as a value of today's type.
#[derive(Debug)]
pub enum Bind {
    /// As it is.
    Scalar,
    /// As the name of a variant, which may have been renamed.
    Names(&'static EnumDef),
    /// Element by element.
    List(Box<Bind>),
    /// Key by key and value by value.
    Map(Box<Bind>, Box<Bind>),
    /// Field by field.
    Struct(Box<[Slot]>),
    /// By the stored position of the variant; `None` if today's enum does not have it.
    Enum(Box<[Option<BoundVariant>]>),
}

/// A variant that today's enum has.
#[derive(Debug)]
pub struct BoundVariant {
    pub(super) name: &'static str,
    pub(super) slots: Box<[Slot]>,
}

impl Bound {
    /// Binds `shape` to `schema`. A field that can't be bridged is an error when it is read, and no earlier.
    #[must_use]
    pub fn new(shape: &Shape, schema: &Schema) -> Self {
        let retyped = Fault::Retyped { stored: shape.version, current: schema.version };
        Self { slots: slots(&shape.fields, schema.fields, retyped) }
    }

    /// The slots, by today's positions.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

fn slots(stored: &[ShapeField], today: &'static [FieldDef], retyped: Fault) -> Box<[Slot]> {
    let slot = |field: &'static FieldDef| {
        let named = |name: &str| stored.iter().position(|stored| stored.name == name);
        let at = named(field.name_in(DIALECT))
            .or_else(|| field.alias_in(DIALECT).iter().find_map(|alias| named(alias)));
        match at {
            Some(at) => match (bind(&stored[at].kind, &field.kind, retyped), u16::try_from(at)) {
                (Some(bind), Ok(at)) => Slot::At(at, bind),
                _ => Slot::Broken(retyped),
            },
            None => field.default_in(DIALECT).map_or(Slot::Missing, Slot::Default),
        }
    };
    today.iter().map(slot).collect()
}

fn bind(stored: &ShapeKind, today: &Kind, retyped: Fault) -> Option<Bind> {
    let boxed = |stored: &ShapeKind, today: &Kind| bind(stored, today, retyped).map(Box::new);
    let stored = if let ShapeKind::Option(inner) = stored { inner } else { stored };
    Some(match (stored, today.inner()) {
        (ShapeKind::Bool, Kind::Bool)
        | (ShapeKind::Int, Kind::Int(_))
        | (ShapeKind::Float, Kind::F32 | Kind::F64)
        | (ShapeKind::Char, Kind::Char)
        | (ShapeKind::Str, Kind::Str)
        | (ShapeKind::Bytes, Kind::Bytes)
        | (ShapeKind::Uuid, Kind::Uuid)
        | (ShapeKind::Time, Kind::Time) => Bind::Scalar,
        (ShapeKind::Names, Kind::Enum(def)) if def.is_unit() => Bind::Names(def),
        (ShapeKind::List(stored), Kind::List(today)) => Bind::List(boxed(stored, today)?),
        (ShapeKind::Map(key, value), Kind::Map(today_key, today_value)) => {
            Bind::Map(boxed(key, today_key)?, boxed(value, today_value)?)
        }
        (ShapeKind::Struct(stored), Kind::Struct(today)) => Bind::Struct(slots(stored, today.fields, retyped)),
        (ShapeKind::Enum(stored), Kind::Enum(today)) if !today.is_unit() => Bind::Enum(
            stored
                .iter()
                .map(|stored| {
                    let variant = today.variant_in(DIALECT, &stored.name)?;
                    Some(BoundVariant {
                        name: variant.name,
                        slots: slots(&stored.fields, variant.fields, retyped),
                    })
                })
                .collect(),
        ),
        _ => return None,
    })
}
