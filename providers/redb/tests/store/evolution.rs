//! Yesterday's rows, read by today's model.

use std::sync::Arc;

use larder_core::{
    CompareOp, EnumDef, ErrorKind, FieldDef, FieldDialect, IndexDef, IntKind, Item, Key, KeyDef, Kind,
    Predicate, Query, Record, Row, Schema, Store, StructDef, Tagging, Value, ValueRef, VariantDef,
};
use larder_redb::Redb;

use crate::damage::{ENTRIES, pairs};
use crate::hooked::{Hooked, Step, nth};
use crate::support::*;

const fn aliased(alias: &'static [&'static str]) -> FieldDialect {
    FieldDialect { alias, ..FieldDialect::PLAIN }
}

const fn variant(name: &'static str, alias: &'static [&'static str]) -> VariantDef {
    VariantDef { name, names: &[], alias, fields: &[], tuple: false }
}

const ID: FieldDef = FieldDef::new("id", Kind::Int(IntKind::U32));
const KEY: KeyDef = KeyDef::natural(&[0]);
/// Where it is noted which indexes there are.
const INDEXES: u8 = 0x04;

mod v1 {
    use super::*;

    static ADDRESS: StructDef = StructDef {
        name: "Address",
        fields: &[FieldDef::new("street", Kind::Str), FieldDef::new("zip", Kind::Str)],
    };
    static STATE: EnumDef = EnumDef {
        name: "State",
        variants: &[variant("Open", &[]), variant("Closed", &[])],
        tagging: Tagging::External,
    };
    pub(super) static ISSUE: Schema = Schema::new(
        "Issue",
        &[
            ID,
            FieldDef::new("title", Kind::Str),
            FieldDef::new("dropped", Kind::Str),
            FieldDef::new("address", Kind::Struct(&ADDRESS)),
            FieldDef::new("state", Kind::Enum(&STATE)),
        ],
        KEY,
    );
}

mod v2 {
    use super::*;

    static ADDRESS: StructDef = StructDef {
        name: "Address",
        fields: &[
            FieldDef::new("country", Kind::Str).with_default(|| text("NO")),
            FieldDef::new("zip", Kind::Str),
            FieldDef::new("road", Kind::Str).with_dialects(&[("row", aliased(&["street"]))]),
        ],
    };
    static STATE: EnumDef = EnumDef {
        name: "State",
        variants: &[variant("Done", &["Closed"]), variant("Open", &[])],
        tagging: Tagging::External,
    };
    pub(super) static ISSUE: Schema = Schema::new(
        "Issue",
        &[
            ID,
            FieldDef::new("state", Kind::Enum(&STATE)),
            FieldDef::new("priority", Kind::Int(IntKind::I32)).with_default(|| Value::Int(3)),
            FieldDef::new("note", Kind::Option(&Kind::Str)),
            FieldDef::new("address", Kind::Struct(&ADDRESS)),
            FieldDef::new("subject", Kind::Str).with_dialects(&[("row", aliased(&["title"]))]),
        ],
        KEY,
    )
    .version(2)
    .indexes(&[
        IndexDef { name: "state", fields: &[1], unique: false },
        IndexDef { name: "priority", fields: &[2], unique: false },
        IndexDef { name: "subject", fields: &[5], unique: true },
    ]);
}

fn issue(id: i128, title: &str, state: &str) -> Record {
    let address = Value::Struct(vec![text("High St"), text("0001")]);
    Record::new([Value::Int(id), text(title), text("gone"), address, text(state)].map(Some))
}

/// A store that version 1 has written, opened by `today`.
async fn reopened(today: &'static Schema) -> (Redb, Arc<dyn Store>) {
    let config = Redb::in_memory();
    let store = open(&config, &[&v1::ISSUE]).await.unwrap();
    let rows = [issue(1, "one", "Open"), issue(2, "two", "Closed"), issue(3, "three", "Open")];
    commit(&*store, rows.map(|row| put(&v1::ISSUE, row))).await.unwrap();
    drop(store);
    let store = open(&config, &[today]).await.unwrap();
    (config, store)
}

fn equals(field: u16, value: Value) -> Query {
    where_(Predicate::Compare { field, op: CompareOp::Eq, value })
}

// Rules: m-evolve
#[tokio::test]
async fn added_removed_and_renamed_fields_are_bridged() {
    let (_, store) = reopened(&v2::ISSUE).await;
    let row = find(&*store, &v2::ISSUE, 2).await.unwrap().unwrap().row;
    assert_eq!(string(&*row, 1), "Done");
    assert!(matches!(row.field(2), Ok(ValueRef::Int(3))));
    assert!(matches!(row.field(3), Ok(ValueRef::Null)));
    assert_eq!(string(&*row, 5), "two");
    let Ok(ValueRef::Struct(address)) = row.field(4) else { panic!("no struct") };
    let mut shown = Vec::new();
    address
        .each(&mut |item| {
            if let Item::Value(value) = item {
                shown.push(value.to_value()?);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(shown, [text("NO"), text("0001"), text("High St")]);
}

// Rules: m-index, q-plan-alike
#[tokio::test]
async fn indexes_that_are_new_find_rows_of_old_shapes() {
    let (config, store) = reopened(&v2::ISSUE).await;
    assert_eq!(keys(&*store, &v2::ISSUE, &equals(1, text("Done"))).await, [Key::from(2)]);
    assert_eq!(keys(&*store, &v2::ISSUE, &equals(2, Value::Int(3))).await, [1, 2, 3].map(Key::from));
    assert_eq!(keys(&*store, &v2::ISSUE, &equals(5, text("three"))).await, [Key::from(3)]);
    // A row that is written again in today's shape takes its old entries with it.
    let address = Value::Struct(vec![text("SE"), text("1"), text("Low St")]);
    let row = Record::new(
        [Value::Int(3), text("Done"), Value::Int(9), Value::Null, address, text("new")].map(Some),
    );
    commit(&*store, [put(&v2::ISSUE, row)]).await.unwrap();
    assert_eq!(keys(&*store, &v2::ISSUE, &equals(2, Value::Int(3))).await, [1, 2].map(Key::from));
    assert_eq!(keys(&*store, &v2::ISSUE, &equals(1, text("Done"))).await, [2, 3].map(Key::from));
    drop(store);
    // And the other way: the old application could not tell what it reads.
    assert_eq!(open(&config, &[&v1::ISSUE]).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_default_that_changes_changes_the_index() {
    static OTHER: Schema = Schema::new(
        "Issue",
        &[
            ID,
            FieldDef::new("title", Kind::Str),
            FieldDef::new("priority", Kind::Int(IntKind::I32)).with_default(|| Value::Int(7)),
        ],
        KEY,
    )
    .version(3)
    .indexes(&[IndexDef { name: "priority", fields: &[2], unique: false }]);
    let (config, store) = reopened(&v2::ISSUE).await;
    drop(store);
    let store = open(&config, &[&OTHER]).await.unwrap();
    assert_eq!(keys(&*store, &OTHER, &equals(2, Value::Int(7))).await, [1, 2, 3].map(Key::from));
    assert!(keys(&*store, &OTHER, &equals(2, Value::Int(3))).await.is_empty());
}

#[tokio::test]
async fn a_renamed_variant_is_found_by_its_new_name_over_an_index() {
    static OLD: EnumDef = EnumDef {
        name: "State",
        variants: &[variant("Open", &[]), variant("Shut", &[])],
        tagging: Tagging::External,
    };
    static NEW: EnumDef = EnumDef {
        name: "State",
        variants: &[variant("Open", &[]), variant("Closed", &["Shut"])],
        tagging: Tagging::External,
    };
    const STATE: &[IndexDef] = &[IndexDef { name: "state", fields: &[1], unique: false }];
    static BEFORE: Schema =
        Schema::new("Door", &[ID, FieldDef::new("state", Kind::Enum(&OLD))], KEY).indexes(STATE);
    static AFTER: Schema =
        Schema::new("Door", &[ID, FieldDef::new("state", Kind::Enum(&NEW))], KEY).indexes(STATE);
    let config = Redb::in_memory();
    let store = open(&config, &[&BEFORE]).await.unwrap();
    commit(&*store, [put(&BEFORE, Record::new([Some(Value::Int(1)), Some(text("Shut"))]))]).await.unwrap();
    drop(store);
    let store = open(&config, &[&AFTER]).await.unwrap();
    assert_eq!(keys(&*store, &AFTER, &equals(1, text("Closed"))).await, [Key::from(1)]);
    commit(&*store, [put(&AFTER, Record::new([Some(Value::Int(1)), Some(text("Open"))]))]).await.unwrap();
    assert!(keys(&*store, &AFTER, &equals(1, text("Closed"))).await.is_empty());
}

#[tokio::test]
async fn a_variant_is_stored_under_its_name_in_the_store() {
    const fn named(name: &'static str) -> VariantDef {
        VariantDef { name, names: &[("row", "o")], alias: &[], fields: &[], tuple: false }
    }
    static OLD: EnumDef = EnumDef { name: "State", variants: &[named("Open")], tagging: Tagging::External };
    static NEW: EnumDef = EnumDef { name: "State", variants: &[named("Ajar")], tagging: Tagging::External };
    static BEFORE: Schema = Schema::new("Door", &[ID, FieldDef::new("state", Kind::Enum(&OLD))], KEY);
    static AFTER: Schema = Schema::new("Door", &[ID, FieldDef::new("state", Kind::Enum(&NEW))], KEY);
    let config = Redb::in_memory();
    let store = open(&config, &[&BEFORE]).await.unwrap();
    commit(&*store, [put(&BEFORE, Record::new([Some(Value::Int(1)), Some(text("Open"))]))]).await.unwrap();
    drop(store);
    let store = open(&config, &[&AFTER]).await.unwrap();
    assert_eq!(string(&*find(&*store, &AFTER, 1).await.unwrap().unwrap().row, 1), "Ajar");
}

#[tokio::test]
async fn a_field_of_another_type_is_an_error_that_names_everything() {
    static RETYPED: Schema = Schema::new("Issue", &[ID, FieldDef::new("title", Kind::Bool)], KEY)
        .version(5)
        .indexes(&[IndexDef { name: "title", fields: &[1], unique: false }]);
    let (_, store) = reopened(&RETYPED).await;
    // The row comes; the field does not.
    let row = find(&*store, &RETYPED, 1).await.unwrap().unwrap().row;
    assert!(matches!(row.field(0), Ok(ValueRef::Int(1))));
    let fault = row.field(1).unwrap_err();
    let text = RETYPED.fault(1, fault).to_string();
    assert!(["Issue", "title", "version 1", "version 5"].iter().all(|part| text.contains(part)), "{text}");
    // A filter on it is an error too, although an index could have hidden that the rows are there.
    let error = get(&*store, &RETYPED, &equals(1, Value::Bool(true))).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.model_name(), error.path()),
        (ErrorKind::Serialization, Some("Issue"), Some("title"))
    );
    assert_eq!(
        lent(&*store, &RETYPED, &equals(1, Value::Bool(true))).unwrap_err().kind(),
        ErrorKind::Serialization
    );
    // Once every row has been written again, it is well.
    for id in 1..=3 {
        let row = Record::new([Some(Value::Int(id)), Some(Value::Bool(true))]);
        commit(&*store, [put(&RETYPED, row)]).await.unwrap();
    }
    assert_eq!(keys(&*store, &RETYPED, &equals(1, Value::Bool(true))).await, [1, 2, 3].map(Key::from));
}

// Rules: m-index
#[tokio::test]
async fn many_rows_get_their_index_in_chunks() {
    static PLAIN: Schema = Schema::new("Person", PERSON.fields, KEY);
    let config = Redb::in_memory();
    let store = open(&config, &[&PLAIN]).await.unwrap();
    commit(&*store, (0..20_000).map(|id| put(&PLAIN, person(id, "x", "", i64::from(id % 10)))))
        .await
        .unwrap();
    drop(store);
    let store = open(&config, &[&PERSON]).await.unwrap();
    let by_city = where_(Predicate::And(vec![
        Predicate::Compare { field: 4, op: CompareOp::Eq, value: text("Oslo") },
        Predicate::Compare { field: 3, op: CompareOp::Eq, value: Value::Int(4) },
    ]));
    assert_eq!(get(&*store, &PERSON, &by_city).await.unwrap().len(), 2000);
    drop(store);
    // Dropped and added again: nothing of the first is left that could collide.
    let store = open(&config, &[&PLAIN]).await.unwrap();
    commit(&*store, (0..10).map(|id| put(&PLAIN, person(id, "x", "", 77)))).await.unwrap();
    drop(store);
    let store = open(&config, &[&PERSON]).await.unwrap();
    assert_eq!(get(&*store, &PERSON, &by_city).await.unwrap().len(), 1999);
}

#[tokio::test]
async fn a_unique_index_that_is_added_binds_what_is_written_from_then_on() {
    static PLAIN: Schema = Schema::new("Person", PERSON.fields, KEY);
    let config = Redb::in_memory();
    let store = open(&config, &[&PLAIN]).await.unwrap();
    let twins = [put(&PLAIN, person(1, "Ada", "a@x", 1)), put(&PLAIN, person(2, "Bob", "a@x", 1))];
    commit(&*store, twins).await.unwrap();
    drop(store);
    let store = open(&config, &[&PERSON]).await.unwrap();
    assert_eq!(keys(&*store, &PERSON, &equals(2, text("a@x"))).await, [1, 2].map(Key::from));
    save(&*store, [person(1, "Ada", "a@x", 2)]).await;
    let error = commit(&*store, [put(&PERSON, person(3, "Cid", "a@x", 1))]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    save(&*store, [person(2, "Bob", "b@x", 1)]).await;
}

/// An index that is not wanted any more is removed piece by piece; whatever fails meanwhile, nothing of it stays in the end.
// Rules: m-index
#[tokio::test]
async fn all_of_an_index_that_is_not_wanted_any_more_goes_wherever_that_is_interrupted() {
    const ROWS: u32 = 20_000;
    static BARE: Schema = Schema::new("Person", PERSON.fields, KeyDef::natural(&[0]));
    static NAMED: Schema = Schema::new("Person", PERSON.fields, KeyDef::natural(&[0])).indexes(&[IndexDef {
        name: "name",
        fields: &[1],
        unique: false,
    }]);
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    let store = open(&files.config(&path), &[&NAMED]).await.unwrap();
    commit(&*store, (0..ROWS).map(|id| put(&NAMED, person(id, "x", "", 1)))).await.unwrap();
    drop(store);
    let sound = std::fs::read(&path).unwrap();
    let mut interrupted = 0;
    for at in 0.. {
        std::fs::write(&path, &sound).unwrap();
        let is_it = nth(at, usize::MAX);
        files.set(move |step| match step {
            Step::Sync if is_it() => Err(std::io::Error::other("not now")),
            _ => Ok(()),
        });
        let opened = open(&files.config(&path), &[&BARE]).await;
        files.clear();
        let Err(error) = opened else { break };
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        let store = open(&files.config(&path), &[&BARE]).await.unwrap();
        assert_eq!(store.count(&cx(), &BARE, &Query::all()).await.unwrap(), u64::from(ROWS));
        drop(store);
        assert!(pairs(&path, ENTRIES).is_empty(), "interrupted at sync {at}");
        assert!(pairs(&path, INDEXES).is_empty(), "interrupted at sync {at}");
        interrupted += 1;
    }
    assert!(interrupted > 3, "{interrupted}");
}
