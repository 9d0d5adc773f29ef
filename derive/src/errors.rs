//! Gathers errors, so that all of them are reported together, each at its place.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// What is wrong with one derive.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
    /// An attribute could not be understood: what seems to be missing may be what was meant by it.
    garbled: bool,
}

impl Errors {
    /// Adds an error at the place of `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error at `span`.
    pub(crate) fn on(&mut self, span: Span, message: impl std::fmt::Display) {
        self.add(syn::Error::new(span, message));
    }

    /// Adds an error of syn.
    pub(crate) fn add(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// Notes that an attribute could not be understood.
    pub(crate) fn garble(&mut self) {
        self.garbled = true;
    }

    /// True if an attribute could not be understood.
    pub(crate) fn is_garbled(&self) -> bool {
        self.garbled
    }

    /// `code`, or all errors if there are any.
    pub(crate) fn or(self, code: impl FnOnce() -> TokenStream) -> TokenStream {
        let mut found = self.found.into_iter();
        let Some(mut all) = found.next() else {
            return code();
        };
        all.extend(found);
        all.into_compile_error()
    }
}
