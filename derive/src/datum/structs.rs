//! Value structs and newtypes.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Fields, Ident};

use super::{bind, take};
use crate::container::Container;
use crate::convert;
use crate::dialect;
use crate::errors::Errors;
use crate::field::{Place, mentioned, read_all, refuse_recursion};

pub(super) fn derive(
    ident: &Ident,
    container: &Container,
    fields: &Fields,
    mut errors: Errors,
) -> TokenStream {
    let rules = &container.rules;
    let fields = read_all(fields, Place::Value, rules, &mut errors);
    refuse_recursion(ident, &fields, &mut errors);
    let larder = &container.larder();
    errors.or(|| {
        let name = ident.to_string();
        let dialects = mentioned(rules, &fields);
        let stored: Vec<_> = fields.iter().filter(|field| field.skip.is_none()).collect();
        let defs = stored.iter().map(|field| field.def(rules, &dialects, larder));
        let shown = stored.iter().map(|field| {
            let member = &field.member;
            field.show(&quote!(&self.#member), larder)
        });
        let (bound, taken, count) = (bind(&stored, larder), take(&fields, larder), stored.len());
        let flat = dialect::flat_checks(&stored, &quote!(__SHAPE_THAT_MUST_NOT_CONTAIN_ITSELF), larder);
        let kind = quote!(#larder::Kind::Struct(&__SHAPE_THAT_MUST_NOT_CONTAIN_ITSELF));
        let kind = convert::kind(ident, container, kind, larder);
        quote! {
            const _: () = {
                // The compiler names it where a value contains itself, by a cycle of constants.
                static __SHAPE_THAT_MUST_NOT_CONTAIN_ITSELF: #larder::StructDef =
                    #larder::StructDef { name: #name, fields: &[#(#defs),*] };

                #flat

                #[automatically_derived]
                impl #larder::Datum for #ident {
                    const KIND: #larder::Kind = #kind;

                    fn show(&self) -> #larder::ValueRef<'_> {
                        #larder::ValueRef::Struct(#larder::Nested::Live(self))
                    }

                    fn take(__value: #larder::ValueRef<'_>) -> #larder::Result<Self, #larder::Fault> {
                        let #larder::ValueRef::Struct(__nested) = __value else {
                            return #larder::Err(__value.mismatch("a struct"));
                        };
                        #bound
                        #larder::Ok(Self { #(#taken),* })
                    }
                }

                #[automatically_derived]
                impl #larder::View for #ident {
                    fn len(&self) -> usize {
                        #count
                    }

                    fn each<'a>(&'a self, __f: #larder::value::Each<'a, '_>) -> #larder::Result<(), #larder::Fault> {
                        #(__f(#larder::Item::Value(#shown))?;)*
                        #larder::Ok(())
                    }

                    fn variant(&self) -> #larder::Option<&str> {
                        #larder::None
                    }
                }
            };
        }
    })
}

/// A newtype is shown as what it holds.
pub(super) fn derive_newtype(
    ident: &Ident,
    container: &Container,
    fields: &Fields,
    mut errors: Errors,
) -> TokenStream {
    let fields = read_all(fields, Place::Newtype, &container.rules, &mut errors);
    refuse_recursion(ident, &fields, &mut errors);
    let larder = &container.larder();
    errors.or(|| {
        let field = &fields[0];
        let (kind, show, take) =
            (field.kind(larder), field.show(&quote!(&self.0), larder), field.take(larder));
        let kind = convert::kind(ident, container, kind, larder);
        quote! {
            const _: () = {
                #[automatically_derived]
                impl #larder::Datum for #ident {
                    const KIND: #larder::Kind = #kind;

                    fn show(&self) -> #larder::ValueRef<'_> {
                        #show
                    }

                    fn take(__value: #larder::ValueRef<'_>) -> #larder::Result<Self, #larder::Fault> {
                        #larder::Ok(Self(#take(__value)?))
                    }
                }
            };
        }
    })
}
