//! Makes rows and queries that have something to do with each other.

use std::collections::BTreeSet;

use larder_core::{CompareOp, Direction, Key, Kind, Order, Predicate, Query, Schema, TextOp, Value};

use super::values::{key_part, value};
use crate::oracle::{self, FOLDINGS};
use crate::plain::Plain;
use crate::random::Random;

/// What queries are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// One comparison.
    Comparisons,
    /// Conditions on text.
    Texts,
    /// Members of lists.
    Members,
    /// Boolean trees of everything.
    Trees,
    /// Orders and windows.
    Orders,
    /// Keys, beside everything else.
    Keys,
}

/// What a provider's dialect can't hold: rows without it are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Floats are finite numbers.
    pub finite: bool,
}

/// How often a query is made anew because its answer is nothing or everything.
const TRIES: usize = 6;

/// How many percent of the queries may answer nothing or everything, each time that one does.
const DULL: u64 = 10;

/// Rows of a model: few enough to be read, with values that meet again and again, and nulls.
#[must_use]
pub fn rows(schema: &'static Schema, limits: Limits, random: &mut Random) -> Vec<Plain> {
    let wanted = if random.chance(10) { random.below(4) } else { 8 + random.below(20) };
    let (mut rows, mut keys) = (Vec::new(), BTreeSet::new());
    for _ in 0..wanted * 4 {
        let field = |at: usize, random: &mut Random| {
            let kind = &schema.fields[at].kind;
            if schema.key.fields.contains(&at) { key_part(kind, random) } else { value(kind, limits, random) }
        };
        let row: Plain = (0..schema.fields.len()).map(|at| field(at, random)).collect();
        if rows.len() < wanted && keys.insert(oracle::key_of(schema, &row)) {
            rows.push(row);
        }
    }
    rows
}

/// A query over `rows` whose answer, more often than not, is neither nothing nor everything.
#[must_use]
pub fn query(schema: &'static Schema, rows: &[Plain], focus: Focus, random: &mut Random) -> Query {
    let mut maker = Maker { schema, rows, focus, random };
    let mut query = maker.query();
    for _ in 0..TRIES {
        let found = oracle::answer(schema, rows, &query).len();
        if (found > 0 && found < rows.len()) || maker.random.chance(DULL) {
            break;
        }
        query = maker.query();
    }
    query
}

struct Maker<'a> {
    schema: &'static Schema,
    rows: &'a [Plain],
    focus: Focus,
    random: &'a mut Random,
}

impl Maker<'_> {
    fn query(&mut self) -> Query {
        let filter = match self.focus {
            Focus::Comparisons | Focus::Texts | Focus::Members => self.maybe_negated(),
            Focus::Trees | Focus::Keys => self.tree(3),
            Focus::Orders if self.random.chance(50) => self.leaf(),
            Focus::Orders => Predicate::All,
        };
        let ordered = if self.focus == Focus::Orders { 90 } else { 25 };
        let windowed = if self.focus == Focus::Orders { 80 } else { 20 };
        let mut query = Query::filter(filter);
        while self.random.chance(ordered) && query.order.len() < 3 {
            let direction = if self.random.chance(50) { Direction::Ascending } else { Direction::Descending };
            let field = u16::try_from(self.random.below(self.schema.fields.len())).unwrap_or(0);
            query.order.push(Order { direction, ..Order::asc(field) });
        }
        if self.random.chance(windowed) {
            query.limit = Some(self.random.below(self.rows.len() + 3) as u64);
        }
        if self.random.chance(windowed / 2) {
            query.offset = self.random.below(self.rows.len() + 2) as u64;
        }
        query
    }

    fn maybe_negated(&mut self) -> Predicate {
        let leaf = self.leaf();
        if self.random.chance(20) { Predicate::Not(Box::new(leaf)) } else { leaf }
    }

    fn tree(&mut self, depth: usize) -> Predicate {
        if depth == 0 || self.random.chance(30) {
            return self.leaf();
        }
        let count = self.random.below(3) + usize::from(self.random.chance(95));
        let children = |maker: &mut Self| (0..count).map(|_| maker.tree(depth - 1)).collect();
        match self.random.below(5) {
            0 => Predicate::Not(Box::new(self.tree(depth - 1))),
            1 | 2 => Predicate::And(children(self)),
            _ => Predicate::Or(children(self)),
        }
    }

    fn leaf(&mut self) -> Predicate {
        let which = match self.focus {
            Focus::Comparisons => self.random.below(8),
            Focus::Texts => 8,
            Focus::Members => 9,
            Focus::Trees | Focus::Orders => self.random.below(10),
            Focus::Keys => self.random.below(14),
        };
        match which {
            0..=3 => self.compare(),
            4 | 5 => self.between(),
            6 | 7 => self.is_in(),
            8 => self.text(),
            9 => self.member(),
            10 | 11 => Predicate::Key(self.key()),
            _ => Predicate::Keys((0..self.random.below(5)).map(|_| self.key()).collect()),
        }
    }

    /// A field that `fits`, more often than not one that can be null; any field if none fits.
    fn field(&mut self, fits: fn(&Kind) -> bool) -> usize {
        let fitting: Vec<usize> =
            (0..self.schema.fields.len()).filter(|at| fits(self.schema.fields[*at].kind.inner())).collect();
        let nullable: Vec<usize> =
            fitting.iter().copied().filter(|at| self.schema.fields[*at].kind.is_nullable()).collect();
        if fitting.is_empty() {
            return self.random.below(self.schema.fields.len());
        }
        let choices = if nullable.is_empty() || self.random.chance(60) { &fitting } else { &nullable };
        *self.random.pick(choices)
    }

    /// An operand for a field: mostly a value that some row has there.
    fn operand(&mut self, at: usize) -> Value {
        if !self.rows.is_empty() && self.random.chance(75) {
            return self.random.pick(self.rows)[at].clone();
        }
        let kind = &self.schema.fields[at].kind;
        if self.random.chance(10) { Value::Null } else { value(kind, Limits::default(), self.random) }
    }

    fn compare(&mut self) -> Predicate {
        use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
        let at = self.field(|_| true);
        let op = *self.random.pick(&[Eq, Ne, Lt, Le, Gt, Ge]);
        Predicate::Compare { field: at as u16, op, value: self.operand(at) }
    }

    fn between(&mut self) -> Predicate {
        let at = self.field(|_| true);
        Predicate::Between { field: at as u16, low: self.operand(at), high: self.operand(at) }
    }

    fn is_in(&mut self) -> Predicate {
        let at = self.field(|_| true);
        let count = self.random.below(6);
        Predicate::In { field: at as u16, values: (0..count).map(|_| self.operand(at)).collect() }
    }

    fn text(&mut self) -> Predicate {
        let at = self.field(|kind| matches!(kind, Kind::Str));
        if !matches!(self.schema.fields[at].kind.inner(), Kind::Str) {
            return self.compare();
        }
        let whole = match self.operand(at) {
            Value::Str(text) => text,
            _ => "a".into(),
        };
        let letters: Vec<char> = whole.chars().collect();
        let (start, end) = (self.random.below(letters.len() + 1), self.random.below(letters.len() + 1));
        let mut needle: String = letters[start.min(end)..start.max(end)].iter().collect();
        if self.random.chance(30) {
            needle = self.other_case(&needle);
        }
        Predicate::Text {
            field: at as u16,
            op: *self.random.pick(&[TextOp::Contains, TextOp::StartsWith, TextOp::EndsWith]),
            needle: needle.into(),
            ignore_case: self.random.chance(40),
            negated: self.random.chance(30),
        }
    }

    /// The text with some letters in the other case.
    fn other_case(&mut self, text: &str) -> String {
        let letter = |letter: char| {
            let listed = FOLDINGS.iter().find_map(|(from, to)| match letter {
                _ if letter == *from => Some(*to),
                _ if letter == *to => Some(*from),
                _ => None,
            });
            let ascii = if letter.is_ascii_lowercase() {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            };
            listed.unwrap_or(ascii)
        };
        text.chars().map(|each| if self.random.chance(60) { letter(each) } else { each }).collect()
    }

    fn member(&mut self) -> Predicate {
        let at = self.field(|kind| matches!(kind, Kind::List(_) | Kind::Bytes));
        let value = match (self.schema.fields[at].kind.inner(), self.operand(at)) {
            (Kind::List(of), Value::List(elements)) if elements.is_empty() => {
                value(of, Limits::default(), self.random)
            }
            (Kind::List(_), Value::List(elements)) => self.random.pick(&elements).clone(),
            (Kind::List(of), _) => value(of, Limits::default(), self.random),
            (Kind::Bytes, Value::Bytes(bytes)) if !bytes.is_empty() => {
                Value::Int((*self.random.pick(&bytes)).into())
            }
            (Kind::Bytes, _) => Value::Int(1),
            _ => return self.compare(),
        };
        Predicate::Member { field: at as u16, value, negated: self.random.chance(40) }
    }

    fn key(&mut self) -> Key {
        if !self.rows.is_empty() && self.random.chance(80) {
            return oracle::key_of(self.schema, self.random.pick(self.rows));
        }
        let mut row: Plain = vec![Value::Null; self.schema.fields.len()];
        for at in self.schema.key.fields {
            row[*at] = key_part(&self.schema.fields[*at].kind, self.random);
        }
        oracle::key_of(self.schema, &row)
    }
}
