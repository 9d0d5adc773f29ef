//! The spans that a read and a write leave: their names, their fields, what is inside of what, and what is in none of
//! them. A file of its own: which subscriber a place reports to is settled once for the process.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use larder::{ErrorKind, Memory, Repository, Select};
use support::{Net, Note, Switches, note};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A span, once it is over.
#[derive(Clone, Debug, Default)]
struct Span {
    name: &'static str,
    inside: Option<u64>,
    fields: BTreeMap<&'static str, String>,
}

#[derive(Debug, Default)]
struct Trace {
    spans: BTreeMap<u64, Span>,
    entered: Vec<u64>,
    /// The fields of all events.
    events: String,
}

/// Keeps what is traced.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Trace>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Traced {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut trace = self.0.lock().unwrap();
        let inside = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_contextual() => trace.entered.last().copied(),
            None => None,
        };
        let mut span = Span { name: attributes.metadata().name(), inside, fields: BTreeMap::new() };
        attributes.record(&mut Fields(&mut span.fields));
        let id = trace.spans.len() as u64 + 1;
        trace.spans.insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut trace = self.0.lock().unwrap();
        values.record(&mut Fields(&mut trace.spans.get_mut(&id.into_u64()).unwrap().fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        write!(self.0.lock().unwrap().events, "{fields:?}").unwrap();
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let mut trace = self.0.lock().unwrap();
        if let Some(at) = trace.entered.iter().rposition(|entered| *entered == id.into_u64()) {
            trace.entered.remove(at);
        }
    }
}

impl Traced {
    /// The names of the spans from the outermost to those that are called `name`, and their fields.
    fn paths_to(&self, name: &str) -> Vec<(String, BTreeMap<&'static str, String>)> {
        let trace = self.0.lock().unwrap();
        let found = trace.spans.values().filter(|span| span.name == name);
        let path = |span: &Span| {
            let (mut names, mut inside) = (vec![span.name], span.inside);
            while let Some(outer) = inside.and_then(|id| trace.spans.get(&id)) {
                names.push(outer.name);
                inside = outer.inside;
            }
            names.reverse();
            (names.join(" > "), span.fields.clone())
        };
        found.map(path).collect()
    }

    /// The only one.
    #[track_caller]
    fn path_to(&self, name: &str) -> (String, BTreeMap<&'static str, String>) {
        let mut paths = self.paths_to(name);
        assert_eq!(paths.len(), 1, "{name}: {:?}", self.0.lock().unwrap().spans);
        paths.remove(0)
    }

    /// No span holds data, not even a key; what an event says of an error may name the key, and nothing else.
    #[track_caller]
    fn tell_nothing(&self) {
        let trace = self.0.lock().unwrap();
        assert!(!format!("{:?}", trace.spans).contains("s3cret"), "{:?}", trace.spans);
        let events = trace.events.replace("s3cret key", "");
        assert!(!events.contains("s3cret"), "{events}");
    }

    fn clear(&self) {
        *self.0.lock().unwrap() = Trace::default();
    }
}

async fn repo(net: &Arc<Switches>) -> Repository {
    Repository::builder()
        .store(Memory::new())
        .remote(Net(Arc::clone(net)))
        .model::<Note>()
        .account("s3cret account")
        .build()
        .await
        .unwrap()
}

fn fields<const N: usize>(fields: [(&'static str, &str); N]) -> BTreeMap<&'static str, String> {
    fields.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

// Rules: r-traces
#[tokio::test]
async fn a_read_and_a_write_can_be_followed_and_tell_no_data() {
    let traced = Traced::default();
    let _guard = tracing::subscriber::set_default(traced.clone());
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("s3cret key", "s3cret text", 5)).await;

    // A read that fetches: the fetch inside the read, the remote and the store inside the fetch.
    traced.clear();
    repo.get(Note::TEXT.eq("s3cret text")).await.unwrap();
    let (path, told) = traced.path_to("larder::get");
    assert_eq!(path, "larder::get");
    let expected = [("model", "Note"), ("policy", "LocalFirst"), ("origin", "Remote"), ("rows", "1")];
    assert_eq!(told, fields(expected));
    let (path, told) = traced.path_to("larder::fetch");
    assert_eq!(path, "larder::get > larder::fetch");
    assert_eq!(told, fields([("model", "Note"), ("pages", "1"), ("rows", "1"), ("changed", "1")]));
    let inside: Vec<_> = traced.paths_to("memory.get").into_iter().map(|(path, _)| path).collect();
    assert!(inside.contains(&"larder::get > larder::fetch > memory.get".to_owned()), "{inside:?}");
    let commits = traced.paths_to("memory.commit");
    assert!(
        commits.iter().all(|(path, _)| path == "larder::get > larder::fetch > memory.commit"),
        "{commits:?}"
    );

    traced.tell_nothing();

    // A read that is answered here fetches nothing, and says so.
    traced.clear();
    repo.get(Note::TEXT.eq("s3cret text")).await.unwrap();
    assert_eq!(traced.path_to("larder::get").1["origin"], "Local");
    assert!(traced.paths_to("larder::fetch").is_empty());

    // An outage shows as the reason why an answer is stale.
    traced.clear();
    net.offline(true);
    repo.reading(larder::ReadPolicy::RemoteFirst).get(Select::<Note>::all()).await.unwrap();
    let (_, told) = traced.path_to("larder::get");
    assert_eq!((told["stale"].as_str(), told["policy"].as_str()), ("Offline", "RemoteFirst"));
    let refused = repo.reading(larder::ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Offline);

    traced.tell_nothing();

    // Other reads and writes are spans too, each with the store inside.
    traced.clear();
    repo.count(Note::STARS.gt(1)).await.unwrap_or_default();
    repo.find_many::<Note>(["s3cret key"]).await.unwrap();
    let _ = repo.upsert(&note("s3cret key", "s3cret too", 6)).await.unwrap();
    repo.outbox().pause();
    for name in ["larder::count", "larder::find_many", "larder::upsert"] {
        assert_eq!(traced.path_to(name).1["model"], "Note");
    }
    let commits = traced.paths_to("memory.commit");
    assert!(commits.iter().any(|(path, _)| path == "larder::upsert > memory.commit"), "{commits:?}");
    let _ = repo.delete_all::<Note>().await.unwrap();
    assert_eq!(traced.path_to("larder::delete_all").1["model"], "Note");

    traced.tell_nothing();
}
