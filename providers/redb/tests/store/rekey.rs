//! Migrations that give rows other keys.

use std::sync::Arc;

use larder_core::{
    CompareOp, Entry, ErrorKind, FieldDef, IndexDef, IntKind, Key, KeyDef, Kind, Meta, Migration, MutationId,
    OldRow, Op, Operation, Predicate, Query, Record, Row as _, Schema, Store, Tail, Timestamp, Uuid, Value,
};

use crate::disk::Disk;
use crate::support::*;

const CITY: &[IndexDef] = &[IndexDef { name: "city", fields: &[1], unique: false }];

/// Keys are texts: "P7".
static V1: Schema = Schema::new(
    "Parcel",
    &[FieldDef::new("id", Kind::Str), FieldDef::new("city", Kind::Str)],
    KeyDef::natural(&[0]),
)
.indexes(CITY);

fn number(row: &mut OldRow) -> Result<(), String> {
    let id =
        row.text("id")?.trim_start_matches('P').parse::<u32>().map_err(|_| "`id` is no number".to_owned())?;
    row.set("id", id);
    Ok(())
}

/// Keys are numbers.
static V2: Schema = Schema::new(
    "Parcel",
    &[FieldDef::new("id", Kind::Int(IntKind::U32)), FieldDef::new("city", Kind::Str)],
    KeyDef::natural(&[0]),
)
.version(2)
.indexes(CITY)
.migrations(&[Migration::rekey(1, number)]);

fn mirror(row: &mut OldRow) -> Result<(), String> {
    let id = row.int("id")?;
    row.set("id", 100 - id);
    Ok(())
}

/// Keys are the numbers from the other end, and the city is part of them.
static V3: Schema = Schema::new(
    "Parcel",
    &[FieldDef::new("id", Kind::Int(IntKind::U32)), FieldDef::new("city", Kind::Str)],
    KeyDef::natural(&[1, 0]),
)
.version(3)
.indexes(CITY)
.migrations(&[Migration::rekey(1, number), Migration::rekey(2, mirror)]);

/// The same without the city: each row's new key is the old one of another.
static MIRRORED: Schema = Schema::new("Parcel", V2.fields, KeyDef::natural(&[0]))
    .version(3)
    .indexes(CITY)
    .migrations(&[Migration::rekey(1, number), Migration::rekey(2, mirror)]);

fn city(id: u32) -> &'static str {
    ["Oslo", "Bergen", "Molde"][id as usize % 3]
}

fn parcel(id: u32) -> Record {
    Record::new([text(&format!("P{id}")), text(city(id))].map(Some))
}

fn in_city(name: &str) -> Query {
    where_(Predicate::Compare { field: 1, op: CompareOp::Eq, value: text(name) })
}

fn entry(id: u32, base: Option<Record>, row: Option<Record>) -> Op {
    let operation = if row.is_some() { Operation::Update } else { Operation::Delete };
    let mutation = MutationId(Uuid::from_u128(u128::from(id)));
    Op::Enqueue(Box::new(Entry {
        row: row.map(|row| Arc::new(row) as _),
        changed: [1].into_iter().collect(),
        base: base.map(|row| Arc::new(row) as _),
        ..Entry::new(&V1, format!("P{id}").into(), operation, mutation, Timestamp::UNIX_EPOCH)
    }))
}

/// Rows 1 to 99; 98 is deleted, and its deletion waits; so does a change of 97.
async fn written(disk: &Disk) {
    let store = open(&disk.config(), &[&V1]).await.unwrap();
    commit(&*store, (1..=99).map(|id| put(&V1, parcel(id)))).await.unwrap();
    let meta = Meta::synced(Timestamp::UNIX_EPOCH);
    let ops = [
        Op::Tombstone { schema: &V1, key: "P98".into(), meta, tail: Tail::New(0) },
        entry(98, Some(parcel(98)), None),
        entry(97, Some(parcel(97)), Some(parcel(97))),
    ];
    commit(&*store, ops).await.unwrap();
}

/// The key that row `id` of the first version has in `schema`.
fn key_in(schema: &'static Schema, id: u32) -> Key {
    match schema.version {
        2 => id.into(),
        _ if schema.key.fields.len() == 1 => (100 - id).into(),
        _ => Key::Composite([Key::from(city(id)), Key::from(100 - id)].into()),
    }
}

async fn check(store: &dyn Store, schema: &'static Schema) {
    let mut expected: Vec<Key> = (1..=99).filter(|id| *id != 98).map(|id| key_in(schema, id)).collect();
    expected.sort();
    assert_eq!(keys(store, schema, &Query::all()).await, expected);
    for id in 1..=97 {
        let row = find(store, schema, key_in(schema, id)).await.unwrap().unwrap().row;
        assert_eq!(string(&*row, 1), city(id));
    }
    let mut in_oslo: Vec<Key> =
        (1..=99).filter(|id| city(*id) == "Oslo" && *id != 98).map(|id| key_in(schema, id)).collect();
    in_oslo.sort();
    assert_eq!(keys(store, schema, &in_city("Oslo")).await, in_oslo);
    let deleted = store.load(&cx(), schema, &key_in(schema, 98)).await.unwrap().unwrap();
    assert!(deleted.row.is_none() && deleted.meta.tail == 1);
    let loaded = store.outbox(&cx(), 0, 10).await.unwrap();
    let queued: Vec<_> = loaded.entries.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!(queued, [98, 97].map(|id| key_in(schema, id)));
    assert!(loaded.unreadable.is_empty());
}

// Rules: m-evolve-keys
#[tokio::test]
async fn rows_tombstones_and_queued_mutations_move_to_their_new_keys() {
    for schema in [&V2, &V3, &MIRRORED] {
        let disk = Disk::default();
        written(&disk).await;
        check(&*open(&disk.config(), &[schema]).await.unwrap(), schema).await;
        // Once is enough.
        let store = open(&disk.config(), &[schema]).await.unwrap();
        check(&*store, schema).await;
        assert_eq!(store.migrate(&cx(), 1000).await.unwrap().rows, 0, "they were rewritten on the way");
    }
}

#[tokio::test]
async fn one_key_change_after_another_is_the_same_as_both_at_once() {
    let disk = Disk::default();
    written(&disk).await;
    check(&*open(&disk.config(), &[&V2]).await.unwrap(), &V2).await;
    check(&*open(&disk.config(), &[&V3]).await.unwrap(), &V3).await;
}

// Rules: m-evolve-keys
#[tokio::test]
async fn a_kill_at_any_point_leaves_the_old_keys_or_the_new_ones() {
    let disk = Disk::default();
    written(&disk).await;
    disk.take_syncs();
    drop(open_on(TestRuntime::inline(), &disk.config(), &[&V3]).await.unwrap());
    let moments = disk.take_syncs();
    assert!(moments.len() > 2, "{}", moments.len());
    for bytes in moments {
        let store = open_on(TestRuntime::inline(), &Disk::of(bytes).config(), &[&V3]).await.unwrap();
        check(&*store, &V3).await;
    }
}

// Rules: m-evolve-keys
#[tokio::test]
async fn two_rows_that_get_one_key_are_named_and_nothing_is_changed() {
    fn halve(row: &mut OldRow) -> Result<(), String> {
        number(row)?;
        let id = row.int("id")?;
        row.set("id", id / 2);
        Ok(())
    }
    static HALVED: Schema = Schema::new("Parcel", V2.fields, KeyDef::natural(&[0]))
        .version(2)
        .indexes(CITY)
        .migrations(&[Migration::rekey(1, halve)]);
    let disk = Disk::default();
    written(&disk).await;
    let error = open(&disk.config(), &[&HALVED]).await.unwrap_err();
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Conflict, Some("Parcel")));
    let said = message(&error);
    assert!(said.contains("P10") && said.contains("P11") && said.contains("nothing was changed"), "{said}");
    // The application of before still opens it, and so does one whose steps are mended.
    let store = open(&disk.config(), &[&V1]).await.unwrap();
    assert_eq!(get(&*store, &V1, &Query::all()).await.unwrap().len(), 98);
    assert_eq!(store.outbox(&cx(), 0, 10).await.unwrap().entries.len(), 2);
    drop(store);
    check(&*open(&disk.config(), &[&V2]).await.unwrap(), &V2).await;
}

#[tokio::test]
async fn a_row_whose_new_key_cannot_be_made_is_named_and_nothing_is_changed() {
    let disk = Disk::default();
    written(&disk).await;
    let store = open(&disk.config(), &[&V1]).await.unwrap();
    commit(&*store, [put(&V1, Record::new([text("Px"), text("Oslo")].map(Some)))]).await.unwrap();
    drop(store);
    let error = open(&disk.config(), &[&V2]).await.unwrap_err();
    assert_eq!((error.kind(), error.row_key()), (ErrorKind::Serialization, Some("Px")));
    assert_eq!(
        get(&*open(&disk.config(), &[&V1]).await.unwrap(), &V1, &Query::all()).await.unwrap().len(),
        99
    );
}

#[tokio::test]
async fn a_key_that_changes_without_a_rekeying_step_is_refused() {
    static OTHER_FIELD: Schema = Schema::new("Parcel", V1.fields, KeyDef::natural(&[1])).version(2);
    static OTHER_TYPE: Schema = Schema::new("Parcel", V2.fields, KeyDef::natural(&[0]))
        .version(2)
        .migrations(&[Migration::step(1, number)]);
    let disk = Disk::default();
    written(&disk).await;
    for schema in [&OTHER_FIELD, &OTHER_TYPE] {
        let error = open(&disk.config(), &[schema]).await.unwrap_err();
        assert_eq!((error.kind(), error.model_name()), (ErrorKind::Invalid, Some("Parcel")));
        let said = message(&error);
        assert!(said.contains("(id: string)") && said.contains("`rekey`"), "{said}");
    }
    // Another value in the same field shows with the row.
    fn lower(row: &mut OldRow) -> Result<(), String> {
        let id = row.text("id")?.to_lowercase();
        row.set("id", id);
        Ok(())
    }
    static LOWER: Schema = Schema::new("Parcel", V1.fields, KeyDef::natural(&[0]))
        .version(2)
        .migrations(&[Migration::step(1, lower)]);
    let store = open(&disk.config(), &[&LOWER]).await.unwrap();
    let error = find(&*store, &LOWER, "P5").await.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some("id")));
    assert!(message(&error).contains("`rekey`"), "{error}");
}

#[tokio::test]
async fn a_renamed_key_field_is_no_other_key() {
    static RENAMED: Schema = Schema::new(
        "Parcel",
        &[FieldDef::new("number", Kind::Str).with_dialects(&[(
            "row",
            larder_core::FieldDialect { alias: &["id"], ..larder_core::FieldDialect::PLAIN },
        )])],
        KeyDef::natural(&[0]),
    )
    .version(2);
    let disk = Disk::default();
    written(&disk).await;
    for _ in 0..2 {
        let store = open(&disk.config(), &[&RENAMED]).await.unwrap();
        assert_eq!(get(&*store, &RENAMED, &Query::all()).await.unwrap().len(), 98);
        let row = find(&*store, &RENAMED, "P5").await.unwrap().unwrap().row;
        assert!(matches!(row.field(0).unwrap().to_value(), Ok(Value::Str(id)) if *id == *"P5"));
    }
}
