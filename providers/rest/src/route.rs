//! An endpoint, checked against its model: what the provider works with.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use larder_core::{Idempotency, KeyKind, Operation, Result, Schema};
use serde_json::{Map, Value};

use crate::changes::Changes;
use crate::codec::Version;
use crate::endpoint::{Action, Endpoint, OnRepeat};
use crate::error::invalid;
use crate::filters::{FieldRef, Filters, Ordered};
use crate::paging::Paging;
use crate::template::{Scope, Template};
use crate::total::Total;

/// What of a remote's configuration its endpoints fall back on.
pub(crate) struct Defaults<'a> {
    pub(crate) headers: &'a [(String, String)],
    pub(crate) idempotency_header: Option<&'a str>,
}

/// The endpoint of one model.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) schema: &'static Schema,
    templates: BTreeMap<Action, Template>,
    methods: BTreeMap<Action, Method>,
    pub(crate) headers: HeaderMap,
    pub(crate) content_type: HeaderValue,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) list_params: Vec<(String, String)>,
    pub(crate) list_key: Option<String>,
    pub(crate) row_key: Option<String>,
    pub(crate) body_key: Option<String>,
    pub(crate) supplement: Map<String, Value>,
    pub(crate) filters: Filters<usize>,
    pub(crate) list_fields: Vec<usize>,
    pub(crate) ordered: Ordered,
    pub(crate) limit_param: Option<String>,
    pub(crate) offset_param: Option<String>,
    pub(crate) paging: Paging,
    pub(crate) total: Option<Total>,
    pub(crate) changes: Option<Changes>,
    /// Where rows are listed, as it was said.
    pub(crate) list_path: String,
    pub(crate) version: Version,
    pub(crate) if_match: bool,
    if_none_match: bool,
    idempotency_header: Option<HeaderName>,
    idempotency: BTreeMap<&'static str, Idempotency>,
    repeats: BTreeMap<(&'static str, u16), OnRepeat>,
    /// The server answers writes with HTML.
    pub(crate) html: bool,
}

impl Route {
    /// Checks an endpoint.
    ///
    /// # Errors
    /// `Invalid`, with the model, for what makes no sense.
    pub(crate) fn compile(
        endpoint: &Endpoint,
        schema: &'static Schema,
        defaults: &Defaults<'_>,
    ) -> Result<Self> {
        Self::try_compile(endpoint, schema, defaults).map_err(|error| error.model(schema.model))
    }

    fn try_compile(endpoint: &Endpoint, schema: &'static Schema, defaults: &Defaults<'_>) -> Result<Self> {
        endpoint.paging.check()?;
        let methods = methods(endpoint, schema)?;
        let templates = templates(endpoint, schema, &methods)?;
        let mut headers = header_map(defaults.headers)?;
        for (name, value) in header_map(&endpoint.headers)? {
            if let Some(name) = name {
                headers.insert(name, value);
            }
        }
        let content_type = headers.remove(CONTENT_TYPE);
        let idempotency_header = match &endpoint.idempotency_header {
            Some(own) => own.as_deref(),
            None => defaults.idempotency_header,
        };
        let list_path = templates.get(&Action::List).map(|list| list.text().to_owned());
        if let Some(changes) = &endpoint.changes {
            changes.check(list_path.as_deref())?;
        }
        let e = endpoint.clone();
        Ok(Self {
            schema,
            list_fields: templates.get(&Action::List).map(|list| list.fields().collect()).unwrap_or_default(),
            templates,
            methods,
            headers,
            content_type: content_type.unwrap_or_else(|| HeaderValue::from_static("application/json")),
            params: e.params,
            list_params: e.list_params,
            list_key: e.list_key,
            row_key: e.row_key,
            body_key: e.body_key,
            supplement: e.supplement,
            filters: endpoint.filters.resolve(|field| position(field, schema))?,
            ordered: e.ordered,
            limit_param: e.limit_param,
            offset_param: e.offset_param,
            paging: e.paging,
            total: e.total,
            changes: e.changes,
            list_path: list_path.unwrap_or_default(),
            version: e.version,
            if_match: e.if_match,
            if_none_match: e.if_none_match,
            idempotency_header: idempotency_header.map(header_name).transpose()?,
            idempotency: e.idempotency,
            repeats: e.repeats,
            html: e.html,
        })
    }

    /// Where an action goes; `None` if the server does not have it.
    pub(crate) fn template(&self, action: Action) -> Option<&Template> {
        self.templates.get(&action)
    }

    /// How a write goes.
    pub(crate) fn method(&self, action: Action) -> Method {
        self.methods.get(&action).cloned().unwrap_or(Method::GET)
    }

    /// Whether a write says `If-None-Match: *`.
    pub(crate) fn only_if_absent(&self, action: Action) -> bool {
        self.if_none_match && action == Action::Create && self.method(action) == Method::PUT
    }

    /// The header in which an operation sends its idempotency key, if it does.
    pub(crate) fn key_header(&self, operation: Operation) -> Option<&HeaderName> {
        let method = self.method(action_of(operation));
        let keyed = match self.idempotency.get(operation.verb()) {
            Some(declared) => matches!(declared, Idempotency::Keyed { .. }),
            None => method == Method::POST || method == Method::PATCH,
        };
        self.idempotency_header.as_ref().filter(|_| keyed)
    }

    /// What is declared about a status as the answer to a repeat.
    pub(crate) fn on_repeat(&self, operation: Operation, status: u16) -> Option<OnRepeat> {
        self.repeats.get(&(operation.verb(), status)).copied()
    }

    /// How an operation stands being sent twice.
    pub(crate) fn idempotency(&self, operation: Operation) -> Idempotency {
        if let Some(declared) = self.idempotency.get(operation.verb()) {
            return *declared;
        }
        let action = action_of(operation);
        if self.only_if_absent(action) {
            return Idempotency::Conditional;
        }
        if self.key_header(operation).is_some() {
            return Idempotency::KEYED;
        }
        if self.method(action) == Method::POST { Idempotency::AtMostOnce } else { Idempotency::Idempotent }
    }
}

/// The action that an operation asks for.
pub(crate) fn action_of(operation: Operation) -> Action {
    match operation {
        Operation::Insert => Action::Create,
        Operation::Update => Action::Update,
        Operation::Upsert => Action::Upsert,
        Operation::Delete => Action::Delete,
    }
}

/// The endpoint of a model that has none.
pub(crate) fn default_endpoint(schema: &'static Schema) -> Endpoint {
    let mut snake = String::new();
    for (at, char) in schema.model.char_indices() {
        if char.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(char.to_lowercase());
    }
    if schema.key.kind != KeyKind::Singleton {
        pluralise(&mut snake);
    }
    Endpoint::new(format!("/{snake}"))
}

fn pluralise(word: &mut String) {
    let before_y = word.strip_suffix('y').and_then(|stem| stem.chars().last());
    if before_y.is_some_and(|char| !"aeiou".contains(char)) {
        word.pop();
        word.push_str("ies");
    } else if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) {
        word.push_str("es");
    } else {
        word.push('s');
    }
}

fn position(field: &FieldRef, schema: &'static Schema) -> Result<usize> {
    match field {
        FieldRef::Position(at) if usize::from(*at) < schema.fields.len() => Ok(usize::from(*at)),
        FieldRef::Position(at) => Err(invalid(format!("there is no field {at}"))),
        FieldRef::Name(name) => {
            schema.position(name).ok_or_else(|| invalid(format!("there is no field `{name}`")))
        }
    }
}

fn methods(endpoint: &Endpoint, schema: &'static Schema) -> Result<BTreeMap<Action, Method>> {
    let single = schema.key.fields.is_empty();
    let able: [(Action, &[Method]); 4] = [
        (Action::Create, &[Method::POST, Method::PUT]),
        (Action::Update, &[Method::PUT, Method::PATCH, Method::POST]),
        (Action::Upsert, &[Method::PUT, Method::PATCH, Method::POST]),
        (Action::Delete, &[Method::DELETE, Method::POST]),
    ];
    let mut methods = BTreeMap::new();
    for (action, able) in able {
        let usual = if single && action == Action::Create { Method::PUT } else { able[0].clone() };
        let method = endpoint.methods.get(&action).cloned().unwrap_or(usual);
        if !able.contains(&method) {
            let able: Vec<_> = able.iter().map(Method::as_str).collect();
            return Err(invalid(format!("{action:?} goes by {}, not by {method}", able.join(" or "))));
        }
        methods.insert(action, method);
    }
    Ok(methods)
}

fn templates(
    endpoint: &Endpoint,
    schema: &'static Schema,
    methods: &BTreeMap<Action, Method>,
) -> Result<BTreeMap<Action, Template>> {
    let collection = endpoint.collection.clone();
    let row = row_path(&collection, schema);
    let is_post = |action| methods.get(&action) == Some(&Method::POST);
    // What is said for one action counts for those that usually go to the same place.
    let said = |action: Action| match endpoint.paths.get(&action) {
        Some(Some(path)) => Some(path.clone()),
        _ => None,
    };
    let one = said(Action::One).unwrap_or_else(|| row.clone());
    let create = said(Action::Create).unwrap_or_else(|| {
        if is_post(Action::Create) { path_of(&collection).to_owned() } else { one.clone() }
    });
    let update = said(Action::Update).unwrap_or_else(|| one.clone());
    let upsert = said(Action::Upsert)
        .unwrap_or_else(|| if is_post(Action::Upsert) { create.clone() } else { update.clone() });
    let paths = [
        (Action::List, said(Action::List).unwrap_or(collection), Scope::List),
        (Action::Delete, said(Action::Delete).unwrap_or_else(|| one.clone()), Scope::Key),
        (Action::One, one, Scope::Key),
        (Action::Create, create, Scope::Row),
        (Action::Update, update, Scope::Row),
        (Action::Upsert, upsert, Scope::Row),
    ];
    let mut templates = BTreeMap::new();
    for (action, path, scope) in paths {
        let absent = matches!(endpoint.paths.get(&action), Some(None));
        let needless = action == Action::List && schema.key.fields.is_empty();
        if !absent && !needless {
            let template = Template::compile(&path, schema, scope)?;
            if action == Action::Create && schema.key.kind == KeyKind::Server && template.names_key() {
                return Err(invalid(format!(
                    "rows are created at `{path}`, which names the key, but the server is to give it"
                )));
            }
            templates.insert(action, template);
        }
    }
    Ok(templates)
}

fn path_of(collection: &str) -> &str {
    collection.split('?').next().unwrap_or_default()
}

/// Where one row is, below its collection; a slash at the end stays there.
fn row_path(collection: &str, schema: &'static Schema) -> String {
    let path = path_of(collection);
    let (path, slash) = path.strip_suffix('/').map_or((path, ""), |path| (path, "/"));
    let key = match schema.key.fields.len() {
        0 => String::new(),
        1 => "/{key}".to_owned(),
        parts => (0..parts).map(|part| format!("/{{key.{part}}}")).collect(),
    };
    format!("{path}{key}{slash}")
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(format!("`{name}` is no name of a header")))
}

pub(crate) fn header_map(headers: &[(String, String)]) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(header_name(name)?, header_value(name, value)?);
    }
    Ok(map)
}

/// The value of a header; it may be a secret, so the message does not show it.
pub(crate) fn header_value(name: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value)
        .map_err(|_| invalid(format!("the value of the header `{name}` holds characters that can't be sent")))
}

#[cfg(test)]
mod tests;
