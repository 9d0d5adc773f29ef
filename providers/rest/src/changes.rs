//! What has changed since the last time, where the endpoint tells.

use async_trait::async_trait;
use http::Method;
use larder_core::{Context, Delta, DeltaAnswer, DeltaPage, DeltaScope, Error, ErrorKind, Result, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec;
use crate::error::{invalid, unfit};
use crate::exchange::{Answer, Call};
use crate::paging::{Arrived, Paging, Place};
use crate::provider::RestProvider;
use crate::query::{Params, encode};
use crate::route::Route;
use crate::total::Total;

/// How an endpoint tells what has changed: for [`Endpoint::changes`](crate::Endpoint::changes).
///
/// Without a token it is asked for everything; each complete answer gives the token of the next question.
///
/// ```
/// use larder_rest::{Changes, Endpoint};
///
/// // GET /notes/changes?since=TOKEN answers { "changed": […], "deleted": ["7"], "more": false, "token": "…" }
/// let notes = Endpoint::new("/notes").changes(
///     Changes::by_token("since", "token").at("/notes/changes").rows("changed").deleted("deleted").more("more"),
/// );
/// // GET /issues?since=2026-01-01T00:00:00Z: the rows that were updated then or later, and nothing of deletions.
/// let issues = Endpoint::new("/issues").changes(Changes::by_newest("since", "updated_at"));
/// # drop((notes, issues));
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is given to `Endpoint::changes`"]
pub struct Changes {
    param: String,
    token: Token,
    path: Option<String>,
    rows: Option<String>,
    deleted: Option<String>,
    tombstone: Option<String>,
    more: Option<String>,
    expired: Vec<u16>,
    total: Option<Total>,
}

/// Where the next token is found.
#[derive(Clone, Debug)]
enum Token {
    Member(String),
    Header(String),
    Newest(String),
}

impl Changes {
    fn new(param: impl Into<String>, token: Token) -> Self {
        let (param, expired) = (param.into(), vec![410]);
        let (path, rows, deleted, tombstone, more, total) = (None, None, None, None, None, None);
        Self { param, token, path, rows, deleted, tombstone, more, expired, total }
    }

    /// The token goes into the parameter `param`, and the next one stands in this member of the answer: `token`, or a path
    /// such as `meta.token`.
    pub fn by_token(param: impl Into<String>, member: impl Into<String>) -> Self {
        Self::new(param, Token::Member(member.into()))
    }

    /// The token goes into the parameter `param`, and the next one stands in this header of the answer.
    pub fn by_header(param: impl Into<String>, header: impl Into<String>) -> Self {
        Self::new(param, Token::Header(header.into()))
    }

    /// The token is the greatest value that this member has in the rows: a number, or a moment that is always written in
    /// the same way, so that texts order as moments do. The server has to give the rows of that very moment again.
    ///
    /// An answer of several pages is best in the order of that member. In another order, the next question begins at the newest
    /// moment of the first page, for a row that was written meanwhile may stand on a page that was read already; so some rows
    /// come again. Where pages have numbers and a row is deleted while they are read, another one moves to a page that was
    /// read already, and is not told; a full sync finds it.
    pub fn by_newest(param: impl Into<String>, member: impl Into<String>) -> Self {
        Self::new(param, Token::Newest(member.into()))
    }

    /// Sets where changes are asked for, below the base URL; by default where rows are listed. A path that names
    /// `{since}` takes the token there instead of in the parameter; then everything is asked for at the list.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets the member that holds the rows; by default that of a list.
    pub fn rows(mut self, member: impl Into<String>) -> Self {
        self.rows = Some(member.into());
        self
    }

    /// Sets the member that holds what is gone: a list of keys, or of objects with the key.
    pub fn deleted(mut self, member: impl Into<String>) -> Self {
        self.deleted = Some(member.into());
        self
    }

    /// Says that a row is gone in which this member is there and neither null nor false: `deleted_at`.
    pub fn tombstone(mut self, member: impl Into<String>) -> Self {
        self.tombstone = Some(member.into());
        self
    }

    /// Sets the member that says whether there is more after this token. Without it, an answer goes on as a list does; with
    /// it, the parameters of the list's paging are not sent.
    pub fn more(mut self, member: impl Into<String>) -> Self {
        self.more = Some(member.into());
        self
    }

    /// Says where the first answer after a token tells how many changes come after it: rows, and what is gone.
    pub fn total(mut self, total: Total) -> Self {
        self.total = Some(total);
        self
    }

    /// Declares a status, beside 410, that says that a token is too old.
    pub fn expired(mut self, status: u16) -> Self {
        self.expired.push(status);
        self
    }

    pub(crate) fn check(&self, list: Option<&str>) -> Result<()> {
        let at = self.path.as_deref().or(list).unwrap_or_default();
        if !at.starts_with('/') || at.replace("{since}", "").contains('{') || list.is_none() {
            return Err(invalid(
                "say by `Changes::at` where changes are asked for: a path that begins with `/` and names nothing but \
                 `{since}`",
            ));
        }
        Ok(())
    }

    fn scope(&self) -> DeltaScope {
        match self.deleted.is_some() || self.tombstone.is_some() {
            true => DeltaScope::ChangesAndDeletions,
            false => DeltaScope::Changes,
        }
    }
}

/// Where the changes stand: what a cursor holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    /// What is asked for.
    since: Option<String>,
    /// Where its answer goes on.
    place: Option<Place>,
    /// What is asked for next, as far as that is known.
    token: Option<String>,
    /// The newest moment on the first page of the answer.
    #[serde(default)]
    first: Option<String>,
    /// Moments have come that are older than one before them.
    #[serde(default)]
    falls: bool,
}

impl Position {
    fn read(cursor: &str) -> Option<Self> {
        serde_json::from_str(cursor).ok()
    }

    /// Takes the moments of a page, in the order of its rows.
    fn pass(&mut self, moments: impl Iterator<Item = String>) {
        let begins = self.place.is_none() && self.token.is_none();
        let mut newest = self.token.take().or_else(|| self.since.clone());
        for moment in moments {
            newest = Some(match newest {
                Some(before) => {
                    let newer = newer(moment.clone(), before);
                    self.falls |= newer != moment;
                    newer
                }
                None => moment,
            });
        }
        self.token.clone_from(&newest);
        if begins {
            self.first = newest;
        }
    }

    /// The moment that is asked for next, after the last page. A row that was written while the pages were read may stand on
    /// one that was read before: it is newer than the first page, but not than all. Only where rows come in the order of
    /// their moments, it comes on a later page.
    fn next(self) -> Option<String> {
        if self.falls { self.first } else { self.token }
    }

    fn write(&self) -> String {
        // Texts and numbers: nothing that JSON could not express.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[async_trait]
impl Delta for RestProvider {
    fn scope(&self, schema: &'static Schema) -> DeltaScope {
        let changes = self.routes.get(schema.model).and_then(|route| route.changes.as_ref());
        changes.map_or(DeltaScope::Nothing, Changes::scope)
    }

    async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let place = |error: Error| error.during("ask what has changed").model(schema.model);
        self.changes_of(cx, schema, since).await.map_err(place)
    }
}

impl RestProvider {
    async fn changes_of(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let route = self.route(schema)?;
        let Some(changes) = &route.changes else {
            return Err(Error::new(ErrorKind::Unsupported, "the endpoint does not tell what has changed"));
        };
        let mut position = match since.map(Position::read) {
            None => Position::default(),
            Some(Some(position)) => position,
            // Of another version of the provider.
            Some(None) => return Ok(DeltaAnswer::Expired),
        };
        let mut place = position.place.take().unwrap_or_default();
        let call = self.change_call(route, changes, &position, &mut place);
        let answer = self.exchange.send(cx, call).await?;
        if since.is_some() && changes.expired.contains(&answer.status.as_u16()) {
            return Ok(DeltaAnswer::Expired);
        }
        let json = self.json(&answer)?;
        let page = self.change_page(route, changes, position, place, &answer, &json);
        page.map(DeltaAnswer::Page).map_err(|error| error.with_status(answer.status.as_u16()))
    }

    fn change_call(&self, route: &Route, changes: &Changes, position: &Position, place: &mut Place) -> Call {
        let list = route.list_path.clone();
        let (mut path, mut params) =
            (changes.path.clone().unwrap_or_else(|| list.clone()), Params::default());
        let in_path = path.contains("{since}");
        match &position.since {
            Some(since) if in_path => path = path.replace("{since}", &encode(since)),
            Some(since) => params.push(&changes.param, since),
            None if in_path => path = list,
            None => {}
        }
        let target = match place.target() {
            Some(target) => target.to_owned(),
            None => {
                // With `more`, an answer does not go on as a list does.
                let paging = if changes.more.is_some() { &Paging::None } else { &route.paging };
                let mut more = place.params(paging, None, None);
                more.splice(0..0, route.params.iter().chain(&route.list_params).cloned());
                more.iter().for_each(|(name, value)| params.push(name, value));
                params.target(&self.exchange.base.below(&path))
            }
        };
        let template = changes.path.clone().unwrap_or_else(|| route.list_path.clone());
        let (model, headers) = (route.schema.model, route.headers.clone());
        Call { model, method: Method::GET, target, template, headers, body: None }
    }

    fn change_page(
        &self,
        route: &Route,
        changes: &Changes,
        mut position: Position,
        place: Place,
        answer: &Answer,
        json: &Value,
    ) -> Result<DeltaPage> {
        let path = changes.rows.as_deref().or(route.list_key.as_deref());
        let elements = codec::elements(json, path)?;
        if let Token::Newest(member) = &changes.token {
            position
                .pass(elements.iter().filter_map(|element| codec::optional(element, member).and_then(text)));
        }
        let (elements, dead) = codec::living(elements, changes.tombstone.as_deref());
        let listed = codec::listed(route, path, &elements, self.exchange.runtime.now());
        let gone = match &changes.deleted {
            Some(member) => {
                codec::optional(json, member).and_then(Value::as_array).into_iter().flatten().collect()
            }
            None => Vec::new(),
        };
        let key = |element: &&Value| {
            let what = || unfit(format!("expected the key of a row that is gone, found {element}"));
            codec::key_in(route.schema, element).ok_or_else(what)
        };
        let deleted =
            dead.iter().copied().chain(gone).map(|element| key(&element)).collect::<Result<Vec<_>>>()?;
        let token = match &changes.token {
            Token::Member(member) => codec::optional(json, member).and_then(text),
            Token::Header(name) => {
                answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            Token::Newest(_) => None,
        };
        let mut keys: Vec<_> = listed.keys(route.schema)?;
        keys.extend(deleted.iter().cloned());
        // What is told on the first page holds for all that came after it.
        let token = position.token.clone().or(token);
        let next = match &changes.more {
            Some(_) => None,
            None => {
                let secrets = answer.secrets.params();
                let (uri, headers, cursor) = (&answer.uri, &answer.headers, route.paging.cursor(json));
                let arrived = Arrived { uri, headers, keys: &keys, cursor, secrets };
                place.advance(&route.paging, &self.exchange.base, &arrived)?
            }
        };
        let goes_on = changes.more.as_ref().and_then(|member| codec::optional(json, member));
        let more = next.is_some() || goes_on.and_then(Value::as_bool).unwrap_or(false);
        let cursor = match next {
            Some(place) => Position { place: Some(place), token, ..position },
            None if matches!(changes.token, Token::Newest(_)) => {
                Position { since: position.next(), ..Position::default() }
            }
            None => {
                let missing = || unfit("the answer does not tell the token of the next question");
                Position { since: Some(token.ok_or_else(missing)?), ..Position::default() }
            }
        };
        let total = changes.total.as_ref().and_then(|total| total.of(&answer.headers, json));
        let (rows, misfits) = (listed.rows, listed.misfits);
        // With `more`, it goes on after a token.
        let steady = changes.more.is_some() || route.paging.is_steady();
        Ok(DeltaPage { rows, deleted, cursor: cursor.write(), more, misfits, total, steady })
    }
}

/// A token as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The greater one: of numbers by their values, else as texts.
fn newer(one: String, other: String) -> String {
    let greater = match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one >= other,
        _ => one >= other,
    };
    if greater { one } else { other }
}
