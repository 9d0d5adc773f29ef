//! Binds a stored shape to today's schema: once per pair, not once per row.

use super::DIALECT;
use super::migrate::Steps;
use super::shape::{Shape, ShapeField, ShapeKind, ShapeVariant};
use crate::error::Fault;
use crate::kind::{EnumDef, Kind, VariantDef};
use crate::schema::{FieldDef, Schema};
use crate::value::Value;

/// Where today's fields are in rows of a stored shape.
#[derive(Debug)]
pub struct Bound {
    pub(super) slots: Box<[Slot]>,
    pub(super) steps: Option<Steps>,
    /// The schema, if it writes rows in this very shape.
    pub(super) writes: Option<&'static Schema>,
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
    /// As the name of a variant, which may have been renamed; the fault is that of one that is gone.
    Names(&'static EnumDef, Fault),
    /// As the number of a variant, or as the name that it was stored by before; the fault is that of one that is gone.
    Numbers(&'static EnumDef, Fault),
    /// As the name of a variant of an enum that has got data since.
    Grown(&'static EnumDef, Box<[BoundVariant]>, Fault),
    /// As a variant whose enum has lost its data since, by its stored position.
    Shrunk(Box<[Result<&'static str, Fault>]>),
    /// Element by element.
    List(Box<Bind>),
    /// Key by key and value by value.
    Map(Box<Bind>, Box<Bind>),
    /// Field by field.
    Struct(Box<[Slot]>),
    /// By the stored position of the variant; a fault if today's enum does not have it.
    Enum(Box<[Result<BoundVariant, Fault>]>),
}

/// A variant that today's enum has.
#[derive(Debug)]
pub struct BoundVariant {
    pub(super) name: &'static str,
    pub(super) slots: Box<[Slot]>,
}

impl Bound {
    /// Binds `shape` to `schema`. A field that can't be bridged is an error when it is read, and no earlier.
    /// If the schema has steps for the shape's version, rows are taken through them instead.
    #[must_use]
    pub fn new(shape: &Shape, schema: &'static Schema) -> Self {
        let versions = Versions { stored: shape.version, current: schema.version };
        let writes = Shape::of(schema).is_ok_and(|todays| todays == *shape).then_some(schema);
        Self { slots: slots(&shape.fields, schema.fields, versions), steps: Steps::of(shape, schema), writes }
    }

    /// True if rows of the shape go through a migration whenever they are read.
    #[must_use]
    pub fn migrates(&self) -> bool {
        self.steps.is_some()
    }

    /// True if that migration gives rows other keys.
    #[must_use]
    pub fn rekeys(&self) -> bool {
        self.steps.as_ref().is_some_and(Steps::rekeys)
    }

    /// The slots, by today's positions.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

/// The two versions of the model, for faults.
#[derive(Clone, Copy)]
struct Versions {
    stored: u32,
    current: u32,
}

impl Versions {
    fn retyped(self) -> Fault {
        Fault::Retyped { stored: self.stored, current: self.current }
    }

    fn gone(self) -> Fault {
        Fault::Gone { stored: self.stored, current: self.current }
    }
}

fn slots(stored: &[ShapeField], today: &'static [FieldDef], versions: Versions) -> Box<[Slot]> {
    let slot = |field: &'static FieldDef| {
        let named = |name: &str| stored.iter().position(|stored| stored.name == name);
        let at = named(field.name_in(DIALECT))
            .or_else(|| field.alias_in(DIALECT).iter().find_map(|alias| named(alias)));
        match at {
            Some(at) => match (bind(&stored[at].kind, &field.kind, versions), u16::try_from(at)) {
                (Some(bind), Ok(at)) => Slot::At(at, bind),
                _ => Slot::Broken(versions.retyped()),
            },
            None => field.default_in(DIALECT).map_or(Slot::Missing, Slot::Default),
        }
    };
    today.iter().map(slot).collect()
}

fn bind(stored: &ShapeKind, today: &Kind, versions: Versions) -> Option<Bind> {
    let boxed = |stored: &ShapeKind, today: &Kind| bind(stored, today, versions).map(Box::new);
    let stored = if let ShapeKind::Option(inner) = stored { inner } else { stored };
    Some(match (stored, today.inner()) {
        (ShapeKind::Bool, Kind::Bool)
        | (ShapeKind::Int, Kind::Int(_))
        | (ShapeKind::Float, Kind::F32 | Kind::F64)
        | (ShapeKind::Char, Kind::Char)
        | (ShapeKind::Str, Kind::Str)
        | (ShapeKind::Bytes, Kind::Bytes)
        | (ShapeKind::Uuid, Kind::Uuid)
        | (ShapeKind::Time, Kind::Time)
        | (ShapeKind::Date, Kind::Date)
        | (ShapeKind::Clock, Kind::Clock)
        | (ShapeKind::DateTime, Kind::DateTime)
        | (ShapeKind::Decimal, Kind::Decimal) => Bind::Scalar,
        (ShapeKind::Int | ShapeKind::Names, Kind::Enum(def)) if def.numbers().is_some() => {
            Bind::Numbers(def, versions.gone())
        }
        (ShapeKind::Enum(_), Kind::Enum(def)) if def.numbers().is_some() => return None,
        (ShapeKind::Names, Kind::Enum(def)) if def.is_unit() => Bind::Names(def, versions.gone()),
        (ShapeKind::Names, Kind::Enum(def)) => {
            let variants = def.variants.iter().map(|variant| bind_variant(&[], variant, versions)).collect();
            Bind::Grown(def, variants, versions.gone())
        }
        (ShapeKind::List(stored), Kind::List(today)) => Bind::List(boxed(stored, today)?),
        (ShapeKind::Map(key, value), Kind::Map(today_key, today_value)) => {
            Bind::Map(boxed(key, today_key)?, boxed(value, today_value)?)
        }
        (ShapeKind::Struct(stored), Kind::Struct(today)) => {
            Bind::Struct(slots(stored, today.fields, versions))
        }
        (ShapeKind::Enum(stored), Kind::Enum(today)) => {
            let variants = stored.iter().map(|stored| {
                let variant = today.variant_in(DIALECT, &stored.name).ok_or(versions.gone())?;
                Ok((stored, variant))
            });
            if today.is_unit() {
                Bind::Shrunk(variants.map(|found| found.map(|(_, variant)| variant.name)).collect())
            } else {
                let bound =
                    |(stored, variant): (&ShapeVariant, _)| bind_variant(&stored.fields, variant, versions);
                Bind::Enum(variants.map(|found| found.map(bound)).collect())
            }
        }
        _ => return None,
    })
}

fn bind_variant(stored: &[ShapeField], today: &'static VariantDef, versions: Versions) -> BoundVariant {
    BoundVariant { name: today.name, slots: slots(stored, today.fields, versions) }
}
