//! What the network is like: how often what befalls a request, drawn from the seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use larder_harness::Random;

use crate::errand::Host;
use crate::schedule::{Event, Fate, What, When};

/// The network between the devices and the server.
///
/// Shares are in percent of the requests; what is left arrives and is answered.
///
/// ```
/// use std::time::Duration;
/// use larder_sim::Network;
///
/// let mobile = Network::calm()
///     .latency(Duration::from_millis(80), Duration::from_millis(900))
///     .losing_replies(10)
///     .resetting(10)
///     .cuts(2);
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    latency: (Duration, Duration),
    /// Shares in percent, in the order of drawing.
    shares: Vec<(u64, Kind)>,
    cuts: usize,
    portals: usize,
    partitions: usize,
    lasting: RangeInclusive<u64>,
    pub(crate) patience: Duration,
}

#[derive(Clone, Debug)]
enum Kind {
    Refused,
    Lost,
    Reset,
    ReplyLost,
    Duplicated,
    Delayed,
    Statuses(Vec<u16>),
}

impl Network {
    /// Everything arrives, one way in 5 to 60 ms.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            latency: (Duration::from_millis(5), Duration::from_millis(60)),
            shares: Vec::new(),
            cuts: 0,
            portals: 0,
            partitions: 0,
            lasting: 2..=60,
            patience: Duration::from_secs(30),
        }
    }

    /// A little of everything that goes wrong with a network.
    #[must_use]
    pub fn flaky() -> Self {
        Self::calm()
            .refusing(3)
            .losing(2)
            .resetting(3)
            .losing_replies(5)
            .duplicating(3)
            .delaying(3)
            .answering(4, &[429, 502, 503])
            .cuts(1)
            .portals(1)
    }

    /// Disconnects again and again, and the connection that comes back is not good for long.
    #[must_use]
    pub fn storms() -> Self {
        Self::calm().refusing(10).resetting(10).losing_replies(10).cuts(8).lasting(1, 20)
    }

    /// How long a message takes, one way.
    #[must_use]
    pub fn latency(mut self, least: Duration, most: Duration) -> Self {
        self.latency = (least.min(most), most);
        self
    }

    /// How long a device waits for an answer; 30 s unless told otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn share(mut self, percent: u64, kind: Kind) -> Self {
        self.shares.push((percent, kind));
        self
    }

    /// Requests that can't be sent.
    #[must_use]
    pub fn refusing(self, percent: u64) -> Self {
        self.share(percent, Kind::Refused)
    }

    /// Requests that never arrive, and of which nothing is heard.
    #[must_use]
    pub fn losing(self, percent: u64) -> Self {
        self.share(percent, Kind::Lost)
    }

    /// Requests whose connection breaks before they arrive.
    #[must_use]
    pub fn resetting(self, percent: u64) -> Self {
        self.share(percent, Kind::Reset)
    }

    /// Requests that have their effect, and whose answer is lost.
    #[must_use]
    pub fn losing_replies(self, percent: u64) -> Self {
        self.share(percent, Kind::ReplyLost)
    }

    /// Requests that arrive twice.
    #[must_use]
    pub fn duplicating(self, percent: u64) -> Self {
        self.share(percent, Kind::Duplicated)
    }

    /// Requests that arrive after a minute or less, when the device may have given up long since.
    #[must_use]
    pub fn delaying(self, percent: u64) -> Self {
        self.share(percent, Kind::Delayed)
    }

    /// Requests that something before the server answers, with one of `statuses`. After 502 and 504 half of them have had
    /// their effect.
    #[must_use]
    pub fn answering(self, percent: u64, statuses: &[u16]) -> Self {
        self.share(percent, Kind::Statuses(statuses.to_vec()))
    }

    /// How often each device is cut off.
    #[must_use]
    pub fn cuts(mut self, times: usize) -> Self {
        self.cuts = times;
        self
    }

    /// How often each device sees a captive portal.
    #[must_use]
    pub fn portals(mut self, times: usize) -> Self {
        self.portals = times;
        self
    }

    /// How often each device does not reach one of the two hosts that requests go to ([`Host`]), while it reaches the other:
    /// the rows' host, or the one that some [`errands`](crate::Simulation::errands) go to. Each lasts as long as a cut, and half
    /// a minute more.
    #[must_use]
    pub fn partitions(mut self, times: usize) -> Self {
        self.partitions = times;
        self
    }

    /// How many seconds a cut or a portal lasts.
    #[must_use]
    pub fn lasting(mut self, least: u64, most: u64) -> Self {
        self.lasting = least.min(most)..=most;
        self
    }

    /// Whether anything ever befalls a request of itself.
    pub(crate) fn befalls(&self) -> bool {
        !self.shares.is_empty()
    }

    /// What befalls the `nth` request of a device, if anything does.
    pub(crate) fn fate(&self, seed: u64, device: usize, nth: u64) -> Option<Fate> {
        let mut random = of(seed, device, nth, 1);
        let mut at = random.draw() % 100;
        for (share, kind) in &self.shares {
            if at < *share {
                return Some(kind.draw(&mut random));
            }
            at -= share;
        }
        None
    }

    /// How long the request takes, and how long the answer.
    pub(crate) fn times(&self, seed: u64, device: usize, nth: u64) -> (Duration, Duration) {
        let mut random = of(seed, device, nth, 2);
        let (least, most) = self.latency;
        let spread = millis(most - least);
        let mut one = || least + Duration::from_millis(random.draw() % (spread + 1));
        (one(), one())
    }

    /// Cuts and portals of a device within `span`.
    pub(crate) fn windows(&self, random: &mut Random, device: usize, span: Duration, to: &mut Vec<Event>) {
        for nth in 0..self.cuts + self.portals {
            let lasts = Duration::from_secs(between(random, &self.lasting));
            let what = if nth < self.cuts { What::Cut(lasts) } else { What::Portal(lasts) };
            to.push(Event { device, when: When::At(moment(random, span)), what });
        }
        for _ in 0..self.partitions {
            let lasts = Duration::from_secs(30 + between(random, &self.lasting));
            let host = *random.pick(&[Host::Server, Host::Elsewhere]);
            let what = What::CutFrom(host, lasts);
            to.push(Event { device, when: When::At(moment(random, span)), what });
        }
    }
}

impl Kind {
    fn draw(&self, random: &mut Random) -> Fate {
        match self {
            Self::Refused => Fate::Refused,
            Self::Lost => Fate::Lost,
            Self::Reset => Fate::Reset,
            Self::ReplyLost => Fate::ReplyLost,
            Self::Duplicated => Fate::Duplicated,
            Self::Delayed => Fate::Delayed(Duration::from_millis(500 + random.draw() % 60_000)),
            Self::Statuses(statuses) => match *random.pick(statuses) {
                // They alone leave open whether the request was passed on.
                status @ (502 | 504) if random.chance(50) => Fate::LateStatus(status),
                status => Fate::Status(status),
            },
        }
    }
}

/// Numbers for one request of one device.
fn of(seed: u64, device: usize, nth: u64, purpose: u64) -> Random {
    let mut random = Random::new(seed ^ (device as u64).rotate_left(48) ^ purpose.rotate_left(40));
    Random::new(random.draw() ^ nth)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A moment within `span`, in whole milliseconds.
pub(crate) fn moment(random: &mut Random, span: Duration) -> Duration {
    Duration::from_millis(random.draw() % (millis(span) + 1))
}

/// A number within `range`.
pub(crate) fn between(random: &mut Random, range: &RangeInclusive<u64>) -> u64 {
    range.start() + random.draw() % (range.end() - range.start() + 1)
}
