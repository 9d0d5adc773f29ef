//! The same files in each provider: who has read one knows the way in all.

use super::finding::Finding;
use super::sources::Files;
use crate::metadata::Metadata;

const RULE: &str = "layout";

/// What each provider has, from its room. `src/codec.rs` may be `src/codec/mod.rs`.
const EACH: [&str; 6] = [
    "src/lib.rs",
    "src/provider.rs",
    "src/codec.rs",
    "src/config.rs",
    "src/error.rs",
    "tests/conformance.rs",
];

/// What one of them does not have, and why. A file that exists after all ends its exemption.
const EXEMPT: [(&str, &str, &str); 3] = [
    ("providers/memory", "src/codec.rs", "it keeps rows as they are; there is nothing to encode"),
    ("providers/memory", "src/error.rs", "it has no backend whose errors it would have to translate"),
    ("providers/rest-surf", "src/provider.rs", "it is a transport below larder-rest's provider"),
];

pub(super) fn check(metadata: &Metadata, files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for room in metadata.members().map(|package| &package.room).filter(|room| room.starts_with("providers/"))
    {
        for file in EACH {
            let path = format!("{room}/{file}");
            let folder = format!("{}/mod.rs", path.trim_end_matches(".rs"));
            let exists = files.get(&path).is_some() || files.get(&folder).is_some();
            let exempt = EXEMPT.iter().find(|(at, what, _)| at == room && *what == file);
            match (exists, exempt) {
                (false, None) => findings.push(Finding::at(
                    RULE,
                    path,
                    "is missing: each provider has the same files; write it, or exempt it in \
                     xtask/src/tidy/layout.rs with the reason",
                )),
                (true, Some((.., why))) => findings.push(Finding::at(
                    RULE,
                    path,
                    format!("exists, but is exempt (\"{why}\"): take the exemption out of xtask/src/tidy/layout.rs"),
                )),
                _ => {}
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fake::{member, workspace};

    #[track_caller]
    fn check_files(room: &str, files: &[&str], expected: &[&str]) {
        let files: Vec<(String, &str)> = files.iter().map(|file| (format!("{room}/{file}"), "")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let found = check(&workspace(vec![member(room)], &[]), &Files::of(&files));
        let found: Vec<_> = found.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_provider_with_all_files_is_in_order() {
        check_files("providers/redb", &EACH, &[]);
    }

    #[test]
    fn a_folder_is_as_good_as_a_file() {
        let files = [&EACH[..2], &["src/codec/mod.rs"], &EACH[3..]].concat();
        check_files("providers/redb", &files, &[]);
    }

    #[test]
    fn missing_files_and_stale_exemptions_are_found() {
        check_files("providers/redb", &EACH[..5], &["providers/redb/tests/conformance.rs"]);
        let files = ["src/lib.rs", "src/provider.rs", "src/config.rs", "tests/conformance.rs"];
        check_files("providers/memory", &files, &[]);
        check_files(
            "providers/memory",
            &EACH[..],
            &["providers/memory/src/codec.rs", "providers/memory/src/error.rs"],
        );
    }
}
