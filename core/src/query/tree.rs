//! Copying, comparing, hashing and showing of conditions without recursion: a tree that somebody built by hand may be
//! deeper than the stack.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use super::{MAX_DEPTH, Predicate};

/// What is done next in copying a tree from its leaves up.
enum Step<'a> {
    Visit(&'a Predicate),
    And(usize),
    Or(usize),
    Not,
    Related { assoc: u16, all: bool },
}

impl Clone for Predicate {
    fn clone(&self) -> Self {
        let (mut steps, mut done) = (vec![Step::Visit(self)], Vec::new());
        while let Some(step) = steps.pop() {
            let made = match step {
                Step::Visit(Self::And(all)) => {
                    steps.push(Step::And(all.len()));
                    steps.extend(all.iter().map(Step::Visit));
                    continue;
                }
                Step::Visit(Self::Or(any)) => {
                    steps.push(Step::Or(any.len()));
                    steps.extend(any.iter().map(Step::Visit));
                    continue;
                }
                Step::Visit(Self::Not(one)) => {
                    steps.extend([Step::Not, Step::Visit(one)]);
                    continue;
                }
                Step::Visit(Self::Related { assoc, all, filter }) => {
                    steps.extend([Step::Related { assoc: *assoc, all: *all }, Step::Visit(filter)]);
                    continue;
                }
                Step::Visit(leaf) => leaf.copy_leaf(),
                Step::And(count) => Self::And(last(&mut done, count)),
                Step::Or(count) => Self::Or(last(&mut done, count)),
                Step::Not => Self::Not(Box::new(done.pop().unwrap_or_default())),
                Step::Related { assoc, all } => {
                    Self::Related { assoc, all, filter: Box::new(done.pop().unwrap_or_default()) }
                }
            };
            done.push(made);
        }
        done.pop().unwrap_or_default()
    }
}

/// The last so many, in the order in which they stood: the last one was done first.
fn last(done: &mut Vec<Predicate>, count: usize) -> Vec<Predicate> {
    let mut taken = done.split_off(done.len() - count);
    taken.reverse();
    taken
}

impl Predicate {
    fn copy_leaf(&self) -> Self {
        match self {
            Self::All | Self::And(_) | Self::Or(_) | Self::Not(_) | Self::Related { .. } => Self::All,
            Self::TooDeep => Self::TooDeep,
            Self::Key(key) => Self::Key(key.clone()),
            Self::Keys(keys) => Self::Keys(keys.clone()),
            Self::Compare { field, op, value } => {
                Self::Compare { field: *field, op: *op, value: value.clone() }
            }
            Self::Between { field, low, high } => {
                Self::Between { field: *field, low: low.clone(), high: high.clone() }
            }
            Self::In { field, values } => Self::In { field: *field, values: values.clone() },
            Self::Text { field, op, needle, ignore_case, negated } => Self::Text {
                field: *field,
                op: *op,
                needle: needle.clone(),
                ignore_case: *ignore_case,
                negated: *negated,
            },
            Self::Member { field, value, negated } => {
                Self::Member { field: *field, value: value.clone(), negated: *negated }
            }
            Self::Among { field, keys } => Self::Among { field: *field, keys: keys.clone() },
        }
    }

    /// The conditions right below.
    fn below(&self) -> &[Self] {
        match self {
            Self::And(all) | Self::Or(all) => all,
            Self::Not(one) | Self::Related { filter: one, .. } => std::slice::from_ref(one),
            _ => &[],
        }
    }

    /// Whether two are the same but for what is below them.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(a), Self::Key(b)) => a == b,
            (Self::Keys(a), Self::Keys(b)) => a == b,
            (Self::Compare { field, op, value }, Self::Compare { field: f, op: o, value: v }) => {
                (field, op, value) == (f, o, v)
            }
            (Self::Between { field, low, high }, Self::Between { field: f, low: l, high: h }) => {
                (field, low, high) == (f, l, h)
            }
            (Self::In { field, values }, Self::In { field: f, values: v }) => (field, values) == (f, v),
            (
                Self::Text { field, op, needle, ignore_case, negated },
                Self::Text { field: f, op: o, needle: n, ignore_case: i, negated: g },
            ) => (field, op, needle, ignore_case, negated) == (f, o, n, i, g),
            (Self::Member { field, value, negated }, Self::Member { field: f, value: v, negated: n }) => {
                (field, value, negated) == (f, v, n)
            }
            (Self::Among { field, keys }, Self::Among { field: f, keys: k }) => (field, keys) == (f, k),
            (Self::Related { assoc, all, .. }, Self::Related { assoc: a, all: l, .. }) => {
                (assoc, all) == (a, l)
            }
            (a, b) => discriminant(a) == discriminant(b),
        }
    }
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        let mut left = vec![(self, other)];
        while let Some((a, b)) = left.pop() {
            let (below, other) = (a.below(), b.below());
            if below.len() != other.len() || !a.is_like(b) {
                return false;
            }
            left.extend(below.iter().zip(other));
        }
        true
    }
}

impl Eq for Predicate {}

impl Hash for Predicate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut left = vec![self];
        while let Some(one) = left.pop() {
            discriminant(one).hash(state);
            one.below().len().hash(state);
            match one {
                Self::All | Self::TooDeep | Self::And(_) | Self::Or(_) | Self::Not(_) => {}
                Self::Key(key) => key.hash(state),
                Self::Keys(keys) => keys.hash(state),
                Self::Compare { field, op, value } => (field, op, value).hash(state),
                Self::Between { field, low, high } => (field, low, high).hash(state),
                Self::In { field, values } => (field, values).hash(state),
                Self::Text { field, op, needle, ignore_case, negated } => {
                    (field, op, needle, ignore_case, negated).hash(state);
                }
                Self::Member { field, value, negated } => (field, value, negated).hash(state),
                Self::Among { field, keys } => (field, keys).hash(state),
                Self::Related { assoc, all, .. } => (assoc, all).hash(state),
            }
            left.extend(one.below());
        }
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self, 0).fmt(f)
    }
}

/// A condition that stands so deep; what is too deep is not shown.
struct Shown<'a>(&'a Predicate, usize);

impl Shown<'_> {
    fn below(&self) -> Vec<Shown<'_>> {
        self.0.below().iter().map(|one| Shown(one, self.1 + 1)).collect()
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 > MAX_DEPTH {
            return f.write_str("…");
        }
        match self.0 {
            Predicate::All => f.write_str("All"),
            Predicate::TooDeep => f.write_str("TooDeep"),
            Predicate::Key(key) => f.debug_tuple("Key").field(key).finish(),
            Predicate::Keys(keys) => f.debug_tuple("Keys").field(keys).finish(),
            Predicate::Compare { field, op, value } => {
                f.debug_struct("Compare").field("field", field).field("op", op).field("value", value).finish()
            }
            Predicate::Between { field, low, high } => {
                f.debug_struct("Between").field("field", field).field("low", low).field("high", high).finish()
            }
            Predicate::In { field, values } => {
                f.debug_struct("In").field("field", field).field("values", values).finish()
            }
            Predicate::Text { field, op, needle, ignore_case, negated } => f
                .debug_struct("Text")
                .field("field", field)
                .field("op", op)
                .field("needle", needle)
                .field("ignore_case", ignore_case)
                .field("negated", negated)
                .finish(),
            Predicate::Member { field, value, negated } => f
                .debug_struct("Member")
                .field("field", field)
                .field("value", value)
                .field("negated", negated)
                .finish(),
            Predicate::Among { field, keys } => {
                f.debug_struct("Among").field("field", field).field("keys", keys).finish()
            }
            Predicate::Related { assoc, all, .. } => f
                .debug_struct("Related")
                .field("assoc", assoc)
                .field("all", all)
                .field("filter", &self.below().first())
                .finish(),
            Predicate::And(_) => f.debug_tuple("And").field(&self.below()).finish(),
            Predicate::Or(_) => f.debug_tuple("Or").field(&self.below()).finish(),
            Predicate::Not(_) => match self.below().first() {
                Some(one) => f.debug_tuple("Not").field(one).finish(),
                None => f.write_str("Not"),
            },
        }
    }
}
