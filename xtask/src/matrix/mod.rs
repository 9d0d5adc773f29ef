//! The matrix provider × suite: what every provider does with every conformance case.
//!
//! Under `LARDER_MATRIX=<dir>` each case appends one line to `<dir>/<provider>.tsv`:
//! `provider \t suite \t case \t outcome \t reason`. The line is one append, so that tests in parallel do not tear it.
//! The outcome is `passed`, `refused` (the capability is false; the case observed the refusal), `exempt` (by name, with
//! a reason) or `failed`. [`records`] reads and judges the lines, [`render`] writes the page that stands in git.

mod records;
mod render;

pub(crate) use records::{Matrix, Outcome};
pub(crate) use render::{page, table};

/// The page, from the root.
pub(crate) const PAGE: &str = "docs/matrix.md";

/// The variable that names the directory of the records.
pub(crate) const VARIABLE: &str = "LARDER_MATRIX";
