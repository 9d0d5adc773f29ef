//! JSON pointers (RFC 6901), in which `*` stands for every element of a list.

use serde_json::{Map, Value as Json_};

use crate::error::{Error, ErrorKind, Result};

/// Where a path leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    One(&'a Json_),
    /// Through a list.
    Many(Vec<&'a Json_>),
}

/// Follows `path`; `None` if it leads nowhere.
///
/// # Errors
/// `Serialization` if it leads on from some elements of a list and not from others.
pub(super) fn find<'a>(object: &'a Map<String, Json_>, path: &str) -> Result<Option<Found<'a>>> {
    let mut steps = path.split('/').skip(1);
    let Some(first) = steps.next().and_then(|step| object.get(&plain(step))) else {
        return Ok(None);
    };
    let rest: Vec<&str> = steps.collect();
    follow(first, &rest)
}

fn follow<'a>(json: &'a Json_, steps: &[&str]) -> Result<Option<Found<'a>>> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(Some(Found::One(json)));
    };
    if *step == "*" {
        let Json_::Array(elements) = json else {
            return Ok(None);
        };
        let mut all = Vec::with_capacity(elements.len());
        for (i, element) in elements.iter().enumerate() {
            match follow(element, rest)? {
                Some(Found::One(json)) => all.push(json),
                Some(Found::Many(many)) => all.extend(many),
                None => {
                    let what = format!("the path leads nowhere from element {i} of the list");
                    return Err(Error::new(ErrorKind::Serialization, what));
                }
            }
        }
        return Ok(Some(Found::Many(all)));
    }
    let next = match json {
        Json_::Object(members) => members.get(&plain(step)),
        Json_::Array(elements) => step.parse::<usize>().ok().and_then(|at| elements.get(at)),
        _ => None,
    };
    next.map_or(Ok(None), |next| follow(next, rest))
}

fn plain(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The member that a path begins with.
pub(super) fn head(path: &str) -> Option<String> {
    path.split('/').nth(1).map(plain)
}

/// A path as errors show it.
pub(super) fn shown(path: &str) -> String {
    let steps = path.split('/').skip(1).map(plain);
    steps.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<&Found<'_>>) {
        let json = json!({
            "owner": { "id": 7, "a/b": { "~": true } },
            "labels": [{ "id": 1 }, { "id": 2 }],
            "empty": [],
            "none": null
        });
        let Json_::Object(object) = &json else { unreachable!("an object of the test") };
        assert_eq!(find(object, path).expect("a path of the test").as_ref(), expected);
    }

    #[test]
    fn paths_lead_through_objects_and_lists() {
        let (seven, one, two, yes) = (json!(7), json!(1), json!(2), json!(true));
        check("/owner/id", Some(&Found::One(&seven)));
        check("/labels/1/id", Some(&Found::One(&two)));
        check("/labels/*/id", Some(&Found::Many(vec![&one, &two])));
        check("/owner/a~1b/~0", Some(&Found::One(&yes)));
        check("/empty/*/id", Some(&Found::Many(Vec::new())));
        check("/none", Some(&Found::One(&Json_::Null)));
        for nowhere in ["/owner/name", "/owner/id/more", "/labels/9/id", "/none/id", "/none/*/id", "/"] {
            check(nowhere, None);
        }
    }

    #[test]
    fn an_element_without_the_rest_of_the_path_is_an_error() {
        let json = json!({ "labels": [{ "id": 1 }, {}] });
        let Json_::Object(object) = &json else { unreachable!("an object of the test") };
        assert!(find(object, "/labels/*/id").expect_err("no id").to_string().contains("element 1"));
    }
}
