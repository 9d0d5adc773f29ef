//! What came from the remote, on its way into the store: rows, and rows that stood within them.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::{
    Batch, Brought, Embedded, Entry, Error, ErrorKind, Expect, Key, Meta, Op, PageRow, Record, Result, Row,
    RowState, Schema, StoredRow, SyncState, Tail, Theirs, Timestamp,
};

use crate::changes::Touches;
use crate::driver::Acts;
use crate::engine::enqueue::differences;
use crate::engine::rebase::Rebased;

/// The rows that came together, by model and key.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(BTreeMap<(&'static str, Key), Arrival>);

#[derive(Debug)]
struct Arrival {
    schema: &'static Schema,
    row: Arc<dyn Row>,
    /// What stands beside the fields.
    meta: Meta,
    /// It stood within another row, and shows what that showed of it.
    embedded: Option<Embedded>,
}

/// When the remote was asked, and what has happened here since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since<'a> {
    /// The revision of the store then.
    pub(crate) revision: u64,
    /// Later revisions that what came together with it made, rising: they are not newer than it.
    pub(crate) own: &'a [u64],
    /// What was touched since.
    pub(crate) touches: Option<&'a Touches>,
    pub(crate) now: Timestamp,
}

/// What becomes of the store when rows enter it.
#[derive(Debug, Default)]
pub(crate) struct Entering {
    pub(crate) batch: Batch,
    /// How many rows are new or different.
    pub(crate) changed: u64,
    /// Rows that were asked for and stay as they are, though something else may have come: what is queued for them was
    /// confirmed meanwhile.
    pub(crate) left: Vec<Key>,
    /// What was queued for rows, put on what came.
    pub(crate) rebased: Vec<Rebased>,
}

impl Entering {
    pub(crate) fn take(&mut self, mut rebased: Rebased) {
        let Batch { expect, ops } = std::mem::take(&mut rebased.batch);
        self.batch.expect.extend(expect);
        self.batch.ops.extend(ops);
        self.changed += 1;
        self.rebased.push(rebased);
    }
}

impl Arrivals {
    /// Adds a row that was asked for. Of two with one key, the later one counts.
    pub(crate) fn add(&mut self, schema: &'static Schema, key: Key, row: PageRow) {
        let PageRow { meta, row, brought } = row;
        self.0.insert((schema.model, key), Arrival { schema, row, meta, embedded: None });
        if let Some(brought) = brought {
            self.add_brought(*brought);
        }
    }

    /// Adds the rows that stood within another one. What was asked for says more than they do.
    pub(crate) fn add_brought(&mut self, brought: Brought) {
        for mut embedded in brought.rows {
            // Without a key there is no saying which row it is.
            let Ok(key) = embedded.schema.key_of(&embedded.row) else { continue };
            let place = (embedded.schema.model, key);
            match self.0.get(&place).map(|known| &known.embedded) {
                Some(None) => continue,
                Some(Some(earlier)) => embedded = joined(earlier, embedded),
                None => {}
            }
            let arrival = Arrival {
                schema: embedded.schema,
                row: Arc::new(embedded.row.clone()),
                meta: Meta { extra: embedded.extra.clone(), ..Meta::synced(Timestamp::UNIX_EPOCH) },
                embedded: Some(embedded),
            };
            self.0.insert(place, arrival);
        }
    }

    /// Takes out the row that an error names. A part of a row that stood within another one is gone with that.
    pub(crate) fn take_out(&mut self, error: &Error) -> Option<(&'static Schema, Key, Option<PageRow>)> {
        let (model, key) = (error.model_name()?, error.row_key()?);
        let place = self.0.keys().find(|(of, known)| *of == model && known.to_string() == key)?.clone();
        let Arrival { schema, row, meta, embedded } = self.0.remove(&place)?;
        Some((schema, place.1, embedded.is_none().then(|| PageRow::new(meta, row))))
    }

    /// Adds to `batch` what is new or different. What is queued for a row is put on what came; a row that was written
    /// since stays as it is, and is [left](Entering::left) if something is queued for it.
    ///
    /// `None` if something is queued for one of the rows, and [`marking`](Acts::marking) is not held: `alone` says that it
    /// is.
    ///
    /// # Errors
    /// `Storage` or `Corrupt`; an error that names a row is about what came of it.
    pub(crate) async fn enter(
        &self,
        acts: &Acts,
        cx: &larder_core::Context,
        since: Since<'_>,
        alone: bool,
    ) -> Result<Option<Entering>> {
        let mut entering = Entering::default();
        for ((_, key), arrival) in &self.0 {
            let stored = acts.store.load(cx, arrival.schema, key).await?;
            let about = |error: Error| error.model(arrival.schema.model).key(key);
            if let Some(stored) = stored.as_ref().filter(|stored| stored.meta.tail != 0) {
                let confirmed = match since.touches {
                    Some(touches) => touches.is_confirmed(arrival.schema, key),
                    None => stored.meta.revision > since.revision,
                };
                if confirmed {
                    if arrival.embedded.is_none() {
                        entering.left.push(key.clone());
                    }
                    continue;
                }
                if !alone {
                    return Ok(None);
                }
                let heard = |first: &Entry| arrival.heard(first, since.now);
                if let Some(rebased) =
                    acts.heard_of(arrival.schema, key, stored, heard).await.map_err(about)?
                {
                    entering.take(rebased);
                }
                continue;
            }
            // A row that was removed while it was on its way does not come back by it.
            let touched = since.touches.is_some_and(|touches| touches.contains(arrival.schema, key));
            if stored.is_none() && touched {
                continue;
            }
            let merged = arrival.merged(key, stored.as_ref(), since).map_err(about)?;
            if let Some(op) = merged {
                if let Op::Put { row, .. } = &op {
                    arrival.schema.fits(&**row).map_err(about)?;
                }
                let revision = stored.map_or(0, |stored| stored.meta.revision);
                let expect = Expect::Row { schema: arrival.schema, key: key.clone(), revision };
                entering.batch.expect.push(expect);
                entering.batch.ops.push(op);
                entering.changed += 1;
            }
        }
        Ok(Some(entering))
    }
}

/// Adds to `batch` what stood in the answer to a write, as if it had been pulled, unless the batch writes it anyway. It was
/// not asked for: a row that can't be stored is left out, and so is one that refers to others by what would have to be
/// looked up. Gives what was queued for such rows, put on what came; `None` if that needs
/// [`marking`](Acts::marking), and `alone` says that it is not held.
///
/// # Errors
/// `Storage` or `Corrupt`.
pub(crate) async fn take_brought(
    batch: &mut Batch,
    answer: Option<&PageRow>,
    acts: &Acts,
    since: Since<'_>,
    alone: bool,
) -> Result<Option<Vec<Rebased>>> {
    let Some(brought) = answer.and_then(|answer| answer.brought.as_deref()) else {
        return Ok(Some(Vec::new()));
    };
    let written = |one: &Embedded| {
        let key = one.schema.key_of(&one.row).ok();
        batch.ops.iter().any(|op| match op {
            Op::Put { schema, key: of, .. }
            | Op::Tombstone { schema, key: of, .. }
            | Op::Remove { schema, key: of } => *schema == one.schema && Some(of) == key.as_ref(),
            _ => false,
        })
    };
    let rows = brought.rows.iter().filter(|one| one.lookups.is_empty() && !written(one));
    let mut arrivals = Arrivals::default();
    arrivals.add_brought(Brought { rows: rows.cloned().collect(), lookups: Vec::new() });
    let entered = match arrivals.enter(acts, &larder_core::Context::new(), since, alone).await {
        Err(error) if error.kind() == ErrorKind::Serialization => {
            tracing::warn!(%error, "what stood in the answer to a write can't be stored: it is left out");
            return Ok(Some(Vec::new()));
        }
        other => other?,
    };
    let Some(entered) = entered else { return Ok(None) };
    batch.expect.extend(entered.batch.expect);
    batch.ops.extend(entered.batch.ops);
    Ok(Some(entered.rebased))
}

/// What two places said about one row: where both say something, the later one counts.
fn joined(earlier: &Embedded, later: Embedded) -> Embedded {
    let mut row = earlier.row.clone();
    for at in 0..later.schema.fields.len() {
        if let Some(value) = later.row.get(at) {
            row.set(at, value.clone());
        }
    }
    let rest = match (&earlier.rest, later.rest) {
        (Some(rest), _) => Some(rest.iter().filter(|(at, _)| row.get(*at).is_none()).cloned().collect()),
        (None, Some(rest)) => Some(rest.into_iter().filter(|(at, _)| row.get(*at).is_none()).collect()),
        (None, None) => None,
    };
    let extra = later.extra.or_else(|| earlier.extra.clone());
    Embedded { schema: later.schema, row, rest, extra, lookups: later.lookups }
}

impl Arrival {
    /// What the remote has, beside what is queued for the row; `first` is the oldest of that. `None` if it tells too little.
    fn heard(&self, first: &Entry, now: Timestamp) -> Result<Option<Theirs>> {
        let schema = self.schema;
        let beside = first.theirs.as_ref().and_then(|theirs| theirs.row.as_ref());
        let row: Arc<dyn Row> = match beside.or(first.base.as_ref()) {
            // A field that this remote does not show keeps its value.
            Some(known) => Arc::new(Record::overlay(schema, &**known, &*self.row)?),
            None if self.embedded.is_some() => return Ok(None),
            None => match &first.row {
                Some(mine) => Arc::new(Record::overlay(schema, &**mine, &*self.row)?),
                None => Arc::clone(&self.row),
            },
        };
        schema.fits(&*row)?;
        let (version, extra) = (self.meta.version.clone(), self.meta.extra.clone());
        Ok(Some(Theirs { row: Some(row), version, extra, at: now }))
    }

    /// What becomes of the row; `None` if nothing changes.
    fn merged(&self, key: &Key, stored: Option<&StoredRow>, since: Since<'_>) -> Result<Option<Op>> {
        let schema = self.schema;
        let sync = SyncState { state: RowState::Synced, since: since.now };
        let put = |row, meta: Meta| {
            let meta = Meta { tail: 0, sync, ..meta };
            Some(Op::Put { schema, key: key.clone(), row, meta, tail: Tail::At(0) })
        };
        // What was confirmed while the row was on its way is newer than it.
        let newer = |revision: u64| revision > since.revision && since.own.binary_search(&revision).is_err();
        if stored.is_some_and(|stored| newer(stored.meta.revision)) {
            return Ok(None);
        }
        let Some((stored, old)) = stored.and_then(|stored| Some((stored, stored.row.as_ref()?))) else {
            let new: Option<Arc<dyn Row>> = match &self.embedded {
                None => Some(Arc::clone(&self.row)),
                // A part of a row that is not here tells no more than its key.
                Some(embedded) => embedded.whole().map(|whole| -> Arc<dyn Row> { Arc::new(whole) }),
            };
            return Ok(new.and_then(|row| put(row, self.meta.clone())));
        };
        // A field that this remote does not show keeps its value.
        let row: Arc<dyn Row> = Arc::new(Record::overlay(schema, &**old, &*self.row)?);
        // What stood within another row says nothing of what the model has not.
        let extra = if self.embedded.is_some() { &stored.meta.extra } else { &self.meta.extra };
        // A list often tells no versions: of a row that is what it was, the known one stands.
        let same = differences(schema, &**old, &*row)?.is_empty()
            && (self.meta.version.is_none() || stored.meta.version == self.meta.version)
            && stored.meta.extra == *extra
            && stored.meta.sync.state == RowState::Synced;
        let extra = extra.clone();
        Ok(if same { None } else { put(row, Meta { extra, ..self.meta.clone() }) })
    }
}
