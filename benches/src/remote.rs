//! The smallest server that takes a POST, at the other end of a loopback socket, and its client: what a request costs at
//! least, on every side alike.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream as Blocking};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder::core::{
    Applied, Capabilities, Context, Delta, Mutation, Outcome, Page, Plan, Presence, Provider, Query,
    Realtime, Requests, Schema, Sent, async_trait,
};
use larder::{Error, ErrorKind, Idempotency, Model, Operation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;
use crate::model::User;
use crate::raw::Codec;

const ACCEPTED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Starts a server that accepts whatever it is sent, after a while; it lives as long as the process.
///
/// # Errors
/// Those of the network.
#[expect(clippy::disallowed_methods, reason = "a server lives beside the runtime that is measured")]
pub fn serve(takes: Duration) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up ends it.
            std::thread::spawn(move || drop(answer(stream, takes)));
        }
    });
    Ok(address)
}

#[expect(clippy::disallowed_methods, reason = "a server takes its time whatever the runtime")]
fn answer(mut stream: Blocking, takes: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(given) = line.strip_prefix("content-length: ") {
                length = given.trim().parse().map_err(std::io::Error::other)?;
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        stream.write_all(ACCEPTED)?;
    }
}

/// A client with a connection for each request that is under way, which it keeps.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<TcpStream>>>,
}

impl Client {
    /// Speaks to this address.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self { address, idle: Arc::default() }
    }

    /// Sends `body` and waits for the answer.
    ///
    /// # Errors
    /// Those of the network; another answer than that it was accepted.
    pub async fn post(&self, key: &str, body: &[u8]) -> std::io::Result<()> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        let length = body.len();
        let head = format!(
            "POST /users HTTP/1.1\r\nhost: {}\r\nidempotency-key: \"{key}\"\r\ncontent-length: {length}\r\n\r\n",
            self.address
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut answer = [0; ACCEPTED.len()];
        stream.read_exact(&mut answer).await?;
        if answer != ACCEPTED {
            return Err(std::io::Error::other("the server did not accept"));
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        Ok(())
    }
}

/// The server as a remote of a repository.
#[derive(Debug)]
pub struct Posting {
    client: Client,
    codec: Codec,
}

impl Posting {
    /// Sends through `client`.
    ///
    /// # Errors
    /// None that can come of this model.
    pub fn through(client: Client) -> Result<Self> {
        Ok(Self { client, codec: Codec::new()? })
    }
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "this remote only takes writes")
}

#[async_trait]
impl Provider for Posting {
    fn name(&self) -> &str {
        "posting"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::NONE;
        (can.insert, can.update, can.upsert) = (true, true, true);
        can
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        Idempotency::KEYED
    }

    async fn get(&self, _: &Context, _: &'static Schema, _: &Query) -> larder::Result<Page> {
        Err(unsupported())
    }

    async fn exists(&self, _: &Context, _: &'static Schema, _: &Query) -> larder::Result<Presence> {
        Ok(Presence::Unknown)
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> larder::Result<Plan> {
        Ok(query.plan(schema, &self.capabilities()))
    }

    async fn apply(&self, _: &Context, mutation: &Mutation) -> larder::Result<Applied> {
        let row = mutation.row.as_deref().ok_or_else(unsupported)?;
        let record = self.codec.record(&User::from_row(row)?, 0);
        let record = record.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        let broken = |error: std::io::Error| {
            Error::new(ErrorKind::Transport, error.to_string()).with_sent(Sent::Maybe)
        };
        self.client.post(&mutation.id.to_string(), &record).await.map_err(broken)?;
        Ok(Applied { outcome: Outcome::Accepted, row: None })
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
