//! The ways to the rows: ranges of keys and of indexes, how far the filter limits them, and the order that they give.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use larder_core::{Direction, Key, Order, Predicate, Query, ordered};

use crate::catalog::Slot;
use crate::codec::{self, ENTRIES, ROWS};
use crate::keys::Keys;
use crate::limits::Limits;
use crate::plan::{Candidate, Delivery, Span};

/// Beyond this many ranges, further fields of an index are left to the filter.
const RANGES: usize = 1024;

/// Makes a plan.
pub(crate) struct Planner<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) query: &'a Query,
    /// The conditions that must all hold.
    pub(crate) conjuncts: Vec<&'a Predicate>,
    /// What the conditions say about a field; see [`limits`](Self::limits).
    pub(crate) known: RefCell<BTreeMap<(usize, bool), Rc<Limits>>>,
}

/// One way to the rows: their keys, or an index.
pub(crate) struct Path {
    pub(crate) spans: Vec<Span>,
    /// What comes before `spans`, as it lies: the rest of a group that a page ended in.
    pub(crate) head: Option<Span>,
    /// What all keys or entries begin with, if the fields that are limited to values have one each.
    pub(crate) start: Vec<u8>,
    /// The fields that it goes by.
    pub(crate) fields: &'static [usize],
    /// How many of them are limited to values, from the first.
    pub(crate) fixed: usize,
    /// Whether the one after them is limited to a range.
    pub(crate) ranged: bool,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) index: Option<usize>,
}

impl Path {
    /// The greater, the better, among ways that give the order.
    pub(crate) fn rank(&self) -> (bool, bool, usize, bool, bool) {
        let whole = !self.fields.is_empty() && self.fixed == self.fields.len();
        (self.delivery.is_some(), whole, self.fixed, self.ranged, self.index.is_none())
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.fixed > 0 || self.ranged
    }

    /// The fields that are limited.
    pub(crate) fn limited(&self) -> &'static [usize] {
        &self.fields[..self.fixed + usize::from(self.ranged)]
    }

    pub(crate) fn limits_all(&self, fields: &[usize]) -> bool {
        fields.iter().all(|field| self.limited().contains(field))
    }
}

impl<'a> Planner<'a> {
    pub(crate) fn new(slot: &'a Slot, query: &'a Query, conjuncts: Vec<&'a Predicate>) -> Self {
        Self { slot, query, conjuncts, known: RefCell::default() }
    }

    /// All keys of rows that can answer, if the filter names them.
    pub(crate) fn whole_keys(&self) -> Option<Keys> {
        if let Some(keys) = self.conjuncts.iter().find_map(|one| self.named_keys(one)) {
            return Some(keys);
        }
        let by_key = self.by_key();
        let whole = !by_key.fields.is_empty() && by_key.fixed == by_key.fields.len();
        whole.then(|| {
            let mut keys = Keys::default();
            by_key.spans.iter().for_each(|(key, _)| keys.push([key, &[]]));
            keys
        })
    }

    fn named_keys(&self, conjunct: &Predicate) -> Option<Keys> {
        let encoded = |keys: &mut dyn Iterator<Item = &Key>| {
            let mut encoded = Keys::default();
            keys.for_each(|key| encoded.push_with(|out| codec::write_row_key(out, self.slot.model, key)));
            encoded
        };
        match conjunct {
            Predicate::Key(key) => Some(encoded(&mut std::iter::once(key))),
            Predicate::Keys(keys) => Some(encoded(&mut keys.iter())),
            Predicate::Or(any) if any.is_empty() => Some(Keys::default()),
            Predicate::In { values, .. } if values.is_empty() => Some(Keys::default()),
            Predicate::Among { keys, .. } if keys.is_empty() => Some(Keys::default()),
            Predicate::Among { field, keys } if self.slot.schema.key.fields == [usize::from(*field)] => {
                Some(encoded(&mut keys.iter()))
            }
            _ => None,
        }
    }

    /// The indexes that have an entry for every row.
    pub(crate) fn complete_indexes(&self) -> impl Iterator<Item = usize> {
        let indexes = self.slot.indexes.iter().enumerate();
        indexes.filter(|(_, index)| index.is_complete()).map(|(at, _)| at)
    }

    pub(crate) fn candidate(&self, path: &Path) -> Candidate {
        let sources = path.spans.iter().map(|span| (path.index, span.clone())).collect();
        let mut fields = path.limited().to_vec();
        fields.sort_unstable();
        Candidate { sources, fields, ..Candidate::default() }
    }

    /// The conditions "any of these" each of whose branches has a candidate of its own.
    pub(crate) fn unions(&self) -> impl Iterator<Item = Candidate> {
        self.conjuncts.iter().enumerate().filter_map(|(at, one)| match one {
            Predicate::Or(any) => Some(Candidate { of: Some(at), ..self.union(any)? }),
            _ => None,
        })
    }

    fn union(&self, any: &'a [Predicate]) -> Option<Candidate> {
        let mut union = Candidate::default();
        for one in any {
            let branch = Planner::new(self.slot, self.query, one.conditions()).best()?;
            union.sources.extend(branch.sources);
            branch.keys.iter().for_each(|key| union.keys.push([key, &[]]));
        }
        Some(union)
    }

    /// The one candidate that limits most.
    fn best(&self) -> Option<Candidate> {
        if let Some(keys) = self.whole_keys() {
            return Some(Candidate { keys, ..Candidate::default() });
        }
        let indexes = self.complete_indexes().map(|at| self.by_index(at));
        let paths = std::iter::once(self.by_key()).chain(indexes).filter(Path::is_limited);
        let best = paths.max_by_key(|path| (path.spans.is_empty(), path.fixed, path.ranged));
        best.map(|path| self.candidate(&path)).or_else(|| self.unions().next())
    }

    pub(crate) fn by_key(&self) -> Path {
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

    pub(crate) fn by_index(&self, at: usize) -> Path {
        let index = &self.slot.indexes[at];
        let path = self.reach(&codec::prefix(ENTRIES, index.id), index.def.fields, false);
        Path { index: Some(at), ..path }
    }

    /// How far the filter limits `fields`, whose encodings follow `start`.
    fn reach(&self, start: &[u8], fields: &'static [usize], key: bool) -> Path {
        let mut prefixes = vec![start.to_vec()];
        let mut fixed = 0;
        for field in fields {
            let limits = self.limits(*field, key);
            let Some(values) = &limits.among else {
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
        let start = prefixes.first().cloned().unwrap_or_default();
        let span = |prefix: Vec<u8>| match (&limits.low, &limits.high) {
            (Some(low), Some(high)) => {
                ([prefix.as_slice(), low].concat(), [prefix.as_slice(), high].concat())
            }
            _ => {
                let end = codec::after(&prefix);
                (prefix, end)
            }
        };
        let mut spans: Vec<Span> = prefixes.into_iter().map(span).filter(|(low, high)| low < high).collect();
        spans.sort_unstable();
        let delivery = match key {
            true => self.in_key_order(),
            // Ranges of an index are not in order among each other.
            false if spans.len() > 1 => None,
            false => self.delivery(rest, self.slot.schema.key.fields),
        };
        Path { spans, head: None, start, fields, fixed, ranged: limits.low.is_some(), delivery, index: None }
    }

    /// How rows that come in the order of their keys come in the query's order.
    pub(crate) fn in_key_order(&self) -> Option<Delivery> {
        if self.query.order.is_empty() {
            return Some(Delivery::Forward);
        }
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
