//! `validate`: the application's own checks, asked before anything is stored.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Meta, Path};

use crate::attr::parsed;
use crate::errors::Errors;
use crate::field::{Field, located};

/// The check of a model, as written.
#[derive(Debug)]
pub(crate) enum Check {
    /// `validate`: the function of that name that the model has itself.
    Own(Span),
    /// `validate = "path"`
    Path(Path),
}

impl Check {
    pub(crate) fn of_model(meta: &Meta, errors: &mut Errors) -> Option<Self> {
        match meta {
            Meta::Path(path) => Some(Self::Own(path.span())),
            other => parsed(other, errors).map(Self::Path),
        }
    }
}

/// A function that asks all checks, and its name as an option; nothing if there are none.
pub(crate) fn expand(
    ident: &Ident,
    model: Option<&Check>,
    fields: &[Field],
    larder: &TokenStream,
) -> (TokenStream, TokenStream) {
    let by_field = fields.iter().filter_map(|field| {
        let (check, member, name) = (field.validate.as_ref()?, &field.member, &field.name);
        Some(quote_spanned! {located(check)=>
            #larder::checked(#larder::Some(#name), #check(&__model.#member))?;
        })
    });
    let mut checks: Vec<_> = by_field.collect();
    let of_model = model.map(|check| match check {
        Check::Own(span) => (Span::call_site().located_at(*span), quote!(#ident::validate)),
        Check::Path(path) => (located(path), path.to_token_stream()),
    });
    checks.extend(of_model.map(|(span, check)| {
        quote_spanned! {span=>
            #larder::checked(#larder::None, #check(__model))?;
        }
    }));
    if checks.is_empty() {
        return (quote!(), quote!(#larder::None));
    }
    let function = quote! {
        fn __validate(__row: &dyn #larder::Row) -> #larder::Result<(), #larder::Error> {
            #larder::with_model::<#ident, ()>(__row, |__model| {
                #(#checks)*
                #larder::Ok(())
            })
        }
    };
    (function, quote!(#larder::Some(__validate)))
}
