//! What both derives read on the type itself.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Generics, LitStr, Meta, Path, Type};

use crate::attr::{Words, parsed, string};
use crate::convert::Conversion;
use crate::dialect::{self, Rules};
use crate::errors::Errors;

/// What a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Model,
    Struct,
    Enum,
    Newtype,
}

/// What holds for a whole type.
#[derive(Debug, Default)]
pub(crate) struct Container {
    krate: Option<Path>,
    pub(crate) rules: Rules,
    /// The rules for the fields of variants.
    pub(crate) field_rules: Rules,
    /// The converter to the stored representation.
    pub(crate) with: Option<Type>,
    /// How the type is written in a dialect.
    pub(crate) conversions: Vec<(String, Conversion)>,
    /// What is written to a dialect beside the fields.
    pub(crate) computed: Vec<(String, Computed)>,
}

/// A value that is made of a model: `computed(name = "…", with = "path")`.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) name: LitStr,
    pub(crate) with: Path,
}

const COMPUTED: Words = Words { place: "a computed value", once: &["name", "with"], often: &[] };

impl Computed {
    fn read(meta: &Meta, errors: &mut Errors) -> Option<Self> {
        let (mut name, mut with) = (None, None);
        let mut refused = false;
        COMPUTED.of_list(meta, errors, |word, meta, errors| {
            match word {
                "name" => name = string(meta, errors),
                _ => with = parsed(meta, errors),
            }
            refused |= name.is_none() && with.is_none();
        });
        if let (Some(name), Some(with)) = (name, with) {
            return Some(Self { name, with });
        }
        if !refused && !errors.is_garbled() {
            errors.at(meta, "write `computed(name = \"…\", with = \"path::of::a::function\")`");
        }
        None
    }
}

const STRUCT: Words =
    Words { place: "a type in a dialect", once: &["name", "rename_all", "with", "via"], often: &[] };
const ENUM: Words = Words {
    place: "an enum in a dialect",
    once: &["name", "rename_all", "rename_all_fields", "with", "via"],
    often: &[],
};
const MODEL: Words =
    Words { place: "a model in a dialect", once: &["name", "rename_all", "via"], often: &["computed"] };
const NEWTYPE: Words = Words { place: "a newtype in a dialect", once: &["name", "with", "via"], often: &[] };

impl Container {
    /// Reads `crate`, `rename_all`, `rename_all_fields` and the dialects.
    pub(crate) fn read(&mut self, word: &str, meta: &Meta, of: Of, errors: &mut Errors) {
        match word {
            "crate" => self.krate = parsed(meta, errors),
            "with" => self.with = parsed(meta, errors),
            "rename_all" => self.rules.any.read(meta, errors),
            "rename_all_fields" => self.field_rules.any.read(meta, errors),
            dialect => {
                let words = match of {
                    Of::Model => MODEL,
                    Of::Struct => STRUCT,
                    Of::Enum => ENUM,
                    Of::Newtype => NEWTYPE,
                };
                let (fields, conversions) = (&mut self.field_rules, &mut self.conversions);
                let computed = &mut self.computed;
                dialect::read(
                    dialect,
                    meta,
                    &words,
                    &mut self.rules,
                    errors,
                    |rule, name, word, meta, errors| match word {
                        "rename_all" => rule.read(meta, errors),
                        "rename_all_fields" => {
                            let mut own = dialect::Rule::default();
                            own.read(meta, errors);
                            fields.own.push((name.to_owned(), own));
                        }
                        "computed" if name == "row" => {
                            errors.at(meta, "what is computed is not stored: write it in `json(…)`");
                        }
                        "computed" => {
                            computed.extend(Computed::read(meta, errors).map(|of| (name.to_owned(), of)));
                        }
                        _ => Conversion::read(word, name, meta, conversions, errors),
                    },
                );
            }
        }
    }

    /// The path that everything of Larder is reached through.
    pub(crate) fn larder(&self) -> TokenStream {
        match &self.krate {
            None => quote!(::larder::__private),
            Some(path) => quote!(#path::__private),
        }
    }
}

/// Refuses type parameters and lifetimes.
pub(crate) fn refuse_generics(generics: &Generics, what: &str, why: &str, errors: &mut Errors) {
    if !generics.params.is_empty() {
        errors.at(generics, format!("generic {what} are not supported: {why}"));
    }
}
