//! What a store says about its own soundness: the findings of a check, what was salvaged, how large it is.

use crate::key::Key;

/// What an integrity check has looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integrity {
    /// Pages of the medium that were verified; 0 for a store that has none.
    pub pages: u64,
    /// Rows.
    pub rows: u64,
    /// Traces of deleted rows.
    pub tombstones: u64,
    /// Entries of indexes.
    pub index_entries: u64,
    /// Outbox entries.
    pub entries: u64,
    /// Cursors.
    pub cursors: u64,
    /// How much was found to be wrong.
    pub found: u64,
    /// The first [`MOST`](Self::MOST) of that.
    pub findings: Vec<Finding>,
}

impl Integrity {
    /// How many findings are described; of more, only their number is known.
    pub const MOST: usize = 256;

    /// True if nothing was found to be wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.found == 0
    }

    /// Adds a finding.
    pub fn note(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < Self::MOST {
            self.findings.push(finding);
        }
    }
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The model concerned, if it is known.
    pub model: Option<String>,
    /// The row concerned, as text, if it is known.
    pub key: Option<String>,
    /// What exactly, for people.
    pub message: String,
}

/// What can be wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// A page of the medium is damaged: whatever lay on it may be missing.
    Page,
    /// A record is not what was written.
    Altered,
    /// A row is not found by an index.
    MissingIndexEntry,
    /// An index leads to a row that is not there, or has other values.
    StrayIndexEntry,
    /// A row has a change that waits to be sent, and its outbox entry is not there.
    MissingEntry,
    /// An outbox entry has no row, or one that does not know of it.
    MissingRow,
    /// Something was counted wrong.
    Miscounted,
}

/// What was found damaged, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where the damaged file lies now; it can be deleted once nobody needs it.
    pub aside: String,
    /// What was found first.
    pub cause: String,
    /// Rows and traces of deleted rows that were salvaged.
    pub rows: u64,
    /// Outbox entries that were salvaged.
    pub entries: u64,
    /// Pages of the medium that are damaged; those of a newer state among them, where the one before it was salvaged.
    pub pages: u64,
    /// Those of them that the medium does not give: they may be as they were written.
    pub unread: u64,
    /// Records that are there and damaged, and those that can't be reached any more, as far as they were counted.
    pub lost: u64,
    /// Rows whose changes may be lost for the server: their outbox entries are. The first
    /// [`MOST`](Integrity::MOST), by model.
    pub unsent: Vec<(String, Key)>,
}

/// How large a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Bytes on the medium; 0 for a store that has none.
    pub bytes: u64,
}
