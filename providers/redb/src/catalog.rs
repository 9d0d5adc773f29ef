//! What the store knows about its models: ids, shapes, indexes. Unchanged from its opening to its closing, so that
//! reads take no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_core::packed::{Bound, PackedBuf, PackedRow, Stored, parse_body};
use larder_core::{Error, ErrorKind, IndexDef, Result, Schema};

use crate::codec;

/// The registered models.
#[derive(Debug)]
pub(crate) struct Catalog {
    slots: Box<[Slot]>,
    /// The slots by the addresses of their schemas, sorted.
    by_address: Box<[(usize, usize)]>,
}

/// A registered model.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Where it stands among the slots.
    pub(crate) at: usize,
    /// The model as it is today.
    pub(crate) schema: &'static Schema,
    /// Its id in this store.
    pub(crate) model: u16,
    /// The id of today's shape.
    pub(crate) shape: u16,
    /// How the rows of each shape that was ever stored are read, by shape id.
    pub(crate) bounds: Box<[Option<Arc<Bound>>]>,
    /// Its indexes, as the schema has them.
    pub(crate) indexes: Box<[Index]>,
    /// Set once a scan has turned out to be too long for the calling thread.
    pub(crate) large: AtomicBool,
}

/// An index of a registered model.
#[derive(Debug)]
pub(crate) struct Index {
    /// Its id in this store.
    pub(crate) id: u16,
    /// Its definition.
    pub(crate) def: &'static IndexDef,
    /// Set if a row could not be read when it was built.
    pub(crate) incomplete: AtomicBool,
}

fn address(schema: &'static Schema) -> usize {
    std::ptr::from_ref(schema).addr()
}

impl Catalog {
    pub(crate) fn new(slots: Box<[Slot]>) -> Self {
        let mut by_address: Box<[_]> = slots.iter().map(|slot| (address(slot.schema), slot.at)).collect();
        by_address.sort_unstable();
        Self { slots, by_address }
    }

    /// The registered models.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// True if another shape than today's was ever stored for one of the models.
    pub(crate) fn has_older_shapes(&self) -> bool {
        let older = |slot: &Slot| slot.bounds.iter().flatten().count() > 1;
        self.slots.iter().any(older)
    }

    /// The slot of a model.
    ///
    /// # Errors
    /// `Invalid` if it was not registered.
    pub(crate) fn slot(&self, schema: &'static Schema) -> Result<&Slot> {
        match self.by_address.binary_search_by_key(&address(schema), |(address, _)| *address) {
            Ok(found) => Ok(&self.slots[self.by_address[found].1]),
            Err(_) => Err(unregistered(schema)),
        }
    }

    /// True if models, shapes and indexes have the same numbers in the other.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let numbers = |slot: &Slot| {
            let indexes: Vec<u16> = slot.indexes.iter().map(|index| index.id).collect();
            (slot.model, slot.shape, indexes)
        };
        self.slots.iter().map(numbers).eq(other.slots.iter().map(numbers))
    }

    /// The slot of the model that is called `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.schema.model == name)
    }
}

#[cold]
fn unregistered(schema: &Schema) -> Error {
    let message = "the model is not registered; name it when the store is opened: `.model::<…>()`";
    Error::new(ErrorKind::Invalid, message).model(schema.model)
}

impl Slot {
    fn bound(&self, shape: u16) -> Result<&Arc<Bound>> {
        self.bounds.get(usize::from(shape)).and_then(Option::as_ref).ok_or_else(|| self.unknown_shape(shape))
    }

    #[cold]
    fn unknown_shape(&self, shape: u16) -> Error {
        Error::new(ErrorKind::Corrupt, format!("a row has the unknown shape {shape}"))
            .model(self.schema.model)
    }

    /// True if the row of a body has another key today.
    pub(crate) fn rekeys(&self, body: &[u8]) -> Result<bool> {
        Ok(self.bound(parse_body(body)?.0)?.rekeys())
    }

    /// Shows a body that was verified.
    pub(crate) fn row<'a>(&'a self, body: &'a [u8]) -> Result<PackedRow<'a>> {
        let (shape, layout) = parse_body(body)?;
        PackedRow::new(body, layout, self.bound(shape)?)
    }

    /// Copies a body that was verified.
    pub(crate) fn copy(&self, body: &[u8]) -> Result<PackedBuf> {
        let (shape, layout) = parse_body(body)?;
        PackedBuf::new(body, layout, self.bound(shape)?.clone())
    }

    /// The entries of a stored record, index by index; none for a tombstone. `Err` if the record can't be read.
    pub(crate) fn entries(&self, stored: Stored<'_>, key: &[u8]) -> Result<Vec<codec::IndexEntry>> {
        let Some(body) = stored.body.filter(|_| !self.indexes.is_empty()) else {
            return Ok(Vec::new());
        };
        let row = self.row(body)?;
        Ok(self.indexes.iter().map(|index| codec::IndexEntry::of(index.id, index.def, &row, key)).collect())
    }
}

impl Index {
    /// True if every row has an entry that can be found.
    pub(crate) fn is_complete(&self) -> bool {
        !self.incomplete.load(Ordering::Relaxed)
    }
}
