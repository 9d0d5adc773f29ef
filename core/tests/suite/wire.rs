//! Associations as a server says them, read by the JSON codec.

use larder_core::dialect::json::{Json, write};
use larder_core::{Decoded, Embedded, ErrorKind, FieldDef, Many, Model, One, Row, Serdes, Value, ValueRef};
use larder_derive::Model;
use rstest::rstest;
use serde_json::{Value as Json_, json};

use crate::support::{refusal, to_json};

#[derive(Model, Clone, Debug)]
#[model(crate = "larder_core")]
struct User {
    #[model(key)]
    login: String,
    age: Option<u8>,
    #[model(json(rename = "e_mail"))]
    email: String,
}

#[derive(Model, Clone, Debug)]
#[model(crate = "larder_core", json(rename_all = "camelCase"))]
struct Issue {
    #[model(key)]
    id: u32,
    title: String,
    opened_by: One<User>,
    assignee: Option<One<User>>,
    #[model(keys, default)]
    labels: Many<Label>,
    #[model(children = "issue", json(alias = "remarks"))]
    comment_list: Many<Comment>,
    #[model(through = "Watching", from = "issue", to = "user")]
    watchers: Many<User>,
    #[model(through = "Vote", from = "issue", to = "user")]
    votes: Many<User>,
}

#[derive(Model, Clone, Debug)]
#[model(crate = "larder_core")]
struct Label {
    #[model(key)]
    name: String,
    #[model(default)]
    color: String,
}

#[derive(Model, Clone, Debug)]
#[model(crate = "larder_core")]
struct Comment {
    #[model(key)]
    id: u32,
    issue: One<Issue>,
    text: String,
    author: Option<One<User>>,
}

#[derive(Model, Clone, Debug)]
#[model(crate = "larder_core")]
struct Watching {
    #[model(key)]
    issue: One<Issue>,
    #[model(key)]
    user: One<User>,
}

/// Its key says nothing of what it joins.
#[derive(Model, Clone, Debug)]
#[model(crate = "larder_core")]
struct Vote {
    #[model(key)]
    id: u32,
    issue: One<Issue>,
    user: One<User>,
}

/// References at the end of a path, and by other fields than the key.
#[derive(Model, Clone, Debug)]
#[model(crate = "larder_core")]
struct Task {
    #[model(key)]
    id: u32,
    #[model(json(path = "/owner/login"))]
    owner: One<User>,
    #[model(json(path = "/meta/reviewer"))]
    reviewer: Option<One<User>>,
    #[model(keys, json(path = "/tags/*/name"))]
    labels: Many<Label>,
    #[model(json(lookup(email = "/by/mail", age = "/by/age")))]
    author: Option<One<User>>,
}

fn decode<M: Model>(json: &Json_) -> Decoded {
    Json.decode(M::schema(), json).expect("JSON that fits")
}

/// The rows that came within another one: the model, what was said, and `…` if a required field was not.
fn brought(decoded: &Decoded) -> Vec<String> {
    let said = |row: &Embedded| {
        let field = |(at, field): (usize, &'static FieldDef)| {
            let json = write(row.row.get(at)?.show(), &field.kind).expect("a value as JSON");
            Some(format!("{}={json}", field.name))
        };
        let fields: Vec<_> = row.schema.fields.iter().enumerate().filter_map(field).collect();
        let more = if row.rest.is_none() { " …" } else { "" };
        format!("{} {}{more}", row.schema.model, fields.join(" "))
    };
    decoded.brought.rows.iter().map(said).collect()
}

fn issue() -> Json_ {
    json!({ "id": 1, "title": "It burns", "openedBy": "ada", "assignee": null })
}

fn with(mut json: Json_, name: &str, value: Json_) -> Json_ {
    json[name] = value;
    json
}

#[test]
fn an_embedded_row_gives_its_key_and_comes_along() {
    let ada = json!({ "login": "ada", "age": 36, "e_mail": "ada@example.com", "site_admin": true });
    let decoded = decode::<Issue>(&with(issue(), "openedBy", ada));
    assert_eq!(Issue::from_row(&decoded.record).unwrap().opened_by.id(), "ada");
    assert_eq!(brought(&decoded), [r#"User login="ada" age=36 email="ada@example.com""#]);
    assert_eq!(decoded.brought.rows[0].extra.as_deref(), Some(r#"{"site_admin":true}"#));
    assert_eq!(decoded.extra, None, "what stands there is read, and not kept beside the row");
}

#[test]
fn a_part_of_a_row_says_what_it_says() {
    let decoded = decode::<Issue>(&with(issue(), "assignee", json!({ "login": "bob" })));
    assert_eq!(brought(&decoded), [r#"User login="bob" …"#], "the e-mail is required, and nobody knows it");
    let decoded = decode::<Issue>(&with(issue(), "openedBy", json!({ "login": "bob", "e_mail": "b" })));
    assert_eq!(brought(&decoded), [r#"User login="bob" email="b""#]);
    let whole = decoded.brought.rows[0].whole().unwrap();
    assert_eq!(User::from_row(&whole).unwrap().age, None);
}

#[test]
fn a_list_of_keys_may_be_a_list_of_rows() {
    let labels = json!(["bug", { "name": "hot", "color": "red" }]);
    let decoded = decode::<Issue>(&with(issue(), "labels", labels));
    let labels = Issue::from_row(&decoded.record).unwrap().labels;
    assert_eq!(labels.ids().collect::<Vec<_>>(), ["bug", "hot"]);
    assert_eq!(brought(&decoded), [r#"Label name="hot" color="red""#]);
}

#[test]
fn embedded_children_belong_to_the_row_that_they_stand_in() {
    let remarks = json!([
        { "id": 7, "text": "yes", "author": { "login": "ada", "e_mail": "a" } },
        { "id": 8, "text": "no", "issue": 2 },
        9
    ]);
    for name in ["commentList", "remarks"] {
        let decoded = decode::<Issue>(&with(issue(), name, remarks.clone()));
        assert_eq!(
            brought(&decoded),
            [
                r#"User login="ada" email="a""#,
                r#"Comment id=7 issue=1 text="yes" author="ada""#,
                r#"Comment id=8 issue=2 text="no""#,
                "Comment id=9 issue=1 …"
            ]
        );
        assert_eq!(decoded.extra, None);
    }
}

#[rstest]
#[case::null(json!(null))]
#[case::empty(json!([]))]
fn a_list_that_is_empty_or_null_brings_nothing(#[case] list: Json_) {
    assert!(decode::<Issue>(&with(issue(), "commentList", list)).brought.is_empty());
    assert!(decode::<Issue>(&issue()).brought.is_empty());
}

#[test]
fn a_list_through_a_link_model_brings_the_link_rows() {
    let watchers = json!(["bob", { "login": "ada", "e_mail": "a" }]);
    let decoded = decode::<Issue>(&with(issue(), "watchers", watchers));
    assert_eq!(
        brought(&decoded),
        [r#"Watching issue=1 user="bob""#, r#"User login="ada" email="a""#, r#"Watching issue=1 user="ada""#]
    );
}

#[test]
fn link_rows_whose_keys_nobody_tells_are_refused_with_what_to_do() {
    let error = refusal(Json.decode(Issue::schema(), &with(issue(), "votes", json!(["bob"]))));
    assert_eq!((error.kind(), error.path()), (ErrorKind::Unsupported, Some("votes[0]")));
    assert!(error.to_string().contains("json(skip_read)"), "{error}");
}

#[test]
fn rows_that_embed_each_other_end_where_the_answer_ends() {
    let inner = json!({ "id": 1, "title": "It burns", "openedBy": "ada" });
    let outer = with(issue(), "commentList", json!([{ "id": 7, "text": "", "issue": inner }]));
    let decoded = decode::<Issue>(&outer);
    let models: Vec<_> = decoded.brought.rows.iter().map(|row| row.schema.model).collect();
    assert_eq!(models, ["Issue", "Comment"]);
}

#[rstest]
#[case::no_key("openedBy", json!({ "e_mail": "a" }), "opened_by.login", "has no key")]
#[case::wrong_member("openedBy", json!({ "login": "ada", "age": "old" }), "opened_by.age", "expected an integer")]
#[case::wrong_id("openedBy", json!(7), "opened_by", "expected a string, found an integer")]
#[case::list_for_one("openedBy", json!(["ada"]), "opened_by", "expected a string, found an array")]
#[case::null_for_required("openedBy", json!(null), "opened_by", "found null")]
#[case::one_for_list("labels", json!("bug"), "labels", "expected an array")]
#[case::wrong_element("labels", json!(["bug", 7]), "labels[1]", "expected a string")]
#[case::number_for_children("commentList", json!(3), "comment_list", "json(skip_read)")]
#[case::object_for_children("commentList", json!({}), "comment_list", "expected an array of rows or keys")]
#[case::wrong_child("commentList", json!([{ "id": 7, "text": 1 }]), "comment_list[0].text", "expected a string")]
#[case::child_without_key("commentList", json!([{ "text": "" }]), "comment_list[0].id", "has no key")]
fn what_does_not_fit_is_refused_with_its_place(
    #[case] name: &str,
    #[case] value: Json_,
    #[case] path: &str,
    #[case] says: &str,
) {
    let error = refusal(Json.decode(Issue::schema(), &with(issue(), name, value)));
    assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some(path)), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

fn task() -> Json_ {
    json!({
        "id": 1,
        "owner": { "login": "ada", "url": "…" },
        "meta": { "reviewer": null },
        "tags": [{ "name": "bug" }, { "name": "hot" }],
        "by": { "mail": "bob@example.com", "age": 40 },
        "other": true
    })
}

#[test]
fn a_path_leads_to_the_key() {
    let decoded = decode::<Task>(&task());
    let read = Task::from_row(&decoded.record).unwrap();
    assert_eq!(read.owner.id(), "ada");
    assert!(read.reviewer.is_none());
    assert_eq!(read.labels.ids().collect::<Vec<_>>(), ["bug", "hot"]);
    assert!(decoded.brought.rows.is_empty());
    assert_eq!(decoded.extra.as_deref(), Some(r#"{"other":true}"#), "what paths lead into is not kept");
    let mut sent = to_json(&read);
    sent.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(
        sent,
        json!({ "id": 1, "owner": "ada", "labels": ["bug", "hot"] }),
        "written under its own name"
    );
}

#[rstest]
#[case::member("owner", json!({ "url": "…" }), "owner", "the path `/owner/login` leads nowhere")]
#[case::all("owner", json!(null), "owner", "the path `/owner/login` leads nowhere")]
#[case::wrong_type("owner", json!({ "login": 7 }), "owner.owner.login", "expected a string")]
#[case::element("tags", json!([{ "name": "bug" }, {}]), "labels", "element 1")]
#[case::no_list("tags", json!({ "name": "bug" }), "labels", "leads nowhere")]
fn a_path_that_leads_nowhere_is_refused(
    #[case] name: &str,
    #[case] value: Json_,
    #[case] path: &str,
    #[case] says: &str,
) {
    let error = refusal(Json.decode(Task::schema(), &with(task(), name, value)));
    assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some(path)), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn a_path_that_leads_nowhere_is_null_where_it_may_be() {
    let read = Task::from_row(&decode::<Task>(&with(task(), "meta", json!({}))).record).unwrap();
    assert!(read.reviewer.is_none());
}

#[test]
fn a_reference_by_other_fields_is_left_to_be_looked_up() {
    let decoded = decode::<Task>(&task());
    assert!(matches!(decoded.record.field(4), Ok(ValueRef::Absent)));
    let [wanted] = &decoded.brought.lookups[..] else { panic!("{:?}", decoded.brought) };
    assert_eq!(wanted.by, [(2, Value::Str("bob@example.com".into())), (1, Value::Int(40))]);
    let bob = User { login: "bob".into(), age: Some(40), email: "bob@example.com".into() };
    assert!(wanted.is(&bob).unwrap());
    assert!(!wanted.is(&User { age: Some(41), ..bob.clone() }).unwrap(), "all of them count");
    assert!(wanted.missing().to_string().contains(r#"User with email = "bob@example.com" and age = 40"#));
    for nobody in [json!(null), json!({ "mail": null, "age": 1 }), json!({ "mail": "b" })] {
        let decoded = decode::<Task>(&with(task(), "by", nobody));
        assert!(decoded.brought.lookups.is_empty());
        assert!(Task::from_row(&decoded.record).unwrap().author.is_none());
    }
}

#[test]
fn an_answer_that_shows_a_part_brings_what_it_shows() {
    let answer = json!({ "commentList": [{ "id": 7 }], "assignee": { "login": "ada" } });
    let decoded = Json.decode_partial(Issue::schema(), &answer).unwrap();
    assert_eq!(brought(&decoded), [r#"User login="ada" …"#], "nobody says whose child it is");
    assert!(decoded.brought.lookups.is_empty());
    let decoded = Json.decode_partial(Task::schema(), &json!({ "id": 1 })).unwrap();
    assert!(decoded.brought.is_empty());
}
