//! `conflict`: what becomes of a row, or of a field, that was changed here and at the remote.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, Meta};

use crate::attr::{list, suggest};
use crate::errors::Errors;
use crate::field::Field;

const NAMES: [(&str, &str); 4] = [
    ("merge_fields", "MergeFields"),
    ("server_wins", "ServerWins"),
    ("client_wins", "ClientWins"),
    ("ask", "Ask"),
];

const LAST: &str = "last_write_wins";
const LAST_FORM: &str = "name the field that says when: write `conflict(last_write_wins = updated_at)`";

/// A strategy, as written.
#[derive(Debug)]
pub(crate) struct Declared {
    strategy: Strategy,
    span: Span,
}

#[derive(Debug)]
enum Strategy {
    /// One of [`NAMES`].
    Named(usize),
    /// By this field.
    LastWriteWins(Ident),
}

impl Declared {
    pub(crate) fn read(meta: &Meta, errors: &mut Errors) -> Option<Self> {
        let strategy = match meta {
            Meta::NameValue(pair) => named(&pair.value, errors)?,
            Meta::List(_) => last(meta, errors)?,
            Meta::Path(_) => {
                errors.at(meta, "name the strategy: write `conflict = \"server_wins\"`");
                return None;
            }
        };
        Some(Self { strategy, span: meta.span() })
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }

    fn merges(&self) -> bool {
        matches!(self.strategy, Strategy::Named(0))
    }
}

fn named(value: &Expr, errors: &mut Errors) -> Option<Strategy> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else {
        errors.at(value, "`conflict` takes the name of a strategy: write `conflict = \"server_wins\"`");
        return None;
    };
    let name = text.value();
    if name == LAST {
        errors.at(text, LAST_FORM);
        return None;
    }
    let found = NAMES.iter().position(|(known, _)| *known == name);
    if found.is_none() {
        let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).chain([LAST]).collect();
        errors.at(text, format!("there is no strategy `{name}`{}", suggest(&name, &known)));
    }
    found.map(Strategy::Named)
}

fn last(meta: &Meta, errors: &mut Errors) -> Option<Strategy> {
    if let [Meta::NameValue(pair)] = &list::<Meta>(meta, errors)?[..]
        && pair.path.is_ident(LAST)
        && let Expr::Path(field) = &pair.value
        && let Some(field) = field.path.get_ident()
    {
        return Some(Strategy::LastWriteWins(field.clone()));
    }
    errors.at(meta, LAST_FORM);
    None
}

/// What a field's strategy can't be.
pub(crate) fn check_field(field: &Field, errors: &mut Errors) {
    let Some(declared) = &field.conflict else { return };
    if field.key.is_some() {
        errors.on(declared.span, "the key is the same on both sides: there is nothing to decide");
    } else if declared.merges() {
        errors.on(declared.span, "`merge_fields` is for a model: of one field, one side has to be taken");
    }
}

/// The `ConflictDef` of a model.
pub(crate) fn expand(model: Option<&Declared>, stored: &[&Field], larder: &TokenStream) -> TokenStream {
    let strategy = |declared: &Declared| match &declared.strategy {
        Strategy::Named(at) => {
            let variant = Ident::new(NAMES[*at].1, Span::call_site());
            quote!(#larder::Strategy::#variant)
        }
        Strategy::LastWriteWins(by) => {
            let by = stored.iter().position(|field| *by == field.name).unwrap_or_default();
            quote!(#larder::Strategy::LastWriteWins { by: #by })
        }
    };
    let of_model = model.map_or_else(|| quote!(#larder::Strategy::MergeFields), strategy);
    let fields = stored.iter().enumerate().filter_map(|(at, field)| {
        let strategy = strategy(field.conflict.as_ref()?);
        Some(quote!((#at, #strategy)))
    });
    quote!(#larder::ConflictDef { strategy: #of_model, fields: &[#(#fields),*] })
}

/// What the strategies of a model can't be, seen together; gives the fields that they name.
pub(crate) fn check<'a>(
    model: Option<&'a Declared>,
    fields: &'a [Field],
    errors: &mut Errors,
) -> Vec<&'a Ident> {
    if model.is_some_and(|model| !model.merges()) {
        for field in fields.iter().filter_map(|field| field.conflict.as_ref()) {
            errors.on(
                field.span,
                "the model's own strategy decides about whole rows: remove one of the two, or let the model merge \
                 fields",
            );
        }
    }
    let declared = model.into_iter().chain(fields.iter().filter_map(|field| field.conflict.as_ref()));
    let named: Vec<&Ident> = declared
        .filter_map(|declared| match &declared.strategy {
            Strategy::LastWriteWins(by) => Some(by),
            Strategy::Named(_) => None,
        })
        .collect();
    for by in &named {
        if fields.iter().any(|field| field.key.is_some() && **by == field.name) {
            errors.at(by, "the key is the same on both sides: it can't say which was written later");
        }
    }
    named
}
