//! Associations over REST: what a server says of related rows, and what it hears.
#![cfg(feature = "rest")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "../support/mod.rs"]
mod support;

mod answered;
mod brought;
mod embedded;
mod embedded_via;
mod keys;
mod lookups;
mod nested;
mod nested_conflicts;
mod nested_keys;
mod nested_queues;
mod nested_races;
mod nested_targets;
mod ordering;
mod recorded;

use std::sync::Arc;

use larder::rest::{Endpoint, FilterOp};
use larder::{Many, Memory, Model, One, ReadPolicy, Repository, Rest, Runtime, Select, TokioRuntime};
use larder_stubs::{Call, Collection, Filters, Stubs};
use serde_json::{Value, json};

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct User {
    #[model(key)]
    pub(crate) login: String,
    #[model(unique)]
    pub(crate) email: String,
    pub(crate) bio: Option<String>,
}

#[derive(Model, Clone, Debug, PartialEq)]
#[model(json(rename_all = "camelCase"))]
pub(crate) struct Issue {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) title: String,
    pub(crate) opened_by: One<User>,
    #[model(keys, default)]
    pub(crate) labels: Many<Label>,
    #[model(children = "issue")]
    pub(crate) remarks: Many<Remark>,
    #[model(through = "Watching", from = "issue", to = "user")]
    pub(crate) watchers: Many<User>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Label {
    #[model(key)]
    pub(crate) name: String,
    #[model(default)]
    pub(crate) color: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Remark {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) issue: One<Issue>,
    pub(crate) text: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Watching {
    #[model(key)]
    pub(crate) issue: One<Issue>,
    #[model(key)]
    pub(crate) user: One<User>,
}

/// Says whose it is by the e-mail address.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Visit {
    #[model(key)]
    pub(crate) id: u32,
    #[model(json(lookup = "email"))]
    pub(crate) guest: One<User>,
    #[model(json(lookup(email = "/by/email", login = "/by/login")))]
    pub(crate) clerk: Option<One<User>>,
}

/// A person who says by name who is in charge.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Person {
    #[model(key)]
    pub(crate) id: u32,
    #[model(unique)]
    pub(crate) name: String,
    #[model(json(lookup = "name"))]
    pub(crate) boss: Option<One<Person>>,
}

/// A repository over memory, with a server of stubs. The server filters users by key, login and e-mail address, and
/// people by name.
pub(crate) async fn repo(stubs: &Stubs) -> Repository {
    repo_by(stubs, Arc::new(TokioRuntime::current().unwrap())).await
}

/// The same on a runtime.
pub(crate) async fn repo_by(stubs: &Stubs, runtime: Arc<dyn Runtime>) -> Repository {
    let users = Endpoint::new("/users").filter_op(User::LOGIN, FilterOp::AnyOf, "login").filter_op(
        User::EMAIL,
        FilterOp::AnyOf,
        "email",
    );
    let people = Endpoint::new("/people").filter_param(Person::NAME, "name").filter_op(
        Person::NAME,
        FilterOp::AnyOf,
        "name",
    );
    let rest = Rest::at("https://api.example.com")
        .model::<User>(users)
        .model::<Person>(people)
        .transport(stubs.clone());
    Repository::builder()
        .runtime(runtime)
        .store(Memory::new())
        .remote(rest)
        .model::<User>()
        .model::<Issue>()
        .model::<Label>()
        .model::<Remark>()
        .model::<Watching>()
        .model::<Visit>()
        .model::<Person>()
        .build()
        .await
        .unwrap()
}

pub(crate) fn users() -> Collection {
    Collection::at("users").key("login").filters(Filters::Some(vec!["login".into(), "email".into()])).rows([
        json!({ "login": "ada", "email": "ada@example.com", "bio": "first" }),
        json!({ "login": "bob", "email": "bob@example.com", "bio": null }),
    ])
}

/// What is here.
pub(crate) async fn here<M: Model + Clone>(repo: &Repository) -> Vec<M> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<M>::all()).await.unwrap();
    rows.iter().map(|row| M::clone(row)).collect()
}

pub(crate) fn issue(id: u32, opened_by: impl Into<Value>) -> Value {
    json!({ "id": id, "title": "It burns", "openedBy": opened_by.into() })
}

/// The requests, each as its path and its query.
pub(crate) fn asked(stubs: &Stubs) -> Vec<String> {
    let shown = |call: Call| {
        let query = call.query.iter().map(|(name, value)| format!(" {name}={value}"));
        call.segments.join("/") + &query.collect::<String>()
    };
    stubs.calls().into_iter().map(shown).collect()
}
