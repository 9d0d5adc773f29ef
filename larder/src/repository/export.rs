//! What is queued, as text that can be taken elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::{
    Context, Entry, EntryState, Error, ErrorKind, Failure, Key, Model, MutationId, Operation, ParkReason,
    Record, Result, Row, Schema, Timestamp, Unreadable, Value, ValueRef,
};
use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use crate::parcel::is_parcel;

/// How many entries are read at a time.
const READ: usize = 64;

/// A line of an [export](Outbox::export): a mutation with everything that is needed to make it again. No header and no
/// credential is part of it, for none is part of a mutation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExportedMutation {
    /// Its place in the order.
    pub seq: u64,
    /// What it says, unless it can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<Exported>,
    /// Why it can't be read, and what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Raw>,
}

/// What a mutation says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exported {
    /// Its identity, and the idempotency key.
    pub id: MutationId,
    /// The model.
    pub model: String,
    /// The version of the model that wrote it.
    pub model_version: u32,
    /// The row.
    pub key: Key,
    /// What is done.
    pub operation: Operation,
    /// The fields that are changed.
    pub changed: Vec<String>,
    /// The row as it is wanted, by the names of the fields; `None` for a deletion.
    pub row: Option<BTreeMap<String, Value>>,
    /// The row that it was changed from.
    pub base: Option<BTreeMap<String, Value>>,
    /// The server's version of that.
    pub base_version: Option<Arc<str>>,
    /// What the server had and the model has not, as a JSON object.
    pub extra: Option<Arc<str>>,
    /// The account that wrote it.
    pub account: Option<Arc<str>>,
    /// When it was written.
    pub created: Timestamp,
    /// Why it is parked; `None` if it is not.
    pub parked: Option<ParkReason>,
    /// Since when it may have been sent; `None` if it was not.
    pub first_sent: Option<Timestamp>,
    /// Attempts that were answered.
    pub attempts: u32,
    /// What went wrong last, with the server's status and body.
    pub failure: Option<Failure>,
}

/// What can't be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Raw {
    /// Why.
    pub error: String,
    /// What is stored, in hexadecimal digits.
    pub bytes: String,
}

impl Exported {
    /// The row as it is wanted, as a model; `None` for a deletion.
    ///
    /// # Errors
    /// `Invalid` if it is of another model; `Serialization` if the row is none of today's.
    pub fn model<M: Model>(&self) -> Result<Option<M>> {
        let schema = M::schema();
        if schema.model != self.model {
            let what = format!("the exported mutation is of {}", self.model);
            return Err(Error::new(ErrorKind::Invalid, what).model(schema.model));
        }
        let Some(row) = &self.row else { return Ok(None) };
        let record =
            Record::new(schema.fields.iter().map(|field| row.get(field.name).cloned()).collect::<Vec<_>>());
        M::from_row(&record).map(Some)
    }
}

impl Outbox<'_> {
    /// Gives every mutation as a line of JSON, an [`ExportedMutation`], in order; for a report, or to make them again
    /// elsewhere. It stays in the outbox. Gives the number of lines.
    ///
    /// ```
    /// # use larder::{ExportedMutation, Memory, Model, Repository};
    /// # #[derive(Model, Debug, PartialEq)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let repo =
    /// #     Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().paused().build().await?;
    /// let _ = repo.upsert(&Label { name: "bug".into() }).await?;
    /// let mut lines = Vec::new();
    /// repo.outbox()
    ///     .export(|line| {
    ///         lines.push(line);
    ///         Ok(())
    ///     })
    ///     .await?;
    ///
    /// let line: ExportedMutation = serde_json::from_str(&lines[0])?;
    /// let label = line.mutation.expect("it can be read").model::<Label>()?;
    /// assert_eq!(label, Some(Label { name: "bug".into() }));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Storage`; `Serialization` if a row can't be shown; what `line` returns.
    pub async fn export(&self, mut line: impl FnMut(String) -> Result<()>) -> Result<u64> {
        let (mut lines, mut after) = (0, 0);
        loop {
            let loaded = self.repo.shared.store.outbox(&Context::new(), after, READ).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(lines);
            }
            after = loaded.last;
            let mut unread = loaded.unreadable.iter().peekable();
            for mut entry in loaded.entries {
                while let Some(before) = unread.next_if(|unread| unread.seq < entry.seq) {
                    lines += told(&unreadable(before), &mut line)?;
                }
                if is_parcel(&entry) {
                    let stored =
                        self.repo.shared.store.load(&Context::new(), entry.schema, &entry.key).await?;
                    entry.row = stored.and_then(|stored| stored.row).or(entry.row);
                }
                lines += told(&readable(&entry)?, &mut line)?;
            }
            for left in unread {
                lines += told(&unreadable(left), &mut line)?;
            }
        }
    }
}

/// Gives a line, and counts it.
fn told(exported: &ExportedMutation, line: &mut impl FnMut(String) -> Result<()>) -> Result<u64> {
    let text = serde_json::to_string(exported).map_err(|error| {
        Error::new(ErrorKind::Serialization, "the mutation can't be written as JSON").because(error)
    })?;
    line(text)?;
    Ok(1)
}

fn readable(entry: &Entry) -> Result<ExportedMutation> {
    let schema = entry.schema;
    let names = entry.changed.iter().filter_map(|at| schema.fields.get(at));
    let mutation = Exported {
        id: entry.id,
        model: schema.model.to_owned(),
        model_version: entry.model_version,
        key: entry.key.clone(),
        operation: entry.operation,
        changed: names.map(|field| field.name.to_owned()).collect(),
        row: entry.row.as_deref().map(|row| shown(schema, row)).transpose()?,
        base: entry.base.as_deref().map(|row| shown(schema, row)).transpose()?,
        base_version: entry.base_version.clone(),
        extra: entry.extra.clone(),
        account: entry.account.clone(),
        created: entry.created,
        parked: if let EntryState::Parked(reason) = entry.state { Some(reason) } else { None },
        first_sent: entry.mark.map(|mark| mark.first),
        attempts: entry.attempts,
        failure: entry.failure.clone(),
    };
    Ok(ExportedMutation { seq: entry.seq, mutation: Some(mutation), unreadable: None })
}

fn unreadable(entry: &Unreadable) -> ExportedMutation {
    let bytes = entry.raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let raw = Raw { error: entry.error.to_string(), bytes };
    ExportedMutation { seq: entry.seq, mutation: None, unreadable: Some(raw) }
}

/// The fields of a row that it has.
fn shown(schema: &'static Schema, row: &dyn Row) -> Result<BTreeMap<String, Value>> {
    let mut fields = BTreeMap::new();
    for (at, field) in schema.fields.iter().enumerate() {
        let value = row.field(at).and_then(|value| match value {
            ValueRef::Absent => Ok(None),
            value => value.to_value().map(Some),
        });
        if let Some(value) = value.map_err(|fault| schema.fault(at, fault))? {
            fields.insert(field.name.to_owned(), value);
        }
    }
    Ok(fields)
}
