//! Answers whose pages may have moved, and what proves that no row was left out between them.
//!
//! Of a list that goes on by numbers, a row is left out if one before it goes away while the pages are read. Where none of the rows
//! that have come goes away, and the last one of each page does not come again on the next, each page begins behind the one before.
//! That none has gone away is known when all of them come once more, in the same order: then the answer before was complete. Keys
//! are taken to be used once, rows to keep their order, and no more of them to be written between two pages than a page has.

use larder_core::{Key, PageRow, Schema};
use serde::{Deserialize, Serialize};

/// Which rows came, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::repository) struct Came {
    rows: u64,
    /// The fingerprint of all of them, and that of the last.
    all: u64,
    last: u64,
    /// The last row of a page has come again.
    again: bool,
}

impl Came {
    /// Adds the rows of a page.
    pub(in crate::repository) fn add(&mut self, schema: &Schema, rows: &[PageRow]) {
        // What came is not complete with a row that has no key.
        self.add_keys(rows.iter().filter_map(|row| schema.key_of(&*row.row).ok()));
    }

    fn add_keys(&mut self, keys: impl Iterator<Item = Key>) {
        let before = *self;
        for key in keys {
            let key = format!("{key:?};");
            (self.all, self.last) = (fingerprint(self.all, &key), fingerprint(0, &key));
            self.again |= before.rows > 0 && self.last == before.last;
            self.rows += 1;
        }
    }

    /// Whether the answer that this came of proves that the `former` one was complete.
    pub(in crate::repository) fn proves(&self, former: &Self) -> bool {
        self == former && !self.again
    }
}

/// FNV-1a: the same on every run, unlike the hashes of the standard library.
fn fingerprint(before: u64, text: &str) -> u64 {
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(before ^ 0xcbf2_9ce4_8422_2325, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pages: &[&[&str]]) -> Came {
        let mut came = Came::default();
        pages.iter().for_each(|page| came.add_keys(page.iter().map(|key| Key::from(*key))));
        came
    }

    // Rules: r-coverage-moved
    #[test]
    fn the_same_rows_in_the_same_order_prove_it_and_nothing_else_does() {
        let former = of(&[&["a", "b"], &["c"]]);
        assert!(of(&[&["a", "b"], &["c"]]).proves(&former));
        assert!(of(&[&["a"], &["b", "c"]]).proves(&former), "the same on other pages");
        let others: [&[&[&str]]; 6] = [
            &[],
            &[&["a", "b"]],
            &[&["b", "a"], &["c"]],
            &[&["a", "b"], &["c", "d"]],
            &[&["ab"], &["c"]],
            &[&["a", "b", "d"]],
        ];
        for other in others {
            assert!(!of(other).proves(&former), "{other:?}");
        }
    }

    // Rules: r-coverage-moved
    #[test]
    fn where_the_last_row_of_a_page_comes_again_the_next_page_began_too_early() {
        let shifted = of(&[&["a", "b"], &["b", "c"]]);
        assert!(!shifted.proves(&shifted));
        let after_an_empty_one = of(&[&["a", "b"], &[], &["b"]]);
        assert!(!after_an_empty_one.proves(&after_an_empty_one));
    }
}
