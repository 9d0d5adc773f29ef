//! The server of the demo: GitHub's REST form for one repository, over a real loopback socket.
//!
//! ```text
//! handle    Server: start, stop, come back; everything a test does to it in process
//!   routes    HTTP → Write, Answer → HTTP; faults are applied around it
//!   control   /_control: the same switches for another process
//!     forge     the repository, a state machine without sockets
//!       object    rules and fields of issues and labels
//!       exchange  Write and Answer;  refusal  why not
//!       journal   what was applied, and the judge;  lies  what it is tested with
//!     faults    what goes wrong on purpose;  page  Link headers;  seed, normalise  the first state
//! ```
//!
//! What differs from GitHub: issues have a string `id` that the client may make; `If-Match` and `Idempotency-Key` are
//! honoured; issues can be deleted and PUT; renaming or deleting a label leaves the issues that name it alone.

mod control;
mod exchange;
mod faults;
mod forge;
mod handle;
mod journal;
mod lies;
mod normalise;
mod object;
mod page;
mod refusal;
mod routes;
mod seed;
#[cfg(test)]
mod tests;

pub(crate) use faults::{Break, Fault, Scope};
pub(crate) use handle::{Change, Progress, Server, Snapshot};
pub(crate) use journal::{Effect, ExpectedMutation};
pub(crate) use object::{Fields, Kind};
pub(crate) use seed::{LabelStep, Seeds};
#[cfg(test)]
pub(crate) use {
    journal::{Entry, Journal, Origin, Verdict},
    seed::{REAL_FIXTURES, SeedError, Source},
};
