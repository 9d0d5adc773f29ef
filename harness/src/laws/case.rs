//! A case: a law, and the rows that a resolver is asked about.

use std::collections::BTreeMap;

use larder_core::{Schema, Value};
use serde::{Deserialize, Serialize};

use super::law::{Law, same};
use crate::plain::Plain;

/// A law, and the rows that a resolver is asked about. `None` is a row that is not there.
#[derive(Clone, Debug)]
pub struct Case {
    /// The model.
    pub schema: &'static Schema,
    /// The law.
    pub law: Law,
    /// What the changes were made from.
    pub base: Option<Plain>,
    /// What is wanted here.
    pub mine: Option<Plain>,
    /// What the remote has, one after the other; for [`Law::OrderFree`] what two other devices want.
    pub theirs: Vec<Option<Plain>>,
}

/// How a case is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    base: Option<BTreeMap<String, Value>>,
    mine: Option<BTreeMap<String, Value>>,
    theirs: Vec<Option<BTreeMap<String, Value>>>,
}

impl Case {
    /// Reads what [`as_test`](Self::as_test) has written.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(schema: &'static Schema, law: Law, text: &str) -> Result<Self, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let row = |mut fields: BTreeMap<String, Value>| -> Result<Plain, String> {
            let row = schema.fields.iter().map(|field| {
                fields.remove(field.name).ok_or_else(|| format!("the field `{}` is missing", field.name))
            });
            let row = row.collect::<Result<Plain, String>>()?;
            fields
                .first_key_value()
                .map_or(Ok(row), |(name, _)| Err(format!("{} has no field `{name}`", schema.model)))
        };
        let side = |side: Option<BTreeMap<String, Value>>| side.map(row).transpose();
        let theirs = written.theirs.into_iter().map(side).collect::<Result<_, _>>()?;
        Ok(Self { schema, law, base: side(written.base)?, mine: side(written.mine)?, theirs })
    }

    fn write(&self) -> String {
        let side = |side: &Option<Plain>| {
            let name = |(at, value): (usize, &Value)| (self.schema.fields[at].name.to_owned(), value.clone());
            side.as_ref().map(|row| row.iter().enumerate().map(name).collect())
        };
        let theirs = self.theirs.iter().map(side).collect();
        let written = Written { base: side(&self.base), mine: side(&self.mine), theirs };
        serde_json::to_string(&written).unwrap_or_else(|error| error.to_string())
    }

    /// The case as a test to paste: the function that is tried is called `resolve` in it.
    #[must_use]
    pub fn as_test(&self) -> String {
        let mut told = self.changes("mine", self.mine.as_ref());
        for theirs in &self.theirs {
            told += &self.changes("theirs", theirs.as_ref());
        }
        let (law, model) = (self.law, self.schema.model);
        let name = format!("{law:?}").to_lowercase();
        format!(
            "#[test]\nfn the_resolver_is_{name}() {{\n{told}    larder_harness::laws::replay::<{model}>(Law::{law:?}, \
             resolve, r##\"{}\"##);\n}}\n",
            self.write(),
        )
    }

    /// In what a side differs from the base, as comments.
    fn changes(&self, side: &str, row: Option<&Plain>) -> String {
        let Some(row) = row else { return format!("    // {side}: no row\n") };
        let Some(base) = &self.base else { return format!("    // {side}: a new row\n") };
        let differs = row.iter().zip(base).enumerate().filter(|(_, (value, base))| !same(value, base));
        let lines = differs.map(|(at, (value, base))| {
            format!("    // {side}: {} {base:?} -> {value:?}\n", self.schema.fields[at].name)
        });
        let lines: String = lines.collect();
        if lines.is_empty() { format!("    // {side}: unchanged\n") } else { lines }
    }
}
