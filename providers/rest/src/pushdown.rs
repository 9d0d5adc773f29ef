//! What of a query the server can do, put into parameters; and what it claims to have done then.

use larder_core::dialect::json::DIALECT;
use larder_core::{
    CompareOp, Direction, Done, Error, ErrorKind, FieldDef, Kind, Order, Predicate, Query, Result, Schema,
    TextOp, Value,
};

use crate::codec::{element_text, text};
use crate::filters::{FilterOp, FilterParam, Filters, OrderStyle, Ordered};
use crate::route::Route;
use crate::template::key_text;

/// What a list is asked for.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Parameters, not encoded.
    pub(crate) params: Vec<(String, String)>,
    /// The values of the fields that the list's template names.
    fields: Vec<(usize, String)>,
    /// What the server does then.
    pub(crate) done: Done,
    /// Which of the conditions that must all hold it leaves to us.
    pub(crate) residual: Vec<bool>,
}

/// What became of a condition.
#[derive(Clone, Copy, PartialEq)]
enum Pushed {
    /// The server leaves out all other rows.
    Exactly,
    /// The server leaves out some of them, or none.
    Residual,
}

impl Plan {
    /// Plans a list.
    ///
    /// # Errors
    /// `Unsupported` if the list's template names a field that the query does not fix.
    pub(crate) fn of(route: &Route, schema: &'static Schema, query: &Query) -> Result<Self> {
        let mut plan = Self::default();
        plan.done.filter = match &route.filters {
            Filters::Everything(translate) => {
                for conjunct in query.filter.conjuncts() {
                    plan.fill(route, conjunct);
                }
                if query.filter != Predicate::All {
                    plan.params = translate(schema, &query.filter);
                }
                true
            }
            Filters::Params(_) => {
                for condition in query.filter.conditions() {
                    let pushed = plan.push(route, schema, condition);
                    plan.residual.push(pushed == Pushed::Residual);
                }
                !plan.residual.contains(&true)
            }
        };
        plan.order(route, schema, query);
        // The window is counted off here, page by page, which is right as soon as the server leaves out and orders.
        // A place in the order is none that a server could be told.
        plan.done.window = plan.done.filter && plan.done.order && query.after.is_none();
        let missing = route.list_fields.iter().find(|at| plan.field(**at).is_none());
        match missing {
            None => Ok(plan),
            Some(at) => {
                let name = schema.fields[*at].name;
                Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("the path of the list names `{{{name}}}`, so the query has to say `{name} = …`"),
                ))
            }
        }
    }

    /// The value of a field that the list's template names.
    pub(crate) fn field(&self, at: usize) -> Option<&str> {
        self.fields.iter().find(|(field, _)| *field == at).map(|(_, value)| value.as_str())
    }

    fn push(&mut self, route: &Route, schema: &'static Schema, filter: &Predicate) -> Pushed {
        if self.fill(route, filter) {
            return Pushed::Exactly;
        }
        let at = |field: &u16| usize::from(*field);
        match filter {
            Predicate::All => Pushed::Exactly,
            Predicate::And(all) => {
                let pushed: Vec<_> = all.iter().map(|one| self.push(route, schema, one)).collect();
                if pushed.contains(&Pushed::Residual) { Pushed::Residual } else { Pushed::Exactly }
            }
            Predicate::Compare { field, op, value } => {
                self.param(route, at(field), compare_op(*op), &[value])
            }
            Predicate::Between { field, low, high } => {
                let low = self.param(route, at(field), FilterOp::Ge, &[low]);
                let high = self.param(route, at(field), FilterOp::Le, &[high]);
                if low == high { low } else { Pushed::Residual }
            }
            Predicate::In { field, values } => {
                self.any_of(route, at(field), &values.iter().collect::<Vec<_>>())
            }
            Predicate::Text { field, op, needle, ignore_case: false, negated: false } => {
                self.text(route, at(field), *op, needle)
            }
            Predicate::Member { field, value, negated: false } => {
                self.param(route, at(field), FilterOp::Member, &[value])
            }
            Predicate::Keys(keys) => match schema.key.fields {
                [position] => {
                    let texts = keys.iter().map(|key| key_text(schema, key, 0).ok()).collect();
                    self.texts(route, *position, FilterOp::AnyOf, texts)
                }
                _ => Pushed::Residual,
            },
            Predicate::Key(key) => {
                let part = |(part, position): (usize, &usize)| {
                    let text = key_text(schema, key, part).ok();
                    self.texts(route, *position, FilterOp::Eq, text.map(|text| vec![text]))
                };
                let pushed: Vec<_> = schema.key.fields.iter().enumerate().map(part).collect();
                if pushed.contains(&Pushed::Residual) { Pushed::Residual } else { Pushed::Exactly }
            }
            _ => Pushed::Residual,
        }
    }

    /// Takes the value of a field that the list's template names.
    fn fill(&mut self, route: &Route, filter: &Predicate) -> bool {
        let (field, value) = match filter {
            Predicate::Compare { field, op: CompareOp::Eq, value } => (field, value),
            Predicate::In { field, values } => match values.as_slice() {
                [value] => (field, value),
                _ => return false,
            },
            _ => return false,
        };
        let at = usize::from(*field);
        if !route.list_fields.contains(&at) || self.field(at).is_some() {
            return false;
        }
        let filled = text(&route.schema.fields[at], value.show()).ok().flatten();
        self.fields.extend(filled.map(|value| (at, value)));
        self.field(at).is_some()
    }

    fn text(&mut self, route: &Route, at: usize, op: TextOp, needle: &str) -> Pushed {
        // A part of a text that is written in another way there can't be written.
        let field = &route.schema.fields[at];
        if !matches!(field.kind.inner(), Kind::Str) || converts(field) {
            return Pushed::Residual;
        }
        let op = match op {
            TextOp::Contains => FilterOp::Contains,
            TextOp::StartsWith => FilterOp::StartsWith,
            TextOp::EndsWith => FilterOp::EndsWith,
        };
        self.param(route, at, op, &[&Value::Str(needle.into())])
    }

    fn any_of(&mut self, route: &Route, at: usize, values: &[&Value]) -> Pushed {
        if values.len() == 1 && self.param(route, at, FilterOp::Eq, values) == Pushed::Exactly {
            return Pushed::Exactly;
        }
        self.param(route, at, FilterOp::AnyOf, values)
    }

    fn param(&mut self, route: &Route, at: usize, op: FilterOp, values: &[&Value]) -> Pushed {
        let field = &route.schema.fields[at];
        let write = |value: &&Value| match (op, field.kind.inner()) {
            (FilterOp::Member, Kind::List(of)) if !converts(field) => {
                element_text(value.show(), of).ok().flatten()
            }
            (FilterOp::Member, _) => None,
            _ => text(field, value.show()).ok().flatten(),
        };
        self.texts(route, at, op, values.iter().map(write).collect())
    }

    /// Adds a parameter; `None` and what the endpoint has no parameter for stay residual. A parameter that is there
    /// already is not repeated: servers take that for "or", or for the last.
    fn texts(&mut self, route: &Route, at: usize, op: FilterOp, texts: Option<Vec<String>>) -> Pushed {
        let (Filters::Params(params), Some(texts)) = (&route.filters, texts) else {
            return Pushed::Residual;
        };
        let fits = |param: &&FilterParam<usize>| {
            let commas = op == FilterOp::AnyOf && param.op == FilterOp::AnyOfCommas;
            param.field == at
                && (param.op == op || (commas && texts.iter().all(|text| !text.contains(','))))
                && !self.params.iter().any(|(name, _)| *name == param.name)
        };
        let length: usize = texts.iter().map(String::len).sum();
        let Some(param) = params.iter().find(fits).filter(|_| length <= LONGEST) else {
            return Pushed::Residual;
        };
        if param.op == FilterOp::AnyOfCommas {
            self.params.push((param.name.clone(), texts.join(",")));
        } else {
            self.params.extend(texts.into_iter().map(|text| (param.name.clone(), text)));
        }
        if param.exact { Pushed::Exactly } else { Pushed::Residual }
    }

    fn order(&mut self, route: &Route, schema: &'static Schema, query: &Query) {
        let (name, style) = match &route.ordered {
            Ordered::No => return,
            Ordered::ByKey => {
                self.done.order = query.order.is_empty();
                return;
            }
            Ordered::Param(name, style) => (name, style),
        };
        let key = schema.key.fields.iter().filter_map(|at| u16::try_from(*at).ok());
        let rest = key.filter(|at| !query.order.iter().any(|order| order.field == *at));
        let ascending = Order::asc;
        let order: Vec<_> = query.order.iter().copied().chain(rest.map(ascending)).collect();
        let named = |order: &Order| {
            let field = schema.fields[usize::from(order.field)].name_in(DIALECT);
            (field, order.direction == Direction::Descending)
        };
        let order: Vec<_> = order.iter().map(named).collect();
        let join = |write: &dyn Fn(&str, bool) -> String| {
            order.iter().map(|(field, falls)| write(field, *falls)).collect::<Vec<_>>().join(",")
        };
        let direction = |falls: bool| if falls { "desc" } else { "asc" };
        match style {
            OrderStyle::Signed => {
                let signed = join(&|field, falls| format!("{}{field}", if falls { "-" } else { "" }));
                self.params.push((name.clone(), signed));
            }
            OrderStyle::Suffixed => {
                let suffixed = join(&|field, falls| format!("{field}:{}", direction(falls)));
                self.params.push((name.clone(), suffixed));
            }
            OrderStyle::Split { directions } => {
                self.params.push((name.clone(), join(&|field, _| field.to_owned())));
                self.params.push((directions.clone(), join(&|_, falls| direction(falls).to_owned())));
            }
        }
        self.done.order = true;
    }
}

/// Of the texts of one condition, in bytes: a URL that is much longer is refused by many servers.
const LONGEST: usize = 4096;

fn converts(field: &FieldDef) -> bool {
    field.dialect(DIALECT).is_some_and(|special| special.convert.is_some())
}

fn compare_op(op: CompareOp) -> FilterOp {
    match op {
        CompareOp::Eq => FilterOp::Eq,
        CompareOp::Ne => FilterOp::Ne,
        CompareOp::Lt => FilterOp::Lt,
        CompareOp::Le => FilterOp::Le,
        CompareOp::Gt => FilterOp::Gt,
        CompareOp::Ge => FilterOp::Ge,
    }
}

/// Whether no row can match, so that nobody needs to be asked.
pub(crate) fn matches_nothing(query: &Query) -> bool {
    fn nothing(filter: &Predicate) -> bool {
        match filter {
            Predicate::In { values, .. } => values.is_empty(),
            Predicate::Keys(keys) => keys.is_empty(),
            Predicate::Or(any) => any.iter().all(nothing),
            Predicate::And(all) => all.iter().any(nothing),
            _ => false,
        }
    }
    query.limit == Some(0) || nothing(&query.filter)
}
