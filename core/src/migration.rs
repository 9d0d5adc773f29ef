//! Steps from one version of a model to the next, for what names, aliases and defaults can't bridge.
//!
//! A stored row says which version of its model wrote it. Where today's schema declares steps from that version on, the
//! row is taken apart into owned values under its *stored names*, each step changes them in turn, and what is left is
//! fitted to today's fields by name, alias and default, as any other row is. So a filter, an index entry and a decode
//! all see the same migrated row. A released step is never changed: rows that one device has migrated and another one
//! has not would differ.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};
use crate::value::Value;

/// A step from one version of a model to the next.
///
/// ```
/// use larder_core::{FieldDef, IntKind, KeyDef, Kind, Migration, OldRow, Schema};
///
/// fn age_to_number(row: &mut OldRow) -> Result<(), String> {
///     let age = row.text("age")?.parse::<i64>().map_err(|error| error.to_string())?;
///     row.set("age", age);
///     Ok(())
/// }
///
/// static USER: Schema = Schema::new(
///     "User",
///     &[FieldDef::new("name", Kind::Str), FieldDef::new("age", Kind::Int(IntKind::I64))],
///     KeyDef::natural(&[0]),
/// )
/// .version(2)
/// .migrations(&[Migration::step(1, age_to_number)]);
/// assert_eq!(USER.steps(1).count(), 1);
/// assert_eq!(USER.steps(2).count(), 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version that the step starts from; it leads to the next one.
    pub from: u32,
    /// Changes the row; an error is a lower-case fragment that says what is wrong with it.
    pub run: fn(&mut OldRow) -> Result<(), String>,
    /// True if rows have other keys afterwards: such a step is run for all rows at once, when the store is opened.
    pub rekeys: bool,
}

impl Migration {
    /// A step that leaves keys as they are.
    #[must_use]
    pub const fn step(from: u32, run: fn(&mut OldRow) -> Result<(), String>) -> Self {
        Self { from, run, rekeys: false }
    }

    /// A step after which rows have other keys.
    #[must_use]
    pub const fn rekey(from: u32, run: fn(&mut OldRow) -> Result<(), String>) -> Self {
        Self { from, run, rekeys: true }
    }

    /// Runs the step on `row`, which `stored` wrote. A panic of the application's is an error of this row.
    pub(crate) fn apply(&self, row: &mut OldRow, stored: u32, current: u32) -> Result<()> {
        row.version = self.from;
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(row)));
        let why = match ran {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(panic) => format!("it panicked: {}", said(&*panic)),
        };
        let message = format!(
            "the migration from version {} of the model to {} failed: {why}; the row was stored by version {stored}, \
             the application has version {current}",
            self.from,
            self.from.saturating_add(1),
        );
        Err(Error::new(ErrorKind::Serialization, message).during("migrate"))
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

/// A row of an older version of a model: owned values under the names that they have in the store.
///
/// - A field that was absent is not there; one that was null is [`Value::Null`].
/// - A nested struct is a [`Value::Map`] from the stored names of its fields to their values.
/// - A variant without data of an enum without data is a [`Value::Str`], its stored name; a variant of an enum with data
///   is a map of one entry, from its stored name to the map of its fields (those of a tuple are `0`, `1` …).
///
/// A step may leave values in the same forms, or as [`Value::Struct`] and [`Value::Variant`] by today's positions.
#[derive(Clone, Debug, PartialEq)]
pub struct OldRow {
    pub(crate) version: u32,
    fields: Vec<(Box<str>, Value)>,
}

impl OldRow {
    /// A row with these fields, as `version` of the model has them.
    #[must_use]
    pub fn new(version: u32, fields: impl IntoIterator<Item = (impl Into<Box<str>>, Value)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { version, fields }
    }

    /// The version that the row has now: that of the step that is run.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The field `name`, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| **field == *name).map(|(_, value)| value)
    }

    /// Sets the field `name`, whether it is there or not.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(field, _)| **field == *name) {
            Some((_, slot)) => *slot = value,
            None => self.fields.push((name.into(), value)),
        }
    }

    /// Takes the field `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.fields.iter().position(|(field, _)| **field == *name)?;
        Some(self.fields.remove(at).1)
    }

    /// Gives the field `from` the name `to`, in place of whatever has that name; `false` if it is not there.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(value) = self.remove(from) else { return false };
        self.set(to, value);
        true
    }

    /// The fields, in the order in which they were stored.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    /// The text in the field `name`.
    ///
    /// # Errors
    /// A fragment that names the field, if it is not there or no text.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.get(name) {
            Some(Value::Str(text)) => Ok(text),
            other => Err(unlike(name, "a string", other)),
        }
    }

    /// The integer in the field `name`.
    ///
    /// # Errors
    /// A fragment that names the field, if it is not there or no integer.
    pub fn int(&self, name: &str) -> Result<i128, String> {
        match self.get(name) {
            Some(Value::Int(number)) => Ok(*number),
            other => Err(unlike(name, "an integer", other)),
        }
    }
}

fn unlike(name: &str, expected: &str, found: Option<&Value>) -> String {
    format!("`{name}` is {} and not {expected}", found.map_or("not there", |value| value.show().describe()))
}
