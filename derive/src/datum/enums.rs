//! Enums, with and without data.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{DataEnum, Expr, ExprLit, ExprUnary, Fields, Ident, Lit, UnOp};

use super::{Tags, bind, take};
use crate::attr::{Words, string};
use crate::case::Case;
use crate::container::Container;
use crate::convert;
use crate::dialect::{self, ANY, Collisions, Names, PerDialect, Rules, Special};
use crate::errors::Errors;
use crate::field::{Field, Place, located, mentioned, read_all, refuse_recursion};

const WORDS: Words =
    Words { place: "a variant", once: &["rename", "json", "row"], often: &["alias", "dialect"] };
const IN_DIALECT: Words = Words { place: "a variant in a dialect", once: &["name", "rename"], often: &[] };

/// A variant, read.
struct Variant<'a> {
    ident: &'a Ident,
    /// The Rust name, without `r#`.
    name: String,
    special: PerDialect<Special>,
    tuple: bool,
    /// The discriminant.
    number: Option<&'a Expr>,
    fields: Vec<Field>,
}

/// How the variants of an enum are told apart.
enum Tagging {
    Number(Vec<TokenStream>),
    External,
    Internal(String),
    Adjacent(String, String),
}

pub(super) fn derive(
    ident: &Ident,
    container: &Container,
    tags: Tags,
    data: &DataEnum,
    mut errors: Errors,
) -> TokenStream {
    let variants: Vec<_> =
        data.variants.iter().map(|variant| Variant::read(variant, container, &mut errors)).collect();
    refuse_recursion(ident, variants.iter().flat_map(|variant| &variant.fields), &mut errors);
    refuse_collisions(&variants, &container.rules, &mut errors);
    let tagging = tagging(tags, &variants, container, &mut errors);
    let larder = container.larder();
    errors.or(|| expand(ident, container, &tagging, &variants, &larder))
}

impl<'a> Variant<'a> {
    fn read(variant: &'a syn::Variant, container: &Container, errors: &mut Errors) -> Self {
        let mut special = PerDialect::<Special>::default();
        WORDS.of_attrs(&variant.attrs, errors, |word, meta, errors| match word {
            "rename" | "alias" => special.any.read(ANY, word, meta, errors),
            _ => dialect::read(word, meta, &IN_DIALECT, &mut special, errors, |own, _, _, meta, errors| {
                own.rename = string(meta, errors);
            }),
        });
        let tuple = matches!(variant.fields, Fields::Unnamed(_));
        let place = if tuple { Place::Tuple } else { Place::Value };
        Self {
            ident: &variant.ident,
            name: variant.ident.unraw().to_string(),
            special,
            tuple,
            number: variant.discriminant.as_ref().map(|(_, number)| number),
            fields: read_all(&variant.fields, place, &container.field_rules, errors),
        }
    }

    fn stored(&self) -> Vec<&Field> {
        self.fields.iter().filter(|field| field.skip.is_none()).collect()
    }

    fn names(&self, rules: &Rules, dialect: &str) -> Names {
        dialect::resolve(&self.name, self.ident.span(), &self.special, rules, dialect, Case::of_variant)
    }

    fn def(&self, container: &Container, dialects: &[&str], larder: &TokenStream) -> TokenStream {
        let (name, tuple) = (&self.name, self.tuple);
        let mut names = Vec::new();
        for dialect in dialects {
            let own = self.names(&container.rules, dialect).name;
            if own != *name || !names.is_empty() {
                names.push(quote!((#dialect, #own)));
            }
        }
        let alias = self.special.any.alias.iter();
        let rules = &container.field_rules;
        let field_dialects = mentioned(rules, &self.fields);
        let fields = self.stored().into_iter().map(|field| field.def(rules, &field_dialects, larder));
        quote! {
            #larder::VariantDef {
                name: #name,
                names: &[#(#names),*],
                alias: &[#(#alias),*],
                fields: &[#(#fields),*],
                tuple: #tuple,
            }
        }
    }
}

fn refuse_collisions(variants: &[Variant<'_>], rules: &Rules, errors: &mut Errors) {
    let mut collisions = Collisions::default();
    for dialect in dialect::mentioned(rules, variants.iter().map(|variant| &variant.special)) {
        let all: Vec<_> =
            variants.iter().map(|variant| (variant.name.as_str(), variant.names(rules, dialect))).collect();
        collisions.refuse("variants", dialect, &all, errors);
    }
}

fn tagging(tags: Tags, variants: &[Variant<'_>], container: &Container, errors: &mut Errors) -> Tagging {
    let Tags { tag, content, by_number } = tags;
    let has_data = variants.iter().any(|variant| !variant.stored().is_empty());
    if let Some(span) = by_number {
        if has_data {
            errors.on(span, "an enum with data can't be stored by index: give it a `tag`");
            return Tagging::External;
        }
        if let Some(written) = tag.as_ref().or(content.as_ref()) {
            errors.at(
                written,
                "an enum that is stored by index is written as a number: it has no tag and no content",
            );
        }
        return numbers(variants, errors);
    }
    if let Some(written) = tag.as_ref().or(content.as_ref())
        && !has_data
    {
        errors.at(
            written,
            "an enum without data is written as the name of its variant: it has no tag and no content",
        );
        return Tagging::External;
    }
    let Some(tag) = tag else {
        if let Some(content) = content {
            errors.at(content, "`content` needs a `tag` beside it: `tag = \"type\", content = \"value\"`");
        }
        return Tagging::External;
    };
    if let Some(content) = content {
        if tag.value() == content.value() {
            errors.at(&content, format!("tag and content are both called `{}`", content.value()));
        }
        return Tagging::Adjacent(tag.value(), content.value());
    }
    for variant in variants {
        if variant.tuple && variant.fields.len() != 1 {
            errors.at(
                variant.ident,
                "only a variant with one value or with names has a place for the tag: name its fields, or give the enum a `content`",
            );
        }
        for field in variant.stored().into_iter().filter(|_| !variant.tuple) {
            let names = field.names(&container.field_rules, "json");
            if let Some((_, span)) = names.all().find(|(name, _)| *name == tag.value()) {
                errors.on(span, format!("the field is called `{}` in JSON, as the tag is", tag.value()));
            }
        }
    }
    Tagging::Internal(tag.value())
}

/// The numbers of all variants. They have to be written down: a variant that is moved or inserted would else change
/// what is meant by what is stored.
fn numbers(variants: &[Variant<'_>], errors: &mut Errors) -> Tagging {
    let mut numbers = Vec::new();
    for variant in variants {
        match variant.number.map(literal) {
            Some(Ok(number)) => numbers.push(Literal::i128_suffixed(number).into_token_stream()),
            Some(Err(_)) => errors.at(variant.number, "the number of a stored variant has to be a literal"),
            None => errors.at(
                variant.ident,
                format!(
                    "a variant that is stored by its number needs one that stays: write it beside the name, `{} = …`",
                    variant.name
                ),
            ),
        }
    }
    Tagging::Number(numbers)
}

fn literal(expr: &Expr) -> syn::Result<i128> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse(),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => literal(expr).map(|number| -number),
        other => Err(syn::Error::new_spanned(other, "no number")),
    }
}

fn expand(
    ident: &Ident,
    container: &Container,
    tagging: &Tagging,
    variants: &[Variant<'_>],
    larder: &TokenStream,
) -> TokenStream {
    let name = ident.to_string();
    let dialects = dialect::mentioned(&container.rules, variants.iter().map(|variant| &variant.special));
    let defs = variants.iter().map(|variant| variant.def(container, &dialects, larder));
    let (tagged, checks) = match tagging {
        Tagging::Number(numbers) => (quote!(Number(&[#(#numbers),*])), quote!()),
        Tagging::External => (quote!(External), quote!()),
        Tagging::Internal(tag) => (quote!(Internal { tag: #tag }), tagged_newtypes(tag, variants, larder)),
        Tagging::Adjacent(tag, content) => (quote!(Adjacent { tag: #tag, content: #content }), quote!()),
    };
    let has_data = variants.iter().any(|variant| !variant.stored().is_empty());
    let (show, taken, view) = if has_data {
        (
            quote!(#larder::ValueRef::Variant(#larder::Nested::Live(self))),
            take_variant(variants, larder),
            view(ident, variants, larder),
        )
    } else if let Tagging::Number(numbers) = tagging {
        let shown = variants.iter().zip(numbers).map(|(variant, number)| {
            let ident = variant.ident;
            quote!(Self::#ident { .. } => #number,)
        });
        let show = quote!(#larder::ValueRef::Int(match self { #(#shown)* }));
        (show, take_number(variants, numbers, larder), quote!())
    } else {
        let names = names(variants);
        (quote!(#larder::ValueRef::Str(match self { #names })), take_name(variants, larder), quote!())
    };
    let kind = quote!(#larder::Kind::Enum(&__SHAPE_THAT_MUST_NOT_CONTAIN_ITSELF));
    let kind = convert::kind(ident, container, kind, larder);
    quote! {
        const _: () = {
            static __SHAPE_THAT_MUST_NOT_CONTAIN_ITSELF: #larder::EnumDef = #larder::EnumDef {
                name: #name,
                variants: &[#(#defs),*],
                tagging: #larder::Tagging::#tagged,
            };

            #checks

            #[automatically_derived]
            impl #larder::Datum for #ident {
                const KIND: #larder::Kind = #kind;

                fn show(&self) -> #larder::ValueRef<'_> {
                    #show
                }

                fn take(__value: #larder::ValueRef<'_>) -> #larder::Result<Self, #larder::Fault> {
                    #taken
                }
            }

            #view
        };
    }
}

/// Match arms from the enum to the names of its variants.
fn names(variants: &[Variant<'_>]) -> TokenStream {
    let arms = variants.iter().map(|Variant { ident, name, .. }| quote!(Self::#ident { .. } => #name,));
    quote!(#(#arms)*)
}

fn take_name(variants: &[Variant<'_>], larder: &TokenStream) -> TokenStream {
    let arms = variants.iter().map(|variant| {
        let (ident, name, fields) = (variant.ident, &variant.name, take(&variant.fields, larder));
        quote!(#name => Self::#ident { #(#fields),* },)
    });
    quote! {
        let #larder::ValueRef::Str(__name) = __value else {
            return #larder::Err(__value.mismatch("the name of a variant"));
        };
        #larder::Ok(match __name {
            #(#arms)*
            _ => return #larder::Err(#larder::Fault::Variant),
        })
    }
}

fn take_number(variants: &[Variant<'_>], numbers: &[TokenStream], larder: &TokenStream) -> TokenStream {
    let arms = variants.iter().zip(numbers).map(|(variant, number)| {
        let (ident, fields) = (variant.ident, take(&variant.fields, larder));
        quote!(#number => Self::#ident { #(#fields),* },)
    });
    quote! {
        let #larder::ValueRef::Int(__number) = __value else {
            return #larder::Err(__value.mismatch("the number of a variant"));
        };
        #larder::Ok(match __number {
            #(#arms)*
            _ => return #larder::Err(#larder::Fault::Variant),
        })
    }
}

fn take_variant(variants: &[Variant<'_>], larder: &TokenStream) -> TokenStream {
    let arms = variants.iter().map(|variant| {
        let (ident, name) = (variant.ident, &variant.name);
        let (bound, fields) = (bind(&variant.stored(), larder), take(&variant.fields, larder));
        quote! {
            #name => {
                #bound
                Self::#ident { #(#fields),* }
            }
        }
    });
    quote! {
        let #larder::ValueRef::Variant(__nested) = __value else {
            return #larder::Err(__value.mismatch("an enum variant"));
        };
        let #larder::Some(__name) = #larder::Nested::variant(__nested)? else {
            return #larder::Err(#larder::Fault::Variant);
        };
        #larder::Ok(match __name {
            #(#arms)*
            _ => return #larder::Err(#larder::Fault::Variant),
        })
    }
}

fn view(ident: &Ident, variants: &[Variant<'_>], larder: &TokenStream) -> TokenStream {
    let names = names(variants);
    let lens = variants.iter().map(|variant| {
        let (ident, count) = (variant.ident, variant.stored().len());
        quote!(Self::#ident { .. } => #count,)
    });
    let shown = variants.iter().map(|variant| {
        let (ident, stored) = (variant.ident, variant.stored());
        let bindings = stored.iter().map(|field| {
            let (member, binding) = (&field.member, field.binding());
            quote!(#member: #binding)
        });
        let shows = stored.iter().map(|field| {
            let binding = field.binding();
            field.show(&quote!(#binding), larder)
        });
        quote! {
            Self::#ident { #(#bindings,)* .. } => {
                #(__f(#larder::Item::Value(#shows))?;)*
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl #larder::View for #ident {
            fn len(&self) -> usize {
                match self { #(#lens)* }
            }

            fn each<'a>(&'a self, __f: #larder::value::Each<'a, '_>) -> #larder::Result<(), #larder::Fault> {
                match self { #(#shown)* }
                #larder::Ok(())
            }

            fn variant(&self) -> #larder::Option<&str> {
                #larder::Some(match self { #names })
            }
        }
    }
}

/// An internally tagged newtype variant holds a struct: the tag goes among its fields. Told where types are known.
fn tagged_newtypes(tag: &str, variants: &[Variant<'_>], larder: &TokenStream) -> TokenStream {
    let checks = variants.iter().filter(|variant| variant.tuple).map(|variant| {
        let field = &variant.fields[0];
        let kind = field.kind(larder);
        let why = format!("a variant that is tagged by `{tag}` within itself has to hold a struct without a field of that name");
        quote_spanned!(located(&field.ty)=> const _: () = ::core::assert!(#larder::Kind::takes_tag(&#kind, #tag), #why);)
    });
    quote!(#(#checks)*)
}
