//! The gathering of keys from several candidates, in turns; see the rule in [`plan`](crate::plan).

use redb::ReadableTableMetadata as _;

use crate::codec;
use crate::error::Raw;
use crate::keys::Keys;
use crate::plan::{Candidate, Delivery, Gather, LOOKUP, Span};
use crate::reads::{Generation, Halt};
use crate::scan::{INLINE_LOOKUPS, Mode, Pair, Reader, Stop};

/// How many steps a candidate goes on before it is another's turn.
const TURN: usize = 64;
/// After so many sources, it can be told how many steps all of them will take.
const SOURCES: usize = 16;

/// What was gathered.
pub(crate) struct Gathered {
    /// The keys, sorted, each with the model's prefix.
    pub(crate) keys: Keys,
    /// Which of the candidates had all of them.
    pub(crate) used: Vec<usize>,
}

/// A candidate on its way.
struct Racer<'p> {
    candidate: &'p Candidate,
    /// Which of its sources it is at.
    at: usize,
    /// The last of those that lie behind each other from that one on: one walk goes through them.
    last: usize,
    walk: Option<Walk>,
    /// The pair that was read after the end of a source: the next one may begin with it.
    ahead: Option<Pair>,
    keys: Keys,
    steps: usize,
    ended: bool,
}

type Walk = redb::Range<'static, codec::Bytes, codec::Bytes>;

impl Reader<'_> {
    /// Gathers keys; `None`: there are too many.
    pub(crate) fn gather(&mut self, gather: &Gather) -> Result<Option<Gathered>, Stop> {
        let budget = gather.budget.entries(self.rows_at_most()?);
        let mut racers: Vec<Racer<'_>> = gather.candidates.iter().map(Racer::new).collect();
        let first = loop {
            for racer in &mut racers {
                self.turn(racer, TURN)?;
            }
            if let Some(first) = racers.iter().position(|racer| racer.ended) {
                break first;
            }
            if racers.iter().all(|racer| racer.steps > budget || racer.expected() / 2 > budget) {
                return Ok(None);
            }
            if matches!(self.mode, Mode::Inline)
                && racers.iter().all(|racer| racer.keys.len() > INLINE_LOOKUPS)
            {
                return Err(Stop::TooLong);
            }
        };
        let mut gathered = Gathered { keys: racers.swap_remove(first).into_keys(), used: vec![first] };
        // Removing the first has put the last in its place.
        let last = racers.len();
        for (at, mut racer) in racers.into_iter().enumerate() {
            // Reading on is worth while for as long as it costs less than the lookups that it may save.
            let worth = LOOKUP * gathered.keys.len();
            if !racer.ended && racer.steps < worth {
                let more = worth - racer.steps;
                self.turn(&mut racer, more)?;
            }
            if racer.ended {
                let keys = racer.into_keys();
                gathered.keys.retain_in(&keys);
                gathered.used.push(if at == first { last } else { at });
            }
        }
        if gathered.keys.len() > budget {
            return Ok(None);
        }
        if let (Some(place), Some(delivery)) = (&gather.place, gather.delivery) {
            match delivery {
                Delivery::Backward => gathered.keys.end_before(place),
                _ => gathered.keys.begin_after(place),
            }
        }
        gathered.used.sort_unstable();
        Ok(Some(gathered))
    }

    /// The most rows that the model can have: each has an entry in every index.
    pub(crate) fn rows_at_most(&self) -> Result<usize, Halt> {
        let pairs = self.generation.table.len().map_err(Raw::from)?;
        let each = 1 + self.slot.indexes.len();
        Ok(usize::try_from(pairs).unwrap_or(usize::MAX) / each)
    }

    /// Lets a candidate go on for so many steps.
    fn turn(&mut self, racer: &mut Racer<'_>, steps: usize) -> Result<(), Stop> {
        let prefix = codec::prefix(codec::ROWS, self.slot.model);
        for _ in 0..steps {
            if racer.ended {
                return Ok(());
            }
            self.step(1)?;
            racer.steps += 1;
            let Some((key, value)) = racer.next(self.generation)? else { continue };
            match racer.candidate.sources[racer.at].0 {
                Some(_) => racer.keys.push([&prefix, codec::split_entry(key.value(), value.value())?.1]),
                None => racer.keys.push([key.value(), &[]]),
            }
        }
        Ok(())
    }
}

impl<'p> Racer<'p> {
    fn new(candidate: &'p Candidate) -> Self {
        let (keys, ended) = (candidate.keys.clone(), candidate.sources.is_empty());
        let mut racer = Self { candidate, at: 0, last: 0, walk: None, ahead: None, keys, steps: 0, ended };
        racer.look_on();
        racer
    }

    /// How many steps it is going to take, if its sources are alike.
    fn expected(&self) -> usize {
        if self.at < SOURCES { self.steps } else { self.steps * self.candidate.sources.len() / self.at }
    }

    /// Sees how far one walk goes.
    fn look_on(&mut self) {
        let sources = self.candidate.sources.get(self.at..).unwrap_or_default();
        self.last = self.at + sources.windows(2).take_while(|pair| follows(&pair[0], &pair[1])).count();
    }

    /// The next pair of the source that it is at; `None` if that has ended, and it is at the next one, or has ended.
    fn next(&mut self, generation: &Generation) -> Result<Option<Pair>, Halt> {
        let sources = &self.candidate.sources;
        let (_, (low, high)) = &sources[self.at];
        let walk = match &mut self.walk {
            Some(walk) => walk,
            None => {
                let (_, (_, end)) = &sources[self.last];
                self.walk.insert(generation.range(&(low.clone(), end.clone()))?)
            }
        };
        let pair = match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => walk.next().transpose().map_err(Raw::from)?,
        };
        if let Some(pair) = pair {
            if pair.0.value() < high.as_slice() {
                return Ok(Some(pair));
            }
            self.ahead = Some(pair);
        }
        self.at += 1;
        self.ended = self.at == sources.len();
        if self.at > self.last {
            self.look_on();
            (self.walk, self.ahead) = (None, None);
        } else if self.is_far() {
            (self.walk, self.ahead) = (None, None);
        }
        Ok(None)
    }

    /// True if the source that it is at now begins behind the pair that was read ahead: it is gone to, and what lies
    /// between is not read.
    fn is_far(&self) -> bool {
        let (_, (low, _)) = &self.candidate.sources[self.at];
        self.ahead.as_ref().is_some_and(|(key, _)| key.value() < low.as_slice())
    }

    fn into_keys(mut self) -> Keys {
        self.keys.sort();
        self.keys
    }
}

/// True if both are ranges of the same keys, and the second lies behind the first.
fn follows(one: &(Option<usize>, Span), next: &(Option<usize>, Span)) -> bool {
    one.0 == next.0 && one.1.1 <= next.1.0
}
