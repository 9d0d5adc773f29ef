//! How an association is written in one dialect: `path`, `lookup`, `send`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{LitStr, Meta, Type};

use crate::association;
use crate::attr::{list, string, suggest};
use crate::dialect::{ANY, Names, PerDialect, Special};
use crate::errors::Errors;

/// The words, inside of `json(…)` and its like.
pub(crate) const ONCE: &[&str] = &["path", "lookup", "send"];

/// A field of the other model, and the path to its value.
type Pair = (LitStr, Option<LitStr>);

/// What is said.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    path: Option<LitStr>,
    /// The fields of the other model, each with the path to its value, if it stands elsewhere than the field.
    lookup: Option<(Span, Vec<Pair>)>,
    send: Option<LitStr>,
}

impl Wire {
    /// Reads one of the words.
    pub(crate) fn read(&mut self, dialect: &str, word: &str, meta: &Meta, errors: &mut Errors) {
        if dialect == "row" {
            errors.at(meta, format!("a store keeps the key: `{word}` belongs to `json(…)`"));
            return;
        }
        match (word, meta) {
            ("path", _) => self.path = string(meta, errors).filter(|path| is_pointer(path, errors)),
            ("send", _) => self.send = string(meta, errors).filter(|word| is_known(word, errors)),
            (_, Meta::List(_)) => {
                let pairs = list::<Meta>(meta, errors).unwrap_or_default();
                if pairs.is_empty() && !errors.is_garbled() {
                    errors.at(meta, "name the fields of the other model: `lookup(email = \"/owner/email\")`");
                }
                let pairs = pairs.iter().filter_map(|pair| Self::pair(pair, errors)).collect();
                self.lookup = Some((syn::spanned::Spanned::span(meta), pairs));
            }
            _ => {
                let field = string(meta, errors).map(|field| (field, None));
                self.lookup = field.map(|field| (syn::spanned::Spanned::span(meta), vec![field]));
            }
        }
    }

    fn pair(pair: &Meta, errors: &mut Errors) -> Option<(LitStr, Option<LitStr>)> {
        let Some(name) = pair.path().get_ident() else {
            errors.at(
                pair,
                "expected a field of the other model and the path to its value: `email = \"/owner/email\"`",
            );
            return None;
        };
        let field = LitStr::new(&crate::model::bare(name), name.span());
        match pair {
            Meta::Path(_) => Some((field, None)),
            _ => {
                let path = string(pair, errors).filter(|path| is_pointer(path, errors))?;
                if path.value().split('/').any(|step| step == "*") {
                    errors.on(path.span(), "a value stands at one place: there is no `*` in its path");
                }
                Some((field, Some(path)))
            }
        }
    }

    /// The first of what is said.
    pub(crate) fn span(&self) -> Option<(&'static str, Span)> {
        let path = self.path.as_ref().map(|path| ("path", path.span()));
        let lookup = self.lookup.as_ref().map(|(span, _)| ("lookup", *span));
        path.or(lookup).or(self.send.as_ref().map(|word| ("send", word.span())))
    }

    /// Refuses what has no meaning for an association with one row, or with many; and for what is none.
    pub(crate) fn check(&self, association: Option<bool>, errors: &mut Errors) {
        let Some((word, span)) = self.span() else { return };
        let Some(one) = association else {
            errors.on(
                span,
                format!("`{word}` belongs to an association, a field of the type `One<T>` or `Many<T>`"),
            );
            return;
        };
        if let (Some(path), Some(_)) = (&self.path, &self.lookup) {
            errors.on(path.span(), "`path` leads to the key, and `lookup` does without: remove one");
        }
        if let (Some((span, _)), false) = (&self.lookup, one) {
            errors.on(*span, "`lookup` finds one row: a list comes as keys or as rows");
        }
        if let Some(path) =
            self.path.as_ref().filter(|path| one && path.value().split('/').any(|step| step == "*"))
        {
            errors.on(
                path.span(),
                "one key stands at one place: `*` belongs to a list, a field of the type `Many<T>`",
            );
        }
    }

    fn parts(&self, target: &Type, larder: &TokenStream) -> Vec<TokenStream> {
        let mut parts = Vec::new();
        if let Some(path) = &self.path {
            parts.push(quote!(path: #larder::Some(#path)));
        }
        if let Some((_, pairs)) = &self.lookup {
            // What is wrong with a name is told by the compiler: it has no token.
            let mut unheard = Errors::default();
            let pair = |(field, path): &(LitStr, Option<LitStr>)| {
                let token = association::token(&target.to_token_stream(), field, &mut unheard)?;
                let path = match path {
                    Some(path) => quote!(#larder::Some(#path)),
                    None => quote!(#larder::None),
                };
                Some(quote_spanned!(field.span()=> #larder::lookup_by::<#target, _>(#token, #path)))
            };
            let pairs: Vec<_> = pairs.iter().filter_map(pair).collect();
            parts.push(quote!(lookup: &[#(#pairs),*]));
        }
        match self.send.as_ref().map(LitStr::value).as_deref() {
            Some("nested") => parts.push(quote!(send: #larder::SendAs::Nested)),
            Some("first") => parts.push(quote!(send: #larder::SendAs::First)),
            _ => {}
        }
        parts
    }
}

/// Whether it is a way of sending.
fn is_known(word: &LitStr, errors: &mut Errors) -> bool {
    let ways = ["id", "nested", "first"];
    let known = ways.contains(&word.value().as_str());
    if !known {
        let hint = suggest(&word.value(), &ways);
        errors.on(word.span(), format!("unknown way of sending `{}`{hint}", word.value()));
    }
    known
}

/// The dialects of an association, as a slice of `(&str, AssocDialect)`. One that is stored has its names in its field.
pub(crate) fn expand(
    special: &PerDialect<Special>,
    names: impl Fn(&str) -> Option<Names>,
    rust: &str,
    all: &[&str],
    target: &Type,
    larder: &TokenStream,
) -> TokenStream {
    let mut entries = Vec::new();
    for dialect in all {
        let own = special.get(dialect);
        let mut parts = own.map(|own| own.wire.parts(target, larder)).unwrap_or_default();
        if let Some(names) = names(dialect) {
            let alias: Vec<_> = names.alias().collect();
            if names.name != rust {
                let name = &names.name;
                parts.push(quote!(name: #larder::Some(#name)));
            }
            if !alias.is_empty() {
                parts.push(quote!(alias: &[#(#alias),*]));
            }
            if own.is_some_and(|own| own.skip_read.is_some()) {
                parts.push(quote!(skip_read: true));
            }
        }
        // An entry without parts is of use only where it takes the place of the one for all.
        if !parts.is_empty() || (*dialect != ANY && !entries.is_empty()) {
            entries.push(
                quote!((#dialect, #larder::AssocDialect { #(#parts,)* ..#larder::AssocDialect::PLAIN })),
            );
        }
    }
    quote!(&[#(#entries),*])
}

fn is_pointer(path: &LitStr, errors: &mut Errors) -> bool {
    let text = path.value();
    let fine = text.len() > 1 && text.starts_with('/') && !text.starts_with("/*");
    if !fine {
        errors.on(
            path.span(),
            "a path begins at the row with a slash and a member: `/owner/id`, `/labels/*/id`",
        );
    }
    fine
}
