//! A model, its rows and a query: made by a seed, or pasted as a test.

use std::collections::{BTreeMap, BTreeSet};

use larder_core::{Key, Predicate, Query, Schema, Value};
use serde::{Deserialize, Serialize};

use crate::models::{self, SPECIMEN, specimen};
use crate::oracle;
use crate::plain::{Plain, plain};
use crate::run::{Candidate, block_on};

/// A model, its rows and a query.
#[derive(Clone, Debug)]
pub struct Triple {
    /// The model and its rows, as they are put; behind it the models that it is associated with, and theirs.
    pub world: Vec<(&'static Schema, Vec<Plain>)>,
    /// The query.
    pub query: Query,
}

/// How a triple is written down. A field that is not named has the value that [`specimen`] gives it.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    model: String,
    rows: WrittenRows,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<(String, WrittenRows)>,
    query: Query,
}

type WrittenRows = Vec<BTreeMap<String, Value>>;

/// Compares the answer of a provider to a triple that was written down; see [`Triple::as_test`].
///
/// # Panics
/// If the answers differ, or the text is no triple.
pub fn replay(candidate: &Candidate<'_>, text: &str) {
    let triple = Triple::read(text).unwrap_or_else(|why| panic!("no triple: {why}"));
    if let Err(why) = block_on(triple.holds(candidate)) {
        panic!("{why}\n{}", triple.as_test("replayed"));
    }
}

impl Triple {
    /// The model that is asked for.
    #[must_use]
    pub fn schema(&self) -> &'static Schema {
        self.world[0].0
    }

    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> &[Plain] {
        &self.world[0].1
    }

    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let first = (written.model, written.rows);
        let world = std::iter::once(first).chain(written.others).map(|(model, rows)| read_rows(&model, rows));
        Ok(Self { world: world.collect::<Result<_, _>>()?, query: written.query })
    }

    fn write(&self) -> String {
        let write = |(schema, rows): &(&'static Schema, Vec<Plain>)| {
            (schema.model.to_owned(), rows.iter().map(|row| write_row(schema, row)).collect())
        };
        let mut world = self.world.iter().map(write);
        let (model, rows) = world.next().unwrap_or_default();
        let written = Written { model, rows, others: world.collect(), query: self.query.clone() };
        serde_json::to_string(&written).unwrap_or_else(|error| error.to_string())
    }

    /// The triple as a test to paste beside `conformance!`.
    #[must_use]
    pub fn as_test(&self, name: &str) -> String {
        let involved = self.involved();
        let mut comment = String::new();
        let fields = self.schema().fields;
        for row in self.rows() {
            let shown: Vec<String> =
                involved.iter().map(|at| format!("{}: {:?}", fields[*at].name, row[*at])).collect();
            comment += &format!("    // {}\n", shown.join(", "));
        }
        let fields: Vec<String> = involved.iter().map(|at| format!("{at} = {}", fields[*at].name)).collect();
        format!(
            "#[test]\nfn {name}() {{\n{comment}    // {}: {:?}\n    larder_harness::replay(&candidate(), r##\"{}\"##);\n}}\n",
            fields.join(", "),
            self.query,
            self.write(),
        )
    }

    /// The fields that have to do with the answer: of the key, of the filter and of the order.
    fn involved(&self) -> BTreeSet<usize> {
        let mut involved: BTreeSet<usize> = self.schema().key.fields.iter().copied().collect();
        let own = self.query.order.iter().filter(|order| order.through.is_none());
        involved.extend(own.map(|order| usize::from(order.field)));
        mentioned(&self.query.filter, &mut involved);
        involved
    }

    /// The triple with fields that have nothing to do with the answer as a plain row has them; `None` if they are so.
    pub(super) fn plainer(&self) -> Option<Self> {
        if self.world.len() > 1 {
            return None;
        }
        let (schema, involved) = (self.schema(), self.involved());
        let row = |row: &Plain| -> Plain {
            let base = base(schema, row).unwrap_or_else(|| row.clone());
            let fields = row.iter().zip(base).enumerate();
            fields
                .map(|(at, (value, base))| if involved.contains(&at) { value.clone() } else { base })
                .collect()
        };
        let rows: Vec<Plain> = self.rows().iter().map(row).collect();
        (rows != self.rows()).then(|| Self { world: vec![(schema, rows)], query: self.query.clone() })
    }
}

fn read_rows(model: &str, rows: WrittenRows) -> Result<(&'static Schema, Vec<Plain>), String> {
    let known = models::ALL.iter().find(|schema| schema.model == model);
    let schema = *known.ok_or_else(|| format!("the suites have no model `{model}`"))?;
    let row = |mut fields: BTreeMap<String, Value>| -> Result<Plain, String> {
        let mut row: Plain =
            schema.fields.iter().map(|field| fields.remove(field.name).unwrap_or_default()).collect();
        if let Some(base) = base(schema, &row) {
            for (value, base) in row.iter_mut().zip(base).filter(|(value, _)| value.is_null()) {
                *value = base;
            }
        }
        fields
            .first_key_value()
            .map_or(Ok(row), |(name, _)| Err(format!("{} has no field `{name}`", schema.model)))
    };
    Ok((schema, rows.into_iter().map(row).collect::<Result<_, _>>()?))
}

fn write_row(schema: &'static Schema, row: &Plain) -> BTreeMap<String, Value> {
    let base = base(schema, row).unwrap_or_else(|| vec![Value::Null; row.len()]);
    let fields = schema.fields.iter().zip(row).zip(base).enumerate();
    let told = fields.filter(|(at, ((_, value), base))| *value != base || schema.key.fields.contains(at));
    told.map(|(_, ((field, value), _))| (field.name.to_owned(), value.clone())).collect()
}

/// The plain row with the key of `row`; specimens have one.
fn base(schema: &'static Schema, row: &Plain) -> Option<Plain> {
    match oracle::key_of(schema, row) {
        Key::Int(id) if *schema == SPECIMEN => Some(plain(schema, &specimen(i64::try_from(id).ok()?))),
        _ => None,
    }
}

fn mentioned(filter: &Predicate, fields: &mut BTreeSet<usize>) {
    match filter {
        Predicate::Compare { field, .. }
        | Predicate::Between { field, .. }
        | Predicate::In { field, .. }
        | Predicate::Text { field, .. }
        | Predicate::Among { field, .. }
        | Predicate::Member { field, .. } => drop(fields.insert(usize::from(*field))),
        Predicate::And(children) | Predicate::Or(children) => {
            children.iter().for_each(|child| mentioned(child, fields));
        }
        Predicate::Not(child) => mentioned(child, fields),
        _ => {}
    }
}
