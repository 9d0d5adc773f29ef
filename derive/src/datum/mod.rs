//! `#[derive(Datum)]`.

mod enums;
mod structs;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, Fields, LitStr, Meta};

use crate::attr::{Words, string};
use crate::container::{Container, Of, refuse_generics};
use crate::convert;
use crate::errors::Errors;
use crate::field::Field;

const STRUCT: Words = Words {
    place: "a value struct",
    once: &["crate", "rename_all", "with", "json", "row"],
    often: &["dialect"],
};
const NEWTYPE: Words =
    Words { place: "a newtype", once: &["crate", "with", "json", "row"], often: &["dialect"] };
const ENUM: Words = Words {
    place: "an enum",
    once: &["crate", "rename_all", "rename_all_fields", "tag", "content", "by", "with", "json", "row"],
    often: &["dialect"],
};

/// How the variants of an enum are told apart, as written.
#[derive(Debug, Default)]
struct Tags {
    tag: Option<LitStr>,
    content: Option<LitStr>,
    /// Where the enum is stored by the numbers of its variants, and not by their names.
    by_number: Option<Span>,
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    refuse_generics(
        &input.generics,
        "values",
        "a stored shape has one type for each field; write a type for each that is stored",
        &mut errors,
    );
    let (words, of) = match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Named(_)) => (STRUCT, Of::Struct),
        Data::Struct(data) if data.fields.len() == 1 => (NEWTYPE, Of::Newtype),
        Data::Struct(_) => {
            errors.at(
                &input.ident,
                "a value struct has named fields, or one field without a name: give the fields names",
            );
            return errors.or(TokenStream::new);
        }
        Data::Enum(data) if data.variants.is_empty() => {
            errors.at(&input.ident, "an enum without variants has no values to store");
            return errors.or(TokenStream::new);
        }
        Data::Enum(_) => (ENUM, Of::Enum),
        Data::Union(_) => {
            errors.at(&input.ident, "a union can't be a value: nobody knows which of its fields holds");
            return errors.or(TokenStream::new);
        }
    };
    let (mut container, mut tags) = (Container::default(), Tags::default());
    words.of_attrs(&input.attrs, &mut errors, |word, meta, errors| match word {
        "tag" => tags.tag = string(meta, errors),
        "content" => tags.content = string(meta, errors),
        "by" => tags.by_number = by_number(meta, errors),
        _ => container.read(word, meta, of, errors),
    });
    if let Some(with) = &container.with {
        return errors.or(|| convert::by_converter(&input.ident, with, &container));
    }
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Named(_)) => {
            structs::derive(&input.ident, &container, &data.fields, errors)
        }
        Data::Struct(data) => structs::derive_newtype(&input.ident, &container, &data.fields, errors),
        Data::Enum(data) => enums::derive(&input.ident, &container, tags, data, errors),
        Data::Union(_) => TokenStream::new(),
    }
}

fn by_number(meta: &Meta, errors: &mut Errors) -> Option<Span> {
    let text = string(meta, errors)?;
    match text.value().as_str() {
        "index" => return Some(text.span()),
        "name" => {}
        _ => errors.at(&text, "an enum is stored `by = \"name\"` or `by = \"index\"`"),
    }
    None
}

/// `value.fields::<N>()` of the stored fields, each under its binding.
fn bind(stored: &[&Field], larder: &TokenStream) -> TokenStream {
    if stored.is_empty() {
        return quote!();
    }
    let (count, bindings) = (stored.len(), stored.iter().map(|field| field.binding()));
    quote!(let [#(#bindings),*] = #larder::Nested::fields::<#count>(__nested)?;)
}

/// The fields of a struct or variant, taken from their bindings.
fn take<'a>(fields: &'a [Field], larder: &'a TokenStream) -> impl Iterator<Item = TokenStream> + 'a {
    fields.iter().map(move |field| {
        let member = &field.member;
        if field.skip.is_some() {
            let value = field.unstored();
            return quote!(#member: #value);
        }
        let (binding, take) = (field.binding(), field.take(larder));
        let take = if field.default.is_some() { quote!((#take)) } else { take };
        quote!(#member: #take(#binding)?)
    })
}
