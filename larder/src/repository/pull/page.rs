//! A page on its way into the store: one transaction, in which its note stands as well, and no row that spoils another.

use std::collections::HashSet;
use std::sync::Arc;

use larder_core::association::reached;
use larder_core::{
    Brought, CommitOutcome, Entry, Error, ErrorKind, Expect, Key, Misfit, Op, Operation, PageRow, Result,
    RowState, Schema, StoredRow, Theirs, Timestamp,
};

use crate::changes::Touches;
use crate::engine::Event;
use crate::engine::rebase::Rebased;
use crate::repository::Repository;
use crate::repository::arrive::{Arrivals, Entering, Since};
use crate::repository::lookup::Above;

/// How many rows that could not be stored are kept to be tried again; more are counted.
const KEPT: usize = 1_000;

/// What pages that belong together have in common: when the remote was asked, and what has happened here since.
#[derive(Debug)]
pub(in crate::repository) struct Asked {
    /// When it was asked for the first of them.
    pub(in crate::repository) at: Timestamp,
    /// The revision of the store at that time.
    pub(in crate::repository) started: u64,
    /// How often the store had been wiped at that time.
    pub(in crate::repository) wipes: u64,
    /// Rows may have moved between the pages: one that did not come is not gone for that.
    pub(in crate::repository) unproven: bool,
    /// What was touched here since, by others.
    touches: Arc<Touches>,
    /// The revisions that storing the pages made.
    own: Vec<u64>,
}

/// What a remote gave.
#[derive(Debug, Default)]
pub(in crate::repository) struct Part {
    pub(in crate::repository) rows: Vec<PageRow>,
    pub(in crate::repository) deleted: Vec<Key>,
    pub(in crate::repository) misfits: Vec<Misfit>,
}

impl Part {
    /// Whether it is still to be found out which rows some of these, or of those that stood within them, refer to.
    pub(super) fn looks_up(&self) -> bool {
        let looks = |brought: &Brought| {
            !brought.lookups.is_empty() || brought.rows.iter().any(|row| !row.lookups.is_empty())
        };
        self.rows.iter().filter_map(|row| row.brought.as_deref()).any(looks)
    }
}

/// A row that could not be stored.
#[derive(Clone, Debug)]
pub(in crate::repository) struct Aside {
    pub(in crate::repository) schema: &'static Schema,
    pub(in crate::repository) key: Option<Key>,
    /// What may be tried again.
    row: Option<PageRow>,
    pub(in crate::repository) error: Arc<Error>,
}

/// The rows that could not be stored, up to a number.
#[derive(Debug, Default)]
pub(in crate::repository) struct Asides {
    pub(in crate::repository) rows: Vec<Aside>,
    /// How many there were beyond.
    pub(in crate::repository) more: u64,
}

impl Asides {
    /// Adds those of a page. What was set aside before of a row that the page tells of is dropped.
    pub(in crate::repository) fn add(&mut self, schema: &'static Schema, kept: &Kept) {
        if !self.rows.is_empty() {
            let told: HashSet<&Key> =
                kept.written.iter().chain(&kept.unchanged).chain(&kept.deleted).collect();
            let is_told = |key: &Key| told.contains(key);
            self.rows.retain(|aside| aside.schema != schema || !aside.key.as_ref().is_some_and(is_told));
        }
        for aside in &kept.asides {
            if self.rows.len() < KEPT { self.rows.push(aside.clone()) } else { self.more += 1 }
        }
    }

    pub(in crate::repository) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What became of a page.
#[derive(Debug, Default)]
pub(in crate::repository) struct Kept {
    /// Rows that are new, different or gone.
    pub(in crate::repository) changed: u64,
    /// Rows that have stayed as they are because they were written meanwhile, or what is pending for them was confirmed.
    pub(in crate::repository) left: Vec<Key>,
    /// Rows that could not be stored.
    pub(in crate::repository) asides: Vec<Aside>,
    /// The keys of the model that was asked for, of rows that came and were not written.
    pub(in crate::repository) unchanged: Vec<Key>,
    /// The keys of those that were.
    pub(in crate::repository) written: Vec<Key>,
    /// The keys of rows that are gone there.
    deleted: Vec<Key>,
}

/// A page that can be stored.
struct Ready<'a> {
    arrivals: &'a Arrivals,
    deleted: &'a [Key],
    /// The keys that came, of rows that can't be stored as well.
    came: &'a [Key],
    asides: &'a [Aside],
}

/// Makes the note that goes with a page out of what became of it.
pub(in crate::repository) type Note<'a> = &'a (dyn Fn(&Kept) -> Result<Vec<Op>> + Send + Sync);

impl Repository {
    /// The remote is about to be asked.
    pub(in crate::repository) fn asking(&self, schema: &'static Schema) -> Asked {
        let touches = self.shared.changes.touches(&reached(schema));
        let wipes = self.shared.changes.wipes();
        let (at, started) = (self.now(), self.shared.store.revision());
        Asked { at, started, wipes, unproven: false, touches, own: Vec::new() }
    }

    /// It is asked on, for what it was asked `at` that time, from the state `started`.
    pub(in crate::repository) fn asking_on(
        &self,
        schema: &'static Schema,
        at: Timestamp,
        started: u64,
    ) -> Asked {
        Asked { at, started, ..self.asking(schema) }
    }

    /// Stores a page in one transaction, with the rows that stood within its rows and with its note. What is
    /// queued for a row is put on what came; one that can't be stored is set aside, and the others are.
    pub(in crate::repository) async fn store_page(
        &self,
        schema: &'static Schema,
        part: Part,
        asked: &mut Asked,
        above: &Above,
        note: Note<'_>,
    ) -> Result<Kept> {
        let part = self.looked_up(schema, part, above).await?;
        let misfit = |misfit: Misfit| Aside { schema, key: misfit.key, row: None, error: misfit.error };
        let mut asides: Vec<Aside> = part.misfits.into_iter().map(misfit).collect();
        let (mut arrivals, mut came) = (Arrivals::default(), Vec::with_capacity(part.rows.len()));
        came.extend(asides.iter().filter_map(|aside| aside.key.clone()));
        for row in part.rows {
            match schema.key_of(&*row.row) {
                Ok(key) => {
                    came.push(key.clone());
                    arrivals.add(schema, key, row);
                }
                Err(error) => {
                    let error = Arc::new(error.model(schema.model));
                    asides.push(Aside { schema, key: None, row: None, error });
                }
            }
        }
        loop {
            let page = Ready { arrivals: &arrivals, deleted: &part.deleted, came: &came, asides: &asides };
            match self.try_page(schema, &page, asked, note).await {
                Ok(Some(kept)) => return Ok(kept),
                Ok(None) => {}
                Err(error) if stands_aside(&error) => {
                    let Some((schema, key, row)) = arrivals.take_out(&error) else { return Err(error) };
                    asides.push(Aside { schema, key: Some(key), row, error: Arc::new(error) });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One attempt; `None` if a row has moved meanwhile.
    async fn try_page(
        &self,
        schema: &'static Schema,
        page: &Ready<'_>,
        asked: &mut Asked,
        note: Note<'_>,
    ) -> Result<Option<Kept>> {
        let acts = &self.remote()?.acts;
        let since = Since {
            revision: asked.started,
            own: &asked.own,
            touches: Some(&asked.touches),
            now: self.now(),
        };
        let (cx, mut alone) = (self.cx(), None);
        let mut entering = loop {
            match page.arrivals.enter(acts, &cx, since, alone.is_some()).await? {
                Some(entering) => break entering,
                None => alone = Some(acts.marking.lock().await),
            }
        };
        let left = std::mem::take(&mut entering.left);
        let (asides, deleted) = (page.asides.to_vec(), page.deleted.to_vec());
        let mut kept = Kept { left, asides, deleted, ..Kept::default() };
        for key in page.deleted {
            match acts.store.load(&cx, schema, key).await? {
                Some(stored) if stored.meta.tail != 0 => {
                    if asked.touches.is_confirmed(schema, key) {
                        kept.left.push(key.clone());
                        continue;
                    }
                    if alone.is_none() {
                        alone = Some(acts.marking.lock().await);
                    }
                    if let Some(rebased) = self.gone_there(schema, key, &stored).await? {
                        entering.take(rebased);
                    }
                }
                Some(stored) if asked.may_go(&stored) => {
                    let revision = stored.meta.revision;
                    entering.batch.expect.push(Expect::Row { schema, key: key.clone(), revision });
                    entering.batch.ops.push(Op::Remove { schema, key: key.clone() });
                    entering.changed += 1;
                }
                // Whether it was written before it was deleted or after that, only the remote can tell.
                Some(stored) if asked.is_newer(&stored) => kept.left.push(key.clone()),
                _ => {}
            }
        }
        let Entering { mut batch, changed, rebased, .. } = entering;
        kept.changed = changed;
        let touched: Vec<(&'static Schema, Key)> = batch.ops.iter().filter_map(row_of).collect();
        let own = touched.iter().filter(|(of, _)| *of == schema);
        kept.written = own.map(|(_, key)| key.clone()).collect();
        kept.written.sort_unstable();
        let unchanged = page.came.iter().filter(|key| kept.written.binary_search(key).is_err());
        kept.unchanged = unchanged.cloned().collect();
        batch.ops.extend(note(&kept)?);
        if batch.ops.is_empty() {
            return Ok(Some(kept));
        }
        let _telling = self.shared.fates.telling();
        match self.commit_fetched(batch, asked.wipes).await? {
            CommitOutcome::Committed(committed) => {
                asked.own.push(committed.revision);
                let touched = touched.iter().map(|(schema, key)| (*schema, key));
                asked.touches.forget(committed.revision, touched);
                self.tell_rebased(&rebased)?;
                Ok(Some(kept))
            }
            CommitOutcome::Stale => Ok(None),
        }
    }

    /// What is queued for a row that is gone at the remote, put on that. To be committed while
    /// [`marking`](crate::driver::Acts::marking) is held.
    pub(in crate::repository) async fn gone_there(
        &self,
        schema: &'static Schema,
        key: &Key,
        stored: &StoredRow,
    ) -> Result<Option<Rebased>> {
        let gone = Theirs { row: None, version: None, extra: None, at: self.now() };
        // What is still to be created was not there before either.
        let heard = |first: &Entry| Ok((first.operation != Operation::Insert).then_some(gone));
        self.remote()?.acts.heard_of(schema, key, stored, heard).await
    }

    /// Tells whoever has to know what became of queued mutations.
    pub(in crate::repository) fn tell_rebased(&self, rebased: &[Rebased]) -> Result<()> {
        let remote = self.remote()?;
        for rebased in rebased {
            remote.driver.tell(Event::Rebased(remote.acts.tell(rebased)));
        }
        Ok(())
    }

    /// The page with the references of its rows looked up, unless they are already. Where that fails for the page, each
    /// row is looked at by itself, and one that can't be read so is no row of the page any more.
    pub(super) async fn looked_up(
        &self,
        schema: &'static Schema,
        mut part: Part,
        above: &Above,
    ) -> Result<Part> {
        if !part.looks_up() {
            return Ok(part);
        }
        let before = part.rows.clone();
        match self.look_up(schema, &mut part.rows, above).await {
            Ok(()) => return Ok(part),
            Err(error) if stands_aside(&error) && !above.is_nested() => {}
            Err(error) => return Err(error),
        }
        part.rows.clear();
        for row in before {
            let mut one = vec![row];
            match self.look_up(schema, &mut one, above).await {
                Ok(()) => part.rows.append(&mut one),
                Err(error) if stands_aside(&error) => {
                    let key = one.first().and_then(|row| schema.key_of(&*row.row).ok());
                    part.misfits.push(Misfit { key, error: Arc::new(error) });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(part)
    }

    /// Tries the rows again that could not be stored, together: what stood in the way of one may have come after it, or
    /// be one of the others. Gives how many can be now.
    pub(in crate::repository) async fn try_again(
        &self,
        schema: &'static Schema,
        asides: &mut Asides,
        asked: &mut Asked,
    ) -> Result<u64> {
        let (again, still): (Vec<Aside>, Vec<Aside>) =
            std::mem::take(&mut asides.rows).into_iter().partition(|aside| aside.row.is_some());
        asides.rows = still;
        if again.is_empty() {
            return Ok(0);
        }
        let rows = again.into_iter().filter_map(|aside| aside.row).collect();
        let part = Part { rows, ..Part::default() };
        let kept = self.store_page(schema, part, asked, &Above::default(), &|_| Ok(Vec::new())).await?;
        asides.rows.extend(kept.asides);
        Ok(kept.changed)
    }
}

impl Asked {
    /// Whether a row that the remote does not have goes: nothing is pending for it, it was not kept here by choice, and
    /// not written since.
    fn may_go(&self, stored: &StoredRow) -> bool {
        stored.meta.tail == 0 && stored.meta.sync.state == RowState::Synced && !self.is_newer(stored)
    }

    /// Whether a row was written since, and not by the fetch itself.
    fn is_newer(&self, stored: &StoredRow) -> bool {
        stored.meta.revision > self.started && self.own.binary_search(&stored.meta.revision).is_err()
    }
}

/// Whether an error is one row's alone.
fn stands_aside(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Serialization | ErrorKind::Invalid | ErrorKind::Conflict)
}

fn row_of(op: &Op) -> Option<(&'static Schema, Key)> {
    match op {
        Op::Put { schema, key, .. } | Op::Tombstone { schema, key, .. } | Op::Remove { schema, key } => {
            Some((schema, key.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parcel;

    // Rules: s-aside
    #[test]
    fn what_was_set_aside_is_dropped_once_a_page_tells_of_the_row_again_whatever_it_tells() {
        let (schema, key) = (parcel::schema(), Key::from("1"));
        let error = Arc::new(Error::new(ErrorKind::Invalid, "another row has that"));
        let aside = Aside { schema, key: Some(key.clone()), row: None, error };
        let first = Kept { asides: vec![aside], ..Kept::default() };
        let another = Kept { written: vec![Key::from("2")], ..Kept::default() };
        let keys = vec![key];
        for told in [
            Kept { written: keys.clone(), ..Kept::default() },
            Kept { unchanged: keys.clone(), ..Kept::default() },
            Kept { deleted: keys, ..Kept::default() },
        ] {
            let mut asides = Asides::default();
            asides.add(schema, &first);
            asides.add(schema, &another);
            assert_eq!(asides.rows.len(), 1, "of another row");
            asides.add(schema, &told);
            assert!(asides.is_empty(), "{told:?}");
        }
    }
}
