//! Templates of paths: literal text with holes for the key and for fields, each filled with one encoded value.

use larder_core::{Error, ErrorKind, Key, Kind, Result, Schema, Timestamp, Value};
use percent_encoding::percent_decode_str;

use crate::codec::text;
use crate::error::invalid;
use crate::query::{Params, encode};

/// What a template can know when it is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The fields that a query fixes.
    List,
    /// The key.
    Key,
    /// The key and the whole row.
    Row,
}

/// A place that is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// A part of the key.
    Key(usize),
    /// The field at that position.
    Field(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(String),
    Hole(Hole),
}

/// A path with holes, checked against a model.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    text: String,
    segments: Vec<Vec<Piece>>,
    query: Vec<Piece>,
}

impl Template {
    /// Reads a template such as `/orgs/{org}/users/{key}?full=true`.
    pub(crate) fn compile(text: &str, schema: &'static Schema, scope: Scope) -> Result<Self> {
        let wrong = |why: String| invalid(format!("the template `{text}` {why}")).model(schema.model);
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let path = path.strip_prefix('/').unwrap_or(path);
        let read = |part: &str| pieces(part, schema, scope).map_err(&wrong);
        let segments = path.split('/').map(read).collect::<Result<Vec<_>>>()?;
        for (at, segment) in segments.iter().enumerate() {
            match segment.as_slice() {
                // A slash at the end is part of some servers' names.
                [] if at + 1 < segments.len() => return Err(wrong("has an empty segment".to_owned())),
                [Piece::Literal(literal)] if is_dots(literal) => {
                    return Err(wrong("has `.` or `..` for a segment".to_owned()));
                }
                _ => {}
            }
        }
        Ok(Self { text: text.to_owned(), segments, query: read(query)? })
    }

    /// The template as it was written, for traces.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True if it names the key, or a part of it.
    pub(crate) fn names_key(&self) -> bool {
        let mut pieces = self.segments.iter().flatten().chain(&self.query);
        pieces.any(|piece| matches!(piece, Piece::Hole(Hole::Key(_))))
    }

    /// The fields that have to be known.
    pub(crate) fn fields(&self) -> impl Iterator<Item = usize> + '_ {
        self.segments.iter().flatten().chain(&self.query).filter_map(|piece| match piece {
            Piece::Hole(Hole::Field(at)) => Some(*at),
            _ => None,
        })
    }

    /// Fills the holes. No value leaves its segment: it is encoded whole, and one that would make the segment `.` or
    /// `..`, which servers and proxies resolve, is refused like an empty one.
    pub(crate) fn fill(&self, mut value: impl FnMut(Hole) -> Result<String>) -> Result<(String, Params)> {
        let mut path = String::new();
        for segment in &self.segments {
            let filled = join(segment, &mut value)?;
            if is_dots(&filled) {
                return Err(invalid(format!(
                    "`{filled}` can't stand in the path: it would leave its segment"
                )));
            }
            path.push('/');
            path.push_str(&filled);
        }
        Ok((path, Params::parse(&join(&self.query, &mut value)?)))
    }
}

fn is_dots(segment: &str) -> bool {
    let plain = percent_decode_str(segment).decode_utf8_lossy();
    plain == "." || plain == ".."
}

fn join(pieces: &[Piece], value: &mut impl FnMut(Hole) -> Result<String>) -> Result<String> {
    let mut joined = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => joined.push_str(literal),
            Piece::Hole(hole) => {
                let value = value(*hole)?;
                if value.is_empty() {
                    return Err(invalid("an empty value can't stand in a path"));
                }
                joined.push_str(&encode(&value));
            }
        }
    }
    Ok(joined)
}

fn pieces(text: &str, schema: &'static Schema, scope: Scope) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, inside)) = rest.split_once('{') {
        push_literal(&mut pieces, literal)?;
        let (name, after) = inside.split_once('}').ok_or("has a `{` without its `}`")?;
        pieces.push(Piece::Hole(hole(name, schema, scope)?));
        rest = after;
    }
    push_literal(&mut pieces, rest)?;
    Ok(pieces)
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &str) -> Result<(), String> {
    if let Some(odd) = literal.chars().find(|char| !char.is_ascii_graphic() || "\"#<>\\^`{|}".contains(*char))
    {
        return Err(format!("has a {odd:?}, which has to be percent-encoded"));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.to_owned()));
    }
    Ok(())
}

fn hole(name: &str, schema: &'static Schema, scope: Scope) -> Result<Hole, String> {
    let parts = schema.key.fields.len();
    let part = match name.split_once('.') {
        // In a list, which has no key, it can only be a field of that name.
        None if name == "key" && (scope != Scope::List || schema.position("key").is_none()) => Some(None),
        Some(("key", part)) => Some(part.parse::<usize>().ok().filter(|part| *part < parts)),
        _ => None,
    };
    if let Some(part) = part {
        return match (scope, part, parts) {
            (Scope::List, ..) => Err(format!("names `{{{name}}}`, but a list has no key")),
            (_, Some(part), _) => Ok(Hole::Key(part)),
            (_, None, 1) if name == "key" => Ok(Hole::Key(0)),
            (_, None, 0) => Err(format!("names `{{{name}}}`, but the model has one row and no key")),
            (_, None, _) => {
                Err(format!("names `{{{name}}}`, but the key has {parts} parts: `{{key.0}}` and so on"))
            }
        };
    }
    let Some(position) = schema.position(name) else {
        let known: Vec<_> = schema.fields.iter().map(|field| field.name).collect();
        return Err(format!(
            "names `{{{name}}}`, which is neither `key` nor a field; the fields are {}",
            known.join(", ")
        ));
    };
    let special = schema.fields[position].dialect(larder_core::dialect::json::DIALECT);
    if !is_scalar(&schema.fields[position].kind) && special.is_none_or(|special| special.convert.is_none()) {
        return Err(format!("names `{{{name}}}`, which is not a scalar"));
    }
    match (scope, schema.key.fields.iter().position(|at| *at == position)) {
        (Scope::List, _) | (Scope::Row, None) => Ok(Hole::Field(position)),
        (Scope::Key | Scope::Row, Some(part)) => Ok(Hole::Key(part)),
        (Scope::Key, None) => {
            Err(format!("names `{{{name}}}`, but a read by key and a delete know nothing but the key"))
        }
    }
}

fn is_scalar(kind: &'static Kind) -> bool {
    match kind.inner() {
        Kind::List(_) | Kind::Map(..) | Kind::Struct(_) => false,
        Kind::Enum(def) => def.is_unit(),
        _ => true,
    }
}

/// A part of a key as text, as JSON would write the field.
pub(crate) fn key_text(schema: &'static Schema, key: &Key, part: usize) -> Result<String> {
    let (parts, fields) = (key.parts(), schema.key.fields);
    let (Some(value), Some(position), true) =
        (parts.get(part), fields.get(part), parts.len() == fields.len())
    else {
        return Err(invalid(format!("the key has {} parts, the model's {}", parts.len(), fields.len())));
    };
    let field = &schema.fields[*position];
    let value = match (field.kind.inner(), value) {
        (Kind::Time, Key::Int(nanoseconds)) => {
            let at = Timestamp::from_nanosecond(*nanoseconds);
            Value::Time(at.map_err(|error| invalid("the key is no moment").because(error))?)
        }
        (_, other) => other.to_value(),
    };
    let text = text(field, value.show()).map_err(|error| error.at(field.name))?;
    text.ok_or_else(|| Error::new(ErrorKind::Invalid, "null can't be a key").at(field.name))
}

#[cfg(test)]
mod tests;
