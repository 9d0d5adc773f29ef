//! Orders that ask related rows: what one row can't tell, and so no provider can sort by.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::def::Link;
use super::resolve::{Answer, Lookup, own_key, reference};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::provider::PageRow;
use crate::query::{Direction, Order, Position, Predicate, Query, eval};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::ValueRef;

/// `rows` in an order that asks related rows as well, and the query's window of them, with the places after them. The
/// related rows of each association are found by one query.
pub(super) async fn sorted(
    lookup: &mut dyn Lookup,
    schema: &'static Schema,
    query: &Query,
    rows: Vec<PageRow>,
) -> Result<Answer> {
    let mut related: HashMap<u16, Others> = HashMap::new();
    for through in query.order.iter().filter_map(|order| order.through) {
        if let Entry::Vacant(vacant) = related.entry(through) {
            vacant.insert(Others::find(lookup, schema, through, query.deny_scan, &rows).await?);
        }
    }
    let sorting = Sorting { schema, order: &query.order, related };
    let mut fault = None;
    let mut rows: Vec<(usize, PageRow)> = rows.into_iter().enumerate().collect();
    rows.sort_by(|a, b| {
        let compared = sorting.compare((a.0, &*a.1.row), (b.0, &*b.1.row));
        compared.unwrap_or_else(|error| {
            fault.get_or_insert(error);
            Ordering::Equal
        })
    });
    if let Some(error) = fault {
        return Err(error);
    }
    if let Some(place) = &query.after {
        let mut seen = 0;
        while let Some((at, row)) = rows.get(seen)
            && sorting.is_seen(place, (*at, &*row.row))?
        {
            seen += 1;
        }
        rows.drain(..seen);
    }
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let window = rows.into_iter().skip(count(query.offset)).take(query.limit.map_or(usize::MAX, count));
    let mut answer = Answer::default();
    for (at, row) in window {
        answer.places.push(sorting.place((at, &*row.row))?);
        answer.rows.push(row);
    }
    Ok(answer)
}

/// The related rows of a list of rows, by place.
struct Others {
    schema: &'static Schema,
    rows: Vec<Option<Arc<dyn Row>>>,
}

impl Others {
    async fn find(
        lookup: &mut dyn Lookup,
        schema: &'static Schema,
        through: u16,
        deny_scan: bool,
        rows: &[PageRow],
    ) -> Result<Self> {
        let def = schema.association(through)?;
        let Link::One { field } = def.link else {
            let what =
                format!("`{}` leads to several rows: only a field of a single one can order", def.name);
            return Err(Error::new(ErrorKind::Invalid, what).model(schema.model));
        };
        let target = (def.target)();
        let keys = rows.iter().map(|row| reference(schema, field, &*row.row)).collect::<Result<Vec<_>>>()?;
        let among =
            Predicate::Among { field: own_key(target)?, keys: keys.iter().flatten().cloned().collect() };
        let mut found: HashMap<Key, Arc<dyn Row>> = HashMap::new();
        let query = Query { deny_scan, ..Query::filter(among) };
        for other in lookup.rows(target, &query).await? {
            found.insert(target.key_of(&*other.row)?, other.row);
        }
        let other = |key: Option<Key>| key.and_then(|key| found.get(&key).cloned());
        Ok(Self { schema: target, rows: keys.into_iter().map(other).collect() })
    }

    /// The field of the row that is related to the one at `place`.
    fn field(&self, place: usize, field: u16) -> Result<ValueRef<'_>> {
        let at = usize::from(field);
        match self.rows.get(place) {
            Some(Some(row)) => row.field(at).map_err(|fault| self.schema.fault(at, fault)),
            _ => Ok(ValueRef::Null),
        }
    }
}

/// An order, with the related rows that it asks.
struct Sorting<'a> {
    schema: &'static Schema,
    order: &'a [Order],
    related: HashMap<u16, Others>,
}

impl Sorting<'_> {
    /// What the row shows of one field of the order, and whose fault it would be.
    fn shown<'r>(&'r self, one: Order, (place, row): (usize, &'r dyn Row)) -> Result<ValueRef<'r>> {
        match one.through.and_then(|through| self.related.get(&through)) {
            Some(others) => others.field(place, one.field),
            None => {
                let at = usize::from(one.field);
                row.field(at).map_err(|fault| self.schema.fault(at, fault))
            }
        }
    }

    /// Whose field it is.
    fn schema_of(&self, one: Order) -> &'static Schema {
        one.through.and_then(|through| self.related.get(&through)).map_or(self.schema, |of| of.schema)
    }

    fn by(&self, one: Order, a: ValueRef<'_>, b: ValueRef<'_>) -> Result<Ordering> {
        let fault = |fault| self.schema_of(one).fault(usize::from(one.field), fault);
        let compared = eval::order(a, b).map_err(fault)?;
        Ok(if one.direction == Direction::Descending { compared.reverse() } else { compared })
    }

    fn compare(&self, a: (usize, &dyn Row), b: (usize, &dyn Row)) -> Result<Ordering> {
        for one in self.order {
            let compared = self.by(*one, self.shown(*one, a)?, self.shown(*one, b)?)?;
            if compared.is_ne() {
                return Ok(compared);
            }
        }
        eval::compare(self.schema, &[], a.1, b.1)
    }

    /// True if the row does not come after `place`.
    fn is_seen(&self, place: &Position, row: (usize, &dyn Row)) -> Result<bool> {
        for (one, value) in self.order.iter().zip(&place.values) {
            let compared = self.by(*one, self.shown(*one, row)?, value.show())?;
            if compared.is_ne() {
                return Ok(compared.is_lt());
            }
        }
        Ok(!place.is_before(self.schema, &[], row.1)?)
    }

    /// The place right after the row.
    fn place(&self, row: (usize, &dyn Row)) -> Result<Position> {
        let value = |one: &Order| {
            let at = usize::from(one.field);
            let shown = self.shown(*one, row)?;
            shown.to_value().map_err(|fault| self.schema_of(*one).fault(at, fault))
        };
        let values = self.order.iter().map(value).collect::<Result<_>>()?;
        Ok(Position { values, key: self.schema.key_of(row.1)? })
    }
}
