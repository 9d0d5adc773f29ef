//! An association as static data.

use super::erased::Glue;
use super::wire::AssocDialect;
use crate::schema::Schema;

/// An association of a model, described once.
#[derive(Clone, Copy, Debug)]
pub struct AssocDef {
    /// The name of the field in the model.
    pub name: &'static str,
    /// Its number: the position of the field where a key or a list of keys is stored; beyond all fields where nothing
    /// is stored with the row.
    pub at: u16,
    /// The model at the other end.
    pub target: fn() -> &'static Schema,
    /// How the rows are found.
    pub link: Link,
    /// What becomes of the row that refers, if the one that it refers to is deleted.
    pub on_delete: OnDelete,
    /// What becomes of a child that is taken out of the list.
    pub orphans: Orphans,
    /// What is special in some dialect; [`ANY`](crate::ANY) stands for every dialect without an entry.
    pub dialects: &'static [(&'static str, AssocDialect)],
    /// How typed rows are put in and taken out.
    pub glue: Glue,
}

/// How related rows are found.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Link {
    /// The row stores the key of the other.
    One {
        /// The field.
        field: u16,
    },
    /// The row stores a list of keys.
    Keys {
        /// The field.
        field: u16,
    },
    /// The other rows store the key of this one.
    Children {
        /// The field of the other model.
        field: u16,
    },
    /// Rows of a third model store both keys.
    Through {
        /// The third model.
        link: fn() -> &'static Schema,
        /// Its field with the key of this row.
        from: u16,
        /// Its field with the key of the other.
        to: u16,
    },
}

/// What becomes of a row that refers to one that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The other row can't be deleted while this one refers to it.
    Restrict,
    /// This row is deleted as well.
    Cascade,
    /// The reference is set to null.
    SetNull,
}

/// What becomes of a child that is taken out of its parent's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Its reference is set to null; an error if it can't be null.
    Unlink,
    /// It is deleted.
    Delete,
}

impl AssocDef {
    /// True if rows of this model store the key of the other one, or keys.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        matches!(self.link, Link::One { .. } | Link::Keys { .. })
    }

    /// True if there is at most one related row.
    #[must_use]
    pub const fn is_one(&self) -> bool {
        matches!(self.link, Link::One { .. })
    }
}
