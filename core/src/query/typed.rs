//! The typed face of a query: a comparison of the wrong type does not compile.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Not;
use std::sync::Arc;

use super::{CompareOp, Cursor, MAX_DEPTH, Order, Plan, Predicate, Query, TextOp};
use crate::association::{Includes, Including};
use crate::datum::{Convert, Converted, Datum};
use crate::error::Result;
use crate::provider::Capabilities;
use crate::row::Model;
use crate::value::Value;

/// A field of `M` with the type `T`: `User::CITY`.
pub struct Field<M, T> {
    position: u16,
    of: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Field<M, T> {
    /// The field at this position of the schema.
    #[must_use]
    pub const fn at(position: u16) -> Self {
        Self { position, of: PhantomData }
    }

    /// The position.
    #[must_use]
    pub const fn position(self) -> u16 {
        self.position
    }
}

impl<M, T> Clone for Field<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Field<M, T> {}

impl<M, T> fmt::Debug for Field<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.position).finish()
    }
}

/// What a field of the type `T` can be compared with.
#[diagnostic::on_unimplemented(message = "a field of type `{T}` cannot be compared with `{Self}`")]
pub trait Operand<T> {
    /// The operand as a value.
    fn value(self) -> Value;
}

fn owned<T: Datum>(value: &T) -> Value {
    value.operand()
}

impl<T: Datum> Operand<T> for T {
    fn value(self) -> Value {
        owned(&self)
    }
}

impl<T: Datum> Operand<T> for &T {
    fn value(self) -> Value {
        owned(self)
    }
}

impl<T: Datum> Operand<Option<T>> for T {
    fn value(self) -> Value {
        owned(&self)
    }
}

impl<T: Datum> Operand<Option<T>> for &T {
    fn value(self) -> Value {
        owned(self)
    }
}

impl<T, C: Convert<T>> Operand<Converted<T, C>> for T {
    fn value(self) -> Value {
        Converted::<T, C>::show_by(&self).to_value().unwrap_or(Value::Null)
    }
}

impl<T, C: Convert<T>> Operand<Converted<T, C>> for &T {
    fn value(self) -> Value {
        Converted::<T, C>::show_by(self).to_value().unwrap_or(Value::Null)
    }
}

macro_rules! text_operands {
    ($($text:ty),*) => {$(
        impl Operand<$text> for &str {
            fn value(self) -> Value {
                Value::Str(self.into())
            }
        }

        impl Operand<Option<$text>> for &str {
            fn value(self) -> Value {
                Value::Str(self.into())
            }
        }
    )*};
}

text_operands!(String, Box<str>, Arc<str>, Cow<'static, str>);

/// What a field of type `Self` can contain: a text a text, a list its members.
#[diagnostic::on_unimplemented(message = "a field of type `{Self}` cannot contain `{X}`")]
pub trait Holds<X> {
    /// What is looked for.
    fn needle(x: X) -> Needle;
}

/// What is looked for.
#[derive(Clone, Debug)]
pub enum Needle {
    /// A part of a text.
    Text(Box<str>),
    /// A member of a list.
    Member(Value),
}

macro_rules! text_holds {
    ($($text:ty),*) => {$(
        impl Holds<&str> for $text {
            fn needle(x: &str) -> Needle {
                Needle::Text(x.into())
            }
        }

        impl Holds<String> for $text {
            fn needle(x: String) -> Needle {
                Needle::Text(x.into())
            }
        }

        impl Holds<&String> for $text {
            fn needle(x: &String) -> Needle {
                Needle::Text(x.as_str().into())
            }
        }
    )*};
}

text_holds!(String, Option<String>, Box<str>, Option<Box<str>>, Arc<str>, Option<Arc<str>>);
text_holds!(Cow<'static, str>, Option<Cow<'static, str>>);

macro_rules! list_holds {
    ($($list:ty, [$($generic:tt)*];)*) => {$(
        impl<T: Datum, X: Operand<T>, $($generic)*> Holds<X> for $list {
            fn needle(x: X) -> Needle {
                Needle::Member(x.value())
            }
        }
    )*};
}

list_holds! {
    Vec<T>, [];
    Option<Vec<T>>, [];
    std::collections::BTreeSet<T>, [];
    std::collections::HashSet<T, S>, [S];
    [T; N], [const N: usize];
    Option<[T; N]>, [const N: usize];
}

impl<M, T: Datum> Field<M, T> {
    fn compare(self, op: CompareOp, value: Value) -> Where<M> {
        Where::new(Predicate::Compare { field: self.position, op, value })
    }

    /// Equal. `eq(None)` is "is null".
    pub fn eq(self, operand: impl Operand<T>) -> Where<M> {
        self.compare(CompareOp::Eq, operand.value())
    }

    /// Not equal, and not null. `ne(None)` is "is not null".
    pub fn ne(self, operand: impl Operand<T>) -> Where<M> {
        self.compare(CompareOp::Ne, operand.value())
    }

    /// Less. Null matches none of the four.
    pub fn lt(self, operand: impl Operand<T>) -> Where<M> {
        self.compare(CompareOp::Lt, operand.value())
    }

    /// Less or equal.
    pub fn le(self, operand: impl Operand<T>) -> Where<M> {
        self.compare(CompareOp::Le, operand.value())
    }

    /// Greater.
    pub fn gt(self, operand: impl Operand<T>) -> Where<M> {
        self.compare(CompareOp::Gt, operand.value())
    }

    /// Greater or equal.
    pub fn ge(self, operand: impl Operand<T>) -> Where<M> {
        self.compare(CompareOp::Ge, operand.value())
    }

    /// Between `low` and `high`, both included; nothing if `low` is greater.
    pub fn between(self, low: impl Operand<T>, high: impl Operand<T>) -> Where<M> {
        Where::new(Predicate::Between { field: self.position, low: low.value(), high: high.value() })
    }

    /// Equal to one of these; an empty list matches nothing.
    pub fn is_in<X: Operand<T>>(self, values: impl IntoIterator<Item = X>) -> Where<M> {
        let values = values.into_iter().map(Operand::value).collect();
        Where::new(Predicate::In { field: self.position, values })
    }

    /// A text that contains another, or a list that has a member.
    pub fn contains<X>(self, x: X) -> Where<M>
    where
        T: Holds<X>,
    {
        self.needle(TextOp::Contains, T::needle(x), false)
    }

    /// The complement of [`contains`](Self::contains) among rows whose field is not null.
    pub fn does_not_contain<X>(self, x: X) -> Where<M>
    where
        T: Holds<X>,
    {
        self.needle(TextOp::Contains, T::needle(x), true)
    }

    fn needle(self, op: TextOp, needle: Needle, negated: bool) -> Where<M> {
        let field = self.position;
        Where::new(match needle {
            Needle::Text(needle) => Predicate::Text { field, op, needle, ignore_case: false, negated },
            Needle::Member(value) => Predicate::Member { field, value, negated },
        })
    }

    /// Rising by this field.
    #[must_use]
    pub fn asc(self) -> OrderBy<M> {
        OrderBy::new(Order::asc(self.position))
    }

    /// Falling by this field.
    #[must_use]
    pub fn desc(self) -> OrderBy<M> {
        OrderBy::new(Order::desc(self.position))
    }

    /// Null.
    #[must_use]
    pub fn is_null(self) -> Where<M> {
        self.compare(CompareOp::Eq, Value::Null)
    }

    /// Not null.
    #[must_use]
    pub fn is_not_null(self) -> Where<M> {
        self.compare(CompareOp::Ne, Value::Null)
    }

    /// The field with a value for it: an argument of `update`.
    pub fn to(self, operand: impl Operand<T>) -> Assigned<M> {
        Assigned { position: self.position, value: operand.value(), of: PhantomData }
    }
}

/// The operators of text.
impl<M, T: Datum + for<'a> Holds<&'a str>> Field<M, T> {
    /// A text that starts with `prefix`.
    pub fn starts_with(self, prefix: impl AsRef<str>) -> Where<M> {
        self.needle(TextOp::StartsWith, Needle::Text(prefix.as_ref().into()), false)
    }

    /// A text that ends with `suffix`.
    pub fn ends_with(self, suffix: impl AsRef<str>) -> Where<M> {
        self.needle(TextOp::EndsWith, Needle::Text(suffix.as_ref().into()), false)
    }
}

/// A field with a value for it.
#[derive(Debug)]
pub struct Assigned<M> {
    /// The field's position.
    pub position: u16,
    /// The value.
    pub value: Value,
    of: PhantomData<fn() -> M>,
}

/// One field of an order on `M`.
pub struct OrderBy<M> {
    order: Order,
    of: PhantomData<fn() -> M>,
}

impl<M> Clone for OrderBy<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for OrderBy<M> {}

impl<M> fmt::Debug for OrderBy<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.order.fmt(f)
    }
}

impl<M> OrderBy<M> {
    /// From its untyped form.
    pub(crate) fn new(order: Order) -> Self {
        Self { order, of: PhantomData }
    }
}

/// A condition on `M`. `and`, `or` and `!` combine conditions; an order or a window makes a [`Select`] of one.
///
/// `and` in a row is flat, and so is `or`; what nests deeper than [`MAX_DEPTH`] is refused as `Invalid` when it is asked.
pub struct Where<M> {
    predicate: Predicate,
    depth: usize,
    of: PhantomData<fn() -> M>,
}

impl<M> Where<M> {
    /// A condition from its untyped form.
    #[must_use]
    pub fn new(predicate: Predicate) -> Self {
        let depth = predicate.depth();
        Self::nesting(predicate, depth)
    }

    /// A condition of which it is known how deep it nests, at most.
    fn nesting(predicate: Predicate, depth: usize) -> Self {
        if depth > MAX_DEPTH {
            predicate.dismantle();
            return Self { predicate: Predicate::TooDeep, depth: 0, of: PhantomData };
        }
        Self { predicate, depth, of: PhantomData }
    }

    /// How deep this condition and another nest below an operator that is flat among its like.
    fn below(&self, other: &Self, is_flat: impl Fn(&Predicate) -> bool) -> usize {
        let depth = |one: &Self| one.depth + usize::from(!is_flat(&one.predicate));
        depth(self).max(depth(other))
    }

    /// The untyped form.
    #[must_use]
    pub fn into_predicate(self) -> Predicate {
        self.predicate
    }

    /// Both conditions.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let depth = self.below(&other, |one| matches!(one, Predicate::And(_)));
        Self::nesting(self.predicate.and(other.predicate), depth)
    }

    /// Either condition.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let depth = self.below(&other, |one| matches!(one, Predicate::Or(_)));
        Self::nesting(self.predicate.or(other.predicate), depth)
    }

    /// Upper and lower case are the same in its text conditions, by Unicode simple case folding.
    #[must_use]
    pub fn ignore_case(mut self) -> Self {
        self.predicate.set_ignore_case();
        self
    }

    /// In this order; further calls add further fields.
    #[must_use]
    pub fn order_by(self, order: OrderBy<M>) -> Select<M> {
        Select::from(self).order_by(order)
    }

    /// At most `limit` rows.
    #[must_use]
    pub fn limit(self, limit: u64) -> Select<M> {
        Select::from(self).limit(limit)
    }

    /// Makes it an error if the local store would have to look at all rows; see [`Select::deny_scan`].
    #[must_use]
    pub fn deny_scan(self) -> Select<M> {
        Select::from(self).deny_scan()
    }

    /// Without the first `offset` rows.
    #[must_use]
    pub fn offset(self, offset: u64) -> Select<M> {
        Select::from(self).offset(offset)
    }

    /// Together with the related rows of an association.
    #[must_use]
    pub fn with(self, association: impl Including<M>) -> Select<M> {
        Select::from(self).with(association)
    }

    /// Together with the related rows of all associations, `depth` levels deep.
    #[must_use]
    pub fn with_all(self, depth: u16) -> Select<M> {
        Select::from(self).with_all(depth)
    }
}

impl<M> Not for Where<M> {
    type Output = Self;

    fn not(self) -> Self {
        let depth = match &self.predicate {
            Predicate::Not(_) => self.depth - 1,
            _ => self.depth + 1,
        };
        Self::nesting(self.predicate.negate(), depth)
    }
}

impl<M> Clone for Where<M> {
    fn clone(&self) -> Self {
        Self { predicate: self.predicate.clone(), depth: self.depth, of: PhantomData }
    }
}

impl<M> fmt::Debug for Where<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.fmt(f)
    }
}

/// A query on `M`: a condition, an order and a window.
pub struct Select<M> {
    query: Query,
    includes: Includes,
    of: PhantomData<fn() -> M>,
}

impl<M> Select<M> {
    /// All rows, in the order of their keys.
    #[must_use]
    pub fn all() -> Self {
        Self::new(Query::all())
    }

    /// A query from its untyped form.
    #[must_use]
    pub fn new(query: Query) -> Self {
        Self { query, includes: Includes::default(), of: PhantomData }
    }

    /// The untyped form.
    #[must_use]
    pub fn into_query(self) -> Query {
        self.query
    }

    /// The untyped form, borrowed.
    #[must_use]
    pub fn as_query(&self) -> &Query {
        &self.query
    }

    /// The associations that are loaded together with the rows.
    #[must_use]
    pub fn includes(&self) -> &Includes {
        &self.includes
    }

    /// Together with these associations, as data.
    #[must_use]
    pub fn including(mut self, includes: Includes) -> Self {
        self.includes.merge(includes);
        self
    }

    /// Together with the related rows of an association; further calls add further ones, and
    /// `Order::ITEMS.with(Item::PRODUCT)` what comes with those.
    #[must_use]
    pub fn with(mut self, association: impl Including<M>) -> Self {
        self.includes.add(association.include());
        self
    }

    /// Together with the related rows of all associations, `depth` levels deep.
    #[must_use]
    pub fn with_all(self, depth: u16) -> Self {
        self.including(Includes { named: Vec::new(), depth })
    }

    /// In this order; further calls add further fields.
    #[must_use]
    pub fn order_by(mut self, order: OrderBy<M>) -> Self {
        self.query.order.push(order.order);
        self
    }

    /// At most `limit` rows.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.query.limit = Some(limit);
        self
    }

    /// Makes it an error if the local store would have to look at all rows: see [`plan`](super::plan) for what an index
    /// serves.
    #[must_use]
    pub fn deny_scan(mut self) -> Self {
        self.query.deny_scan = true;
        self
    }

    /// Without the first `offset` rows.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.query.offset = offset;
        self
    }
}

impl<M: Model> Select<M> {
    /// How a provider with these capabilities answers the query; see [`Query::plan`].
    #[must_use]
    pub fn plan(&self, capabilities: &Capabilities) -> Plan {
        self.query.plan(M::schema(), capabilities)
    }

    /// From the cursor on: the rows that come after the one that it was made from, in this order. The limit counts from
    /// there.
    ///
    /// # Errors
    /// `Invalid` if the cursor was made from another model, another version of the model, or another condition or
    /// order; see [`Query::continued`].
    pub fn after(self, cursor: &Cursor) -> Result<Self> {
        Ok(Self { query: self.query.continued(M::schema(), cursor)?, ..self })
    }

    /// The row with this key.
    #[must_use]
    pub fn key(key: impl Into<crate::Key>) -> Self {
        Self::new(Query::key(key.into()))
    }
}

impl<M> From<Where<M>> for Select<M> {
    fn from(filter: Where<M>) -> Self {
        Self::new(Query::filter(filter.predicate))
    }
}

impl<M> Clone for Select<M> {
    fn clone(&self) -> Self {
        Self { query: self.query.clone(), includes: self.includes.clone(), of: PhantomData }
    }
}

impl<M> fmt::Debug for Select<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.includes.is_empty() {
            return self.query.fmt(f);
        }
        f.debug_tuple("Select").field(&self.query).field(&self.includes).finish()
    }
}

impl<M> PartialEq for Select<M> {
    fn eq(&self, other: &Self) -> bool {
        self.query == other.query && self.includes == other.includes
    }
}

impl<M> Eq for Select<M> {}

impl<M> Hash for Select<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.query.hash(state);
        self.includes.hash(state);
    }
}
