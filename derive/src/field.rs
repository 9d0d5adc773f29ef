//! A field of a model, of a value struct or of a variant: what its attributes say, and the code for it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, Member, Meta, Path, Type, Visibility};

use crate::association::{Association, Said};
use crate::attr::{Words, flag, parsed, within};
use crate::conflict::{self, Declared};
use crate::dialect::{self, Collisions, Names, PerDialect, Rules, SPECIAL, Special};
use crate::errors::Errors;
use crate::{association, case, types};

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Model,
    /// A struct or a variant with named fields.
    Value,
    /// A variant whose fields have no names.
    Tuple,
    /// The one field of a newtype.
    Newtype,
}

impl Place {
    fn words(self) -> Words {
        match self {
            Self::Model => Words {
                place: "a field of a model",
                once: &[
                    "key",
                    "unique",
                    "index",
                    "rename",
                    "default",
                    "with",
                    "skip",
                    "validate",
                    "conflict",
                    "json",
                    "row",
                    "children",
                    "through",
                    "from",
                    "to",
                    "keys",
                    "on_delete",
                    "orphans",
                    "unindexed",
                ],
                often: &["alias", "dialect"],
            },
            Self::Value => Words {
                place: "a field of a value",
                once: &["rename", "default", "with", "skip", "json", "row"],
                often: &["alias", "dialect"],
            },
            Self::Tuple => Words { place: "a field without a name", once: &["default", "with"], often: &[] },
            Self::Newtype => Words { place: "the field of a newtype", once: &["with"], often: &[] },
        }
    }
}

/// The value of a field that is not there.
#[derive(Debug)]
pub(crate) enum DefaultValue {
    /// `Default::default()`
    Trait(Span),
    /// What an expression comes to; a path is a function that is called.
    Expr(Expr),
}

impl DefaultValue {
    pub(crate) fn read(meta: &Meta, errors: &mut Errors) -> Option<Self> {
        match meta {
            Meta::Path(path) => Some(Self::Trait(path.span())),
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => within(text, errors).map(Self::Expr),
                other => Some(Self::Expr(other.clone())),
            },
            Meta::List(list) => {
                errors.at(list, "write `default`, or `default = \"path::of::a::function\"`, or `default = \"an expression\"`");
                None
            }
        }
    }

    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Trait(span) => *span,
            Self::Expr(expr) => expr.span(),
        }
    }

    pub(crate) fn expand(&self, ty: &Type) -> TokenStream {
        match self {
            Self::Trait(span) => {
                quote_spanned!(Span::call_site().located_at(*span)=> <#ty as ::core::default::Default>::default())
            }
            Self::Expr(path @ Expr::Path(_)) => quote_spanned!(located(path)=> #path()),
            Self::Expr(expr) => expr.to_token_stream(),
        }
    }
}

/// How `key` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyWord {
    Plain,
    Natural,
    Client,
    Server,
}

/// A field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) member: Member,
    /// The Rust name, without `r#`.
    pub(crate) name: String,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) span: Span,
    pub(crate) key: Option<(KeyWord, Span)>,
    pub(crate) unique: Option<Span>,
    pub(crate) index: Option<Span>,
    pub(crate) skip: Option<Span>,
    /// The application's check of its value.
    pub(crate) validate: Option<Path>,
    /// What becomes of it if both sides changed it.
    pub(crate) conflict: Option<Declared>,
    pub(crate) default: Option<DefaultValue>,
    /// The converter to the stored representation.
    pub(crate) with: Option<Type>,
    pub(crate) special: PerDialect<Special>,
    /// How it relates the model to another.
    pub(crate) association: Option<Association>,
}

impl Field {
    pub(crate) fn read(field: &syn::Field, at: usize, place: Place, errors: &mut Errors) -> Self {
        let (member, name, span) = match &field.ident {
            Some(ident) => (Member::Named(ident.clone()), ident.unraw().to_string(), ident.span()),
            None => (Member::Unnamed(at.into()), at.to_string(), field.ty.span()),
        };
        let mut this = Self {
            member,
            name,
            vis: field.vis.clone(),
            ty: field.ty.clone(),
            span,
            key: None,
            unique: None,
            index: None,
            skip: None,
            validate: None,
            conflict: None,
            default: None,
            with: None,
            special: PerDialect::default(),
            association: None,
        };
        let mut said = Said::default();
        place.words().of_attrs(&field.attrs, errors, |word, meta, errors| match word {
            "key" => this.key = key(meta, errors).map(|word| (word, meta.span())),
            "unique" => this.unique = flag(meta, errors),
            "index" => this.index = flag(meta, errors),
            "skip" => this.skip = flag(meta, errors),
            "validate" => this.validate = parsed(meta, errors),
            "conflict" => this.conflict = Declared::read(meta, errors),
            "default" => this.default = DefaultValue::read(meta, errors),
            "with" => this.with = parsed(meta, errors),
            "rename" | "alias" => this.special.any.read(dialect::ANY, word, meta, errors),
            word if association::ONCE.contains(&word) => said.read(word, meta, errors),
            _ => dialect::read(word, meta, &SPECIAL, &mut this.special, errors, Special::read),
        });
        if place == Place::Model {
            let plain = this.skip.is_some() || this.with.is_some();
            this.association = Association::read(&this.ty, &said, plain, errors);
            // What is not stored is skipped, whoever asks.
            if this.is_derived() {
                this.skip = Some(span);
            }
        }
        this.check(place, errors);
        for (_, special) in &this.special.own {
            special.wire.check(this.association.as_ref().map(Association::is_one), errors);
        }
        this
    }

    /// True for an association that is not stored with the row.
    pub(crate) fn is_derived(&self) -> bool {
        self.association.as_ref().is_some_and(|association| !association.is_stored())
    }

    fn check(&self, place: Place, errors: &mut Errors) {
        if self.with.is_none() && self.skip.is_none() {
            for (ty, what) in types::unsupported(&self.ty) {
                errors.at(ty, what);
            }
        }
        for ty in types::double_options(&self.ty) {
            errors.at(ty, "an `Option` of an `Option` can't be stored: both nulls would look the same");
        }
        if self.skip.is_some() {
            let said = [
                ("key", self.key.map(|(_, span)| span)),
                ("unique", self.unique),
                ("index", self.index),
                ("with", self.with.as_ref().map(Spanned::span)),
                ("validate", self.validate.as_ref().map(Spanned::span)),
                ("conflict", self.conflict.as_ref().map(Declared::span)),
                ("rename", self.special.any.rename.as_ref().map(Spanned::span)),
                ("alias", self.special.any.alias.first().map(Spanned::span)),
            ];
            // A list that is not stored has a name on the wire all the same.
            let known = |word: &str| self.is_derived() && ["rename", "alias"].contains(&word);
            let said = said.into_iter().filter_map(|(word, span)| span.map(|span| (word, span)));
            for (word, span) in said.filter(|(word, _)| !known(word)) {
                errors.on(
                    span,
                    format!("`{word}` has no meaning for a field that is skipped: it is not stored"),
                );
            }
        }
        conflict::check_field(self, errors);
        for (dialect, special) in &self.special.own {
            self.check_special(place, dialect, special, errors);
        }
        if let (Some((_, _)), Some(default)) = (self.key, &self.default) {
            errors.on(default.span(), "a key can't have a default: all rows without a key would be one");
        }
    }

    fn check_special(&self, place: Place, dialect: &str, special: &Special, errors: &mut Errors) {
        if self.key.is_some()
            && let Some(default) = &special.default
        {
            errors.on(default.span(), "a key can't have a default: all rows without a key would be one");
        }
        if let Some(span) = special.flatten {
            let in_the_way = special.rename.is_some() || special.with.is_some() || !special.alias.is_empty();
            if in_the_way {
                errors.on(span, "a field that is flattened has no name and no converter there");
            }
            if self.key.is_some() {
                errors.on(span, "a key can't be flattened: mark a field of its own as the key");
            }
        }
        let Some(span) = special.skip_read else { return };
        // A row from there lacks the field; a nested value has nothing that it could be merged with.
        let has_default = self.is_derived()
            || self.default.is_some()
            || (place != Place::Model && special.default.is_some());
        if self.key.is_some() {
            errors
                .on(span, format!("a key has to be read: rows from the dialect `{dialect}` would have none"));
        } else if !has_default && !types::is(&self.ty, "Option") {
            errors.on(
                span,
                format!(
                    "`{}` is not read from the dialect `{dialect}` and has no value then: add `default` beside it, or \
                     make it an `Option`",
                    self.name
                ),
            );
        }
    }

    /// The names in a dialect.
    pub(crate) fn names(&self, rules: &Rules, dialect: &str) -> Names {
        dialect::resolve(&self.name, self.span, &self.special, rules, dialect, case::Case::of_field)
    }

    /// The path of Larder at the place of the field's type or converter: what is wrong with it is told there, and once.
    fn located(&self, larder: &TokenStream) -> TokenStream {
        let span = self.with.as_ref().map_or_else(|| located(&self.ty), located);
        let at = |mut token: proc_macro2::TokenTree| {
            token.set_span(span);
            token
        };
        larder.clone().into_iter().map(at).collect()
    }

    /// The type whose representation is stored: its own, or that of its converter.
    pub(crate) fn datum(&self, larder: &TokenStream) -> TokenStream {
        let ty = &self.ty;
        match &self.with {
            None => ty.to_token_stream(),
            Some(with) => quote!(#larder::Converted<#ty, #with>),
        }
    }

    /// The kind, as a constant.
    pub(crate) fn kind(&self, larder: &TokenStream) -> TokenStream {
        let (ty, larder) = (&self.ty, self.located(larder));
        match &self.with {
            None => quote_spanned!(located(ty)=> <#ty as #larder::Datum>::KIND),
            Some(with) => quote_spanned!(located(with)=> <#with as #larder::Convert<#ty>>::KIND),
        }
    }

    /// Shows the value that the expression `of` refers to.
    pub(crate) fn show(&self, of: &TokenStream, larder: &TokenStream) -> TokenStream {
        let (ty, larder) = (&self.ty, self.located(larder));
        match &self.with {
            None => quote_spanned!(located(ty)=> <#ty as #larder::Datum>::show(#of)),
            Some(with) => quote_spanned!(located(with)=> <#with as #larder::Convert<#ty>>::show(#of)),
        }
    }

    /// A function from what is shown to the value.
    pub(crate) fn take(&self, larder: &TokenStream) -> TokenStream {
        let (ty, larder) = (&self.ty, self.located(larder));
        let take = match &self.with {
            None => quote_spanned!(located(ty)=> <#ty as #larder::Datum>::take),
            Some(with) => quote_spanned!(located(with)=> #larder::take_by::<#ty, #with>),
        };
        match &self.default {
            None => take,
            Some(default) => {
                let default = default.expand(ty);
                quote_spanned! {located(ty)=>
                    |__value| match __value {
                        #larder::ValueRef::Absent => {
                            let __default: #ty = #default;
                            #larder::Ok(__default)
                        }
                        __value => #take(__value),
                    }
                }
            }
        }
    }

    /// The field as it is taken from position `at` of `__row`.
    pub(crate) fn taken(&self, at: usize, larder: &TokenStream) -> TokenStream {
        let (member, mut take, larder) = (&self.member, self.take(larder), self.located(larder));
        if self.default.is_none() {
            // Not the function itself: what is wrong with the type would be told a second time.
            take = quote!(|__value| #take(__value));
        }
        quote_spanned! {located(&self.ty)=>
            #member: #larder::Row::field(__row, #at)
                .and_then(#take)
                .map_err(|__fault| __SCHEMA.fault(#at, __fault))?
        }
    }

    /// The value of a field that is not stored.
    pub(crate) fn unstored(&self) -> TokenStream {
        self.default.as_ref().unwrap_or(&DefaultValue::Trait(self.ty.span())).expand(&self.ty)
    }

    /// A function that makes the representation of a default.
    pub(crate) fn constant(&self, default: &DefaultValue, larder: &TokenStream) -> TokenStream {
        let ty = &self.ty;
        let (make, show) = (default.expand(ty), self.show(&quote!(&__default), larder));
        quote! {
            || {
                let __default: #ty = #make;
                #larder::constant(#show)
            }
        }
    }

    /// The field as a `FieldDef`.
    pub(crate) fn def(&self, rules: &Rules, dialects: &[&str], larder: &TokenStream) -> TokenStream {
        let (name, kind) = (&self.name, self.kind(larder));
        let default = match &self.default {
            None => quote!(#larder::None),
            Some(default) => {
                let constant = self.constant(default, larder);
                quote!(#larder::Some(#constant))
            }
        };
        let dialects = dialect::expand(self, rules, dialects, larder);
        quote!(#larder::FieldDef { name: #name, kind: #kind, default: #default, dialects: #dialects })
    }

    /// A name for the field's value within generated code.
    pub(crate) fn binding(&self) -> Ident {
        format_ident!("__field_{}", self.name)
    }
}

/// The place of `tokens`, with the names of generated code: the parts of a type may come out of different macros.
pub(crate) fn located(tokens: &impl Spanned) -> Span {
    Span::call_site().located_at(tokens.span())
}

fn key(meta: &Meta, errors: &mut Errors) -> Option<KeyWord> {
    let list = match meta {
        Meta::Path(_) => return Some(KeyWord::Plain),
        Meta::List(list) => list.parse_args::<Ident>().ok(),
        Meta::NameValue(_) => None,
    };
    match list {
        Some(word) if word == "natural" => Some(KeyWord::Natural),
        Some(word) if word == "client" => Some(KeyWord::Client),
        Some(word) if word == "server" => Some(KeyWord::Server),
        _ => {
            errors.at(
                meta,
                "write `key`, `key(natural)` for a key that the data brings, `key(client)` for a UUIDv7 made here, or \
                 `key(server)` for one that the server gives",
            );
            None
        }
    }
}

/// Reads fields, skipped ones included, and refuses names that collide in a dialect.
pub(crate) fn read_all(fields: &syn::Fields, place: Place, rules: &Rules, errors: &mut Errors) -> Vec<Field> {
    let fields: Vec<_> =
        fields.iter().enumerate().map(|(at, field)| Field::read(field, at, place, errors)).collect();
    let mut collisions = Collisions::default();
    for dialect in mentioned(rules, &fields) {
        let talks = |field: &&Field| {
            let own = field.special.get(dialect);
            (field.skip.is_none() || field.is_derived())
                && own.is_none_or(|own| own.flatten.is_none())
                && !own.is_some_and(|own| own.skip_read.is_some() && own.skip_write.is_some())
        };
        let all: Vec<_> = fields
            .iter()
            .filter(talks)
            .map(|field| (field.name.as_str(), field.names(rules, dialect)))
            .collect();
        collisions.refuse("fields", dialect, &all, errors);
    }
    fields
}

/// Refuses fields of the type `this` that hold values of that type.
pub(crate) fn refuse_recursion<'a>(
    this: &Ident,
    fields: impl IntoIterator<Item = &'a Field>,
    errors: &mut Errors,
) {
    for field in fields {
        if field.with.is_none() && field.skip.is_none() && types::mentions(&field.ty, this) {
            errors.at(
                &field.ty,
                format!(
                    "`{this}` contains itself, and a stored shape has to end somewhere: make the parts rows of a model \
                     that names its parent, or store them as one text or bytes by a converter, `#[model(with = \"…\")]`"
                ),
            );
        }
    }
}

/// The dialects that a container or one of its fields names, `*` first.
pub(crate) fn mentioned<'a>(rules: &'a Rules, fields: &'a [Field]) -> Vec<&'a str> {
    dialect::mentioned(rules, fields.iter().map(|field| &field.special))
}
