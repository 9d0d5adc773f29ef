//! `/_control`: the switches of the server for another process. Loopback only, like everything here.
//!
//! | request | does |
//! |---|---|
//! | `GET journal`, `GET snapshot`, `GET progress` | shows |
//! | `GET wait?accepted=1&arrived=2&holding=1&timeout_ms=5000` | answers when all that is named is reached; 408 if not |
//! | `POST offline` `{"offline": true}` | drops every request from now on, or no longer |
//! | `POST faults` with a [`Fault`], `DELETE faults` | plants; removes all and goes online |
//! | `POST break` `{"break": "lose"}` | tells one lie |
//! | `POST change` `{"edit": {"kind": "issue", "key": "7", "fields": {…}}}` | somebody else's [`Change`] |

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::faults::{Break, Fault};
use super::handle::{Change, Progress, Shared};

type Control = State<Arc<Shared>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    arrived: u64,
    #[serde(default)]
    accepted: u64,
    #[serde(default)]
    holding: u64,
    #[serde(default = "half_a_minute")]
    timeout_ms: u64,
}

fn half_a_minute() -> u64 {
    30_000
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Offline {
    offline: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lie {
    r#break: Break,
}

/// The routes below `/_control`.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let paths = Router::new()
        .route("/journal", get(async |State(shared): Control| Json(shared.forge().journal.clone())))
        .route("/snapshot", get(async |State(shared): Control| Json(shared.snapshot())))
        .route("/progress", get(async |State(shared): Control| Json(shared.progress())))
        .route("/wait", get(wait))
        .route("/offline", post(offline))
        .route("/faults", post(plant).delete(clear))
        .route("/break", post(lie))
        .route("/change", post(change));
    Router::new().nest("/_control", paths).with_state(Arc::clone(shared))
}

async fn wait(State(shared): Control, Query(wait): Query<Wait>) -> Response {
    let reached = |progress: &Progress| {
        progress.arrived >= wait.arrived
            && progress.accepted >= wait.accepted
            && progress.holding >= wait.holding
    };
    match tokio::time::timeout(Duration::from_millis(wait.timeout_ms), shared.wait_for(reached)).await {
        Ok(progress) => Json(progress).into_response(),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, Json(shared.progress())).into_response(),
    }
}

async fn offline(State(shared): Control, Json(wanted): Json<Offline>) -> StatusCode {
    shared.faults().offline = wanted.offline;
    StatusCode::NO_CONTENT
}

async fn plant(State(shared): Control, Json(fault): Json<Fault>) -> StatusCode {
    shared.faults().plant(fault);
    StatusCode::NO_CONTENT
}

async fn clear(State(shared): Control) -> StatusCode {
    shared.clear_faults();
    StatusCode::NO_CONTENT
}

async fn lie(State(shared): Control, Json(lie): Json<Lie>) -> StatusCode {
    shared.forge().planted = Some(lie.r#break);
    StatusCode::NO_CONTENT
}

async fn change(State(shared): Control, Json(change): Json<Change>) -> Response {
    shared.change(change).map_or_else(IntoResponse::into_response, IntoResponse::into_response)
}
