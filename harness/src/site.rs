//! The server that requests go to which are no models, as the suite `requests` sees it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// A request that has arrived, as the provider's test tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// True if it has come to [another host](Site::elsewhere) than the rows.
    pub elsewhere: bool,
    /// The method.
    pub method: String,
    /// The path below the base of the remote, with its query.
    pub target: String,
    /// The headers, by names in small letters.
    pub headers: Vec<(String, String)>,
    /// What it says of its identity, if it says anything.
    pub key: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Arrived {
    /// The values of a header, in order.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer with this status and body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The server that requests go to: a provider's test gives it what arrives, and sends what it replies. Clones are one.
///
/// ```
/// use larder_harness::{Arrived, Reply, Site};
///
/// let site = Site::new().elsewhere("https://uploads.example.com");
/// let arrived = Arrived {
///     elsewhere: false,
///     method: "POST".into(),
///     target: "/events".into(),
///     headers: Vec::new(),
///     key: None,
///     body: b"opened".to_vec(),
/// };
/// assert_eq!(site.reply(arrived), Reply::new(200, *b"opened"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Site {
    elsewhere: Option<String>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    arrived: Vec<Arrived>,
    replies: VecDeque<Reply>,
    heard: usize,
}

impl Site {
    /// A server that nothing has come to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that requests may go to this host as well, `https://host`, and that it is another than that of the rows.
    #[must_use]
    pub fn elsewhere(mut self, host: impl Into<String>) -> Self {
        self.elsewhere = Some(host.into());
        self
    }

    /// What is replied to a request that has arrived: the next of what the case wants, else 200 and its own body.
    #[must_use]
    pub fn reply(&self, arrived: Arrived) -> Reply {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = state.replies.pop_front();
        let reply = reply.unwrap_or_else(|| Reply::new(200, arrived.body.clone()));
        state.arrived.push(arrived);
        state.heard += 1;
        reply
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).heard
    }

    /// Another host that requests may go to.
    pub(crate) fn other(&self) -> Option<&str> {
        self.elsewhere.as_deref()
    }

    /// Replies this to the next request that nothing else is wanted for.
    pub(crate) fn next(&self, reply: Reply) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).replies.push_back(reply);
    }

    /// What has arrived since this was asked last.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).arrived)
    }
}
