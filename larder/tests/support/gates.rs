//! Reads and commits of a store that wait until the test lets them go on: for what happens between a read and the commit
//! that relies on it.
//!
//! A read waits with its answer in its hand, so that is old when it goes on. A commit waits before anything of it is
//! stored; one that removes entries can be held when it is durable as well. Only the nth of a kind waits, and it does once.

use std::fmt;
use std::sync::{Arc, Mutex};

use larder::Key;
use larder::core::{Batch, Op, Schema};
use tokio::sync::Notify;

/// A call of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call<'c> {
    /// A row was read.
    Load(&'static Schema, &'c Key),
    /// An entry was read by itself.
    Entry(u64),
    /// Entries were read.
    Outbox,
    /// Something is about to be stored.
    Commit(&'c Batch),
    /// Entries are gone, and whoever has removed them does not know it yet.
    Removed(&'c [u64]),
}

impl Call<'_> {
    /// A commit that writes or removes this row.
    pub(crate) fn writes(&self, of: &'static Schema, row: &Key) -> bool {
        self.ops().iter().any(|op| match op {
            Op::Put { schema, key, .. } | Op::Tombstone { schema, key, .. } | Op::Remove { schema, key } => {
                *schema == of && key == row
            }
            _ => false,
        })
    }

    /// A commit that queues a mutation of this model.
    pub(crate) fn queues(&self, model: &str) -> bool {
        self.ops().iter().any(|op| matches!(op, Op::Enqueue(entry) if entry.schema.model == model))
    }

    /// A commit that notes something under a name that begins so.
    pub(crate) fn notes(&self, begins: &str) -> bool {
        self.ops().iter().any(|op| matches!(op, Op::Cursor { scope, .. } if scope.starts_with(begins)))
    }

    /// A read of this row.
    pub(crate) fn loads(&self, of: &'static Schema, row: &Key) -> bool {
        matches!(self, Self::Load(schema, key) if *schema == of && *key == row)
    }

    fn ops(&self) -> &[Op] {
        match self {
            Self::Commit(batch) => &batch.ops,
            _ => &[],
        }
    }
}

/// A commit that says of entries that they may have been sent.
pub(crate) fn marks(call: &Call<'_>) -> bool {
    let marks = |op: &Op| matches!(op, Op::Revise(entry) if entry.mark.is_some());
    !call.ops().is_empty() && call.ops().iter().all(marks)
}

/// A commit by which an entry goes.
pub(crate) fn dequeues(call: &Call<'_>) -> bool {
    call.ops().iter().any(|op| matches!(op, Op::Dequeue(_)))
}

/// One call that waits, or will.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// It is there.
    pub(crate) there: Notify,
    /// It may go on.
    pub(crate) go: Notify,
}

impl Held {
    /// Waits until the call is there, does `meanwhile`, and lets the call go on.
    pub(crate) async fn during<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        super::soon(self.there.notified()).await;
        let done = super::soon(meanwhile).await;
        self.go.notify_one();
        done
    }
}

type Is = Box<dyn Fn(&Call<'_>) -> bool + Send + Sync>;

struct Gate {
    is: Is,
    held: Arc<Held>,
}

/// What waits, and what for.
#[derive(Default)]
pub(crate) struct Gates(Mutex<Vec<Gate>>);

impl Gates {
    /// Holds the next call of a kind.
    pub(crate) fn hold(&self, is: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static) -> Arc<Held> {
        let held = Arc::<Held>::default();
        self.0.lock().unwrap().push(Gate { is: Box::new(is), held: Arc::clone(&held) });
        held
    }

    /// Lets a call through, or not yet.
    pub(crate) async fn pass(&self, call: Call<'_>) {
        let held = {
            let mut gates = self.0.lock().unwrap();
            let at = gates.iter().position(|gate| (gate.is)(&call));
            at.map(|at| gates.remove(at).held)
        };
        if let Some(held) = held {
            held.there.notify_one();
            held.go.notified().await;
        }
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates").field("waiting", &self.0.lock().unwrap().len()).finish()
    }
}
