//! What a turn of the writer does beside writing: it looks whether the store is sound, begins anew with what verifies,
//! and gives space back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use larder_core::{Damage, Error, ErrorKind, Finding, FindingKind, Integrity, Result, StoreSize};
use redb::StorageError;

use crate::catalog::Catalog;
use crate::check;
use crate::codec;
use crate::commit::{Next, Writer};
use crate::config::OnCorrupt;
use crate::error::{Raw, contain};
use crate::pages::{Pages, Slot, Walked};
use crate::quarantine;
use crate::reads::{Generation, Halt, Watch};
use crate::reports::Report;
use crate::salvage::{Known, no_place};
use crate::writer::{Cause, Job, Shared, lock};

/// How long a compaction waits for those who are reading.
const READERS: Duration = Duration::from_secs(30);

/// One committed state, as readers see it and as it lies on the medium.
pub(crate) struct Snapshot {
    pub(crate) generation: Arc<Generation>,
    pages: Option<(Pages, Slot)>,
    /// What was found of redb's own pages.
    own: Integrity,
}

impl Snapshot {
    /// Looks at all of it.
    ///
    /// # Errors
    /// Whatever ends the reading.
    pub(crate) fn check(&self, catalog: &Catalog, watch: &Watch) -> Result<Integrity, Halt> {
        let mut found = self.own.clone();
        if let Some((pages, slot)) = &self.pages {
            note_pages(&mut found, pages.verify_rows(slot))?;
        }
        check::records(&self.generation, catalog, watch, &mut found)?;
        Ok(found)
    }
}

/// # Errors
/// `Storage` if pages can't be read: those are not damaged.
fn note_pages(found: &mut Integrity, walked: Walked) -> Result<()> {
    let walked = walked.whole().map_err(|error| Raw::from(StorageError::Io(error)))?;
    found.pages += walked.sound + walked.damaged;
    for _ in 0..walked.damaged {
        let message = "a page is not as it was written: whatever lay on it may be missing".to_owned();
        found.note(Finding { kind: FindingKind::Page, model: None, key: None, message });
    }
    Ok(())
}

impl Shared {
    /// The newest committed state.
    pub(crate) fn snapshot(&self, writer: &mut Writer) -> Result<Snapshot> {
        self.ensure_open(writer)?;
        let generation = self.reads.load_full();
        let generation = generation.ok_or_else(|| Error::new(ErrorKind::Storage, "the store is closed"))?;
        let mut own = Integrity::default();
        // A medium that can't be read a second time is checked by its records alone.
        let pages = self.medium.backend().ok().and_then(|medium| Pages::open(medium).ok().flatten());
        let pages = pages.and_then(|pages| pages.current.map(|slot| (pages, slot)));
        if let Some((pages, slot)) = &pages {
            note_pages(&mut own, pages.verify_own(slot))?;
        }
        Ok(Snapshot { generation, pages, own })
    }

    /// Takes note of an error that is about to be given to a caller.
    pub(crate) fn noted<T>(self: &Arc<Self>, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.suspect(error);
        }
        result
    }

    /// Notes that something was found damaged; a store that mends itself looks at all of it then, once.
    pub(crate) fn suspect(self: &Arc<Self>, error: &Error) {
        if error.kind() != ErrorKind::Corrupt {
            return;
        }
        let is_first = !self.suspected.swap(true, Ordering::SeqCst);
        if is_first && self.medium.on_corrupt == OnCorrupt::Salvage && self.medium.path.is_some() {
            // A store that is being closed is looked at when it is opened again.
            drop(self.submit(Job::Mend(Cause::Met(error.duplicate()), None)));
        }
    }

    /// Begins anew with what verifies, if anything is damaged; with what can be read, where that was decided and is asked for.
    pub(crate) fn mend(&self, writer: &mut Writer, cause: &Cause) -> Result<Option<Damage>> {
        let Some(path) = self.medium.path.clone() else { return Err(no_place()) };
        let look = |writer: &mut Writer| {
            let snapshot = self.snapshot(writer).map_err(Halt::from);
            snapshot.and_then(|snapshot| snapshot.check(&self.catalog, &Watch::none(&self.runtime)))
        };
        let gives_up = self.medium.gives_up && matches!(cause, Cause::Asked);
        let is_unread = |error: &Error| gives_up && error.kind() == ErrorKind::Storage;
        let mut looked = look(writer);
        if looked.as_ref().is_err_and(|halt| match halt {
            Halt::Closed => true,
            Halt::Failed(error) => is_unread(error),
        }) {
            // A read that failed has closed it, which says nothing of what is there.
            writer.broken = true;
            looked = look(writer);
        }
        let cause = match (looked, cause) {
            (Ok(found), _) if found.is_sound() => return Ok(None),
            (Err(Halt::Failed(error)), _) if is_unread(&error) => error,
            (Err(Halt::Failed(error)), _) if error.kind() != ErrorKind::Corrupt => return Err(error),
            (_, Cause::Met(met)) => met.duplicate(),
            (Ok(found), Cause::Asked) => found.findings.first().map_or_else(asked, codec::damaged_by),
            (Err(_), Cause::Asked) => asked(),
        };
        let known = Known {
            notes: Some(self.notes.clone()),
            counters: Some(writer.counters),
            now: self.runtime.now(),
            schemas: self.schemas(),
            reports: Some(lock(&self.reports).clone()),
            gives_up,
            ..Known::default()
        };
        let newest = || lock(&self.reports).last().map(|report| report.damage.clone());
        let before = newest();
        // It goes aside as it is.
        writer.held.doubt();
        self.shut(writer);
        let fits = |catalog: &Catalog| self.fits(catalog);
        let salvaged = contain(|| {
            let _held = quarantine::hold(&*self.medium.files, &path)?;
            quarantine::salvage(&*self.medium.files, &path, known, &cause, &fits)
        });
        // Whatever lies there now is opened: what was salvaged, or what can be read of the damaged file.
        let opened = self.ensure_open(writer);
        match salvaged {
            // The last step was done and not durable, and is durable now.
            Err(_) if opened.is_ok() && newest() != before => Ok(newest()),
            Err(error) => {
                tracing::error!(%error, "the store is damaged and can't be salvaged now");
                Err(error.during("salvage"))
            }
            Ok(damage) => opened.map(|()| Some(damage)).map_err(|error| error.during("salvage")),
        }
    }

    /// # Errors
    /// `Storage` if a file that was salvaged can't take the place of the one that is open.
    pub(crate) fn fits(&self, catalog: &Catalog) -> Result<()> {
        if self.catalog.agrees(catalog) {
            return Ok(());
        }
        let message = "what is salvaged has other numbers than before: open the store again";
        Err(Error::new(ErrorKind::Storage, message))
    }

    /// Forgets a report.
    pub(crate) fn acknowledge(&self, writer: &mut Writer, damage: &Damage) -> Result<()> {
        self.ensure_open(writer)?;
        let is_it = |report: &Report| report.damage == *damage;
        let places: Vec<_> = lock(&self.reports).iter().filter(|it| is_it(it)).map(Report::place).collect();
        let mut next = Next::after(writer);
        self.transact(writer, &mut next, |table, next| {
            for place in &places {
                table.remove(place.as_slice()).map_err(Raw::from)?;
                next.note();
            }
            Ok(())
        })?;
        self.publish(writer, next);
        lock(&self.reports).retain(|report| !is_it(report));
        Ok(())
    }

    /// Gives space back, with nobody reading.
    pub(crate) fn compact(&self, writer: &mut Writer) -> Result<StoreSize> {
        let _entered = tracing::info_span!("larder_redb::compact").entered();
        self.ensure_open(writer)?;
        self.reads.store(None);
        let done = self.alone(writer).and_then(|()| {
            self.look_at_pages()?;
            writer.freed = 0;
            let database = writer.held.get_mut()?;
            contain(|| {
                database.compact().map(drop).map_err(|error| match error {
                    redb::CompactionError::Storage(error) => Raw::from(error).into(),
                    other => Error::new(ErrorKind::Storage, other.to_string()),
                })
            })
        });
        let done = writer.held.noted(done);
        if let Err(error) = &done {
            tracing::warn!(%error, "space can't be given back now; the store reopens itself with the next write");
            writer.broken = true;
        }
        let republished = if writer.broken { self.ensure_open(writer) } else { self.announce(writer, &[]) };
        done?;
        republished?;
        Ok(StoreSize { bytes: self.medium.size()? })
    }

    /// Verifies every page: giving space back moves pages, and those that are damaged must not lead it astray.
    ///
    /// # Errors
    /// `Corrupt`.
    fn look_at_pages(&self) -> Result<()> {
        let pages = self.medium.backend().ok().and_then(|medium| Pages::open(medium).ok().flatten());
        let walked = pages.and_then(|pages| Some(pages.verify(&pages.current?)));
        match walked {
            Some(walked) if walked.damaged > walked.unread => {
                let message = format!("{} pages are damaged: salvage the store", walked.damaged);
                Err(Error::new(ErrorKind::Corrupt, message))
            }
            _ => Ok(()),
        }
    }

    /// Waits until nobody reads any more.
    fn alone(&self, writer: &mut Writer) -> Result<()> {
        let (reader, readers) = mpsc::channel();
        writer.reader = reader;
        match std::mem::replace(&mut writer.readers, readers).recv_timeout(READERS) {
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            _ => Err(Error::new(ErrorKind::Storage, "rows are being read: give space back later")),
        }
    }

    /// True if so much of the outbox has gone that giving its space back is worth it: it is empty, and when it had the most
    /// it took more than the configured size and a quarter of the file. What comes and goes one by one takes the same
    /// space again and again, and leaves none to give back.
    pub(crate) fn is_due(&self, writer: &Writer) -> bool {
        writer.freed >= self.medium.compact_above
            && writer.counters.entries == 0
            && !writer.broken
            && writer.held.is_open()
            && self.medium.size().is_ok_and(|size| writer.freed >= size / 4)
    }
}

/// The cause of a salvage of which nothing is known but that it was asked for.
#[cold]
fn asked() -> Error {
    Error::new(ErrorKind::Invalid, "a check was asked for")
}
