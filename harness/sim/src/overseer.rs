//! What must hold whatever the application is, looked at after each commit of a device.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

use larder_core::{
    CommitObserver, Entry, EntryState, Error, Idempotency, Key, Mutation, MutationId, Operation, PageRow,
    ParkReason, Request, Row, RowState, Schema, Store, StoredRow, Touched, Value,
};

use crate::errand::{Host, MODEL};
use crate::kernel::lock;
use crate::server::Running;

/// A row of some model.
type Place = (&'static str, Key);

/// A rule that did not hold, and how.
pub(crate) type Broken = (&'static str, String);

/// How many pages that came are remembered.
const PAGES: usize = 64;

/// What is known of every device.
#[derive(Debug)]
pub(crate) struct Overseer {
    pub(crate) schemas: Vec<&'static Schema>,
    devices: Vec<Known>,
    /// Devices whose store has committed since somebody looked.
    stirred: Arc<Mutex<Vec<(usize, Touched)>>>,
}

/// What is known of a device.
#[derive(Debug, Default)]
struct Known {
    watcher: Option<Arc<Watcher>>,
    /// Every entry that was seen in its outbox, by id.
    ids: BTreeMap<MutationId, u64>,
    /// What stands in its outbox.
    queued: BTreeMap<u64, Queued>,
    /// The server's version of each row as it was last seen here, and whether the row is here.
    versions: BTreeMap<Place, (u64, bool)>,
    pages: Vec<Came>,
    /// Rows with their versions that were pushed.
    pushed: BTreeSet<(Place, u64)>,
    /// Fetches that go on, by the token of their next page: the revision of the device's store when they began.
    fetches: BTreeMap<String, u64>,
    /// Rows that the device asked the server about, by key.
    asked: BTreeSet<Place>,
    /// Mutations that may have arrived.
    sent: BTreeSet<MutationId>,
    /// How often the server has failed it in a way that counts.
    failures: u32,
    /// The sequence number of the last mutation of each row that had its effect.
    done: BTreeMap<Place, u64>,
    /// Requests of the simulation that were kept.
    kept: BTreeSet<MutationId>,
}

#[derive(Clone, Debug)]
struct Queued {
    id: MutationId,
    carries: Vec<MutationId>,
    place: Place,
    /// What goes in order with it: its row, or the lane of a request.
    lane: Place,
    marked: bool,
    parked: bool,
}

/// Rows that come to a device.
pub(crate) struct Arrival<'a> {
    pub(crate) rows: &'a [PageRow],
    /// The key that it asked about.
    pub(crate) key: Option<&'a Key>,
    /// Which part of an answer it asked for.
    pub(crate) resumed: Option<&'a str>,
    /// Where the answer goes on.
    pub(crate) next: Option<&'a str>,
}

/// A page that came to a device.
#[derive(Debug)]
struct Came {
    rows: Vec<(Place, u64)>,
    /// The revision of the device's store when the first page of the answer was asked for.
    since: u64,
}

#[derive(Debug)]
struct Watcher {
    device: usize,
    stirred: Arc<Mutex<Vec<(usize, Touched)>>>,
}

impl CommitObserver for Watcher {
    fn durable(&self, _: &Touched) {}

    fn published(&self, touched: &Touched) {
        lock(&self.stirred).push((self.device, touched.clone()));
    }
}

impl Overseer {
    pub(crate) fn new(devices: usize) -> Self {
        let mut known = Vec::new();
        known.resize_with(devices, Known::default);
        Self { schemas: Vec::new(), devices: known, stirred: Arc::default() }
    }

    /// Who is told of the commits of a device.
    pub(crate) fn watcher(&mut self, device: usize) -> Weak<dyn CommitObserver> {
        let watcher = Arc::new(Watcher { device, stirred: Arc::clone(&self.stirred) });
        self.devices[device].watcher = Some(Arc::clone(&watcher));
        // Of the last commit of a life that ended with it nobody has heard.
        let found = Touched { outbox: true, ..Touched::nothing(0) };
        lock(&self.stirred).push((device, found));
        let watcher: Arc<dyn CommitObserver> = watcher;
        Arc::downgrade(&watcher)
    }

    /// What came to a life is gone with it.
    pub(crate) fn died(&mut self, device: usize) {
        self.devices[device].pages.clear();
    }

    /// Commits since somebody looked.
    pub(crate) fn stirred(&self) -> Vec<(usize, Touched)> {
        std::mem::take(&mut lock(&self.stirred))
    }

    /// A page came to a device.
    pub(crate) fn came(&mut self, device: usize, schema: &'static Schema, arrival: &Arrival<'_>, now: u64) {
        let known = &mut self.devices[device];
        // What was written here since the first page was asked for is newer than any of them.
        let since = arrival.resumed.and_then(|token| known.fetches.get(token)).copied().unwrap_or(now);
        if let Some(next) = arrival.next {
            known.fetches.insert(next.to_owned(), since);
        }
        if let Some(key) = arrival.key {
            known.asked.insert((schema.model, key.clone()));
        }
        let row = |row: &PageRow| {
            let version = version_of(row.meta.version.as_deref())?;
            Some(((schema.model, schema.key_of(&*row.row).ok()?), version))
        };
        known.remember(Came { rows: arrival.rows.iter().filter_map(row).collect(), since });
    }

    /// A row was pushed to a device. An answer that was given later may have come before it, and nobody can tell.
    pub(crate) fn pushed(&mut self, device: usize, schema: &'static Schema, row: &PageRow) {
        let known = &mut self.devices[device];
        if let (Some(version), Ok(key)) = (version_of(row.meta.version.as_deref()), schema.key_of(&*row.row))
        {
            known.pushed.insert(((schema.model, key.clone()), version));
            known.remember(Came { rows: vec![((schema.model, key), version)], since: u64::MAX });
        }
    }

    /// A device sends a mutation; says so if it must not.
    pub(crate) fn sends(
        &mut self,
        device: usize,
        mutation: &Mutation,
        declared: Idempotency,
    ) -> Option<String> {
        let known = &mut self.devices[device];
        let again = !known.sent.insert(mutation.id);
        let blind = again && declared == Idempotency::AtMostOnce;
        blind.then(|| format!("device {device} repeats {} {}", mutation.schema.model, mutation.key))
    }

    /// A device sends a request that is no model; says so if it must not.
    pub(crate) fn requests(&mut self, device: usize, request: &Request) -> Option<String> {
        let again = !self.devices[device].sent.insert(request.id);
        let blind = again && !request.is_safe() && request.idempotency == Idempotency::AtMostOnce;
        blind.then(|| format!("device {device} repeats {} {}", request.method, request.target))
    }

    /// A device has kept a request of the simulation.
    pub(crate) fn keeps(&mut self, device: usize, id: MutationId) {
        self.devices[device].kept.insert(id);
    }

    /// The user of a device has given a request up.
    pub(crate) fn gives_up(&mut self, device: usize, id: MutationId) {
        self.devices[device].kept.remove(&id);
    }

    /// Requests that a device has kept, and that neither reached the server nor wait.
    pub(crate) fn lost(&self, device: usize, server: &Running) -> usize {
        let (known, ledger) = (&self.devices[device], lock(&server.ledger));
        let waits = |id: &MutationId| known.queued.values().any(|queued| queued.id == *id);
        let reached = |id: &MutationId| ledger.effects.contains_key(id) || ledger.refused.contains(id);
        known.kept.iter().filter(|id| !reached(id) && !waits(id)).count()
    }

    /// A request of a device came to nothing.
    pub(crate) fn came_back(&mut self, device: usize, error: &Error) {
        let put_off = matches!(error.status(), None | Some(401 | 408 | 425 | 429 | 502 | 503 | 504 | 511));
        self.devices[device].failures += u32::from(error.is_transient() && !put_off);
    }

    /// What a device has sent did not arrive, and it knows.
    pub(crate) fn came_to_nothing(&mut self, device: usize, id: MutationId) {
        self.devices[device].sent.remove(&id);
    }

    /// What the server did since somebody looked.
    pub(crate) fn server_did(&mut self, server: &Running) -> Result<(), Broken> {
        let (fresh, orphans) = {
            let mut ledger = lock(&server.ledger);
            (std::mem::take(&mut ledger.fresh), std::mem::take(&mut ledger.orphans))
        };
        for (device, id, missing) in orphans {
            let known = &self.devices[device];
            let earlier = |seq: &u64| {
                known
                    .queued
                    .iter()
                    .any(|(other, queued)| other < seq && queued.place == missing && !queued.parked)
            };
            if known.ids.get(&id).is_some_and(earlier) {
                let (model, key) = missing;
                let what =
                    format!("device {device} sends what refers to {model} {key} before it has sent that");
                return Err(("what is referred to comes first", what));
            }
        }
        for effect in fresh {
            let known = &mut self.devices[effect.device];
            let who = format!("device {}: {} {}", effect.device, effect.model, effect.key);
            if effect.times > 1 && effect.exact {
                return Err(("nothing is applied twice", format!("{who}, {} times", effect.times)));
            }
            let seq = known.ids.get(&effect.id).copied();
            if seq.is_none() && effect.repeated {
                let what = format!("{who} is repeated under another idempotency key");
                return Err(("nothing is applied twice", what));
            }
            let (Some(seq), 1) = (seq, effect.times) else { continue };
            // One that is not queued any more was given up, or settled by what the server said of the row, while a request
            // of it was still on its way: nobody can call that back.
            let Some(queued) = known.queued.get(&seq) else { continue };
            let last = known.done.entry(queued.lane.clone()).or_default();
            if *last > seq {
                let what = format!("{who}: mutation {seq} has its effect after mutation {last}");
                return Err(("order within a key", what));
            }
            *last = seq;
        }
        Ok(())
    }

    /// What a commit of a device came to.
    pub(crate) fn committed(
        &mut self,
        device: usize,
        touched: &Touched,
        store: &dyn Store,
        server: &Running,
    ) -> Result<(), Broken> {
        let known = &mut self.devices[device];
        if touched.wiped {
            *known = Known { watcher: known.watcher.take(), ..Known::default() };
            return Ok(());
        }
        let unreadable = |error: larder_core::Error| ("the store can be read", error.to_string());
        let entries = entries(store).map_err(unreadable)?;
        known.outbox_changed(device, &entries, server)?;
        let mut rows = BTreeMap::new();
        for (schema, key) in &touched.rows {
            let stored = pollster::block_on(store.load(&cx(), schema, key)).map_err(unreadable)?;
            // A request has its body in the row alone.
            if schema.model != MODEL {
                shows_what_is_pending(device, schema, key, stored.as_ref(), &entries)?;
            }
            known.stays(device, schema, key, stored.as_ref(), server)?;
            known.goes_on(device, (schema.model, key.clone()), stored.as_ref())?;
            rows.insert((schema.model, key.clone()), stored);
        }
        if !touched.outbox {
            known.whole_pages(device, &rows, &self.schemas, store)?;
        }
        Ok(())
    }
}

impl Known {
    fn remember(&mut self, page: Came) {
        self.pages.push(page);
        if self.pages.len() > PAGES {
            self.pages.remove(0);
        }
    }

    /// Nothing that may have been sent leaves the outbox before the server has it.
    fn outbox_changed(&mut self, device: usize, entries: &[Entry], server: &Running) -> Result<(), Broken> {
        let now: BTreeMap<u64, Queued> = entries.iter().map(|entry| (entry.seq, Queued::of(entry))).collect();
        let ledger = lock(&server.ledger);
        for (seq, queued) in &self.queued {
            let has = |id: &MutationId| ledger.effects.contains_key(id);
            let carried =
                || self.queued.values().any(|other| other.carries.contains(&queued.id) && has(&other.id));
            let known_there = self.asked.contains(&queued.place) || ledger.refused.contains(&queued.id);
            let settled = !queued.marked || queued.parked || known_there || has(&queued.id) || carried();
            if !now.contains_key(seq) && !settled {
                let (model, key) = &queued.place;
                let what = format!(
                    "device {device}: mutation {seq} of {model} {key} is gone, and the server has not had it"
                );
                return Err(("no acknowledged write is lost", what));
            }
        }
        for entry in entries {
            let refused = matches!(entry.state, EntryState::Parked(ParkReason::Rejected));
            let unheard = refused && !ledger.refused.contains(&entry.id);
            if entry.strikes > self.failures || unheard {
                let what = format!(
                    "device {device}: mutation {} of {} {} has an attempt less, or is refused, and the server has not said so",
                    entry.seq, entry.schema.model, entry.key
                );
                return Err(("refused credentials burn no attempt", what));
            }
        }
        for (seq, queued) in &now {
            self.ids.insert(queued.id, *seq);
            if queued.parked {
                // Whoever lets it go again knows what may come of it.
                self.sent.remove(&queued.id);
            }
        }
        self.queued = now;
        Ok(())
    }

    /// A row that the server has as it was here is not removed here.
    fn stays(
        &self,
        device: usize,
        schema: &'static Schema,
        key: &Key,
        stored: Option<&StoredRow>,
        server: &Running,
    ) -> Result<(), Broken> {
        let place = (schema.model, key.clone());
        let Some((last, true)) = self.versions.get(&place).copied() else { return Ok(()) };
        // What is pushed is not in order with what is pulled, and nobody can tell.
        let is_own_matter = || self.queued.values().any(|queued| queued.place == place);
        if stored.is_some() || last == 0 || server.rules.pushes || is_own_matter() {
            return Ok(());
        }
        let there = pollster::block_on(server.rows().load(&cx(), schema, key)).ok().flatten();
        let is_there = there.is_some_and(|there| {
            there.row.is_some() && version_of(there.meta.version.as_deref()) == Some(last)
        });
        if is_there {
            let what =
                format!("device {device}: {} {key} is gone, and the server has version {last}", schema.model);
            return Err(("what the server has is not removed", what));
        }
        Ok(())
    }

    /// The server's version of a row does not go back.
    fn goes_on(&mut self, device: usize, place: Place, stored: Option<&StoredRow>) -> Result<(), Broken> {
        let here = stored.is_some();
        let version = stored.and_then(|stored| version_of(stored.meta.version.as_deref()));
        let (last, was_here) = self.versions.get(&place).copied().unwrap_or((0, false));
        let (model, key) = &place;
        if let Some(version) = version
            && !self.pushed.contains(&(place.clone(), version))
            && (version < last || (here && !was_here && version == last))
        {
            let how = if was_here { "goes back" } else { "comes back" };
            let what = format!("device {device}: {model} {key} {how} to version {version} after {last}");
            return Err(("reads are monotonic", what));
        }
        self.versions.insert(place, (version.unwrap_or(last).max(last), here));
        Ok(())
    }

    /// A page is stored as a whole or not at all.
    fn whole_pages(
        &mut self,
        device: usize,
        touched: &BTreeMap<Place, Option<StoredRow>>,
        schemas: &[&'static Schema],
        store: &dyn Store,
    ) -> Result<(), Broken> {
        let mut torn = None;
        for page in &self.pages {
            let stored_now = |(place, version): &&(Place, u64)| {
                let stored = touched.get(place).and_then(Option::as_ref);
                stored.is_some_and(|stored| {
                    stored.meta.sync.state == RowState::Synced
                        && version_of(stored.meta.version.as_deref()) == Some(*version)
                })
            };
            if page.rows.iter().filter(stored_now).count() == 0 {
                continue;
            }
            let missing = page.rows.iter().find(|(place, version)| {
                let Some(schema) = schemas.iter().find(|schema| schema.model == place.0) else {
                    return false;
                };
                let stored = pollster::block_on(store.load(&cx(), schema, &place.1)).ok().flatten();
                let was_here = self.versions.contains_key(place);
                match stored {
                    Some(stored) => {
                        let pending = stored.meta.tail != 0 || stored.meta.sync.state != RowState::Synced;
                        let newer = version_of(stored.meta.version.as_deref()).is_none_or(|v| v >= *version);
                        !pending && !newer && stored.meta.revision <= page.since
                    }
                    // One that was removed meanwhile does not come back.
                    None => !was_here,
                }
            });
            match missing {
                Some(((model, key), version)) => torn = Some(format!("{model} {key} version {version}")),
                None => return Ok(()),
            }
        }
        match torn {
            Some(missing) => {
                let what = format!("device {device}: a page is stored without {missing}, which came with it");
                Err(("no half page is visible", what))
            }
            None => Ok(()),
        }
    }
}

impl Queued {
    fn of(entry: &Entry) -> Self {
        Self {
            id: entry.id,
            carries: entry.carries.clone(),
            place: (entry.schema.model, entry.key.clone()),
            lane: lane(entry),
            marked: entry.mark.is_some(),
            parked: matches!(entry.state, EntryState::Parked(_)),
        }
    }
}

/// The host that an entry goes to.
pub(crate) fn host_of(entry: &Entry) -> Host {
    if entry.schema.model != MODEL || matches!(shown(entry, "host"), None | Some(Value::Null)) {
        Host::Server
    } else {
        Host::Elsewhere
    }
}

/// What an entry's row shows at a field.
fn shown(entry: &Entry, name: &str) -> Option<Value> {
    let at = entry.schema.position(name)?;
    entry.row.as_deref()?.field(at).ok()?.to_value().ok()
}

/// What goes in order with an entry: what is there for its row, or the lane of a request.
pub(crate) fn lane(entry: &Entry) -> Place {
    let key = match entry.schema.model {
        MODEL => Key::from(format!("{:?} {:?}", shown(entry, "host"), shown(entry, "lane"))),
        _ => entry.key.clone(),
    };
    (entry.schema.model, key)
}

fn cx() -> larder_core::Context {
    larder_core::Context::new()
}

fn version_of(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

/// Everything in the outbox.
pub(crate) fn entries(store: &dyn Store) -> larder_core::Result<Vec<Entry>> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let loaded = pollster::block_on(store.outbox(&cx(), after, 1_000))?;
        if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
            return Ok(all);
        }
        after = loaded.last;
        all.extend(loaded.entries);
    }
}

/// A row shows what was last written to it here, for as long as that is queued.
fn shows_what_is_pending(
    device: usize,
    schema: &'static Schema,
    key: &Key,
    stored: Option<&StoredRow>,
    entries: &[Entry],
) -> Result<(), Broken> {
    let own: Vec<&Entry> =
        entries.iter().filter(|entry| entry.schema.model == schema.model && entry.key == *key).collect();
    let Some(newest) = own.last() else { return Ok(()) };
    let broken = |what: &str| {
        let what = format!(
            "device {device}: {} {key} {what}, while mutation {} is queued",
            schema.model, newest.seq
        );
        Err(("no pending value disappears", what))
    };
    let row = stored.and_then(|stored| stored.row.as_deref());
    let Some(row) = row else {
        return if newest.operation == Operation::Delete { Ok(()) } else { broken("is gone") };
    };
    if newest.operation == Operation::Delete {
        return broken("is there again");
    }
    for (at, field) in schema.fields.iter().enumerate() {
        let wanted = own.iter().rev().take_while(|entry| entry.operation != Operation::Delete);
        let wanted =
            wanted.clone().find(|entry| entry.changed.contains(at)).and_then(|entry| entry.row.as_deref());
        if let Some(wanted) = wanted
            && !same(wanted, row, at)
        {
            return broken(&format!("does not show its own `{}`", field.name));
        }
    }
    Ok(())
}

/// Whether two rows show the same at a position.
pub(crate) fn same(one: &dyn Row, other: &dyn Row, at: usize) -> bool {
    match (one.field(at), other.field(at)) {
        (Ok(one), Ok(other)) => match (one.to_value(), other.to_value()) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        },
        _ => false,
    }
}
