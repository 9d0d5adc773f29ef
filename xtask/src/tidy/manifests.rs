//! Each manifest takes lints, edition, version of Rust, licence and foreign crates from the workspace.

use super::finding::Finding;
use super::sources::Files;
use crate::metadata::Metadata;
use crate::toml::{self, Entry};

const RULE: &str = "manifests";

/// Keys of `[package]` that every member inherits.
const INHERITED: [&str; 4] = ["edition", "rust-version", "license", "version"];

/// What one of them says for itself, and why.
const OWN: [(&str, &str, &str); 1] = [(
    "monitors/netwatch",
    "rust-version",
    "netwatch asks for a newer compiler, and nobody else has to have it",
)];

pub(super) fn check(metadata: &Metadata, files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let path = package.manifest();
        let Some(text) = files.get(&path) else { continue };
        let entries = toml::entries(text);
        let has = |section: &str, key: &str| {
            entries.iter().any(|e| e.section == section && e.key == key && e.value == "true")
        };
        if !has("lints", "workspace") {
            findings.push(Finding::at(
                RULE,
                &path,
                "has not the workspace's lints: add `[lints]` with `workspace = true`",
            ));
        }
        let own = |key: &str| OWN.iter().any(|(room, own, _)| *room == package.room && *own == key);
        for key in INHERITED.iter().filter(|key| !has("package", &format!("{key}.workspace")) && !own(key)) {
            let message = format!("`{key}` is not the workspace's: write `{key}.workspace = true`");
            findings.push(Finding::at(RULE, &path, message));
        }
        for own in entries.iter().filter(|entry| has_own_version(entry)) {
            let message =
                format!("`{}` has a version of its own: put it into [workspace.dependencies]", own.key);
            findings.push(Finding::on(RULE, &path, own.line, message));
        }
    }
    findings.extend(sources(files));
    findings
}

/// A dependency that comes neither from the workspace nor from a path.
fn has_own_version(entry: &Entry) -> bool {
    let dependency = entry.section.ends_with("dependencies");
    let inherits = entry.key.ends_with(".workspace") || entry.value.contains("workspace = true");
    dependency && !inherits && !entry.value.contains("path =")
}

/// Everything comes from crates.io, and nothing says otherwise: no mirror, no git, no machine's own registry.
fn sources(files: &Files) -> Vec<Finding> {
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let mut findings = Vec::new();
    for entry in toml::entries(files.get("Cargo.lock").unwrap_or_default()) {
        if entry.key == "source" && toml::strings(&entry.value) != [CRATES_IO] {
            let message = format!("{} is not crates.io: depend on a published version", entry.value);
            findings.push(Finding::on(RULE, "Cargo.lock", entry.line, message));
        }
    }
    let config = ".cargo/config.toml";
    for entry in toml::entries(files.get(config).unwrap_or_default()) {
        if ["source", "registry", "registries"]
            .iter()
            .any(|section| entry.section.split('.').next() == Some(section))
        {
            let message =
                "a registry belongs into the configuration of the machine, not into the project's: remove it";
            findings.push(Finding::on(RULE, config, entry.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fake::{member, workspace};

    const GOOD: &str = "\
[package]
name = \"larder-core\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true

[dependencies]
serde.workspace = true
tokio = { workspace = true, features = [\"rt\"] }
pantry = { package = \"larder\", path = \"../larder\" }

[lints]
workspace = true
";

    #[track_caller]
    fn check_manifest(text: &str, expected: &[&str]) {
        let files = Files::of(&[("core/Cargo.toml", text)]);
        let found = check(&workspace(vec![member("core")], &[]), &files);
        let found: Vec<_> = found.into_iter().map(|f| format!("{}: {}", f.place, f.message)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_manifest_that_inherits_is_in_order() {
        check_manifest(GOOD, &[]);
    }

    #[test]
    fn own_editions_lints_and_versions_are_found() {
        check_manifest(
            &GOOD.replace("edition.workspace = true", "edition = \"2021\""),
            &["core/Cargo.toml: `edition` is not the workspace's: write `edition.workspace = true`"],
        );
        check_manifest(
            &GOOD.replace("[lints]\nworkspace = true\n", ""),
            &["core/Cargo.toml: has not the workspace's lints: add `[lints]` with `workspace = true`"],
        );
        check_manifest(
            &GOOD.replace("serde.workspace = true", "serde = \"1\""),
            &["core/Cargo.toml:9: `serde` has a version of its own: put it into [workspace.dependencies]"],
        );
    }

    #[test]
    fn only_crates_io_is_a_source() {
        let lock = "[[package]]\nname = \"x\"\nsource = \"git+https://example.com/x\"\n";
        let config = "[alias]\nxtask = \"run\"\n[source.crates-io]\nreplace-with = \"mirror\"\n";
        let found = sources(&Files::of(&[("Cargo.lock", lock), (".cargo/config.toml", config)]));
        let places: Vec<_> = found.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(places, ["Cargo.lock:3", ".cargo/config.toml:4"]);
    }
}
