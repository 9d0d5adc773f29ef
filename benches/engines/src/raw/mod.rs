//! redb by hand: a table for the rows, one for each index.

mod codec;
mod index;
mod users;

pub use codec::Codec;
pub use users::Raw;
