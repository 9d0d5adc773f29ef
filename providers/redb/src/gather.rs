//! The gathering of keys from several candidates, in turns; see the rule in [`plan`](crate::plan).

use redb::ReadableTableMetadata as _;

use crate::codec;
use crate::error::Raw;
use crate::plan::{Candidate, Delivery, Gather, LOOKUP};
use crate::reads::Halt;
use crate::scan::{INLINE_LOOKUPS, Mode, Reader, Stop};

/// How many steps a candidate goes on before it is another's turn.
const TURN: usize = 64;

/// What was gathered.
pub(crate) struct Gathered {
    /// The keys, sorted, each with the model's prefix.
    pub(crate) keys: Vec<Vec<u8>>,
    /// Which of the candidates had all of them.
    pub(crate) used: Vec<usize>,
}

/// A candidate on its way.
struct Racer<'p> {
    candidate: &'p Candidate,
    /// How many of its sources have been begun.
    begun: usize,
    range: Option<redb::Range<'static, codec::Bytes, codec::Bytes>>,
    keys: Vec<Vec<u8>>,
    steps: usize,
    ended: bool,
}

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
            if racers.iter().all(|racer| racer.steps > budget) {
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
                gathered.keys.retain(|key| keys.binary_search(key).is_ok());
                gathered.used.push(if at == first { last } else { at });
            }
        }
        if gathered.keys.len() > budget {
            return Ok(None);
        }
        if let (Some(place), Some(delivery)) = (&gather.place, gather.delivery) {
            match delivery {
                Delivery::Backward => {
                    gathered.keys.truncate(gathered.keys.partition_point(|key| key < place));
                }
                _ => drop(gathered.keys.drain(..gathered.keys.partition_point(|key| key <= place))),
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
        for _ in 0..steps {
            if racer.ended {
                return Ok(());
            }
            self.step(1)?;
            racer.steps += 1;
            let pair = racer.range.as_mut().and_then(Iterator::next).transpose().map_err(Raw::from)?;
            let Some((key, value)) = pair else {
                match racer.candidate.sources.get(racer.begun) {
                    Some((_, span)) => racer.range = Some(self.generation.range(span)?),
                    None => racer.ended = true,
                }
                racer.begun += 1;
                continue;
            };
            racer.keys.push(match racer.candidate.sources[racer.begun - 1].0 {
                Some(_) => self.row_key(codec::split_entry(key.value(), value.value())?.1),
                None => key.value().to_vec(),
            });
        }
        Ok(())
    }
}

impl<'p> Racer<'p> {
    fn new(candidate: &'p Candidate) -> Self {
        let ended = candidate.sources.is_empty();
        Self { candidate, begun: 0, range: None, keys: candidate.keys.clone(), steps: 0, ended }
    }

    fn into_keys(mut self) -> Vec<Vec<u8>> {
        self.keys.sort_unstable();
        self.keys.dedup();
        self.keys
    }
}
