//! What the tests share: a runtime, two models, and a server without a socket.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "each test file uses its part of it"
)]

include!("runtime.rs");

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, Request, Response, StatusCode};
use larder_core::{
    Context, EnumDef, FieldDef, FieldDialect, FieldSet, IntKind, Key, KeyDef, Kind, Mutation, MutationId,
    OpenProvider, Operation, Page, Provider, Record, Row, Schema, StructDef, Tagging, Uuid, Value, ValueRef,
    VariantDef,
};
use larder_rest::{Body, Endpoint, Rest, http};
use serde_json::{Value as Json, json};
use tower::Service;

static STATE: EnumDef = EnumDef {
    name: "State",
    variants: &[
        VariantDef { name: "Open", names: &[("json", "open")], alias: &[], fields: &[], tuple: false },
        VariantDef { name: "Closed", names: &[("json", "closed")], alias: &[], fields: &[], tuple: false },
    ],
    tagging: Tagging::External,
};

static ADDRESS: StructDef =
    StructDef { name: "Address", fields: &[FieldDef::new("zip", Kind::Int(IntKind::U32))] };

const fn called(name: &'static str) -> FieldDialect {
    FieldDialect { name: Some(name), ..FieldDialect::PLAIN }
}

/// Every field but the key has another name in JSON.
pub static USER: Schema = Schema::new(
    "User",
    &[
        FieldDef::new("id", Kind::Str),
        FieldDef::new("name", Kind::Str).with_dialects(&[("json", called("userName"))]),
        FieldDef::new("age", Kind::Option(&Kind::Int(IntKind::I64)))
            .with_dialects(&[("json", called("years"))]),
        FieldDef::new("state", Kind::Enum(&STATE)).with_dialects(&[("json", called("status"))]),
        FieldDef::new("tags", Kind::List(&Kind::Str)).with_dialects(&[("json", called("labels"))]),
        FieldDef::new("address", Kind::Option(&Kind::Struct(&ADDRESS)))
            .with_dialects(&[("json", called("home"))]),
    ],
    KeyDef::natural(&[0]),
);

/// A key of two parts.
pub static SEAT: Schema = Schema::new(
    "Seat",
    &[
        FieldDef::new("hall", Kind::Str),
        FieldDef::new("number", Kind::Int(IntKind::I64)),
        FieldDef::new("taken", Kind::Bool),
    ],
    KeyDef::natural(&[0, 1]),
);

/// One row.
pub static PROFILE: Schema = Schema::new("Profile", &[FieldDef::new("nick", Kind::Str)], KeyDef::singleton());

pub fn user(id: &str, name: &str, age: Option<i64>, state: &str) -> Record {
    Record::new([
        Some(Value::Str(id.into())),
        Some(Value::Str(name.into())),
        Some(age.map_or(Value::Null, |age| Value::Int(age.into()))),
        Some(Value::Str(state.into())),
        Some(Value::List(vec![Value::Str("a".into())])),
        Some(Value::Null),
    ])
}

pub fn user_json(id: &str, name: &str, age: Option<i64>, state: &str) -> Json {
    json!({ "id": id, "userName": name, "years": age, "status": state, "labels": ["a"], "home": null })
}

/// What a server has seen of a request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or(Json::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What a server answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

pub fn reply(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Vec::new() }
}

pub fn ok(body: Json) -> Reply {
    reply(200).json(body)
}

impl Reply {
    pub fn json(self, body: Json) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json").text(body.to_string())
    }

    pub fn text(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A server without a socket.
#[derive(Clone)]
pub struct Server {
    handler: Arc<Handler>,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub fn new(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self { handler: Arc::new(handler), log: Arc::default() }
    }

    /// Answers everything alike.
    pub fn always(reply: Reply) -> Self {
        Self::new(move |_| reply.clone())
    }

    pub fn log(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.log().iter().map(Seen::line).collect()
    }

    #[track_caller]
    pub fn only(&self) -> Seen {
        let mut log = self.log();
        assert_eq!(log.len(), 1, "{log:?}");
        log.remove(0)
    }
}

impl Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let seen = Seen {
            method: parts.method,
            target: parts.uri.path_and_query().unwrap().to_string(),
            headers: parts.headers,
            body: String::from_utf8(body.bytes().to_vec()).unwrap(),
        };
        let reply = (self.handler)(&seen);
        self.log.lock().unwrap().push(seen);
        let mut response = Response::new(Body::from(reply.body));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
        for (name, value) in reply.headers {
            response.headers_mut().append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        ready(Ok(response))
    }
}

pub async fn open(rest: Rest) -> Arc<dyn Provider> {
    Box::new(rest).open(&opening(&[&USER, &SEAT, &PROFILE])).await.unwrap()
}

/// A remote that sends to `server`, with this endpoint of `User`.
pub async fn remote(server: &Server, users: Endpoint) -> Arc<dyn Provider> {
    open(Rest::at("https://api.example.com/v1").transport(server.clone()).endpoint("User", users)).await
}

pub const ID: &str = "0190b2a0-0000-7000-8000-000000000001";

pub fn mutation(operation: Operation, row: Option<Record>, key: impl Into<Key>) -> Mutation {
    Mutation {
        id: MutationId(ID.parse::<Uuid>().unwrap()),
        schema: &USER,
        key: key.into(),
        operation,
        row: row.map(|row| Arc::new(row) as Arc<dyn Row>),
        changed: None,
        base_version: None,
        extra: None,
        repeated: false,
        nested: Vec::new(),
    }
}

pub fn changed(positions: &[usize]) -> Option<FieldSet> {
    Some(positions.iter().copied().collect())
}

/// The ids of the rows of a page.
pub fn ids(page: &Page) -> Vec<String> {
    let id = |row: &dyn Row| match row.field(0).unwrap() {
        ValueRef::Str(id) => id.to_owned(),
        other => panic!("{other:?}"),
    };
    page.rows.iter().map(|row| id(&*row.row)).collect()
}

/// All pages of a query, as the repository reads them.
pub async fn pages(
    remote: &Arc<dyn Provider>,
    schema: &'static Schema,
    query: &larder_core::Query,
) -> larder_core::Result<Vec<Page>> {
    let mut cx = Context::new();
    let mut pages = Vec::new();
    loop {
        let page = remote.get(&cx, schema, query).await?;
        cx.resume = page.next.clone();
        pages.push(page);
        if cx.resume.is_none() {
            return Ok(pages);
        }
        assert!(pages.len() < 1000, "a list without an end");
    }
}

/// Three rows, two of which are open.
pub fn three() -> Json {
    json!([
        user_json("1", "Ada", Some(36), "open"),
        user_json("2", "Bob", None, "closed"),
        user_json("3", "Cid", Some(7), "open"),
    ])
}

/// A number in the query of a request.
pub fn param(seen: &Seen, name: &str) -> Option<u64> {
    let (_, query) = seen.target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))?.parse().ok())
}

/// Rows whose keys are these numbers.
pub fn slice(from: u64, to: u64) -> Json {
    (from..to).map(|at| user_json(&format!("{at:03}"), "Ada", None, "open")).collect()
}

/// A server that has so many rows, page by page.
pub fn numbered(total: u64) -> Server {
    Server::new(move |seen| {
        let size = param(seen, "per_page").unwrap_or(2);
        let from = param(seen, "from").unwrap_or_else(|| (param(seen, "page").unwrap() - 1) * size);
        ok(slice(from.min(total), (from + size).min(total)))
    })
}
