//! What the store holds, and what a batch does to it: checked as a whole first, then applied without a way to fail.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use larder_core::query::Filter;
use larder_core::query::plan::{Access, Served};
use larder_core::{
    Batch, Capabilities, Committed, Entry, Error, ErrorKind, Expect, IndexDef, Integrity, Key, Meta,
    MutationId, Op, Outcome, PageRow, Plan, Query, Record, Result, Row, Schema, StoredRow, Tail, Touched,
    ordered, packed,
};

/// The committed state.
#[derive(Debug)]
pub(crate) struct State {
    tables: BTreeMap<&'static str, Table>,
    pub(crate) outbox: BTreeMap<u64, Entry>,
    pub(crate) cursors: BTreeMap<String, String>,
    /// What came of the mutations that were applied as a remote.
    pub(crate) applied: BTreeMap<MutationId, Outcome>,
    pub(crate) revision: u64,
    /// The last sequence number that was handed out.
    seq: u64,
}

/// The rows of one model.
#[derive(Debug)]
struct Table {
    schema: &'static Schema,
    rows: BTreeMap<Key, StoredRow>,
    /// Who holds which values of each unique index.
    unique: Vec<BTreeMap<Vec<u8>, Key>>,
    /// The revision of the last batch that wrote a row.
    written: u64,
}

/// What a batch comes to: nothing in it can fail any more.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) rows: BTreeMap<&'static str, BTreeMap<Key, Option<StoredRow>>>,
    outbox: Vec<Change>,
    cursors: Vec<(String, Option<String>)>,
    pub(crate) committed: Committed,
    pub(crate) touched: Touched,
}

/// A change of the outbox.
#[derive(Debug)]
enum Change {
    Enqueue(Box<Entry>),
    Revise(Box<Entry>),
    Dequeue(u64),
}

impl State {
    pub(crate) fn new(schemas: &[&'static Schema]) -> Self {
        let table = |schema: &&'static Schema| (schema.model, Table::new(schema));
        Self {
            tables: schemas.iter().map(table).collect(),
            outbox: BTreeMap::new(),
            cursors: BTreeMap::new(),
            applied: BTreeMap::new(),
            revision: 0,
            seq: 0,
        }
    }

    fn table(&self, schema: &'static Schema) -> Result<&Table> {
        self.tables.get(schema.model).filter(|table| table.schema == schema).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "the model was not registered when the store was opened")
                .model(schema.model)
        })
    }

    /// What a check counts.
    pub(crate) fn count_up(&self) -> Integrity {
        let stored = || self.tables.values().flat_map(|table| table.rows.values());
        Integrity {
            rows: stored().filter(|stored| stored.row.is_some()).count() as u64,
            tombstones: stored().filter(|stored| stored.row.is_none()).count() as u64,
            index_entries: self
                .tables
                .values()
                .flat_map(|table| &table.unique)
                .map(BTreeMap::len)
                .sum::<usize>() as u64,
            entries: self.outbox.len() as u64,
            cursors: self.cursors.len() as u64,
            ..Integrity::default()
        }
    }

    /// Whether it knows the model.
    pub(crate) fn has(&self, schema: &'static Schema) -> bool {
        self.known(schema).is_ok()
    }

    /// An error if it does not know the model.
    pub(crate) fn known(&self, schema: &'static Schema) -> Result<()> {
        self.table(schema).map(drop)
    }

    /// The rows after a key, at most `limit`.
    pub(crate) fn after(
        &self,
        schema: &'static Schema,
        key: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<PageRow>> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.table(schema)?.rows.range((from, Bound::Unbounded));
        let shown = |(_, stored): (&Key, &StoredRow)| {
            stored.row.clone().map(|row| PageRow::new(stored.meta.clone(), row))
        };
        Ok(rows.filter_map(shown).take(limit).collect())
    }

    /// What is stored under `key`, a tombstone included.
    pub(crate) fn stored(&self, schema: &'static Schema, key: &Key) -> Result<Option<&StoredRow>> {
        Ok(self.table(schema)?.rows.get(key))
    }

    /// The rows that answer `query`, finished.
    pub(crate) fn select(&self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let table = self.table(schema)?;
        let shown = |stored: &StoredRow| stored.row.clone().map(|row| PageRow::new(stored.meta.clone(), row));
        let rows = match query.as_key() {
            Some(key) => table.rows.get(key).and_then(shown).into_iter().collect(),
            None => {
                query.check_alone(schema)?;
                query.permit_scan(schema)?;
                table.rows.values().filter_map(shown).collect()
            }
        };
        query.finish(schema, larder_core::Done::default(), rows)
    }

    /// How many rows answer `query`: no row is cloned, and the order does not matter.
    pub(crate) fn count(&self, schema: &'static Schema, query: &Query) -> Result<u64> {
        if query.after.is_some() {
            return Ok(self.select(schema, query)?.len() as u64);
        }
        query.check_alone(schema)?;
        query.permit_scan(schema)?;
        let (mut count, filter) = (0, Filter::of(&query.filter));
        for row in self.table(schema)?.rows.values().filter_map(|stored| stored.row.as_ref()) {
            count += u64::from(filter.matches(schema, &**row)?);
        }
        Ok(count.saturating_sub(query.offset).min(query.limit.unwrap_or(u64::MAX)))
    }

    /// What [`select`](Self::select) does: a lookup by one key, or a pass over all rows. Indexes keep their promises here
    /// and find nothing.
    pub(crate) fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        let rows = self.table(schema)?.rows.len() as u64;
        query.check_alone(schema)?;
        let mut plan = query.plan(schema, &Capabilities::ALL);
        if query.as_key().is_some() {
            return Ok(Plan { access: Access::Keys(1), estimate: Some(1), ..plan });
        }
        for condition in &mut plan.conditions {
            if condition.served != Served::Unindexed {
                condition.served = Served::Residual;
            }
        }
        Ok(Plan { access: Access::Scan, estimate: Some(rows), ..plan })
    }

    /// True if everything holds that the batch relies on.
    pub(crate) fn holds(&self, expectations: &[Expect]) -> Result<bool> {
        for expectation in expectations {
            let holds = match expectation {
                Expect::Row { schema, key, revision } => {
                    self.stored(schema, key)?.map_or(0, |stored| stored.meta.revision) == *revision
                }
                Expect::Model { schema, revision } => self.table(schema)?.written <= *revision,
                Expect::Entry { seq, marked, attempts } => self
                    .outbox
                    .get(seq)
                    .is_some_and(|entry| entry.mark.is_some() == *marked && entry.attempts == *attempts),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks `batch` as a whole; nothing is changed.
    pub(crate) fn stage(&self, batch: Batch) -> Result<Staged> {
        let revision = self.revision + 1;
        let enqueued = batch.ops.iter().filter(|op| matches!(op, Op::Enqueue(_))).count() as u64;
        let seqs: Vec<u64> = (self.seq + 1..=self.seq + enqueued).collect();
        let mut staged = Staged {
            rows: BTreeMap::new(),
            outbox: Vec::new(),
            cursors: Vec::new(),
            touched: Touched::nothing(revision),
            committed: Committed { revision, seqs },
        };
        let mut fresh = staged.committed.seqs.clone().into_iter();
        for op in batch.ops {
            self.stage_op(&mut staged, op, &mut fresh)?;
        }
        for (model, rows) in &staged.rows {
            self.tables[model].check_unique(rows)?;
        }
        let keys = |(model, rows): (&&'static str, &BTreeMap<Key, _>)| {
            let schema = self.tables[model].schema;
            rows.keys().map(|key| (schema, key.clone())).collect::<Vec<_>>()
        };
        staged.touched.rows = staged.rows.iter().flat_map(keys).collect();
        staged.touched.outbox = !staged.outbox.is_empty();
        staged.touched.queued = !staged.committed.seqs.is_empty();
        Ok(staged)
    }

    fn stage_op(&self, staged: &mut Staged, op: Op, fresh: &mut impl Iterator<Item = u64>) -> Result<()> {
        match op {
            Op::Put { schema, key, row, meta, tail } => {
                let row = own(schema, &*row).map_err(|error| error.during("commit").key(&key))?;
                let meta = staged.meta(meta, tail)?;
                self.stage_row(staged, schema, key, Some(StoredRow { meta, row: Some(row) }))?;
            }
            Op::Tombstone { schema, key, meta, tail } => {
                let meta = staged.meta(meta, tail)?;
                self.stage_row(staged, schema, key, Some(StoredRow { meta, row: None }))?;
            }
            Op::Remove { schema, key } => self.stage_row(staged, schema, key, None)?,
            Op::Enqueue(mut entry) => {
                entry.seq = fresh.next().unwrap_or_default();
                self.table(entry.schema)?;
                staged.outbox.push(Change::Enqueue(entry));
            }
            Op::Revise(entry) => {
                self.table(entry.schema)?;
                staged.outbox.push(Change::Revise(entry));
            }
            Op::Dequeue(seq) => staged.outbox.push(Change::Dequeue(seq)),
            Op::Cursor { scope, value } => staged.cursors.push((scope, value)),
        }
        Ok(())
    }

    fn stage_row(
        &self,
        staged: &mut Staged,
        schema: &'static Schema,
        key: Key,
        row: Option<StoredRow>,
    ) -> Result<()> {
        self.table(schema)?;
        staged.rows.entry(schema.model).or_default().insert(key, row);
        Ok(())
    }

    /// Makes `staged` the committed state.
    pub(crate) fn merge(&mut self, staged: Staged) {
        for (model, rows) in staged.rows {
            if let Some(table) = self.tables.get_mut(model) {
                table.merge(rows);
                table.written = staged.committed.revision;
            }
        }
        for change in staged.outbox {
            match change {
                Change::Enqueue(entry) => drop(self.outbox.insert(entry.seq, *entry)),
                Change::Revise(entry) => {
                    if let Some(stored) = self.outbox.get_mut(&entry.seq) {
                        *stored = *entry;
                    }
                }
                Change::Dequeue(seq) => drop(self.outbox.remove(&seq)),
            }
        }
        for (scope, value) in staged.cursors {
            match value {
                Some(value) => drop(self.cursors.insert(scope, value)),
                None => drop(self.cursors.remove(&scope)),
            }
        }
        self.revision = staged.committed.revision;
        self.seq = staged.committed.seqs.last().copied().unwrap_or(self.seq);
    }

    /// Removes everything but the counters.
    pub(crate) fn wipe(&mut self) {
        self.revision += 1;
        for table in self.tables.values_mut() {
            *table = Table { written: self.revision, ..Table::new(table.schema) };
        }
        self.outbox.clear();
        self.cursors.clear();
        self.applied.clear();
    }
}

impl Staged {
    fn meta(&self, meta: Meta, tail: Tail) -> Result<Meta> {
        let tail = match tail {
            Tail::At(seq) => seq,
            Tail::New(nth) => *self.committed.seqs.get(nth).ok_or_else(|| {
                Error::new(ErrorKind::Invalid, format!("the batch does not enqueue an entry {nth}"))
                    .during("commit")
            })?,
        };
        Ok(Meta { revision: self.committed.revision, tail, ..meta })
    }
}

impl Table {
    fn new(schema: &'static Schema) -> Self {
        let unique = schema.indexes.iter().map(|_| BTreeMap::new()).collect();
        Self { schema, rows: BTreeMap::new(), unique, written: 0 }
    }

    /// Refuses rows that would share the values of a unique index once all of them are written.
    fn check_unique(&self, rows: &BTreeMap<Key, Option<StoredRow>>) -> Result<()> {
        let mut broken: Vec<(&Key, String)> = Vec::new();
        for (at, index) in self.schema.indexes.iter().enumerate().filter(|(_, index)| index.unique) {
            let mut claimed: BTreeMap<Vec<u8>, &Key> = BTreeMap::new();
            for (key, row) in rows {
                let Some(values) = self.values(index, row.as_ref())? else {
                    continue;
                };
                let kept = self.unique[at].get(&values).filter(|holder| !rows.contains_key(*holder));
                if let Some(other) = kept.or_else(|| claimed.get(&values).copied()) {
                    let what =
                        format!("rows {key} and {other} would agree in the unique index {}", index.name);
                    broken.push((key, what));
                }
                claimed.insert(values, key);
            }
        }
        let Some((key, _)) = broken.first() else { return Ok(()) };
        // All that stands in the way of one row is told at once.
        let of_one = broken.iter().filter(|(other, _)| other == key);
        let what: Vec<&str> = of_one.map(|(_, what)| what.as_str()).collect();
        let error = Error::new(ErrorKind::Conflict, what.join("; "));
        Err(error.during("commit").model(self.schema.model).key(key))
    }

    /// What the row holds of a unique index; `None` if one of the fields is null.
    fn values(&self, index: &IndexDef, stored: Option<&StoredRow>) -> Result<Option<Vec<u8>>> {
        let Some(row) = stored.and_then(|stored| stored.row.as_ref()) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        for &position in index.fields {
            let fault = |fault| self.schema.fault(position, fault);
            let value = row.field(position).map_err(fault)?;
            if value.is_null() {
                return Ok(None);
            }
            ordered::encode(value, &mut bytes).map_err(fault)?;
        }
        Ok(Some(bytes))
    }

    /// Calls `f` for each unique index with what the row holds of it.
    fn each_claim(&mut self, row: Option<&StoredRow>, f: impl Fn(&mut BTreeMap<Vec<u8>, Key>, Vec<u8>)) {
        for (at, index) in self.schema.indexes.iter().enumerate().filter(|(_, index)| index.unique) {
            // The values could be shown when the row was checked.
            if let Ok(Some(values)) = self.values(index, row) {
                f(&mut self.unique[at], values);
            }
        }
    }

    fn merge(&mut self, rows: BTreeMap<Key, Option<StoredRow>>) {
        for key in rows.keys() {
            let before = self.rows.get(key).cloned();
            self.each_claim(before.as_ref(), |held, values| drop(held.remove(&values)));
        }
        for (key, row) in rows {
            self.each_claim(row.as_ref(), |held, values| {
                drop(held.insert(values, key.clone()));
            });
            match row {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
        }
    }
}

/// An owned copy of a row that can be stored: what the stored format refuses is refused here too.
fn own(schema: &'static Schema, row: &dyn Row) -> Result<Arc<dyn Row>> {
    packed::write_body(&mut Vec::new(), schema, 0, row)?;
    Ok(Arc::new(Record::copy(schema, row)?))
}
