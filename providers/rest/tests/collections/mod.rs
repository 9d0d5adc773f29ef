//! A server for the models of the suites, at three levels of push-down, and the remote that is configured for it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

mod sited;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use larder_core::dialect::json::Json;
use larder_core::{Direction, Done, Meta, Order, PageRow, Predicate, Query, Schema, Serdes, Timestamp};
use larder_harness::models::{ALL, SPECIMEN};
use larder_rest::http::{Method, StatusCode};
use larder_rest::{Action, Changes, Endpoint, FilterOp, OrderStyle, Paging, Rest, Total};
use larder_stubs::{Collection, Filters, Stubs};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::ServiceExt;

pub use sited::Sited;

/// How much of a query the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing: it gives everything, in pages that are linked. It keeps versions and honours idempotency keys.
    None,
    /// Some conditions on some fields, in pages by number. It keeps no versions, ignores idempotency keys, and has no
    /// upsert.
    Some,
    /// Everything, as Larder does, with limit and offset, in pages that are linked.
    All,
}

/// Rows of a page: few, so that most answers have several.
const PAGE: usize = 7;

/// How many writes the server remembers: few, so that tokens grow old.
const HISTORY: u64 = 60;

/// How it tells how many rows a list has.
const COUNT: &str = "X-Total-Count";

fn path(schema: &'static Schema) -> String {
    format!("{}s", schema.model.to_lowercase())
}

/// The server for rows.
pub fn server(level: Level) -> Stubs {
    ALL.iter().fold(Stubs::new(), |stubs, schema| stubs.collection(collection(level, schema)))
}

fn collection(level: Level, schema: &'static Schema) -> Collection {
    let keys = schema.key.fields.iter().map(|at| schema.fields[*at].name_in("json"));
    let collection = Collection::at(&path(schema)).keys(keys).paged(PAGE).counted(COUNT);
    let versioned = |collection: Collection| collection.etags().put_creates().idempotent("Idempotency-Key");
    if schema.key.fields.is_empty() {
        // Where a resource is the only one, it is made by being put.
        return collection.put_creates();
    }
    let collection = collection.tells_changes(PAGE, HISTORY);
    match level {
        Level::None => versioned(collection),
        Level::Some if *schema == SPECIMEN => narrowed(collection),
        Level::Some => collection,
        Level::All => versioned(collection).selected_by(move |rows, query| select(schema, rows, query)),
    }
}

/// The remote that is configured for the server.
pub fn remote(level: Level, base: &str) -> Rest {
    let rest =
        ALL.iter().fold(Rest::at(base), |rest, schema| rest.endpoint(schema.model, endpoint(level, schema)));
    if level == Level::Some { rest.without_idempotency_header() } else { rest.checks_versions() }
}

fn endpoint(level: Level, schema: &'static Schema) -> Endpoint {
    let endpoint = Endpoint::new(format!("/{}", path(schema))).total(Total::header(COUNT));
    // What is the only one of its kind is not listed, and has no changes.
    let endpoint =
        if schema.key.fields.is_empty() { endpoint } else { endpoint.changes(changes(level, schema)) };
    match level {
        Level::None => endpoint.update_with(Method::PATCH),
        Level::Some => {
            let endpoint =
                endpoint.without(Action::Upsert).paging(Paging::pages("page", "per_page", PAGE as u64));
            if *schema == SPECIMEN { narrowing(endpoint) } else { endpoint }
        }
        Level::All => endpoint
            .update_with(Method::PATCH)
            .filter_everything(|_, filter| {
                vec![("where".into(), serde_json::to_string(filter).expect("a predicate can be written"))]
            })
            .order_param("sort", OrderStyle::Signed)
            .limit_param("limit")
            .offset_param("offset"),
    }
}

fn changes(level: Level, schema: &'static Schema) -> Changes {
    let changes = match level {
        Level::None => Changes::by_header("since", "x-changes-token"),
        Level::Some | Level::All => Changes::by_token("since", "token"),
    };
    let changes = changes.at(format!("/{}/changes", path(schema))).rows("changed").deleted("deleted");
    changes.more("more").total(Total::member("total"))
}

// ---- some conditions ----

/// Fields whose text is the value, so that equal texts are equal values.
const EQUAL: [&str; 12] =
    ["id", "flag", "low", "high", "wide", "letter", "title", "token", "made", "mood", "opt_int", "opt_title"];

/// Relations that the server knows on `low`, `title` and `words`: the parameter is the member, a dot, and this.
const RELATIONS: [(&str, FilterOp, &str); 9] = [
    ("low", FilterOp::Ne, "ne"),
    ("low", FilterOp::Lt, "lt"),
    ("low", FilterOp::Le, "le"),
    ("low", FilterOp::Gt, "gt"),
    ("low", FilterOp::Ge, "ge"),
    ("title", FilterOp::Contains, "has"),
    ("title", FilterOp::StartsWith, "starts"),
    ("title", FilterOp::EndsWith, "ends"),
    ("words", FilterOp::Member, "member"),
];

fn member(name: &str) -> &'static str {
    let at = SPECIMEN.position(name).expect("a field");
    SPECIMEN.fields[at].name_in("json")
}

fn narrowing(endpoint: Endpoint) -> Endpoint {
    let equal = |endpoint: Endpoint, name: &&str| {
        endpoint.filter_param(*name, member(name)).filter_op(*name, FilterOp::AnyOf, member(name))
    };
    let related = |endpoint: Endpoint, (name, op, suffix): &(&str, FilterOp, &str)| {
        endpoint.filter_op(*name, *op, format!("{}.{suffix}", member(name)))
    };
    let endpoint = EQUAL.iter().fold(endpoint, equal);
    RELATIONS.iter().fold(endpoint, related)
}

fn narrowed(collection: Collection) -> Collection {
    let equal = EQUAL.iter().map(|name| member(name).to_owned()).collect();
    RELATIONS.iter().fold(collection.filters(Filters::Some(equal)), |collection, (name, op, suffix)| {
        let (name, op) = (member(name), *op);
        collection.parameter(&format!("{name}.{suffix}"), move |row, value| stands(&row[name], op, value))
    })
}

fn stands(found: &Value, op: FilterOp, value: &str) -> bool {
    let number = || Some((found.as_i64()?, value.parse::<i64>().ok()?));
    let text = || found.as_str().unwrap_or_default();
    match op {
        FilterOp::Ne => number().is_some_and(|(found, value)| found != value),
        FilterOp::Lt => number().is_some_and(|(found, value)| found < value),
        FilterOp::Le => number().is_some_and(|(found, value)| found <= value),
        FilterOp::Gt => number().is_some_and(|(found, value)| found > value),
        FilterOp::Ge => number().is_some_and(|(found, value)| found >= value),
        FilterOp::Contains => text().contains(value),
        FilterOp::StartsWith => text().starts_with(value),
        FilterOp::EndsWith => text().ends_with(value),
        FilterOp::Member => found.as_array().is_some_and(|found| found.iter().any(|found| found == value)),
        other => panic!("the server does not know {other:?}"),
    }
}

// ---- everything ----

/// What a server does that has Larder's own idea of a query.
fn select(
    schema: &'static Schema,
    rows: &[Value],
    parameters: &[(String, String)],
) -> Result<Vec<Value>, String> {
    let mut query = Query::all();
    for (name, value) in parameters {
        let number = || value.parse::<u64>().map_err(|error| format!("{name}: {error}"));
        match name.as_str() {
            "where" => {
                query.filter = serde_json::from_str::<Predicate>(value).map_err(|error| error.to_string())?;
            }
            "sort" => {
                query.order = value.split(',').map(|field| order(schema, field)).collect::<Result<_, _>>()?;
            }
            "limit" => query.limit = Some(number()?),
            "offset" => query.offset = number()?,
            other => return Err(format!("there is no parameter `{other}`")),
        }
    }
    let numbered = rows.iter().enumerate().map(|(at, json)| {
        let record = Json.decode(schema, json).map_err(|error| error.to_string())?.record;
        let meta = Meta { revision: at as u64, ..Meta::synced(Timestamp::UNIX_EPOCH) };
        Ok(PageRow::new(meta, Arc::new(record)))
    });
    let numbered = numbered.collect::<Result<Vec<_>, String>>()?;
    let found = query.finish(schema, Done::default(), numbered).map_err(|error| error.to_string())?;
    Ok(found.iter().map(|row| rows[row.meta.revision as usize].clone()).collect())
}

fn order(schema: &'static Schema, field: &str) -> Result<Order, String> {
    let (name, direction) = match field.strip_prefix('-') {
        Some(name) => (name, Direction::Descending),
        None => (field, Direction::Ascending),
    };
    let at = schema.fields.iter().position(|field| field.name_in("json") == name);
    let at = at.ok_or_else(|| format!("there is no member `{name}` to order by"))?;
    Ok(Order { direction, ..Order::asc(at as u16) })
}

// ---- a socket ----

/// Serves on loopback for as long as what it gives is kept; gives the base URL as well.
pub async fn serve(sited: Sited) -> (String, Serving) {
    let answer = tower::service_fn(move |request: axum::extract::Request| {
        let sited = sited.clone();
        async move {
            let answered = sited.oneshot(request).await;
            Ok::<_, Infallible>(answered.map_or_else(
                |error| {
                    let mut broken = Response::new(Body::from(error.to_string()));
                    *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    broken
                },
                |answer| answer.map(Body::new),
            ))
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    #[allow(clippy::disallowed_methods, reason = "a server has tasks of its own")]
    let task = tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback_service(answer)).await.expect("to serve");
    });
    (base, Serving(task))
}

/// A server that stops when this is dropped.
pub struct Serving(tokio::task::JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}
