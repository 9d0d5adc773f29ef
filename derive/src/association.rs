//! Associations: fields of the types `One<T>`, `Option<One<T>>` and `Many<T>`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{LitStr, Meta, Path, Type};

use crate::attr::{flag, string, suggest, within};
use crate::case;
use crate::errors::Errors;
use crate::field::{Field, located};
use crate::types;

/// The words of associations on a field of a model.
pub(crate) const ONCE: &[&str] =
    &["children", "through", "from", "to", "keys", "on_delete", "orphans", "unindexed"];

/// What the attributes say.
#[derive(Debug, Default)]
pub(crate) struct Said {
    children: Option<LitStr>,
    through: Option<LitStr>,
    from: Option<LitStr>,
    to: Option<LitStr>,
    keys: Option<Span>,
    on_delete: Option<LitStr>,
    orphans: Option<LitStr>,
    unindexed: Option<Span>,
}

impl Said {
    /// Reads one of the words.
    pub(crate) fn read(&mut self, word: &str, meta: &Meta, errors: &mut Errors) {
        match word {
            "children" => self.children = string(meta, errors),
            "through" => self.through = string(meta, errors),
            "from" => self.from = string(meta, errors),
            "to" => self.to = string(meta, errors),
            "on_delete" => self.on_delete = string(meta, errors),
            "orphans" => self.orphans = string(meta, errors),
            "keys" => self.keys = flag(meta, errors),
            _ => self.unindexed = flag(meta, errors),
        }
    }

    fn words(&self) -> impl Iterator<Item = (&'static str, Span)> {
        let span = |text: &Option<LitStr>| text.as_ref().map(LitStr::span);
        [
            ("children", span(&self.children)),
            ("through", span(&self.through)),
            ("from", span(&self.from)),
            ("to", span(&self.to)),
            ("keys", self.keys),
            ("on_delete", span(&self.on_delete)),
            ("orphans", span(&self.orphans)),
            ("unindexed", self.unindexed),
        ]
        .into_iter()
        .filter_map(|(word, span)| span.map(|span| (word, span)))
    }
}

/// An association.
#[derive(Debug)]
pub(crate) struct Association {
    /// The model at the other end.
    pub(crate) target: Type,
    link: Link,
    on_delete: &'static str,
    orphans: &'static str,
    /// No index of its own.
    pub(crate) unindexed: bool,
}

#[derive(Debug)]
enum Link {
    One,
    Keys,
    /// The token of the child's field.
    Children(TokenStream),
    /// The link model, and the tokens of its fields.
    Through(Box<Type>, TokenStream, TokenStream),
}

impl Association {
    /// What a field of the type `ty` is, if it is an association.
    pub(crate) fn read(ty: &Type, said: &Said, skipped: bool, errors: &mut Errors) -> Option<Self> {
        let one = types::one(ty);
        let many = types::argument_of(ty, "Many");
        let Some(target) = one.or(many).filter(|_| !skipped).cloned() else {
            for (word, span) in said.words() {
                let expected = if ["on_delete", "unindexed"].contains(&word) { "One<T>" } else { "Many<T>" };
                errors.on(
                    span,
                    format!("`{word}` belongs to an association, a field of the type `{expected}`"),
                );
            }
            return None;
        };
        let link = if one.is_some() { Link::One } else { Link::of_many(ty, &target, said, errors)? };
        let this = Self {
            link,
            on_delete: on_delete(ty, said, errors),
            orphans: orphans(said, errors),
            unindexed: said.unindexed.is_some(),
            target,
        };
        this.refuse_strangers(said, errors);
        Some(this)
    }

    /// Refuses words that belong to another form.
    fn refuse_strangers(&self, said: &Said, errors: &mut Errors) {
        let (form, known): (_, &[&str]) = match self.link {
            Link::One => ("a `One`", &["on_delete", "unindexed"]),
            Link::Keys => ("a list of keys", &["keys"]),
            Link::Children(_) => ("a list of children", &["children", "orphans"]),
            Link::Through(..) => ("a list through a link model", &["through", "from", "to"]),
        };
        for (word, span) in said.words().filter(|(word, _)| !known.contains(word)) {
            errors.on(span, format!("`{word}` has no meaning for {form}: remove it"));
        }
    }

    /// True if a key or a list of keys is stored with the row.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.link, Link::One | Link::Keys)
    }

    pub(crate) fn is_one(&self) -> bool {
        matches!(self.link, Link::One)
    }
    /// The type of the token of an association that is not stored.
    pub(crate) fn token_type(&self, model: &Ident, larder: &TokenStream) -> TokenStream {
        let target = &self.target;
        quote!(#larder::Assoc<#model, #target>)
    }

    /// The association as an `AssocDef` with the number `at`.
    pub(crate) fn def(
        &self,
        model: &Ident,
        field: &Field,
        at: u16,
        dialects: &TokenStream,
        larder: &TokenStream,
    ) -> TokenStream {
        let (name, ty, member, target) = (&field.name, &field.ty, &field.member, &self.target);
        let link = self.link.expand(model, target, at, larder);
        let (on_delete, orphans) =
            (Ident::new(self.on_delete, Span::call_site()), Ident::new(self.orphans, Span::call_site()));
        quote_spanned! {located(ty)=>
            #larder::AssocDef {
                name: #name,
                at: #at,
                target: <#target as #larder::Model>::schema,
                link: #link,
                on_delete: #larder::OnDelete::#on_delete,
                orphans: #larder::Orphans::#orphans,
                dialects: #dialects,
                glue: #larder::Glue {
                    build: #larder::build::<#target>,
                    attach: |__owner, __rows| {
                        #larder::attach::<#model, #ty>(__owner, __rows, |__model| &mut __model.#member)
                    },
                    carried: |__owner| #larder::carried::<#model, #ty>(__owner, |__model| &__model.#member),
                },
            }
        }
    }
}

impl Link {
    fn of_many(ty: &Type, target: &Type, said: &Said, errors: &mut Errors) -> Option<Self> {
        let forms = [said.children.is_some(), said.through.is_some(), said.keys.is_some()];
        match forms.iter().filter(|given| **given).count() {
            0 => errors.at(
                ty,
                "which rows? write `children = \"field\"` for those whose field refers to this row, `through = \
                 \"Link\", from = \"field\", to = \"field\"` for those that a link model joins to it, or `keys` for a \
                 list of keys that is stored here",
            ),
            1 => {}
            _ => errors.at(ty, "a list is of one form: `children`, `through` or `keys`"),
        }
        if let Some(field) = &said.children {
            return token(&target.to_token_stream(), field, errors).map(Self::Children);
        }
        if let Some(link) = &said.through {
            let (Some(from), Some(to)) = (&said.from, &said.to) else {
                errors.on(
                    link.span(),
                    "name the fields of the link model: `from = \"…\"`, which refers to this model, and `to = \"…\"`, \
                     which refers to the other",
                );
                return None;
            };
            let link: Type = within(link, errors)?;
            let of = link.to_token_stream();
            let (from, to) = (token(&of, from, errors), token(&of, to, errors));
            return Some(Self::Through(Box::new(link), from?, to?));
        }
        said.keys.map(|_| Self::Keys)
    }

    fn expand(&self, model: &Ident, target: &Type, at: u16, larder: &TokenStream) -> TokenStream {
        let refers = |to: &TokenStream, of: &TokenStream, token: &TokenStream| quote_spanned!(located(token)=> #larder::refers::<#to, #of, _>(#token));
        let (model, target) = (model.to_token_stream(), target.to_token_stream());
        match self {
            Self::One => quote!(#larder::Link::One { field: #at }),
            Self::Keys => quote!(#larder::Link::Keys { field: #at }),
            Self::Children(token) => {
                let field = refers(&model, &target, token);
                quote!(#larder::Link::Children { field: #field })
            }
            Self::Through(link, from, to) => {
                let of = link.to_token_stream();
                let (from, to) = (refers(&model, &of, from), refers(&target, &of, to));
                quote! {
                    #larder::Link::Through { link: <#link as #larder::Model>::schema, from: #from, to: #to }
                }
            }
        }
    }
}

/// The token of a field of the model `of`: by the field's name, or as a path where tokens are named otherwise.
pub(crate) fn token(of: &TokenStream, field: &LitStr, errors: &mut Errors) -> Option<TokenStream> {
    let path: Path = within(field, errors)?;
    let Some(name) = path.get_ident() else {
        return Some(path.to_token_stream());
    };
    let token = Ident::new(&case::token(&crate::model::bare(name)), field.span());
    Some(quote_spanned!(field.span()=> <#of>::#token))
}

fn on_delete(ty: &Type, said: &Said, errors: &mut Errors) -> &'static str {
    let nullable = types::is(ty, "Option");
    let Some(text) = &said.on_delete else {
        return if nullable { "SetNull" } else { "Restrict" };
    };
    match text.value().as_str() {
        "restrict" => "Restrict",
        "cascade" => "Cascade",
        "set_null" if nullable => "SetNull",
        "set_null" => {
            errors.on(
                text.span(),
                "a required reference can't be set to null: make it an `Option<One<T>>`, or choose `cascade` or \
                 `restrict`",
            );
            "Restrict"
        }
        other => {
            let hint = suggest(other, &["restrict", "cascade", "set_null"]);
            errors.on(text.span(), format!("unknown rule `{other}`{hint}"));
            "Restrict"
        }
    }
}

fn orphans(said: &Said, errors: &mut Errors) -> &'static str {
    let Some(text) = &said.orphans else { return "Unlink" };
    match text.value().as_str() {
        "delete" => "Delete",
        "unlink" => "Unlink",
        other => {
            let hint = suggest(other, &["delete", "unlink"]);
            errors.on(text.span(), format!("unknown rule `{other}`{hint}"));
            "Unlink"
        }
    }
}

/// `impl Keyed`, for a model with one key field that has no converter.
pub(crate) fn keyed(model: &Ident, keys: &[&Field], larder: &TokenStream) -> TokenStream {
    let [Field { with: None, ty, member, .. }] = keys else {
        return TokenStream::new();
    };
    quote_spanned! {located(ty)=>
        #[automatically_derived]
        impl #larder::Keyed for #model {
            type Id = #ty;

            fn id(&self) -> &Self::Id {
                &self.#member
            }
        }
    }
}

/// The place of an association's type, for messages.
pub(crate) fn place(field: &Field) -> TokenStream {
    let mut tokens = TokenStream::new();
    tokens.extend([proc_macro2::TokenTree::from(Ident::new("index", field.ty.span()))]);
    tokens
}
