//! What happens in a run, as a list: what the users do, what goes wrong, and when. It can be written down and read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::errand::{Errand, Host};

/// Everything that a run depends on, beside the application itself.
///
/// Written as text, it is what a test pastes to repeat a run. One event a line, in any order:
///
/// ```
/// use larder_sim::Schedule;
///
/// let text = "\
/// seed 7, 2 devices
/// 1.200s device 0 acts 8f3a
/// 2s device 1 is cut off for 30s
/// 2.500s device 1 sees a portal for 10s
/// 2.700s device 1 is cut off from elsewhere for 20s
/// 3s device 0 clock jumps by -3600s
/// 4s device 0 is killed for 2s
/// 5s device 0 loses power for 2s
/// 6s device 0 credentials expire for 30s
/// 7s device 1 disk is full for 20s
/// device 1 store fails at step 9
/// device 1 is killed at step 12 for 500ms
/// device 0 request 3 loses its reply
/// device 0 request 4 is delayed by 40s
/// device 0 request 5 is answered 503
/// 8s device 1 requests keyed in lane 0
/// ";
/// let schedule: Schedule = text.parse().unwrap();
/// assert_eq!(schedule.events.len(), 15);
/// assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Decides ids, jitter, the order of tasks and how long messages take.
    pub seed: u64,
    /// How many devices there are.
    pub devices: usize,
    /// What happens.
    pub events: Vec<Event>,
}

/// Something that happens to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which device.
    pub device: usize,
    /// When.
    pub when: When,
    /// What.
    pub what: What,
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// So long after the beginning, on the world's clock.
    At(Duration),
    /// At the n-th step of the device's store, counted from 1 over all its lives.
    Step(u64),
    /// With the n-th request of the device, counted from 1 over all its lives.
    Request(u64),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// Its user does something; the number decides what.
    Act(u64),
    /// Its user makes a request that is no model.
    Errand(Errand),
    /// Its process is killed, and starts again after a while. What was written to the disk stays.
    Kill(Duration),
    /// It loses its power: what was not synced to the disk is gone as well.
    PowerCut(Duration),
    /// It has no network.
    Cut(Duration),
    /// It does not reach a host.
    CutFrom(Host, Duration),
    /// A portal answers every request with a page of its own.
    Portal(Duration),
    /// The server refuses its credentials; then there are new ones.
    Expiry(Duration),
    /// Nothing can be written to its disk.
    Full(Duration),
    /// The next operation of its store fails.
    StoreFails,
    /// Its wall clock jumps by so many seconds.
    Jump(i64),
    /// Something befalls a request.
    Fate(Fate),
}

/// What befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It is never sent: there is no connection.
    Refused,
    /// It does not arrive, and nobody says so.
    Lost,
    /// The connection breaks before it arrives.
    Reset,
    /// It has its effect; the connection breaks before the answer is back.
    ReplyLost,
    /// It arrives twice.
    Duplicated,
    /// It takes so long to arrive.
    Delayed(Duration),
    /// Something before the server answers with this status.
    Status(u16),
    /// It has its effect, and something before the server answers with this status.
    LateStatus(u16),
}

impl Schedule {
    /// Nothing happens.
    #[must_use]
    pub fn new(seed: u64, devices: usize) -> Self {
        Self { seed, devices, events: Vec::new() }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} devices", self.seed, self.devices)?;
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, when, what } = self;
        if let When::At(at) = when {
            write!(f, "{} ", Span(*at))?;
        }
        write!(f, "device {device} ")?;
        let at = match when {
            When::At(_) => String::new(),
            When::Step(step) => format!(" at step {step}"),
            When::Request(request) => {
                write!(f, "request {request} ")?;
                String::new()
            }
        };
        match what {
            What::Act(number) => write!(f, "acts {number:x}"),
            What::Errand(errand) => write!(f, "requests {errand}"),
            What::Kill(down) => write!(f, "is killed{at} for {}", Span(*down)),
            What::PowerCut(down) => write!(f, "loses power{at} for {}", Span(*down)),
            What::Cut(lasts) => write!(f, "is cut off for {}", Span(*lasts)),
            What::CutFrom(host, lasts) => write!(f, "is cut off from {host} for {}", Span(*lasts)),
            What::Portal(lasts) => write!(f, "sees a portal for {}", Span(*lasts)),
            What::Expiry(lasts) => write!(f, "credentials expire for {}", Span(*lasts)),
            What::Full(lasts) => write!(f, "disk is full for {}", Span(*lasts)),
            What::StoreFails => write!(f, "store fails{at}"),
            What::Jump(seconds) => write!(f, "clock jumps by {seconds}s"),
            What::Fate(fate) => fate.fmt(f),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("is refused"),
            Self::Lost => f.write_str("is lost"),
            Self::Reset => f.write_str("is reset"),
            Self::ReplyLost => f.write_str("loses its reply"),
            Self::Duplicated => f.write_str("arrives twice"),
            Self::Delayed(by) => write!(f, "is delayed by {}", Span(*by)),
            Self::Status(status) => write!(f, "is answered {status}"),
            Self::LateStatus(status) => write!(f, "is done and answered {status}"),
        }
    }
}

/// A duration as text: whole milliseconds, written as seconds with three places at most.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) => write!(f, "{seconds}s"),
            (seconds, millis) => write!(f, "{seconds}.{millis:03}s"),
        }
    }
}

fn span(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    let (seconds, fraction) =
        text.strip_suffix('s')?.split_once('.').unwrap_or((text.strip_suffix('s')?, ""));
    let millis = format!("{fraction:0<3}");
    let millis = (millis.len() == 3).then(|| millis.parse::<u64>().ok()).flatten()?;
    Some(Duration::from_secs(seconds.parse().ok()?) + Duration::from_millis(millis))
}

/// A schedule that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, counted from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the schedule says nothing that is known: `{}`", self.line, self.text)
    }
}

impl std::error::Error for Unreadable {}

impl FromStr for Schedule {
    type Err = Unreadable;

    /// # Errors
    /// The first line that can't be read.
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty());
        let unreadable = |line: usize, text: &str| Unreadable { line, text: text.to_owned() };
        let (at, first) = lines.next().ok_or_else(|| unreadable(1, text))?;
        let (seed, devices) = first_line(first).ok_or_else(|| unreadable(at, first))?;
        let event = |(at, line)| event(line, devices).ok_or_else(|| unreadable(at, line));
        Ok(Self { seed, devices, events: lines.map(event).collect::<Result<_, _>>()? })
    }
}

fn first_line(line: &str) -> Option<(u64, usize)> {
    let (seed, devices) = line.strip_prefix("seed ")?.split_once(", ")?;
    Some((seed.parse().ok()?, devices.strip_suffix(" devices")?.parse().ok()?))
}

fn event(line: &str, devices: usize) -> Option<Event> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (at, words) = match *words.as_slice() {
        ["device", ..] => (None, words.as_slice()),
        [first, ..] => (Some(When::At(span(first)?)), &words[1..]),
        [] => return None,
    };
    let ["device", device, rest @ ..] = words else { return None };
    let device = device.parse().ok().filter(|device| *device < devices)?;
    let (when, what) = match (at, rest) {
        (None, ["request", nth, fate @ ..]) => (When::Request(nth.parse().ok()?), What::Fate(fate_of(fate)?)),
        (None, ["is", "killed", "at", "step", step, "for", down]) => {
            (When::Step(step.parse().ok()?), What::Kill(span(down)?))
        }
        (None, ["loses", "power", "at", "step", step, "for", down]) => {
            (When::Step(step.parse().ok()?), What::PowerCut(span(down)?))
        }
        (None, ["store", "fails", "at", "step", step]) => (When::Step(step.parse().ok()?), What::StoreFails),
        (Some(at), ["store", "fails"]) => (at, What::StoreFails),
        (Some(at), ["credentials", "expire", "for", lasts]) => (at, What::Expiry(span(lasts)?)),
        (Some(at), ["disk", "is", "full", "for", lasts]) => (at, What::Full(span(lasts)?)),
        (Some(at), ["acts", number]) => (at, What::Act(u64::from_str_radix(number, 16).ok()?)),
        (Some(at), ["requests", errand @ ..]) => (at, What::Errand(Errand::read(errand)?)),
        (Some(at), ["is", "killed", "for", down]) => (at, What::Kill(span(down)?)),
        (Some(at), ["loses", "power", "for", down]) => (at, What::PowerCut(span(down)?)),
        (Some(at), ["is", "cut", "off", "for", lasts]) => (at, What::Cut(span(lasts)?)),
        (Some(at), ["is", "cut", "off", "from", "the", "server", "for", lasts]) => {
            (at, What::CutFrom(Host::Server, span(lasts)?))
        }
        (Some(at), ["is", "cut", "off", "from", "elsewhere", "for", lasts]) => {
            (at, What::CutFrom(Host::Elsewhere, span(lasts)?))
        }
        (Some(at), ["sees", "a", "portal", "for", lasts]) => (at, What::Portal(span(lasts)?)),
        (Some(at), ["clock", "jumps", "by", by]) => (at, What::Jump(by.strip_suffix('s')?.parse().ok()?)),
        _ => return None,
    };
    Some(Event { device, when, what })
}

fn fate_of(words: &[&str]) -> Option<Fate> {
    Some(match *words {
        ["is", "refused"] => Fate::Refused,
        ["is", "lost"] => Fate::Lost,
        ["is", "reset"] => Fate::Reset,
        ["loses", "its", "reply"] => Fate::ReplyLost,
        ["arrives", "twice"] => Fate::Duplicated,
        ["is", "delayed", "by", by] => Fate::Delayed(span(by)?),
        ["is", "answered", status] => Fate::Status(status.parse().ok()?),
        ["is", "done", "and", "answered", status] => Fate::LateStatus(status.parse().ok()?),
        _ => return None,
    })
}
