//! What is noted down about models, shapes and indexes, and the registering of today's models against it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use larder_core::packed::{Bound, DIALECT, Shape};
use larder_core::{Error, ErrorKind, FieldDef, IndexDef, Kind, Result, Schema};
use redb::{ReadableTable, StorageError};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Index, Slot};
use crate::codec::{self, Bytes, INDEXES, KEYS, MODELS, SHAPES};

/// An index as it is noted down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    /// The model's id.
    pub(crate) model: u16,
    /// Its name.
    pub(crate) name: String,
    /// Everything that its entries depend on; see [`definition`].
    pub(crate) definition: String,
    /// How far it is.
    pub(crate) state: IndexState,
}

/// How far an index is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IndexState {
    /// It has an entry for every row.
    Ready,
    /// It has entries for the rows up to this key; those after it are still to come.
    Building(Vec<u8>),
    /// It is not wanted any more; its entries are being removed.
    Dropping,
}

/// What the keys of a model are made of, as it is noted down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeyRecord {
    /// The version of the model that wrote this: no row has a key that a step before it would change.
    version: u32,
    /// The stored names and the types of the fields.
    fields: Vec<(String, String)>,
}

impl KeyRecord {
    fn of(schema: &Schema) -> Self {
        let field = |at: &usize| {
            let field = &schema.fields[*at];
            let kind = match field.kind.inner() {
                Kind::Enum(_) => "enum",
                kind => kind.name(),
            };
            (field.name_in(DIALECT).to_owned(), kind.to_owned())
        };
        Self { version: schema.version, fields: schema.key.fields.iter().map(field).collect() }
    }

    /// True if keys that were made of these are today's too: of the same types, and names that today's are known by.
    fn is_todays(&self, schema: &Schema) -> bool {
        let today = Self::of(schema).fields;
        let known = |at: usize, name: &str| {
            let field = &schema.fields[schema.key.fields[at]];
            field.name_in(DIALECT) == name || field.alias_in(DIALECT).contains(&name)
        };
        self.fields.len() == today.len()
            && self.fields.iter().zip(&today).all(|((_, stored), (_, kind))| stored == kind)
            && self.fields.iter().enumerate().all(|(at, (name, _))| known(at, name))
    }

    fn describe(&self) -> String {
        let fields: Vec<_> = self.fields.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
        format!("({})", fields.join(", "))
    }
}

/// What is noted down in a store.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    models: Vec<(String, u16)>,
    shapes: Vec<(u16, Shape)>,
    pub(crate) indexes: Vec<(u16, IndexRecord)>,
    keys: Vec<(u16, KeyRecord)>,
    /// The slots whose rows have to be moved to other keys.
    pub(crate) moves: Vec<usize>,
    /// Records that have to be written.
    pub(crate) news: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Notes {
    /// Reads what is noted down.
    pub(crate) fn read(table: &impl ReadableTable<Bytes, Bytes>) -> Result<Self> {
        let mut notes = Self::default();
        each(table, MODELS, |key, record| {
            let name = std::str::from_utf8(key).map_err(|_| codec::damaged("the name of a model"))?;
            notes.models.push((name.to_owned(), id_of(codec::unseal(record, "the id of a model")?)?));
            Ok(())
        })?;
        each(table, SHAPES, |key, record| {
            notes.shapes.push((id_of(key)?, codec::unseal_named(record, "the shape of a model")?));
            Ok(())
        })?;
        each(table, INDEXES, |key, record| {
            notes.indexes.push((id_of(key)?, codec::unseal_named(record, "the definition of an index")?));
            Ok(())
        })?;
        each(table, KEYS, |key, record| {
            notes.keys.push((id_of(key)?, codec::unseal_named(record, "the definition of a key")?));
            Ok(())
        })?;
        Ok(notes)
    }

    /// Finds or gives the ids of `schemas`, and marks indexes that are no longer wanted.
    pub(crate) fn register(&mut self, schemas: &[&'static Schema]) -> Result<Catalog> {
        let mut seen: Vec<&'static Schema> = Vec::with_capacity(schemas.len());
        for schema in schemas {
            match seen.iter().find(|other| other.model == schema.model) {
                Some(other) if *other == *schema => {}
                Some(_) => return Err(invalid(schema, "two models have this name; rename one of them")),
                None => seen.push(schema),
            }
        }
        let mut slots = seen
            .iter()
            .enumerate()
            .map(|(at, schema)| self.slot(at, schema))
            .collect::<Result<Box<[_]>>>()?;
        // A shape that was given now may be that of an earlier slot's bounds: bind when all are known.
        for slot in &mut slots {
            slot.bounds = self.bounds(slot.schema);
        }
        Ok(Catalog::new(slots))
    }

    fn slot(&mut self, at: usize, schema: &'static Schema) -> Result<Slot> {
        self.refuse_newer(schema)?;
        let model = match self.models.iter().find(|(name, _)| name == schema.model) {
            Some((_, id)) => *id,
            None => self.add_model(schema)?,
        };
        if self.register_key(schema, model)? {
            self.moves.push(at);
        }
        let today = Shape::of(schema)?;
        let shape = match self.shapes.iter().find(|(_, shape)| *shape == today) {
            Some((id, _)) => *id,
            None => self.add_shape(today)?,
        };
        let indexes = self.indexes_of(schema, model)?;
        Ok(Slot { at, schema, model, shape, bounds: Box::default(), indexes, large: AtomicBool::new(false) })
    }

    /// Rows of a newer version can't be read, and what is written by an older one could not be told from them. Nothing
    /// has been written when this is found out.
    fn refuse_newer(&self, schema: &Schema) -> Result<()> {
        let stored = self.shapes.iter().map(|(_, shape)| shape).filter(|shape| shape.model == schema.model);
        match stored.map(|shape| shape.version).max() {
            Some(newest) if newest > schema.version => {
                let message = format!(
                    "the store was written by version {newest} of the model and the application has version {}: update \
                     the application; nothing was changed",
                    schema.version
                );
                Err(Error::new(ErrorKind::Unsupported, message).during("open").model(schema.model))
            }
            _ => Ok(()),
        }
    }

    /// Notes what the key is made of; true if rows have to be moved because a step since then changes it.
    fn register_key(&mut self, schema: &Schema, model: u16) -> Result<bool> {
        let older = |shape: &Shape| shape.model == schema.model && shape.version < schema.version;
        let has_older = self.shapes.iter().any(|(_, shape)| older(shape));
        let noted = self.keys.iter().find(|(id, _)| *id == model).map(|(_, record)| record);
        let since = noted.map_or(0, |record| record.version);
        let moves = has_older && schema.steps(since).any(|step| step.rekeys);
        let today = KeyRecord::of(schema);
        match noted {
            Some(record) if !moves && !record.is_todays(schema) => {
                let message = format!(
                    "the key was {} in version {} of the model and is {} today: raise the version, and declare a step \
                     as `rekey`, that makes the new key",
                    record.describe(),
                    record.version,
                    today.describe(),
                );
                return Err(invalid(schema, &message));
            }
            Some(record) if !moves && record.fields == today.fields => {}
            _ => self.news.push((codec::prefix(KEYS, model).to_vec(), codec::seal_named(&today)?)),
        }
        Ok(moves)
    }

    fn add_model(&mut self, schema: &Schema) -> Result<u16> {
        let id = next_id(self.models.iter().map(|(_, id)| *id))?;
        self.models.push((schema.model.to_owned(), id));
        let key = [&[MODELS], schema.model.as_bytes()].concat();
        self.news.push((key, codec::seal(&id.to_be_bytes())));
        Ok(id)
    }

    fn add_shape(&mut self, shape: Shape) -> Result<u16> {
        let id = next_id(self.shapes.iter().map(|(id, _)| *id))?;
        self.news.push((codec::prefix(SHAPES, id).to_vec(), codec::seal_named(&shape)?));
        self.shapes.push((id, shape));
        Ok(id)
    }

    fn bounds(&self, schema: &'static Schema) -> Box<[Option<Arc<Bound>>]> {
        let count = self.shapes.iter().map(|(id, _)| usize::from(*id) + 1).max().unwrap_or(0);
        let mut bounds = vec![None; count];
        for (id, shape) in self.shapes.iter().filter(|(_, shape)| shape.model == schema.model) {
            bounds[usize::from(*id)] = Some(Arc::new(Bound::new(shape, schema)));
        }
        bounds.into()
    }

    fn indexes_of(&mut self, schema: &'static Schema, model: u16) -> Result<Box<[Index]>> {
        let mut kept = Vec::with_capacity(schema.indexes.len());
        for def in schema.indexes {
            check(schema, def)?;
            let definition = definition(schema, def);
            let same = |record: &IndexRecord| {
                record.model == model
                    && record.definition == definition
                    && record.state != IndexState::Dropping
            };
            let id = match self.indexes.iter().find(|(id, record)| same(record) && !kept.contains(id)) {
                Some((id, _)) => *id,
                None => {
                    let id = next_id(self.indexes.iter().map(|(id, _)| *id))?;
                    let state = IndexState::Building(Vec::new());
                    self.note_index(id, IndexRecord { model, name: def.name.to_owned(), definition, state })?;
                    id
                }
            };
            kept.push(id);
        }
        for (id, record) in self.indexes.clone() {
            if record.model == model && !kept.contains(&id) && record.state != IndexState::Dropping {
                self.note_index(id, IndexRecord { state: IndexState::Dropping, ..record })?;
            }
        }
        let index = |(def, id)| Index { id, def, incomplete: AtomicBool::new(false) };
        Ok(schema.indexes.iter().zip(kept).map(index).collect())
    }

    fn note_index(&mut self, id: u16, record: IndexRecord) -> Result<()> {
        self.news.push((codec::prefix(INDEXES, id).to_vec(), codec::seal_named(&record)?));
        self.indexes.retain(|(other, _)| *other != id);
        self.indexes.push((id, record));
        Ok(())
    }
}

/// Calls `f` with what follows the space byte, and the value, for each key of a space.
fn each(
    table: &impl ReadableTable<Bytes, Bytes>,
    space: u8,
    mut f: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let raw = |error: StorageError| Error::from(crate::error::Raw::from(error));
    for pair in table.range::<&[u8]>([space].as_slice()..[space + 1].as_slice()).map_err(raw)? {
        let (key, value) = pair.map_err(raw)?;
        f(&key.value()[1..], value.value())?;
    }
    Ok(())
}

fn id_of(bytes: &[u8]) -> Result<u16> {
    bytes.try_into().map(u16::from_be_bytes).map_err(|_| codec::damaged("an id"))
}

fn next_id(used: impl Iterator<Item = u16>) -> Result<u16> {
    used.max().map_or(Some(0), |last| last.checked_add(1)).ok_or_else(|| {
        Error::new(ErrorKind::Full, "a store has at most 65,536 models, shapes and indexes over its life")
    })
}

fn invalid(schema: &Schema, message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message).during("open").model(schema.model)
}

fn check(schema: &Schema, def: &IndexDef) -> Result<()> {
    if def.fields.is_empty() || def.fields.iter().any(|at| *at >= schema.fields.len()) {
        let message = format!("the index {} names a field that the model does not have", def.name);
        return Err(invalid(schema, &message));
    }
    Ok(())
}

/// Everything that the entries of an index depend on, as text: when it changes, the index is built anew. A row's value
/// for a field depends on its bytes, its shape, today's name, aliases, type and default of the field, and the steps that
/// lead to today's version: what a step does can't be seen, so each new one counts.
fn definition(schema: &Schema, def: &IndexDef) -> String {
    let mut text = format!("1 {}{}", def.name, if def.unique { " unique" } else { "" });
    for at in def.fields {
        describe_field(&schema.fields[*at], &mut text);
    }
    for step in schema.steps(0) {
        // Writing to a string does not fail.
        let _ = write!(text, " {} {}", if step.rekeys { "rekey" } else { "step" }, step.from);
    }
    text
}

fn describe_field(field: &FieldDef, text: &mut String) {
    // Writing to a string does not fail.
    let _ = write!(text, " {} {:?} ", field.name_in(DIALECT), field.alias_in(DIALECT));
    if let Some(default) = field.default_in(DIALECT) {
        let _ = write!(text, "={default:?} ");
    }
    describe_kind(&field.kind, text);
}

fn describe_kind(kind: &Kind, text: &mut String) {
    match kind {
        Kind::Int(_) => text.push_str("integer"),
        Kind::Option(of) => {
            text.push('?');
            describe_kind(of, text);
        }
        Kind::List(of) => {
            text.push_str("list ");
            describe_kind(of, text);
        }
        Kind::Map(key, value) => {
            text.push_str("map ");
            describe_kind(key, text);
            text.push(' ');
            describe_kind(value, text);
        }
        Kind::Struct(def) => {
            text.push('{');
            def.fields.iter().for_each(|field| describe_field(field, text));
            text.push('}');
        }
        Kind::Enum(def) => {
            text.push('(');
            for variant in def.variants {
                let _ = write!(text, " {} {} {:?}", variant.name, variant.name_in(DIALECT), variant.alias);
                variant.fields.iter().for_each(|field| describe_field(field, text));
            }
            text.push(')');
        }
        scalar => text.push_str(scalar.name()),
    }
}
