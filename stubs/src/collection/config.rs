//! How a collection behaves.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// A collection of JSON objects below one path.
///
/// | request | answer |
/// |---|---|
/// | `GET at` | 200, the rows in the order of their keys, or as the query asks |
/// | `GET at/key` | 200, or 404; 304 if `If-None-Match` has its version |
/// | `POST at` | 201 with the row and its `Location`; 409 if the key is taken |
/// | `PUT at/key` | 200 with the row, which is replaced; 404, or 201 after [`put_creates`](Self::put_creates) |
/// | `PATCH at/key` | 200 with the row, members of the body in place of its own; 404 |
/// | `DELETE at/key` | 204, or 404 |
/// | `GET at/changes?since=token` | after [`tells_changes`](Self::tells_changes): 200 with what has changed, or 410 |
///
/// A query parameter that is not configured is answered by 400: a filter that a server ignores is a wrong answer. A
/// body that is no JSON object is answered by 400.
///
/// ```
/// use larder_stubs::{Collection, Filters, Stubs};
/// use serde_json::json;
///
/// let users = Collection::at("users")
///     .rows([json!({ "id": 1, "name": "Ada" })])
///     .paged(30)
///     .etags()
///     .filters(Filters::Some(vec!["name".into()]));
/// let stubs = Stubs::new().collection(users);
/// assert_eq!(stubs.rows("users"), [json!({ "id": 1, "name": "Ada" })]);
/// ```
#[derive(Clone, Debug)]
pub struct Collection {
    pub(crate) tests: Vec<(String, Test)>,
    pub(crate) select: Option<Select>,
    pub(crate) path: String,
    pub(crate) key: Vec<String>,
    pub(crate) rows: Vec<Value>,
    pub(crate) page: Option<Paging>,
    pub(crate) etags: bool,
    pub(crate) idempotency: Option<String>,
    pub(crate) filters: Filters,
    pub(crate) sort: Option<String>,
    pub(crate) window: Option<(String, String)>,
    pub(crate) wrap: Option<String>,
    pub(crate) put_creates: bool,
    pub(crate) total: Option<String>,
    pub(crate) stamp: Option<String>,
    pub(crate) changes: Option<Telling>,
}

/// Which members of a row a query parameter of the same name filters by: rows whose member, as text, is the value. A
/// parameter that is repeated means any of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filters {
    /// None: the server gives everything.
    None,
    /// These.
    Some(Vec<String>),
    /// All.
    All,
}

/// Whether a row is wanted, by the value of a parameter.
#[derive(Clone)]
pub(crate) struct Test(pub(crate) Arc<TestFn>);

type TestFn = dyn Fn(&Value, &str) -> bool + Send + Sync;

/// The rows that a query asks for, or what is wrong with it.
#[derive(Clone)]
pub(crate) struct Select(pub(crate) Arc<SelectFn>);

type SelectFn = dyn Fn(&[Value], &[(String, String)]) -> Result<Vec<Value>, String> + Send + Sync;

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Test")
    }
}

impl fmt::Debug for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Select")
    }
}

/// How changes are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling {
    pub(crate) page: usize,
    pub(crate) history: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Paging {
    pub(crate) size: usize,
    pub(crate) number_param: String,
    pub(crate) size_param: String,
}

impl Collection {
    /// An empty collection of rows with the key `id`: no paging, no versions, no filters.
    #[must_use]
    pub fn at(path: &str) -> Self {
        Self {
            tests: Vec::new(),
            select: None,
            path: path.trim_matches('/').to_owned(),
            key: vec!["id".to_owned()],
            rows: Vec::new(),
            page: None,
            etags: false,
            idempotency: None,
            filters: Filters::None,
            sort: None,
            window: None,
            wrap: None,
            put_creates: false,
            total: None,
            stamp: None,
            changes: None,
        }
    }

    /// Sets the member that is the key.
    #[must_use]
    pub fn key(self, member: &str) -> Self {
        self.keys([member])
    }

    /// Sets the members that are the key, in the order of the path's segments. Without any, the collection is a single
    /// resource at its path.
    #[must_use]
    pub fn keys<'a>(mut self, members: impl IntoIterator<Item = &'a str>) -> Self {
        self.key = members.into_iter().map(str::to_owned).collect();
        self
    }

    /// Adds rows.
    #[must_use]
    pub fn rows(mut self, rows: impl IntoIterator<Item = Value>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Lists pages of at most `size` rows, by the parameters `page` (from 1) and `per_page`, with a `Link` header.
    #[must_use]
    pub fn paged(self, size: usize) -> Self {
        self.paged_by(size, "page", "per_page")
    }

    /// As [`paged`](Self::paged), by these parameters.
    #[must_use]
    pub fn paged_by(mut self, size: usize, number: &str, per_page: &str) -> Self {
        let size = size.max(1);
        self.page = Some(Paging { size, number_param: number.to_owned(), size_param: per_page.to_owned() });
        self
    }

    /// Gives each row a version as its `ETag`, and refuses a write whose `If-Match` is another by 412.
    #[must_use]
    pub fn etags(mut self) -> Self {
        self.etags = true;
        self
    }

    /// Honours idempotency keys in this header: a repeat gets the first answer again and has no further effect; a key
    /// that comes with another request is answered by 422. Without it, the header is ignored.
    #[must_use]
    pub fn idempotent(mut self, header: &str) -> Self {
        self.idempotency = Some(header.to_owned());
        self
    }

    /// Sets which query parameters filter.
    #[must_use]
    pub fn filters(mut self, filters: Filters) -> Self {
        self.filters = filters;
        self
    }

    /// Adds a parameter that filters by a test of the row and the parameter's value.
    #[must_use]
    pub fn parameter(
        mut self,
        name: &str,
        test: impl Fn(&Value, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.tests.push((name.to_owned(), Test(Arc::new(test))));
        self
    }

    /// Answers lists by a function from all rows, in the order of their keys, and the query without the paging's
    /// parameters. It takes the place of filters, order and window; its error is answered by 400.
    #[must_use]
    pub fn selected_by<F>(mut self, select: F) -> Self
    where
        F: Fn(&[Value], &[(String, String)]) -> Result<Vec<Value>, String> + Send + Sync + 'static,
    {
        self.select = Some(Select(Arc::new(select)));
        self
    }

    /// Orders by this parameter, such as `sort=name,-age`; the key is the last tie-break.
    #[must_use]
    pub fn sorted_by(mut self, parameter: &str) -> Self {
        self.sort = Some(parameter.to_owned());
        self
    }

    /// Skips and takes rows by these two parameters.
    #[must_use]
    pub fn window(mut self, offset: &str, limit: &str) -> Self {
        self.window = Some((offset.to_owned(), limit.to_owned()));
        self
    }

    /// Puts a list into an object, under this member.
    #[must_use]
    pub fn wrapped_in(mut self, member: &str) -> Self {
        self.wrap = Some(member.to_owned());
        self
    }

    /// Tells in this header of a list how many rows all its pages have.
    #[must_use]
    pub fn counted(mut self, header: &str) -> Self {
        self.total = Some(header.to_owned());
        self
    }

    /// Sets this member of each row that is written to a number that rises with every write.
    #[must_use]
    pub fn stamped(mut self, member: &str) -> Self {
        self.stamp = Some(member.to_owned());
        self
    }

    /// Tells below its path, at `changes`, what has changed since a token, at most `page` rows at a time:
    /// `{ "changed": [rows], "deleted": [keys], "total": 3, "more": false, "token": "4" }`, and the token in the
    /// header `X-Changes-Token` as well. Without `since` that is everything.
    /// A token is too old after `history` writes, and is answered by 410.
    #[must_use]
    pub fn tells_changes(mut self, page: usize, history: u64) -> Self {
        self.changes = Some(Telling { page: page.max(1), history });
        self
    }

    /// Lets `PUT` create a row that is not there.
    #[must_use]
    pub fn put_creates(mut self) -> Self {
        self.put_creates = true;
        self
    }
}
