//! The running server: its socket, its switches, and what a test does to it in process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::exchange::{Answer, Verb, Write};
use super::faults::{Break, Fault, Faults};
use super::forge::Forge;
use super::journal::{Journal, Origin};
use super::object::{Fields, Kind, Object};
use super::refusal::Refusal;
use super::seed::{Repo, Seeds};
use super::{control, routes};

/// How far the server has come, for those who wait for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// Requests to the repository that came in, whatever became of them.
    pub(crate) arrived: u64,
    /// Client writes that were accepted, repetitions not counted. It moves before the answer is sent.
    pub(crate) accepted: u64,
    /// Requests that are held back by [`Act::Hang`](super::faults::Act::Hang) at this moment.
    pub(crate) holding: u64,
}

/// What somebody else does to the repository meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    /// Opens an issue or makes a label.
    Create { kind: Kind, fields: Fields },
    /// Writes some fields.
    Edit { kind: Kind, key: String, fields: Fields },
    /// Removes it.
    Delete { kind: Kind, key: String },
}

impl Change {
    /// The PATCH, POST or DELETE that this is, without idempotency key and precondition.
    fn into_write(self, repo: &Repo) -> Write {
        let (verb, kind, target, body) = match self {
            Self::Create { kind, fields } => (Verb::Post, kind, None, fields),
            Self::Edit { kind, key, fields } => (Verb::Patch, kind, Some(key), fields),
            Self::Delete { kind, key } => (Verb::Delete, kind, Some(key), Fields::new()),
        };
        let key = target.as_deref().map(|key| format!("/{}", super::seed::encode_segment(key)));
        let path = format!("{}/{}{}", repo.path(), kind.collection(), key.unwrap_or_default());
        let (idempotency_key, if_match) = (None, None);
        let origin = Origin::Elsewhere;
        Write { verb, path, kind, target, body, idempotency_key, if_match, only_create: false, origin }
    }
}

/// Everything that the server stores, in the order of its lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Of every state, newest first.
    pub(crate) issues: Vec<Fields>,
    /// By name.
    pub(crate) labels: Vec<Fields>,
}

/// What the socket, the requests and the handle share; it outlives [`Server::stop`].
#[derive(Debug)]
pub(crate) struct Shared {
    forge: Mutex<Forge>,
    faults: Mutex<Faults>,
    progress: watch::Sender<Progress>,
    /// Changes when the faults are cleared: held requests go on.
    released: watch::Sender<u64>,
}

impl Shared {
    fn new(seeds: &Seeds) -> Self {
        Self {
            forge: Mutex::new(Forge::new(seeds)),
            faults: Mutex::default(),
            progress: watch::Sender::default(),
            released: watch::Sender::default(),
        }
    }

    /// Never held across an await.
    pub(crate) fn forge(&self) -> MutexGuard<'_, Forge> {
        self.forge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never held across an await.
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn advance(&self, step: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(step);
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Returns once `reached` holds.
    pub(crate) async fn wait_for(&self, reached: impl FnMut(&Progress) -> bool) -> Progress {
        let mut progress = self.progress.subscribe();
        // The sender lives in `self`, so the channel cannot be closed.
        let reached = progress.wait_for(reached).await.map(|progress| *progress);
        reached.unwrap_or_else(|_| self.progress())
    }

    /// Sees every clearing of the faults from now on.
    pub(crate) fn released(&self) -> watch::Receiver<u64> {
        self.released.subscribe()
    }

    /// Holds the caller until the faults are cleared.
    pub(crate) async fn hold(&self, mut released: watch::Receiver<u64>) {
        struct Held<'a>(&'a Shared);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.advance(|progress| progress.holding -= 1);
            }
        }
        self.advance(|progress| progress.holding += 1);
        let _held = Held(self);
        // An error would mean that the sender is gone, and it lives in `self`.
        let _ = released.changed().await;
    }

    pub(crate) fn clear_faults(&self) {
        self.faults().clear();
        self.released.send_modify(|times| *times += 1);
    }

    pub(crate) fn write(&self, write: &Write) -> Result<Answer, Refusal> {
        let mut forge = self.forge();
        let answer = forge.write(write);
        let accepted = forge.accepted;
        drop(forge);
        self.advance(|progress| progress.accepted = progress.accepted.max(accepted));
        answer
    }

    pub(crate) fn change(&self, change: Change) -> Result<Answer, Refusal> {
        let mut forge = self.forge();
        let write = change.into_write(&forge.repo);
        forge.write(&write)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let forge = self.forge();
        let all = |kind| forge.list(kind).into_iter().map(|object: &Object| object.fields.clone()).collect();
        Snapshot { issues: all(Kind::Issue), labels: all(Kind::Label) }
    }
}

/// A server on a loopback port. Dropping it closes the socket and every connection.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    addr: SocketAddr,
    repo: Repo,
    /// None while the server is stopped.
    running: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server with this first state; port 0 takes any that is free.
    ///
    /// # Errors
    ///
    /// The port cannot be bound.
    pub(crate) async fn start(seeds: &Seeds, port: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(seeds));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let addr = listener.local_addr()?;
        let running = Some(tokio::spawn(serve(listener, Arc::clone(&shared))));
        Ok(Self { shared, addr, repo: seeds.repo.clone(), running })
    }

    /// Closes the socket and every connection; a client finds the connection refused. Everything stored is kept.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            // The error says that it was aborted; only that it has ended matters.
            let _ = running.await;
        }
    }

    /// Comes back at the same address with everything that was stored.
    ///
    /// # Errors
    ///
    /// Somebody else took the port meanwhile.
    pub(crate) async fn resume(&mut self) -> io::Result<()> {
        if self.running.is_none() {
            let listener = TcpListener::bind(self.addr).await?;
            self.running = Some(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
        }
        Ok(())
    }

    /// `http://127.0.0.1:{port}`, without a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The repository that is served.
    pub(crate) fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Drops every request unanswered, or answers again. `/_control` always answers.
    #[cfg(test)]
    pub(crate) fn set_offline(&self, offline: bool) {
        self.shared.faults().offline = offline;
    }

    /// Adds a fault behind those that are planted.
    pub(crate) fn plant(&self, fault: Fault) {
        self.shared.faults().plant(fault);
    }

    /// Removes every fault, goes online and lets held requests go on.
    pub(crate) fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// Tells a lie with the next write that a client sends.
    pub(crate) fn plant_break(&self, lie: Break) {
        self.shared.forge().planted = Some(lie);
    }

    /// Changes a row behind everybody's back, at once: same `ETag`, no line in the journal.
    pub(crate) fn alter(&self, kind: Kind, key: &str) {
        self.shared.forge().alter(kind, Some(key));
    }

    /// Lets somebody else change the repository; the changed object is answered.
    ///
    /// # Errors
    ///
    /// As for a client's request.
    pub(crate) fn change(&self, change: Change) -> Result<Option<Value>, Refusal> {
        self.shared.change(change).map(|answer| answer.body)
    }

    /// A copy of the journal.
    pub(crate) fn journal(&self) -> Journal {
        self.shared.forge().journal.clone()
    }

    /// A copy of everything stored.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// How far the server has come.
    pub(crate) fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// Returns once `reached` holds, for example `|progress| progress.holding == 1`. Has no time-out of its own.
    pub(crate) async fn wait_for(&self, reached: impl FnMut(&Progress) -> bool) -> Progress {
        self.shared.wait_for(reached).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Closes the connection that a request came in on; see [`Hangup::now`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Hangup(Arc<Notify>);

impl Hangup {
    /// Closes the connection. Never returns: the request's future is dropped with it.
    pub(crate) async fn now<T>(&self) -> T {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// Accepts until it is aborted; its connections end with it.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = routes::router(&shared).merge(control::router(&shared));
    let mut connections = JoinSet::new();
    loop {
        // An error is that connection's own (it was reset, or files ran out for a moment).
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, router.clone()));
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let hangup = Hangup::default();
    let service = TowerToHyperService::new(router.layer(Extension(hangup.clone())));
    tokio::select! {
        // How a client ended the connection is its own affair.
        _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service) => {}
        () = hangup.0.notified() => {}
    }
}
