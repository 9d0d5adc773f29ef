//! The last changes of each model, up to a number, for those who ask what has changed and for those who listen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures_util::stream::{BoxStream, StreamExt, poll_fn};
use larder_core::{Change, Changed, DeltaPage, Key, Meta, PageRow, Result, Row, Schema};

/// What has changed, and who waits for more.
#[derive(Debug)]
pub(crate) struct Feed {
    logs: Mutex<Logs>,
    capacity: usize,
}

#[derive(Debug)]
struct Logs {
    models: BTreeMap<&'static str, Log>,
    waiting: Vec<Waker>,
    /// Distinguishes positions of this store from those of another, or of before a wipe.
    epoch: i128,
    closed: bool,
}

/// The last changes of a model.
#[derive(Debug, Default)]
struct Log {
    /// The position of the first of them: so many were forgotten.
    first: u64,
    changes: VecDeque<(Key, Option<PageRow>)>,
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    /// The changes from `position` on; `None` if some of them are forgotten, or it is no position of this log.
    fn after(&self, position: u64) -> Option<impl Iterator<Item = &(Key, Option<PageRow>)>> {
        let passed = usize::try_from(position.checked_sub(self.first)?).ok()?;
        (passed <= self.changes.len()).then(|| self.changes.range(passed..))
    }
}

/// A place in the changes of a model, or in the enumeration of its rows that comes before them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) epoch: i128,
    pub(crate) position: u64,
    /// The last row that was enumerated.
    pub(crate) after: Option<Key>,
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (epoch, position) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let after = parts.next().map(serde_json::from_str).transpose().ok()?;
        Some(Self { epoch, position, after })
    }

    pub(crate) fn write(&self) -> String {
        let Self { epoch, position, after } = self;
        match after {
            None => format!("{epoch}/{position}"),
            // A key has no form that JSON could not express.
            Some(key) => format!("{epoch}/{position}/{}", serde_json::to_string(key).unwrap_or_default()),
        }
    }
}

impl Feed {
    pub(crate) fn new(schemas: &[&'static Schema], epoch: i128, capacity: usize) -> Arc<Self> {
        let models = schemas.iter().map(|schema| (schema.model, Log::default())).collect();
        let logs = Logs { models, waiting: Vec::new(), epoch, closed: false };
        Arc::new(Self { logs: Mutex::new(logs), capacity })
    }

    fn logs(&self) -> MutexGuard<'_, Logs> {
        // Nothing panics while it is held.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds changes of a model, and wakes those who listen.
    pub(crate) fn add<'a>(
        &self,
        model: &'static str,
        changes: impl Iterator<Item = (&'a Key, Option<(&'a Meta, &'a Arc<dyn Row>)>)>,
    ) {
        let mut logs = self.logs();
        let Some(log) = logs.models.get_mut(model) else { return };
        for (key, row) in changes {
            let row = row.map(|(meta, row)| PageRow::new(meta.clone(), Arc::clone(row)));
            log.changes.push_back((key.clone(), row));
            if log.changes.len() > self.capacity {
                log.changes.pop_front();
                log.first += 1;
            }
        }
        let waiting = std::mem::take(&mut logs.waiting);
        drop(logs);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Everything is gone: no position of before is one any more.
    pub(crate) fn wipe(&self) {
        let mut logs = self.logs();
        logs.epoch += 1;
        for log in logs.models.values_mut() {
            *log = Log { first: log.end(), ..Log::default() };
        }
        let waiting = std::mem::take(&mut logs.waiting);
        drop(logs);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Nothing comes any more.
    pub(crate) fn close(&self) {
        let mut logs = self.logs();
        logs.closed = true;
        let waiting = std::mem::take(&mut logs.waiting);
        drop(logs);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The end of the changes so far.
    pub(crate) fn end(&self, model: &str) -> Place {
        let logs = self.logs();
        let position = logs.models.get(model).map_or(0, Log::end);
        Place { epoch: logs.epoch, position, after: None }
    }

    /// The place that a cursor names; `None` if what came after it is forgotten.
    pub(crate) fn place(&self, model: &str, cursor: &str) -> Option<Place> {
        let logs = self.logs();
        let place = Place::read(cursor).filter(|place| place.epoch == logs.epoch)?;
        let known = logs.models.get(model)?.after(place.position).is_some();
        known.then_some(place)
    }

    /// The changes from a place on, at most `limit`; `None` if they are forgotten.
    pub(crate) fn page(&self, model: &str, place: &Place, limit: usize) -> Option<DeltaPage> {
        let logs = self.logs();
        let log = logs.models.get(model)?;
        let mut last: BTreeMap<&Key, Option<&PageRow>> = BTreeMap::new();
        let mut read = 0;
        for (key, row) in log.after(place.position)?.take(limit) {
            last.insert(key, row.as_ref());
            read += 1;
        }
        let position = place.position + read;
        let mut page = DeltaPage {
            cursor: Place { position, after: None, epoch: place.epoch }.write(),
            more: position < log.end(),
            steady: true,
            ..DeltaPage::default()
        };
        for (key, row) in last {
            match row {
                Some(row) => page.rows.push(row.clone()),
                None => page.deleted.push(key.clone()),
            }
        }
        Some(page)
    }

    /// The changes as they happen, from a cursor on.
    pub(crate) fn listen(
        self: &Arc<Self>,
        model: &'static str,
        from: Option<&str>,
    ) -> BoxStream<'static, Result<Change>> {
        let feed = Arc::clone(self);
        let mut place = match from {
            None => Some(self.end(model)),
            Some(cursor) => self.place(model, cursor),
        };
        poll_fn(move |cx| {
            let mut logs = feed.logs();
            let Logs { models, waiting, epoch, closed } = &mut *logs;
            let Some(log) = models.get(model) else { return Poll::Ready(None) };
            let known = place.take_if(|place| place.epoch == *epoch);
            let next =
                known.map(|place| (place.position, log.after(place.position).map(|mut next| next.next())));
            let (position, what) = match next {
                Some((position, Some(Some((key, row))))) => {
                    let what = row.clone().map_or_else(|| Changed::Deleted(key.clone()), Changed::Row);
                    (position + 1, what)
                }
                Some((position, Some(None))) => {
                    place = Some(Place { epoch: *epoch, position, after: None });
                    if *closed {
                        return Poll::Ready(None);
                    }
                    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                        waiting.push(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                // What came in between is forgotten.
                Some((_, None)) | None => (log.end(), Changed::Hint),
            };
            let here = Place { epoch: *epoch, position, after: None };
            let position = Some(here.write());
            place = Some(here);
            Poll::Ready(Some(Ok(Change { position, what })))
        })
        .boxed()
    }
}
