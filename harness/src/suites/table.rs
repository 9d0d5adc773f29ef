//! Each operator on each type, with null and without: what is expected stands in `types.txt`, written out.

use larder_core::{CompareOp, IntKind, Kind, Predicate, Query, Record, Schema, TextOp, Value};

use super::ask::{by, field};
use crate::models::{SPECIMEN, at, specimen, struct_of, text};
use crate::trial::{Trial, Verdict, numbers};

/// The tables.
const TABLES: &str = include_str!("types.txt");

/// The end of the name of a case on the field that can be null.
const NULL: &str = "_null";

/// Puts the rows of a table and asks all that it asks in a case.
pub(super) async fn answers(trial: Trial, suite: &str, case: &str) -> Verdict {
    let table = Table::of(suite);
    let (name, nullable) = case.strip_suffix(NULL).map_or((case, false), |name| (name, true));
    trial.put(&SPECIMEN, table.rows()).await;
    let on = if nullable { table.nullable } else { table.plain };
    let mut asked = 0;
    for ask in table.asks.iter().filter(|ask| ask.case() == name) {
        let query = ask.query(on);
        let expected = if nullable { &ask.with_null } else { &ask.without };
        let found = numbers(&trial.keys(&SPECIMEN, &query).await);
        assert_eq!(&found, expected, "`{}` on `{on}`: {query:?}", ask.line);
        asked += 1;
    }
    assert!(asked > 0, "the table of {suite} asks nothing for {case}");
    Verdict::Passed
}

/// A block of the file.
struct Table {
    plain: &'static str,
    nullable: &'static str,
    values: Vec<Value>,
    nulls: Vec<Value>,
    asks: Vec<Ask>,
}

/// A line of a block: a condition or an order, and the keys of the rows that answer.
struct Ask {
    line: &'static str,
    words: Vec<&'static str>,
    without: Vec<i128>,
    with_null: Vec<i128>,
}

impl Table {
    /// The block of a suite.
    fn of(suite: &str) -> Self {
        let mut blocks = TABLES.split("\n\n").map(|block| {
            block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
        });
        let found = blocks.find_map(|mut lines| {
            let head: Vec<&str> = lines.next()?.split_whitespace().collect();
            (head.first() == Some(&suite)).then_some((head, lines))
        });
        let (head, mut lines) = found.unwrap_or_else(|| panic!("there is no table of {suite}"));
        let [_, plain, nullable] = head[..] else { panic!("a head is a suite and two fields, not {head:?}") };
        let mut values = |word: &str, on: &str| -> Vec<Value> {
            let line = lines.next().and_then(|line| line.strip_prefix(word));
            let line = line.unwrap_or_else(|| panic!("the table of {suite} has no line `{word}`"));
            line.split_whitespace().map(|text| read(&kind(on), text)).collect()
        };
        let (values, nulls) = (values("rows", plain), values("nulls", nullable));
        Self { plain, nullable, values, nulls, asks: lines.map(Ask::read).collect() }
    }

    /// Specimens 1, 2, 3 …
    fn rows(&self) -> Vec<Record> {
        let (plain, nullable) = (at(&SPECIMEN, self.plain), at(&SPECIMEN, self.nullable));
        let row = |((id, value), null): ((i64, &Value), &Value)| {
            let mut row = specimen(id);
            row.set(plain, value.clone());
            row.set(nullable, null.clone());
            row
        };
        (1..).zip(&self.values).zip(&self.nulls).map(row).collect()
    }
}

impl Ask {
    fn read(line: &'static str) -> Self {
        let parts = line.split_once("=>").and_then(|(words, keys)| Some((words, keys.split_once('|')?)));
        let (words, (without, with_null)) = parts.unwrap_or_else(|| panic!("no line of a table: {line}"));
        let keys = |text: &str| -> Vec<i128> {
            text.split_whitespace().map(|key| key.parse().expect("the key of a row")).collect()
        };
        let words = words.split_whitespace().collect();
        Self { line, words, without: keys(without), with_null: keys(with_null) }
    }

    /// The case that asks this.
    fn case(&self) -> &'static str {
        match self.words[0] {
            "in" => "is_in",
            "rising" | "falling" => "order",
            word if word.ends_with("_i") => "ignoring_case",
            word => word,
        }
    }

    fn query(&self, on: &str) -> Query {
        match self.words[0] {
            "rising" => Query { order: by(&[on]), ..Query::all() },
            "falling" => Query { order: by(&[&format!("-{on}")]), ..Query::all() },
            _ => Query::filter(condition(on, &self.words)),
        }
    }
}

fn condition(on: &str, words: &[&str]) -> Predicate {
    let value = |at: usize| read(&kind(on), words[at]);
    let compare = |op| Predicate::Compare { field: field(on), op, value: value(1) };
    match words[0] {
        "not" => Predicate::Not(Box::new(condition(on, &words[1..]))),
        "eq" => compare(CompareOp::Eq),
        "ne" => compare(CompareOp::Ne),
        "lt" => compare(CompareOp::Lt),
        "le" => compare(CompareOp::Le),
        "gt" => compare(CompareOp::Gt),
        "ge" => compare(CompareOp::Ge),
        "between" => Predicate::Between { field: field(on), low: value(1), high: value(2) },
        "in" => Predicate::In { field: field(on), values: (1..words.len()).map(value).collect() },
        "does_not_contain" => part(on, "contains", words[1], true),
        "does_not_contain_i" => part(on, "contains_i", words[1], true),
        word => part(on, word, words[1], false),
    }
}

/// A condition on a part of a text, or on a member of a list.
fn part(on: &str, word: &str, operand: &str, negated: bool) -> Predicate {
    let element = match kind(on) {
        Kind::List(of) => Some(*of),
        Kind::Bytes => Some(Kind::Int(IntKind::U8)),
        _ => None,
    };
    if let Some(element) = element {
        return Predicate::Member { field: field(on), value: read(&element, operand), negated };
    }
    let (word, ignore_case) = word.strip_suffix("_i").map_or((word, false), |word| (word, true));
    let op = match word {
        "contains" => TextOp::Contains,
        "starts_with" => TextOp::StartsWith,
        "ends_with" => TextOp::EndsWith,
        _ => panic!("the tables know no `{word}`"),
    };
    let Value::Str(needle) = read(&Kind::Str, operand) else { panic!("{operand} is no text") };
    Predicate::Text { field: field(on), op, needle, ignore_case, negated }
}

/// The type of a specimen's field, without its option.
fn kind(name: &str) -> Kind {
    let schema: &Schema = &SPECIMEN;
    *schema.fields[at(&SPECIMEN, name)].kind.inner()
}

/// Reads a value as the tables write it.
fn read(kind: &Kind, written: &str) -> Value {
    fn fits<T, E: std::fmt::Debug>(written: &str, value: Result<T, E>) -> T {
        value.unwrap_or_else(|error| panic!("`{written}` is no such value: {error:?}"))
    }
    let string = || fits(written, serde_json::from_str::<String>(written));
    match kind {
        _ if written == "null" => Value::Null,
        Kind::Bool => Value::Bool(fits(written, written.parse())),
        Kind::Int(IntKind::U128) => {
            let number: u128 = fits(written, written.parse());
            i128::try_from(number).map_or(Value::Uint(number), Value::Int)
        }
        Kind::Int(_) => Value::Int(fits(written, written.parse())),
        Kind::Enum(def) if def.numbers().is_some() => Value::Int(fits(written, written.parse())),
        Kind::Date => Value::Date(fits(written, written.parse())),
        Kind::Clock => Value::Clock(fits(written, written.parse())),
        Kind::DateTime => Value::DateTime(fits(written, written.parse())),
        Kind::Decimal => Value::Decimal(fits(written, written.parse())),
        Kind::F32 => Value::Float(fits(written, written.parse::<f32>()).into()),
        Kind::F64 => Value::Float(fits(written, written.parse())),
        Kind::Char => Value::Char(string().chars().next().expect("a letter")),
        Kind::Str => text(&string()),
        Kind::Enum(_) => text(written),
        Kind::Uuid => Value::Uuid(fits(written, written.parse())),
        Kind::Time => Value::Time(fits(written, written.parse())),
        Kind::Bytes => Value::Bytes(
            (2..written.len())
                .step_by(2)
                .map(|at| fits(written, u8::from_str_radix(&written[at..at + 2], 16)))
                .collect(),
        ),
        Kind::List(_) => {
            let words: Vec<String> = fits(written, serde_json::from_str(written));
            Value::List(words.iter().map(|word| text(word)).collect())
        }
        Kind::Struct(_) => {
            let (street, zip, floor): (String, Option<String>, i32) =
                fits(written, serde_json::from_str(written));
            struct_of(&street, zip.as_deref(), floor)
        }
        other => panic!("the tables have no values of the type {}", other.name()),
    }
}
