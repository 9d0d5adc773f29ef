//! The provider: queries to lists, mutations to writes, answers to rows.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use larder_core::query::plan::{Access, Ordering, Served};
use larder_core::{
    Applied, Capabilities, Context, Delta, Done, Error, ErrorKind, Idempotency, Key, Mutation, Operation,
    Page, PageRow, Plan, Predicate, Presence, Provider, Query, Realtime, Requests, Result, Schema,
};

use crate::codec;
use crate::endpoint::Action;
use crate::error::{invalid, misbehaved, unfit};
use crate::exchange::{Answer, Call, Exchange};
use crate::paging::{Arrived, Place};
use crate::pushdown::{self, matches_nothing};
use crate::query::Params;
use crate::route::Route;
use crate::template::{Hole, Template, key_text};

/// How many rows are asked for at a time, where each is asked for by itself.
const AT_A_TIME: usize = 8;

/// A remote over REST, open.
#[derive(Debug)]
pub(crate) struct RestProvider {
    pub(crate) exchange: Exchange,
    pub(crate) routes: BTreeMap<&'static str, Route>,
    pub(crate) capabilities: Capabilities,
    /// The other servers that requests may go to which are no models.
    pub(crate) hosts: Vec<Exchange>,
    /// What every request says.
    pub(crate) headers: HeaderMap,
    /// Where such a request says its key.
    pub(crate) key_header: Option<HeaderName>,
}

#[async_trait]
impl Provider for RestProvider {
    fn name(&self) -> &str {
        "rest"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.routes.get(schema.model).map_or(Idempotency::AtMostOnce, |route| route.idempotency(operation))
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.read(cx, schema, query).await.map_err(|error| error.during("get").model(schema.model))
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.explained(schema, query).map_err(|error| error.during("explain").model(schema.model))
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.find(cx, schema, query).await.map_err(|error| error.during("look for").model(schema.model))
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let place = |error: Error| {
            error.during(mutation.operation.verb()).model(mutation.schema.model).key(&mutation.key)
        };
        self.write(cx, mutation).await.map_err(place)
    }

    fn delta(&self) -> Option<&dyn Delta> {
        self.routes.values().any(|route| route.changes.is_some()).then_some(self)
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        Some(self)
    }
}

// ---- reading ----

impl RestProvider {
    pub(crate) fn route(&self, schema: &'static Schema) -> Result<&Route> {
        let route = self.routes.get(schema.model);
        route.ok_or_else(|| invalid("the model was not named when the remote was opened"))
    }

    fn explained(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        query.check_alone(schema)?;
        let route = self.route(schema)?;
        let mut plan = query.plan(schema, &Capabilities::NONE);
        if matches_nothing(query) {
            return Ok(Plan { access: Access::Nothing, ..plan });
        }
        let by_key = one_key(schema, &query.filter).is_some()
            || (several_keys(&query.filter).is_some() && !lists_exactly(route, query));
        if let (true, Some(template)) = (by_key, route.template(Action::One)) {
            for (one, planned) in query.filter.conditions().into_iter().zip(&mut plan.conditions) {
                if matches!(one, Predicate::Key(_) | Predicate::Keys(_)) {
                    planned.served = Served::Pushed;
                }
            }
            return Ok(Plan { access: Access::Remote(format!("GET {}", template.text())), ..plan });
        }
        let template = route.template(Action::List).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the endpoint has no list; ask for rows by their keys")
        })?;
        let pushed = pushdown::Plan::of(route, schema, query)?;
        for (at, condition) in plan.conditions.iter_mut().enumerate() {
            let left = pushed.residual.get(at).copied().unwrap_or(!pushed.done.filter);
            condition.served = if left { Served::Residual } else { Served::Pushed };
        }
        if pushed.done.order {
            plan.order = Ordering::Delivered;
        }
        // Names alone: a value may be a secret.
        let mut names: Vec<&str> = pushed.params.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        let mark = if names.is_empty() { "" } else { " with " };
        let how = format!("GET {}{mark}{}", template.text(), names.join(", "));
        Ok(Plan { access: Access::Remote(how), ..plan })
    }

    async fn read(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        query.check_alone(schema)?;
        let route = self.route(schema)?;
        if matches_nothing(query) {
            return Ok(Page { done: Done::ALL, ..Page::default() });
        }
        let Some(template) = route.template(Action::One) else {
            return self.list(cx, route, query).await;
        };
        match (one_key(schema, &query.filter), several_keys(&query.filter)) {
            (Some(key), _) => self.one(cx, route, template, key, query).await,
            (_, Some(keys)) if !lists_exactly(route, query) => {
                self.each(cx, route, template, keys, query).await
            }
            _ => self.list(cx, route, query).await,
        }
    }

    /// Rows by their keys, where the list can't be asked for them: each by itself, some at a time.
    async fn each(
        &self,
        cx: &Context,
        route: &Route,
        template: &Template,
        keys: &[Key],
        query: &Query,
    ) -> Result<Page> {
        let keys: BTreeSet<Key> = keys.iter().cloned().collect();
        let asked = keys.into_iter().map(|key| async move {
            let alone = Query::key(key.clone());
            self.one(cx, route, template, &key, &alone).await
        });
        let pages: Vec<Page> = futures_util::stream::iter(asked).buffered(AT_A_TIME).try_collect().await?;
        let rows: Vec<PageRow> = pages.into_iter().flat_map(|page| page.rows).collect();
        if rows.iter().any(codec::awaits) {
            return Ok(Page { rows, done: Done::default(), ..Page::default() });
        }
        let rows = query.finish(route.schema, Done::default(), rows)?;
        Ok(Page { rows, done: Done::ALL, ..Page::default() })
    }

    async fn one(
        &self,
        cx: &Context,
        route: &Route,
        template: &Template,
        key: &Key,
        query: &Query,
    ) -> Result<Page> {
        let (path, params) = template.fill(|hole| key_hole(route.schema, key, hole))?;
        let call = self.call(route, Method::GET, template, &path, params, &[]);
        let answer = self.exchange.send(cx, call).await.map_err(|error| error.key(key))?;
        if matches!(answer.status.as_u16(), 404 | 410) {
            return Ok(Page { done: Done::ALL, ..Page::default() });
        }
        let json = self.json(&answer).map_err(|error| error.key(key))?;
        let row = codec::one(route, &json, &answer.headers, self.exchange.runtime.now());
        let row = row.map_err(|error| error.with_status(answer.status.as_u16()).key(key))?;
        let found = codec::key_of(route.schema, &row)?;
        if found != *key {
            // A key of another form looks the same in a path, and is the key of no row.
            if found.to_string() == key.to_string() {
                return Ok(Page { done: Done::ALL, ..Page::default() });
            }
            return Err(unfit("the server answered with a row of another key").key(key));
        }
        if codec::awaits(&row) {
            // A condition on a reference that is not looked up yet can't be told here.
            return Ok(Page { rows: vec![row], done: Done::default(), ..Page::default() });
        }
        let rows = query.finish(route.schema, Done::default(), vec![row])?;
        Ok(Page { rows, done: Done::ALL, ..Page::default() })
    }

    async fn list(&self, cx: &Context, route: &Route, query: &Query) -> Result<Page> {
        let template = route.template(Action::List).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the endpoint has no list; ask for rows by their keys")
        })?;
        let plan = pushdown::Plan::of(route, route.schema, query)?;
        let mut place = match &cx.resume {
            Some(token) => Place::read(token)?,
            None => Place::start(query, plan.done.window),
        };
        let call = match place.target() {
            Some(target) => self.resumed(route, template, target),
            None => {
                let (path, params) = template.fill(|hole| match hole {
                    Hole::Field(at) => Ok(plan.field(at).unwrap_or_default().to_owned()),
                    Hole::Key(_) => Err(invalid("a list has no key")),
                })?;
                let mut more = route.list_params.clone();
                more.extend(plan.params.iter().cloned());
                more.extend(place.params(
                    &route.paging,
                    route.limit_param.as_deref(),
                    route.offset_param.as_deref(),
                ));
                self.call(route, Method::GET, template, &path, params, &more)
            }
        };
        let (mut call, first) = (call, cx.resume.is_none());
        let known = cx.unless.as_ref().filter(|_| first).and_then(|tag| HeaderValue::from_str(tag).ok());
        let asked_for_news = known.is_some();
        if let Some(known) = known {
            call.headers.insert(IF_NONE_MATCH, known);
        }
        let answer = self.exchange.send(cx, call).await?;
        let (listed, told, cursor) = match answer.status.as_u16() {
            304 if asked_for_news => {
                return Ok(Page {
                    done: plan.done,
                    unchanged: true,
                    tag: cx.unless.clone(),
                    ..Page::default()
                });
            }
            204 => (codec::Listed::default(), None, None),
            status => {
                let (json, path) = (self.json(&answer)?, route.list_key.as_deref());
                let elements = codec::elements(&json, path).map_err(|error| error.with_status(status))?;
                let told = route.total.as_ref().and_then(|total| total.of(&answer.headers, &json));
                let listed = codec::listed(route, path, &elements, self.exchange.runtime.now());
                (listed, told, route.paging.cursor(&json))
            }
        };
        let keys = listed.keys(route.schema)?;
        let codec::Listed { mut rows, misfits } = listed;
        let surplus = if plan.done.filter { verify(route, query, &mut rows)? } else { 0 };
        // A server counts what its filter leaves, and the window is not to be counted.
        let windowed = plan.done.window && (query.limit.is_some() || query.offset > 0);
        let total = told.filter(|_| surplus == 0 && !windowed);
        if plan.done.window {
            place.cut(&mut rows);
        }
        let arrived = Arrived {
            uri: &answer.uri,
            headers: &answer.headers,
            keys: &keys,
            cursor,
            secrets: answer.secrets.params(),
        };
        let next = place.advance(&route.paging, &self.exchange.base, &arrived)?.map(|place| place.write());
        // Of several pages, each has a tag of its own, and none is that of the whole.
        let tag = answer.headers.get(ETAG).filter(|_| first && next.is_none());
        let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let steady = route.paging.is_steady();
        Ok(Page { rows, done: plan.done, next, misfits, total, tag, steady, ..Page::default() })
    }

    async fn find(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let first = Query { limit: Some(query.limit.unwrap_or(1).min(1)), ..query.clone() };
        let mut cx = cx.clone();
        cx.resume = None;
        let (mut rows, mut done) = (Vec::new(), Done::ALL);
        loop {
            let page = self.read(&cx, schema, &first).await?;
            if let Some(misfit) = page.misfits.first() {
                return Err(misfit.error.duplicate());
            }
            if !page.done.filter && page.rows.iter().any(codec::awaits) {
                return Ok(Presence::Unknown);
            }
            for row in page.rows {
                if page.done.window || first.begins_before(schema, &*row.row)? {
                    rows.push(row);
                }
            }
            done = Done {
                filter: done.filter && page.done.filter,
                order: done.order && page.done.order,
                window: done.window && page.done.window,
            };
            // Which rows they are is of no interest, so the order needn't be right for them to be enough.
            rows = first.finish(schema, Done { order: true, window: true, ..done }, rows)?;
            let skip = if done.window { 0 } else { query.offset };
            if rows.len() as u64 > skip {
                return Ok(Presence::Present);
            }
            match page.next {
                Some(next) => cx.resume = Some(next),
                None => return Ok(Presence::Absent),
            }
        }
    }

    /// A request to a template that is filled.
    pub(crate) fn call(
        &self,
        route: &Route,
        method: Method,
        template: &Template,
        path: &str,
        mut params: Params,
        more: &[(String, String)],
    ) -> Call {
        for (name, value) in route.params.iter().chain(more) {
            params.push(name, value);
        }
        Call {
            model: route.schema.model,
            method,
            target: params.target(&self.exchange.base.below(path)),
            template: template.text().to_owned(),
            headers: route.headers.clone(),
            body: None,
        }
    }

    /// A request to where the server said that the list goes on.
    fn resumed(&self, route: &Route, template: &Template, target: &str) -> Call {
        Call {
            model: route.schema.model,
            method: Method::GET,
            target: target.to_owned(),
            template: template.text().to_owned(),
            headers: route.headers.clone(),
            body: None,
        }
    }

    /// The JSON of an answer, if it tells of success.
    pub(crate) fn json(&self, answer: &Answer) -> Result<serde_json::Value> {
        if !answer.status.is_success() {
            return Err(self.exchange.refusal(answer));
        }
        let body = answer.body.as_ref().map_err(Error::duplicate)?;
        let parsed = codec::parse(body, &answer.headers, &answer.secrets);
        parsed.map_err(|error| answer.secrets.cleanse(error.with_status(answer.status.as_u16())))
    }
}

/// The key, if a query can only be answered by the row with one key.
fn one_key<'a>(schema: &'static Schema, filter: &'a Predicate) -> Option<&'a Key> {
    if schema.key.fields.is_empty() {
        return Some(&Key::Singleton);
    }
    filter.conjuncts().iter().find_map(|conjunct| match conjunct {
        Predicate::Key(key) => Some(key),
        _ => None,
    })
}

/// The keys, if a query can only be answered by rows with these.
fn several_keys(filter: &Predicate) -> Option<&[Key]> {
    filter.conjuncts().iter().find_map(|conjunct| match conjunct {
        Predicate::Keys(keys) => Some(&keys[..]),
        _ => None,
    })
}

/// Whether the list gives the rows that a query asks for and no others.
fn lists_exactly(route: &Route, query: &Query) -> bool {
    pushdown::Plan::of(route, route.schema, query).is_ok_and(|plan| plan.done.filter)
}

fn key_hole(schema: &'static Schema, key: &Key, hole: Hole) -> Result<String> {
    match hole {
        Hole::Key(part) => key_text(schema, key, part),
        Hole::Field(_) => Err(invalid("nothing but the key is known")),
    }
}

/// Leaves out rows that the server was said to leave out and has not: many ignore a parameter that they don't know. Gives
/// how many these are.
///
/// # Errors
/// `Transport`, not transient, if the server has applied a window to the wrong rows.
fn verify(route: &Route, query: &Query, rows: &mut Vec<PageRow>) -> Result<usize> {
    let before = rows.len();
    let mut kept = Vec::with_capacity(before);
    for row in std::mem::take(rows) {
        // A reference that is not looked up yet is the server's business.
        if codec::awaits(&row) || query.filter.matches(route.schema, &*row.row)? {
            kept.push(row);
        }
    }
    *rows = kept;
    let wrong = before - rows.len();
    if wrong == 0 {
        return Ok(0);
    }
    if query.after.is_none() && (query.limit.is_some() || query.offset > 0) {
        return Err(misbehaved(format!(
            "the server listed {wrong} rows that its filter parameters exclude, so its window is not to be trusted; \
             take the parameters that it does not know out of the endpoint, or declare them by `Endpoint::narrow_op`"
        )));
    }
    tracing::warn!(
        model = route.schema.model,
        rows = wrong,
        "the server listed rows that its filter parameters exclude; see whether it knows them"
    );
    Ok(wrong)
}
