//! The rows of a collection, and what requests do to them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION};
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::changes::Stones;
use super::config::{Collection, Telling};
use super::list::{Listing, Page, text};
use crate::variant::Answer;

/// What stays as it is in a path segment or a query value.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request for a collection.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    /// The segments of the path behind the collection's own.
    pub(crate) key: &'a [String],
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    /// Scheme and authority, where they are known, and the path of the collection as it was asked for.
    pub(crate) url: &'a str,
}

/// A part of a key: numbers order as numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Number(i128),
    Text(String),
}

pub(super) type RowKey = Vec<Part>;

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) json: Map<String, Value>,
    pub(super) version: u64,
}

/// A collection with its rows.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) config: Collection,
    pub(super) rows: BTreeMap<RowKey, Stored>,
    pub(super) version: u64,
    pub(super) stones: Stones,
    /// Idempotency keys: the request that came with each, and its answer.
    answered: BTreeMap<String, (String, Answer)>,
}

/// A refusal: status and message.
pub(super) type Refusal = (u16, String);

impl Rows {
    pub(crate) fn new(mut config: Collection) -> Self {
        let rows = std::mem::take(&mut config.rows);
        let (stones, answered) = (Stones::new(), BTreeMap::new());
        let mut collection = Self { config, rows: BTreeMap::new(), version: 0, stones, answered };
        rows.into_iter().for_each(|row| collection.put(row));
        collection
    }

    /// The rows in the order of their keys.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.rows.values().map(|row| Value::Object(row.json.clone())).collect()
    }

    /// Writes a row as the server would by itself: a new version, no questions asked. What is no object is left out.
    pub(crate) fn put(&mut self, row: Value) {
        if let Value::Object(mut json) = row {
            let key = self.key_or_assign(&mut json);
            self.write(key, json);
        }
    }

    /// Removes a row as the server would by itself.
    pub(crate) fn remove(&mut self, key: &[String]) -> bool {
        self.take_away(row_key(key))
    }

    fn take_away(&mut self, key: RowKey) -> bool {
        let removed = self.rows.remove(&key);
        removed.inspect(|row| self.bury(key, &row.json)).is_some()
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, asked: &Asked<'_>) -> Answer {
        let write = !matches!(*asked.method, Method::GET | Method::HEAD);
        let header = self.config.idempotency.clone().filter(|_| write);
        let id = header.and_then(|name| asked.headers.get(name)?.to_str().ok().map(str::to_owned));
        let print = format!("{} {:?} {:?}", asked.method, asked.key, asked.body);
        if let Some((before, answer)) = id.as_ref().and_then(|id| self.answered.get(id)) {
            let reused = "the idempotency key was used for another request";
            return if *before == print { answer.clone() } else { refuse((422, reused.to_owned())) };
        }
        let answer = self.act(asked).unwrap_or_else(refuse);
        if let Some(id) = id {
            self.answered.insert(id, (print, answer.clone()));
        }
        answer
    }

    fn act(&mut self, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        let item = asked.key.len() == self.config.key.len();
        let key = row_key(asked.key);
        if let (&Method::GET, Some(telling), true) =
            (asked.method, self.config.changes, Telling::is_asked(asked))
        {
            return self.changed(telling, asked);
        }
        match (asked.method, item) {
            (&Method::GET | &Method::HEAD, true) => self.one(&key, asked),
            (&Method::GET | &Method::HEAD, false) => self.list(asked),
            (&Method::POST, false) => self.create(asked),
            // A single resource is made at its own path.
            (&Method::POST, true) if key.is_empty() => self.create(asked),
            (&Method::PUT, true) => self.replace(key, asked),
            (&Method::PATCH, true) => self.patch(key, asked),
            (&Method::DELETE, true) => {
                self.condition(&key, asked.headers)?;
                self.take_away(key).then(|| Answer::new().status(204)).ok_or_else(missing)
            }
            _ => Err((405, format!("{} is not for this path", asked.method))),
        }
    }

    fn one(&self, key: &RowKey, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        let row = self.rows.get(key).ok_or_else(missing)?;
        let known = asked.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if self.config.etags && known.is_some_and(|known| names(known, row.version)) {
            return Ok(Answer::new().status(304).header(ETAG.as_str(), &etag(row.version)));
        }
        Ok(self.show(row, 200))
    }

    fn list(&self, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        let refused = |message| (400, message);
        let listing = Listing::read(&self.config, asked.query).map_err(refused)?;
        let mut rows = listing.select(&self.config, self.all()).map_err(refused)?;
        let mut answer = Answer::new().status(200);
        if let Some(header) = &self.config.total {
            answer = answer.header(header, &rows.len().to_string());
        }
        if let Some(page) = listing.page {
            let pages = rows.len().div_ceil(page.size).max(1);
            if let Some(link) = self.link(asked, page, pages) {
                answer = answer.header(LINK.as_str(), &link);
            }
            let skip = page.number.saturating_sub(1).saturating_mul(page.size).min(rows.len());
            rows.drain(..skip);
            rows.truncate(page.size);
        }
        let rows = Value::Array(rows);
        Ok(answer.json(match &self.config.wrap {
            Some(member) => json!({ member.as_str(): rows }),
            None => rows,
        }))
    }

    /// The `Link` header (RFC 8288) of a page; none if there is one page only.
    fn link(&self, asked: &Asked<'_>, page: Page, pages: usize) -> Option<String> {
        let paging = self.config.page.as_ref()?;
        let to = |number: usize, relation: &str| {
            let others = asked.query.iter().filter(|(name, _)| *name != paging.number_param);
            let number = (paging.number_param.clone(), number.to_string());
            let encode = |text: &str| utf8_percent_encode(text, &UNRESERVED).to_string();
            let query: Vec<_> = others
                .chain([&number])
                .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
                .collect();
            format!("<{}?{}>; rel=\"{relation}\"", asked.url, query.join("&"))
        };
        let mut links = Vec::new();
        if page.number > 1 {
            links.extend([to(1, "first"), to(page.number - 1, "prev")]);
        }
        if page.number < pages {
            links.extend([to(page.number + 1, "next"), to(pages, "last")]);
        }
        (!links.is_empty()).then(|| links.join(", "))
    }

    fn create(&mut self, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        let mut json = object(asked.body)?;
        let key = self.key_or_assign(&mut json);
        if self.rows.contains_key(&key) {
            return Err((409, "there is a row with this key already".to_owned()));
        }
        let segments = key.iter().map(|part| utf8_percent_encode(&part.text(), &UNRESERVED).to_string());
        let location: Vec<String> = std::iter::once(asked.url.to_owned()).chain(segments).collect();
        let row = self.write(key, json);
        Ok(self.show(&row, 201).header(LOCATION.as_str(), &location.join("/")))
    }

    fn replace(&mut self, key: RowKey, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        self.condition(&key, asked.headers)?;
        let there = self.rows.contains_key(&key);
        if !there && !self.config.put_creates {
            return Err(missing());
        }
        let mut json = object(asked.body)?;
        self.keep_key(&key, &mut json)?;
        let row = self.write(key, json);
        Ok(self.show(&row, if there { 200 } else { 201 }))
    }

    fn patch(&mut self, key: RowKey, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        self.condition(&key, asked.headers)?;
        let mut json = self.rows.get(&key).ok_or_else(missing)?.json.clone();
        let mut changes = object(asked.body)?;
        self.keep_key(&key, &mut changes)?;
        json.extend(changes);
        let row = self.write(key, json);
        Ok(self.show(&row, 200))
    }

    fn write(&mut self, key: RowKey, mut json: Map<String, Value>) -> Stored {
        self.version += 1;
        if let Some(member) = &self.config.stamp {
            json.insert(member.clone(), self.version.into());
        }
        self.stones.retain(|_, (gone, _)| *gone != key);
        let row = Stored { json, version: self.version };
        self.rows.insert(key, row.clone());
        row
    }

    fn show(&self, row: &Stored, status: u16) -> Answer {
        let answer = Answer::new().status(status).json(Value::Object(row.json.clone()));
        if self.config.etags { answer.header(ETAG.as_str(), &etag(row.version)) } else { answer }
    }

    /// Refuses a write that is based on another version.
    fn condition(&self, key: &RowKey, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.config.etags {
            return Ok(());
        }
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let version = self.rows.get(key).map(|row| row.version);
        let is_named = |list: &str| version.is_some_and(|version| names(list, version));
        let fails = header(IF_MATCH).is_some_and(|list| !is_named(list))
            || header(IF_NONE_MATCH).is_some_and(is_named);
        if fails { Err((412, "the row has another version".to_owned())) } else { Ok(()) }
    }

    /// The key in `json`. One that is missing is made: the number after the greatest.
    fn key_or_assign(&self, json: &mut Map<String, Value>) -> RowKey {
        let last =
            || self.rows.keys().filter_map(|key| key.first().and_then(Part::number)).max().unwrap_or(0);
        for member in &self.config.key {
            if json.get(member).is_none_or(Value::is_null) {
                json.insert(member.clone(), Value::from(u64::try_from(last() + 1).unwrap_or(1)));
            }
        }
        let part = |member: &String| json.get(member).and_then(text).unwrap_or_default();
        row_key(&self.config.key.iter().map(part).collect::<Vec<_>>())
    }

    /// A row keeps its key: a body without it is given it, a body with another is refused.
    fn keep_key(&self, key: &RowKey, json: &mut Map<String, Value>) -> Result<(), Refusal> {
        let stored = self.rows.get(key);
        for (member, part) in self.config.key.iter().zip(key) {
            match json.get(member).and_then(text) {
                Some(found) if found != part.text() => {
                    return Err((422, format!("the member `{member}` is not the key of the path")));
                }
                Some(_) => {}
                None => {
                    let value = stored.and_then(|row| row.json.get(member).cloned());
                    json.insert(member.clone(), value.unwrap_or_else(|| part.text().into()));
                }
            }
        }
        Ok(())
    }
}

impl Part {
    fn number(&self) -> Option<i128> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

fn row_key(segments: &[String]) -> RowKey {
    let part = |text: &String| match text.parse::<i128>() {
        Ok(number) if number.to_string() == *text => Part::Number(number),
        _ => Part::Text(text.clone()),
    };
    segments.iter().map(part).collect()
}

fn object(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(json)) => Ok(json),
        Ok(_) => Err((400, "the body is no JSON object".to_owned())),
        Err(error) => Err((400, format!("the body is no JSON: {error}"))),
    }
}

fn missing() -> Refusal {
    (404, "there is no row with this key".to_owned())
}

fn refuse((status, message): Refusal) -> Answer {
    Answer::new().status(status).json(json!({ "error": message }))
}

fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// True if a list of entity tags names the version.
fn names(list: &str, version: u64) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag(version))
}
