//! What is special about the endpoint of one model.

use std::collections::BTreeMap;
use std::fmt;

use http::Method;
use larder_core::{Idempotency, Operation, Predicate, Schema};
use serde_json::{Map, Value};

use crate::changes::Changes;
use crate::codec::Version;
use crate::filters::{FieldRef, FilterOp, Filters, OrderStyle, Ordered};
use crate::paging::Paging;
use crate::total::Total;

/// What can be asked of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Rows, filtered or not.
    List,
    /// One row by its key.
    One,
    /// A new row.
    Create,
    /// A changed row.
    Update,
    /// A row, whether it is there or not.
    Upsert,
    /// A row less.
    Delete,
}

/// What a status means as the answer to a write that may have been made before: see [`Endpoint::on_repeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnRepeat {
    /// It was: the write counts as accepted.
    Done,
    /// It may have been: the row is read, and what was sent counts as accepted if that is what is there.
    Compare,
    /// It was not, and the write is refused.
    Refused,
}

/// The endpoint of one model: where each action goes, how, and what the server understands.
///
/// What is not said here has a default: list and create at the collection, everything else at
/// `collection/{key}` (`collection/{key.0}/{key.1}` for a composite key, the collection itself for a model of one
/// row); `POST` creates, `PUT` updates and upserts, `DELETE` deletes. A model without an endpoint has the collection of
/// its name in the plural: `User` at `/users`, `LineItem` at `/line_items`, `Category` at `/categories`.
///
/// Templates name, in braces, the key (`{key}`, `{key.0}`) or a field of the model (`{org}`). A read by key and a delete
/// know the key alone, a list knows the fields that its query fixes (`org = …`), a create and an update know the whole
/// row. Each value is percent-encoded; what would make its segment empty, `.` or `..` is refused with `Invalid`.
///
/// ```
/// use larder_rest::http::Method;
/// use larder_rest::{Endpoint, Paging};
///
/// let issues = Endpoint::new("/repos/{repo}/issues")
///     .one("/repos/octo/app/issues/{key}")
///     .update("/repos/octo/app/issues/{key}")
///     .update_with(Method::PATCH)
///     .without(larder_rest::Action::Delete)
///     .filter_param("state", "state")
///     .paging(Paging::Link)
///     .list_param("per_page", "100");
/// # drop(issues);
/// ```
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) collection: String,
    pub(crate) paths: BTreeMap<Action, Option<String>>,
    pub(crate) methods: BTreeMap<Action, Method>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) list_params: Vec<(String, String)>,
    pub(crate) list_key: Option<String>,
    pub(crate) row_key: Option<String>,
    pub(crate) body_key: Option<String>,
    pub(crate) supplement: Map<String, Value>,
    pub(crate) filters: Filters<FieldRef>,
    pub(crate) ordered: Ordered,
    pub(crate) limit_param: Option<String>,
    pub(crate) offset_param: Option<String>,
    pub(crate) paging: Paging,
    pub(crate) total: Option<Total>,
    pub(crate) changes: Option<Changes>,
    pub(crate) version: Version,
    pub(crate) if_match: bool,
    pub(crate) if_none_match: bool,
    /// `None`: as the remote says; `Some(None)`: no header.
    pub(crate) idempotency_header: Option<Option<String>>,
    pub(crate) idempotency: BTreeMap<&'static str, Idempotency>,
    pub(crate) repeats: BTreeMap<(&'static str, u16), OnRepeat>,
    pub(crate) html: bool,
}

impl Endpoint {
    /// An endpoint whose collection is at `collection`, a template below the base URL.
    pub fn new(collection: impl Into<String>) -> Self {
        Self {
            collection: collection.into(),
            paths: BTreeMap::new(),
            methods: BTreeMap::new(),
            headers: Vec::new(),
            params: Vec::new(),
            list_params: Vec::new(),
            list_key: None,
            row_key: None,
            body_key: None,
            supplement: Map::new(),
            filters: Filters::default(),
            ordered: Ordered::default(),
            limit_param: None,
            offset_param: None,
            paging: Paging::Link,
            total: None,
            changes: None,
            version: Version::Etag,
            if_match: true,
            if_none_match: true,
            idempotency_header: None,
            idempotency: BTreeMap::new(),
            repeats: BTreeMap::new(),
            html: false,
        }
    }

    // ---- where, and how ----

    fn path(mut self, action: Action, template: impl Into<String>) -> Self {
        self.paths.insert(action, Some(template.into()));
        self
    }

    fn method(mut self, action: Action, method: Method) -> Self {
        self.methods.insert(action, method);
        self
    }

    /// Sets where rows are listed.
    #[must_use]
    pub fn list(self, template: impl Into<String>) -> Self {
        self.path(Action::List, template)
    }

    /// Sets where one row is read.
    #[must_use]
    pub fn one(self, template: impl Into<String>) -> Self {
        self.path(Action::One, template)
    }

    /// Sets where rows are created.
    #[must_use]
    pub fn create(self, template: impl Into<String>) -> Self {
        self.path(Action::Create, template)
    }

    /// Sets where a row is updated.
    #[must_use]
    pub fn update(self, template: impl Into<String>) -> Self {
        self.path(Action::Update, template)
    }

    /// Sets where a row is upserted; by default where it is updated, or where rows are created if that is by `POST`.
    #[must_use]
    pub fn upsert(self, template: impl Into<String>) -> Self {
        self.path(Action::Upsert, template)
    }

    /// Sets where a row is deleted.
    #[must_use]
    pub fn delete(self, template: impl Into<String>) -> Self {
        self.path(Action::Delete, template)
    }

    /// Says that the server does not have an action: it is refused with `Unsupported`, before anything is sent. Without
    /// [`Action::One`] a row is looked for in the list.
    #[must_use]
    pub fn without(mut self, action: Action) -> Self {
        self.paths.insert(action, None);
        self
    }

    /// Creates by `POST` (the default) or by `PUT`, which goes to the row's own path and says `If-None-Match: *`.
    #[must_use]
    pub fn create_with(self, method: Method) -> Self {
        self.method(Action::Create, method)
    }

    /// Updates by `PUT` (the default: the whole row, laid over what the remote has and the model has not), by `PATCH`
    /// (the changed fields alone) or by `POST` (the whole row).
    #[must_use]
    pub fn update_with(self, method: Method) -> Self {
        self.method(Action::Update, method)
    }

    /// Upserts by `PUT` (the default), by `PATCH` (the whole row, without what the model has not) or by `POST`.
    #[must_use]
    pub fn upsert_with(self, method: Method) -> Self {
        self.method(Action::Upsert, method)
    }

    /// Deletes by `DELETE` (the default) or by `POST`.
    #[must_use]
    pub fn delete_with(self, method: Method) -> Self {
        self.method(Action::Delete, method)
    }

    /// Adds a header to each request; it replaces one of [`Rest::header`](crate::Rest::header) with the same name.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to each request.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to each list.
    #[must_use]
    pub fn list_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.list_params.push((name.into(), value.into()));
        self
    }

    // ---- bodies ----

    /// Sets the member that holds the rows of a list: `items`, or a path such as `data.items`.
    #[must_use]
    pub fn list_key(mut self, member: impl Into<String>) -> Self {
        self.list_key = Some(member.into());
        self
    }

    /// Sets the member that holds the row in an answer about one: `data`, or a path.
    #[must_use]
    pub fn row_key(mut self, member: impl Into<String>) -> Self {
        self.row_key = Some(member.into());
        self
    }

    /// Sets the member into which a row goes when it is sent.
    #[must_use]
    pub fn body_key(mut self, member: impl Into<String>) -> Self {
        self.body_key = Some(member.into());
        self
    }

    /// Adds a member to the root of each body that is sent; it replaces one of the row with the same name.
    #[must_use]
    pub fn supplement(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.supplement.insert(member.into(), value.into());
        self
    }

    // ---- what the server does of a query ----

    /// Says that the server lists exactly the rows whose `field` equals the value of the parameter `name`.
    #[must_use]
    pub fn filter_param(self, field: impl Into<FieldRef>, name: impl Into<String>) -> Self {
        self.filter_op(field, FilterOp::Eq, name)
    }

    /// Says that the server lists exactly the rows whose `field` stands in that relation to the parameter `name`, as
    /// Larder understands it.
    #[must_use]
    pub fn filter_op(mut self, field: impl Into<FieldRef>, op: FilterOp, name: impl Into<String>) -> Self {
        self.filters.add(field.into(), op, name.into(), true);
        self
    }

    /// As [`filter_op`](Self::filter_op), of a server that leaves out some of the other rows but not all, because it
    /// ignores case, say. The condition is evaluated again here.
    #[must_use]
    pub fn narrow_op(mut self, field: impl Into<FieldRef>, op: FilterOp, name: impl Into<String>) -> Self {
        self.filters.add(field.into(), op, name.into(), false);
        self
    }

    /// Says that the server evaluates any filter, and how it is put into parameters.
    #[must_use]
    pub fn filter_everything<F>(mut self, translate: F) -> Self
    where
        F: Fn(&'static Schema, &Predicate) -> Vec<(String, String)> + Send + Sync + 'static,
    {
        self.filters = Filters::everything(translate);
        self
    }

    /// Says that the server orders by the parameter `name`, as Larder does: nulls first when rising, text by code point,
    /// the key last (which is sent).
    #[must_use]
    pub fn order_param(mut self, name: impl Into<String>, style: OrderStyle) -> Self {
        self.ordered = Ordered::Param(name.into(), style);
        self
    }

    /// Says that the server lists in the order of the keys, and has no other.
    #[must_use]
    pub fn lists_by_key(mut self) -> Self {
        self.ordered = Ordered::ByKey;
        self
    }

    /// Sets the parameter for how many rows are wanted, for queries whose filter and order the server does.
    #[must_use]
    pub fn limit_param(mut self, name: impl Into<String>) -> Self {
        self.limit_param = Some(name.into());
        self
    }

    /// Sets the parameter for how many rows to leave out, for queries whose filter and order the server does.
    #[must_use]
    pub fn offset_param(mut self, name: impl Into<String>) -> Self {
        self.offset_param = Some(name.into());
        self
    }

    /// Sets how a list goes on. The default follows a `Link` header where there is one.
    #[must_use]
    pub fn paging(mut self, paging: Paging) -> Self {
        self.paging = paging;
        self
    }

    /// Says where a list tells how many rows all its pages have: the progress of a sync tells it then. It has to be the
    /// number of the rows that the parameters of the request leave.
    #[must_use]
    pub fn total(mut self, total: Total) -> Self {
        self.total = Some(total);
        self
    }

    /// Says how the server tells what has changed since the last time; a sync asks for that instead of for everything.
    #[must_use]
    pub fn changes(mut self, changes: Changes) -> Self {
        self.changes = Some(changes);
        self
    }

    // ---- versions ----

    /// Takes the version of a row from this member instead of the `ETag`; it is not sent as `If-Match`.
    #[must_use]
    pub fn version_field(mut self, member: impl Into<String>) -> Self {
        self.version = Version::Member(member.into());
        self
    }

    /// Takes the version of a row from this member where there is no `ETag`, as in lists: the entity tag without its
    /// quotes.
    #[must_use]
    pub fn version_field_as_etag(mut self, member: impl Into<String>) -> Self {
        self.version = Version::EtagMember(member.into());
        self
    }

    /// Says that the server answers writes with HTML. Without it, such an answer is taken for that of a captive portal or a
    /// proxy: whether the write has arrived is not known, and it is sent again as its idempotency says.
    #[must_use]
    pub fn html_answers(mut self) -> Self {
        self.html = true;
        self
    }

    /// Whether a change of a row whose strong `ETag` is known says `If-Match`; true by default.
    #[must_use]
    pub fn send_if_match(mut self, send: bool) -> Self {
        self.if_match = send;
        self
    }

    /// Whether a create by `PUT` says `If-None-Match: *`; true by default.
    #[must_use]
    pub fn send_if_none_match(mut self, send: bool) -> Self {
        self.if_none_match = send;
        self
    }

    // ---- repeats ----

    /// Sends the idempotency key in this header instead of [`Rest::idempotency_header`](crate::Rest::idempotency_header).
    #[must_use]
    pub fn idempotency_header(mut self, name: impl Into<String>) -> Self {
        self.idempotency_header = Some(Some(name.into()));
        self
    }

    /// Sends no idempotency key.
    #[must_use]
    pub fn without_idempotency_header(mut self) -> Self {
        self.idempotency_header = Some(None);
        self
    }

    /// Says how an operation stands being sent twice. Without it: `PUT` and `DELETE` are
    /// [`Idempotent`](Idempotency::Idempotent) (a create by `PUT` with `If-None-Match` is
    /// [`Conditional`](Idempotency::Conditional)); `POST` and `PATCH` are [`Keyed`](Idempotency::Keyed) for 24 hours
    /// where the idempotency key is sent, else `PATCH` is `Idempotent`, for it sets fields to values, and `POST` is
    /// [`AtMostOnce`](Idempotency::AtMostOnce).
    ///
    /// That an unknown server honours the key is an assumption: for one that ignores it, say
    /// `Idempotency::AtMostOnce` or `Idempotency::Probe` for inserts, or a lost answer may double a row.
    #[must_use]
    pub fn idempotency(mut self, operation: Operation, idempotency: Idempotency) -> Self {
        self.idempotency.insert(operation.verb(), idempotency);
        self
    }

    /// Says what a status means as the answer to a write that may have been made before, and for no other. No status says
    /// by itself that a write was made: a server that answers 409 may have a row of somebody else. Without it, 409 and 412
    /// are [compared](OnRepeat::Compare), and a delete that finds nothing (404, 410) is done, repeated or not: for a server
    /// that says 404 to whoever lacks permission, declare them as [`Refused`](OnRepeat::Refused).
    ///
    /// ```
    /// use larder_core::Operation;
    /// use larder_rest::{Endpoint, OnRepeat};
    ///
    /// // A server that answers 400 to a row that is there already.
    /// let notes = Endpoint::new("/items/notes").on_repeat(Operation::Insert, 400, OnRepeat::Compare);
    /// # drop(notes);
    /// ```
    #[must_use]
    pub fn on_repeat(mut self, operation: Operation, status: u16, means: OnRepeat) -> Self {
        self.repeats.insert((operation.verb(), status), means);
        self
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Endpoint")
            .field("collection", &self.collection)
            .field("paths", &self.paths)
            .field("methods", &self.methods)
            .field("headers", &headers)
            .field("paging", &self.paging)
            .finish_non_exhaustive()
    }
}
