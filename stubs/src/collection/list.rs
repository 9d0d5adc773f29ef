//! Lists: filter, order, window, pages.

use std::cmp::Ordering;

use serde_json::Value;

use super::config::{Collection, Filters, Test};

/// A list as it was asked for, or what is wrong with the question.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    filters: Vec<(String, Vec<String>)>,
    tests: Vec<(Test, String)>,
    /// What the collection's own function is given.
    rest: Vec<(String, String)>,
    sort: Vec<(String, bool)>,
    offset: usize,
    limit: Option<usize>,
    pub(crate) page: Option<Page>,
}

/// One page of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) number: usize,
    pub(crate) size: usize,
}

impl Listing {
    /// Reads the query.
    pub(crate) fn read(config: &Collection, query: &[(String, String)]) -> Result<Self, String> {
        let mut listing = Self::default();
        if let Some(paging) = &config.page {
            listing.page = Some(Page { number: 1, size: paging.size });
        }
        for (name, value) in query {
            listing.parameter(config, name, value)?;
        }
        Ok(listing)
    }

    fn parameter(&mut self, config: &Collection, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<usize>().map_err(|_| format!("`{name}={value}` is no number"));
        if let (Some(paging), Some(page)) = (&config.page, &mut self.page) {
            if *name == paging.number_param {
                page.number = number()?.max(1);
                return Ok(());
            }
            if *name == paging.size_param {
                page.size = number()?.clamp(1, paging.size);
                return Ok(());
            }
        }
        if config.select.is_some() {
            self.rest.push((name.to_owned(), value.to_owned()));
            return Ok(());
        }
        if let Some((_, test)) = config.tests.iter().find(|(known, _)| known == name) {
            self.tests.push((test.clone(), value.to_owned()));
            return Ok(());
        }
        if let Some((offset, limit)) = &config.window {
            if name == offset {
                self.offset = number()?;
                return Ok(());
            }
            if name == limit {
                self.limit = Some(number()?);
                return Ok(());
            }
        }
        if config.sort.as_deref() == Some(name) {
            let field = |field: &str| match field.strip_prefix('-') {
                Some(field) => (field.to_owned(), true),
                None => (field.to_owned(), false),
            };
            self.sort = value.split(',').filter(|field| !field.is_empty()).map(field).collect();
            return Ok(());
        }
        let known = match &config.filters {
            Filters::None => false,
            Filters::Some(names) => names.iter().any(|known| known == name),
            Filters::All => true,
        };
        if !known {
            return Err(format!("the collection has no parameter `{name}`"));
        }
        match self.filters.iter_mut().find(|(filter, _)| filter == name) {
            Some((_, values)) => values.push(value.to_owned()),
            None => self.filters.push((name.to_owned(), vec![value.to_owned()])),
        }
        Ok(())
    }

    /// The rows that were asked for, of `rows` in the order of their keys; without the pages.
    pub(crate) fn select(&self, config: &Collection, mut rows: Vec<Value>) -> Result<Vec<Value>, String> {
        if let Some(select) = &config.select {
            return (select.0)(&rows, &self.rest);
        }
        rows.retain(|row| {
            let equal = self.filters.iter().all(|(name, values)| {
                row.get(name).and_then(text).is_some_and(|found| values.contains(&found))
            });
            equal && self.tests.iter().all(|(test, value)| (test.0)(row, value))
        });
        rows.sort_by(|a, b| {
            let by = |(name, falling): &(String, bool)| {
                let ordering = order(a.get(name), b.get(name));
                if *falling { ordering.reverse() } else { ordering }
            };
            self.sort.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
        });
        rows.drain(..self.offset.min(rows.len()));
        rows.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(rows)
    }
}

/// A member as a query parameter shows it; a null is shown by none.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Null first, then by value within a type; text by code point.
fn order(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (a, b) if rank(a) == rank(b) => a.to_string().cmp(&b.to_string()),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
