//! `#[derive(Model)]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DeriveInput, Expr, ExprLit, Fields, Lit, LitStr, Meta};

use crate::association::{self, Association};
use crate::attr::{Composite, Step, Words, flag, list, string, suggest};
use crate::conflict::{self, Declared};
use crate::container::{Computed, Container, Of, refuse_generics};
use crate::convert::Conversion;
use crate::dialect;
use crate::errors::Errors;
use crate::field::{Field, KeyWord, Place, located, mentioned, read_all, refuse_recursion};
use crate::validate::{self, Check};
use crate::{case, types, wire};

const WORDS: Words = Words {
    place: "a model",
    once: &[
        "crate",
        "name",
        "version",
        "rename_all",
        "json",
        "row",
        "singleton",
        "tokens",
        "validate",
        "conflict",
    ],
    often: &["dialect", "unique", "index", "migrate", "rekey"],
};

/// A model, read.
struct Model<'a> {
    ident: &'a Ident,
    container: Container,
    name: Option<LitStr>,
    version: u32,
    singleton: Option<Span>,
    tokens: Option<LitStr>,
    validate: Option<Check>,
    conflict: Option<Declared>,
    /// Unique or not.
    composites: Vec<(bool, Composite)>,
    steps: Vec<Step>,
    fields: Vec<Field>,
}

/// An index, by the positions of its fields.
struct Index {
    name: String,
    fields: Vec<usize>,
    unique: bool,
    /// As it is written.
    tokens: TokenStream,
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    refuse_generics(
        &input.generics,
        "models",
        "a model is one table with one schema; write a struct for each type that is stored",
        &mut errors,
    );
    let mut model = Model {
        ident: &input.ident,
        container: Container::default(),
        name: None,
        version: 1,
        singleton: None,
        tokens: None,
        validate: None,
        conflict: None,
        composites: Vec::new(),
        steps: Vec::new(),
        fields: Vec::new(),
    };
    WORDS.of_attrs(&input.attrs, &mut errors, |word, meta, errors| match word {
        "name" => model.name = string(meta, errors).filter(|name| named(name, errors)),
        "version" => model.version = version(meta, errors),
        "singleton" => model.singleton = flag(meta, errors),
        "tokens" => model.tokens = string(meta, errors),
        "validate" => model.validate = Check::of_model(meta, errors),
        "conflict" => model.conflict = Declared::read(meta, errors),
        "unique" | "index" => {
            model
                .composites
                .extend(Composite::of(meta, errors).map(|composite| (word == "unique", composite)));
        }
        "migrate" | "rekey" => {
            let rekeys = word == "rekey";
            let steps = list::<Step>(meta, errors).unwrap_or_default();
            model.steps.extend(steps.into_iter().map(|step| Step { rekeys, ..step }));
        }
        _ => model.container.read(word, meta, Of::Model, errors),
    });
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Named(_)) => {
            model.fields = read_all(&data.fields, Place::Model, &model.container.rules, &mut errors);
            refuse_recursion(&input.ident, &model.fields, &mut errors);
        }
        Data::Struct(_) => {
            errors.at(&input.ident, "a model needs named fields: queries and dialects name them");
            return errors.or(TokenStream::new);
        }
        Data::Enum(_) | Data::Union(_) => {
            errors.at(
                &input.ident,
                "a model is a struct with named fields; derive `Datum` for an enum that is a field of one",
            );
            return errors.or(TokenStream::new);
        }
    }
    let key = model.key(&mut errors);
    let indexes = model.indexes(&mut errors);
    let tokens = model.token_names(&mut errors);
    model.check_steps(&mut errors);
    for by in conflict::check(model.conflict.as_ref(), &model.fields, &mut errors) {
        model.position(by, &mut errors);
    }
    errors.or(|| model.expand(&key, &indexes, &tokens))
}

fn named(name: &LitStr, errors: &mut Errors) -> bool {
    if name.value().is_empty() {
        errors.at(name, "a model needs a name");
    }
    !name.value().is_empty()
}

fn version(meta: &Meta, errors: &mut Errors) -> u32 {
    if let Meta::NameValue(pair) = meta
        && let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = &pair.value
        && let Ok(version @ 1..) = number.base10_parse()
    {
        return version;
    }
    errors.at(meta, "`version` takes a number from 1 on: write `version = 2`");
    1
}

impl Model<'_> {
    /// The fields that are stored, in the order of their positions.
    fn stored(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.skip.is_none())
    }

    /// The positions of the key's fields and the constructor of its `KeyDef`.
    fn key(&self, errors: &mut Errors) -> (Vec<usize>, &'static str) {
        let keys: Vec<_> = self
            .stored()
            .enumerate()
            .filter_map(|(at, field)| field.key.map(|(word, span)| (at, field, word, span)))
            .collect();
        for (_, field, _, _) in &keys {
            if field.with.is_none()
                && let Some(why) = types::not_a_key(&field.ty)
            {
                errors.at(&field.ty, why);
            }
        }
        let positions = keys.iter().map(|(at, ..)| *at).collect();
        match (self.singleton, &keys[..]) {
            (Some(_), []) => (positions, "singleton"),
            (Some(span), [..]) => {
                errors.on(
                    span,
                    "a singleton has one row and no key: remove `singleton`, or `key` from its fields",
                );
                (positions, "singleton")
            }
            (None, []) => {
                if !errors.is_garbled() {
                    errors.at(
                        self.ident,
                        "a model needs a key: mark a field with `#[model(key)]` (several for a composite key), or the \
                         struct with `#[model(singleton)]` if it has one row",
                    );
                }
                (positions, "natural")
            }
            (None, [(_, field, word, span)]) => {
                let is_uuid = types::is(&field.ty, "Uuid");
                match word {
                    KeyWord::Plain if is_uuid => (positions, "client"),
                    KeyWord::Plain | KeyWord::Natural => (positions, "natural"),
                    KeyWord::Client => {
                        const ELSE: [&str; 6] = ["String", "u64", "i64", "u32", "i32", "Vec"];
                        if ELSE.iter().any(|name| types::is(&field.ty, name)) {
                            errors
                                .on(*span, "a key that is made here is a UUIDv7: its type has to be `Uuid`");
                        }
                        (positions, "client")
                    }
                    KeyWord::Server => (positions, "server"),
                }
            }
            (None, [..]) => {
                for (_, _, word, span) in &keys {
                    match word {
                        KeyWord::Client => {
                            errors.on(*span, "a composite key is natural: its parts can't be made here");
                        }
                        KeyWord::Server => errors.on(
                            *span,
                            "a composite key is natural: a server gives one key; make the others unique, `unique(a, b)`",
                        ),
                        KeyWord::Plain | KeyWord::Natural => {}
                    }
                }
                (positions, "natural")
            }
        }
    }

    fn indexes(&self, errors: &mut Errors) -> Vec<Index> {
        let mut indexes = Vec::new();
        let keys = self.stored().filter(|field| field.key.is_some()).count();
        for (at, field) in self.stored().enumerate() {
            for (span, unique, word) in [(field.unique, true, "unique"), (field.index, false, "index")] {
                let Some(span) = span else { continue };
                if field.key.is_some() && keys == 1 {
                    errors.on(span, format!("the key is unique and indexed already: remove `{word}`"));
                } else {
                    let tokens = Ident::new(word, span).into_token_stream();
                    indexes.push(Index { name: field.name.clone(), fields: vec![at], unique, tokens });
                }
            }
        }
        for (unique, composite) in &self.composites {
            let fields: Vec<_> =
                composite.fields.iter().filter_map(|name| self.position(name, errors)).collect();
            if let Some(twice) = (1..fields.len()).find(|at| fields[..*at].contains(&fields[*at])) {
                errors.at(&composite.fields[twice], format!("`{}` is named twice", composite.fields[twice]));
            }
            let names: Vec<_> = composite.fields.iter().map(bare).collect();
            let name = composite.name.as_ref().map_or_else(|| names.join("_"), LitStr::value);
            indexes.push(Index { name, fields, unique: *unique, tokens: composite.tokens.clone() });
        }
        self.index_associations(&mut indexes);
        for (at, index) in indexes.iter().enumerate() {
            for other in &indexes[..at] {
                if other.fields == index.fields && !index.fields.is_empty() {
                    let hint = if other.unique == index.unique {
                        ""
                    } else {
                        "; a unique constraint is an index as well"
                    };
                    errors.at(&index.tokens, format!("there is an index on the same fields already{hint}"));
                } else if other.name == index.name {
                    errors.at(
                        &index.tokens,
                        format!("two indexes are called `{}`: give one a name, `name = \"…\"`", index.name),
                    );
                }
            }
        }
        indexes
    }

    /// Each version has one step at most, and none leads beyond today's; they are put in their order.
    fn check_steps(&mut self, errors: &mut Errors) {
        self.steps.sort_by_key(|step| step.from);
        for (at, step) in self.steps.iter().enumerate() {
            let version = self.version;
            if step.from == 0 || step.from >= version {
                let why = match version {
                    1 => "it has version 1, the first: raise it, `version = 2`".to_owned(),
                    _ => format!("it has version {version}, so steps start from 1 to {}", version - 1),
                };
                errors.on(
                    step.span,
                    format!("a step leads from a former version of the model to the next one; {why}"),
                );
            }
            if self.steps[..at].iter().any(|other| other.from == step.from) {
                errors.on(step.span, format!("there are two steps from version {}", step.from));
            }
        }
    }

    /// Rows are looked for by the rows that they refer to: such a field has an index, unless another begins with it.
    fn index_associations(&self, indexes: &mut Vec<Index>) {
        let first_of_key = self.stored().position(|field| field.key.is_some());
        for (at, field) in self.stored().enumerate() {
            let referring = field.association.as_ref().is_some_and(|of| of.is_one() && !of.unindexed);
            let led = indexes.iter().any(|index| index.fields.first() == Some(&at));
            if referring && !led && first_of_key != Some(at) {
                let tokens = association::place(field);
                indexes.push(Index { name: field.name.clone(), fields: vec![at], unique: false, tokens });
            }
        }
    }

    /// The associations with their fields, by rising number: those that are stored first.
    fn associations(&self) -> impl Iterator<Item = (u16, &Field, &Association)> {
        let stored = self
            .stored()
            .enumerate()
            .filter_map(|(at, field)| Some((at, field, field.association.as_ref()?)));
        let derived = self.fields.iter().filter_map(|field| Some((field, field.association.as_ref()?)));
        let derived = derived.filter(|(_, association)| !association.is_stored());
        let beyond = self.stored().count();
        let derived =
            derived.enumerate().map(move |(n, (field, association))| (beyond + n, field, association));
        let number = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        stored.chain(derived).map(move |(at, field, association)| (number(at), field, association))
    }

    fn position(&self, name: &Ident, errors: &mut Errors) -> Option<usize> {
        let found = self.stored().position(|field| field.name == bare(name));
        if found.is_none() {
            let known: Vec<_> = self.stored().map(|field| field.name.as_str()).collect();
            let skipped = self.fields.iter().any(|field| field.name == bare(name));
            let why = if skipped { "; it is skipped".to_owned() } else { suggest(&bare(name), &known) };
            errors.at(name, format!("there is no stored field `{name}`{why}"));
        }
        found
    }

    /// The tokens of the stored fields, and those of the associations that are not stored.
    fn token_names(&self, errors: &mut Errors) -> Vec<Ident> {
        let prefix = self.tokens.as_ref().map(|prefix| prefix.value().to_uppercase()).unwrap_or_default();
        let mut names: Vec<(String, &Field)> = Vec::new();
        let derived = self.associations().filter(|(.., association)| !association.is_stored());
        for field in self.stored().chain(derived.map(|(_, field, _)| field)) {
            let name = format!("{prefix}{}", case::token(&field.name));
            if let Some((_, other)) = names.iter().find(|(taken, _)| *taken == name) {
                errors.on(
                    field.span,
                    format!(
                        "the fields `{}` and `{}` would both have the token `{name}`: rename one",
                        other.name, field.name
                    ),
                );
            }
            names.push((name, field));
        }
        let ident = |(name, field): &(String, &Field)| match syn::parse_str::<Ident>(name) {
            Ok(_) => Some(Ident::new(name, field.span)),
            Err(_) => None,
        };
        let idents: Option<Vec<_>> = names.iter().map(ident).collect();
        idents.unwrap_or_else(|| {
            match &self.tokens {
                Some(prefix) => errors.at(prefix, "the prefix and a field's name have to make an identifier"),
                None => errors.at(
                    self.ident,
                    "a field's token would not be an identifier: give them a prefix, `tokens = \"…\"`",
                ),
            }
            Vec::new()
        })
    }

    fn expand(
        &self,
        (key, key_kind): &(Vec<usize>, &str),
        indexes: &[Index],
        tokens: &[Ident],
    ) -> TokenStream {
        let (ident, larder, rules) = (self.ident, &self.container.larder(), &self.container.rules);
        let name = self.name.as_ref().map_or_else(|| bare(ident), LitStr::value);
        let version = self.version;
        let dialects = mentioned(rules, &self.fields);
        let defs = self.stored().map(|field| field.def(rules, &dialects, larder));
        let key_kind = Ident::new(key_kind, Span::call_site());
        let key_def = if key.is_empty() { quote!() } else { quote!(&[#(#key),*]) };
        let index_defs = indexes.iter().map(
            |Index {
                 name, fields, unique, ..
             }| {
                quote!(#larder::IndexDef { name: #name, fields: &[#(#fields),*], unique: #unique })
            },
        );
        let migrations = self.steps.iter().map(|step| step.expand(larder));
        let checks = self.checks(&key_kind, larder);
        let stored: Vec<_> = self.stored().collect();
        let conflict = conflict::expand(self.conflict.as_ref(), &stored, larder);
        let flat = dialect::flat_checks(&stored, &quote!(__SCHEMA), larder);
        let (computed, via) = (self.computed(larder), self.via(larder));
        let (validate, validates) = validate::expand(ident, self.validate.as_ref(), &self.fields, larder);
        let shown = self.stored().enumerate().map(|(at, field)| {
            let member = &field.member;
            let show = field.show(&quote!(&self.#member), larder);
            quote!(#at => #show)
        });
        let taken = self.taken(larder);
        let consts = self.stored().zip(tokens).enumerate().map(|(at, (field, token))| {
            let (vis, ty, at) = (&field.vis, field.datum(larder), u16::try_from(at).unwrap_or(u16::MAX));
            let doc = format!("The field `{}`.", field.name);
            quote!(#[doc = #doc] #vis const #token: #larder::Field<#ident, #ty> = #larder::Field::at(#at);)
        });
        let associations = self.associations().map(|(at, field, association)| {
            let names = |dialect: &str| field.is_derived().then(|| field.names(rules, dialect));
            let target = &association.target;
            let dialects = wire::expand(&field.special, names, &field.name, &dialects, target, larder);
            association.def(ident, field, at, &dialects, larder)
        });
        let derived = self.associations().filter(|(.., association)| !association.is_stored());
        let tokens_beyond = tokens.iter().skip(self.stored().count());
        let assoc_consts = derived.zip(tokens_beyond).map(|((at, field, association), token)| {
            let (vis, ty) = (&field.vis, association.token_type(ident, larder));
            let doc = format!("The association `{}`.", field.name);
            quote!(#[doc = #doc] #vis const #token: #ty = #larder::Assoc::at(#at);)
        });
        let keys: Vec<_> = self.stored().filter(|field| field.key.is_some()).collect();
        let keyed = association::keyed(ident, &keys, larder);
        quote! {
            const _: () = {
                static __SCHEMA: #larder::Schema = #larder::Schema {
                    model: #name,
                    version: #version,
                    fields: &[#(#defs),*],
                    key: #larder::KeyDef::#key_kind(#key_def),
                    indexes: &[#(#index_defs),*],
                    migrations: &[#(#migrations),*],
                    associations: &[#(#associations),*],
                    conflict: #conflict,
                    validate: #validates,
                    fits: #larder::Some(|__row| #larder::with_model::<#ident, ()>(__row, |_| #larder::Ok(()))),
                    computed: &[#(#computed),*],
                    via: &[#(#via),*],
                };

                #checks

                #flat

                #validate

                #[automatically_derived]
                impl #larder::Row for #ident {
                    fn field(&self, i: usize) -> #larder::Result<#larder::ValueRef<'_>, #larder::Fault> {
                        #larder::Ok(match i {
                            #(#shown,)*
                            _ => return #larder::Err(#larder::Fault::NoSuchField),
                        })
                    }

                    fn as_any(&self) -> #larder::Option<&dyn #larder::Any> {
                        #larder::Some(self)
                    }
                }

                #[automatically_derived]
                impl #larder::Model for #ident {
                    fn schema() -> &'static #larder::Schema {
                        &__SCHEMA
                    }

                    fn from_row(__row: &dyn #larder::Row) -> #larder::Result<Self, #larder::Error> {
                        #larder::Ok(Self { #(#taken),* })
                    }
                }

                #keyed
            };

            #[automatically_derived]
            #[allow(missing_docs, dead_code, unreachable_pub, reason = "tokens are as visible as their fields")]
            impl #ident {
                #(#consts)*
                #(#assoc_consts)*
            }
        }
    }

    /// The values that are made of a row, as `ComputedDef`s.
    fn computed(&self, larder: &TokenStream) -> Vec<TokenStream> {
        let ident = self.ident;
        let defs = self.container.computed.iter().map(|(dialect, Computed { name, with })| {
            let make =
                quote_spanned!(located(with)=> |__model: &#ident| #larder::write_computed(#with(__model)));
            quote! {
                #larder::ComputedDef {
                    dialect: #dialect,
                    name: #name,
                    write: |__row| #larder::with_model::<#ident, _>(__row, #make),
                }
            }
        });
        defs.collect()
    }

    /// The other shapes of whole rows, as `ViaDef`s with their dialects.
    fn via(&self, larder: &TokenStream) -> Vec<TokenStream> {
        let ident = self.ident;
        let defs = self.container.conversions.iter().filter_map(|(dialect, conversion)| {
            let Conversion::Via(ty) = conversion else { return None };
            let (write, read) = (
                quote_spanned!(located(ty)=> #larder::via_write_row::<#ident, #ty>),
                quote_spanned!(located(ty)=> #larder::via_read_row::<#ident, #ty>),
            );
            Some(quote!((#dialect, #larder::ViaDef { write: #write, read: #read })))
        });
        defs.collect()
    }

    fn taken(&self, larder: &TokenStream) -> Vec<TokenStream> {
        let mut at = 0_usize;
        let mut taken = Vec::new();
        for field in &self.fields {
            let member = &field.member;
            if field.skip.is_some() {
                let value = field.unstored();
                taken.push(quote!(#member: #value));
                continue;
            }
            taken.push(field.taken(at, larder));
            at += 1;
        }
        taken
    }

    /// What can be told only where types are known: asserted when the code is compiled.
    fn checks(&self, key_kind: &Ident, larder: &TokenStream) -> TokenStream {
        let checks = self.stored().filter(|field| field.key.is_some()).map(|field| {
            let (name, kind) = (&field.name, field.kind(larder));
            let (fits, why) = if key_kind == "client" {
                (quote!(is_uuid), format!("`{name}` can't be a key that is made here: its type is not a uuid"))
            } else if key_kind == "server" {
                let why = format!(
                    "`{name}` can't be a key that the server gives: such a key is an integer of at least 32 bits, a \
                     string or a uuid"
                );
                (quote!(is_server_key), why)
            } else {
                let why = format!("`{name}` can't be a key: a key is a bool, integer, string, bytes, uuid, timestamp or date");
                (quote!(is_key), why)
            };
            quote_spanned!(located(&field.ty)=> const _: () = ::core::assert!(#larder::Kind::#fits(&#kind), #why);)
        });
        quote!(#(#checks)*)
    }
}

/// The name without `r#`.
pub(crate) fn bare(ident: &Ident) -> String {
    syn::ext::IdentExt::unraw(ident).to_string()
}
