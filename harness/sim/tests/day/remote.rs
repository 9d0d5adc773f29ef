//! A server that remembers of a million mutations no more than whether it has had each, and in which order for each row.

use std::sync::{Arc, Mutex, MutexGuard};

use larder::core::{
    Applied, Capabilities, Context, Delta, Idempotency, Mutation, OpenProvider, Opening, Operation, Outcome,
    Page, PageRow, PageToken, Plan, Presence, Provider, Query, Realtime, Requests, Row, Schema, async_trait,
};
use larder::core::{Meta, Sent};
use larder::{Error, ErrorKind, Key, Result, Timestamp};

use crate::reading;

/// How many rows a page has.
const PAGE: usize = 1_000;

/// A server; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Remote(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    offline: bool,
    /// By the number of the row: what it is, and how often it was changed.
    rows: Vec<(Option<i64>, u64)>,
    /// The same, as the device has made it.
    expected: Vec<(Option<i64>, u64)>,
    /// A bit for each mutation that has left a row.
    had: Vec<u64>,
    twice: u64,
    changes: u64,
    refused: u64,
}

impl Remote {
    /// A server with so many rows.
    pub(crate) fn with(rows: u64) -> Self {
        let rows = vec![(Some(-1), 0); usize::try_from(rows).unwrap()];
        let (expected, had) = (rows.clone(), Vec::new());
        let state = State { offline: false, rows, expected, had, twice: 0, changes: 0, refused: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn offline(&self, offline: bool) {
        self.state().offline = offline;
    }

    /// How often it was asked in vain.
    pub(crate) fn refused(&self) -> u64 {
        self.state().refused
    }

    /// The device has changed a row: that mutation it is of now, or it is gone.
    pub(crate) fn expects(&self, id: i64, mutation: Option<i64>) {
        let (now, changes) = &mut self.state().expected[usize::try_from(id).unwrap()];
        *now = mutation;
        *changes += 1;
    }

    /// Every mutation has come, none of them twice, and each row is what the last one of it has made of it.
    pub(crate) fn assert_all_arrived_once(&self, mutations: u64) {
        let state = self.state();
        assert_eq!((state.changes, state.twice), (mutations, 0));
        let differs = state.rows.iter().zip(&state.expected).position(|(one, other)| one != other);
        assert_eq!(differs, None, "a row was changed too often, not often enough, or in another order");
    }
}

impl State {
    fn change(&mut self, id: usize, mutation: Option<i64>) {
        if let Some(mutation) = mutation.and_then(|mutation| usize::try_from(mutation).ok()) {
            let (word, bit) = (mutation / 64, 1 << (mutation % 64));
            self.had.resize(self.had.len().max(word + 1), 0);
            self.twice += u64::from(self.had[word] & bit != 0);
            self.had[word] |= bit;
        }
        let (now, changes) = &mut self.rows[id];
        *now = mutation;
        *changes += 1;
        self.changes += 1;
    }

    fn is_there(&mut self) -> Result<()> {
        if self.offline {
            self.refused += 1;
            return Err(Error::new(ErrorKind::Offline, "there is no connection").with_sent(Sent::Never));
        }
        Ok(())
    }
}

fn meta(changes: u64) -> Meta {
    Meta { version: Some(changes.to_string().into()), ..Meta::synced(Timestamp::UNIX_EPOCH) }
}

#[async_trait]
impl OpenProvider for Remote {
    async fn open(self: Box<Self>, _: &Opening) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(*self))
    }
}

#[async_trait]
impl Provider for Remote {
    fn name(&self) -> &str {
        "server"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::NONE;
        (can.list, can.insert, can.update, can.upsert, can.delete) = (true, true, true, true, true);
        can
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        Idempotency::KEYED
    }

    async fn get(&self, cx: &Context, _: &'static Schema, _: &Query) -> Result<Page> {
        let mut state = self.state();
        state.is_there()?;
        let from = cx.resume.as_ref().map_or(0, |token| token.0.parse().unwrap());
        let row = |(id, (mutation, changes)): (usize, &(Option<i64>, u64))| {
            let row = reading(i64::try_from(id).unwrap(), (*mutation)?);
            Some(PageRow::new(meta(*changes), Arc::new(row)))
        };
        let rows = state.rows.iter().enumerate().skip(from).take(PAGE).filter_map(row).collect();
        let next = (from + PAGE < state.rows.len()).then(|| PageToken((from + PAGE).to_string()));
        // No place is ever given to another row.
        Ok(Page { rows, next, steady: true, ..Page::default() })
    }

    async fn exists(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Presence> {
        Ok(Presence::Unknown)
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        Ok(query.plan(schema, &self.capabilities()))
    }

    async fn apply(&self, _: &Context, mutation: &Mutation) -> Result<Applied> {
        // A network takes its time, and others get a turn.
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.is_there()?;
        let Key::Int(id) = &mutation.key else { panic!("{:?}", mutation.key) };
        let id = usize::try_from(*id).unwrap();
        let of = |row: &dyn Row| match row.field(1) {
            Ok(larder::core::ValueRef::Int(mutation)) => i64::try_from(mutation).unwrap(),
            other => panic!("{other:?}"),
        };
        state.change(id, mutation.row.as_deref().map(of));
        let row = mutation.row.clone().map(|row| PageRow::new(meta(state.rows[id].1), row));
        Ok(Applied { outcome: Outcome::Accepted, row })
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
