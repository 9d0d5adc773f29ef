//! A row of an older version, taken through the steps to today's.

use super::DIALECT;
use super::fit::{Versions, fit};
use super::shape::{Shape, ShapeField};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::migration::{Migration, OldRow};
use crate::schema::{FieldDef, Schema};
use crate::value::{Value, ValueRef};

/// The steps that rows of a stored shape need.
#[derive(Debug)]
pub(super) struct Steps {
    fields: Box<[ShapeField]>,
    schema: &'static Schema,
    versions: Versions,
    steps: Box<[&'static Migration]>,
}

impl Steps {
    /// `None` if the schema has no step for rows of that shape.
    pub(super) fn of(shape: &Shape, schema: &'static Schema) -> Option<Self> {
        let mut steps: Vec<_> = schema.steps(shape.version).collect();
        steps.sort_by_key(|step| step.from);
        let versions = Versions { stored: shape.version, current: schema.version };
        let needed = !steps.is_empty();
        needed.then(|| Self { fields: shape.fields.clone().into(), schema, versions, steps: steps.into() })
    }

    /// True if one of the steps changes keys.
    pub(super) fn rekeys(&self) -> bool {
        self.steps.iter().any(|step| step.rekeys)
    }

    /// Reads each stored field by `bytes`, runs the steps and fits the result to today's fields.
    pub(super) fn run<'a>(&self, bytes: impl Fn(usize) -> Option<&'a [u8]>) -> Result<Migrated> {
        let model = self.schema.model;
        let mut fields = Vec::with_capacity(self.fields.len());
        for (at, field) in self.fields.iter().enumerate() {
            let named = |fault: Fault| fault.error(model, &field.name).during("migrate");
            match bytes(at).ok_or(Fault::Malformed).map_err(named)? {
                [] => {}
                bytes => {
                    let value = super::old::value(bytes, &field.kind).map_err(named)?;
                    fields.push((field.name.as_str(), value));
                }
            }
        }
        let mut row = OldRow::new(self.versions.stored, fields);
        let keys = self.keys(&row);
        for step in &self.steps {
            let ran = step.apply(&mut row, self.versions.stored, self.versions.current);
            ran.map_err(|error| error.model(model))?;
        }
        let fitted = self.schema.fields.iter().map(|field| self.fitted(&mut row, field));
        let migrated = Migrated { fields: fitted.collect() };
        match keys.into_iter().find(|(at, before)| migrated.fields[*at] != *before) {
            Some((at, _)) => Err(self.moved(at)),
            None => Ok(migrated),
        }
    }

    /// The key's fields before the steps, as far as they are known by name: no step may change them unawares.
    fn keys(&self, row: &OldRow) -> Vec<(usize, Result<Option<Value>, Fault>)> {
        if self.rekeys() {
            return Vec::new();
        }
        let before = |at: &usize| {
            let field = &self.schema.fields[*at];
            let value = names(field).find_map(|name| row.get(name))?;
            Some((*at, fit(value.clone(), &field.kind, self.versions).map(Some)))
        };
        self.schema.key.fields.iter().filter_map(before).collect()
    }

    #[cold]
    fn moved(&self, at: usize) -> Error {
        let Versions { stored, current } = self.versions;
        let message = format!(
            "the migration from version {stored} of the model to {current} changes the row's key: declare the step as \
             `rekey`"
        );
        Error::new(ErrorKind::Serialization, message)
            .during("migrate")
            .model(self.schema.model)
            .at(self.schema.fields[at].name)
    }

    /// The field as today's model has it; `None` if it is absent.
    fn fitted(&self, row: &mut OldRow, field: &FieldDef) -> Result<Option<Value>, Fault> {
        match names(field).find_map(|name| row.remove(name)) {
            Some(value) => fit(value, &field.kind, self.versions).map(Some),
            None => Ok(field.default_in(DIALECT)),
        }
    }
}

/// The names by which a stored field is today's.
fn names(field: &FieldDef) -> impl Iterator<Item = &'static str> {
    std::iter::once(field.name_in(DIALECT)).chain(field.alias_in(DIALECT).iter().copied())
}

/// A row that went through the steps: owned values by today's positions. A field that does not fit is a fault of its
/// own, so that the others can be read.
#[derive(Debug)]
pub(super) struct Migrated {
    fields: Box<[Result<Option<Value>, Fault>]>,
}

impl Migrated {
    pub(super) fn field(&self, i: usize) -> Result<ValueRef<'_>, Fault> {
        match self.fields.get(i) {
            Some(Ok(Some(value))) => Ok(value.show()),
            Some(Ok(None)) => Ok(ValueRef::Absent),
            Some(Err(fault)) => Err(*fault),
            None => Err(Fault::NoSuchField),
        }
    }
}
