//! Pages of a list and the `Link` header that joins them.

use serde::Deserialize;

use super::refusal::Refusal;

/// The query of a list, as GitHub has it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ListQuery {
    /// From 1; 1 if left out.
    pub(crate) page: Option<usize>,
    /// 30 if left out, at most 100.
    pub(crate) per_page: Option<usize>,
    /// Issues only: `open` (if left out), `closed` or `all`.
    pub(crate) state: Option<String>,
}

impl ListQuery {
    /// Whether an issue in this state is listed.
    ///
    /// # Errors
    ///
    /// A state that there is not.
    pub(crate) fn check_state(&self) -> Result<(), Refusal> {
        match self.state.as_deref() {
            None | Some("open" | "closed" | "all") => Ok(()),
            Some(_) => Err(Refusal::invalid("state", "must be open, closed or all")),
        }
    }

    /// Whether a row with this state belongs to the list; a row without one always does.
    pub(crate) fn wants(&self, state: Option<&str>) -> bool {
        match (self.state.as_deref().unwrap_or("open"), state) {
            ("all", _) | (_, None) => true,
            (wanted, Some(state)) => wanted == state,
        }
    }

    /// The page that is asked for, of a list of `total` rows.
    pub(crate) fn page(&self, total: usize) -> Page {
        let per_page = self.per_page.unwrap_or(30).clamp(1, 100);
        let number = self.page.unwrap_or(1).max(1);
        Page { number, per_page, last: total.div_ceil(per_page).max(1) }
    }
}

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    number: usize,
    per_page: usize,
    last: usize,
}

impl Page {
    /// How many rows come before it; more than there are for a page behind the last.
    pub(crate) fn skip(self) -> usize {
        (self.number - 1).saturating_mul(self.per_page)
    }

    /// How many rows it has at most.
    pub(crate) fn take(self) -> usize {
        self.per_page
    }

    /// The `Link` header in GitHub's order; none if there is only one page.
    ///
    /// `list` is the address of the list without a query. It need not be the one that was asked for: GitHub's links
    /// lead to `/repositories/{id}/…`.
    pub(crate) fn links(self, list: &str, state: Option<&str>) -> Option<String> {
        let state = state.map(|state| format!("&state={state}")).unwrap_or_default();
        let mut links = Vec::new();
        let mut link = |page: usize, rel: &str| {
            let per_page = self.per_page;
            links.push(format!("<{list}?per_page={per_page}&page={page}{state}>; rel=\"{rel}\""));
        };
        if self.number > 1 {
            link((self.number - 1).min(self.last), "prev");
        }
        if self.number < self.last {
            link(self.number + 1, "next");
            link(self.last, "last");
        }
        if self.number > 1 {
            link(1, "first");
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(page: usize, total: usize, expected: Option<&str>) {
        let query = ListQuery { page: Some(page), per_page: Some(3), state: None };
        let links = query.page(total).links("/r", None);
        let pages = expected.map(|pages| {
            let link = |one: &str| {
                let (rel, page) = one.split_once(' ').unwrap();
                format!("</r?per_page=3&page={page}>; rel=\"{rel}\"")
            };
            pages.split(", ").map(link).collect::<Vec<_>>().join(", ")
        });
        assert_eq!(links, pages, "page {page} of {total} rows");
    }

    #[test]
    fn links_stand_as_github_recorded_them() {
        check(1, 13, Some("next 2, last 5"));
        check(2, 13, Some("prev 1, next 3, last 5, first 1"));
        check(4, 13, Some("prev 3, next 5, last 5, first 1"));
        check(5, 13, Some("prev 4, first 1"));
        check(1, 3, None);
        check(1, 0, None);
        check(9, 13, Some("prev 5, first 1"));
    }

    #[test]
    fn absurd_pages_do_not_overflow() {
        let query = ListQuery { page: Some(usize::MAX), per_page: Some(usize::MAX), state: None };
        assert_eq!(query.page(5).skip(), usize::MAX);
        assert_eq!(query.page(5).take(), 100);
        let query = ListQuery { page: Some(0), per_page: Some(0), state: None };
        assert_eq!((query.page(5).skip(), query.page(5).take()), (0, 1));
    }
}
