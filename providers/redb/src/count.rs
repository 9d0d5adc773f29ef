//! Counting: from index entries alone where the filter is one that an index answers by itself, else row by row without
//! keeping any.

use larder_core::{CompareOp, IndexDef, Predicate, Query, TextOp, Value};

use crate::catalog::Slot;
use crate::codec;
use crate::error::Raw;
use crate::plan::{Access, Plan, Span};
use crate::reads::{Generation, Halt, Watch, judge};
use crate::scan::{self, Mode};

/// How often the watch is asked.
const WATCH_EVERY: u64 = 256;

/// How many rows answer `query`, its window included.
pub(crate) fn count(generation: &Generation, slot: &Slot, query: &Query, watch: &Watch) -> Result<u64, Halt> {
    if query.after.is_some() {
        let plan = Plan::of(slot, query);
        let found = scan::run(generation, slot, query, &plan, Mode::Whole(watch))?;
        return Ok(found.map_or(0, |answer| answer.rows.len() as u64));
    }
    // How many there are has nothing to do with their order.
    let all = Query { deny_scan: query.deny_scan, ..Query::filter(query.filter.clone()) };
    let plan = Plan::of(slot, &all);
    let mut counter = Counter { generation, slot, query: &all, watch, count: 0, steps: 0 };
    match &plan.access {
        Access::Keys(keys) => keys.iter().try_for_each(|key| counter.lookup(key))?,
        Access::Rows(spans) => counter.rows(spans)?,
        Access::Index { spans, index, .. } if says_all(&all.filter, slot.indexes[*index].def) => {
            counter.entries(spans)?;
        }
        Access::Index { spans, .. } => counter.index(spans)?,
    }
    Ok(counter.count.saturating_sub(query.offset).min(query.limit.unwrap_or(u64::MAX)))
}

/// True if the ranges that the planner makes of `filter` over the index hold the entries of the rows that answer, and
/// no others: one condition, on the first field, whose encoding loses nothing.
fn says_all(filter: &Predicate, index: &IndexDef) -> bool {
    let [condition] = filter.conjuncts() else {
        return false;
    };
    let first = |field: &u16| index.fields.first() == Some(&usize::from(*field));
    match condition {
        Predicate::Compare { field, op: CompareOp::Eq, value } => first(field) && is_scalar(value),
        Predicate::Compare { field, op, value } => {
            first(field) && *op != CompareOp::Ne && is_scalar(value) && *value != Value::Null
        }
        Predicate::Between { field, low, high } => {
            first(field) && [low, high].into_iter().all(|end| is_scalar(end) && *end != Value::Null)
        }
        Predicate::In { field, values } => first(field) && values.iter().all(is_scalar),
        Predicate::Text { field, op: TextOp::StartsWith, ignore_case: false, negated: false, .. } => {
            first(field)
        }
        _ => false,
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Variant(_))
}

struct Counter<'a> {
    generation: &'a Generation,
    slot: &'a Slot,
    query: &'a Query,
    watch: &'a Watch,
    count: u64,
    steps: u64,
}

impl Counter<'_> {
    fn step(&mut self) -> Result<(), Halt> {
        self.steps += 1;
        if self.steps.is_multiple_of(WATCH_EVERY) {
            self.watch.check()?;
        }
        Ok(())
    }

    fn judge(&mut self, record: &[u8]) -> Result<(), Halt> {
        self.step()?;
        self.count += u64::from(judge(self.slot, self.query, record)?.is_some());
        Ok(())
    }

    /// `key` has the model's prefix.
    fn lookup(&mut self, key: &[u8]) -> Result<(), Halt> {
        match self.generation.get(key)? {
            Some(record) => self.judge(record.value()),
            None => Ok(()),
        }
    }

    fn rows(&mut self, spans: &[Span]) -> Result<(), Halt> {
        for span in spans {
            for pair in self.generation.range(span)? {
                let (_, record) = pair.map_err(Raw::from)?;
                self.judge(record.value())?;
            }
        }
        Ok(())
    }

    fn entries(&mut self, spans: &[Span]) -> Result<(), Halt> {
        for span in spans {
            for pair in self.generation.range(span)? {
                pair.map_err(Raw::from)?;
                self.step()?;
                self.count += 1;
            }
        }
        Ok(())
    }

    fn index(&mut self, spans: &[Span]) -> Result<(), Halt> {
        let mut keys = Vec::new();
        for span in spans {
            for pair in self.generation.range(span)? {
                let (entry, value) = pair.map_err(Raw::from)?;
                let (_, key) = codec::split_entry(entry.value(), value.value())?;
                keys.push([&codec::prefix(codec::ROWS, self.slot.model), key].concat());
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys.iter().try_for_each(|key| self.lookup(key))
    }
}
