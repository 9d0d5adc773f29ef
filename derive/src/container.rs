//! What both derives read on the type itself.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Generics, Meta, Path};

use crate::attr::{Words, parsed};
use crate::dialect::{self, Rules};
use crate::errors::Errors;

/// What holds for a whole type.
#[derive(Debug, Default)]
pub(crate) struct Container {
    krate: Option<Path>,
    pub(crate) rules: Rules,
    /// The rules for the fields of variants.
    pub(crate) field_rules: Rules,
}

const RENAMES: Words = Words { place: "a type in a dialect", once: &["name", "rename_all"], often: &[] };
const ENUM_RENAMES: Words =
    Words { place: "an enum in a dialect", once: &["name", "rename_all", "rename_all_fields"], often: &[] };

impl Container {
    /// Reads `crate`, `rename_all`, `rename_all_fields` and the dialects.
    pub(crate) fn read(&mut self, word: &str, meta: &Meta, is_enum: bool, errors: &mut Errors) {
        match word {
            "crate" => self.krate = parsed(meta, errors),
            "rename_all" => self.rules.any.read(meta, errors),
            "rename_all_fields" => self.field_rules.any.read(meta, errors),
            dialect => {
                let words = if is_enum { ENUM_RENAMES } else { RENAMES };
                let fields = &mut self.field_rules;
                dialect::read(
                    dialect,
                    meta,
                    &words,
                    &mut self.rules,
                    errors,
                    |rule, name, word, meta, errors| {
                        if word == "rename_all" {
                            rule.read(meta, errors);
                        } else {
                            let mut own = dialect::Rule::default();
                            own.read(meta, errors);
                            fields.own.push((name.to_owned(), own));
                        }
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
