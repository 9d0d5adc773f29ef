//! What can be told of a type by looking at it. The rest is asserted by the generated code, where types are known.

use syn::visit::Visit;
use syn::{GenericArgument, PathArguments, PathSegment, Type, TypePath};

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
    fn options_of_options_are_found_at_any_depth() {
        assert_eq!(double_options(&ty("Option<Option<u8>>")).len(), 1);
        assert_eq!(
            double_options(&ty("Vec<(Option<Option<u8>>, Option<std::option::Option<u8>>)>")).len(),
            2
        );
        assert!(double_options(&ty("Option<Vec<Option<u8>>>")).is_empty());
    }
}
