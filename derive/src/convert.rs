//! Types that are written in their own way in a dialect: `json(with = "module")`, `json(via = "Dto")`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Meta, Path, Type};

use crate::attr::parsed;
use crate::container::Container;
use crate::errors::Errors;
use crate::field::located;

/// How a type is written in a dialect.
#[derive(Debug)]
pub(crate) enum Conversion {
    /// By the functions `write` and `read` of a module or type.
    With(Path),
    /// As another type that serde knows.
    Via(Type),
}

impl Conversion {
    pub(crate) fn read(
        word: &str,
        dialect: &str,
        meta: &Meta,
        into: &mut Vec<(String, Self)>,
        errors: &mut Errors,
    ) {
        if dialect == "row" {
            errors.at(
                meta,
                "what is stored, is stored for all: write `with = \"Converter\"` outside of `row(…)`",
            );
            return;
        }
        if into.iter().any(|(name, _)| name == dialect) {
            errors.at(meta, "`with` and `via` exclude each other");
            return;
        }
        let read = match word {
            "with" => parsed(meta, errors).map(Self::With),
            _ => parsed(meta, errors).map(Self::Via),
        };
        into.extend(read.map(|read| (dialect.to_owned(), read)));
    }

    /// A `larder::Converter` between what `ident` is shown as, and JSON.
    fn converter(&self, ident: &Ident, larder: &TokenStream) -> TokenStream {
        let (write, read) = match self {
            Self::With(path) => (
                quote_spanned!(located(path)=> #path::write(&__this)),
                quote_spanned!(located(path)=> #path::read(__json)),
            ),
            Self::Via(ty) => (
                quote_spanned!(located(ty)=> #larder::via_write::<#ident, #ty>(&__this)),
                quote_spanned!(located(ty)=> #larder::via_read::<#ident, #ty>(__json)),
            ),
        };
        quote! {
            #larder::Converter {
                write: |__value| {
                    let __this = <#ident as #larder::Datum>::take(__value).map_err(#larder::told)?;
                    #write.map_err(#larder::told)
                },
                read: |__json| {
                    let __this: #ident = #read.map_err(#larder::told)?;
                    #larder::Datum::show(&__this).to_value().map_err(#larder::told)
                },
            }
        }
    }
}

/// The kind of a type that is shown as `kind`, with the ways that it has of its own.
pub(crate) fn kind(
    ident: &Ident,
    container: &Container,
    kind: TokenStream,
    larder: &TokenStream,
) -> TokenStream {
    if container.conversions.is_empty() {
        return kind;
    }
    let name = ident.to_string();
    let dialects = container.conversions.iter().map(|(dialect, conversion)| {
        let converter = conversion.converter(ident, larder);
        quote!((#dialect, #converter))
    });
    quote! {
        #larder::Kind::As(&#larder::AsDef {
            name: #name,
            kind: {
                const __KIND: #larder::Kind = #kind;
                ::core::assert!(
                    !__KIND.is_nullable(),
                    "a type with its own way in a dialect can't be an option: make the field an option of it"
                );
                __KIND
            },
            dialects: &[#(#dialects),*],
        })
    }
}

/// A type with a converter to its stored representation; what it is made of does not matter then.
pub(crate) fn by_converter(ident: &Ident, with: &Type, container: &Container) -> TokenStream {
    let larder = &container.larder();
    let convert = quote_spanned!(located(with)=> <#with as #larder::Convert<#ident>>);
    let kind = kind(ident, container, quote!(#convert::KIND), larder);
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #larder::Datum for #ident {
                const KIND: #larder::Kind = #kind;

                fn show(&self) -> #larder::ValueRef<'_> {
                    #convert::show(self)
                }

                fn take(__value: #larder::ValueRef<'_>) -> #larder::Result<Self, #larder::Fault> {
                    #larder::take_by::<#ident, #with>(__value)
                }
            }
        };
    }
}
