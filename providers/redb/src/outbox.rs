//! Reading the outbox: an entry that can't be read hides no other.

use std::sync::Arc;

use larder_core::packed::{EncodedEntry, EntryRows, PackedBuf, decode_entry, parse_body};
use larder_core::{
    Entry, Error, ErrorKind, Fault, Item, Key, Loaded, Result, Row, Schema, Unreadable, ValueRef,
};

use crate::catalog::{Catalog, Slot};
use crate::codec::{self, OUTBOX_END};
use crate::error::Raw;
use crate::reads::{Generation, Halt};

/// At most `limit` entries after `after`.
pub(crate) fn load(
    generation: &Generation,
    catalog: &Catalog,
    after: u64,
    limit: usize,
) -> Result<Loaded, Halt> {
    let mut loaded = Loaded::default();
    let Some(first) = after.checked_add(1) else {
        return Ok(loaded);
    };
    let (start, end) = (codec::outbox_key(first), [OUTBOX_END]);
    for pair in
        generation.table.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(Raw::from)?.take(limit)
    {
        let (key, value) = pair.map_err(Raw::from)?;
        let seq =
            codec::outbox_seq(key.value()).ok_or_else(|| codec::damaged("the key of an outbox entry"))?;
        match read(catalog, seq, value.value()) {
            Ok(entry) => loaded.entries.push(entry),
            Err(unreadable) => loaded.unreadable.push(*unreadable),
        }
        loaded.last = seq;
    }
    Ok(loaded)
}

/// Reads a stored entry for today's model.
pub(crate) fn read(catalog: &Catalog, seq: u64, bytes: &[u8]) -> Result<Entry, Box<Unreadable>> {
    let read = match decode_entry(bytes) {
        Ok(encoded) => open(catalog, seq, encoded),
        Err(error) => Err(unreadable(seq, None, error)),
    };
    read.map_err(|mut unreadable| {
        unreadable.raw = bytes.to_vec();
        unreadable
    })
}

fn unreadable(seq: u64, row: Option<(&'static Schema, Key)>, error: Error) -> Box<Unreadable> {
    Box::new(Unreadable { seq, row, error: named(seq, error), raw: Vec::new() })
}

/// Reads an entry that was taken apart.
pub(crate) fn open(catalog: &Catalog, seq: u64, encoded: EncodedEntry<'_>) -> Result<Entry, Box<Unreadable>> {
    let Some(slot) = catalog.named(encoded.model()) else {
        let message = "the application does not have the model of an outbox entry any more";
        let error = Error::new(ErrorKind::Serialization, message).model(encoded.model());
        return Err(unreadable(seq, None, error));
    };
    if encoded.row.or(encoded.base).is_none()
        && slot.schema.steps(encoded.model_version()).any(|step| step.rekeys)
    {
        let message =
            "a migration changes the key, and nothing is known of the row that it could be made from";
        let error = Error::new(ErrorKind::Serialization, message).model(slot.schema.model);
        return Err(unreadable(seq, None, error));
    }
    let show = |body: Option<&[u8]>| body.map(|body| show(slot, body)).transpose();
    let rows = || -> Result<EntryRows> {
        Ok(EntryRows { row: show(encoded.row)?, base: show(encoded.base)?, theirs: show(encoded.theirs)? })
    };
    match rows() {
        Ok(rows) => Ok(encoded.into_entry(seq, slot.schema, rows)),
        Err(error) => {
            let row = Some((slot.schema, encoded.key().clone()));
            Err(unreadable(seq, row, error))
        }
    }
}

fn named(seq: u64, error: Error) -> Error {
    error.during("read the outbox entry of").key(format!("#{seq}"))
}

/// Copies a row of an entry, if all of it can be read by today's model.
fn show(slot: &Slot, body: &[u8]) -> Result<Arc<dyn Row>> {
    parse_body(body)?;
    let row: PackedBuf = slot.copy(body)?;
    // The checksum says that it is as it was written.
    let bridged = if row.is_of_todays_shape() { 0 } else { slot.schema.fields.len() };
    for at in 0..bridged {
        row.field(at).and_then(walk).map_err(|fault| slot.schema.fault(at, fault))?;
    }
    Ok(Arc::new(row))
}

/// Looks at all of a value.
fn walk(value: ValueRef<'_>) -> Result<(), Fault> {
    match value {
        ValueRef::List(nested)
        | ValueRef::Map(nested)
        | ValueRef::Struct(nested)
        | ValueRef::Variant(nested) => nested.each(&mut |item| match item {
            Item::Value(value) => walk(value),
            Item::Entry(key, value) => walk(key).and_then(|()| walk(value)),
        }),
        _ => Ok(()),
    }
}
