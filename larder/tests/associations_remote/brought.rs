//! Rows that stand within others, next to what is here of them: parts, rows that can't be stored, rows with changes.

use std::sync::Arc;
use std::time::Duration;

use larder::core::{OpenStore, Opening};
use larder::rest::{Endpoint, Paging};
use larder::{
    Builder, ErrorKind, Idempotency, Memory, Model, One, Operation, OutboxSettings, Pushed, ReadPolicy,
    Repository, Rest, Select, Strategy, TokioRuntime,
};
use larder_stubs::{Answer, Call, Fault, Flaky, Stubs, Variant};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Person, here};
use crate::support::chaos::{Faults, Faulty};
use crate::support::gates::dequeues;
use crate::support::soon;

#[derive(Model, Clone, Debug, PartialEq)]
struct Folder {
    #[model(key)]
    id: u32,
    name: String,
    color: Option<String>,
    /// That there are two is more than its kind says.
    size: Option<[i64; 2]>,
    parent: Option<One<Folder>>,
    owner: Option<One<Person>>,
}

fn folder(id: u32, name: &str) -> Folder {
    Folder { id, name: name.into(), color: None, size: None, parent: None, owner: None }
}

/// A server with these folders, that answers a creation with what is sent and these members.
fn server(rows: &[Value], says: Value) -> Stubs {
    let answer = move |call: &Call| {
        let mut row = call.json().unwrap();
        for (member, value) in says.as_object().unwrap() {
            row[member] = value.clone();
        }
        Answer::new().status(201).json(row)
    };
    let stubs = Stubs::new().variant(Variant::new("POST folders").respond(answer));
    let stubs = stubs.variant(Variant::new("GET folders").json(Value::from(rows.to_vec())));
    ["PUT folders/2", "PUT folders/9", "PATCH folders/2", "PATCH folders/9"]
        .into_iter()
        .fold(stubs, |stubs, name| stubs.variant(Variant::new(name).status(204)))
}

/// A repository that has the folder 2, "old", as the server had it, over a store that can be made to wait.
async fn over(stubs: &Stubs, configure: impl FnOnce(Builder) -> Builder) -> (Repository, Arc<Faults>) {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let opening = Opening { runtime, schemas: Arc::new([Folder::schema(), Person::schema()]) };
    let disk = OpenStore::open(Box::new(Memory::new()), &opening).await.unwrap();
    let (store, faults) = Faulty::over(&disk, 1);
    let wait = Duration::from_millis(1);
    let rest = Rest::at("https://api.example.com").idempotency_header("Idempotency-Key");
    let builder = Repository::builder()
        .store(store)
        .remote(rest.transport(stubs.clone()))
        .outbox(OutboxSettings::new().serial().strict().without_coalescing().backoff(wait, 5 * wait))
        .model::<Folder>()
        .model::<Person>()
        .paused();
    let repo = configure(builder).build().await.unwrap();
    repo.pushed(Pushed::rows([folder(2, "old")])).await.unwrap();
    (repo, faults)
}

async fn fetch(repo: &Repository) -> larder::Result<()> {
    repo.reading(ReadPolicy::RemoteOnly).get(Select::<Folder>::all()).await.map(drop)
}

async fn local(repo: &Repository, id: u32) -> Option<Folder> {
    here::<Folder>(repo).await.into_iter().find(|folder| folder.id == id)
}

/// Creates the folder 1, and waits until the server's answer is stored.
async fn created(repo: &Repository) {
    let stored = repo.upsert(&folder(1, "new")).await.unwrap();
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
}

fn calls(stubs: &Stubs) -> Vec<String> {
    stubs.calls().iter().map(|call| format!("{} {}", call.method, call.segments.join("/"))).collect()
}

// Rules: m-assoc-remote
#[rstest]
#[tokio::test]
async fn what_a_list_says_of_a_row_counts_more_than_what_another_row_shows_of_it(
    #[values(false, true)] shown_first: bool,
) {
    let mut rows = vec![
        json!({ "id": 9, "name": "whole", "color": "red" }),
        json!({ "id": 10, "name": "in it", "parent": { "id": 9, "name": "part" } }),
    ];
    if shown_first {
        rows.reverse();
    }
    let (repo, _) = over(&server(&rows, json!({})), |builder| builder).await;
    fetch(&repo).await.unwrap();
    let whole = local(&repo, 9).await.unwrap();
    assert_eq!((whole.name.as_str(), whole.color.as_deref()), ("whole", Some("red")));
}

// Rules: m-assoc-remote, m-extra
#[rstest]
#[case::the_rest_comes_later(json!({ "id": 9, "name": "top", "made": 1 }), json!({ "id": 9, "color": "red" }), 1)]
#[case::the_rest_came_before(json!({ "id": 9, "color": "red", "made": 1 }), json!({ "id": 9, "name": "top" }), 1)]
#[case::the_later_one_counts(
    json!({ "id": 9, "name": "older", "made": 1 }),
    json!({ "id": 9, "name": "top", "color": "red", "made": 2 }),
    2
)]
#[tokio::test]
async fn two_that_show_parts_of_a_row_show_it_together(
    #[case] earlier: Value,
    #[case] later: Value,
    #[case] made: u64,
) {
    let rows = [
        json!({ "id": 5, "name": "one", "parent": earlier }),
        json!({ "id": 6, "name": "two", "parent": later }),
    ];
    let stubs = server(&rows, json!({}));
    let (repo, _) = over(&stubs, |builder| builder).await;
    fetch(&repo).await.unwrap();
    let top = local(&repo, 9).await.unwrap();
    assert_eq!((top.name.as_str(), top.color.as_deref()), ("top", Some("red")));
    // What the model has not is sent back with the whole row.
    repo.outbox().resume();
    let stored = repo.upsert(&Folder { name: "mine".into(), ..top }).await.unwrap();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(stubs.calls().last().unwrap().json().unwrap()["made"], made);
}

// Rules: m-assoc-remote, m-extra
#[tokio::test]
async fn a_part_says_nothing_of_what_the_model_has_not() {
    let rows = [json!({ "id": 9, "name": "whole", "made": 1 })];
    let stubs = server(&rows, json!({ "parent": { "id": 9, "name": "whole", "color": "red" } }));
    let (repo, _) = over(&stubs, |builder| builder).await;
    fetch(&repo).await.unwrap();
    created(&repo).await;
    let whole = local(&repo, 9).await.unwrap();
    assert_eq!(whole.color.as_deref(), Some("red"));
    let stored = repo.upsert(&Folder { name: "mine".into(), ..whole }).await.unwrap();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(stubs.calls().last().unwrap().json().unwrap()["made"], 1);
}

// Rules: m-assoc-remote, w-merge
#[rstest]
#[tokio::test]
async fn a_row_that_stands_within_its_own_answer_is_what_the_answer_says(
    #[values(false, true)] deleted_by_then: bool,
) {
    let within = json!({ "id": 2, "name": "older", "color": "red" });
    let answer = json!({ "id": 2, "name": "as answered", "parent": within });
    let stubs = Stubs::new().variant(Variant::new("PUT folders/2").json(answer));
    let (repo, _) = over(&stubs.variant(Variant::new("DELETE folders/2").status(204)), |builder| {
        builder.conflict_strategy::<Folder>(Strategy::Ask)
    })
    .await;
    let stored = repo.upsert(&folder(2, "mine")).await.unwrap();
    if deleted_by_then {
        repo.outbox().pause();
        drop(repo.delete::<Folder>(2_u32).await.unwrap());
    }
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.conflicts, status.parked, repo.outbox().len().await.unwrap()), (0, 0, 0));
    let left = local(&repo, 2).await.map(|folder| (folder.name, folder.color));
    assert_eq!(left, (!deleted_by_then).then(|| ("as answered".to_owned(), None)));
}

// Rules: m-assoc-remote, m-extra, o-discard
#[tokio::test]
async fn what_an_answer_says_of_a_row_that_is_to_be_deleted_is_known_once_that_is_given_up() {
    let within = json!({ "id": 2, "name": "older", "made": 1 });
    let answer = json!({ "id": 2, "name": "as answered", "made": 2, "parent": within });
    let stubs = Stubs::new().variant(Variant::new("PUT folders/2").json(answer));
    let (repo, faults) = over(&stubs, |builder| builder).await;
    let stored = repo.upsert(&folder(2, "mine")).await.unwrap();
    drop(repo.delete::<Folder>(2_u32).await.unwrap());
    let deletion = repo.outbox().list(0, 9).await.unwrap()[1].seq;
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async { repo.outbox().pause() }).await;
    soon(stored.accepted()).await.unwrap();
    repo.outbox().discard(deletion).await.unwrap();
    assert_eq!(local(&repo, 2).await.unwrap().name, "as answered");
    repo.outbox().resume();
    soon(repo.upsert(&folder(2, "mine again")).await.unwrap().accepted()).await.unwrap();
    assert_eq!(stubs.calls().last().unwrap().json().unwrap()["made"], 2);
}

// Rules: m-assoc-remote, s-aside
#[tokio::test]
async fn a_part_of_a_row_that_can_not_be_stored_is_not_tried_again_as_if_it_were_the_row() {
    let in_it = |id: u32, owner: Value| json!({ "id": id, "name": "one", "owner": owner });
    let first = json!({ "rows": [in_it(5, json!({ "id": 1, "name": "Bob" }))], "next": "then" });
    // That the second page tells of a folder with its key says nothing of it.
    let then = json!({ "rows": [in_it(1, json!({ "id": 2, "name": "Eve" }))] });
    let people = json!([{ "id": 1, "name": "Ada", "made": 1 }, { "id": 2, "name": "Bob" }]);
    let stubs = Stubs::new()
        .on("GET folders", first)
        .on("GET folders?cursor=then", then)
        .on("GET people", people)
        .variant(Variant::new("PUT people/1").status(204));
    let paged = Endpoint::new("/folders").list_key("rows").paging(Paging::cursors("cursor", "next"));
    let rest = Rest::at("https://api.example.com")
        .model::<Folder>(paged)
        .model::<Person>(Endpoint::new("/people"))
        .transport(stubs.clone());
    let (repo, _) = over(&stubs, |builder| builder.remote(rest)).await;
    repo.reading(ReadPolicy::RemoteOnly).get(Select::<Person>::all()).await.unwrap();
    // As the first page comes, that name is another's.
    assert_eq!(fetch(&repo).await.unwrap_err().kind(), ErrorKind::Conflict);
    let mut people = here::<Person>(&repo).await;
    people.sort_by_key(|person| person.id);
    assert_eq!((people[0].name.as_str(), people[1].name.as_str()), ("Ada", "Eve"));
    let ada = Person { name: "Ann".into(), ..people.remove(0) };
    repo.outbox().resume();
    soon(repo.upsert(&ada).await.unwrap().accepted()).await.unwrap();
    assert_eq!(stubs.calls().last().unwrap().json().unwrap()["made"], 1);
}

// Rules: m-assoc-remote
#[tokio::test]
async fn others_of_the_same_model_and_others_with_the_same_key_are_stored() {
    let says = json!({ "parent": { "id": 3, "name": "above" }, "owner": { "id": 1, "name": "Ada" } });
    let (repo, _) = over(&server(&[], says), |builder| builder).await;
    created(&repo).await;
    assert_eq!(local(&repo, 3).await.unwrap().name, "above");
    assert_eq!(here::<Person>(&repo).await[0].name, "Ada");
}

// Rules: m-assoc-remote
#[tokio::test]
async fn of_an_answer_a_row_is_left_out_that_refers_to_what_would_have_to_be_looked_up() {
    let says = json!({ "name": "as answered", "owner": { "id": 5, "name": "Eve", "boss": "Ann" } });
    let stubs = server(&[], says);
    let (repo, _) = over(&stubs, |builder| builder).await;
    created(&repo).await;
    assert_eq!(local(&repo, 1).await.unwrap().name, "as answered");
    assert!(here::<Person>(&repo).await.is_empty(), "without her boss she would be another one");
    assert_eq!(calls(&stubs), ["POST folders"]);
}

// Rules: m-assoc-remote, w-merge
#[tokio::test]
async fn of_an_answer_a_row_is_left_out_that_can_not_be_stored() {
    let says = json!({ "name": "as answered", "parent": { "id": 3, "name": "odd", "size": [1, 2, 3] } });
    let (repo, _) = over(&server(&[], says), |builder| builder).await;
    created(&repo).await;
    assert_eq!(local(&repo, 1).await.unwrap().name, "as answered", "the rest of the answer counts");
    assert!(local(&repo, 3).await.is_none());
}

// Rules: s-aside, s-rebase
#[tokio::test]
async fn a_change_is_not_put_on_a_row_that_can_not_be_stored() {
    let rows = [json!({ "id": 2, "name": "old", "size": [1, 2, 3] })];
    let (repo, _) = over(&server(&rows, json!({})), |builder| builder).await;
    drop(repo.upsert(&folder(2, "mine")).await.unwrap());
    assert_eq!(fetch(&repo).await.unwrap_err().kind(), ErrorKind::Serialization);
    assert_eq!(local(&repo, 2).await, Some(folder(2, "mine")));
}

// Rules: m-assoc-remote, s-rebase
#[tokio::test]
async fn a_part_says_too_little_of_a_row_that_is_to_be_created() {
    let stubs = server(&[], json!({ "parent": { "id": 3, "name": "theirs" } }));
    let (repo, _) = over(&stubs, |builder| builder.conflict_strategy::<Folder>(Strategy::ServerWins)).await;
    let stored = repo.upsert(&folder(1, "new")).await.unwrap();
    drop(repo.upsert(&folder(3, "mine")).await.unwrap());
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    soon(repo.outbox().settled()).await;
    assert_eq!(calls(&stubs), ["POST folders", "POST folders"]);
    assert_eq!(stubs.calls()[1].json().unwrap()["name"], "mine");
}

// Rules: m-assoc-remote, c-ask, c-detect
#[tokio::test]
async fn a_change_of_a_row_that_stands_in_an_answer_is_put_on_it_and_who_waits_for_it_is_told() {
    let stubs = server(&[], json!({ "parent": { "id": 2, "name": "theirs" } }));
    // What must not be repeated is not marked before its turn: until then it may be altered.
    let folders = Endpoint::new("/folders").idempotency(Operation::Update, Idempotency::AtMostOnce);
    let rest = Rest::at("https://api.example.com").model::<Folder>(folders).transport(stubs.clone());
    let asks = |builder: Builder| builder.remote(rest).conflict_strategy::<Folder>(Strategy::Ask);
    let (repo, _) = over(&stubs, asks).await;
    let first = repo.upsert(&folder(1, "new")).await.unwrap();
    let second = repo.upsert(&folder(2, "mine")).await.unwrap();
    repo.outbox().resume();
    soon(first.accepted()).await.unwrap();
    assert_eq!(soon(second.accepted()).await.unwrap_err().kind(), ErrorKind::Conflict);
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.conflicts, status.pending), (1, 0));
    assert_eq!(calls(&stubs), ["POST folders"]);
    let conflict = repo.conflicts::<Folder>().list().await.unwrap().remove(0);
    assert_eq!(conflict.sides.theirs.unwrap().name, "theirs");
}

// Rules: m-assoc-remote, s-pending
#[tokio::test]
async fn what_is_written_while_an_answer_is_being_stored_that_shows_its_row_is_not_lost() {
    let stubs = server(&[], json!({ "parent": { "id": 2, "name": "theirs" } }));
    let (repo, faults) = over(&stubs, |builder| builder).await;
    let stored = repo.upsert(&folder(1, "new")).await.unwrap();
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async {
        repo.outbox().pause();
        drop(repo.upsert(&folder(2, "mine")).await.unwrap());
    })
    .await;
    soon(stored.accepted()).await.unwrap();
    assert_eq!(local(&repo, 2).await.unwrap().name, "mine");
    repo.outbox().resume();
    soon(repo.outbox().settled()).await;
    assert_eq!(stubs.calls().last().unwrap().json().unwrap()["name"], "mine");
}

// Rules: m-assoc-remote, s-pending
#[tokio::test]
async fn what_was_written_since_the_request_went_out_is_newer_than_what_its_answer_shows() {
    let stubs = server(&[], json!({ "parent": { "id": 2, "name": "old", "color": "red" } }));
    let (repo, faults) = over(&stubs, |builder| builder).await;
    let stored = repo.upsert(&folder(1, "new")).await.unwrap();
    // The answer is here, and the row that it shows is being read.
    let asked = stubs.clone();
    let held = faults
        .gates
        .hold(move |call| call.loads(Folder::schema(), &2_u32.into()) && !asked.calls().is_empty());
    repo.outbox().resume();
    held.during(async {
        drop(repo.upsert(&folder(2, "mine")).await.unwrap());
        repo.outbox().pause();
    })
    .await;
    soon(stored.accepted()).await.unwrap();
    assert_eq!(local(&repo, 2).await, Some(folder(2, "mine")));
}

// Rules: m-assoc-remote, s-rebase
#[tokio::test]
async fn a_part_is_put_on_what_was_heard_before_of_a_row_whose_change_is_on_its_way() {
    let rows = [json!({ "id": 5, "name": "one", "parent": { "id": 2, "size": [3, 4] } })];
    let stubs = server(&rows, json!({}));
    let (repo, _) = over(&stubs, |builder| builder).await;
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    let stored = repo.upsert(&folder(2, "mine")).await.unwrap();
    repo.outbox().resume();
    while stubs.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    // The reply is lost, and it goes again when all of this has come.
    repo.outbox().pause();
    let red = Folder { color: Some("red".into()), ..folder(2, "old") };
    repo.pushed(Pushed::rows([red])).await.unwrap();
    stubs.switches().clear();
    fetch(&repo).await.unwrap();
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    let row = local(&repo, 2).await.unwrap();
    assert_eq!((row.name.as_str(), row.color.as_deref(), row.size), ("mine", Some("red"), Some([3, 4])));
}
