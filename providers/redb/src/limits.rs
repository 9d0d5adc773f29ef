//! What a filter says about single fields, in encoded values.

use std::rc::Rc;

use larder_core::{CompareOp, Key, KeySet, Kind, Predicate, TextOp, Timestamp, Value, ValueRef, ordered};

use crate::codec;
use crate::paths::Planner;

/// How long an encoded key is that needs no longer buffer.
const KEY: usize = 24;

/// What the filter says about one field, in encoded values.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// It has one of these.
    pub(crate) among: Option<Vec<Vec<u8>>>,
    /// It has at least this.
    pub(crate) low: Option<Vec<u8>>,
    /// It has less than this.
    pub(crate) high: Option<Vec<u8>>,
}

impl Limits {
    fn among(&mut self, mut values: Vec<Vec<u8>>) {
        values.sort_unstable();
        values.dedup();
        if self.among.as_ref().is_none_or(|known| values.len() < known.len()) {
            self.among = Some(values);
        }
    }

    /// Every range leaves out null, whose encoding is the least.
    fn span(&mut self, low: Option<Vec<u8>>, high: Option<Vec<u8>>) {
        let low = low.unwrap_or_else(|| codec::after(&null()));
        let high = high.unwrap_or_else(|| vec![0xff]);
        self.low = Some(match self.low.take() {
            Some(known) => known.max(low),
            None => low,
        });
        self.high = Some(match self.high.take() {
            Some(known) => known.min(high),
            None => high,
        });
    }

    /// The one value that all rows have.
    pub(crate) fn is_fixed(&self) -> bool {
        self.among.as_ref().is_some_and(|values| values.len() == 1)
    }
}

fn null() -> Vec<u8> {
    let mut bytes = Vec::new();
    // Null has no elements that could fail.
    let _ = ordered::encode(ValueRef::Null, &mut bytes);
    bytes
}

impl Planner<'_> {
    /// What the filter says about `field`; `key`: in the encoding of keys, where a moment is a number.
    pub(crate) fn limits(&self, field: usize, key: bool) -> Rc<Limits> {
        if let Some(known) = self.known.borrow().get(&(field, key)) {
            return known.clone();
        }
        let mut limits = Limits::default();
        for conjunct in &self.conjuncts {
            self.limit(conjunct, field, key, &mut limits);
        }
        let limits = Rc::new(limits);
        self.known.borrow_mut().insert((field, key), limits.clone());
        limits
    }

    fn limit(&self, conjunct: &Predicate, field: usize, key: bool, limits: &mut Limits) {
        let here = |at: &u16| usize::from(*at) == field;
        match conjunct {
            Predicate::Compare { field, op, value } if here(field) => {
                self.compare(*op, value, *field, key, limits);
            }
            Predicate::Between { field, low, high } if here(field) => {
                self.compare(CompareOp::Ge, low, *field, key, limits);
                self.compare(CompareOp::Le, high, *field, key, limits);
            }
            Predicate::In { field, values } if here(field) => {
                let equal = values.iter().map(|value| codec::equals(self.operand(value, *field, key)?));
                if let Some(equal) = equal.collect::<Option<Vec<_>>>() {
                    limits.among(equal.concat());
                }
            }
            Predicate::Among { field, keys } if here(field) => {
                if let Some(equal) = self.among(keys, *field, key) {
                    limits.among(equal);
                }
            }
            Predicate::Text { field, op: TextOp::StartsWith, needle, ignore_case: false, negated: false }
                if here(field) =>
            {
                let mut start = Vec::new();
                ordered::encode_text_prefix(needle, &mut start);
                let end = codec::after(&start);
                limits.span(Some(start), Some(end));
            }
            _ => {}
        }
    }

    /// Keys as the field is encoded; `None` if it is no field of single keys.
    fn among(&self, keys: &KeySet, field: u16, key: bool) -> Option<Vec<Vec<u8>>> {
        let kind = self.slot.schema.fields.get(usize::from(field))?.kind.inner();
        let moment = matches!(kind, Kind::Time) && !key;
        let encode = |one: &Key| {
            let value = match one {
                Key::Int(nanoseconds) if moment => {
                    ValueRef::Time(Timestamp::from_nanosecond(*nanoseconds).ok()?)
                }
                one => one.show(),
            };
            let mut bytes = Vec::with_capacity(KEY);
            ordered::encode(value, &mut bytes).ok()?;
            Some(bytes)
        };
        kind.is_key().then(|| keys.iter().map(encode).collect::<Option<Vec<_>>>()).flatten()
    }

    fn compare(&self, op: CompareOp, value: &Value, field: u16, key: bool, limits: &mut Limits) {
        let Some(operand) = self.operand(value, field, key) else {
            return;
        };
        if operand.is_null() && !matches!(op, CompareOp::Eq | CompareOp::Ne) {
            // Null is neither less nor greater than anything.
            limits.among(Vec::new());
            return;
        }
        if op == CompareOp::Eq {
            if let Some(equal) = codec::equals(operand) {
                limits.among(equal);
            }
            return;
        }
        let mut bytes = Vec::new();
        if ordered::encode(operand, &mut bytes).is_err() {
            return;
        }
        match op {
            CompareOp::Eq | CompareOp::Ne => {}
            CompareOp::Lt => limits.span(None, Some(bytes)),
            CompareOp::Le => limits.span(None, Some(codec::after(&bytes))),
            CompareOp::Gt => limits.span(Some(codec::after(&bytes)), None),
            CompareOp::Ge => limits.span(Some(bytes), None),
        }
    }

    /// The operand as the field is encoded; `None` if the encodings can't be compared.
    fn operand<'v>(&self, value: &'v Value, field: u16, key: bool) -> Option<ValueRef<'v>> {
        let is_moment = matches!(self.slot.schema.fields.get(usize::from(field))?.kind.inner(), Kind::Time);
        match (value.show(), key && is_moment) {
            (ValueRef::Time(at), true) => Some(ValueRef::Int(at.as_nanosecond())),
            (ValueRef::Null, true) => Some(ValueRef::Null),
            (_, true) => None,
            (operand, false) => Some(operand),
        }
    }
}
