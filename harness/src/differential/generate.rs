//! Makes rows and queries that have something to do with each other.

use std::collections::BTreeSet;

use larder_core::{
    CompareOp, Direction, Key, Kind, Link, Order, Position, Predicate, Query, Schema, TextOp, Value,
};

use super::values::{key_part, value};
use crate::oracle::{self, FOLDINGS, Table, World};
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
    /// Related rows, beside everything else.
    Related,
}

/// What a provider's dialect can't hold: rows without it are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Floats are finite numbers.
    pub finite: bool,
    /// Each request is dear: fewer queries are asked.
    pub dear: bool,
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
    query_within(&[Table { schema, rows }], focus, random)
}

/// The same over the first table of a world, with conditions on the others.
#[must_use]
pub fn query_within(world: World<'_>, focus: Focus, random: &mut Random) -> Query {
    let Table { schema, rows } = world[0];
    let mut maker = Maker { world, schema, rows, focus, random, within: 0 };
    let mut query = maker.query();
    for _ in 0..TRIES {
        let found = oracle::answer_within(world, &query).len();
        if (found > 0 && found < rows.len()) || maker.random.chance(DULL) {
            break;
        }
        query = maker.query();
    }
    query
}

struct Maker<'a> {
    world: World<'a>,
    schema: &'static Schema,
    rows: &'a [Plain],
    focus: Focus,
    random: &'a mut Random,
    /// In how many conditions on related rows this one stands.
    within: usize,
}

/// How deep conditions on related rows nest: what nests too deep is refused, and has cases of its own.
const NESTING: usize = 8;

impl Maker<'_> {
    fn query(&mut self) -> Query {
        let filter = match self.focus {
            Focus::Comparisons | Focus::Texts | Focus::Members => self.maybe_negated(),
            Focus::Trees | Focus::Keys => self.tree(3),
            Focus::Related => self.tree(2),
            Focus::Orders if self.random.chance(50) => self.leaf(),
            Focus::Orders => Predicate::All,
        };
        let (ordered, windowed) = match self.focus {
            Focus::Orders => (90, 80),
            Focus::Related => (50, 40),
            _ => (25, 20),
        };
        let mut query = Query::filter(filter);
        while self.random.chance(ordered) && query.order.len() < 3 {
            query.order.push(self.order());
        }
        if self.random.chance(windowed) {
            query.limit = Some(self.random.below(self.rows.len() + 3) as u64);
        }
        if self.random.chance(windowed / 2) {
            query.offset = self.random.below(self.rows.len() + 2) as u64;
        }
        if self.random.chance(windowed / 2) {
            query.after = self.place(&query.order).map(Box::new);
        }
        query
    }

    /// One field of an order, of the row or of the one that it refers to.
    fn order(&mut self) -> Order {
        let direction = if self.random.chance(50) { Direction::Ascending } else { Direction::Descending };
        let one = |def: &&larder_core::AssocDef| matches!(def.link, Link::One { .. });
        let ones: Vec<_> = self.schema.associations.iter().filter(one).collect();
        let mut of =
            |schema: &'static Schema| u16::try_from(self.random.below(schema.fields.len())).unwrap_or(0);
        let own = Order { direction, ..Order::asc(of(self.schema)) };
        if ones.is_empty() || self.random.chance(50) {
            return own;
        }
        let def = *self.random.pick(&ones);
        let schema = (def.target)();
        let field = u16::try_from(self.random.below(schema.fields.len())).unwrap_or(0);
        Order { direction, through: Some(def.at), ..Order::asc(field) }
    }

    /// A place in the order: after some row, or between rows.
    fn place(&mut self, order: &[Order]) -> Option<Position> {
        if self.rows.is_empty() {
            return None;
        }
        let row = self.random.pick(self.rows).clone();
        let key = if self.random.chance(80) { oracle::key_of(self.schema, &row) } else { self.key() };
        let values = order.iter().map(|order| match order.through {
            _ if self.random.chance(15) => {
                let schema = order.through.map_or(self.schema, |assoc| self.target(assoc));
                value(&schema.fields[usize::from(order.field)].kind, Limits::default(), self.random)
            }
            Some(assoc) => oracle::field_through(self.world, self.schema, &row, assoc, order.field),
            None => row[usize::from(order.field)].clone(),
        });
        Some(Position { values: values.collect(), key })
    }

    fn target(&self, assoc: u16) -> &'static Schema {
        let def = self.schema.associations.iter().find(|def| def.at == assoc);
        (def.expect("an association of the model").target)()
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
            Focus::Keys => self.random.below(16),
            Focus::Related => *self.random.pick(&[0, 4, 6, 8, 9, 14, 16, 16, 16, 16, 16, 16]),
        };
        match which {
            0..=3 => self.compare(),
            4 | 5 => self.between(),
            6 | 7 => self.is_in(),
            8 => self.text(),
            9 => self.member(),
            10 | 11 => Predicate::Key(self.key()),
            14 | 15 => self.among(),
            16 => self.related(),
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

    /// A field that refers, or may as well, and keys.
    fn among(&mut self) -> Predicate {
        let at = self.field(|kind| kind.is_key() || matches!(kind, Kind::List(of) if of.is_key()));
        let kind = *self.schema.fields[at].kind.inner();
        let refers = kind.is_key() || matches!(kind, Kind::List(of) if of.is_key());
        if !refers {
            return self.compare();
        }
        let keys = (0..self.random.below(6)).flat_map(|_| oracle::keys_in(&self.operand(at)));
        let keys: Vec<Key> = keys.collect();
        Predicate::Among { field: at as u16, keys: keys.into() }
    }

    /// A condition on related rows, which may be one on rows that are related to those.
    fn related(&mut self) -> Predicate {
        if self.schema.associations.is_empty() || self.within == NESTING {
            return self.compare();
        }
        let def = self.random.pick(self.schema.associations);
        let target = (def.target)();
        let table = self.world.iter().find(|table| *table.schema == *target).expect("a table of the world");
        let (world, rows) = (self.world, table.rows);
        let (focus, random, within) = (self.focus, &mut *self.random, self.within + 1);
        let mut other = Maker { world, schema: target, rows, focus, random, within };
        let filter = Box::new(other.tree(1));
        Predicate::Related { assoc: def.at, all: self.random.chance(40), filter }
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
