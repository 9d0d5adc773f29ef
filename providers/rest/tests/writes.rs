//! Mutations as requests, and what their answers mean.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use larder_core::{Context, ErrorKind, Operation, Outcome, Sent, ValueRef};
use larder_rest::http::Method;
use larder_rest::{Action, Endpoint, Rest};
use rstest::rstest;
use serde_json::json;
use support::*;

fn users() -> Endpoint {
    Endpoint::new("/users")
}

fn ada() -> larder_core::Record {
    user("7", "Ada", Some(36), "Open")
}

#[rstest]
#[case(users(), Operation::Insert, "POST /v1/users")]
#[case(users().create_with(Method::PUT), Operation::Insert, "PUT /v1/users/7")]
#[case(users().create("/signup/{name}"), Operation::Insert, "POST /v1/signup/Ada")]
#[case(users(), Operation::Update, "PUT /v1/users/7")]
#[case(users().update_with(Method::PATCH), Operation::Update, "PATCH /v1/users/7")]
#[case(users().update_with(Method::POST).update("/u/{key}?state={state}"), Operation::Update, "POST /v1/u/7?state=open")]
#[case(users(), Operation::Upsert, "PUT /v1/users/7")]
#[case(users().upsert_with(Method::POST), Operation::Upsert, "POST /v1/users")]
#[case(users().upsert_with(Method::POST).upsert("/users/put"), Operation::Upsert, "POST /v1/users/put")]
#[case(users(), Operation::Delete, "DELETE /v1/users/7")]
#[case(users().delete_with(Method::POST).delete("/users/{key}/delete"), Operation::Delete, "POST /v1/users/7/delete")]
#[case(users().param("tenant", "a b"), Operation::Delete, "DELETE /v1/users/7?tenant=a%20b")]
#[tokio::test]
async fn each_action_has_its_method_and_place(
    #[case] endpoint: Endpoint,
    #[case] operation: Operation,
    #[case] line: &str,
) {
    let server = Server::always(reply(204));
    let remote = remote(&server, endpoint).await;
    let row = (operation != Operation::Delete).then(ada);
    remote.apply(&Context::new(), &mutation(operation, row, "7")).await.unwrap();
    assert_eq!(server.only().line(), line);
}

#[tokio::test]
async fn bodies_are_wrapped_and_supplemented() {
    let server = Server::always(reply(204));
    let endpoint = users().body_key("user").supplement("source", "larder").supplement("v", 2);
    let remote = remote(&server, endpoint).await;
    remote.apply(&Context::new(), &mutation(Operation::Insert, Some(ada()), "7")).await.unwrap();
    let seen = server.only();
    assert_eq!(
        seen.json(),
        json!({ "user": user_json("7", "Ada", Some(36), "open"), "source": "larder", "v": 2 })
    );
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert!(seen.header("user-agent").unwrap().starts_with("larder-rest/"));
}

#[tokio::test]
async fn a_put_keeps_what_the_model_has_not_and_a_patch_sends_what_changed() {
    let server = Server::always(reply(204));
    let mut update = mutation(Operation::Update, Some(ada()), "7");
    update.extra = Some(r#"{"avatar": "x.png", "years": 1}"#.into());
    update.changed = changed(&[1, 3]);
    remote(&server, users()).await.apply(&Context::new(), &update).await.unwrap();
    let patching = remote(&server, users().update_with(Method::PATCH)).await;
    patching.apply(&Context::new(), &update).await.unwrap();
    update.changed = None;
    patching.apply(&Context::new(), &update).await.unwrap();
    let log = server.log();
    let mut whole = user_json("7", "Ada", Some(36), "open");
    assert_eq!(log[1].json(), json!({ "userName": "Ada", "status": "open" }));
    assert_eq!(log[2].json(), whole);
    whole["avatar"] = "x.png".into();
    assert_eq!(log[0].json(), whole, "the row is laid over it");

    update.extra = Some("[1".into());
    let broken = remote(&server, users()).await.apply(&Context::new(), &update).await.unwrap_err();
    assert_eq!((broken.kind(), broken.sent()), (ErrorKind::Corrupt, Sent::Never));
}

#[tokio::test]
async fn a_delete_by_post_has_a_body_only_if_there_is_something_to_say() {
    let server = Server::always(reply(200));
    let delete = mutation(Operation::Delete, None, "7");
    remote(&server, users()).await.apply(&Context::new(), &delete).await.unwrap();
    let posting = users().delete_with(Method::POST).delete("/users/{key}/delete").supplement("reason", "app");
    remote(&server, posting).await.apply(&Context::new(), &delete).await.unwrap();
    let log = server.log();
    assert_eq!((log[0].body.as_str(), log[0].header("content-type")), ("", None));
    assert_eq!(
        (log[1].json(), log[1].header("content-type")),
        (json!({ "reason": "app" }), Some("application/json"))
    );
}

#[tokio::test]
async fn keys_of_two_parts_and_of_none() {
    let server = Server::always(reply(204));
    let remote = open(Rest::at("https://api.example.com").transport(server.clone())).await;
    let mut delete =
        mutation(Operation::Delete, None, larder_core::Key::Composite(["A/B".into(), 7.into()].into()));
    delete.schema = &SEAT;
    remote.apply(&Context::new(), &delete).await.unwrap();
    delete.schema = &PROFILE;
    delete.key = larder_core::Key::Singleton;
    remote.apply(&Context::new(), &delete).await.unwrap();
    assert_eq!(server.lines(), ["DELETE /seats/A%2FB/7", "DELETE /profile"]);
    delete.schema = &SEAT;
    let wrong = remote.apply(&Context::new(), &delete).await.unwrap_err();
    assert_eq!((wrong.kind(), wrong.sent()), (ErrorKind::Invalid, Sent::Never));
}

#[rstest]
#[case("../admin", "/v1/users/..%2Fadmin")]
#[case("a/b?x=1#y", "/v1/users/a%2Fb%3Fx%3D1%23y")]
#[case("%2e%2e", "/v1/users/%252e%252e")]
#[case("\r\nX-Evil: 1", "/v1/users/%0D%0AX-Evil%3A%201")]
#[case("Zoë\0", "/v1/users/Zo%C3%AB%00")]
#[tokio::test]
async fn a_hostile_id_stays_in_its_segment(#[case] id: &str, #[case] target: &str) {
    let server = Server::always(reply(204));
    let remote = remote(&server, users()).await;
    remote.apply(&Context::new(), &mutation(Operation::Delete, None, id)).await.unwrap();
    assert_eq!(server.only().target, target);
}

#[rstest]
#[case("")]
#[case(".")]
#[case("..")]
#[tokio::test]
async fn an_id_that_would_leave_its_segment_is_not_sent(#[case] id: &str) {
    let server = Server::always(reply(204));
    let remote = remote(&server, users()).await;
    for operation in [Operation::Delete, Operation::Update] {
        let mutation = mutation(operation, Some(ada()), id);
        let error = remote.apply(&Context::new(), &mutation).await.unwrap_err();
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Invalid, Sent::Never));
    }
    let long = mutation(Operation::Delete, None, "x".repeat(70_000));
    assert_eq!(remote.apply(&Context::new(), &long).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(server.log().is_empty());
}

#[rstest]
#[case(Operation::Insert, 201, Outcome::Inserted)]
#[case(Operation::Insert, 202, Outcome::Accepted)]
#[case(Operation::Update, 200, Outcome::Updated)]
#[case(Operation::Upsert, 201, Outcome::Inserted)]
#[case(Operation::Upsert, 204, Outcome::Updated)]
#[case(Operation::Delete, 204, Outcome::Deleted)]
#[case(Operation::Delete, 202, Outcome::Accepted)]
#[case(Operation::Delete, 404, Outcome::Missing)]
#[case(Operation::Delete, 410, Outcome::Missing)]
#[tokio::test]
async fn outcomes(#[case] operation: Operation, #[case] status: u16, #[case] expected: Outcome) {
    let server = Server::always(reply(status));
    let applied = remote(&server, users()).await;
    let applied = applied.apply(&Context::new(), &mutation(operation, Some(ada()), "7")).await.unwrap();
    assert_eq!(applied.outcome, expected);
    assert!(applied.row.is_none());
}

#[tokio::test]
async fn the_answer_to_a_write_is_the_row_with_its_version() {
    let mut body = user_json("7", "ADA", None, "closed");
    body["avatar"] = "x.png".into();
    body.as_object_mut().unwrap().remove("labels");
    let server = Server::always(reply(200).header("etag", "\"v2\"").json(json!({ "data": body })));
    let remote = remote(&server, users().row_key("data")).await;
    let applied =
        remote.apply(&Context::new(), &mutation(Operation::Update, Some(ada()), "7")).await.unwrap();
    let row = applied.row.unwrap();
    assert_eq!(row.meta.version.as_deref(), Some("\"v2\""));
    assert_eq!(row.meta.extra.as_deref(), Some(r#"{"avatar":"x.png"}"#));
    assert!(matches!(row.row.field(1).unwrap(), ValueRef::Str("ADA")));
    assert!(matches!(row.row.field(4).unwrap(), ValueRef::Absent), "what is missing is absent");
}

#[tokio::test]
async fn an_answer_that_shows_a_part_of_the_row_does_not_forget_the_rest() {
    let server = Server::always(ok(json!({ "id": "7", "avatar": "y.png" })));
    let remote = remote(&server, users()).await;
    let mut update = mutation(Operation::Update, Some(ada()), "7");
    update.extra = Some(r#"{"avatar":"x.png","score":1}"#.into());
    let row = remote.apply(&Context::new(), &update).await.unwrap().row.unwrap();
    assert_eq!(row.meta.extra.as_deref(), Some(r#"{"avatar":"y.png","score":1}"#));
}

#[tokio::test]
async fn an_answer_without_a_body_may_still_tell_the_version() {
    let server = Server::always(reply(204).header("etag", "W/\"v2\""));
    let remote = remote(&server, users()).await;
    let mut update = mutation(Operation::Update, Some(ada()), "7");
    update.extra = Some(r#"{"avatar":"x.png"}"#.into());
    let row = remote.apply(&Context::new(), &update).await.unwrap().row.unwrap();
    assert_eq!(row.meta.version.as_deref(), Some("W/\"v2\""));
    assert_eq!(row.meta.extra, update.extra);
    assert!((0..6).all(|at| matches!(row.row.field(at).unwrap(), ValueRef::Absent)));
}

/// The server has accepted: an error would have it sent again.
#[rstest]
#[case("{", "application/json")]
#[case("<html>thanks</html>", "application/json")]
#[case("[]", "application/json")]
#[case(r#"{"id": 7}"#, "application/json")]
#[case(r#"{"ok": true}"#, "application/json")]
#[case(r#"{"id": "8", "userName": "Eve"}"#, "application/json")]
#[case("\"a body that is longer than is allowed, by a few bytes more than sixty-four\"", "application/json")]
#[tokio::test]
async fn an_answer_that_is_not_the_row_does_not_undo_the_write(#[case] body: &str, #[case] kind: &str) {
    let server = Server::always(reply(201).header("content-type", kind).text(body));
    let rest = Rest::at("https://api.example.com").transport(server.clone()).body_limit(64);
    let applied =
        open(rest).await.apply(&Context::new(), &mutation(Operation::Insert, Some(ada()), "7")).await;
    let applied = applied.unwrap();
    assert_eq!(applied.outcome, Outcome::Inserted);
    assert!(applied.row.is_none());
}

/// A portal answers whatever it is asked, and the server has heard of nothing.
#[tokio::test]
async fn a_page_is_no_answer_to_a_write() {
    let server =
        Server::always(reply(200).header("content-type", "Text/HTML; charset=utf-8").text("<html>Log in"));
    let insert = || mutation(Operation::Insert, Some(ada()), "7");
    let error = remote(&server, users()).await.apply(&Context::new(), &insert()).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Transport, Sent::Maybe));
    assert!(error.is_transient() && error.to_string().contains("captive portal"), "{error}");
    let thanks = remote(&server, users().html_answers()).await;
    assert!(thanks.apply(&Context::new(), &insert()).await.unwrap().row.is_none());
}

#[tokio::test]
async fn an_action_that_the_server_has_not_is_refused_before_it_is_asked() {
    let server = Server::always(reply(204));
    let remote = remote(&server, users().without(Action::Delete).without(Action::List)).await;
    let refused = remote.apply(&Context::new(), &mutation(Operation::Delete, None, "7")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.sent()), (ErrorKind::Unsupported, Sent::Never));
    let refused = remote.get(&Context::new(), &USER, &larder_core::Query::all()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let without_row =
        remote.apply(&Context::new(), &mutation(Operation::Insert, None, "7")).await.unwrap_err();
    assert_eq!(without_row.kind(), ErrorKind::Invalid);
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn capabilities_are_what_was_configured() {
    use larder_core::Pushdown;
    use larder_rest::{FilterOp, OrderStyle};
    let server = Server::always(reply(204));
    let able = remote(&server, users()).await.capabilities();
    assert_eq!((able.filter, able.order, able.window, able.versions), (Pushdown::None, false, false, false));
    assert!(able.insert && able.update && able.upsert && able.delete && able.list && !able.unique);
    let some = remote(&server, users().filter_op("age", FilterOp::Ge, "min")).await.capabilities();
    assert_eq!(some.filter, Pushdown::Some);
    let all = |model| {
        Endpoint::new(model).filter_everything(|_, _| Vec::new()).order_param("sort", OrderStyle::Signed)
    };
    let rest = Rest::at("https://api.example.com").transport(server).checks_unique().checks_versions();
    let rest = rest.endpoint("User", all("/u")).endpoint("Seat", all("/s")).endpoint("Profile", all("/p"));
    let able = open(rest).await.capabilities();
    assert_eq!((able.filter, able.order, able.window), (Pushdown::All, true, true));
    assert!(able.unique && able.versions);
}
