//! Conditions on a row: a boolean tree over field positions.

use serde::{Deserialize, Serialize};

use super::KeySet;
use crate::depth::nested;
use crate::key::Key;
use crate::value::Value;

/// A condition that a row meets or not.
#[derive(Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Predicate {
    /// Every row.
    #[default]
    All,
    /// The row with this key.
    Key(Key),
    /// The rows with these keys.
    Keys(Vec<Key>),
    /// A field compared with a value.
    Compare {
        /// The field's position.
        field: u16,
        /// How.
        op: CompareOp,
        /// With what.
        value: Value,
    },
    /// A field between two values, both included.
    Between {
        /// The field's position.
        field: u16,
        /// The least value.
        low: Value,
        /// The greatest value.
        high: Value,
    },
    /// A field equal to one of several values; of none if there are none.
    In {
        /// The field's position.
        field: u16,
        /// The values.
        values: Vec<Value>,
    },
    /// A text that holds another.
    Text {
        /// The field's position.
        field: u16,
        /// Where.
        op: TextOp,
        /// The other text.
        needle: Box<str>,
        /// Upper and lower case are the same, by Unicode simple case folding.
        ignore_case: bool,
        /// The complement, among rows whose field is not null.
        negated: bool,
    },
    /// A list that has a value as its member.
    Member {
        /// The field's position.
        field: u16,
        /// The member.
        value: Value,
        /// The complement, among rows whose field is not null.
        negated: bool,
    },
    /// A field whose value, or one of whose members, is among these keys. It costs O(log n) a row.
    Among {
        /// The field's position.
        field: u16,
        /// The keys.
        keys: KeySet,
    },
    /// Related rows meet a condition: at least one, or every one.
    ///
    /// A row alone can't tell, so no provider evaluates it: [`association::answer`](crate::association::answer) and
    /// [`resolved`](crate::association::resolved) put keys in its place.
    Related {
        /// The association's number: [`AssocDef::at`](crate::association::AssocDef::at).
        assoc: u16,
        /// Every related row; else one is enough.
        all: bool,
        /// What they meet.
        #[serde(with = "nested")]
        filter: Box<Predicate>,
    },
    /// All of these.
    And(#[serde(with = "nested")] Vec<Predicate>),
    /// Any of these.
    Or(#[serde(with = "nested")] Vec<Predicate>),
    /// Not this: negates the answer, so rows whose field is null are included.
    Not(#[serde(with = "nested")] Box<Predicate>),
    /// Stands where conditions nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH). Whoever is asked it refuses.
    TooDeep,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CompareOp {
    /// Equal; with null: is null.
    Eq,
    /// Not equal, and not null; with null: is not null.
    Ne,
    /// Less, by the total order of the type.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// Where in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TextOp {
    /// Anywhere.
    Contains,
    /// At its start.
    StartsWith,
    /// At its end.
    EndsWith,
}

impl Predicate {
    /// No row.
    #[must_use]
    pub fn none() -> Self {
        Self::Or(Vec::new())
    }

    /// Both; trees of the same operator are flattened.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, other) => other,
            (one, Self::All) => one,
            (Self::And(mut all), Self::And(more)) => {
                all.extend(more);
                Self::And(all)
            }
            (Self::And(mut all), other) => {
                all.push(other);
                Self::And(all)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }

    /// Either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Or(mut any), Self::Or(more)) => {
                any.extend(more);
                Self::Or(any)
            }
            (Self::Or(mut any), other) => {
                any.push(other);
                Self::Or(any)
            }
            (one, other) => Self::Or(vec![one, other]),
        }
    }

    /// Not this. Answers are yes or no, so the negation of a negation is what was negated.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::Not(one) => *one,
            one => Self::Not(Box::new(one)),
        }
    }

    /// The conditions that must all hold.
    #[must_use]
    pub fn conjuncts(&self) -> &[Self] {
        match self {
            Self::And(all) => all,
            one => std::slice::from_ref(one),
        }
    }

    /// True if it asks something of related rows.
    #[must_use]
    pub fn is_related(&self) -> bool {
        match self {
            Self::Related { .. } => true,
            Self::And(all) | Self::Or(all) => all.iter().any(Self::is_related),
            Self::Not(one) => one.is_related(),
            _ => false,
        }
    }

    /// How deep it nests: 0 for a condition that holds no other.
    #[must_use]
    pub fn depth(&self) -> usize {
        // Without recursion: the tree may be deeper than the stack.
        let (mut deepest, mut left) = (0, Vec::new());
        let mut next = Some((self, 0));
        while let Some((one, depth)) = next {
            deepest = deepest.max(depth);
            match one {
                Self::And(all) | Self::Or(all) => left.extend(all.iter().map(|one| (one, depth + 1))),
                Self::Not(one) | Self::Related { filter: one, .. } => left.push((one, depth + 1)),
                _ => {}
            }
            next = left.pop();
        }
        deepest
    }

    /// Lets go of it without recursion.
    pub(super) fn dismantle(self) {
        let mut left = vec![self];
        while let Some(one) = left.pop() {
            match one {
                Self::And(all) | Self::Or(all) => left.extend(all),
                Self::Not(one) | Self::Related { filter: one, .. } => left.push(*one),
                _ => {}
            }
        }
    }

    /// The conditions that must all hold, however they are nested, without those that always do.
    #[must_use]
    pub fn conditions(&self) -> Vec<&Self> {
        let (mut found, mut left) = (Vec::new(), vec![self]);
        while let Some(one) = left.pop() {
            match one {
                Self::And(all) => left.extend(all.iter().rev()),
                Self::All => {}
                one => found.push(one),
            }
        }
        found
    }

    /// Sets whether case is ignored, in every text condition of the tree.
    pub(super) fn set_ignore_case(&mut self) {
        match self {
            Self::Text { ignore_case, .. } => *ignore_case = true,
            Self::And(all) | Self::Or(all) => all.iter_mut().for_each(Self::set_ignore_case),
            Self::Not(one) => one.set_ignore_case(),
            Self::Related { filter, .. } => filter.set_ignore_case(),
            _ => {}
        }
    }
}
