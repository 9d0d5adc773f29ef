//! GitHub's paths: HTTP to [`Write`] and [`Answer`] to HTTP.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, OriginalUri, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::Value;

use super::exchange::{Answer, Verb, Write, shown, tag_listed};
use super::faults::{Act, When};
use super::handle::{Hangup, Shared};
use super::journal::Origin;
use super::object::{Fields, Kind};
use super::page::ListQuery;
use super::refusal::Refusal;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// As Stripe has it: set when a stored answer is given again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

type Repository = State<Arc<Shared>>;

/// What the path names. Either owner and repo are there or the repository's number.
#[derive(Debug, Deserialize)]
struct Place {
    owner: Option<String>,
    repo: Option<String>,
    repository_id: Option<u64>,
    key: Option<String>,
}

/// Every path of the repository, in both forms, with the faults around it.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let paths = collection(Kind::Issue).merge(collection(Kind::Label));
    Router::new()
        .nest("/repos/{owner}/{repo}", paths.clone())
        .nest("/repositories/{repository_id}", paths)
        .fallback(async || Refusal::NotFound.answer().into_response())
        .layer(from_fn_with_state(Arc::clone(shared), with_faults))
        .with_state(Arc::clone(shared))
}

fn collection(kind: Kind) -> Router<Arc<Shared>> {
    let all = format!("/{}", kind.collection());
    let one = format!("{all}/{{key}}");
    Router::new()
        .route(&all, get(list).post(write))
        .route(&one, get(read).put(write).patch(write).delete(write))
        .layer(Extension(kind))
}

/// Drops, delays or refuses what [`Faults`](super::faults::Faults) says.
async fn with_faults(
    State(shared): Repository,
    Extension(hangup): Extension<Hangup>,
    request: Request,
    next: Next,
) -> Response {
    let is_write = !request.method().is_safe();
    shared.advance(|progress| progress.arrived += 1);
    if let Some(refused) = fail(When::Before, is_write, &shared, &hangup).await {
        return refused;
    }
    let response = next.run(request).await;
    if !response.status().is_success() {
        return response;
    }
    let refused = fail(When::After, is_write, &shared, &hangup).await;
    refused.unwrap_or(response)
}

/// Does what the faults say; what it returns is answered instead.
async fn fail(when: When, is_write: bool, shared: &Shared, hangup: &Hangup) -> Option<Response> {
    // Taken before the decision: faults that are cleared right after it release this request too.
    let released = shared.released();
    let decided = shared.faults().decide(when, is_write);
    match decided? {
        Act::Drop => hangup.now().await,
        Act::Hang => {
            shared.hold(released).await;
            None
        }
        Act::Refuse { status, retry_after } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, r#"{"message":"planted"}"#).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            if let Some(seconds) = retry_after {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            Some(response)
        }
    }
}

/// Extracts the place; one that is not in this repository is refused.
impl FromRequestParts<Arc<Shared>> for Place {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let place = Path::<Self>::from_request_parts(parts, shared).await;
        let Path(place) = place.map_err(|problem| Refusal::Unreadable(problem.body_text()))?;
        let forge = shared.forge();
        let repo = &forge.repo;
        let named = place.owner.as_ref() == Some(&repo.owner) && place.repo.as_ref() == Some(&repo.name);
        if named || place.repository_id == Some(repo.id) { Ok(place) } else { Err(Refusal::NotFound) }
    }
}

async fn list(
    State(shared): Repository,
    Extension(kind): Extension<Kind>,
    _: Place,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|problem| Refusal::invalid("query", problem.body_text()))?;
    query.check_state()?;
    let forge = shared.forge();
    let state = |fields: &Fields| fields.get("state").and_then(Value::as_str).map(str::to_owned);
    let mut rows = forge.list(kind);
    rows.retain(|row| query.wants(state(&row.fields).as_deref()));
    let page = query.page(rows.len());
    let shown = rows.into_iter().skip(page.skip()).take(page.take());
    let body: Vec<Value> = shown.map(|row| Value::Object(row.fields.clone())).collect();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let list = format!("http://{host}/repositories/{}/{}", forge.repo.id, kind.collection());
    let answer = Answer { status: 200, body: Some(Value::Array(body)), ..Answer::default() };
    let mut response = answer.into_response();
    if let Some(links) = page.links(&list, query.state.as_deref()).and_then(|links| links.parse().ok()) {
        response.headers_mut().insert(header::LINK, links);
    }
    Ok(response)
}

async fn read(
    State(shared): Repository,
    Extension(kind): Extension<Kind>,
    place: Place,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let forge = shared.forge();
    let object = place.key.as_deref().and_then(|key| forge.find(kind, key)).ok_or(Refusal::NotFound)?;
    let mut answer = shown(object);
    // Weakly compared: what is before the tag does not matter for a read.
    let known = text(&headers, &header::IF_NONE_MATCH)?.map(|list| list.replace("W/", ""));
    if known.is_some_and(|list| tag_listed(&list, &object.etag())) {
        answer = Answer { status: 304, body: None, ..answer };
    }
    Ok(answer.into_response())
}

async fn write(
    State(shared): Repository,
    Extension(kind): Extension<Kind>,
    place: Place,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let verb = match method {
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::PATCH => Verb::Patch,
        _ => Verb::Delete,
    };
    let write = Write {
        verb,
        path: uri.to_string(),
        kind,
        target: place.key,
        body: if verb == Verb::Delete { Fields::new() } else { object(&body)? },
        idempotency_key: idempotency_key(&headers)?,
        if_match: text(&headers, &header::IF_MATCH)?,
        only_create: text(&headers, &header::IF_NONE_MATCH)?.as_deref() == Some("*"),
        origin: Origin::Client,
    };
    shared.write(&write).map(IntoResponse::into_response)
}

fn object(body: &[u8]) -> Result<Fields, Refusal> {
    serde_json::from_slice(body)
        .map_err(|problem| Refusal::Unreadable(format!("problems parsing JSON: {problem}")))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let read = |value: &HeaderValue| value.to_str().map(str::to_owned);
    headers.get(name).map(read).transpose().map_err(|_| Refusal::Unreadable(format!("{name} is not ASCII")))
}

/// The key without the quotes of a structured-field string; a bare one is taken too.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(sent) = text(headers, &HeaderName::from_static(IDEMPOTENCY_KEY))? else {
        return Ok(None);
    };
    let sent = sent.trim();
    let quoted = sent.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted.unwrap_or(sent) {
        "" => Err(Refusal::Unreadable("the idempotency key is empty".to_owned())),
        key if key.contains('"') => {
            Err(Refusal::Unreadable("the idempotency key is badly quoted".to_owned()))
        }
        key => Ok(Some(key.to_owned())),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.answer().into_response()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = self.body.map(|body| body.to_string());
        let mut response = Response::new(body.clone().map_or_else(Body::empty, Body::from));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        }
        // Tags and paths are made here, of ASCII only.
        for (name, value) in [(header::ETAG, self.etag), (header::LOCATION, self.location)] {
            if let Some(value) = value.and_then(|value| value.parse().ok()) {
                headers.insert(name, value);
            }
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
