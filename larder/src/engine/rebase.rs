//! Puts what is queued for a row on what the remote has now: three-way, entry by entry, as the model's strategy says.
//!
//! - An entry that was never sent moves at once: its base, its version and what it changes follow the remote's row, and
//!   one that has nothing left to say is gone.
//! - An entry that may have been sent is never altered. The remote's newest row is kept beside it, or beside the one at the
//!   head of its row, until its fate is known, and so it is beside one that waits for a decision.
//! - One whose row is gone over there, and a later deletion of which may have been sent, has nothing left to say.
//! - What was changed here and never sent stays on top.

use std::sync::Arc;

use larder_core::conflict::{self, Outcome, differences, same};
use larder_core::{
    Batch, Entry, EntryState, Expect, Failure, FieldSet, Key, KeyKind, MutationId, Op, Operation, ParkReason,
    Record, Resolve, Result, Row, RowState, Schema, Sides, StoredRow, SyncState, Theirs, Timestamp, ValueRef,
};

use super::settle::{on_top, rewritten};

/// What is queued for a row, and what it is put on.
#[derive(Debug)]
pub(crate) struct Rebase<'a> {
    pub(crate) schema: &'static Schema,
    pub(crate) key: &'a Key,
    pub(crate) stored: &'a StoredRow,
    /// The entries that are put on it, oldest first.
    pub(crate) queue: Vec<Entry>,
    pub(crate) theirs: Theirs,
    pub(crate) start: Start,
    /// The oldest goes in a request that may be on its way, or waits for a decision.
    pub(crate) held: bool,
    pub(crate) now: Timestamp,
}

/// What is known of the oldest entry.
#[derive(Debug)]
pub(crate) enum Start {
    /// Nothing but what stands in it.
    Heard,
    /// The same, but one, by its sequence number, is on its way no more, and was not accepted.
    Answered(u64),
    /// It was refused for what the remote has now: it goes on under this identity. `before` is the entry of the row before it,
    /// 0 if there is none.
    Refused { id: MutationId, failure: Option<Failure>, before: u64 },
    /// The application has decided about it: it goes on under this identity, if at all, behind the same.
    Settled { id: MutationId, outcome: Outcome, before: u64 },
    /// One that came before has been accepted, or one that was written after them and had been sent before them. `answered`
    /// is what the remote made of it, and what the remote has now may be newer than that.
    Accepted { entry: Box<Entry>, answered: Arc<dyn Row> },
}

/// What became of an entry that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The remote has what it wanted.
    Done,
    /// The remote's side stands.
    Overruled,
    /// Its row was deleted after it, and the remote has that.
    Covered,
}

/// What a rebase comes to.
#[derive(Debug, Default)]
pub(crate) struct Rebased {
    pub(crate) batch: Batch,
    /// The entries that are gone.
    pub(crate) ended: Vec<(Entry, Ended)>,
    /// The entries that are other than before, as they are now.
    pub(crate) moved: Vec<Entry>,
    /// The identity of the oldest entry, and the one under which it goes on.
    pub(crate) renewed: Option<(MutationId, MutationId)>,
}

/// True if the entry may be on its way, or waits for a decision: it is not to be altered by what is heard.
fn is_frozen(entry: &Entry) -> bool {
    entry.mark.is_some() || entry.state != EntryState::Ready
}

/// Puts the queue on what the remote has now; `None` if that is nothing new.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn rebased(rebase: Rebase<'_>, resolver: &dyn Resolve) -> Result<Option<Rebased>> {
    let Rebase { schema, key, stored, .. } = rebase;
    let expect = Expect::Row { schema, key: key.clone(), revision: stored.meta.revision };
    let heard = match rebase.start {
        Start::Heard => Some(0),
        Start::Answered(seq) => Some(seq),
        _ => None,
    };
    if let (Some(answered), Some(first)) = (heard, rebase.queue.first()) {
        // Where two queues have become one, what was sent may come later, and goes first; unless it waits for a decision.
        let goes =
            |entry: &Entry| entry.mark.is_some() && entry.state == EntryState::Ready && entry.seq != answered;
        let sent = rebase.queue.iter().any(goes);
        if rebase.held || sent || is_frozen(first) {
            return beside(&rebase, first, expect);
        }
        let known = same(schema, ground(first), rebase.theirs.row.as_deref())?;
        let version = rebase.theirs.version.is_none() || rebase.theirs.version == first.base_version;
        if known && version {
            return Ok(None);
        }
    }
    let mut run = Run::begin(&rebase, expect);
    let Rebase { queue, start, theirs, now, .. } = rebase;
    let mut fixed = match start {
        Start::Settled { outcome, .. } => Some(outcome),
        _ => None,
    };
    let covered = covered(&queue);
    for (entry, covered) in queue.into_iter().zip(covered) {
        run.entry(entry, fixed.take(), covered, resolver)?;
    }
    run.finish(stored, theirs, now).map(Some)
}

/// Which of these entries change a row that a later one deletes, in the name of the same account, and that may have been sent, as
/// it may where two queues have become one: should the row be gone over there, it is so by that.
fn covered(queue: &[Entry]) -> Vec<bool> {
    let (mut covered, mut deletion) = (vec![false; queue.len()], None::<&Entry>);
    for (covered, entry) in covered.iter_mut().zip(queue).rev() {
        *covered = ground(entry).is_some()
            && deletion.is_some_and(|deletion| deletion.mark.is_some() && deletion.account == entry.account);
        if entry.row.is_none() {
            deletion = Some(entry);
        }
    }
    covered
}

/// What the remote had when the entry was made: of a row that it is to be told of, nothing.
fn ground(entry: &Entry) -> Option<&dyn Row> {
    entry.base.as_deref().filter(|_| entry.operation != Operation::Insert)
}

/// Keeps the remote's row beside an entry that is not to be altered; `None` if it says nothing new.
fn beside(rebase: &Rebase<'_>, first: &Entry, expect: Expect) -> Result<Option<Rebased>> {
    let schema = rebase.schema;
    let theirs = rebase.theirs.row.as_deref();
    let known = match &first.theirs {
        Some(known) => same(schema, known.row.as_deref(), theirs)? && known.version == rebase.theirs.version,
        None => same(schema, ground(first), theirs)? || same(schema, first.row.as_deref(), theirs)?,
    };
    if known {
        return Ok(None);
    }
    let mut first = first.clone();
    first.theirs = Some(Box::new(rebase.theirs.clone()));
    // Whatever is decided about the entry relies on its row: it is written again, so that it is read again.
    let (stored, key) = (rebase.stored, rebase.key.clone());
    let touched = rewritten(schema, key, stored.row.clone(), stored.meta.clone());
    let ops = vec![Op::Revise(Box::new(first)), touched];
    Ok(Some(Rebased { batch: Batch { expect: vec![expect], ops }, ..Rebased::default() }))
}

/// Goes through the entries.
struct Run {
    schema: &'static Schema,
    key: Key,
    out: Rebased,
    /// What the next entry was made from.
    old: Option<Arc<dyn Row>>,
    /// The same as far as the remote has said what it made of it: what it answered to an entry of ours is no change of
    /// somebody else's.
    base: Option<Arc<dyn Row>>,
    /// What it is put on.
    under: Option<Arc<dyn Row>>,
    /// Of what the oldest entry is put on.
    version: Option<Arc<str>>,
    extra: Option<Arc<str>>,
    /// The entry before it.
    prev: u64,
    /// The identity that the first entry gets.
    id: Option<MutationId>,
    failure: Option<Failure>,
    /// The next entry is the one that was refused.
    refused: bool,
    /// The last entry asks: what comes after it waits.
    asks: bool,
    /// One that may have been sent waits for a decision, as it did.
    stopped: bool,
    /// The one of [`Start::Answered`], and what is kept beside it: until its fate is durable it may have been accepted.
    answered: Option<(u64, Theirs)>,
    now: Timestamp,
}

impl Run {
    fn begin(rebase: &Rebase<'_>, expect: Expect) -> Self {
        let theirs = &rebase.theirs;
        let first = rebase.queue.first();
        let mut run = Self {
            schema: rebase.schema,
            key: rebase.key.clone(),
            out: Rebased { batch: Batch { expect: vec![expect], ops: Vec::new() }, ..Rebased::default() },
            old: first.filter(|first| ground(first).is_some()).and_then(|first| first.base.clone()),
            base: None,
            under: theirs.row.clone(),
            version: theirs.version.clone(),
            extra: theirs.extra.clone(),
            prev: 0,
            id: None,
            failure: None,
            refused: false,
            asks: false,
            stopped: false,
            answered: None,
            now: rebase.now,
        };
        match &rebase.start {
            Start::Heard => {}
            Start::Answered(seq) => run.answered = Some((*seq, theirs.clone())),
            Start::Refused { id, failure, before } => {
                run.id = Some(*id);
                run.prev = *before;
                run.failure.clone_from(failure);
                run.refused = true;
            }
            Start::Settled { id, before, .. } => {
                run.id = Some(*id);
                run.prev = *before;
            }
            Start::Accepted { entry, .. } => {
                run.old.clone_from(&entry.row);
                run.out.batch.ops.push(Op::Dequeue(entry.seq));
            }
        }
        run.base = match &rebase.start {
            Start::Accepted { answered, .. } => Some(Arc::clone(answered)),
            _ => run.old.clone(),
        };
        run
    }

    /// What `old` was like with `entry`.
    fn with(&self, old: Option<&Arc<dyn Row>>, entry: &Entry) -> Result<Option<Arc<dyn Row>>> {
        Ok(match (&entry.row, old) {
            (Some(row), Some(old)) if entry.operation != Operation::Insert => {
                Some(on_top(self.schema, &**old, &**row, &entry.changed)?)
            }
            (row, _) => row.clone(),
        })
    }

    fn entry(
        &mut self,
        mut entry: Entry,
        fixed: Option<Outcome>,
        covered: bool,
        resolver: &dyn Resolve,
    ) -> Result<()> {
        let shown = self.with(self.old.as_ref(), &entry)?;
        if self.asks {
            self.prev = entry.seq;
            self.old = shown;
            return Ok(());
        }
        let mine = self.with(self.base.as_ref(), &entry)?;
        let decided = self.id.is_some() || self.refused || fixed.is_some();
        let is_done = entry.row.is_none() && self.under.is_none();
        if entry.mark.is_some() && !decided && !is_done {
            self.pass(entry)?;
            (self.old, self.base) = (shown, mine);
            return Ok(());
        }
        if covered && fixed.is_none() && self.under.is_none() && entry.row.is_some() {
            self.end(entry, Ended::Covered);
            (self.old, self.base) = (shown, mine);
            return Ok(());
        }
        // Whoever makes keys makes each once: a row that is there already is our own, and was changed since.
        let own = self.refused
            && entry.operation == Operation::Insert
            && self.schema.key.kind == KeyKind::Client
            && self.under.is_some();
        let base = if own { mine.clone() } else { self.base.clone() };
        let (base, theirs) = (base.as_deref(), self.under.as_deref());
        let sides = Sides { schema: self.schema, base, mine: mine.as_deref(), theirs };
        // A row that is deleted unseen has no base; it shall be gone whatever it is.
        let unseen = sides.base.is_none() && sides.mine.is_none() && sides.theirs.is_some();
        // Nothing has changed there, and the entry is refused all the same: perhaps it was otherwise when it was refused, but
        // not twice in a row, whatever has failed in between.
        let unexplained = self.refused
            && self.version == entry.base_version
            && same(self.schema, self.base.as_deref(), sides.theirs)?;
        let baseless = unexplained && entry.unexplained;
        entry.unexplained = unexplained;
        let outcome = match fixed {
            Some(outcome) => Ok(outcome),
            None if baseless => Ok(Outcome::Ask),
            None if unseen => Ok(Outcome::Mine),
            None => conflict::resolve(resolver, sides),
        };
        match outcome {
            Ok(Outcome::Theirs) => {
                let ended = if own || same(self.schema, mine.as_deref(), self.under.as_deref())? {
                    Ended::Done
                } else {
                    Ended::Overruled
                };
                self.end(entry, ended);
            }
            Ok(Outcome::Mine) => self.keep(entry, mine.clone())?,
            Ok(Outcome::Row(row)) => self.keep(entry, Some(Arc::new(row)))?,
            Ok(Outcome::Delete) => self.keep(entry, None)?,
            Ok(Outcome::Ask) => self.ask(entry, None),
            Err(error) => {
                let failure = Failure::of(&error, self.now);
                self.ask(entry, Some(failure));
            }
        }
        (self.old, self.base) = (shown, mine);
        Ok(())
    }

    /// The entry may have been sent: nothing of it is altered that the remote was told.
    fn pass(&mut self, mut entry: Entry) -> Result<()> {
        self.out.batch.expect.push(Expect::entry(&entry));
        let under = self.with(self.under.as_ref(), &entry)?;
        let version = self.version.take();
        if let Some((_, theirs)) = self.answered.take_if(|(seq, _)| *seq == entry.seq) {
            entry.theirs = Some(Box::new(theirs));
        } else {
            // What makes the row anew is made from nothing; and what changes a row that is gone, from what that was.
            if entry.operation != Operation::Insert && self.under.is_some() {
                entry.base.clone_from(&self.under);
            }
            if let Some(theirs) = &mut entry.theirs {
                (theirs.row, theirs.version) = (self.under.clone(), version);
            }
        }
        entry.prev = self.prev;
        self.prev = entry.seq;
        self.under = under;
        self.stopped |= entry.state != EntryState::Ready;
        self.out.batch.ops.push(Op::Revise(Box::new(entry)));
        Ok(())
    }

    /// The entry has nothing left to say.
    fn end(&mut self, mut entry: Entry, ended: Ended) {
        // Others go in its request, or it in that of another: that request is made all the same, unless there is no row
        // for them to stand in.
        if self.under.is_some() && (!entry.carries.is_empty() || entry.within.is_some()) {
            entry.row.clone_from(&self.under);
            self.put(entry, FieldSet::default());
            return;
        }
        self.out.batch.ops.push(Op::Dequeue(entry.seq));
        self.out.ended.push((entry, ended));
        // Its identity went with it.
        self.id = None;
        self.refused = false;
    }

    /// The entry goes on, and wants `row`.
    fn keep(&mut self, mut entry: Entry, row: Option<Arc<dyn Row>>) -> Result<()> {
        let changed = match (&self.under, &row) {
            (Some(under), Some(row)) => differences(self.schema, &**under, &**row)?,
            (None, Some(_)) => (0..self.schema.fields.len()).collect(),
            (_, None) => FieldSet::default(),
        };
        entry.row = row;
        self.put(entry, changed);
        Ok(())
    }

    fn put(&mut self, mut entry: Entry, changed: FieldSet) {
        entry.operation = match (&entry.row, &self.under) {
            (None, _) => Operation::Delete,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Insert,
        };
        entry.changed = changed;
        entry.base.clone_from(&self.under);
        entry.base_version = self.version.take();
        if self.extra.is_some() {
            entry.extra.clone_from(&self.extra);
        }
        entry.theirs = None;
        entry.prev = self.prev;
        if let Some(id) = self.id.take() {
            self.out.renewed = Some((entry.id, id));
            entry.id = id;
            entry.mark = None;
            entry.state = EntryState::Ready;
            entry.attempts += u32::from(self.refused);
            entry.strikes = 0;
            entry.first_strike = None;
            entry.failure = self.failure.take().or(entry.failure);
        }
        self.refused = false;
        self.prev = entry.seq;
        self.under.clone_from(&entry.row);
        self.out.batch.ops.push(Op::Revise(Box::new(entry.clone())));
        self.out.moved.push(entry);
    }

    /// The entry waits for the application, with what the remote has beside it; so does what comes after it.
    fn ask(&mut self, mut entry: Entry, found: Option<Failure>) {
        let (row, version, extra) = (self.under.clone(), self.version.take(), self.extra.clone());
        entry.theirs = Some(Box::new(Theirs { row, version, extra, at: self.now }));
        entry.state = EntryState::Parked(ParkReason::Conflict);
        entry.attempts += u32::from(self.refused);
        entry.failure = found.or(self.failure.take()).or(entry.failure);
        entry.prev = self.prev;
        self.prev = entry.seq;
        self.asks = true;
        self.out.batch.ops.push(Op::Revise(Box::new(entry.clone())));
        self.out.moved.push(entry);
    }

    /// The row, on top of what is left of the queue.
    fn finish(mut self, stored: &StoredRow, theirs: Theirs, now: Timestamp) -> Result<Rebased> {
        let schema = self.schema;
        let row = match (self.asks, &stored.row) {
            // As it was: nothing that is shown here goes away before it is decided.
            (true, row) => row.clone(),
            (false, Some(top)) => match (&self.old, &self.under) {
                (Some(old), Some(under)) => {
                    Some(on_top(schema, &**under, &**top, &differences(schema, &**old, &**top)?)?)
                }
                // Put here alone, over a row that is deleted.
                (None, _) if self.prev != 0 => Some(Arc::clone(top)),
                (_, under) => under.clone(),
            },
            // Deleted here alone.
            (false, None) if self.old.is_some() && self.prev != 0 => None,
            (false, None) => self.under.clone(),
        };
        let mut meta = stored.meta.clone();
        meta.tail = self.prev;
        meta.version = theirs.version;
        meta.extra = theirs.extra.or(meta.extra);
        let state = match self.prev {
            _ if self.asks => RowState::Conflicted,
            0 => RowState::Synced,
            _ if self.stopped => meta.sync.state,
            _ => RowState::Pending,
        };
        if state != meta.sync.state {
            meta.sync = SyncState { state, since: now };
        }
        self.out.batch.ops.push(match row {
            None if self.prev == 0 => Op::Remove { schema, key: self.key },
            row => rewritten(schema, self.key, row, meta),
        });
        Ok(self.out)
    }
}

/// What `later` has told the remote, `earlier` says no more, which was written before that and is still to go for the first
/// time.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn say_no_more(earlier: &mut Entry, later: &Entry) -> Result<()> {
    if let (Some(row), Some(said), None) = (&earlier.row, &later.row, &earlier.mark) {
        earlier.row = Some(on_top(earlier.schema, &**row, &**said, &later.changed)?);
        earlier.changed = earlier.changed.iter().filter(|at| !later.changed.contains(*at)).collect();
    }
    Ok(())
}

/// What the remote has after it has accepted `entry` with the answer `merged`, if something else was heard of the row
/// meanwhile: field by field what is newer. `None` if that can't be told.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn combined(entry: &Entry, merged: &dyn Row, theirs: &dyn Row) -> Result<Option<Record>> {
    let schema = entry.schema;
    let mut row = Record::copy(schema, merged)?;
    let differ = differences(schema, merged, theirs)?;
    let Some(base) = ground(entry) else { return Ok(differ.is_empty().then_some(row)) };
    let (here, there) = (differences(schema, base, merged)?, differences(schema, base, theirs)?);
    for at in differ.iter() {
        match (here.contains(at), there.contains(at)) {
            // Heard before the entry had arrived.
            (true, false) => {}
            (false, true) if !entry.changed.contains(at) => {
                let value = theirs.field(at).and_then(ValueRef::to_value);
                row.set(at, value.map_err(|fault| schema.fault(at, fault))?);
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(row))
}

#[cfg(test)]
mod tests;
