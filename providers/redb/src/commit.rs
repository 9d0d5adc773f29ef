//! What a turn of the writer does: transactions, and what readers and observers see of them.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Weak};

use larder_core::{Batch, CommitObserver, CommitOutcome, Error, ErrorKind, Result, Schema, Touched};
use redb::{Database, Durability, ReadableTable, Table, WriteTransaction};

use crate::batch::{self, Ground, Refusal};
use crate::codec::{Bytes, CURSORS, TABLE};
use crate::counters::{self, Counters};
use crate::error::{Panicked, Raw, contain};
use crate::held::Held;
use crate::reads::Generation;
use crate::upkeep::{self, Writes};
use crate::writer::{Shared, lock};

/// What the writer knows.
pub(crate) struct Writer {
    /// None after a reopening that failed, and after closing.
    pub(crate) held: Held,
    /// True after an error that redb recovers from by being reopened.
    pub(crate) broken: bool,
    /// True if the database is open for reading alone.
    pub(crate) shadow: bool,
    pub(crate) counters: Counters,
    /// Slot by slot, the revision of the last change, or that of the opening.
    pub(crate) changed: Vec<u64>,
    /// The batches of a commit that failed. They may turn out to be durable after all.
    pub(crate) limbo: Vec<Touched>,
    /// A share of it goes with each generation …
    pub(crate) reader: Sender<Infallible>,
    /// … and this says when the last of them is gone.
    pub(crate) readers: Receiver<Infallible>,
    /// How many bytes fewer the outbox has than when it had the most, since space was last given back.
    pub(crate) freed: u64,
}

impl Shared {
    pub(crate) fn commit(
        &self,
        writer: &mut Writer,
        batches: &[Batch],
    ) -> Result<Vec<Result<CommitOutcome>>> {
        let span = tracing::debug_span!(
            "larder_redb::commit",
            batches = batches.len(),
            rows = tracing::field::Empty
        );
        let _entered = span.enter();
        self.ensure_open(writer)?;
        let mut outcomes = Vec::with_capacity(batches.len());
        let mut next = Next::after(writer);
        self.transact(writer, &mut next, |table, next| {
            for batch in batches {
                let applied = batch::apply(
                    &mut Ground {
                        table,
                        catalog: &self.catalog,
                        counters: &mut next.counters,
                        changed: &mut next.changed,
                        freed: &mut next.freed,
                        noted: &mut next.noted,
                        shared: batches.len() > 1,
                    },
                    batch,
                );
                outcomes.push(match applied {
                    Ok(applied) => {
                        next.touched.push(applied.touched);
                        Ok(CommitOutcome::Committed(applied.committed))
                    }
                    Err(Refusal::Stale) => Ok(CommitOutcome::Stale),
                    Err(Refusal::Invalid(error)) => Err(error.during("commit")),
                    Err(Refusal::Broken(error)) => return Err(error),
                });
            }
            Ok(())
        })?;
        span.record("rows", next.touched.iter().map(|touched| touched.rows.len()).sum::<usize>());
        self.publish(writer, next);
        Ok(outcomes)
    }

    pub(crate) fn wipe(&self, writer: &mut Writer) -> Result<()> {
        let _entered = tracing::debug_span!("larder_redb::wipe").entered();
        self.ensure_open(writer)?;
        let counters =
            Counters { revision: writer.counters.revision + 1, entries: 0, parked: 0, ..writer.counters };
        let touched = Touched::everything(counters.revision);
        let changed = vec![counters.revision; writer.changed.len()];
        let mut next = Next { counters, changed, touched: vec![touched], freed: 0, noted: None };
        self.within(writer, &mut next, |transaction, next| {
            let mut table = empty(transaction)?;
            Ok(next.leave(&mut table)?)
        })?;
        for slot in self.catalog.slots() {
            slot.large.store(false, Ordering::Relaxed);
            slot.indexes.iter().for_each(|index| index.incomplete.store(false, Ordering::Relaxed));
        }
        self.publish(writer, next);
        Ok(())
    }

    /// Runs `change` in a transaction and makes it durable, unless it touched nothing.
    pub(crate) fn transact(
        &self,
        writer: &mut Writer,
        next: &mut Next,
        change: impl FnOnce(&mut Table<'_, Bytes, Bytes>, &mut Next) -> Result<()>,
    ) -> Result<()> {
        self.within(writer, next, |transaction, next| {
            let mut table = transaction.open_table(TABLE).map_err(Raw::from)?;
            change(&mut table, next)?;
            Ok(next.leave(&mut table)?)
        })
    }

    fn within(
        &self,
        writer: &mut Writer,
        next: &mut Next,
        change: impl FnOnce(&WriteTransaction, &mut Next) -> Result<()>,
    ) -> Result<()> {
        let database = writer.held.get()?;
        let result = contain(|| -> Result<()> {
            let mut transaction = database.begin_write().map_err(Raw::from)?;
            transaction.set_durability(Durability::Immediate).map_err(Raw::from)?;
            transaction.set_quick_repair(self.medium.quick_repair);
            change(&transaction, next)?;
            if next.touched.is_empty() {
                return Ok(transaction.abort().map_err(Raw::from)?);
            }
            Ok(transaction.commit().map_err(Raw::from)?)
        });
        writer.held.noted(result).map_err(|error| {
            tracing::warn!(%error, "a commit failed; the store reopens itself");
            writer.broken = true;
            writer.limbo = std::mem::take(&mut next.touched);
            error.during("commit")
        })
    }

    pub(crate) fn publish(&self, writer: &mut Writer, next: Next) {
        let Next { counters, changed, touched, freed, .. } = next;
        (writer.counters, writer.changed) = (counters, changed);
        writer.freed = writer.freed.saturating_add_signed(freed);
        if touched.is_empty() {
            return;
        }
        if let Err(error) = self.announce(writer, &touched) {
            tracing::warn!(%error, "what is durable can't be read; the store reopens itself with the next request");
        }
    }

    /// Shows readers what is durable now, and tells the observers.
    pub(crate) fn announce(&self, writer: &mut Writer, touched: &[Touched]) -> Result<()> {
        let observers = self.observers();
        tell(&observers, touched, |observer, touched| observer.durable(touched));
        let generation = writer.held.get().ok().map(|database| {
            contain(|| Ok::<_, Error>(Generation::of(database, writer.counters.revision, &writer.reader)?))
        });
        let generation = writer.held.noted(generation.transpose());
        writer.broken = generation.is_err();
        let generation = generation.map(|generation| generation.map(Arc::new));
        self.reads.store(generation.as_ref().ok().cloned().flatten());
        self.revision.store(writer.counters.revision, Ordering::Release);
        tell(&observers, touched, |observer, touched| {
            observer.published(touched);
        });
        generation.map(drop)
    }

    fn observers(&self) -> Vec<Arc<dyn CommitObserver>> {
        let mut observers = lock(&self.observers);
        observers.retain(|observer| observer.strong_count() > 0);
        observers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Reopens the database after an error. Readers of the generation before fail then, so it is retired first.
    ///
    /// # Errors
    /// What keeps it from being written to; reads go on then if they can.
    pub(crate) fn ensure_open(&self, writer: &mut Writer) -> Result<()> {
        if writer.held.is_open() && !writer.broken {
            return Ok(());
        }
        let _entered = tracing::info_span!("larder_redb::reopen").entered();
        self.shut(writer);
        writer.shadow = false;
        let Err(error) = self.open_again(writer, false) else { return Ok(()) };
        if error.kind() != ErrorKind::Corrupt
            && let Err(unread) = self.open_again(writer, true)
        {
            tracing::warn!(error = %unread, "the store can't be read either");
        }
        writer.shadow = writer.held.is_open();
        writer.broken = true;
        Err(error)
    }

    /// Makes the store readable again.
    ///
    /// # Errors
    /// What keeps it from being read.
    pub(crate) fn revive(&self, writer: &mut Writer) -> Result<()> {
        writer.broken |= writer.held.has_failed();
        match self.ensure_open(writer) {
            // A shadow is enough to read.
            Err(_) if writer.shadow => Ok(()),
            done => done,
        }
    }

    /// Opens the database, over a shadow if it is not to be written to.
    fn open_again(&self, writer: &mut Writer, shadow: bool) -> Result<()> {
        let held = contain(|| if shadow { self.medium.open_shadow() } else { self.medium.open() })?;
        let (counters, reports) = contain(|| upkeep::counters(held.get()?))?;
        if !shadow {
            self.medium.settle(&reports)?;
        }
        // It has been salvaged, whether or not that was told to be done.
        let is_another = reports.iter().any(|report| !lock(&self.reports).contains(report));
        if is_another {
            contain(|| self.take_over(held.get()?))?;
        }
        held.trust();
        writer.held = held;
        let mut touched = std::mem::take(&mut writer.limbo);
        if is_another {
            touched = vec![Touched::everything(counters.revision)];
            writer.changed.fill(counters.revision);
            self.suspected.store(false, Ordering::SeqCst);
        } else if counters.revision > writer.counters.revision {
            // The commit that failed was durable after all.
            writer.changed.fill(counters.revision);
        } else {
            touched.clear();
        }
        writer.counters = counters;
        *lock(&self.reports) = reports;
        self.announce(writer, &touched)
    }

    /// Gets to know another file than the one before.
    fn take_over(&self, database: &Database) -> Result<()> {
        let anew = upkeep::prepare(database, &self.schemas(), Writes::WhatIsDue)?.catalog;
        self.fits(&anew)?;
        for (slot, anew) in self.catalog.slots().iter().zip(anew.slots()) {
            slot.large.store(false, Ordering::Relaxed);
            for (index, anew) in slot.indexes.iter().zip(&anew.indexes) {
                index.incomplete.store(!anew.is_complete(), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    pub(crate) fn schemas(&self) -> Vec<&'static Schema> {
        self.catalog.slots().iter().map(|slot| slot.schema).collect()
    }
}

/// What the writer will know once a transaction is durable.
pub(crate) struct Next {
    pub(crate) counters: Counters,
    pub(crate) changed: Vec<u64>,
    pub(crate) touched: Vec<Touched>,
    /// How many more bytes of outbox entries it removes than it adds.
    pub(crate) freed: i64,
    /// The newest entry that the counters were noted behind, and what was noted.
    pub(crate) noted: Option<(u64, Counters)>,
}

impl Next {
    /// What the writer knows now.
    pub(crate) fn after(writer: &Writer) -> Self {
        let (counters, changed) = (writer.counters, writer.changed.clone());
        Self { counters, changed, touched: Vec::new(), freed: 0, noted: None }
    }

    /// Leaves the counters in the table, if anything was touched.
    fn leave(&self, table: &mut Table<'_, Bytes, Bytes>) -> Result<(), Raw> {
        if self.touched.is_empty() {
            return Ok(());
        }
        counters::write(table, self.counters, self.noted)
    }

    /// Something is noted down that is neither a row nor an entry.
    pub(crate) fn note(&mut self) {
        self.counters.revision += 1;
        self.touched.push(Touched::nothing(self.counters.revision));
    }
}

fn tell(
    observers: &[Arc<dyn CommitObserver>],
    touched: &[Touched],
    f: impl Fn(&dyn CommitObserver, &Touched),
) {
    for touched in touched {
        for observer in observers {
            // What is durable stays so, whatever an observer does.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| f(&**observer, touched))) {
                tracing::error!(error = %Error::from(Panicked::of(&*panic)).message(), "an observer panicked");
            }
        }
    }
}

/// Removes everything but what is noted down about models, shapes and indexes: by dropping the table, which costs less
/// than removing key by key. Gives the table anew.
fn empty(transaction: &WriteTransaction) -> Result<Table<'_, Bytes, Bytes>, Raw> {
    let table = transaction.open_table(TABLE)?;
    let mut kept = Vec::new();
    for pair in table.range::<&[u8]>(..[CURSORS].as_slice())? {
        let (key, value) = pair?;
        kept.push((key.value().to_vec(), value.value().to_vec()));
    }
    drop(table);
    transaction.delete_table(TABLE)?;
    let mut table = transaction.open_table(TABLE)?;
    for (key, value) in kept {
        table.insert(key.as_slice(), value.as_slice())?;
    }
    Ok(table)
}
