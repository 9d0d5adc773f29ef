//! The stored row: a header, a table of field offsets, and each field as a MessagePack value.
//!
//! A record is, in little-endian order:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | CRC-32 of everything after it |
//! | 1 | format, [`FORMAT`] |
//! | 1 | flags: tombstone 1, tail 2, version 4, extra 8 |
//! | 1 | state towards the remote |
//! | 8 | revision |
//! | 8 | since when the state holds, microseconds |
//! | 8 | tail, if flagged; it always is by now |
//! | 2 + n | the remote's version, if flagged |
//! | 4 + n | extra remote fields, if flagged |
//! | rest | the body, unless it is a tombstone |
//!
//! A body is a flag byte (1: wide offsets), the shape's id (2), the number of fields (2), the end of each field (2 or
//! 4 each) and the fields. A field that is absent has no bytes. The *shape* (the ordered names and kinds of the
//! fields of that version of the model) is stored once; [`Bound`] maps a stored shape to today's schema, so a
//! renamed, added or removed field costs nothing per row, in nested structs and enum variants too. Where the schema
//! declares steps from the stored version on, the row is migrated as a whole when it is opened (`migrate`).

mod bind;
mod entry;
mod fit;
mod migrate;
mod old;
mod read;
mod record;
mod shape;
mod write;

pub use bind::{Bound, Slot};
pub use entry::{
    EncodedEntry, EntryRows, Glance, append_note, decode_entry, encode_entry, glance_at_entry, replace_note,
};
pub use read::PackedView;
pub use record::{
    PackedBuf, PackedRow, Stored, parse_body, write_body, write_meta, write_record, write_tombstone,
};
pub use shape::{Shape, ShapeField, ShapeKind, ShapeVariant};

/// The format that is written; a record of a newer one is refused.
pub const FORMAT: u8 = 1;

/// The name of the dialect, as in `#[model(row(…))]`.
pub const DIALECT: &str = "row";

/// Extension types of MessagePack that values need.
mod ext {
    pub(super) const CHAR: i8 = 1;
    pub(super) const UUID: i8 = 2;
    pub(super) const TIME: i8 = 3;
    pub(super) const INT: i8 = 4;
    pub(super) const UINT: i8 = 5;
    pub(super) const DATE: i8 = 6;
    pub(super) const CLOCK: i8 = 7;
    pub(super) const DATE_TIME: i8 = 8;
    /// The digits after the point, with the sign as the highest bit, and the coefficient without zeros in front.
    pub(super) const DECIMAL: i8 = 9;
}
