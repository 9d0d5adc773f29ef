//! Rows to and from the bodies of requests and answers, and values to text in paths and parameters.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, ETAG};
use larder_core::association::resolve::references;
use larder_core::dialect::json::{self, DIALECT, Json};
use larder_core::{
    Brought, Decoded, Enclosed, Error, ErrorKind, FieldDef, Key, KeyKind, Kind, Link, Meta, Misfit, Mutation,
    Operation, PageRow, Record, RemoteVersion, Result, Row, Schema, Sent, Serdes, Timestamp, ValueRef,
};
use serde_json::{Map, Value};

use crate::created::key_in_location;
use crate::credentials::Secrets;
use crate::error::{excerpt, invalid, unfit};
use crate::exchange::Answer;
use crate::route::Route;

/// Where the version of a row stands.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) enum Version {
    /// In the header `ETag` of an answer about one row.
    #[default]
    Etag,
    /// In a member of the row, which is no entity tag.
    Member(String),
    /// In a member of the row, which is the entity tag without its quotes.
    EtagMember(String),
}

/// A field's value as text, as JSON would write it; `None` for null.
///
/// # Errors
/// `Serialization` for what JSON can't express; `Invalid` for a list or an object.
pub(crate) fn text(field: &'static FieldDef, value: ValueRef<'_>) -> Result<Option<String>> {
    match field.dialect(DIALECT).and_then(|special| special.convert) {
        Some(convert) => {
            let written = (convert.write)(value);
            plain(written.map_err(|refusal| Error::new(ErrorKind::Serialization, refusal))?)
        }
        None => element_text(value, &field.kind),
    }
}

/// A value as text; `None` for null.
///
/// # Errors
/// As [`text`].
pub(crate) fn element_text(value: ValueRef<'_>, kind: &'static Kind) -> Result<Option<String>> {
    plain(json::write(value, kind)?)
}

fn plain(json: Value) -> Result<Option<String>> {
    match json {
        Value::Null => Ok(None),
        Value::Bool(truth) => Ok(Some(truth.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::String(text) => Ok(Some(text)),
        Value::Array(_) | Value::Object(_) => {
            Err(invalid("a list or an object can't stand in a path or parameter"))
        }
    }
}

// ---- requests ----

/// The body of a write; `None` if there is nothing to say. `partial` asks for the changed fields alone.
///
/// # Errors
/// `Invalid` without a row, `Serialization` for what JSON can't express, `Corrupt` if what the remote had beside the
/// fields is no JSON object.
pub(crate) fn body(route: &Route, mutation: &Mutation, partial: bool) -> Result<Option<Bytes>> {
    let object = match (mutation.operation, &mutation.row) {
        (Operation::Delete, _) => None,
        (_, None) => return Err(invalid("there is no row to send")),
        (operation, Some(row)) => {
            let encoded = match &mutation.changed {
                Some(changed) if partial && operation == Operation::Update => {
                    Json.encode_fields(mutation.schema, &**row, changed)?
                }
                _ => Json.encode(mutation.schema, &**row)?,
            };
            let mut object = if partial { Map::new() } else { extra(mutation)? };
            if let Value::Object(fields) = encoded {
                object.extend(fields);
            }
            if is_temporary(mutation) {
                for at in mutation.schema.key.fields {
                    object.remove(mutation.schema.fields[*at].name_in(DIALECT));
                }
            }
            nest(&mut object, mutation.schema, &**row, &mutation.nested)?;
            Some(object)
        }
    };
    let object = match (object, &route.body_key) {
        (Some(object), Some(key)) => Some(Map::from_iter([(key.clone(), Value::Object(object))])),
        (object, _) => object,
    };
    if object.is_none() && route.supplement.is_empty() {
        return Ok(None);
    }
    let mut object = object.unwrap_or_default();
    object.extend(route.supplement.clone());
    Ok(Some(Value::Object(object).to_string().into()))
}

/// True if the server is to give the key: the one that the row has here is not for it.
fn is_temporary(mutation: &Mutation) -> bool {
    mutation.schema.key.kind == KeyKind::Server && mutation.operation == Operation::Insert
}

/// Puts related rows into the object of the row that they belong to, each as a whole: in the place of its key where that
/// is stored, else in lists by association.
fn nest(
    object: &mut Map<String, Value>,
    schema: &'static Schema,
    parent: &dyn Row,
    nested: &[Enclosed],
) -> Result<()> {
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for one in nested {
        let def = one.association;
        match def.link {
            Link::One { field } => {
                object.insert(name_of(schema, field).to_owned(), whole(one)?);
            }
            Link::Keys { field } => {
                let name = name_of(schema, field);
                let list = match lists.entry(name) {
                    Entry::Occupied(list) => list.into_mut(),
                    Entry::Vacant(list) => list.insert(keys(schema, parent, field)?),
                };
                let place = references(schema, field, parent)?.iter().position(|key| *key == one.key);
                match place.and_then(|place| list.get_mut(place)) {
                    Some(key) => *key = whole(one)?,
                    None => list.push(whole(one)?),
                }
            }
            Link::Through { link, to, .. } if link() == one.schema => {
                let end = match one.nested.first() {
                    Some(end) => whole(end)?,
                    None => key(one.schema, &*one.row, to)?,
                };
                lists.entry(def.name_in(DIALECT)).or_default().push(end);
            }
            _ => lists.entry(def.name_in(DIALECT)).or_default().push(whole(one)?),
        }
    }
    object.extend(lists.into_iter().map(|(name, rows)| (name.to_owned(), Value::Array(rows))));
    Ok(())
}

fn name_of(schema: &'static Schema, field: u16) -> &'static str {
    schema.fields.get(usize::from(field)).map_or("", |field| field.name_in(DIALECT))
}

/// A row with what stands in it in turn.
fn whole(one: &Enclosed) -> Result<Value> {
    let mut encoded = Json.encode(one.schema, &*one.row)?;
    if let Value::Object(fields) = &mut encoded {
        nest(fields, one.schema, &*one.row, &one.nested)?;
    }
    Ok(encoded)
}

/// A field as it is written; null if it is not.
fn key(schema: &'static Schema, row: &dyn Row, field: u16) -> Result<Value> {
    let mut object = Json.encode_fields(schema, row, &[usize::from(field)].into_iter().collect())?;
    Ok(object.get_mut(name_of(schema, field)).map(Value::take).unwrap_or_default())
}

/// The list of keys that a field is.
fn keys(schema: &'static Schema, row: &dyn Row, field: u16) -> Result<Vec<Value>> {
    match key(schema, row, field)? {
        Value::Array(keys) => Ok(keys),
        _ => Ok(Vec::new()),
    }
}

fn extra(mutation: &Mutation) -> Result<Map<String, Value>> {
    let Some(extra) = &mutation.extra else {
        return Ok(Map::new());
    };
    serde_json::from_str(extra).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "what the remote has beside the fields is no JSON object")
            .because(error)
    })
}

// ---- answers ----

/// Reads a body as JSON, whatever it calls itself.
///
/// # Errors
/// `Serialization`, with line and column, or with the content type and the beginning of what is no JSON at all.
pub(crate) fn parse(body: &[u8], headers: &HeaderMap, secrets: &Secrets) -> Result<Value> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| {
        let kind =
            headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let called = kind.as_deref().unwrap_or("no content type");
        let essence = called.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = essence.ends_with("/json") || essence.ends_with("+json") || kind.is_none();
        if body.is_empty() {
            return unfit(format!("expected JSON, found an empty body ({called})"));
        }
        if !is_json || body.trim_ascii_start().starts_with(b"<") {
            let beginning: String =
                excerpt(body, BEGINNING, secrets).split_whitespace().collect::<Vec<_>>().join(" ");
            return unfit(format!("expected JSON, found {called} that begins with `{beginning}`"));
        }
        unfit(format!("malformed JSON at line {} column {}", error.line(), error.column())).because(error)
    })
}

/// How much of a body that is no JSON a message quotes, in bytes.
const BEGINNING: usize = 120;

/// The member of an answer that a path such as `data.items` names.
fn member<'a>(json: &'a Value, path: Option<&str>) -> Result<&'a Value> {
    let mut json = json;
    for name in path.into_iter().flat_map(|path| path.split('.')) {
        json = json.get(name).ok_or_else(|| {
            let members = json
                .as_object()
                .map(|object| object.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
            unfit(match members {
                Some(members) => format!("the answer has no member `{name}`, but {members}"),
                None => format!("expected an object with the member `{name}`, found {}", describe(json)),
            })
        })?;
    }
    Ok(json)
}

fn describe(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The rows of a list, and what stood among them and is none.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) rows: Vec<PageRow>,
    pub(crate) misfits: Vec<Misfit>,
}

impl Listed {
    /// The keys of all of them, in no order; of a row whose key can't be read, one that stands for it.
    pub(crate) fn keys(&self, schema: &'static Schema) -> Result<Vec<Key>> {
        let unknown = self.misfits.iter().map(|misfit| Ok(misfit.key.clone().unwrap_or(Key::Singleton)));
        self.rows.iter().map(|row| key_of(schema, row)).chain(unknown).collect()
    }
}

/// The elements of a list.
///
/// # Errors
/// `Serialization` if there is no list.
pub(crate) fn elements<'a>(json: &'a Value, path: Option<&str>) -> Result<Vec<&'a Value>> {
    let found = member(json, path)?;
    if let Value::Array(elements) = found {
        return Ok(elements.iter().collect());
    }
    let hint = match found.as_object() {
        Some(object) if path.is_none() => {
            let members: Vec<_> = object.keys().map(String::as_str).collect();
            format!(
                " with the members {}; name the one that has the rows with `Endpoint::list_key`",
                members.join(", ")
            )
        }
        _ => String::new(),
    };
    Err(below(path, unfit(format!("expected an array of rows, found {}{hint}", describe(found)))))
}

/// The rows of a list. One that can't be read hides no other; its error has the path, such as `items[3].age`.
pub(crate) fn listed(route: &Route, path: Option<&str>, elements: &[&Value], now: Timestamp) -> Listed {
    let mut listed = Listed::default();
    for (at, element) in elements.iter().enumerate() {
        match row(route, element, None, now) {
            Ok(row) => listed.rows.push(row),
            Err(error) => {
                let error = below(path, error.at(format!("[{at}]"))).during("get").model(route.schema.model);
                listed.misfits.push(Misfit { key: key_in(route.schema, element), error: Arc::new(error) });
            }
        }
    }
    listed
}

/// Those in which this member says nothing, and those that are gone by it.
pub(crate) fn living<'a>(
    elements: Vec<&'a Value>,
    tombstone: Option<&str>,
) -> (Vec<&'a Value>, Vec<&'a Value>) {
    let is_dead = |element: &&Value| {
        let mark = tombstone.and_then(|member| optional(element, member));
        mark.is_some_and(|mark| !matches!(mark, Value::Null | Value::Bool(false)))
    };
    let (dead, living) = elements.into_iter().partition(is_dead);
    (living, dead)
}

/// The member that a path names, if it is there.
pub(crate) fn optional<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(json, |json, name| json.get(name))
}

/// The key that stands in an object, or that a value is.
pub(crate) fn key_in(schema: &'static Schema, element: &Value) -> Option<Key> {
    let names: Vec<&str> = schema.key.fields.iter().map(|at| schema.fields[*at].name_in(DIALECT)).collect();
    let object: Map<String, Value> = match (element, &names[..]) {
        (Value::Object(object), names) => {
            let part = |name: &&str| Some(((*name).to_owned(), object.get(*name)?.clone()));
            names.iter().filter_map(part).collect()
        }
        (value, [name]) => Map::from_iter([((*name).to_owned(), value.clone())]),
        _ => return None,
    };
    let decoded = Json.decode_partial(schema, &Value::Object(object)).ok()?;
    schema.key_of(&decoded.record).ok()
}

/// The row of an answer about one.
///
/// # Errors
/// `Serialization` with the path.
pub(crate) fn one(route: &Route, json: &Value, headers: &HeaderMap, now: Timestamp) -> Result<PageRow> {
    let element = member(json, route.row_key.as_deref())?;
    row(route, element, Some(headers), now).map_err(|error| below(route.row_key.as_deref(), error))
}

/// An error in what the server said, with the path to where it said it.
fn below(path: Option<&str>, error: Error) -> Error {
    let error = error.with_sent(Sent::Answered);
    match path {
        Some(path) => error.at(path),
        None => error,
    }
}

fn row(route: &Route, element: &Value, headers: Option<&HeaderMap>, now: Timestamp) -> Result<PageRow> {
    let decoded = Json.decode(route.schema, element)?;
    let meta = Meta { version: version(route, element, headers), extra: decoded.extra, ..Meta::synced(now) };
    Ok(PageRow { meta, row: Arc::new(decoded.record), brought: brought(decoded.brought) })
}

/// Whether the row refers to another by fields that are not its key: then the reference is not known yet.
pub(crate) fn awaits(row: &PageRow) -> bool {
    row.brought.as_ref().is_some_and(|brought| !brought.lookups.is_empty())
}

fn brought(brought: Brought) -> Option<Box<Brought>> {
    (!brought.is_empty()).then(|| Box::new(brought))
}

/// The row in the answer to a write, which may lack fields. It is `None` where the server says nothing of use; what it
/// says of another row is not believed.
///
/// # Errors
/// `Serialization`; the write has been accepted all the same.
pub(crate) fn written(
    route: &Route,
    mutation: &Mutation,
    body: &[u8],
    answer: &Answer,
    now: Timestamp,
) -> Result<Option<PageRow>> {
    let headers = &answer.headers;
    if body.is_empty() {
        return Ok(bare(route, mutation, headers, now));
    }
    let json = parse(body, headers, &answer.secrets)?;
    let element = member(&json, route.row_key.as_deref())?;
    if element.is_null() {
        return Ok(bare(route, mutation, headers, now));
    }
    let laid_over = laid_over(route.schema, mutation, element)?;
    let is_other_shape = route.schema.via(DIALECT).is_some();
    if is_other_shape && laid_over.is_none() {
        return Ok(bare(route, mutation, headers, now));
    }
    let element = laid_over.as_ref().unwrap_or(element);
    let Decoded { record, extra, brought: with_it } = Json.decode_partial(route.schema, element)?;
    let has = |at: &usize| record.get(*at).is_some();
    if (0..route.schema.fields.len()).all(|at| !has(&at)) {
        // Thanks, and no row.
        return Ok(bare(route, mutation, headers, now));
    }
    if !is_temporary(mutation)
        && route.schema.key.fields.iter().all(has)
        && route.schema.key_of(&record)? != mutation.key
    {
        return Err(unfit("the answer is about a row with another key"));
    }
    let whole = (0..route.schema.fields.len()).all(|at| has(&at));
    let extra = if whole && !is_other_shape { extra } else { overlaid(mutation.extra.as_ref(), extra) };
    let meta = Meta { version: version(route, element, Some(headers)), extra, ..Meta::synced(now) };
    Ok(Some(PageRow { meta, row: Arc::new(record), brought: brought(with_it) }))
}

/// A model that has another shape here is read whole or not at all: an answer that shows a part of it is laid over what
/// was sent. `None` if the model is read field by field, or the answer says nothing of it.
fn laid_over(schema: &'static Schema, mutation: &Mutation, element: &Value) -> Result<Option<Value>> {
    let (Some(_), Some(row), Value::Object(answer)) = (schema.via(DIALECT), &mutation.row, element) else {
        return Ok(None);
    };
    let mut whole = Json.encode(schema, &**row)?;
    match &mut whole {
        Value::Object(sent) if answer.keys().any(|name| sent.contains_key(name)) => {
            sent.extend(answer.clone());
        }
        _ => return Ok(None),
    }
    Ok(Some(whole))
}

/// What the remote has beside the fields, after an answer that shows a part of it.
fn overlaid(under: Option<&Arc<str>>, over: Option<Arc<str>>) -> Option<Arc<str>> {
    let read = |text: &Arc<str>| serde_json::from_str::<Map<String, Value>>(text).ok();
    match (under, over) {
        (Some(under), Some(over)) => {
            let mut merged = read(under).unwrap_or_default();
            merged.extend(read(&over).unwrap_or_default());
            Some(Value::Object(merged).to_string().into())
        }
        (under, over) => over.or_else(|| under.cloned()),
    }
}

/// What an answer without a body tells: the version and the key that the server has given, if anything.
pub(crate) fn bare(
    route: &Route,
    mutation: &Mutation,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<PageRow> {
    let (version, key) = (version(route, &Value::Null, Some(headers)), key_in_location(mutation, headers));
    if version.is_none() && key.is_none() {
        return None;
    }
    let meta = Meta { version, extra: mutation.extra.clone(), ..Meta::synced(now) };
    let mut row = Record::new(vec![None; route.schema.fields.len()]);
    if let Some((at, key)) = key {
        row.set(at, key);
    }
    Some(PageRow::new(meta, Arc::new(row)))
}

fn version(route: &Route, element: &Value, headers: Option<&HeaderMap>) -> Option<RemoteVersion> {
    let header = || {
        let etag = headers?.get(ETAG)?.to_str().ok()?.trim();
        (!etag.is_empty()).then(|| RemoteVersion::from(etag))
    };
    let member = |name: &str| plain(element.get(name)?.clone()).ok().flatten();
    match &route.version {
        Version::Etag => header(),
        Version::Member(name) => member(name).map(Into::into),
        Version::EtagMember(name) => header().or_else(|| Some(format!("\"{}\"", member(name)?).into())),
    }
}

/// Whether a version is a strong entity tag (RFC 9110, 8.8.3), which alone counts for `If-Match`.
pub(crate) fn is_strong(version: &str) -> bool {
    let inside = version.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.is_some_and(|inside| {
        inside.bytes().all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80)
    })
}

/// The key of a row that came.
pub(crate) fn key_of(schema: &'static Schema, row: &PageRow) -> Result<Key> {
    schema.key_of(&*row.row).map_err(|error| error.with_sent(Sent::Answered))
}
