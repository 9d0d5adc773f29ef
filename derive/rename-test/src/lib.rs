//! The derives of Larder in a crate that knows Larder under another name, in a module without a prelude, and beside
//! types that are called as those of the standard library are.

#![no_implicit_prelude]

/// What an application has by these names is not what the derives mean.
pub mod decoys {
    /// Not the `Option` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct Option;
    /// Not the `Result` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct Result;
    /// Not the `Some` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct Some;
    /// Not the `None` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct None;
    /// Not the `Ok` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct Ok;
    /// Not the `Err` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct Err;
    /// Not the `String` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct String;
    /// Not the `Vec` of the standard library.
    #[derive(::std::fmt::Debug)]
    pub struct Vec;
    /// Not a model.
    #[derive(::std::fmt::Debug)]
    pub struct Model;
    /// Not a row.
    #[derive(::std::fmt::Debug)]
    pub struct Row;
    /// Not a schema.
    #[derive(::std::fmt::Debug)]
    pub struct Schema;
}

#[allow(unused_imports, reason = "they are there to be in the way")]
use decoys::*;

/// A model of everything that the derives write code for.
#[derive(::std::clone::Clone, ::std::fmt::Debug, ::std::cmp::PartialEq, ::larder_derive::Model)]
#[model(
    crate = "::pantry",
    version = 2,
    rename_all = "camelCase",
    json(rename_all = "PascalCase"),
    unique(self_name, value),
    index(value, row)
)]
pub struct Everything {
    /// The key.
    #[model(key)]
    pub id: ::pantry::Uuid,
    /// Named as generated code likes to name things.
    #[model(unique, alias = "name")]
    pub self_name: ::std::string::String,
    /// Named as generated code likes to name things.
    #[model(default = "9")]
    pub value: u8,
    /// Named as generated code likes to name things.
    #[model(json(skip), default)]
    pub row: bool,
    /// With a converter, and within the crate alone.
    #[model(with = "Cents")]
    pub(crate) price: Price,
    /// Nested.
    pub part: Part,
    /// Enums.
    pub figures: ::std::vec::Vec<Figure>,
    /// Neither stored nor sent, and private.
    #[model(skip)]
    fault: ::std::option::Option<u8>,
}

impl Everything {
    /// One with these parts.
    #[must_use]
    pub fn new(id: ::pantry::Uuid, part: Part, figures: ::std::vec::Vec<Figure>) -> Self {
        let self_name = ::std::string::String::new();
        Self {
            id,
            self_name,
            value: 1,
            row: false,
            price: Price(5),
            part,
            figures,
            fault: ::std::option::Option::None,
        }
    }

    /// What is neither stored nor sent.
    #[must_use]
    pub fn fault(&self) -> ::std::option::Option<u8> {
        self.fault
    }

    /// A condition on a field that is not public.
    #[must_use]
    pub fn cheap() -> ::pantry::Where<Self> {
        Self::PRICE.lt(Price(10))
    }
}

/// A price in cents.
#[derive(::std::clone::Clone, ::std::marker::Copy, ::std::fmt::Debug, ::std::cmp::PartialEq)]
pub struct Price(pub i64);

/// Stores a price as a number.
#[derive(::std::fmt::Debug)]
pub struct Cents;

impl ::pantry::Convert<Price> for Cents {
    const KIND: ::pantry::Kind = <i64 as ::pantry::Datum>::KIND;

    fn show(value: &Price) -> ::pantry::ValueRef<'_> {
        ::pantry::Datum::show(&value.0)
    }

    fn take(value: ::pantry::ValueRef<'_>) -> ::std::result::Result<Price, ::pantry::Fault> {
        <i64 as ::pantry::Datum>::take(value).map(Price)
    }
}

/// A nested struct.
#[derive(::std::clone::Clone, ::std::fmt::Debug, ::std::cmp::PartialEq, ::larder_derive::Datum)]
#[model(crate = "::pantry", rename_all = "UPPERCASE")]
pub struct Part {
    /// An option.
    pub nested: ::std::option::Option<Name>,
    /// Named as generated code likes to name things.
    #[model(default = "::std::default::Default::default")]
    pub name: ::std::string::String,
}

/// A newtype.
#[derive(::std::clone::Clone, ::std::fmt::Debug, ::std::cmp::PartialEq, ::larder_derive::Datum)]
#[model(crate = "::pantry")]
pub struct Name(pub ::std::string::String);

/// An enum with data.
#[derive(::std::clone::Clone, ::std::fmt::Debug, ::std::cmp::PartialEq, ::larder_derive::Datum)]
#[model(crate = "::pantry", tag = "kind")]
pub enum Figure {
    /// With fields.
    Some {
        /// Named as generated code likes to name things.
        f: u8,
    },
    /// With a value.
    Ok(Part),
    /// With nothing.
    None,
}

/// An enum without data.
#[derive(
    ::std::clone::Clone, ::std::marker::Copy, ::std::fmt::Debug, ::std::cmp::PartialEq, ::larder_derive::Datum,
)]
#[model(crate = "::pantry")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Word {
    Some,
    r#None,
}

/// Models that a macro writes, of types that it is given.
macro_rules! written_by_a_macro {
    ($(#[$attr:meta])* $name:ident, $field:ident: $ty:ty = $default:expr) => {
        $(#[$attr])*
        #[derive(::std::fmt::Debug, ::larder_derive::Model)]
        #[model(crate = "::pantry")]
        pub struct $name {
            /// The key.
            #[model(key)]
            pub id: u32,
            /// What the macro is given.
            #[model(default = $default)]
            pub $field: $ty,
            /// What the macro brings.
            #[model(with = "Cents")]
            pub price: Price,
        }
    };
}

written_by_a_macro! {
    /// A model that a macro writes.
    Written, value: ::std::option::Option<Part> = ::std::option::Option::None
}
