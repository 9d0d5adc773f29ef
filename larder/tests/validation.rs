//! An application's own checks: asked before anything is stored, and of nothing that comes from elsewhere.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;

use larder::core::{Context, Mutation, Query};
use larder::{
    Error, ErrorKind, Invalid, Model, MutationId, Operation, ReadPolicy, Repository, Result, Select, Uuid,
    WritePolicy,
};
use rstest::rstest;
use support::{Switches, builder};

#[derive(Model, Clone, Debug, PartialEq)]
#[model(validate = "in_order")]
struct Stay {
    #[model(key)]
    id: String,
    #[model(validate = "of_a_room")]
    room: u32,
    from: i64,
    to: i64,
    #[model(validate = "Guest::named")]
    guest: Guest,
}

#[derive(larder::Datum, Clone, Debug, PartialEq)]
struct Guest {
    name: String,
}

impl Guest {
    fn named(&self) -> Result<(), Invalid> {
        if self.name.is_empty() { Err(Invalid::new("a guest has a name").at("name")) } else { Ok(()) }
    }
}

fn of_a_room(room: &u32) -> Result<(), String> {
    if *room > 20 { Err(format!("there is no room {room}")) } else { Ok(()) }
}

fn in_order(stay: &Stay) -> Result<(), Invalid> {
    if stay.to < stay.from { Err(Invalid::new("ends before it begins").at("to")) } else { Ok(()) }
}

/// Checked by a function of its own.
#[derive(Model, Clone, Debug, PartialEq)]
#[model(singleton, validate)]
struct Settings {
    volume: u8,
}

impl Settings {
    fn validate(&self) -> Result<(), &'static str> {
        if self.volume > 11 { Err("too loud") } else { Ok(()) }
    }
}

fn stay(id: &str) -> Stay {
    Stay { id: id.into(), room: 3, from: 1, to: 2, guest: Guest { name: "Ada".into() } }
}

async fn repo(net: &Arc<Switches>) -> Repository {
    builder(net).model::<Stay>().model::<Settings>().build().await.unwrap()
}

#[track_caller]
fn check(error: &Error, path: Option<&str>, message: &str) {
    assert_eq!((error.kind(), error.path(), error.message()), (ErrorKind::Invalid, path, message));
}

async fn nothing_happened(net: &Switches, repo: &Repository) {
    repo.outbox().drain().await;
    assert_eq!(net.seen(), Vec::<String>::new());
    assert!(repo.outbox().list(0, 10).await.unwrap().is_empty(), "nothing is queued");
    let local = repo.reading(ReadPolicy::LocalOnly);
    assert_eq!(local.get(Select::<Stay>::all()).await.unwrap().len(), 0, "nothing is stored");
}

// Rules: m-validate
#[rstest]
#[case(|stay: &mut Stay| stay.to = 0, "to", "ends before it begins")]
#[case(|stay: &mut Stay| stay.room = 21, "room", "there is no room 21")]
#[case(|stay: &mut Stay| stay.guest.name.clear(), "guest.name", "a guest has a name")]
#[tokio::test]
async fn what_is_invalid_is_neither_stored_nor_queued(
    #[case] spoil: fn(&mut Stay),
    #[case] path: &str,
    #[case] message: &str,
    #[values(WritePolicy::OptimisticLocal, WritePolicy::RequireRemote, WritePolicy::LocalOnly)]
    policy: WritePolicy,
) {
    let net = Switches::new();
    let repo = repo(&net).await.writing(policy);
    let mut bad = stay("1");
    spoil(&mut bad);
    let error = repo.upsert(&bad).await.unwrap_err();
    check(&error, Some(path), message);
    assert_eq!((error.model_name(), error.row_key()), (Some("Stay"), Some("1")));
    assert_eq!(error.to_string(), format!("failed to validate Stay 1 at {path}: invalid: {message}"));
    nothing_happened(&net, &repo).await;
}

// Rules: m-validate
#[tokio::test]
async fn one_bad_row_of_many_stops_them_all() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let bad = Stay { room: 99, ..stay("2") };
    let error = repo.upsert_many([&stay("1"), &bad, &stay("3")]).await.unwrap_err();
    assert_eq!((error.row_key(), error.path()), (Some("2"), Some("room")));
    let error = repo
        .transaction(|tx| {
            tx.upsert(&stay("1"))?;
            tx.upsert(&Stay { to: 0, ..stay("2") })
        })
        .await
        .unwrap_err();
    check(&error, Some("to"), "ends before it begins");
    nothing_happened(&net, &repo).await;
}

// Rules: m-validate
#[tokio::test]
async fn an_edit_that_makes_a_row_invalid_leaves_it_as_it_was() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let stored = repo.upsert(&stay("1")).await.unwrap().into_row();
    let error = repo.update(&stored, |stay| stay.room = 50).await.unwrap_err();
    check(&error, Some("room"), "there is no room 50");
    assert_eq!(repo.find::<Stay>("1").await.unwrap().unwrap().room, 3);
    let error = repo.upsert(&Settings { volume: 12 }).await.unwrap_err();
    check(&error, None, "too loud");
    let stored = repo.upsert(&Settings { volume: 11 }).await.unwrap();
    assert_eq!(stored.volume, 11);
}

// Rules: m-validate
#[tokio::test]
async fn what_the_remote_has_is_taken_as_it_is_and_can_be_deleted() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let old = Stay { room: 99, ..stay("1") };
    let mutation = Mutation {
        id: MutationId(Uuid::from_u128(7)),
        schema: Stay::schema(),
        key: old.key().unwrap(),
        operation: Operation::Upsert,
        row: Some(Arc::new(old.clone())),
        changed: None,
        base_version: None,
        extra: None,
        repeated: false,
        nested: Vec::new(),
    };
    net.server().apply(&Context::new(), &mutation).await.unwrap();
    let pulled = repo.get(Select::<Stay>::all()).await.unwrap();
    assert_eq!(*pulled[0], old, "the server's word counts");
    repo.delete(&old).await.unwrap().accepted().await.unwrap();
    assert!(net.server().get(&Context::new(), Stay::schema(), &Query::all()).await.unwrap().rows.is_empty());
}

// Rules: o-edit, m-validate
#[tokio::test]
async fn an_edit_of_what_is_parked_is_asked_about_like_any_write() {
    let net = Switches::new();
    let repo = builder(&net).model::<Stay>().build().await.unwrap();
    net.next(support::Turn::Say(ErrorKind::Rejected, 422));
    let stay = Stay { id: "1".into(), room: 7, from: 1, to: 2, guest: Guest { name: "Ada".into() } };
    let _ = repo.upsert(&stay).await.unwrap();
    let seq = support::parked(&repo, 1).await[0].seq;
    let refused = repo.outbox().edit::<Stay>(seq, |stay| stay.room = 99).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert!(refused.to_string().contains("there is no room 99"), "{refused}");
    assert!(repo.outbox().parked().await.unwrap().len() == 1 && net.notes().await.is_empty());
    repo.outbox().edit::<Stay>(seq, |stay| stay.room = 9).await.unwrap();
    support::settled(&repo).await;
}
