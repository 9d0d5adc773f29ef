//! The carrying out of plans over a generation.

use larder_core::packed::Stored;
use larder_core::query::Filter;
use larder_core::{Borrower, Error, PageRow, Query, Result};

use crate::catalog::{Index, Slot};
use crate::codec::{self, Guard, PREFIX};
use crate::error::Raw;
use crate::gather::Gathered;
use crate::keys::Keys;
use crate::lookups::Lookups;
use crate::plan::{Access, Delivery, LOOKUP, Plan, Span};
use crate::rank::{Rows, Window, rank};
use crate::reads::{Generation, Halt, Watch, answers, page_row};

/// How much a read may cost, and what comes out of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode<'a> {
    /// On the calling thread: at most [`INLINE`] steps; rows stay in their pages.
    Inline,
    /// As long as it takes, or until the watch ends it; rows are copied.
    Whole(&'a Watch),
    /// As long as it takes; nothing comes out of it.
    Told,
    /// At most so many steps; nothing comes out of it.
    Within(usize),
}

/// The most steps on the calling thread: a fraction of a millisecond, or two where every row is looked up and decoded.
/// 500 rows that an index leads to take a quarter less time there than on another thread, whose memory they then fill.
pub(crate) const INLINE: usize = 3200;
/// How often the watch is asked.
const WATCH_EVERY: usize = 256;

/// The most entries with the same values that are turned round in memory.
const GROUP: usize = 16;

/// A key and its value.
pub(crate) type Pair = (Guard, Guard);

/// The values of an index entry, with the index's prefix.
fn values((entry, value): &Pair) -> Result<&[u8]> {
    Ok(codec::split_entry(entry.value(), value.value())?.0)
}

/// So few rows are lent on the calling thread as they come, although it may turn out that finding all of them takes too long.
const BRIEF: usize = 1024;

/// The most lookups on the calling thread, each of a key that was gathered before.
pub(crate) const INLINE_LOOKUPS: usize = INLINE / (1 + LOOKUP);

/// A row that was found.
pub(crate) enum Found {
    /// Its record, still in its page.
    Lent(Guard),
    /// A copy.
    Copied(Box<PageRow>),
}

/// What a plan came to.
pub(crate) struct Answer {
    /// The rows, in order.
    pub(crate) rows: Vec<Found>,
    /// What it cost: one for each row or entry that was passed, [`LOOKUP`] for each that was looked up.
    pub(crate) steps: usize,
}

/// Carries out a plan, however long it takes.
pub(crate) fn run(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    plan: &Plan,
    watch: &Watch,
) -> Result<Answer, Halt> {
    let mut reader = Reader::new(generation, slot, query, Mode::Whole(watch));
    match reader.carry_out(plan) {
        Err(Stop::Halt(halt)) => Err(halt),
        _ => Ok(Answer { steps: reader.steps, rows: reader.rows.finish(reader.window) }),
    }
}

/// Carries out a plan within [`Mode::Inline`] and lends what it finds. `false`: it would take too long, and what was lent
/// is void.
pub(crate) fn lend_now(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    plan: &Plan,
    to: &mut dyn Borrower,
) -> Result<bool, Halt> {
    let mut reader = Reader::new(generation, slot, query, Mode::Inline);
    reader.at_once = reader.window.take <= BRIEF;
    reader.borrower = Some(to);
    match reader.carry_out(plan) {
        Ok(()) | Err(Stop::Enough) => {}
        Err(Stop::TooLong) => return Ok(false),
        Err(Stop::Halt(halt)) => return Err(halt),
    }
    let Reader { rows, borrower, window, .. } = reader;
    let Some(to) = borrower else { return Ok(true) };
    for found in rows.finish(window) {
        let Found::Lent(record) = found else { continue };
        let stored = Stored::parse_verified(record.value())?;
        to.take(stored.meta, &slot.row(stored.body.unwrap_or_default())?)?;
    }
    Ok(true)
}

/// Carries out a plan and lends what it finds; gives how many steps it took. Rows that come in order are lent where they
/// lie; those that have to be sorted are copied before.
pub(crate) fn lend(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    plan: &Plan,
    watch: &Watch,
    to: &mut dyn Borrower,
) -> Result<usize, Halt> {
    to.anew();
    let mut reader = Reader::new(generation, slot, query, Mode::Whole(watch));
    reader.borrower = Some(to);
    reader.at_once = true;
    if let Err(Stop::Halt(halt)) = reader.carry_out(plan) {
        return Err(halt);
    }
    let Reader { rows, borrower, window, steps, .. } = reader;
    let Some(to) = borrower else { return Ok(steps) };
    for found in rows.finish(window) {
        if let Found::Copied(row) = found {
            to.take(row.meta.show(), &*row.row)?;
        }
    }
    Ok(steps)
}

/// Counts the rows that a plan finds, whatever the window.
pub(crate) fn count(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    plan: &Plan,
    watch: &Watch,
) -> Result<u64, Halt> {
    let mut reader = Reader::new(generation, slot, query, Mode::Whole(watch));
    reader.rows = Rows::Counted(0);
    match reader.carry_out(plan) {
        Err(Stop::Halt(halt)) => Err(halt),
        _ => Ok(if let Rows::Counted(count) = reader.rows { count } else { 0 }),
    }
}

/// What a plan gathers; `None` if it gathers nothing, or gives it up.
pub(crate) fn gather(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    plan: &Plan,
) -> Result<Option<Gathered>, Halt> {
    let Some(gather) = &plan.gather else { return Ok(None) };
    match Reader::new(generation, slot, query, Mode::Told).gather(gather) {
        Ok(gathered) => Ok(gathered),
        Err(Stop::Enough | Stop::TooLong) => Ok(None),
        Err(Stop::Halt(halt)) => Err(halt),
    }
}

/// The keys that a plan gathers; `None` if it gathers nothing, gives it up, or would take more than so many steps.
pub(crate) fn gather_within(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    plan: &Plan,
    steps: usize,
) -> Result<Option<Keys>, Halt> {
    let Some(gather) = &plan.gather else { return Ok(None) };
    match Reader::new(generation, slot, query, Mode::Within(steps)).gather(gather) {
        Ok(gathered) => Ok(gathered.map(|gathered| gathered.keys)),
        Err(Stop::Enough | Stop::TooLong) => Ok(None),
        Err(Stop::Halt(halt)) => Err(halt),
    }
}

/// Lends the rows at `keys`, which are sorted and have the model's prefix, if they answer; gives how many steps it took.
pub(crate) fn lend_keys(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    keys: &[&[u8]],
    watch: &Watch,
    to: &mut dyn Borrower,
) -> Result<usize, Halt> {
    let mut reader = Reader::new(generation, slot, query, Mode::Whole(watch));
    reader.borrower = Some(to);
    reader.at_once = true;
    match reader.keys(keys.iter().copied(), keys.len(), None) {
        Err(Stop::Halt(halt)) => Err(halt),
        _ => Ok(reader.steps),
    }
}

/// Lends the first so many of the rows in `span` that answer; gives where it ends, unless that is the end of the span.
pub(crate) fn lend_rows(
    generation: &Generation,
    slot: &Slot,
    query: &Query,
    span: &Span,
    most: usize,
    to: &mut dyn Borrower,
) -> Result<Option<Vec<u8>>, Halt> {
    let mut reader = Reader::new(generation, slot, query, Mode::Told);
    reader.borrower = Some(to);
    reader.at_once = true;
    let mut range = generation.range(span)?;
    for _ in 0..most {
        let Some(pair) = range.next().transpose().map_err(Raw::from)? else { return Ok(None) };
        if let Err(Stop::Halt(halt)) = reader.row(pair) {
            return Err(halt);
        }
    }
    let next = range.next().transpose().map_err(Raw::from)?;
    Ok(next.map(|(key, _)| key.value().to_vec()))
}

/// The most rows that the model can have.
pub(crate) fn rows_at_most(generation: &Generation, slot: &Slot, query: &Query) -> Result<usize, Halt> {
    Reader::new(generation, slot, query, Mode::Told).rows_at_most()
}

/// Why the carrying out of a plan ended early.
pub(crate) enum Stop {
    /// There are enough rows.
    Enough,
    /// It would take too long for the calling thread.
    TooLong,
    /// It failed.
    Halt(Halt),
}

impl<E: Into<Halt>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Halt(error.into())
    }
}

/// Carries out a plan.
pub(crate) struct Reader<'a> {
    pub(crate) generation: &'a Generation,
    pub(crate) slot: &'a Slot,
    query: &'a Query,
    filter: Filter<'a>,
    pub(crate) mode: Mode<'a>,
    window: Window,
    rows: Rows,
    steps: usize,
    /// Who takes rows that come in order, and how many he has.
    borrower: Option<&'a mut (dyn Borrower + 'a)>,
    lent: usize,
    /// True if he takes them as they come; else when it is known that it does not take too long.
    at_once: bool,
    /// The key of a row that an entry leads to; begins with the model's prefix.
    at: Vec<u8>,
    /// The entry that a row has now.
    entry: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(generation: &'a Generation, slot: &'a Slot, query: &'a Query, mode: Mode<'a>) -> Self {
        let (window, filter) = (Window::of(query), Filter::of(&query.filter));
        let (rows, at) = (Rows::new(window, false), codec::prefix(codec::ROWS, slot.model).to_vec());
        let (steps, borrower, lent, at_once, entry) = (0, None, 0, false, Vec::new());
        Self {
            generation,
            slot,
            query,
            filter,
            mode,
            window,
            rows,
            steps,
            borrower,
            lent,
            at_once,
            at,
            entry,
        }
    }

    fn carry_out(&mut self, plan: &Plan) -> Result<(), Stop> {
        if let Some(gather) = &plan.gather
            && let Some(Gathered { keys, .. }) = self.gather(gather)?
        {
            let asked = gather.delivery.map_or(usize::MAX, |_| self.window.end());
            if matches!(self.mode, Mode::Inline) && keys.len().min(asked) > INLINE_LOOKUPS {
                return Err(Stop::TooLong);
            }
            self.sort_unless(gather.delivery);
            return self.keys(keys.iter(), keys.len(), gather.delivery);
        }
        self.sort_unless(plan.delivery);
        match &plan.access {
            Access::Keys(keys) => self.keys(keys.iter(), keys.len(), plan.delivery),
            Access::Rows(spans) => self.rows(spans, plan.delivery),
            Access::Index { spans, head, index } => {
                let delivery = plan.delivery.unwrap_or(Delivery::Forward);
                if let Some(head) = head {
                    self.index_in_order(head, *index, Delivery::Forward)?;
                }
                spans.iter().try_for_each(|span| self.index_in_order(span, *index, delivery))
            }
        }
    }

    fn sort_unless(&mut self, delivery: Option<Delivery>) {
        if matches!(self.rows, Rows::Counted(_)) {
            return;
        }
        self.rows = Rows::new(self.window, delivery.is_none() && !self.query.order.is_empty());
    }

    /// Looks up `count` keys, which are sorted and have the model's prefix.
    fn keys<'k>(
        &mut self,
        mut keys: impl DoubleEndedIterator<Item = &'k [u8]>,
        count: usize,
        delivery: Option<Delivery>,
    ) -> Result<(), Stop> {
        let generation = self.generation;
        // What so many lookups take is known.
        self.at_once |= self.steps + LOOKUP * count <= INLINE;
        if delivery == Some(Delivery::Backward) {
            return keys.rev().try_for_each(|key| self.lookup(key, |key| generation.get(key)));
        }
        let mut lookups = Lookups::new(generation, &codec::prefix(codec::ROWS, self.slot.model), count);
        keys.try_for_each(|key| self.lookup(key, |key| lookups.get(key)))
    }

    fn lookup(
        &mut self,
        key: &[u8],
        get: impl FnOnce(&[u8]) -> Result<Option<Guard>, Halt>,
    ) -> Result<(), Stop> {
        self.step(LOOKUP)?;
        match get(key)? {
            Some(record) => self.consider(&key[PREFIX..], record, None),
            None => Ok(()),
        }
    }

    fn rows(&mut self, spans: &[Span], delivery: Option<Delivery>) -> Result<(), Stop> {
        let backward = delivery == Some(Delivery::Backward);
        for at in 0..spans.len() {
            let span = if backward { &spans[spans.len() - 1 - at] } else { &spans[at] };
            let mut range = self.generation.range(span)?;
            while let Some(pair) = if backward { range.next_back() } else { range.next() } {
                self.row(pair.map_err(Raw::from)?)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, (key, record): Pair) -> Result<(), Stop> {
        self.step(1)?;
        // A page that is another one has keys of its own.
        let key = key.value().get(PREFIX..).ok_or_else(|| codec::damaged("the key of a row"))?;
        self.consider(key, record, None)
    }

    fn index_in_order(&mut self, span: &Span, index: usize, delivery: Delivery) -> Result<(), Stop> {
        if delivery == Delivery::Grouped {
            return self.index_in_groups(span, index);
        }
        let mut range = self.generation.range(span)?;
        let mut next = || match delivery {
            Delivery::Forward => range.next().transpose(),
            _ => range.next_back().transpose(),
        };
        if matches!(self.mode, Mode::Inline) && self.window.end() > INLINE_LOOKUPS {
            // Before anything is looked up, it is known whether that would take too long.
            let mut pairs = Vec::with_capacity(INLINE_LOOKUPS);
            while let Some(pair) = next().map_err(Raw::from)? {
                if pairs.len() == INLINE_LOOKUPS {
                    return Err(Stop::TooLong);
                }
                pairs.push(pair);
            }
            return pairs.iter().try_for_each(|pair| self.entry(pair, index));
        }
        while let Some(pair) = next().map_err(Raw::from)? {
            self.entry(&pair, index)?;
        }
        Ok(())
    }

    /// From the last values to the first, and within the same values by rising keys. A group of a few entries is turned
    /// round in memory; a larger one is gone through again from its start, for a limit may end it early.
    fn index_in_groups(&mut self, span: &Span, index: usize) -> Result<(), Stop> {
        let mut range = self.generation.range(span)?;
        let mut last = range.next_back().transpose().map_err(Raw::from)?;
        while let Some(pair) = last {
            let values = values(&pair)?.to_vec();
            let mut group = vec![pair];
            last = loop {
                self.step(1)?;
                let before = range.next_back().transpose().map_err(Raw::from)?;
                match before {
                    Some(pair) if self::values(&pair)? == values && group.len() < GROUP => group.push(pair),
                    Some(pair) if self::values(&pair)? == values => {
                        group.clear();
                        let whole = (values.clone(), codec::after(&values));
                        self.index_in_order(&whole, index, Delivery::Forward)?;
                        range = self.generation.range(&(span.0.clone(), values))?;
                        break range.next_back().transpose().map_err(Raw::from)?;
                    }
                    before => break before,
                }
            };
            group.iter().rev().try_for_each(|pair| self.entry(pair, index))?;
        }
        Ok(())
    }

    /// Looks up the row of an entry, unless the row has moved on: an entry that damage left behind must not put a row
    /// where it does not belong.
    fn entry(&mut self, (entry, value): &Pair, index: usize) -> Result<(), Stop> {
        self.step(LOOKUP)?;
        let (entry, index) = (entry.value(), &self.slot.indexes[index]);
        let (_, key) = codec::split_entry(entry, value.value())?;
        self.at.truncate(PREFIX);
        self.at.extend_from_slice(key);
        match self.generation.get(&self.at)? {
            Some(record) => self.consider(key, record, Some((entry, index))),
            None => Ok(()),
        }
    }

    pub(crate) fn step(&mut self, cost: usize) -> Result<(), Stop> {
        let before = self.steps;
        self.steps += cost;
        match self.mode {
            Mode::Inline if self.steps > INLINE => Err(Stop::TooLong),
            Mode::Within(most) if self.steps > most => Err(Stop::TooLong),
            Mode::Whole(watch) if before / WATCH_EVERY != self.steps / WATCH_EVERY => Ok(watch.check()?),
            _ => Ok(()),
        }
    }

    /// Takes the row in, if it answers the query, and has the entry of an index that led to it.
    fn consider(&mut self, key: &[u8], record: Guard, from: Option<(&[u8], &Index)>) -> Result<(), Stop> {
        let named = |error: Error| codec::keyed(error.model(self.slot.schema.model), key);
        let stored = Stored::parse(record.value()).map_err(named)?;
        let Some(body) = stored.body else { return Ok(()) };
        let row = self.slot.row(body).map_err(named)?;
        if let Some((entry, index)) = from {
            self.entry.clear();
            codec::write_entry(&mut self.entry, index.id, index.def, &row, key);
            if self.entry != entry {
                return Ok(());
            }
        }
        if !answers(self.slot, self.query, &self.filter, &row).map_err(named)? {
            return Ok(());
        }
        let rank = match &mut self.rows {
            Rows::Counted(count) => {
                *count += 1;
                return Ok(());
            }
            Rows::Streamed(_, skip) if *skip > 0 => {
                *skip -= 1;
                return Ok(());
            }
            Rows::Streamed(..) => Vec::new(),
            Rows::Sorted(sorter) => {
                let rank = rank(self.slot, &self.query.order, &row, key)?;
                if sorter.refuses(&rank) {
                    return Ok(());
                }
                rank
            }
        };
        if let (Some(to), Rows::Streamed(..), true) = (&mut self.borrower, &self.rows, self.at_once) {
            to.take(stored.meta, &row)?;
            self.lent += 1;
            return if self.lent >= self.window.take { Err(Stop::Enough) } else { Ok(()) };
        }
        let found = match self.mode {
            Mode::Whole(_) | Mode::Told | Mode::Within(_) => {
                Found::Copied(Box::new(page_row(self.slot, &stored)?))
            }
            Mode::Inline => Found::Lent(record),
        };
        match &mut self.rows {
            Rows::Counted(_) => Ok(()),
            Rows::Streamed(rows, _) => {
                if rows.is_empty() {
                    rows.reserve(self.window.take.min(INLINE_LOOKUPS));
                }
                rows.push(found);
                if rows.len() >= self.window.take { Err(Stop::Enough) } else { Ok(()) }
            }
            Rows::Sorted(sorter) => {
                sorter.push(rank, found);
                Ok(())
            }
        }
    }
}
