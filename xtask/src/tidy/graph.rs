//! What the resolved graph pulls in: forbidden crates, and network stacks where none belongs.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::sources::Files;
use crate::Result;
use crate::metadata::{Metadata, Package};
use crate::process::{cargo, output};

const RULE: &str = "crates";

/// Crates that open sockets or speak TLS. A crate of [`OFFLINE`] has none of them by default.
const NETWORK: [&str; 9] = [
    "hyper",
    "hyper-util",
    "rustls",
    "native-tls",
    "openssl",
    "reqwest",
    "surf",
    "async-std",
    "tokio-rustls",
];

/// Crates whose default features must not pull in [`NETWORK`].
const OFFLINE: [&str; 7] = [
    "larder-core",
    "larder",
    "larder-derive",
    "larder-memory",
    "larder-redb",
    "larder-harness",
    "larder-stubs",
];

/// The only crate through which surf and what hangs on it may come.
const SURF: &str = "larder-rest-surf";

/// The only crate through which SQLite may come: nothing else of ours needs a compiler of C.
const ENGINES: &str = "larder-benches-engines";

/// Where a forbidden crate must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Nowhere in the graph.
    Anywhere,
    /// Not in a manifest of ours; others may use it.
    Direct,
    /// Nowhere, except below this crate of ours.
    But(&'static str),
}

use Where::{Anywhere, But, Direct};

/// A crate, the beginning of the versions that are meant, where it must not be, and why.
const FORBIDDEN: [(&str, &str, Where, &str); 27] = [
    ("bincode", "", Anywhere, "unmaintained (RUSTSEC-2025-0141), and reads a widened integer silently wrong"),
    ("backoff", "", Anywhere, "unmaintained; the engine has its own formula"),
    ("json_typegen", "", Anywhere, "ten known vulnerabilities"),
    ("rsa", "", Anywhere, "a known vulnerability without a fix"),
    ("openssl-sys", "", Anywhere, "needs a system package; TLS is rustls with ring"),
    ("aws-lc-sys", "", Anywhere, "needs cmake; TLS is rustls with ring"),
    ("native-tls", "", Anywhere, "needs a system package; TLS is rustls with ring"),
    ("paste", "", Direct, "unmaintained (RUSTSEC-2024-0436)"),
    ("unimock", "", Direct, "pulls in paste; take mockall"),
    ("faux", "", Direct, "pulls in paste; take mockall"),
    ("moka", "", Direct, "a hit takes seven times as long as in quick_cache"),
    ("postcard", "", Direct, "reads a widened integer silently wrong; rows are named MessagePack"),
    ("bitcode", "", Direct, "panics on flattened fields; rows are named MessagePack"),
    ("rkyv", "", Direct, "its rows do not evolve; rows are named MessagePack"),
    ("lazy_static", "", Direct, "std has LazyLock"),
    ("surf", "", But(SURF), "unmaintained (RUSTSEC-2025-0036, RUSTSEC-2026-0169)"),
    ("http-client", "", But(SURF), "belongs to surf, unmaintained"),
    ("http-types", "", But(SURF), "belongs to surf, unmaintained (RUSTSEC-2026-0174)"),
    ("async-std", "", But(SURF), "discontinued (RUSTSEC-2025-0052)"),
    ("aes-soft", "", But(SURF), "merged into aes (RUSTSEC-2021-0060)"),
    ("aesni", "", But(SURF), "merged into aes (RUSTSEC-2021-0059)"),
    ("cpuid-bool", "", But(SURF), "renamed to cpufeatures (RUSTSEC-2021-0064)"),
    ("stdweb", "", But(SURF), "unmaintained (RUSTSEC-2020-0056)"),
    ("instant", "", But(SURF), "unmaintained (RUSTSEC-2024-0384)"),
    ("rand", "0.7.", But(SURF), "unsound with a custom logger (RUSTSEC-2026-0097)"),
    ("rusqlite", "", But(ENGINES), "SQLite is compiled from C; it is there to be compared with"),
    ("libsqlite3-sys", "", But(ENGINES), "SQLite is compiled from C; it is there to be compared with"),
];

/// Features that switch on a built-in client of surf, with its old TLS and HTTP.
const SURF_CLIENTS: [(&str, &[&str]); 2] = [
    ("surf", &["default-client"]),
    ("http-client", &["curl_client", "h1_client", "hyper_client", "wasm_client"]),
];

pub(super) fn check(metadata: &Metadata, files: &Files) -> Result<Vec<Finding>> {
    let mut findings = forbidden(metadata);
    findings.extend(surf_clients(metadata));
    findings.extend(denied(files));
    for name in OFFLINE {
        let Some(package) = metadata.member(name) else {
            continue;
        };
        // The resolve of `cargo metadata` unites the features that all members ask for; only `cargo tree` answers
        // for one crate with its own defaults.
        let tree =
            output(cargo(&["tree", "-p", name, "-e", "normal,build", "--target=all", "--prefix=depth"]))?;
        let message = "a default feature pulls in a network stack; put it behind a feature";
        findings.extend(chains(&tree, &NETWORK).map(|chain| at(package, &chain, message)));
    }
    if let Some(package) = metadata.member("larder") {
        let tree =
            output(cargo(&["tree", "-p", "larder", "--all-features", "--target=all", "--prefix=depth"]))?;
        let message = "surf in the tree of larder; it belongs to larder-rest-surf alone";
        findings.extend(chains(&tree, &["surf", "async-std"]).map(|chain| at(package, &chain, message)));
    }
    Ok(findings)
}

fn at(package: &Package, chain: &str, message: &str) -> Finding {
    Finding::at(RULE, package.manifest(), format!("{message}: {chain}"))
}

fn forbidden(metadata: &Metadata) -> Vec<Finding> {
    let beside = |gate| (gate, reached_beside(metadata, gate));
    let beside = [beside(SURF), beside(ENGINES)];
    let mut findings = Vec::new();
    for (name, version, place, why) in FORBIDDEN {
        let users = metadata.members().filter(|member| member.dependencies.iter().any(|d| d.name == name));
        for user in
            users.filter(|user| version.is_empty() && !matches!(place, But(gate) if gate == user.name))
        {
            findings.push(Finding::at(
                RULE,
                user.manifest(),
                format!("depends on `{name}`: {why}; remove it"),
            ));
        }
        let present = metadata.packages.iter().filter(|p| p.name == name && p.version.starts_with(version));
        for package in present.filter(|package| metadata.nodes.contains_key(&package.id)) {
            let allowed = match place {
                Anywhere => false,
                Direct => true,
                But(gate) => {
                    beside.iter().any(|(one, reached)| *one == gate && !reached.contains(package.id.as_str()))
                }
            };
            if !allowed {
                let (name, version) = (&package.name, &package.version);
                let message = format!(
                    "`{name} {version}` is in the graph: {why}; see `cargo tree -i {name}@{version}`"
                );
                findings.push(Finding::at(RULE, "Cargo.lock", message));
            }
        }
    }
    findings
}

/// Ids of everything that members reach on a way that does not lead through `gate`.
fn reached_beside<'m>(metadata: &'m Metadata, gate: &str) -> BTreeSet<&'m str> {
    let gate = metadata.member(gate).map_or("", |package| package.id.as_str());
    let mut open: Vec<&str> = metadata.members().map(|package| package.id.as_str()).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if id != gate && reached.insert(id) {
            let uses = metadata.nodes.get(id).map(|node| node.uses.as_slice()).unwrap_or_default();
            open.extend(uses.iter().map(String::as_str));
        }
    }
    reached
}

/// deny.toml, for those who have cargo-deny, bans what is banned here.
fn denied(files: &Files) -> Vec<Finding> {
    let deny = files.get("deny.toml").unwrap_or_default();
    let banned = FORBIDDEN.iter().filter(|(.., place, _)| *place == Anywhere);
    let missing = banned.filter(|(name, ..)| !deny.contains(&format!("crate = \"{name}\"")));
    missing
        .map(|(name, ..)| Finding::at(RULE, "deny.toml", format!("does not ban `{name}`: add it to [bans]")))
        .collect()
}

fn surf_clients(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, clients) in SURF_CLIENTS {
        for package in metadata.packages.iter().filter(|package| package.name == name) {
            let features =
                metadata.nodes.get(&package.id).map(|node| node.features.as_slice()).unwrap_or_default();
            for feature in features.iter().filter(|feature| clients.contains(&feature.as_str())) {
                let message = format!(
                    "feature `{feature}` of {name} is on: its built-in clients have known vulnerabilities"
                );
                findings.push(Finding::at(RULE, "Cargo.toml", message));
            }
        }
    }
    findings
}

/// The ways to the crates in a `cargo tree --prefix=depth`, as `a → b → c`, the first to each.
fn chains<'a>(tree: &'a str, crates: &'a [&str]) -> impl Iterator<Item = String> {
    let mut path: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    tree.lines().filter_map(move |line| {
        let digits = line.find(|c: char| !c.is_ascii_digit())?;
        let depth: usize = line[..digits].parse().ok()?;
        let name = line[digits..].split(' ').next()?;
        path.truncate(depth);
        path.push(name);
        (crates.contains(&name) && seen.insert(name)).then(|| path.join(" → "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fake::{foreign, member, workspace};

    #[track_caller]
    fn check_graph(packages: Vec<Package>, edges: &[(&str, &str)], expected: &[&str]) {
        let found = forbidden(&workspace(packages, edges));
        let found: Vec<String> = found.into_iter().map(|f| format!("{}: {}", f.place, f.message)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn surf_may_come_through_its_own_crate_only() {
        let packages = || {
            let surf = foreign("surf", "2.3.2", "MIT");
            vec![member("providers/rest-surf").needs(&["surf"]), member("examples"), member("larder"), surf]
        };
        let below = [("larder-rest-surf", "surf 2.3.2"), ("larder-examples", "larder-rest-surf")];
        check_graph(packages(), &below, &[]);
        let beside = [&below[..], &[("larder", "surf 2.3.2")]].concat();
        check_graph(
            packages(),
            &beside,
            &[
                "Cargo.lock: `surf 2.3.2` is in the graph: unmaintained (RUSTSEC-2025-0036, RUSTSEC-2026-0169); \
               see `cargo tree -i surf@2.3.2`",
            ],
        );
    }

    #[test]
    fn sqlite_is_compared_with_and_used_nowhere() {
        let packages = || {
            let sqlite = foreign("rusqlite", "0.43.0", "MIT");
            vec![member("benches/engines").needs(&["rusqlite"]), member("larder"), sqlite]
        };
        check_graph(packages(), &[("larder-benches-engines", "rusqlite 0.43.0")], &[]);
        check_graph(
            packages(),
            &[("larder-benches-engines", "rusqlite 0.43.0"), ("larder", "rusqlite 0.43.0")],
            &[
                "Cargo.lock: `rusqlite 0.43.0` is in the graph: SQLite is compiled from C; it is there to be compared \
               with; see `cargo tree -i rusqlite@0.43.0`",
            ],
        );
    }

    #[test]
    fn some_crates_are_forbidden_wherever_they_come_from() {
        check_graph(
            vec![member("core"), foreign("x", "1.0.0", "MIT"), foreign("bincode", "1.3.3", "MIT")],
            &[("larder-core", "x 1.0.0"), ("x 1.0.0", "bincode 1.3.3")],
            &[
                "Cargo.lock: `bincode 1.3.3` is in the graph: unmaintained (RUSTSEC-2025-0141), and reads a widened \
               integer silently wrong; see `cargo tree -i bincode@1.3.3`",
            ],
        );
    }

    #[test]
    fn some_are_forbidden_in_our_manifests_and_some_versions_only() {
        let packages = || {
            vec![
                member("larder").needs(&["moka", "rand"]),
                foreign("moka", "0.12.0", "MIT"),
                foreign("rand", "0.9.4", "MIT"),
            ]
        };
        check_graph(
            packages(),
            &[("larder", "moka 0.12.0"), ("larder", "rand 0.9.4")],
            &[
                "larder/Cargo.toml: depends on `moka`: a hit takes seven times as long as in quick_cache; remove it",
            ],
        );
    }

    #[test]
    fn a_chain_leads_to_the_crate() {
        let tree = "0larder v0.1.0 (here)\n1serde v1.0.0\n1larder-rest v0.1.0\n\
                    2hyper v1.12.0\n2tower v0.5.0\n3hyper v1.12.0 (*)\n";
        assert_eq!(chains(tree, &["hyper"]).collect::<Vec<_>>(), ["larder → larder-rest → hyper"]);
        assert_eq!(chains(tree, &["surf"]).count(), 0);
    }

    #[test]
    fn surf_is_used_without_its_clients() {
        let mut metadata = workspace(vec![foreign("surf", "2.3.2", "MIT")], &[]);
        assert!(surf_clients(&metadata).is_empty());
        if let Some(node) = metadata.nodes.get_mut("surf 2.3.2") {
            node.features.push("default-client".to_owned());
        }
        assert_eq!(surf_clients(&metadata).len(), 1);
    }
}
