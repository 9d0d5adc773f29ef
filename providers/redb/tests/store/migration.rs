//! One model in three versions with steps between them: rows that are migrated when they are read.

use std::sync::Arc;

use larder_core::{
    CompareOp, EnumDef, Error, ErrorKind, FieldDef, IndexDef, IntKind, Key, KeyDef, Kind, Migration, OldRow,
    Order, Predicate, Query, Record, Row as _, Schema, Store, StructDef, Tagging, Value, VariantDef,
};
use larder_redb::Redb;

use crate::support::*;

const ID: FieldDef = FieldDef::new("id", Kind::Int(IntKind::U32));
const KEY: KeyDef = KeyDef::natural(&[0]);

const fn variant(name: &'static str) -> VariantDef {
    VariantDef { name, names: &[], alias: &[], fields: &[], tuple: false }
}

static RANKS: EnumDef = EnumDef {
    name: "Rank",
    variants: &[variant("Guest"), variant("Member"), variant("Boss")],
    tagging: Tagging::External,
};
static HOME: StructDef =
    StructDef { name: "Home", fields: &[FieldDef::new("line", Kind::Str), FieldDef::new("zip", Kind::Str)] };

/// Ages and zips are texts, and there are guests.
pub(crate) static V1: Schema = Schema::new(
    "Member",
    &[
        ID,
        FieldDef::new("name", Kind::Str),
        FieldDef::new("age", Kind::Str),
        FieldDef::new("rank", Kind::Enum(&RANKS)),
        FieldDef::new("home", Kind::Struct(&HOME)),
        FieldDef::new("tags", Kind::Str),
    ],
    KEY,
)
.indexes(&[
    IndexDef { name: "name", fields: &[1], unique: true },
    IndexDef { name: "age", fields: &[2], unique: false },
]);

/// Ages are numbers.
fn age_to_number(row: &mut OldRow) -> Result<(), String> {
    let age = row.text("age")?.trim().parse::<i64>().map_err(|_| "`age` is no number".to_owned())?;
    row.set("age", age);
    Ok(())
}

pub(crate) static V2: Schema = Schema::new(
    "Member",
    &[
        ID,
        FieldDef::new("name", Kind::Str),
        FieldDef::new("age", Kind::Int(IntKind::I64)),
        FieldDef::new("rank", Kind::Enum(&RANKS)),
        FieldDef::new("home", Kind::Struct(&HOME)),
        FieldDef::new("tags", Kind::Str),
    ],
    KEY,
)
.version(2)
.indexes(&[
    IndexDef { name: "name", fields: &[1], unique: true },
    IndexDef { name: "age", fields: &[2], unique: false },
])
.migrations(&[Migration::step(1, age_to_number)]);

static FEWER_RANKS: EnumDef =
    EnumDef { name: "Rank", variants: &[variant("Boss"), variant("Member")], tagging: Tagging::External };
static PLACE: StructDef = StructDef {
    name: "Place",
    fields: &[
        FieldDef::new("zip", Kind::Int(IntKind::U16)),
        FieldDef::new("country", Kind::Str).with_default(|| text("NO")),
        FieldDef::new("line", Kind::Str),
    ],
};

/// The name is split, guests are members, zips are numbers, and tags are a list.
fn split_name(row: &mut OldRow) -> Result<(), String> {
    let name = row.text("name")?.to_owned();
    let (first, last) = name.split_once(' ').ok_or("`name` has one part")?;
    row.remove("name");
    row.set("first", first);
    row.set("last", last);
    if row.text("rank")? == "Guest" {
        row.set("rank", "Member");
    }
    if let Some(Value::Map(mut home)) = row.remove("home") {
        for (name, value) in &mut home {
            if let (Value::Str(name), Value::Str(zip)) = (&*name, &*value)
                && **name == *"zip"
            {
                *value = Value::Int(zip.parse().map_err(|_| "`home.zip` is no number".to_owned())?);
            }
        }
        row.set("home", Value::Map(home));
    }
    let tags: Vec<Value> = row.text("tags")?.split(',').filter(|tag| !tag.is_empty()).map(text).collect();
    row.set("tags", tags);
    Ok(())
}

pub(crate) static V3: Schema = Schema::new(
    "Member",
    &[
        FieldDef::new("last", Kind::Str),
        FieldDef::new("first", Kind::Str),
        ID,
        FieldDef::new("age", Kind::Int(IntKind::I64)),
        FieldDef::new("rank", Kind::Enum(&FEWER_RANKS)),
        FieldDef::new("home", Kind::Struct(&PLACE)),
        FieldDef::new("tags", Kind::List(&Kind::Str)),
        FieldDef::new("note", Kind::Option(&Kind::Str)),
    ],
    KeyDef::natural(&[2]),
)
.version(3)
.indexes(&[
    IndexDef { name: "name", fields: &[0, 1], unique: true },
    IndexDef { name: "age", fields: &[3], unique: false },
    IndexDef { name: "rank_age", fields: &[4, 3], unique: false },
])
.migrations(&[Migration::step(1, age_to_number), Migration::step(2, split_name)]);

const FIRSTS: [&str; 4] = ["Ada", "Bob", "Cid", "Dag"];
const RANK_NAMES: [&str; 3] = ["Guest", "Member", "Boss"];

/// Ages whose order as texts is not that as numbers.
fn age(id: u32) -> i64 {
    i64::from(id * 37 % 130) - 10
}

fn name(id: u32) -> (String, String) {
    (FIRSTS[id as usize % 4].to_owned(), format!("L{id}"))
}

/// Row `id` as the first version has it.
pub(crate) fn first_version(id: u32) -> Record {
    let (first, last) = name(id);
    let home = Value::Struct(vec![text(&format!("{id} High St")), text(&format!("{:04}", id % 7))]);
    Record::new(
        [
            Value::from(id),
            text(&format!("{first} {last}")),
            text(&age(id).to_string()),
            text(RANK_NAMES[id as usize % 3]),
            home,
            text(if id.is_multiple_of(2) { "a,b" } else { "" }),
        ]
        .map(Some),
    )
}

/// The same row as the second has it.
pub(crate) fn second_version(id: u32) -> Record {
    let mut row = first_version(id);
    row.set(2, age(id).into());
    row
}

/// The same row as the third has it.
pub(crate) fn third_version(id: u32) -> Record {
    let (first, last) = name(id);
    let rank = if id % 3 == 2 { "Boss" } else { "Member" };
    let home = Value::Struct(vec![Value::from(id % 7), text("NO"), text(&format!("{id} High St"))]);
    let tags = if id.is_multiple_of(2) { vec![text("a"), text("b")] } else { Vec::new() };
    Record::new(
        [text(&last), text(&first), id.into(), age(id).into(), text(rank), home, tags.into(), Value::Null]
            .map(Some),
    )
}

/// A store with `rows` of the first version, opened with another.
async fn reopened(rows: impl IntoIterator<Item = Record>, today: &'static Schema) -> (Redb, Arc<dyn Store>) {
    let config = Redb::in_memory();
    let store = open(&config, &[&V1]).await.unwrap();
    commit(&*store, rows.into_iter().map(|row| put(&V1, row))).await.unwrap();
    drop(store);
    let store = open(&config, &[today]).await.unwrap();
    (config, store)
}

fn compare(field: u16, op: CompareOp, value: impl Into<Value>) -> Predicate {
    Predicate::Compare { field, op, value: value.into() }
}

/// Queries that go by each index, by a scan, and in orders that the old values would give otherwise.
fn queries() -> Vec<Query> {
    let ordered = |order| Query { order: vec![order], ..Query::all() };
    let mut queries = vec![
        Query::all(),
        ordered(Order::asc(3)),
        Query { limit: Some(5), offset: 3, ..ordered(Order::desc(3)) },
        ordered(Order::desc(0)),
        where_(Predicate::And(vec![compare(0, CompareOp::Eq, "L9"), compare(1, CompareOp::Eq, "Bob")])),
    ];
    for limit in [-10, 9, 10, 100] {
        for op in [CompareOp::Eq, CompareOp::Lt, CompareOp::Ge] {
            queries.push(where_(compare(3, op, limit)));
            let by_rank = vec![compare(4, CompareOp::Eq, "Member"), compare(3, op, limit)];
            queries.push(where_(Predicate::And(by_rank)));
        }
    }
    queries
}

/// What a store answers to all of the queries, lent and copied.
pub(crate) async fn answers(store: &dyn Store) -> Vec<Vec<Record>> {
    let mut answers = Vec::new();
    for query in queries() {
        let rows = get(store, &V3, &query).await.unwrap();
        let rows: Vec<_> = rows.iter().map(|row| Record::copy(&V3, &*row.row).unwrap()).collect();
        if let Some(lent) = lent(store, &V3, &query).unwrap() {
            assert_eq!(lent, rows, "{query:?}");
        }
        answers.push(rows);
    }
    answers
}

/// What a store answers into which the third version has written `rows` itself.
pub(crate) async fn reference(rows: impl IntoIterator<Item = Record>) -> Vec<Vec<Record>> {
    let store = open(&Redb::in_memory(), &[&V3]).await.unwrap();
    commit(&*store, rows.into_iter().map(|row| put(&V3, row))).await.unwrap();
    answers(&*store).await
}

// Rules: m-evolve-migrate
#[tokio::test]
async fn rows_are_migrated_step_by_step_and_every_query_sees_them_so() {
    let (_, store) = reopened((0..50).map(first_version), &V3).await;
    let expected = reference((0..50).map(third_version)).await;
    assert_eq!(answers(&*store).await, expected);
    assert!(expected.iter().filter(|rows| !rows.is_empty()).count() > 15, "the queries find something");
    let found = find(&*store, &V3, 7).await.unwrap().unwrap();
    assert_eq!(Record::copy(&V3, &*found.row).unwrap(), third_version(7));
}

#[tokio::test]
async fn rows_of_three_versions_stand_side_by_side_and_are_rewritten_when_they_are_next_written() {
    let config = Redb::in_memory();
    for (schema, version, ids) in [
        (&V1, first_version as fn(u32) -> Record, 0..20),
        (&V2, second_version, 15..35),
        (&V3, third_version, 30..50),
    ] {
        let store = open(&config, &[schema]).await.unwrap();
        commit(&*store, ids.map(|id| put(schema, version(id)))).await.unwrap();
    }
    let store = open(&config, &[&V3]).await.unwrap();
    assert_eq!(answers(&*store).await, reference((0..50).map(third_version)).await);
    // A row that goes takes the entries of its migrated values with it.
    let changed = |id| {
        let mut row = third_version(id);
        row.set(3, 1000.into());
        row
    };
    commit(&*store, (0..50).map(|id| put(&V3, changed(id)))).await.unwrap();
    assert_eq!(answers(&*store).await, reference((0..50).map(changed)).await);
    let mut rival = third_version(7);
    rival.set(2, 99.into());
    let error = commit(&*store, [put(&V3, rival)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "unique by what the migration has made of it");
}

#[tokio::test]
async fn a_version_between_is_reached_by_its_own_steps_alone() {
    let (_, store) = reopened((0..5).map(first_version), &V2).await;
    for id in 0..5 {
        let found = find(&*store, &V2, id).await.unwrap().unwrap();
        assert_eq!(Record::copy(&V2, &*found.row).unwrap(), second_version(id));
    }
    assert_eq!(keys(&*store, &V2, &where_(compare(2, CompareOp::Eq, age(3)))).await, [Key::from(3)]);
}

#[track_caller]
fn names(error: &Error, parts: &[&str]) {
    let said = message(error);
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
}

// Rules: m-evolve-migrate
#[tokio::test]
async fn a_step_that_refuses_a_row_names_it_and_leaves_the_others_readable() {
    let mut odd = first_version(3);
    odd.set(2, text("old"));
    let (_, store) = reopened([first_version(1), odd, first_version(5)], &V3).await;
    let whole = get(&*store, &V3, &Query::all()).await.unwrap_err();
    let by_index = get(&*store, &V3, &where_(compare(3, CompareOp::Eq, age(1)))).await.unwrap_err();
    let one = find(&*store, &V3, 3).await.unwrap_err();
    let lent = lent(&*store, &V3, &Query::key(3.into())).unwrap_err();
    for error in [&whole, &by_index, &one, &lent] {
        assert_eq!((error.kind(), error.row_key()), (ErrorKind::Serialization, Some("3")));
        names(error, &["Member", "`age` is no number", "from version 1", "stored by version 1", "version 3"]);
    }
    let others = where_(Predicate::Keys(vec![1.into(), 5.into()]));
    assert_eq!(keys(&*store, &V3, &others).await, [1, 5].map(Key::from));
    // Written again, it is well, and the index answers again once the store is opened anew.
    commit(&*store, [put(&V3, third_version(3))]).await.unwrap();
    assert_eq!(get(&*store, &V3, &Query::all()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_step_that_panics_is_an_error_of_the_row() {
    fn panics(_: &mut OldRow) -> Result<(), String> {
        panic!("a bug in the application")
    }
    static PANICKY: Schema =
        Schema::new("Member", V1.fields, KEY).version(2).migrations(&[Migration::step(1, panics)]);
    let (_, store) = reopened([first_version(1)], &PANICKY).await;
    let error = find(&*store, &PANICKY, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    names(&error, &["it panicked: a bug in the application"]);
}

#[tokio::test]
async fn what_a_step_leaves_has_to_fit_todays_field() {
    fn leaves_text(row: &mut OldRow) -> Result<(), String> {
        row.set("age", "many");
        Ok(())
    }
    static UNFIT: Schema =
        Schema::new("Member", V2.fields, KEY).version(4).migrations(&[Migration::step(1, leaves_text)]);
    let (_, store) = reopened([first_version(1)], &UNFIT).await;
    let row = find(&*store, &UNFIT, 1).await.unwrap().unwrap().row;
    assert_eq!(string(&*row, 1), "Bob L1", "the other fields can be read");
    let error = UNFIT.fault(2, row.field(2).unwrap_err());
    assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some("age")));
    names(&error, &["Member", "expected integer", "version 1", "version 4"]);
    let filtered = get(&*store, &UNFIT, &where_(compare(2, CompareOp::Ge, 0))).await.unwrap_err();
    assert_eq!(filtered.path(), Some("age"));
}

// Rules: m-evolve-fault
#[tokio::test]
async fn a_field_of_another_type_without_a_step_is_an_error_that_names_everything() {
    static RETYPED: Schema = Schema::new("Member", V2.fields, KEY).version(2);
    let (_, store) = reopened([first_version(1)], &RETYPED).await;
    let row = find(&*store, &RETYPED, 1).await.unwrap().unwrap().row;
    let error = RETYPED.fault(2, row.field(2).unwrap_err());
    names(&error, &["Member", "age", "version 1", "version 2", "give it a migration"]);
}

// Rules: m-evolve-fault, m-evolve-migrate
#[tokio::test]
async fn a_variant_that_is_gone_is_an_error_unless_a_step_maps_it() {
    static GONE: Schema = Schema::new("Member", &[ID, FieldDef::new("rank", Kind::Enum(&FEWER_RANKS))], KEY)
        .version(2)
        .migrations(&[Migration::step(1, age_to_number)]);
    let (_, store) = reopened([first_version(0), first_version(1)], &GONE).await;
    let row = find(&*store, &GONE, 0).await.unwrap().unwrap().row;
    let error = GONE.fault(1, row.field(1).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Serialization);
    names(&error, &["Member", "rank", "version 1", "version 2"]);
    assert_eq!(string(&*find(&*store, &GONE, 1).await.unwrap().unwrap().row, 1), "Member");
}

// Rules: m-evolve-newer
#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let (config, store) = reopened((0..3).map(first_version), &V3).await;
    commit(&*store, [put(&V3, third_version(1))]).await.unwrap();
    drop(store);
    for older in [&V1, &V2] {
        let error = open(&config, &[older]).await.unwrap_err();
        assert_eq!((error.kind(), error.model_name()), (ErrorKind::Unsupported, Some("Member")));
        let older = format!("the application has version {}", older.version);
        names(&error, &["by version 3", &older, "update the application", "nothing was changed"]);
    }
    let store = open(&config, &[&V3]).await.unwrap();
    assert_eq!(answers(&*store).await, reference((0..3).map(third_version)).await);
}

#[tokio::test]
async fn a_step_that_changes_nothing_but_values_changes_the_index_too() {
    fn shout(row: &mut OldRow) -> Result<(), String> {
        let name = row.text("name")?.to_uppercase();
        row.set("name", name);
        Ok(())
    }
    static SHOUTED: Schema = Schema::new("Member", V1.fields, KEY)
        .version(2)
        .indexes(V1.indexes)
        .migrations(&[Migration::step(1, shout)]);
    let (_, store) = reopened((0..5).map(first_version), &SHOUTED).await;
    let by_name = |name: &str| where_(compare(1, CompareOp::Eq, name));
    assert_eq!(keys(&*store, &SHOUTED, &by_name("BOB L1")).await, [Key::from(1)]);
    assert!(keys(&*store, &SHOUTED, &by_name("Bob L1")).await.is_empty());
}
