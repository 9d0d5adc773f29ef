//! Which rows a pull has seen and not written, page by page, in notes of the store: so it can be broken off and goes on,
//! and holds no more than a page of them in memory.
//!
//! A row that a pull writes carries a later revision than the pull's beginning, and is known by that to be there. Only
//! those that it finds as they are have to be noted.

use std::collections::HashSet;

use larder_core::{Context, Error, ErrorKind, Key, Op, Result, Schema, Store};

/// The rows that came.
#[derive(Debug)]
pub(in crate::repository) enum Seen {
    /// Of one page, or of an answer that is held in memory anyhow.
    Here(HashSet<Key>),
    /// Of that many pages, in notes.
    Noted(u64),
}

impl Seen {
    /// Of `keys`, those that did not come.
    pub(in crate::repository) async fn missing(
        &self,
        store: &dyn Store,
        schema: &'static Schema,
        mut keys: HashSet<Key>,
    ) -> Result<HashSet<Key>> {
        match self {
            Self::Here(came) => keys.retain(|key| !came.contains(key)),
            Self::Noted(pages) => {
                let (Some(least), Some(greatest)) = (keys.iter().min().cloned(), keys.iter().max().cloned())
                else {
                    return Ok(keys);
                };
                for page in 0..*pages {
                    let note = store.cursor(&Context::new(), &scope(schema, page)).await?;
                    // A page that was written throughout has none.
                    let Some(note) = note else { continue };
                    for key in read(&note, &least, &greatest)? {
                        keys.remove(&key);
                    }
                }
            }
        }
        Ok(keys)
    }

    /// Whether a note can't be read, now or ever.
    pub(in crate::repository) async fn is_damaged(&self, store: &dyn Store, schema: &'static Schema) -> bool {
        let Self::Noted(pages) = self else { return false };
        for page in 0..*pages {
            let note = store.cursor(&Context::new(), &scope(schema, page)).await;
            let read =
                note.and_then(|note| note.map_or(Ok(()), |note| range(&note).and(keys(&note)).map(drop)));
            if read.is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
                return true;
            }
        }
        false
    }
}

/// Notes the keys of a page; of none, that there is nothing to note, whatever another pull has left there.
pub(in crate::repository) fn noted(schema: &'static Schema, page: u64, keys: &[Key]) -> Result<Op> {
    let (Some(least), Some(greatest)) = (keys.iter().min(), keys.iter().max()) else {
        return Ok(forgotten(schema, page));
    };
    let value = format!("{}\n{}", text(&(least, greatest))?, text(&keys)?);
    Ok(Op::Cursor { scope: scope(schema, page), value: Some(value) })
}

fn text(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::Serialization, "the keys can't be written down").because(error)
    })
}

/// Removes the note of a page.
pub(in crate::repository) fn forgotten(schema: &'static Schema, page: u64) -> Op {
    Op::Cursor { scope: scope(schema, page), value: None }
}

/// The keys of a note; none of those that can't be between these two.
fn read(note: &str, least: &Key, greatest: &Key) -> Result<Vec<Key>> {
    let (first, last) = range(note)?;
    if last < *least || first > *greatest { Ok(Vec::new()) } else { keys(note) }
}

fn range(note: &str) -> Result<(Key, Key)> {
    let (range, _) = note.split_once('\n').ok_or_else(damaged)?;
    serde_json::from_str(range).map_err(|error| damaged().because(error))
}

fn keys(note: &str) -> Result<Vec<Key>> {
    let (_, keys) = note.split_once('\n').ok_or_else(damaged)?;
    serde_json::from_str(keys).map_err(|error| damaged().because(error))
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the note of what a pull has seen is damaged; pull anew")
}

/// The name under which a page is noted.
fn scope(schema: &'static Schema, page: u64) -> String {
    format!("seen/{}/{}/{page:08}", schema.model, schema.version)
}
