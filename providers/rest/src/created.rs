//! The key of a created row, from where the server says that the row is.

use http::HeaderMap;
use http::header::LOCATION;
use larder_core::{KeyKind, Kind, Mutation, Operation, Schema, Value};
use percent_encoding::percent_decode_str;

/// The position of the key field, and the key that the last segment of the header `Location` is; `None` if there is no
/// such header, or its last segment is no key of the model. It is for keys that the server gives: others are known.
pub(crate) fn key_in_location(mutation: &Mutation, headers: &HeaderMap) -> Option<(usize, Value)> {
    let Mutation { schema, operation: Operation::Insert, .. } = mutation else { return None };
    let Schema { key, fields, .. } = schema;
    let ([at], KeyKind::Server) = (key.fields, key.kind) else { return None };
    let place = headers.get(LOCATION)?.to_str().ok()?;
    let path = place.split(['?', '#']).next()?.trim_end_matches('/');
    let segment = path.rsplit('/').next().filter(|segment| !segment.is_empty())?;
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    let value = match fields.get(*at)?.kind.inner() {
        Kind::Int(of) => {
            let (low, high) = of.range();
            text.parse().ok().filter(|number| (low..=high).contains(number)).map(Value::Int)?
        }
        Kind::Str => Value::Str(text.as_ref().into()),
        Kind::Uuid => Value::Uuid(text.parse().ok()?),
        _ => return None,
    };
    Some((*at, value))
}
