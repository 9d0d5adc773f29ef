//! Requests that are no models, as the users of a simulation make them: they are kept in the outbox beside the rows.

use std::fmt;

use larder::{Idempotency, ParkReason};
use larder_core::{Error, ErrorKind, MutationId, Result};
use larder_harness::Random;

use crate::device::Device;
use crate::kernel::lock;

/// The model under which requests are stored.
pub(crate) const MODEL: &str = "larder::Request";

/// Another host than that of the rows.
pub(crate) const ELSEWHERE: &str = "https://elsewhere.example";

/// In how many lanes of each host requests are made.
const LANES: usize = 2;

/// A host that requests go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host {
    /// The server, which has the rows, and to which requests go that name a path.
    Server,
    /// Another one, for requests alone.
    Elsewhere,
}

impl Host {
    /// That of a request.
    pub(crate) fn of(target: &str) -> Self {
        if target.starts_with(ELSEWHERE) { Self::Elsewhere } else { Self::Server }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Server => Self::Elsewhere,
            Self::Elsewhere => Self::Server,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "the server",
            Self::Elsewhere => "elsewhere",
        })
    }
}

/// A request that is no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errand {
    /// How it stands being sent twice.
    pub repeat: Repeat,
    /// In which lane it goes.
    pub lane: u64,
    /// Whether it goes to another host than the rows.
    pub elsewhere: bool,
}

/// How a request stands being sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// A PUT, which may have its effect again.
    Idempotent,
    /// A POST whose key the server knows again.
    Keyed,
    /// A POST that is never repeated.
    Once,
}

impl Repeat {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Idempotent, "idempotent"), (Self::Keyed, "keyed"), (Self::Once, "once")];
}

impl Errand {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let repeat = random.pick(&Repeat::ALL).0;
        Self { repeat, lane: random.below(LANES) as u64, elsewhere: random.chance(30) }
    }

    /// Decides about requests of unknown outcome, which hold up their lanes: they are given up.
    pub(crate) async fn decide(at: &Device) -> Result<()> {
        for entry in at.repo().outbox().parked().await? {
            if entry.request.is_some() && entry.parked == Some(ParkReason::Uncertain) {
                // Before it is: whoever is killed meanwhile has decided.
                lock(&at.world.overseer).gives_up(at.number, entry.id);
                at.repo().outbox().discard(entry.seq).await?;
            }
        }
        Ok(())
    }

    /// Makes the request on a device, and gives its identity when it is durable.
    pub(crate) async fn run(self, at: &Device, nth: u64) -> Result<MutationId> {
        let Self { repeat, lane, elsewhere } = self;
        let target = format!("{}/errands/{nth}", if elsewhere { ELSEWHERE } else { "" });
        let http = at.repo().http();
        let request = match repeat {
            Repeat::Idempotent => http.put(target).idempotency(Idempotency::Idempotent),
            Repeat::Keyed => http.post(target).idempotency(Idempotency::KEYED),
            Repeat::Once => http.post(target).idempotency(Idempotency::AtMostOnce),
        };
        let sent = request.lane(lane.to_string()).body(format!("errand {nth}")).send().await?;
        if !sent.is_queued() {
            let what = "the repository sends requests at once: simulate one that keeps them";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(sent.id())
    }

    /// What stands in a schedule.
    pub(crate) fn read(words: &[&str]) -> Option<Self> {
        let (repeat, lane, elsewhere) = match *words {
            [repeat, "in", "lane", lane] => (repeat, lane, false),
            [repeat, "in", "lane", lane, "elsewhere"] => (repeat, lane, true),
            _ => return None,
        };
        let (repeat, _) = Repeat::ALL.into_iter().find(|(_, word)| *word == repeat)?;
        Some(Self { repeat, lane: lane.parse().ok()?, elsewhere })
    }
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Repeat::ALL.iter().find(|(repeat, _)| *repeat == self.repeat).map_or("", |(_, word)| word);
        write!(f, "{word} in lane {}{}", self.lane, if self.elsewhere { " elsewhere" } else { "" })
    }
}
