//! Names and specialities per dialect.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{LitStr, Meta, Path};

use crate::attr::{Words, flag, parsed, string, suggest};
use crate::case::Case;
use crate::errors::Errors;
use crate::field::{DefaultValue, Field, located};
use crate::wire::{self, Wire};

/// The name under which a schema keeps what holds in every dialect without an entry of its own.
pub(crate) const ANY: &str = "*";

/// What is said about one thing, in all dialects and in single ones.
#[derive(Debug, Default)]
pub(crate) struct PerDialect<T> {
    pub(crate) any: T,
    pub(crate) own: Vec<(String, T)>,
}

impl<T> PerDialect<T> {
    pub(crate) fn get(&self, dialect: &str) -> Option<&T> {
        self.own.iter().find(|(name, _)| name == dialect).map(|(_, own)| own)
    }
}

/// The words `json(…)`, `row(…)` and `dialect(name = "…", …)`: reads which dialect is meant and what is said about it.
///
/// `words` are those known inside, `name` among them.
pub(crate) fn read<T: Default>(
    word: &str,
    meta: &Meta,
    words: &Words,
    into: &mut PerDialect<T>,
    errors: &mut Errors,
    mut f: impl FnMut(&mut T, &str, &str, &Meta, &mut Errors),
) {
    let mut name = (word != "dialect").then(|| word.to_owned());
    let named = name.is_some();
    // The name is wanted before the rest is read, wherever it stands.
    let (mut found, mut refused) = (Vec::new(), false);
    words.of_list(meta, errors, |word, meta, errors| match word {
        "name" if named => errors.at(meta, "`name` belongs to `dialect(name = \"…\", …)`"),
        "name" => {
            name = string(meta, errors).and_then(|text| dialect_name(&text, errors));
            refused = name.is_none();
        }
        _ => found.push((word.to_owned(), meta.clone())),
    });
    let Some(name) = name else {
        if !refused {
            errors.at(meta, "which dialect? write `dialect(name = \"…\", …)`");
        }
        return;
    };
    if into.get(&name).is_some() {
        errors.at(meta, format!("the dialect `{name}` is given twice"));
        return;
    }
    let mut own = T::default();
    for (word, meta) in found {
        f(&mut own, &name, &word, &meta, errors);
    }
    into.own.push((name, own));
}

fn dialect_name(text: &LitStr, errors: &mut Errors) -> Option<String> {
    let name = text.value();
    if name.is_empty() || name == ANY {
        errors.on(text.span(), "a dialect needs a name of its own");
        return None;
    }
    Some(name)
}

/// The rule of `rename_all`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rule(pub(crate) Option<Case>);

impl Rule {
    pub(crate) fn read(&mut self, meta: &Meta, errors: &mut Errors) {
        let Some(text) = string(meta, errors) else { return };
        self.0 = Case::named(&text.value());
        if self.0.is_none() {
            let known = Case::ALL.map(|(name, _)| name);
            errors.on(
                text.span(),
                format!("unknown case `{}`{}", text.value(), suggest(&text.value(), &known)),
            );
        }
    }
}

/// The rules of a container: `rename_all` in all dialects and in single ones.
pub(crate) type Rules = PerDialect<Rule>;

/// What is said about a field in all dialects, or in one.
#[derive(Debug, Default)]
pub(crate) struct Special {
    pub(crate) rename: Option<LitStr>,
    pub(crate) alias: Vec<LitStr>,
    pub(crate) skip_read: Option<Span>,
    pub(crate) skip_write: Option<Span>,
    pub(crate) default: Option<DefaultValue>,
    pub(crate) with: Option<Path>,
    /// What is said about an association.
    pub(crate) wire: Wire,
    pub(crate) flatten: Option<Span>,
}

pub(crate) const SPECIAL: Words = Words {
    place: "a field in a dialect",
    once: &[
        "name",
        "rename",
        "skip",
        "skip_read",
        "skip_write",
        "default",
        "with",
        "flatten",
        "path",
        "lookup",
        "send",
    ],
    often: &["alias"],
};

impl Special {
    pub(crate) fn read(&mut self, dialect: &str, word: &str, meta: &Meta, errors: &mut Errors) {
        if dialect == "row" && ["skip", "skip_read", "skip_write", "with", "flatten"].contains(&word) {
            let message = match word {
                "with" => "what is stored, is stored for all: write `with = \"…\"` outside of `row(…)`",
                "flatten" => "a store keeps a struct as one field: `flatten` belongs to `json(…)`",
                _ => "a store keeps a field or it does not: write `skip` outside of `row(…)`",
            };
            errors.at(meta, message);
            return;
        }
        match word {
            "rename" => self.rename = string(meta, errors),
            "alias" => self.alias.extend(string(meta, errors)),
            "skip" => {
                self.skip_read = flag(meta, errors);
                self.skip_write = self.skip_read;
            }
            "skip_read" => self.skip_read = flag(meta, errors),
            "skip_write" => self.skip_write = flag(meta, errors),
            "default" => self.default = DefaultValue::read(meta, errors),
            word if wire::ONCE.contains(&word) => self.wire.read(dialect, word, meta, errors),
            "flatten" => self.flatten = flag(meta, errors),
            _ => self.with = parsed(meta, errors),
        }
    }
}

/// The names of one field or variant in one dialect.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) name: String,
    /// Where the name comes from.
    span: Span,
    alias: Vec<LitStr>,
}

impl Names {
    pub(crate) fn alias(&self) -> impl Iterator<Item = String> {
        self.alias.iter().map(LitStr::value)
    }

    /// The name and the aliases, each with its place.
    pub(crate) fn all(&self) -> impl Iterator<Item = (String, Span)> {
        let alias = self.alias.iter().map(|alias| (alias.value(), alias.span()));
        std::iter::once((self.name.clone(), self.span)).chain(alias)
    }
}

/// Resolves the name: what is said about the field counts more than what is said about all, and what is said about
/// the dialect more than what is said about every one.
pub(crate) fn resolve(
    rust: &str,
    span: Span,
    field: &PerDialect<Special>,
    rules: &Rules,
    dialect: &str,
    cased: fn(Case, &str) -> String,
) -> Names {
    let own = field.get(dialect);
    let renamed = own.and_then(|own| own.rename.as_ref()).or(field.any.rename.as_ref());
    let case = rules.get(dialect).and_then(|rule| rule.0).or(rules.any.0);
    let name = match (renamed, case) {
        (Some(text), _) => text.value(),
        (None, Some(case)) => cased(case, rust),
        (None, None) => rust.to_owned(),
    };
    let alias = field.any.alias.iter().chain(own.into_iter().flat_map(|own| &own.alias)).cloned().collect();
    Names { name, alias, span: renamed.map_or(span, LitStr::span) }
}

/// The dialects that a container or one of its fields names, `*` first.
pub(crate) fn mentioned<'a>(
    rules: &'a Rules,
    fields: impl Iterator<Item = &'a PerDialect<Special>>,
) -> Vec<&'a str> {
    let of_fields = fields.flat_map(|field| field.own.iter().map(|(name, _)| name.as_str()));
    let mut all = vec![ANY];
    for name in rules.own.iter().map(|(name, _)| name.as_str()).chain(of_fields) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// Refuses two fields or variants of one name in a dialect, aliases included. What holds everywhere is told once.
#[derive(Debug, Default)]
pub(crate) struct Collisions(Vec<String>);

impl Collisions {
    pub(crate) fn refuse(&mut self, what: &str, dialect: &str, all: &[(&str, Names)], errors: &mut Errors) {
        for (at, (rust, names)) in all.iter().enumerate() {
            for (other, taken) in &all[..at] {
                let clash = names.all().find(|(name, _)| taken.all().any(|(taken, _)| taken == *name));
                let Some((name, span)) = clash else { continue };
                let message = format!("the {what} `{other}` and `{rust}` are both called `{name}`");
                if !self.0.contains(&message) {
                    let place =
                        if dialect == ANY { String::new() } else { format!(" in the dialect `{dialect}`") };
                    errors.on(span, format!("{message}{place}"));
                    self.0.push(message);
                }
            }
        }
    }
}

/// What can be told of flattened fields only where types are known: asserted when the code is compiled.
pub(crate) fn flat_checks(fields: &[&Field], of: &TokenStream, larder: &TokenStream) -> TokenStream {
    let mut checks = Vec::new();
    for field in fields {
        for (dialect, span) in field.special.own.iter().filter_map(|(name, own)| Some((name, own.flatten?))) {
            let kind = field.kind(larder);
            let span = Span::call_site().located_at(span);
            let why = format!(
                "`{}` can't be flattened: only a struct, or an option of one, has fields",
                field.name
            );
            checks.push(
                quote_spanned!(span=> const _: () = ::core::assert!(#larder::Kind::is_flat(&#kind), #why);),
            );
            let why = format!(
                "a field of `{}`, which is flattened, has the name of another field in the dialect `{dialect}`",
                field.name
            );
            checks.push(
                quote_spanned!(span=> const _: () = ::core::assert!(#larder::distinct_in(#of.fields, #dialect), #why);),
            );
        }
    }
    quote!(#(#checks)*)
}

/// The dialects of a field, as a slice of `(&str, FieldDialect)`.
pub(crate) fn expand(field: &Field, rules: &Rules, all: &[&str], larder: &TokenStream) -> TokenStream {
    let mut entries = Vec::new();
    for dialect in all {
        let own = field.special.get(dialect);
        if *dialect != ANY && own.is_none() && rules.get(dialect).is_none() {
            continue;
        }
        let names = field.names(rules, dialect);
        let alias: Vec<_> = names.alias().collect();
        let mut parts = Vec::new();
        if names.name != field.name {
            let name = &names.name;
            parts.push(quote!(name: #larder::Some(#name)));
        }
        if !alias.is_empty() {
            parts.push(quote!(alias: &[#(#alias),*]));
        }
        if own.is_some_and(|own| own.skip_read.is_some()) {
            parts.push(quote!(skip_read: true));
        }
        if own.is_some_and(|own| own.skip_write.is_some()) {
            parts.push(quote!(skip_write: true));
        }
        if own.is_some_and(|own| own.flatten.is_some()) {
            parts.push(quote!(flatten: true));
        }
        if let Some(default) = own.and_then(|own| own.default.as_ref()) {
            let default = field.constant(default, larder);
            parts.push(quote!(default: #larder::Some(#default)));
        }
        if let Some(with) = own.and_then(|own| own.with.as_ref()) {
            let (write, read) =
                (quote_spanned!(located(with)=> #with::write), quote_spanned!(located(with)=> #with::read));
            parts.push(quote!(convert: #larder::Some(#larder::Converter { write: #write, read: #read })));
        }
        // An entry without parts is of use only where it takes the place of the one for all.
        if !parts.is_empty() || !entries.is_empty() {
            entries.push(
                quote!((#dialect, #larder::FieldDialect { #(#parts,)* ..#larder::FieldDialect::PLAIN })),
            );
        }
    }
    quote!(&[#(#entries),*])
}
