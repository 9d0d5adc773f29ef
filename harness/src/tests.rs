//! The harness's own tests: its evaluator, its generator, its records.

use std::collections::BTreeSet;

use larder_core::{CompareOp, IntKind, Kind, Predicate, Query, Schema, Value};

use crate::differential::{Focus, Limits, Triple, query, query_within, rows, world};
use crate::models::{self, ALL, BLOB, MOMENT, NAMED, NUMBERED, SEAT, SPECIMEN, TAGGED, at};
use crate::oracle::{self, Table};
use crate::outcome::Outcome;
use crate::plain::Plain;
use crate::random::Random;
use crate::suites::cases;

const FOCUSES: [Focus; 7] = [
    Focus::Comparisons,
    Focus::Texts,
    Focus::Members,
    Focus::Trees,
    Focus::Orders,
    Focus::Keys,
    Focus::Related,
];

/// The models that the differential suite asks with this focus.
fn models(focus: Focus) -> Vec<&'static Schema> {
    match focus {
        Focus::Keys => vec![&NAMED, &NUMBERED, &TAGGED, &SEAT, &BLOB, &MOMENT],
        Focus::Related => models::related().to_vec(),
        _ => vec![&SPECIMEN],
    }
}

#[test]
fn most_queries_answer_neither_nothing_nor_everything() {
    for focus in FOCUSES {
        let mut random = Random::new(7);
        let (mut telling, mut all) = (0, 0);
        for seed in 0..60 {
            let models = models(focus);
            let world = world(models[seed % models.len()], Limits::default(), &mut random);
            let tables: Vec<_> = world.iter().map(|(schema, rows)| Table { schema, rows }).collect();
            for _ in 0..20 {
                let query = query_within(&tables, focus, &mut random);
                let found = oracle::answer_within(&tables, &query).len();
                all += 1;
                telling += usize::from(found > 0 && found < tables[0].rows.len());
            }
        }
        println!("{focus:?}: {telling} of {all}");
        assert!(telling * 100 >= all * 60, "{focus:?}: {telling} of {all}");
    }
}

#[test]
fn a_seed_determines_rows_and_queries() {
    let made = |seed| {
        let mut random = Random::new(seed);
        let rows = rows(&SPECIMEN, Limits::default(), &mut random);
        let query = query(&SPECIMEN, &rows, Focus::Trees, &mut random);
        format!("{rows:?} {query:?}")
    };
    assert_eq!(made(1), made(1));
    assert_ne!(made(1), made(2));
}

#[test]
fn limits_are_kept() {
    fn finite(value: &Value) -> bool {
        match value {
            Value::Float(float) => float.is_finite(),
            Value::List(values) => values.iter().all(finite),
            _ => true,
        }
    }
    let mut random = Random::new(3);
    let all_finite = |rows: &[Plain]| rows.iter().flatten().all(finite);
    let limits = Limits { finite: true, dear: false };
    assert!((0..50).all(|_| all_finite(&rows(&SPECIMEN, limits, &mut random))));
    assert!(!(0..50).all(|_| all_finite(&rows(&SPECIMEN, Limits::default(), &mut random))));
}

#[track_caller]
fn check(name: &str, values: &[Value], op: CompareOp, operand: Value, expected: &[usize]) {
    let rows: Vec<Plain> = (1..)
        .zip(values)
        .map(|(id, value)| {
            let mut row = crate::plain::plain(&SPECIMEN, &crate::models::specimen(id));
            row[at(&SPECIMEN, name)] = value.clone();
            row
        })
        .collect();
    let filter = Predicate::Compare { field: at(&SPECIMEN, name) as u16, op, value: operand };
    assert_eq!(oracle::answer(&SPECIMEN, &rows, &Query::filter(filter)), expected);
}

#[test]
fn the_oracle_orders_floats_in_total_and_equates_zeros() {
    let floats = [f64::NAN, -0.0, 0.0, f64::NEG_INFINITY, -f64::NAN, 1.5].map(Value::Float);
    check("double", &floats, CompareOp::Eq, Value::Float(0.0), &[1, 2]);
    check("double", &floats, CompareOp::Lt, Value::Float(0.0), &[1, 3, 4]);
    check("double", &floats, CompareOp::Gt, Value::Float(f64::INFINITY), &[0]);
    check("double", &floats, CompareOp::Ne, Value::Float(f64::NAN), &[0, 1, 2, 3, 4, 5]);
    check("double", &floats, CompareOp::Ge, Value::Float(-f64::NAN), &[0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_oracle_knows_null() {
    let values = [Value::Null, Value::Int(1), Value::Int(2)];
    check("opt_int", &values, CompareOp::Ne, Value::Int(1), &[2]);
    check("opt_int", &values, CompareOp::Eq, Value::Null, &[0]);
    check("opt_int", &values, CompareOp::Ne, Value::Null, &[1, 2]);
    check("opt_int", &values, CompareOp::Le, Value::Null, &[]);
}

#[test]
fn every_field_is_called_otherwise_in_every_dialect() {
    for schema in *ALL {
        for field in schema.fields {
            let (json, row) = (field.name_in("json"), field.name_in("row"));
            assert!(
                json != field.name && row != field.name && json != row,
                "{}.{}",
                schema.model,
                field.name
            );
        }
    }
}

/// Each rule has a test that names it, and each name that a test gives is a rule's.
#[test]
fn rules_and_tests_know_each_other() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let map = crate::rules::Map::read(&root).expect("the project's files");
    assert!(map.rules.len() > 100, "the reference is under docs/src/reference");
    let problems = map.problems();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn there_are_many_cases_of_every_provider() {
    let of_all = cases().filter(|case| case.face == "provider").count();
    assert!(of_all >= 250, "{of_all}");
    assert!(cases().all(|case| case.rules().all(|rule| !rule.is_empty())));
}

#[test]
fn cases_have_names_of_their_own() {
    let mut names: Vec<_> = cases().map(|case| (case.suite, case.name)).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn records_are_lines() {
    let line = Outcome::Failed("a\tb\nc".into()).line("redb", "window", "limit");
    assert_eq!(line, "redb\twindow\tlimit\tfailed\ta b c\n");
    assert_eq!(Outcome::Passed.line("redb", "window", "limit"), "redb\twindow\tlimit\tpassed\t\n");
}

#[test]
fn records_are_appended() {
    let directory = std::env::temp_dir().join(format!("larder-records-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    for case in ["a", "b"] {
        Outcome::Refused("why".into()).record(Some(&directory), "x", "s", case).expect("a record");
    }
    let text = std::fs::read_to_string(directory.join("x.tsv")).expect("the records");
    std::fs::remove_dir_all(&directory).expect("to be removed");
    assert_eq!(text, "x\ts\ta\trefused\twhy\nx\ts\tb\trefused\twhy\n");
}

#[test]
fn a_counterexample_reads_back() {
    let mut random = Random::new(11);
    for seed in 0..60 {
        let schema = ALL[seed % ALL.len()];
        if ["Account", "Profile"].contains(&schema.model) {
            continue;
        }
        let world = world(schema, Limits::default(), &mut random);
        let tables: Vec<_> = world.iter().map(|(schema, rows)| Table { schema, rows }).collect();
        let focus = if schema.associations.is_empty() { Focus::Keys } else { Focus::Related };
        let query = query_within(&tables, focus, &mut random);
        let triple = Triple { world, query };
        let test = triple.as_test("name");
        let text =
            test.split_once("r##\"").and_then(|(_, rest)| rest.split_once("\"##")).expect("the text").0;
        let read = Triple::read(text).expect("a triple");
        assert_eq!((read.world, read.query), (triple.world, triple.query));
    }
}

/// The types that a kind is made of, by name; of what is written in its own way, what it is shown as.
fn kinds(kind: &Kind, into: &mut BTreeSet<&'static str>) {
    let (name, parts): (_, Vec<Kind>) = match kind {
        Kind::Bool => ("bool", Vec::new()),
        Kind::Int(of) => (int(*of), Vec::new()),
        Kind::F32 => ("f32", Vec::new()),
        Kind::F64 => ("f64", Vec::new()),
        Kind::Char => ("char", Vec::new()),
        Kind::Str => ("text", Vec::new()),
        Kind::Bytes => ("bytes", Vec::new()),
        Kind::Uuid => ("uuid", Vec::new()),
        Kind::Time => ("time", Vec::new()),
        Kind::Date => ("date", Vec::new()),
        Kind::Clock => ("clock", Vec::new()),
        Kind::DateTime => ("date and time", Vec::new()),
        Kind::Decimal => ("decimal", Vec::new()),
        Kind::Option(of) => ("option", vec![**of]),
        Kind::List(of) => ("list", vec![**of]),
        Kind::Map(key, of) => ("map", vec![**key, **of]),
        Kind::Struct(def) => ("struct", def.fields.iter().map(|field| field.kind).collect()),
        Kind::Enum(def) if def.numbers().is_some() => ("enum by number", Vec::new()),
        Kind::Enum(def) if def.is_unit() => ("enum by name", Vec::new()),
        Kind::Enum(def) => {
            let fields = def.variants.iter().flat_map(|one| one.fields);
            ("enum with data", fields.map(|field| field.kind).collect())
        }
        Kind::As(def) => ("as", vec![def.kind]),
        other => {
            panic!("the harness does not know the type {}: give the specimen a field of it", other.name())
        }
    };
    into.insert(name);
    parts.iter().for_each(|part| kinds(part, into));
}

fn int(of: IntKind) -> &'static str {
    match of {
        IntKind::I8 => "i8",
        IntKind::I16 => "i16",
        IntKind::I32 => "i32",
        IntKind::I64 => "i64",
        IntKind::I128 => "i128",
        IntKind::U8 => "u8",
        IntKind::U16 => "u16",
        IntKind::U32 => "u32",
        IntKind::U64 => "u64",
        IntKind::U128 => "u128",
    }
}

// Rules: m-scalars, m-containers
#[test]
fn the_specimen_has_a_field_of_every_type() {
    let mut found = BTreeSet::new();
    SPECIMEN.fields.iter().for_each(|field| kinds(&field.kind, &mut found));
    let wanted = [
        "as",
        "bool",
        "bytes",
        "char",
        "clock",
        "date",
        "date and time",
        "decimal",
        "enum by name",
        "enum by number",
        "enum with data",
        "f32",
        "f64",
        "i128",
        "i16",
        "i32",
        "i64",
        "i8",
        "list",
        "map",
        "option",
        "struct",
        "text",
        "time",
        "u128",
        "u16",
        "u32",
        "u64",
        "u8",
        "uuid",
    ];
    let missing: Vec<_> = wanted.iter().filter(|kind| !found.contains(*kind)).collect();
    assert!(missing.is_empty(), "the specimen has no field of {missing:?}");
    let renamed = |field: &&larder_core::FieldDef| field.name_in("json") != field.name;
    assert_eq!(SPECIMEN.fields.iter().filter(renamed).count(), SPECIMEN.fields.len(), "each is renamed");
}
