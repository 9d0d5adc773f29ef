//! The verbs over a JSON file. The rows are in memory while it is open; each write replaces the file as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::core::query::plan::Access;
use larder::core::{
    Applied, Capabilities, Context, Delta, Done, Meta, Mutation, Opening, Outcome, Page, PageRow, Plan,
    Presence, Provider, Query, Realtime, Record, Requests, Row, Schema, Serdes, async_trait,
};
use larder::{Error, ErrorKind, Idempotency, Key, Operation, Result, Runtime};
use serde_json::{Map, Value as Json};
use tokio::sync::{Mutex, oneshot};

use super::codec::Plain;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    runtime: Arc<dyn Runtime>,
    tables: Mutex<Tables>,
}

/// The rows of each model by their keys, as they stand in the file.
type Tables = BTreeMap<&'static str, BTreeMap<Key, Map<String, Json>>>;

impl OpenFile {
    pub(super) async fn open(path: PathBuf, opening: &Opening) -> Result<Self> {
        let at = path.clone();
        let text = on(&opening.runtime, move || match fs::read_to_string(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok("{}".to_owned()),
            read => read,
        });
        let mut file: BTreeMap<String, Vec<Map<String, Json>>> =
            serde_json::from_str(&text.await?).map_err(|error| {
                Error::new(ErrorKind::Corrupt, "the file is no JSON of this form").because(error)
            })?;
        let mut tables = Tables::new();
        for schema in opening.schemas.iter().copied() {
            let table = tables.entry(schema.model).or_default();
            for row in file.remove(schema.model).unwrap_or_default() {
                table.insert(schema.key_of(&Plain.decode(schema, &row)?.record)?, row);
            }
        }
        Ok(Self { path, runtime: Arc::clone(&opening.runtime), tables: Mutex::new(tables) })
    }

    /// The rows that answer. What a query means is core's to say: [`Query::finish`] filters, orders and cuts.
    async fn select(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        if cx.resume.is_some() {
            return Err(Error::new(ErrorKind::Invalid, "there is one page, and nothing after it"));
        }
        query.check_alone(schema)?;
        query.permit_scan(schema)?;
        let tables = self.tables.lock().await;
        let rows = table(&tables, schema)?.values().map(|row| self.shown(schema, row));
        query.finish(schema, Done::default(), rows.collect::<Result<_>>()?)
    }

    fn shown(&self, schema: &'static Schema, row: &Map<String, Json>) -> Result<PageRow> {
        let decoded = Plain.decode(schema, row)?;
        let meta = Meta { extra: decoded.extra, ..Meta::synced(self.runtime.now()) };
        Ok(PageRow::new(meta, Arc::new(decoded.record)))
    }

    /// Changes one row, or nothing: the new state is in the file before it is the state.
    async fn change(&self, mutation: &Mutation) -> Result<Applied> {
        let Mutation { schema, key, operation, .. } = mutation;
        let mut tables = self.tables.lock().await;
        let there = table(&tables, schema)?.get(key).map(|row| self.shown(schema, row)).transpose()?;
        let outcome = judge(*operation, there.is_some())?;
        let mut next = tables.clone();
        let rows = next.entry(schema.model).or_default();
        match outcome {
            Outcome::Missing => return Ok(Applied { outcome, row: None }),
            Outcome::Deleted => drop(rows.remove(key)),
            _ => drop(rows.insert(key.clone(), written(mutation, there)?)),
        }
        self.save(&next).await?;
        *tables = next;
        let row = table(&tables, schema)?.get(key).map(|row| self.shown(schema, row)).transpose()?;
        Ok(Applied { outcome, row })
    }

    async fn save(&self, tables: &Tables) -> Result<()> {
        let rows = |table: &BTreeMap<Key, Map<String, Json>>| table.values().cloned().collect::<Vec<_>>();
        let file: BTreeMap<&str, Vec<_>> =
            tables.iter().map(|(model, table)| (*model, rows(table))).collect();
        let text = serde_json::to_string_pretty(&file).map_err(io::Error::from).map_err(storage)?;
        let path = self.path.clone();
        on(&self.runtime, move || replace(&path, &text)).await
    }
}

fn table<'t>(tables: &'t Tables, schema: &Schema) -> Result<&'t BTreeMap<Key, Map<String, Json>>> {
    let unknown = || Error::new(ErrorKind::Invalid, "the model was not named when the file was opened");
    tables.get(schema.model).ok_or_else(unknown)
}

/// What an operation comes to.
fn judge(operation: Operation, is_there: bool) -> Result<Outcome> {
    match (operation, is_there) {
        (Operation::Insert, true) => {
            Err(Error::new(ErrorKind::Conflict, "a row with this key is there already"))
        }
        (Operation::Update, false) => Err(Error::new(ErrorKind::NotFound, "there is no row with this key")),
        (Operation::Delete, false) => Ok(Outcome::Missing),
        (Operation::Delete, true) => Ok(Outcome::Deleted),
        (_, false) => Ok(Outcome::Inserted),
        (_, true) => Ok(Outcome::Updated),
    }
}

/// The row as it goes into the file: fields that the mutation does not have stay, and so does what the model does not
/// know.
fn written(mutation: &Mutation, under: Option<PageRow>) -> Result<Map<String, Json>> {
    let over = mutation.row.as_ref().ok_or_else(|| Error::new(ErrorKind::Invalid, "a write needs a row"))?;
    let known = under.as_ref().and_then(|under| under.meta.extra.clone());
    let row: Arc<dyn Row> = match under {
        Some(under) => Arc::new(Record::overlay(mutation.schema, &*under.row, &**over)?),
        None => Arc::clone(over),
    };
    let mut object = Plain.encode(mutation.schema, &*row)?;
    if let Some(extra) = mutation.extra.as_ref().or(known.as_ref()) {
        let extra: Map<String, Json> = serde_json::from_str(extra).unwrap_or_default();
        object.extend(extra);
    }
    Ok(object)
}

/// Writes beside the file and puts it in its place: whoever reads sees the old file or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&beside, path)
}

/// Runs what may block where the runtime wants it.
async fn on<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let (done, answer) = oneshot::channel();
    // Nobody may be waiting any more.
    runtime.blocking("plain file", Box::new(move || drop(done.send(work()))));
    let stopped = |_| Error::new(ErrorKind::Storage, "the runtime stopped before the file was done");
    answer.await.map_err(stopped)?.map_err(storage)
}

fn storage(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => ErrorKind::Full,
        _ => ErrorKind::Storage,
    };
    Error::new(kind, "the file can't be read or written").because(error)
}

#[async_trait]
impl Provider for OpenFile {
    fn name(&self) -> &str {
        "plain"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        capabilities.unique = false;
        capabilities.versions = false;
        capabilities
    }

    fn idempotency(&self, _: &'static Schema, operation: Operation) -> Idempotency {
        match operation {
            // A second one would be refused: look first whether it is there.
            Operation::Insert => Idempotency::Probe,
            _ => Idempotency::Idempotent,
        }
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let rows = self.select(cx, schema, query).await;
        let rows = rows.map_err(|error| error.during("get").model(schema.model))?;
        Ok(Page { rows, done: Done::ALL, ..Page::default() })
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let rows = self.select(cx, schema, query).await;
        let rows = rows.map_err(|error| error.during("look for").model(schema.model))?;
        Ok(if rows.is_empty() { Presence::Absent } else { Presence::Present })
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        query.check_alone(schema)?;
        // There is no index: everything is looked at.
        Ok(Plan { access: Access::Scan, ..query.plan(schema, &self.capabilities()) })
    }

    async fn apply(&self, _: &Context, mutation: &Mutation) -> Result<Applied> {
        let Mutation { schema, key, operation, .. } = mutation;
        let applied = self.change(mutation).await;
        applied.map_err(|error| error.during(operation.verb()).model(schema.model).key(key))
    }

    fn delta(&self) -> Option<&dyn Delta> {
        None
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        None
    }
}
