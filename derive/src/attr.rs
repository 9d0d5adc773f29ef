//! Reads `#[model(…)]`: which words there are, which of them are known, and what stands behind them.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Token};

use crate::errors::Errors;

/// The words that are known at one place.
#[derive(Debug)]
pub(crate) struct Words {
    /// The place, for messages: "a field".
    pub(crate) place: &'static str,
    pub(crate) once: &'static [&'static str],
    pub(crate) often: &'static [&'static str],
}

impl Words {
    /// Calls `f` for each word of the `#[model(…)]` among `attrs`.
    pub(crate) fn of_attrs(
        &self,
        attrs: &[Attribute],
        errors: &mut Errors,
        mut f: impl FnMut(&str, &Meta, &mut Errors),
    ) {
        let mut metas = Vec::new();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("model")) {
            match attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
                Ok(list) => metas.extend(list),
                Err(error) => {
                    errors.garble();
                    errors.add(error);
                }
            }
        }
        self.of_metas(&metas, errors, &mut f);
    }

    /// Calls `f` for each word of `name(…)`.
    pub(crate) fn of_list(
        &self,
        meta: &Meta,
        errors: &mut Errors,
        mut f: impl FnMut(&str, &Meta, &mut Errors),
    ) {
        if let Some(metas) = list::<Meta>(meta, errors) {
            self.of_metas(&metas, errors, &mut f);
        }
    }

    fn of_metas(&self, metas: &[Meta], errors: &mut Errors, f: &mut dyn FnMut(&str, &Meta, &mut Errors)) {
        let mut seen: Vec<String> = Vec::new();
        for meta in metas {
            let word = spelled(meta.path());
            if !self.once.contains(&word.as_str()) && !self.often.contains(&word.as_str()) {
                errors.garble();
                errors.at(meta.path(), self.unknown(&word));
            } else if self.once.contains(&word.as_str()) && seen.contains(&word) {
                errors.at(meta.path(), format!("`{word}` is given twice"));
            } else {
                f(&word, meta, errors);
                seen.push(word);
            }
        }
    }

    fn unknown(&self, word: &str) -> String {
        let known: Vec<&str> = self.once.iter().chain(self.often).copied().collect();
        format!("unknown attribute `{word}` on {}{}", self.place, suggest(word, &known))
    }
}

/// "; did you mean …?", or a list of what there is.
pub(crate) fn suggest(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|name| (distance(word, name), *name)).min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, name)) if distance <= 1 + word.chars().count() / 4 => {
            format!("; did you mean `{name}`?")
        }
        Some(_) => {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("; there are {}", known.join(", "))
        }
        None => String::new(),
    }
}

/// How many letters have to be added, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                replaced.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

fn spelled(path: &Path) -> String {
    let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    segments.join("::")
}

/// The elements of `name(…)`.
pub(crate) fn list<T: syn::parse::Parse>(meta: &Meta, errors: &mut Errors) -> Option<Vec<T>> {
    let Meta::List(elements) = meta else {
        let word = spelled(meta.path());
        errors.garble();
        errors.at(meta, format!("`{word}` takes a list: write `{word}(…)`"));
        return None;
    };
    match elements.parse_args_with(Punctuated::<T, Token![,]>::parse_terminated) {
        Ok(elements) => Some(elements.into_iter().collect()),
        Err(error) => {
            errors.garble();
            errors.add(error);
            None
        }
    }
}

/// True for a word that stands alone; an error if something stands behind it.
pub(crate) fn flag(meta: &Meta, errors: &mut Errors) -> Option<Span> {
    match meta {
        Meta::Path(path) => Some(path.span()),
        other => {
            let word = spelled(other.path());
            errors.at(other, format!("`{word}` takes nothing: write `{word}`"));
            None
        }
    }
}

/// The string of `name = "…"`.
pub(crate) fn string(meta: &Meta, errors: &mut Errors) -> Option<LitStr> {
    if let Meta::NameValue(pair) = meta
        && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
    {
        return Some(text.clone());
    }
    let word = spelled(meta.path());
    errors.at(meta, format!("`{word}` takes a string: write `{word} = \"…\"`"));
    None
}

/// What the string of `name = "…"` is as a part of Rust.
pub(crate) fn parsed<T: syn::parse::Parse>(meta: &Meta, errors: &mut Errors) -> Option<T> {
    string(meta, errors).and_then(|text| within(&text, errors))
}

/// What a string is as a part of Rust.
pub(crate) fn within<T: syn::parse::Parse>(text: &LitStr, errors: &mut Errors) -> Option<T> {
    text.parse().map_err(|error| errors.on(text.span(), format!("`{}`: {error}", text.value()))).ok()
}

/// The fields of `unique(a, b, name = "…")`.
#[derive(Debug)]
pub(crate) struct Composite {
    pub(crate) fields: Vec<Ident>,
    pub(crate) name: Option<LitStr>,
    /// As it is written.
    pub(crate) tokens: TokenStream,
}

impl Composite {
    pub(crate) fn of(meta: &Meta, errors: &mut Errors) -> Option<Self> {
        let mut composite = Self { fields: Vec::new(), name: None, tokens: meta.to_token_stream() };
        for element in list::<Meta>(meta, errors)? {
            match &element {
                Meta::Path(path) if path.get_ident().is_some() => {
                    composite.fields.extend(path.get_ident().cloned());
                }
                Meta::NameValue(pair) if pair.path.is_ident("name") => {
                    composite.name = string(&element, errors);
                }
                other => errors.at(other, "expected the name of a field, or `name = \"…\"`"),
            }
        }
        if composite.fields.is_empty() {
            errors.at(meta, "name the fields: `(city, age)`");
            return None;
        }
        Some(composite)
    }
}

/// A step of `migrate(1 => "function", …)`.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) from: u32,
    /// Set by the word around it.
    pub(crate) rekeys: bool,
    pub(crate) span: Span,
    pub(crate) run: Path,
}

impl syn::parse::Parse for Step {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let form = "a step is written `1 => \"function\"`: from version 1 to 2, by `fn(&mut OldRow) -> Result<(), String>`";
        let formed = |error: syn::Error| syn::Error::new(error.span(), form);
        let from: syn::LitInt = input.parse().map_err(formed)?;
        input.parse::<Token![=>]>().map_err(formed)?;
        let run: LitStr = input.parse().map_err(formed)?;
        Ok(Self { from: from.base10_parse()?, rekeys: false, span: from.span(), run: run.parse()? })
    }
}

impl Step {
    pub(crate) fn expand(&self, larder: &TokenStream) -> TokenStream {
        let (from, run) = (self.from, &self.run);
        let make = Ident::new(if self.rekeys { "rekey" } else { "step" }, Span::call_site());
        quote::quote!(#larder::Migration::#make(#from, #run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_get_the_list() {
        let known = ["key", "unique", "rename_all"];
        assert_eq!(suggest("kye", &known), "; did you mean `key`?");
        assert_eq!(suggest("renameall", &known), "; did you mean `rename_all`?");
        assert_eq!(suggest("flatten", &known), "; there are `key`, `unique`, `rename_all`");
    }
}
