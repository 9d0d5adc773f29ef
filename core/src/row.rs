//! Rows: anything that can show its fields by position.

use std::any::Any;
use std::sync::Arc;

use crate::error::{Fault, Result};
use crate::key::Key;
use crate::schema::Schema;
use crate::value::{Value, ValueRef};

/// Shows its fields by position, borrowed and without allocating: a model, an encoded row, a [`Record`].
pub trait Row: Send + Sync {
    /// The field at position `i` of the schema.
    ///
    /// # Errors
    /// A [`Fault`] if the row's bytes are damaged, or were stored with a type that can't be read as today's.
    fn field(&self, i: usize) -> Result<ValueRef<'_>, Fault>;

    /// The row itself if it is `'static`, so that a model that came in can come out again without being decoded.
    fn as_any(&self) -> Option<&dyn Any>;
}

impl std::fmt::Debug for dyn Row + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut list = f.debug_list();
        for i in 0.. {
            match self.field(i) {
                Ok(value) => list.entry(&value),
                Err(Fault::NoSuchField) => break,
                Err(fault) => list.entry(&fault),
            };
        }
        list.finish()
    }
}

/// A type that Larder stores. Write it with `#[derive(Model)]`.
pub trait Model: Row + Sized + 'static {
    /// The model's description.
    fn schema() -> &'static Schema;

    /// Builds the model from a row that shows the same schema.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`](crate::ErrorKind) with model and field if a field does not fit.
    fn from_row(row: &dyn Row) -> Result<Self>;

    /// The model's key.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`](crate::ErrorKind) if a key field is null.
    fn key(&self) -> Result<Key> {
        Self::schema().key_of(self)
    }
}

/// A model, or a model that is shared.
pub trait AsModel: Send + Sync {
    /// The model.
    type Model: Model;

    /// The model itself.
    fn as_model(&self) -> &Self::Model;
}

impl<M: Model> AsModel for M {
    type Model = M;

    fn as_model(&self) -> &M {
        self
    }
}

impl<M: Model> AsModel for Arc<M> {
    type Model = M;

    fn as_model(&self) -> &M {
        self
    }
}

/// A row of owned values: what a remote's answer is decoded to.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    fields: Box<[Option<Value>]>,
}

impl Record {
    /// A record of these fields, by position; `None` is absent.
    #[must_use]
    pub fn new(fields: impl Into<Box<[Option<Value>]>>) -> Self {
        Self { fields: fields.into() }
    }

    /// Copies what `row` shows.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind) or `Serialization`, with model and field, if a field can't be shown.
    pub fn copy(schema: &Schema, row: &dyn Row) -> Result<Self> {
        let fields = (0..schema.fields.len()).map(|at| {
            let copied = row.field(at).and_then(|value| match value {
                ValueRef::Absent => Ok(None),
                value => value.to_value().map(Some),
            });
            copied.map_err(|fault| schema.fault(at, fault))
        });
        Ok(Self { fields: fields.collect::<Result<_>>()? })
    }

    /// Takes each field from `over` where `over` has it, else from `under`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn overlay(schema: &Schema, under: &dyn Row, over: &dyn Row) -> Result<Self> {
        let (mut under, over) = (Self::copy(schema, under)?, Self::copy(schema, over)?);
        for (slot, value) in under.fields.iter_mut().zip(over.fields) {
            if value.is_some() {
                *slot = value;
            }
        }
        Ok(under)
    }

    /// Replaces the field at `position`.
    pub fn set(&mut self, position: usize, value: Value) {
        if let Some(slot) = self.fields.get_mut(position) {
            *slot = Some(value);
        }
    }

    /// The field at `position`, if the record has it.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<&Value> {
        self.fields.get(position).and_then(Option::as_ref)
    }
}

impl Row for Record {
    fn field(&self, i: usize) -> Result<ValueRef<'_>, Fault> {
        match self.fields.get(i) {
            Some(Some(value)) => Ok(value.show()),
            Some(None) => Ok(ValueRef::Absent),
            None => Err(Fault::NoSuchField),
        }
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl<R: Row + ?Sized> Row for Arc<R> {
    fn field(&self, i: usize) -> Result<ValueRef<'_>, Fault> {
        (**self).field(i)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        (**self).as_any()
    }
}
