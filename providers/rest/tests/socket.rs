//! The shipped transport over real sockets: HTTP/1.1 and 2, TLS, and how far a request had gone when it failed.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]
#![cfg(feature = "hyper")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_core::runtime::BoxFuture;
use larder_core::{Context, Error, ErrorKind, Operation, Outcome, Provider, Query, Runtime, Sent, Timestamp};
use larder_rest::{Endpoint, HyperBuilder, HyperTransport, Paging, Rest, http};
use serde_json::{Value, json};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};

#[allow(clippy::disallowed_methods, reason = "a server has tasks of its own")]
fn beside(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn serve(router: Router) -> String {
    let (listener, port) = listen().await;
    beside(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://127.0.0.1:{port}")
}

/// A server that speaks by hand: it reads a request and writes these bytes, connection by connection.
async fn by_hand(answers: Vec<&'static [u8]>) -> String {
    let (listener, port) = listen().await;
    beside(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer).await;
            let _ = socket.shutdown().await;
        }
        std::future::pending::<()>().await;
    });
    format!("http://127.0.0.1:{port}")
}

/// A runtime that counts what is asked of it.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Runtime>,
    spawned: AtomicUsize,
    blocked: AtomicUsize,
}

impl Runtime for Counting {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.spawned.fetch_add(1, Ordering::SeqCst);
        self.inner.spawn(name, task);
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocked.fetch_add(1, Ordering::SeqCst);
        self.inner.blocking(name, work);
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}

async fn remote_at(base: &str) -> Arc<dyn Provider> {
    open(Rest::at(base)).await
}

async fn over(base: &str, builder: HyperBuilder) -> Arc<dyn Provider> {
    open(Rest::at(base).transport_with(move |runtime| builder.build(runtime))).await
}

async fn get(remote: &Arc<dyn Provider>) -> Result<usize, Error> {
    Ok(remote.get(&Context::new(), &USER, &Query::all()).await?.rows.len())
}

async fn insert(remote: &Arc<dyn Provider>) -> Result<Outcome, Error> {
    let insert = mutation(Operation::Insert, Some(user("7", "Ada", None, "Open")), "7");
    Ok(remote.apply(&Context::new(), &insert).await?.outcome)
}

#[track_caller]
fn check(error: &Error, kind: ErrorKind, sent: Sent) {
    assert_eq!((error.kind(), error.sent()), (kind, sent), "{error:?}");
}

/// Keeps the users that it is sent.
fn collection() -> Router {
    async fn handle(State(users): State<Arc<std::sync::Mutex<Vec<Value>>>>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        if parts.method == http::Method::POST {
            let user: Value = serde_json::from_slice(&body).unwrap();
            users.lock().unwrap().push(user.clone());
            return (http::StatusCode::CREATED, [("etag", "\"1\"")], Json(user)).into_response();
        }
        let page: usize =
            parts.uri.query().and_then(|query| query.strip_prefix("page=")?.parse().ok()).unwrap_or(0);
        let users = users.lock().unwrap();
        let rows: Vec<_> = users.iter().skip(page * 2).take(2).cloned().collect();
        let next = (users.len() > page * 2 + 2).then(|| format!("</users?page={}>; rel=\"next\"", page + 1));
        let mut response = Json(rows).into_response();
        if let Some(next) = next {
            response.headers_mut().insert("link", next.parse().unwrap());
        }
        response
    }
    Router::new().fallback(handle).with_state(Arc::default())
}

#[tokio::test]
async fn rows_go_there_and_back() {
    let remote = remote_at(&serve(collection()).await).await;
    for id in ["1", "2", "3"] {
        let insert = mutation(Operation::Insert, Some(user(id, "Ada", Some(36), "Open")), id);
        let applied = remote.apply(&Context::new(), &insert).await.unwrap();
        assert_eq!(applied.outcome, Outcome::Inserted);
        assert_eq!(applied.row.unwrap().meta.version.as_deref(), Some("\"1\""));
    }
    let pages = pages(&remote, &USER, &Query::all()).await.unwrap();
    assert_eq!(pages.iter().map(ids).collect::<Vec<_>>(), [vec!["1", "2"], vec!["3"]]);
}

#[tokio::test]
async fn tasks_and_lookups_go_through_the_runtime() {
    let base = serve(collection()).await.replace("127.0.0.1", "localhost");
    let opening = opening(&[&USER]);
    let counting = Arc::new(Counting {
        inner: opening.runtime.clone(),
        spawned: AtomicUsize::new(0),
        blocked: AtomicUsize::new(0),
    });
    let opening = larder_core::Opening { runtime: counting.clone(), ..opening };
    let remote = larder_core::OpenProvider::open(Box::new(Rest::at(base)), &opening).await.unwrap();
    assert_eq!(counting.spawned.load(Ordering::SeqCst), 0, "nothing is done before it is asked for");
    assert_eq!(get(&remote).await.unwrap(), 0);
    assert!(counting.spawned.load(Ordering::SeqCst) > 0);
    assert_eq!(counting.blocked.load(Ordering::SeqCst), 1);
    assert_eq!(get(&remote).await.unwrap(), 0);
    assert_eq!(counting.blocked.load(Ordering::SeqCst), 1, "the connection is used again");
}

// ---- how far it had gone ----

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let (listener, port) = listen().await;
    drop(listener);
    let remote = remote_at(&format!("http://127.0.0.1:{port}")).await;
    check(&insert(&remote).await.unwrap_err(), ErrorKind::Offline, Sent::Never);
    let nowhere = remote_at("http://nowhere.localhost:1").await;
    check(&insert(&nowhere).await.unwrap_err(), ErrorKind::Offline, Sent::Never);
}

#[tokio::test]
async fn a_connection_that_breaks_may_have_sent_it() {
    let remote = remote_at(&by_hand(vec![b"", b"nonsense\r\n\r\n"]).await).await;
    for _ in 0..2 {
        let error = insert(&remote).await.unwrap_err();
        check(&error, ErrorKind::Transport, Sent::Maybe);
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_was_an_answer() {
    const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{";
    let remote = remote_at(&by_hand(vec![HALF, HALF]).await).await;
    check(&get(&remote).await.unwrap_err(), ErrorKind::Transport, Sent::Answered);
    assert_eq!(insert(&remote).await.unwrap(), Outcome::Inserted, "the server has accepted it");
}

#[tokio::test]
async fn a_body_without_an_announced_length_is_limited_while_it_comes() {
    async fn endless() -> Response {
        let piece = || async { Ok::<_, std::io::Error>(vec![b' '; 1 << 16]) };
        let body = futures_util::stream::repeat_with(piece);
        axum::body::Body::from_stream(futures_util::StreamExt::then(body, |piece| piece)).into_response()
    }
    let base = serve(Router::new().fallback(endless)).await;
    let error = get(&open(Rest::at(&base).body_limit(1 << 20)).await).await.unwrap_err();
    check(&error, ErrorKind::Full, Sent::Answered);
    let announced = by_hand(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n["]).await;
    check(&get(&remote_at(&announced).await).await.unwrap_err(), ErrorKind::Full, Sent::Answered);
}

#[tokio::test]
async fn a_time_out_in_the_middle_may_have_sent_it() {
    async fn slow() {
        std::future::pending::<()>().await;
    }
    let base = serve(Router::new().fallback(slow)).await;
    let remote = open(Rest::at(base).timeout(Duration::from_millis(200))).await;
    check(&insert(&remote).await.unwrap_err(), ErrorKind::Timeout, Sent::Maybe);
}

#[tokio::test]
async fn an_odd_status_is_kept() {
    let remote = remote_at(&by_hand(vec![b"HTTP/1.1 520 Odd\r\ncontent-length: 3\r\n\r\nodd"]).await).await;
    let error = get(&remote).await.unwrap_err();
    assert_eq!((error.kind(), error.body()), (ErrorKind::Http { status: 520 }, Some("odd")));
}

#[tokio::test]
async fn pages_by_number_over_a_socket() {
    let base = serve(collection()).await;
    let users = Endpoint::new("/users").paging(Paging::Page {
        param: "page".into(),
        size_param: None,
        size: 2,
        start: 0,
        until_empty: false,
    });
    let remote = open(Rest::at(base).endpoint("User", users)).await;
    for id in ["1", "2", "3"] {
        let insert = mutation(Operation::Insert, Some(user(id, "Ada", None, "Open")), id);
        remote.apply(&Context::new(), &insert).await.unwrap();
    }
    assert_eq!(pages(&remote, &USER, &Query::all()).await.unwrap().len(), 2);
}

// ---- TLS ----

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(include_bytes!("fixtures/localhost.pem")).unwrap()
}

/// Answers with the version of HTTP that was spoken.
async fn serve_tls() -> String {
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("fixtures/localhost.key.pem")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (listener, port) = listen().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    beside(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            beside(async move {
                let Ok(stream) = acceptor.accept(socket).await else {
                    return;
                };
                let service = hyper_util::service::TowerToHyperService::new(Router::new().fallback(version));
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    async fn version(request: Request) -> Json<Value> {
        Json(json!([user_json(&format!("{:?}", request.version()), "Ada", None, "open")]))
    }
    format!("https://localhost:{port}")
}

fn trusting() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"what somebody has put there".to_vec()];
    config
}

#[tokio::test]
async fn https_with_roots_of_one_s_own() {
    let base = serve_tls().await;
    for (builder, version) in [
        (HyperTransport::builder().tls(trusting()), "HTTP/2.0"),
        (HyperTransport::builder().tls(trusting()).http1_only(), "HTTP/1.1"),
    ] {
        let remote = over(&base, builder).await;
        for _ in 0..2 {
            let page = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
            assert_eq!(ids(&page), [version]);
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent() {
    let remote = remote_at(&serve_tls().await).await;
    let error = insert(&remote).await.unwrap_err();
    check(&error, ErrorKind::Transport, Sent::Never);
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn many_requests_share_one_connection_of_http_2() {
    let remote = over(&serve_tls().await, HyperTransport::builder().tls(trusting())).await;
    let requests = (0..32).map(|_| get(&remote));
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == 1));
}
