//! How a list goes on, and how it is noticed that it never ends.

use http::{HeaderMap, Uri};
use larder_core::{Key, PageToken, Query, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec;
use crate::error::{invalid, misbehaved};
use crate::link;
use crate::origin::{Base, Origin, resolve};
use crate::query::split;

/// How a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paging {
    /// It does not: one answer has all rows.
    None,
    /// By a `Link` header with `rel="next"` (RFC 8288). It has to stay at the same origin.
    Link,
    /// By the number of the page.
    Page {
        /// The parameter of the number.
        param: String,
        /// The parameter of the page's size; without it, the server has its own.
        size_param: Option<String>,
        /// The size of a page.
        size: u64,
        /// The number of the first page.
        start: u64,
        /// Whether only an empty page is the last. By default a page that is shorter than `size` is, unless a `Link`
        /// header says that there is a next one. Say `true` for a server that caps the size in silence, or that leaves
        /// rows out of full pages: with `false` its list would seem to end too early.
        until_empty: bool,
    },
    /// By the number of rows to leave out.
    Offset {
        /// The parameter of that number.
        param: String,
        /// The parameter of the page's size; without it, the server has its own.
        size_param: Option<String>,
        /// The size of a page.
        size: u64,
        /// As in [`Page`](Self::Page).
        until_empty: bool,
    },
    /// By a cursor that each page tells for the next one.
    Cursor {
        /// The parameter of the cursor; the first page is asked for without it.
        param: String,
        /// The member of the answer that tells it: `next_cursor`, or a path such as `meta.next`. The last page has none there,
        /// or null, false or an empty text.
        member: String,
    },
}

impl Paging {
    /// By the number of the page, which counts from 1.
    ///
    /// ```
    /// use larder_rest::{Endpoint, Paging};
    ///
    /// let users = Endpoint::new("/users").paging(Paging::pages("page", "per_page", 100));
    /// # drop(users);
    /// ```
    pub fn pages(param: impl Into<String>, size_param: impl Into<String>, size: u64) -> Self {
        let (param, size_param) = (param.into(), Some(size_param.into()));
        Self::Page { param, size_param, size, start: 1, until_empty: false }
    }

    /// By the number of rows to leave out.
    pub fn offsets(param: impl Into<String>, size_param: impl Into<String>, size: u64) -> Self {
        Self::Offset { param: param.into(), size_param: Some(size_param.into()), size, until_empty: false }
    }

    /// By a cursor that stands in this member of each page. How many rows a page has, [`Endpoint::list_param`] says.
    ///
    /// ```
    /// use larder_rest::{Endpoint, Paging};
    ///
    /// // GET /notes?limit=100&cursor=b answers { "items": […], "meta": { "next": "c" } }
    /// let notes = Endpoint::new("/notes")
    ///     .list_key("items")
    ///     .list_param("limit", "100")
    ///     .paging(Paging::cursors("cursor", "meta.next"));
    /// # drop(notes);
    /// ```
    ///
    /// [`Endpoint::list_param`]: crate::Endpoint::list_param
    pub fn cursors(param: impl Into<String>, member: impl Into<String>) -> Self {
        Self::Cursor { param: param.into(), member: member.into() }
    }

    /// The cursor of the next page, if an answer tells one.
    pub(crate) fn cursor(&self, json: &Value) -> Option<String> {
        let Self::Cursor { member, .. } = self else { return None };
        match codec::optional(json, member)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether what is written meanwhile moves no row from a page that is still to come to one that has been read. Where a
    /// link leads, only the server knows.
    pub(crate) fn is_steady(&self) -> bool {
        matches!(self, Self::Cursor { .. })
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Page { size: 0, .. } | Self::Offset { size: 0, .. } => {
                Err(invalid("a page has at least one row"))
            }
            _ => Ok(()),
        }
    }
}

/// Where a list stands: what a [`PageToken`] holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    at: At,
    /// The pages that have been read.
    pages: u64,
    /// Those at the end of them that had no rows.
    empty: u32,
    /// Fingerprints of a page and of a place that were passed: see [`Place::advance`].
    seen_page: u64,
    seen_place: u64,
    /// How many rows have still to be left out, and how many are still wanted.
    skip: u64,
    left: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum At {
    #[default]
    Start,
    /// A path of the server, with its query.
    Target(String),
    Page(u64),
    Offset(u64),
    Cursor(String),
}

/// A server that answers so many pages without a row is not trusted to come to an end.
const MOST_EMPTY: u32 = 100;

/// What an answer says about the next one.
pub(crate) struct Arrived<'a> {
    /// Where it was asked for.
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    /// The keys of its rows, before the window is applied.
    pub(crate) keys: &'a [Key],
    /// What it says about the next one in its body.
    pub(crate) cursor: Option<String>,
    /// The query parameters that hold secrets.
    pub(crate) secrets: &'a [String],
}

impl Place {
    /// The beginning of a list, with the window that is counted off here.
    pub(crate) fn start(query: &Query, windowed: bool) -> Self {
        match windowed {
            true => Self { skip: query.offset, left: query.limit, ..Self::default() },
            false => Self::default(),
        }
    }

    /// Reads a token.
    ///
    /// # Errors
    /// `Invalid` for one that was not made here.
    pub(crate) fn read(token: &PageToken) -> Result<Self> {
        let foreign = || invalid("the page token is not one of this provider");
        let place: Self = serde_json::from_str(&token.0).map_err(|error| foreign().because(error))?;
        match &place.at {
            At::Target(target) if !target.starts_with('/') || target.starts_with("//") => Err(foreign()),
            _ => Ok(place),
        }
    }

    /// Writes a token.
    pub(crate) fn write(&self) -> PageToken {
        // Numbers, strings and an enum of them: nothing that JSON could not express.
        PageToken(serde_json::to_string(self).unwrap_or_default())
    }

    /// The target, where the server has said it.
    pub(crate) fn target(&self) -> Option<&str> {
        match &self.at {
            At::Target(target) => Some(target),
            _ => None,
        }
    }

    /// How many rows are of use from here on.
    fn wanted(&self) -> Option<u64> {
        self.left.map(|left| left.saturating_add(self.skip))
    }

    /// The parameters that ask for the page. A window that the server can do itself is handed to it.
    pub(crate) fn params(
        &mut self,
        paging: &Paging,
        limit: Option<&str>,
        offset: Option<&str>,
    ) -> Vec<(String, String)> {
        let mut params = Vec::new();
        if let (Paging::Cursor { param, .. }, At::Cursor(cursor)) = (paging, &self.at) {
            params.push((param.clone(), cursor.clone()));
        }
        let mut add = |name: &str, value: u64| params.push((name.to_owned(), value.to_string()));
        match paging {
            Paging::None | Paging::Link => {
                if let (Some(name), true) = (offset, self.skip > 0 && limit.is_some()) {
                    add(name, self.skip);
                    self.skip = 0;
                }
                if let (Some(name), Some(wanted)) = (limit, self.wanted()) {
                    add(name, wanted);
                }
            }
            Paging::Cursor { .. } => {}
            Paging::Page { param, size_param, start, size, .. } => {
                add(param, if let At::Page(number) = self.at { number } else { *start });
                if let Some(name) = size_param {
                    add(name, *size);
                }
            }
            Paging::Offset { param, size_param, size, .. } => {
                let from = if let At::Offset(from) = self.at { from } else { std::mem::take(&mut self.skip) };
                self.at = At::Offset(from);
                add(param, from);
                if let Some(name) = size_param {
                    add(name, self.wanted().map_or(*size, |wanted| wanted.min(*size)));
                }
            }
        }
        params
    }

    /// Applies the window to the rows of a page.
    pub(crate) fn cut<T>(&mut self, rows: &mut Vec<T>) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rows.len());
        rows.drain(..skipped);
        self.skip -= skipped as u64;
        if let Some(left) = &mut self.left {
            rows.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= rows.len() as u64;
        }
    }

    /// The next place, or `None` after the last page.
    ///
    /// A server that repeats itself would be asked for ever. So a place carries the fingerprint of a page that was
    /// passed, renewed at each power of two (Brent's cycle detection): a circle of any length is noticed within a few
    /// rounds, and the token stays small.
    ///
    /// # Errors
    /// `Transport`, not transient, if the list goes in circles, on for ever without rows, or to another origin.
    pub(crate) fn advance(
        mut self,
        paging: &Paging,
        base: &Base,
        page: &Arrived<'_>,
    ) -> Result<Option<Self>> {
        let rows = page.keys.len() as u64;
        let link = next_link(base.origin(), page);
        let next = match paging {
            Paging::None => None,
            Paging::Link => link?.map(At::Target),
            Paging::Cursor { .. } => page.cursor.clone().map(At::Cursor),
            Paging::Page { start, size, until_empty, .. } => {
                let number = if let At::Page(number) = self.at { number } else { *start };
                goes_on(rows, *size, *until_empty, &link).then(|| At::Page(number.saturating_add(1)))
            }
            Paging::Offset { size, until_empty, .. } => {
                let from = if let At::Offset(from) = self.at { from } else { 0 };
                goes_on(rows, *size, *until_empty, &link).then(|| At::Offset(from.saturating_add(rows)))
            }
        };
        let Some(next) = next.filter(|_| self.left != Some(0)) else {
            return Ok(None);
        };
        self.pages += 1;
        self.empty = if rows == 0 { self.empty + 1 } else { 0 };
        if self.empty > MOST_EMPTY {
            return Err(misbehaved(format!("the list goes on after {MOST_EMPTY} pages without a row")));
        }
        self.notice(&next, page.keys)?;
        Ok(Some(Self { at: next, ..self }))
    }

    fn notice(&mut self, next: &At, keys: &[Key]) -> Result<()> {
        let circle = |what: &str| {
            Err(misbehaved(format!(
                "the list goes in circles: {what}; see whether the endpoint's `Paging` is what the server understands"
            )))
        };
        let here = fingerprint(format!("{next:?}").as_bytes());
        if here == self.seen_place {
            return circle("it leads to a page that has been read");
        }
        if self.pages.is_power_of_two() {
            self.seen_place = here;
        }
        if keys.is_empty() {
            return Ok(());
        }
        let rows = fingerprint(format!("{keys:?}").as_bytes());
        if rows == self.seen_page {
            return circle("a page has the rows of another");
        }
        if self.pages.is_power_of_two() || self.seen_page == 0 {
            self.seen_page = rows;
        }
        Ok(())
    }
}

/// Whether there may be a further page after one with so many rows.
fn goes_on(rows: u64, size: u64, until_empty: bool, link: &Result<Option<String>>) -> bool {
    rows > 0 && (until_empty || rows >= size || matches!(link, Ok(Some(_))))
}

/// The next page by its link, as a path of the server without what is secret in its query.
fn next_link(origin: &Origin, page: &Arrived<'_>) -> Result<Option<String>> {
    let Some(reference) = link::next(page.headers) else {
        return Ok(None);
    };
    let Some(uri) = resolve(page.uri, &reference) else {
        return Err(misbehaved("the link to the next page is no URL"));
    };
    if Origin::of(&uri).as_ref() != Some(origin) {
        let other = Origin::of(&uri).map_or_else(|| "elsewhere".to_owned(), |origin| origin.to_string());
        return Err(misbehaved(format!(
            "the link to the next page leads from {origin} to {other}, and is not followed"
        )));
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let (path, mut params) = split(target);
    page.secrets.iter().for_each(|name| params.remove(name));
    Ok(Some(params.target(path)))
}

/// FNV-1a: the same on every run, unlike the hashes of the standard library. Never zero, which means "none yet".
fn fingerprint(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(1)
}

#[cfg(test)]
mod tests;
