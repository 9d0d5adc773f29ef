//! What became of a case, on record.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The variable that names the directory of the records.
pub const VARIABLE: &str = "LARDER_MATRIX";

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// The provider said that it can't, and the case has seen it refuse.
    Refused(String),
    /// It is left out by name, for this reason, and does fail.
    Exempt(String),
    /// It failed.
    Failed(String),
}

impl Outcome {
    fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Passed => ("passed", ""),
            Self::Refused(reason) => ("refused", reason),
            Self::Exempt(reason) => ("exempt", reason),
            Self::Failed(reason) => ("failed", reason),
        }
    }

    /// `provider \t suite \t case \t outcome \t reason`, and the end of the line.
    #[must_use]
    pub fn line(&self, provider: &str, suite: &str, case: &str) -> String {
        let (word, reason) = self.words();
        let reason: Vec<&str> = reason.split(['\t', '\n', '\r']).collect();
        format!("{provider}\t{suite}\t{case}\t{word}\t{}\n", reason.join(" ").trim())
    }

    /// Appends the line to the record of the provider, if there is a directory for records. One write, so that cases
    /// that end at the same time don't mix.
    pub(crate) fn record(
        &self,
        directory: Option<&Path>,
        provider: &str,
        suite: &str,
        case: &str,
    ) -> std::io::Result<()> {
        let Some(directory) = directory else { return Ok(()) };
        let file = directory.join(format!("{provider}.tsv"));
        let mut file = OpenOptions::new().append(true).create(true).open(file)?;
        file.write_all(self.line(provider, suite, case).as_bytes())
    }
}
