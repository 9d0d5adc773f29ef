//! What can be told of a type by looking at it. The rest is asserted by the generated code, where types are known.

use syn::visit::Visit;
use syn::{GenericArgument, Ident, PathArguments, PathSegment, Type, TypePath};

/// The last segment of a type's path.
fn last(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(TypePath { path, .. }) => path.segments.last(),
        Type::Group(group) => last(&group.elem),
        Type::Paren(paren) => last(&paren.elem),
        _ => None,
    }
}

/// True if the type is called `name`, wherever it is from.
pub(crate) fn is(ty: &Type, name: &str) -> bool {
    last(ty).is_some_and(|segment| segment.ident == name)
}

/// The n-th type argument.
fn argument(ty: &Type) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &last(ty)?.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The type argument of a type that is called `name`.
pub(crate) fn argument_of<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    argument(ty).filter(|_| is(ty, name))
}

/// The model that a `One<T>` or an `Option<One<T>>` refers to.
pub(crate) fn one(ty: &Type) -> Option<&Type> {
    argument_of(argument_of(ty, "Option").unwrap_or(ty), "One")
}

/// Why the type can't be a key, if it is one of those that can't.
pub(crate) fn not_a_key(ty: &Type) -> Option<&'static str> {
    let name = last(ty)?.ident.to_string();
    match name.as_str() {
        "Option" => Some("a key can't be an `Option`: a row without a key could not be found again"),
        "f32" | "f64" => Some("a float can't be a key: NaN equals nothing, itself included"),
        "char" => Some("a `char` can't be a key: use a `String`"),
        "Vec" if argument(ty).is_some_and(|of| is(of, "u8")) => None,
        "Vec" | "HashSet" | "BTreeSet" | "HashMap" | "BTreeMap" => {
            Some("a collection can't be a key: a key is a bool, integer, string, bytes, uuid or timestamp")
        }
        _ => None,
    }
}

/// The parts of a type that can't be stored, each with what to do about it.
pub(crate) fn unsupported(ty: &Type) -> Vec<(&Type, &'static str)> {
    #[derive(Default)]
    struct Find<'a>(Vec<(&'a Type, &'static str)>);

    impl<'a> Visit<'a> for Find<'a> {
        fn visit_type(&mut self, ty: &'a Type) {
            match advice(ty) {
                Some(what) => self.0.push((ty, what)),
                None => syn::visit::visit_type(self, ty),
            }
        }
    }

    let mut find = Find::default();
    find.visit_type(ty);
    find.0
}

/// What to do about a type that can't be stored, if it is one of those that can't.
fn advice(ty: &Type) -> Option<&'static str> {
    Some(match ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            "`()` has no value that could be stored: leave the field out"
        }
        Type::Tuple(_) => {
            "a tuple can't be stored: give its parts names, in a struct with `#[derive(Datum)]`"
        }
        Type::Reference(of) if is(&of.elem, "str") => {
            "a reference can't be stored, as what is read has nothing to borrow from: use a `String`, or an `Arc<str>`"
        }
        Type::Reference(of) if matches!(*of.elem, Type::Slice(_)) => {
            "a reference can't be stored, as what is read has nothing to borrow from: use a `Vec`"
        }
        Type::Reference(_) => {
            "a reference can't be stored, as what is read has nothing to borrow from: use the value itself, or an `Arc`"
        }
        Type::Slice(_) => "a slice can't be stored: use a `Vec`",
        Type::Ptr(_) => "a pointer can't be stored: use the value itself",
        Type::FnPtr(_) => {
            "a function can't be stored: leave the field out with `#[model(skip)]`, or use an enum that names what to do"
        }
        Type::TraitObject(_) | Type::ImplTrait(_) => {
            "which type is behind a trait can't be stored: use an enum with `#[derive(Datum)]`, one variant for each type"
        }
        Type::Never(_) => "a type without values can't be stored: leave the field out",
        Type::Path(_) => return advice_by_name(ty),
        _ => return None,
    })
}

fn advice_by_name(ty: &Type) -> Option<&'static str> {
    Some(match last(ty)?.ident.to_string().as_str() {
        "Rc" | "Weak" => "rows go from thread to thread: use the value itself, or an `Arc`",
        "Cell" | "RefCell" | "Mutex" | "RwLock" | "OnceCell" | "OnceLock" | "LazyLock" => {
            "a model is changed by `repo.update`, and not from within: use the value itself"
        }
        "Instant" => "an `Instant` means nothing after a restart: use a `Timestamp`",
        "SystemTime" | "Zoned" => {
            "a moment is stored as a `Timestamp`: use that; keep a zone in a field beside it"
        }
        "Duration" | "SignedDuration" => {
            "a duration has no agreed form: store its seconds or milliseconds as a number, or name a converter, \
             `#[model(with = \"…\")]`"
        }
        "PathBuf" | "OsString" => "paths are not text everywhere: store a `String`",
        "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet" => return key_advice(argument(ty)?),
        "DateTime" if argument(ty).is_some_and(|zone| is(zone, "Local") || is(zone, "FixedOffset")) => {
            "a moment is stored without its zone: use `DateTime<Utc>`; keep the zone in a field beside it"
        }
        _ => return None,
    })
}

/// Why a type can't be the key of a map or the member of a set.
fn key_advice(ty: &Type) -> Option<&'static str> {
    match last(ty)?.ident.to_string().as_str() {
        "f32" | "f64" => Some(
            "a float can't be the key of a map or the member of a set, as NaN equals nothing: use a `Vec`, or a \
             decimal or integer",
        ),
        _ => None,
    }
}

/// True if the type holds `this`, or `Self`, somewhere; an association holds keys.
pub(crate) fn mentions(ty: &Type, this: &Ident) -> bool {
    struct Find<'a> {
        this: &'a Ident,
        found: bool,
    }

    impl<'a> Visit<'a> for Find<'_> {
        fn visit_type_path(&mut self, ty: &'a TypePath) {
            if ty.path.segments.last().is_some_and(|last| last.ident == "One" || last.ident == "Many") {
                return;
            }
            self.found |= ty.path.get_ident().is_some_and(|name| name == self.this || name == "Self");
            syn::visit::visit_type_path(self, ty);
        }
    }

    let mut find = Find { this, found: false };
    find.visit_type(ty);
    find.found
}

/// The `Option<Option<…>>` within a type.
pub(crate) fn double_options(ty: &Type) -> Vec<&Type> {
    #[derive(Default)]
    struct Find<'a>(Vec<&'a Type>);

    impl<'a> Visit<'a> for Find<'a> {
        fn visit_type(&mut self, ty: &'a Type) {
            if is(ty, "Option") && argument(ty).is_some_and(|of| is(of, "Option")) {
                self.0.push(ty);
            } else {
                syn::visit::visit_type(self, ty);
            }
        }
    }

    let mut find = Find::default();
    find.visit_type(ty);
    find.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(text: &str) -> Type {
        syn::parse_str(text).expect("a type of the test")
    }

    #[test]
    fn keys_are_told_from_what_can_not_be_one() {
        for good in ["Uuid", "uuid::Uuid", "String", "u64", "Vec<u8>", "std::vec::Vec<u8>", "Color"] {
            assert_eq!(not_a_key(&ty(good)), None, "{good}");
        }
        for bad in
            ["Option<u8>", "std::option::Option<u8>", "f64", "f32", "char", "Vec<String>", "HashMap<u8, u8>"]
        {
            assert!(not_a_key(&ty(bad)).is_some(), "{bad}");
        }
    }

    #[test]
    fn what_can_not_be_stored_is_found_at_any_depth() {
        let found = |text: &str| unsupported(&ty(text)).len();
        for good in ["Vec<Option<[u8; 4]>>", "HashMap<String, f64>", "Arc<str>", "DateTime<Utc>", "a::Rich"] {
            assert_eq!(found(good), 0, "{good}");
        }
        assert_eq!(found("Vec<Option<(u8, u8)>>"), 1);
        assert_eq!(found("HashMap<f64, Rc<u8>>"), 1, "what holds it is told, and not its parts as well");
        assert_eq!(found("HashMap<String, Rc<fn()>>"), 1);
        assert_eq!(found("Box<dyn Any>"), 1);
    }

    #[test]
    fn a_type_that_names_itself_is_found() {
        let this: Ident = syn::parse_str("Tree").expect("a name");
        assert!(mentions(&ty("Vec<Option<Box<Tree>>>"), &this));
        assert!(mentions(&ty("Vec<Self>"), &this));
        assert!(!mentions(&ty("other::Tree"), &this));
        assert!(!mentions(&ty("Vec<Leaf>"), &this));
        assert!(!mentions(&ty("Option<One<Tree>>"), &this));
        assert!(!mentions(&ty("larder::Many<Self>"), &this));
    }

    #[test]
    fn options_of_options_are_found_at_any_depth() {
        assert_eq!(double_options(&ty("Option<Option<u8>>")).len(), 1);
        assert_eq!(
            double_options(&ty("Vec<(Option<Option<u8>>, Option<std::option::Option<u8>>)>")).len(),
            2
        );
        assert!(double_options(&ty("Option<Vec<Option<u8>>>")).is_empty());
    }
}
