//! What a rule has found, and the report of all.

use std::fmt;

/// Something that is not as it should be: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// `core/src/lib.rs:12`, or the file alone.
    pub(super) place: String,
    pub(super) rule: &'static str,
    pub(super) message: String,
    /// Worth a look, but no failure.
    pub(super) warning: bool,
}

impl Finding {
    /// A violation in a file.
    pub(super) fn at(rule: &'static str, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), rule, message: message.into(), warning: false }
    }

    /// A violation in a line of a file.
    pub(super) fn on(rule: &'static str, file: &str, line: usize, message: impl Into<String>) -> Self {
        Self::at(rule, format!("{file}:{line}"), message)
    }

    /// The same as a warning.
    pub(super) fn lenient(mut self) -> Self {
        self.warning = true;
        self
    }
}

/// All findings, printed in the order of their places.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort();
        findings.dedup();
        Self { findings }
    }

    /// Whether nothing is violated; warnings do not count.
    pub(crate) fn clean(&self) -> bool {
        self.violations() == 0
    }

    /// `3 violations, 1 warning`.
    pub(crate) fn summary(&self) -> String {
        let (violations, warnings) = (self.violations(), self.findings.len() - self.violations());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        format!("{violations} violation{}, {warnings} warning{}", plural(violations), plural(warnings))
    }

    fn violations(&self) -> usize {
        self.findings.iter().filter(|finding| !finding.warning).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let warning = if finding.warning { "warning: " } else { "" };
            writeln!(f, "{}: {warning}[{}] {}", finding.place, finding.rule, finding.message)?;
        }
        Ok(())
    }
}
