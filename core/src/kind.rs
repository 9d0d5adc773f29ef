//! The types that a field can have, as static data.

use crate::schema::{ANY, Converter, FieldDef};

/// The type of a field.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// `bool`
    Bool,
    /// Any integer.
    Int(IntKind),
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `String`
    Str,
    /// `Vec<u8>`
    Bytes,
    /// `uuid::Uuid`
    Uuid,
    /// A moment: `jiff::Timestamp`
    Time,
    /// A day of the calendar: `jiff::civil::Date`
    Date,
    /// A time of day: `jiff::civil::Time`
    Clock,
    /// A day and a time of day, in no particular time zone: `jiff::civil::DateTime`
    DateTime,
    /// [`Decimal`](crate::Decimal)
    Decimal,
    /// `Option` of another type.
    Option(&'static Kind),
    /// A list or a set.
    List(&'static Kind),
    /// A map; its keys are text, integers, UUIDs or enums without data.
    Map(&'static Kind, &'static Kind),
    /// A nested struct.
    Struct(&'static StructDef),
    /// An enum, with or without data.
    Enum(&'static EnumDef),
    /// A type that is written in its own way in some dialect.
    As(&'static AsDef),
}

/// The integer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named after its type")]
pub enum IntKind {
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
}

impl IntKind {
    /// The least and the greatest value; those of a `u128` beyond an `i128` are left out.
    #[must_use]
    pub fn range(self) -> (i128, i128) {
        match self {
            Self::I8 => (i8::MIN.into(), i8::MAX.into()),
            Self::I16 => (i16::MIN.into(), i16::MAX.into()),
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::I64 => (i64::MIN.into(), i64::MAX.into()),
            Self::I128 => (i128::MIN, i128::MAX),
            Self::U8 => (0, u8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::U128 => (0, i128::MAX),
        }
    }
}

impl Kind {
    /// True for [`Kind::Option`].
    #[must_use]
    pub const fn is_nullable(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// The type as it is shown and stored: what an option holds, and what a type with its own ways is elsewhere.
    #[must_use]
    pub const fn inner(&self) -> &Self {
        match self {
            Self::Option(inner) => inner.inner(),
            Self::As(def) => def.kind.inner(),
            other => other,
        }
    }

    /// How values of the type are written in `dialect`, if it has its own way there.
    #[must_use]
    pub fn converter(&self, dialect: &str) -> Option<Converter> {
        match self {
            Self::Option(inner) => inner.converter(dialect),
            Self::As(def) => {
                def.dialects.iter().find(|(name, _)| *name == dialect).map(|(_, converter)| *converter)
            }
            _ => None,
        }
    }

    /// True if values of the type can be keys: see [`Key::take`](crate::Key::take).
    #[must_use]
    pub const fn is_key(&self) -> bool {
        match self {
            Self::Bool | Self::Int(_) | Self::Str | Self::Bytes | Self::Uuid | Self::Time | Self::Date => {
                true
            }
            Self::Enum(def) => def.is_unit(),
            Self::As(def) => def.kind.is_key(),
            _ => false,
        }
    }

    /// True if values of the type can be keys that a server gives: integers from 32 bits on, text and UUIDs.
    #[must_use]
    pub const fn is_server_key(&self) -> bool {
        match self.inner() {
            Self::Int(of) => !matches!(of, IntKind::I8 | IntKind::I16 | IntKind::U8 | IntKind::U16),
            inner => matches!(inner, Self::Str | Self::Uuid),
        }
    }

    /// True if the fields of the type can stand among those of what holds it: a struct, or an option of one.
    #[must_use]
    pub const fn is_flat(&self) -> bool {
        match self {
            Self::Option(inner) => inner.is_flat(),
            Self::Struct(_) => true,
            _ => false,
        }
    }

    /// True if values of the type can be the keys of a map: those that dialects can write as text.
    #[must_use]
    pub const fn is_map_key(&self) -> bool {
        match self {
            Self::Char | Self::Clock | Self::DateTime | Self::Decimal => true,
            Self::As(def) => def.kind.is_map_key(),
            other => other.is_key(),
        }
    }

    /// True for [`Kind::Uuid`].
    #[must_use]
    pub const fn is_uuid(&self) -> bool {
        matches!(self.inner(), Self::Uuid) && !self.is_nullable()
    }

    /// True if a tag that is called `tag` can stand among the fields: a struct without a field of that name in JSON.
    #[must_use]
    pub const fn takes_tag(&self, tag: &str) -> bool {
        match self {
            Self::Struct(def) => !crate::schema::has_name(def.fields, crate::dialect::json::DIALECT, tag),
            _ => false,
        }
    }

    /// The type's name, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int(_) => "integer",
            Self::F32 | Self::F64 => "float",
            Self::Char => "char",
            Self::Str => "string",
            Self::Bytes => "bytes",
            Self::Uuid => "uuid",
            Self::Time => "timestamp",
            Self::Date => "date",
            Self::Clock => "time of day",
            Self::DateTime => "date with a time",
            Self::Decimal => "decimal",
            Self::Option(inner) => inner.name(),
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Struct(def) => def.name,
            Self::Enum(def) => def.name,
            Self::As(def) => def.name,
        }
    }
}

/// `a == b`, in constants too.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A type that is written in its own way in some dialect.
#[derive(Debug)]
pub struct AsDef {
    /// The Rust name.
    pub name: &'static str,
    /// What it is shown as, stored as, and written as in every other dialect; no option.
    pub kind: Kind,
    /// How it is written in the dialects of these names.
    pub dialects: &'static [(&'static str, Converter)],
}

/// A nested struct.
#[derive(Debug)]
pub struct StructDef {
    /// The Rust name.
    pub name: &'static str,
    /// The fields in the order in which the struct shows them.
    pub fields: &'static [FieldDef],
}

/// An enum.
#[derive(Debug)]
pub struct EnumDef {
    /// The Rust name.
    pub name: &'static str,
    /// The variants in the order of their declaration.
    pub variants: &'static [VariantDef],
    /// How a variant is written.
    pub tagging: Tagging,
}

impl EnumDef {
    /// True if no variant carries data: such an enum is shown as its variant's name, or number.
    #[must_use]
    pub const fn is_unit(&self) -> bool {
        let mut at = 0;
        while at < self.variants.len() {
            if !self.variants[at].fields.is_empty() {
                return false;
            }
            at += 1;
        }
        true
    }

    /// The numbers of the variants, in their order, if the enum is stored by number.
    #[must_use]
    pub const fn numbers(&self) -> Option<&'static [i128]> {
        match self.tagging {
            Tagging::Number(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// The variant that has this number.
    #[must_use]
    pub fn numbered(&self, number: i128) -> Option<&'static VariantDef> {
        let at = self.numbers()?.iter().position(|of| *of == number)?;
        self.variants.get(at)
    }

    /// The number of the variant that is called `name` in the model.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<i128> {
        let at = self.variants.iter().position(|variant| variant.name == name)?;
        self.numbers()?.get(at).copied()
    }

    /// The variant that is called `name` in the model.
    #[must_use]
    pub fn variant(&self, name: &str) -> Option<&'static VariantDef> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The variant that is called `name` in `dialect`, under its name there or an alias.
    #[must_use]
    pub fn variant_in(&self, dialect: &str, name: &str) -> Option<&'static VariantDef> {
        self.variants.iter().find(|variant| variant.name_in(dialect) == name || variant.alias.contains(&name))
    }
}

/// A variant of an enum.
#[derive(Debug)]
pub struct VariantDef {
    /// The Rust name.
    pub name: &'static str,
    /// The names in dialects that have their own; [`ANY`] stands for every dialect without an entry.
    pub names: &'static [(&'static str, &'static str)],
    /// Former names, accepted on reading in every dialect.
    pub alias: &'static [&'static str],
    /// The fields; those of a tuple variant are called `0`, `1` …
    pub fields: &'static [FieldDef],
    /// True if the fields have no names.
    pub tuple: bool,
}

impl VariantDef {
    /// The variant's name in `dialect`.
    #[must_use]
    pub fn name_in(&self, dialect: &str) -> &'static str {
        let named = |wanted: &str| self.names.iter().find(|(of, _)| *of == wanted).map(|(_, name)| *name);
        named(dialect).or_else(|| named(ANY)).unwrap_or(self.name)
    }
}

/// How a variant is written. Where the data of a variant is in JSON, is as serde does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tagging {
    /// `{"Circle": {"radius": 1}}`
    External,
    /// `{"type": "Circle", "radius": 1}`
    Internal {
        /// The name of the tag.
        tag: &'static str,
    },
    /// `{"type": "Circle", "value": {"radius": 1}}`
    Adjacent {
        /// The name of the tag.
        tag: &'static str,
        /// The name of the content.
        content: &'static str,
    },
    /// `1`: the variants have no data and are shown, stored and sent as these numbers, in their order.
    Number(&'static [i128]),
}
