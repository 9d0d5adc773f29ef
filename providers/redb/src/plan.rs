//! How a query is answered: by key, over an index, or by a scan.
//!
//! A plan only narrows down where to look. Every row that is found is judged by the whole filter again, so what a plan
//! does not understand costs time and never changes an answer.

use larder_core::{Direction, Key, Order, Predicate, Query, ordered};

use crate::catalog::Slot;
use crate::codec::{self, ENTRIES, PREFIX, ROWS};

/// Beyond this many ranges, further fields of an index are left to the filter.
const RANGES: usize = 1024;

/// Where to look, and what order that gives.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// Where to look.
    pub(crate) access: Access,
    /// How looking there gives the rows in the query's order; `None` if they have to be sorted.
    pub(crate) delivery: Option<Delivery>,
}

/// Where to look.
#[derive(Debug, PartialEq)]
pub(crate) enum Access {
    /// At these keys, sorted; each with the model's prefix. None: no row can answer.
    Keys(Vec<Vec<u8>>),
    /// At the rows in these ranges.
    Rows(Vec<Span>),
    /// At the rows that the entries in these ranges lead to.
    Index {
        /// The ranges.
        spans: Vec<Span>,
        /// A range that comes before them, as it lies.
        head: Option<Span>,
        /// The index.
        index: usize,
    },
}

/// From a key on, up to another and without it.
pub(crate) type Span = (Vec<u8>, Vec<u8>);

/// The order in which rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As they lie.
    Forward,
    /// From the last to the first.
    Backward,
    /// From the last to the first, but rows that agree in the index's values as they lie.
    Grouped,
}

impl Plan {
    /// Plans `query`.
    pub(crate) fn of(slot: &Slot, query: &Query) -> Self {
        let mut conjuncts = Vec::new();
        flatten(&query.filter, &mut conjuncts);
        Planner { slot, query, conjuncts }.plan()
    }

    /// True if the plan reads all rows of the model.
    pub(crate) fn is_scan(&self) -> bool {
        match &self.access {
            Access::Rows(spans) => spans.iter().any(|(low, _)| low.len() == PREFIX),
            _ => false,
        }
    }

    /// The number of keys that are looked up, if it is known.
    pub(crate) fn lookups(&self) -> Option<usize> {
        match &self.access {
            Access::Keys(keys) => Some(keys.len()),
            _ => None,
        }
    }
}

fn flatten<'q>(filter: &'q Predicate, into: &mut Vec<&'q Predicate>) {
    match filter {
        Predicate::And(all) => all.iter().for_each(|one| flatten(one, into)),
        one => into.push(one),
    }
}

/// One way to the rows: their keys, or an index.
pub(crate) struct Path {
    pub(crate) spans: Vec<Span>,
    /// What comes before `spans`, as it lies: the rest of a group that a page ended in.
    pub(crate) head: Option<Span>,
    /// What all keys or entries begin with, if the fields that are limited to values have one each.
    pub(crate) start: Vec<u8>,
    /// Fields that are limited to values, from the first.
    pub(crate) fixed: usize,
    /// Whether the field after them is limited to a range.
    ranged: bool,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) index: Option<usize>,
}

impl Path {
    fn rank(&self, of: usize) -> (bool, usize, bool, bool, bool) {
        let whole = of > 0 && self.fixed == of;
        (whole, self.fixed, self.ranged, self.delivery.is_some(), self.index.is_none())
    }

    fn is_limited(&self) -> bool {
        self.fixed > 0 || self.ranged
    }
}

/// Makes a plan.
pub(crate) struct Planner<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) query: &'a Query,
    pub(crate) conjuncts: Vec<&'a Predicate>,
}

impl Planner<'_> {
    fn plan(&self) -> Plan {
        if self.query.limit == Some(0) {
            return self.keys(Vec::new());
        }
        if let Some(keys) = self.conjuncts.iter().find_map(|one| self.named_keys(one)) {
            return self.keys(keys);
        }
        let key_fields = self.slot.schema.key.fields;
        let by_key = self.by_key();
        if !key_fields.is_empty() && by_key.fixed == key_fields.len() {
            return self.keys(by_key.spans.into_iter().map(|(key, _)| key).collect());
        }
        let mut best = (by_key.rank(key_fields.len()), by_key);
        for (at, index) in self.slot.indexes.iter().enumerate().filter(|(_, index)| index.is_complete()) {
            let path = self.by_index(at);
            let rank = path.rank(index.def.fields.len());
            // An index that limits nothing is worth its lookups only if it ends them early.
            let useful = path.is_limited() || (path.delivery.is_some() && self.query.limit.is_some());
            if useful && rank > best.0 {
                best = (rank, path);
            }
        }
        let Path { spans, head, delivery, index, .. } = self.seek(best.1);
        let access = match index {
            Some(index) => Access::Index { spans, head, index },
            None => Access::Rows(spans),
        };
        Plan { access, delivery }
    }

    fn keys(&self, mut keys: Vec<Vec<u8>>) -> Plan {
        keys.sort_unstable();
        keys.dedup();
        let delivery = self.in_key_order();
        self.seek_keys(&mut keys, delivery);
        Plan { access: Access::Keys(keys), delivery }
    }

    fn named_keys(&self, conjunct: &Predicate) -> Option<Vec<Vec<u8>>> {
        let encode = |key: &Key| codec::row_key(self.slot.model, key);
        match conjunct {
            Predicate::Key(key) => Some(vec![encode(key)]),
            Predicate::Keys(keys) => Some(keys.iter().map(encode).collect()),
            Predicate::Or(any) if any.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    fn by_key(&self) -> Path {
        let fields = self.slot.schema.key.fields;
        let mut start = codec::prefix(ROWS, self.slot.model).to_vec();
        let composite = fields.len() > 1;
        if composite {
            // What the encoding of a composite key begins with, before its first part; and what it ends with.
            let mut empty = Vec::new();
            ordered::encode_key(&Key::Composite([].into()), &mut empty);
            let end = empty.split_off(1);
            start.extend(empty);
            let mut path = self.reach(&start, fields, true);
            if path.fixed == fields.len() {
                path.spans.iter_mut().for_each(|(key, _)| key.extend_from_slice(&end));
            } else if !path.is_limited() {
                path.spans = vec![whole(&codec::prefix(ROWS, self.slot.model))];
            }
            path
        } else {
            self.reach(&start, fields, true)
        }
    }

    fn by_index(&self, at: usize) -> Path {
        let index = &self.slot.indexes[at];
        let path = self.reach(&codec::prefix(ENTRIES, index.id), index.def.fields, false);
        Path { index: Some(at), ..path }
    }

    /// How far the filter limits `fields`, whose encodings follow `start`.
    fn reach(&self, start: &[u8], fields: &[usize], key: bool) -> Path {
        let mut prefixes = vec![start.to_vec()];
        let mut fixed = 0;
        for field in fields {
            let Some(values) = self.limits(*field, key).among else {
                break;
            };
            if fixed > 0 && prefixes.len() * values.len() > RANGES {
                break;
            }
            let extended = |one: &Vec<u8>| {
                values.iter().map(|value| [one.as_slice(), value].concat()).collect::<Vec<_>>()
            };
            prefixes = prefixes.iter().flat_map(extended).collect();
            fixed += 1;
        }
        let rest = &fields[fixed..];
        let limits = rest.first().map(|field| self.limits(*field, key)).unwrap_or_default();
        let span = |prefix: &Vec<u8>| match (&limits.low, &limits.high) {
            (Some(low), Some(high)) => {
                ([prefix.as_slice(), low].concat(), [prefix.as_slice(), high].concat())
            }
            _ => whole(prefix),
        };
        let mut spans: Vec<Span> = prefixes.iter().map(span).filter(|(low, high)| low < high).collect();
        spans.sort_unstable();
        let delivery = match key {
            true => self.in_key_order(),
            // Ranges of an index are not in order among each other.
            false if spans.len() > 1 => None,
            false => self.delivery(rest, self.slot.schema.key.fields),
        };
        let start = prefixes.into_iter().next().unwrap_or_default();
        Path { spans, head: None, start, fixed, ranged: limits.low.is_some(), delivery, index: None }
    }

    /// How rows that come in the order of their keys come in the query's order.
    fn in_key_order(&self) -> Option<Delivery> {
        let fields = self.slot.schema.key.fields.iter().copied();
        let open: Vec<usize> = fields.filter(|field| !self.limits(*field, false).is_fixed()).collect();
        self.delivery(&[], &open)
    }

    /// How rows that come by `values`, then by `key`, come in the query's order.
    fn delivery(&self, values: &[usize], key: &[usize]) -> Option<Delivery> {
        let order = self.effective_order();
        let gives: Vec<usize> = values.iter().chain(key).copied().collect();
        let same = order.len() <= gives.len()
            && order.iter().zip(&gives).all(|(one, gives)| usize::from(one.field) == *gives);
        let all = |direction| order.iter().all(|one| one.direction == direction);
        if !same {
            None
        } else if all(Direction::Ascending) {
            (order.len() >= values.len()).then_some(Delivery::Forward)
        } else if all(Direction::Descending) && order.len() == gives.len() {
            Some(Delivery::Backward)
        } else if all(Direction::Descending) && order.len() == values.len() {
            Some(Delivery::Grouped)
        } else {
            None
        }
    }

    /// The query's order without what it can do without: fields that all rows agree in, fields named twice, and
    /// what comes after the whole key.
    fn effective_order(&self) -> Vec<Order> {
        let key = self.slot.schema.key.fields;
        let mut order: Vec<Order> = Vec::new();
        for one in &self.query.order {
            let named = |field: usize| order.iter().any(|known| usize::from(known.field) == field);
            if !key.is_empty() && key.iter().all(|field| named(*field)) {
                break;
            }
            if !named(one.field.into()) && !self.limits(one.field.into(), false).is_fixed() {
                order.push(*one);
            }
        }
        // Rising keys are the tie-break of every order.
        if key.len() == 1
            && order.last().is_some_and(|last| {
                usize::from(last.field) == key[0] && last.direction == Direction::Ascending
            })
        {
            order.pop();
        }
        order
    }
}

fn whole(prefix: &[u8]) -> Span {
    (prefix.to_vec(), codec::after(prefix))
}
