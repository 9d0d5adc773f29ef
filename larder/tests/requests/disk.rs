//! A disk that outlives the process that writes to it.

use std::sync::{Arc, Mutex};

use larder::core::{OpenStore, Opening, Store, async_trait};
use larder::rest::Rest;
use larder::{Idempotency, Repository, RequestSettings, Result};

use crate::server::Server;
use crate::support::chaos::{Faults, Faulty};
use crate::{API, quick};

/// A disk that outlives the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Option<Arc<dyn Store>>>>);

impl Disk {
    /// The store itself.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.0.lock().unwrap().clone().expect("a life has opened it")
    }
}

/// What a life of the process opens.
#[derive(Debug)]
struct Opens<S> {
    disk: Disk,
    new: S,
    faults: Arc<Mutex<Option<Arc<Faults>>>>,
}

#[async_trait]
impl<S: OpenStore> OpenStore for Opens<S> {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Store>> {
        let known = self.disk.0.lock().unwrap().clone();
        let inner = match known {
            Some(inner) => inner,
            None => OpenStore::open(Box::new(self.new), opening).await?,
        };
        *self.disk.0.lock().unwrap() = Some(Arc::clone(&inner));
        let (store, faults) = Faulty::over(&inner, 7);
        *self.faults.lock().unwrap() = Some(faults);
        Ok(store)
    }
}

/// What goes wrong with a store that is not open yet.
type Opened = Arc<Mutex<Option<Arc<Faults>>>>;

/// The disk as a store to be opened, made `new` if there is none.
pub(crate) fn opens(disk: &Disk, new: impl OpenStore) -> (impl OpenStore, Opened) {
    let faults = Opened::default();
    (Opens { disk: disk.clone(), new, faults: Arc::clone(&faults) }, faults)
}

/// Opens a repository on the disk, made `new` if there is none.
pub(crate) async fn life(
    server: &Arc<Server>,
    disk: &Disk,
    new: impl OpenStore,
) -> (Repository, Arc<Faults>) {
    let rest = Rest::at(API).transport(Arc::clone(server).service());
    let (opens, faults) = opens(disk, new);
    let settings = RequestSettings::new().declare("/keyed", Idempotency::KEYED);
    let repo = Repository::builder().store(opens).remote(rest).requests(settings).outbox(quick()).build();
    let repo = repo.await.unwrap();
    let faults = faults.lock().unwrap().take().unwrap();
    (repo, faults)
}
