//! What the server did, in order, and the judgement whether it is what the client's user asked for.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object::{Fields, Kind};

/// Who made a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// A request of the client under judgement.
    Client,
    /// Somebody else, through the server's controls.
    Elsewhere,
}

/// What a mutation did to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// The object was not there before.
    Create,
    /// It was, and still is (perhaps under a new name).
    Update,
    /// It is gone.
    Delete,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Counts from 1 without gaps.
    pub(crate) seq: u64,
    pub(crate) origin: Origin,
    pub(crate) method: String,
    /// As it was sent, still percent-encoded.
    pub(crate) path: String,
    /// The idempotency key without its quotes.
    pub(crate) key: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) kind: Kind,
    /// The key of the object before the mutation (after it, for a create).
    pub(crate) id: String,
    /// The body as it was sent; null for a delete.
    pub(crate) payload: Value,
    /// The stored answer was given again and nothing was applied.
    pub(crate) replayed: bool,
}

/// Everything that was applied or replayed, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
}

/// A mutation that the client's user made and that the server must have applied exactly once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExpectedMutation {
    /// Compared when known; otherwise the rest decides.
    pub(crate) key: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// Fields that the payload must hold with these values; it may hold more. Not compared when the key is known.
    pub(crate) fields: Fields,
}

impl ExpectedMutation {
    /// A mutation whose idempotency key is not known to the judge.
    pub(crate) fn new(effect: Effect, kind: Kind, id: impl Into<String>) -> Self {
        Self { key: None, effect, kind, id: id.into(), fields: Fields::new() }
    }

    /// Demands a field in the payload.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// Demands the idempotency key.
    #[cfg(test)]
    pub(crate) fn keyed(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    fn is(&self, entry: &Entry) -> bool {
        let same_object = (self.effect, self.kind) == (entry.effect, entry.kind) && self.id == entry.id;
        let shown = |(name, value): (&String, &Value)| entry.payload.get(name) == Some(value);
        match &self.key {
            Some(key) => entry.key.as_ref() == Some(key),
            None => same_object && self.fields.iter().all(shown),
        }
    }
}

/// The judgement over a journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// Expected and never applied.
    pub(crate) lost: Vec<ExpectedMutation>,
    /// Applied although the same mutation had been applied before.
    pub(crate) doubled: Vec<Entry>,
    /// Applied although nobody asked for it; no repetition of anything either.
    pub(crate) unexpected: Vec<Entry>,
}

impl Verdict {
    /// Whether each expected mutation was applied once and nothing else was.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.unexpected.is_empty()
    }
}

impl Journal {
    /// Appends a line; its sequence number is given here.
    pub(crate) fn push(&mut self, mut entry: Entry) {
        entry.seq = self.entries.len() as u64 + 1;
        self.entries.push(entry);
    }

    /// All lines, oldest first.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the client's requests changed, oldest first.
    pub(crate) fn applied(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.origin == Origin::Client && !entry.replayed)
    }

    /// Judges what the client's requests changed against what its user did.
    ///
    /// - `expected` must be complete, in the order in which the user acted.
    /// - An idempotency key that was applied before, and a create of what is there already, is *doubled*, whatever was
    ///   expected.
    /// - Of the rest each expected mutation claims one entry. What claims none is *lost*.
    /// - What nobody claimed is *doubled* if an earlier entry did the same to the same object (a client that sent again
    ///   under a new key), otherwise *unexpected*.
    pub(crate) fn judge(&self, expected: &[ExpectedMutation]) -> Verdict {
        let repeated = self.repeated();
        let mut verdict = Verdict::default();
        let mut open: Vec<&Entry> = Vec::new();
        for entry in self.applied() {
            if repeated.contains(&entry.seq) {
                verdict.doubled.push(entry.clone());
            } else {
                open.push(entry);
            }
        }
        let claimed = claim(expected, &mut open, &mut verdict.lost);
        for entry in open {
            let again = self.applied().any(|earlier| earlier.seq < entry.seq && same_deed(earlier, entry))
                || claimed.iter().any(|other| same_deed(other, entry));
            if again {
                verdict.doubled.push(entry.clone());
            } else {
                verdict.unexpected.push(entry.clone());
            }
        }
        verdict.doubled.sort_by_key(|entry| entry.seq);
        verdict
    }

    /// Sequence numbers of client entries that cannot be right: a key seen before, or a create of what exists.
    fn repeated(&self) -> HashSet<u64> {
        let mut keys = HashSet::new();
        let mut alive = BTreeSet::new();
        let mut repeated = HashSet::new();
        for entry in self.entries.iter().filter(|entry| !entry.replayed) {
            let object = (entry.kind, entry.id.clone());
            let key_again = entry.key.as_ref().is_some_and(|key| !keys.insert(key.clone()));
            let alive_already = match entry.effect {
                Effect::Create => !alive.insert(object),
                Effect::Delete => {
                    alive.remove(&object);
                    false
                }
                Effect::Update => {
                    if let Some(name) = entry.payload.get("new_name").and_then(Value::as_str) {
                        alive.remove(&object);
                        alive.insert((entry.kind, name.to_owned()));
                    }
                    false
                }
            };
            if entry.origin == Origin::Client && (key_again || alive_already) {
                repeated.insert(entry.seq);
            }
        }
        repeated
    }
}

/// Lets each expected mutation take the first entry that fits, those with a key first, since only one fits them.
fn claim<'a>(
    expected: &[ExpectedMutation],
    open: &mut Vec<&'a Entry>,
    lost: &mut Vec<ExpectedMutation>,
) -> Vec<&'a Entry> {
    let mut claimed = Vec::new();
    let (keyed, plain): (Vec<_>, Vec<_>) = expected.iter().partition(|one| one.key.is_some());
    for one in keyed.into_iter().chain(plain) {
        match open.iter().position(|entry| one.is(entry)) {
            Some(at) => claimed.push(open.remove(at)),
            None => lost.push(one.clone()),
        }
    }
    claimed
}

fn same_deed(one: &Entry, other: &Entry) -> bool {
    (one.kind, one.effect) == (other.kind, other.effect) && one.id == other.id && one.payload == other.payload
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replayed = if self.replayed { " (replayed)" } else { "" };
        write!(out, "#{} {} {}{replayed}", self.seq, self.method, self.path)?;
        match &self.key {
            Some(key) => write!(out, " key {key}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ExpectedMutation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} of {:?} {}", self.effect, self.kind, self.id)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return write!(out, "every mutation was applied exactly once");
        }
        let lines = (self.lost.iter().map(|one| format!("lost: {one}")))
            .chain(self.doubled.iter().map(|entry| format!("applied twice: {entry}")))
            .chain(self.unexpected.iter().map(|entry| format!("nobody asked for: {entry}")));
        write!(out, "{}", lines.collect::<Vec<_>>().join("\n"))
    }
}
