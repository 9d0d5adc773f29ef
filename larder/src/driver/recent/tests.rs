//! Whatever the driver and others write: what is known is as it is stored.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::sync::Arc;

use larder_core::{
    Batch, CommitOutcome, Context, Entry, FieldDef, IntKind, Key, KeyDef, Kind, Meta, MutationId, Op,
    OpenStore, Opening, Operation, Record, Row, Schema, SendMark, Store, Tail, Timestamp, Uuid, Value,
};
use proptest::prelude::*;

use super::{Changed, Found, ROOM, Recent};
use crate::{Memory, TokioRuntime};

static NOTE: Schema = Schema::new(
    "Note",
    &[FieldDef::new("id", Kind::Int(IntKind::I64)), FieldDef::new("text", Kind::Str)],
    KeyDef::natural(&[0]),
);

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// How many rows there are, each with two entries: those of row `id` are `id` and `id + ROWS`.
const ROWS: u64 = 3;

fn key(seq: u64) -> Key {
    Key::Int(((seq - 1) % ROWS + 1).into())
}

fn note(seq: u64, text: String) -> Arc<dyn Row> {
    let Key::Int(id) = key(seq) else { unreachable!("its key is a number") };
    Arc::new(Record::new([Some(Value::Int(id)), Some(Value::Str(text.into()))]))
}

fn put(seq: u64, text: String) -> Op {
    Op::Put {
        schema: &NOTE,
        key: key(seq),
        row: note(seq, text),
        meta: Meta::synced(NOW),
        tail: Tail::At(seq),
    }
}

/// Who writes what, of the entry with a number.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The driver says that it may be sent, after it has looked at it.
    Mark(u64),
    /// The driver counts an attempt.
    Note(u64),
    /// The driver removes it, and stores what the remote has made of its row, or that alone.
    Settle(u64, bool),
    /// The driver puts the other entry of its row on what the remote has; whether the row changes.
    Rebase(u64, bool),
    /// The driver notes something else.
    Aside,
    /// It is read to be sent; who writes its row meanwhile.
    Send(u64, Meanwhile),
    /// Somebody else writes its row.
    Write(u64),
    /// Somebody else decides about it.
    Decide(u64),
    /// All is gone.
    Wipe,
}

#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Nobody,
    Others,
    Driver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seq = || 1..=2 * ROWS;
    let meanwhile = prop::sample::select(&[Meanwhile::Nobody, Meanwhile::Others, Meanwhile::Driver]);
    let step = prop_oneof![
        6 => seq().prop_map(Step::Mark),
        3 => seq().prop_map(Step::Note),
        2 => (seq(), any::<bool>()).prop_map(|(seq, row)| Step::Settle(seq, row)),
        2 => (seq(), any::<bool>()).prop_map(|(seq, row)| Step::Rebase(seq, row)),
        2 => Just(Step::Aside),
        3 => (seq(), meanwhile).prop_map(|(seq, meanwhile)| Step::Send(seq, meanwhile)),
        1 => seq().prop_map(Step::Write),
        1 => seq().prop_map(Step::Decide),
        1 => Just(Step::Wipe),
    ];
    prop::collection::vec(step, 1..24)
}

struct World {
    store: Arc<dyn Store>,
    recent: Recent,
    nth: u64,
}

impl World {
    async fn new() -> Self {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let opening = Opening { runtime, schemas: Arc::new([&NOTE]) };
        let store = OpenStore::open(Box::new(Memory::new()), &opening).await.unwrap();
        let world = Self { store, recent: Recent::default(), nth: 0 };
        for seq in 1..=2 * ROWS {
            let entry = Entry {
                row: Some(note(seq, "mine".into())),
                changed: [1].into_iter().collect(),
                ..Entry::new(&NOTE, key(seq), Operation::Update, MutationId(Uuid::from_u128(seq.into())), NOW)
            };
            world.others([Op::Enqueue(Box::new(entry)), put(seq, "mine".into())]).await;
        }
        world
    }

    async fn commit(&self, ops: impl IntoIterator<Item = Op>) -> (u64, Changed) {
        let batch = Batch { ops: ops.into_iter().collect(), ..Batch::default() };
        let changed = Changed::by(&batch);
        match self.store.commit(&Context::new(), batch).await.unwrap() {
            CommitOutcome::Committed(done) => (done.revision, changed),
            CommitOutcome::Stale => unreachable!("it relies on nothing"),
        }
    }

    async fn others(&self, ops: impl IntoIterator<Item = Op>) {
        self.commit(ops).await;
    }

    async fn driver(&self, ops: impl IntoIterator<Item = Op>) -> u64 {
        let (revision, changed) = self.commit(ops).await;
        self.recent.goes_on(revision, &changed);
        revision
    }

    async fn stored(&self, seq: u64) -> Option<Found> {
        let cx = Context::new();
        let entry = self.store.entry(&cx, seq).await.unwrap()?;
        let stored = self.store.load(&cx, entry.schema, &entry.key).await.unwrap();
        Some((entry, stored))
    }

    /// As the driver looks at an entry.
    async fn look(&self, seq: u64) -> Option<Found> {
        match self.recent.take(self.store.revision(), seq) {
            Some(found) => Some(found),
            None => self.stored(seq).await,
        }
    }

    async fn take(&mut self, step: Step) {
        self.nth += 1;
        let text = format!("text {}", self.nth);
        match step {
            Step::Mark(seq) => {
                let Some((mut entry, stored)) = self.look(seq).await else { return };
                entry.mark = Some(SendMark { first: NOW });
                let revision = self.driver([Op::Revise(Box::new(entry.clone()))]).await;
                self.recent.keep(revision, [(entry, stored)]);
            }
            Step::Note(seq) => {
                let Some((mut entry, _)) = self.look(seq).await else { return };
                entry.attempts += 1;
                self.driver([Op::Revise(Box::new(entry))]).await;
            }
            Step::Settle(seq, row) => {
                self.driver([Op::Dequeue(seq)].into_iter().chain(row.then(|| put(seq, text)))).await;
            }
            Step::Rebase(seq, row) => {
                let other = if seq > ROWS { seq - ROWS } else { seq + ROWS };
                let Some((mut entry, _)) = self.stored(other).await else { return };
                entry.base = Some(note(seq, text.clone()));
                let revised = [Op::Revise(Box::new(entry))];
                self.driver(revised.into_iter().chain(row.then(|| put(seq, text)))).await;
            }
            Step::Aside => {
                self.driver([Op::Cursor { scope: "aside".into(), value: Some(text) }]).await;
            }
            Step::Send(seq, meanwhile) => {
                let revision = self.store.revision();
                let Some(found) = self.stored(seq).await else { return };
                match meanwhile {
                    Meanwhile::Nobody => {}
                    Meanwhile::Others => self.others([put(seq, text)]).await,
                    Meanwhile::Driver => {
                        self.driver([put(seq, text)]).await;
                    }
                }
                self.recent.keep(revision, [found]);
            }
            Step::Write(seq) => self.others([put(seq, text)]).await,
            Step::Decide(seq) => {
                let Some((mut entry, _)) = self.stored(seq).await else { return };
                entry.strikes += 1;
                self.others([Op::Revise(Box::new(entry))]).await;
            }
            Step::Wipe => self.store.wipe(&Context::new()).await.unwrap(),
        }
    }

    /// How many are known, and as they are stored.
    async fn known(&self) -> usize {
        let mut known = 0;
        for seq in 1..=2 * ROWS {
            if let Some(found) = self.recent.get(self.store.revision(), seq) {
                known += 1;
                assert_eq!(
                    format!("{:?}", Some(found)),
                    format!("{:?}", self.stored(seq).await),
                    "entry {seq}"
                );
            }
        }
        let known_bytes = self.recent.lock().entries.values().map(|kept| kept.bytes).sum::<u64>();
        assert_eq!(self.recent.lock().bytes, known_bytes);
        assert!(known_bytes <= ROOM);
        known
    }
}

proptest! {
    #[test]
    fn what_is_known_is_as_it_is_stored(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
                world.known().await;
            }
        });
    }
}

#[tokio::test]
async fn what_was_marked_is_known_until_it_or_its_row_is_written_or_somebody_else_writes() {
    let mut world = World::new().await;
    for seq in 1..=3 {
        world.take(Step::Mark(seq)).await;
    }
    assert_eq!(world.known().await, 3);
    world.take(Step::Aside).await;
    assert_eq!(world.known().await, 3, "what else the driver writes changes nothing of them");
    world.take(Step::Settle(1, true)).await;
    assert_eq!(world.known().await, 2);
    world.take(Step::Rebase(2 + ROWS, true)).await;
    assert_eq!(world.known().await, 1, "the row of another is not as it was");
    world.take(Step::Write(1)).await;
    assert_eq!(world.known().await, 0);
}

#[tokio::test]
async fn no_more_is_known_than_there_is_room_for() {
    let world = World::new().await;
    let (mut entry, stored) = world.stored(1).await.unwrap();
    entry.row = Some(note(1, "x".repeat(usize::try_from(ROOM).unwrap() / 2)));
    let revision = world.store.revision();
    let both = [(entry.clone(), stored.clone()), (Entry { seq: 2, ..entry.clone() }, stored.clone())];
    world.recent.keep(revision, both);
    assert!(world.recent.get(revision, 1).is_some());
    assert!(world.recent.get(revision, 2).is_none(), "there is room for one");
    assert!(world.recent.take(revision, 1).is_some());
    world.recent.keep(revision, [(Entry { seq: 2, ..entry }, stored)]);
    assert!(world.recent.get(revision, 2).is_some(), "what has gone makes room");
}
