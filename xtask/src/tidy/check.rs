//! Runs every rule.

use super::finding::Report;
use super::{arrows, graph, layout, licences, manifests, pages, seclusion, sources};
use crate::Result;
use crate::metadata::{Metadata, root};

/// Prints the report. `false` if anything is violated.
pub(crate) fn run() -> Result<bool> {
    let report = check(&Metadata::load()?)?;
    print!("{report}");
    println!("tidy: {}", report.summary());
    Ok(report.clean())
}

/// Runs every rule on the workspace as it stands.
pub(crate) fn check(metadata: &Metadata) -> Result<Report> {
    let files = sources::read(&root())?;
    let mut findings = arrows::check(metadata, &files);
    findings.extend(graph::check(metadata, &files)?);
    findings.extend(licences::check(metadata, &files));
    findings.extend(layout::check(metadata, &files));
    findings.extend(manifests::check(metadata, &files));
    findings.extend(sources::check(&files));
    findings.extend(seclusion::check(&files));
    findings.extend(pages::check(metadata, &files));
    Ok(Report::new(findings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let report = check(&Metadata::load().expect("cargo answers")).expect("the rules run");
        assert!(report.clean(), "{}\n{report}", report.summary());
    }
}
