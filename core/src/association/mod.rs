//! How models hang together.
//!
//! - In a model: [`One`] holds the key of a related row, [`Many`] a list of them; both hold the rows once they are
//!   loaded. [`Keyed`] is what a model needs to be the other end.
//! - As data: [`AssocDef`] in [`Schema::associations`](crate::Schema), with the functions that the derive writes to
//!   load and to save ([`Glue`]).
//! - In a query: the tokens of associations ([`Assoc`], or [`Field`](crate::Field) where a key is stored) give
//!   conditions (`any`, `all`), orders (`by`) and what is to be loaded ([`Includes`]).
//! - In the answering of one: [`answer`] turns conditions on related rows into sets of keys, so that no provider has
//!   to know what an association is.

mod def;
mod erased;
mod include;
mod keyed;
mod many;
mod one;
mod plan;
mod reach;
mod refs;
pub mod resolve;
mod sort;
mod token;
mod wire;

pub use def::{AssocDef, Link, OnDelete, Orphans};
pub use erased::{AnyModel, Attach, Carried, Glue, Loaded, Member, attach, build, carried};
pub use include::{Include, Includes};
pub use keyed::{Keyed, Related, ToOne, refers};
pub use many::Many;
pub use one::One;
pub use plan::plan;
pub use reach::{involved, needed, reached};
pub use refs::references;
pub use resolve::{Answer, Asking, Lookup, answer, resolved};
pub use token::{Assoc, By, Including, With};
pub use wire::{AssocDialect, Brought, Embedded, LookupBy, SendAs, Wanted, lookup_by};
