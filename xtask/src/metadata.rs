//! What `cargo metadata` says about the workspace, reduced to what the commands ask.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;
use crate::process::{cargo, output};

/// The workspace: its packages and everything they resolve to, with all features.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    /// Resolved packages by id: what each uses, and with which features.
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) target_directory: PathBuf,
}

/// One package, of ours or from a registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// The room of a workspace member, relative to the root: `providers/redb`. Empty for others.
    pub(crate) room: String,
    pub(crate) member: bool,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Only for tests, benches and examples.
    pub(crate) dev: bool,
    pub(crate) optional: bool,
    /// Stands in the workspace, not in a registry.
    pub(crate) local: bool,
}

/// Something a package builds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kinds: Vec<String>,
}

/// A package in the resolved graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) features: Vec<String>,
    /// Ids of the packages it uses, of every kind.
    pub(crate) uses: Vec<String>,
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let text = output(cargo(&["metadata", "--format-version=1", "--all-features"]))?;
        Ok(Self::parse(&serde_json::from_str(&text)?))
    }

    /// Reads the answer of `cargo metadata --format-version=1`.
    pub(crate) fn parse(value: &Value) -> Self {
        let members: BTreeSet<String> = strings(&value["workspace_members"]);
        let root = PathBuf::from(text(&value["workspace_root"]));
        let packages = array(&value["packages"]).map(|p| Package::parse(p, &members, &root)).collect();
        let nodes = array(&value["resolve"]["nodes"])
            .map(|node| {
                let features = strings(&node["features"]).into_iter().collect();
                let uses = array(&node["deps"]).map(|dep| text(&dep["pkg"])).collect();
                (text(&node["id"]), Node { features, uses })
            })
            .collect();
        Self { packages, nodes, target_directory: text(&value["target_directory"]).into() }
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.member)
    }

    /// The member of that name.
    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members().find(|package| package.name == name)
    }

    /// The package of that id.
    pub(crate) fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    /// Packages below `providers/` that have a test target `conformance`.
    pub(crate) fn providers_under_test(&self) -> impl Iterator<Item = &Package> {
        self.members().filter(|package| {
            package.room.starts_with("providers/")
                && package.targets.iter().any(|target| target.name == "conformance" && target.is("test"))
        })
    }
}

impl Package {
    fn parse(value: &Value, members: &BTreeSet<String>, root: &Path) -> Self {
        let id = text(&value["id"]);
        let member = members.contains(&id);
        let manifest = PathBuf::from(text(&value["manifest_path"]));
        let room = manifest.parent().and_then(|room| room.strip_prefix(root).ok()).filter(|_| member);
        Self {
            member,
            name: text(&value["name"]),
            version: text(&value["version"]),
            license: value["license"].as_str().map(str::to_owned),
            room: room.map(|room| room.to_string_lossy().replace('\\', "/")).unwrap_or_default(),
            dependencies: array(&value["dependencies"]).map(Dependency::parse).collect(),
            targets: array(&value["targets"]).map(Target::parse).collect(),
            id,
        }
    }

    /// The path of its manifest from the root.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.room)
    }
}

impl Dependency {
    fn parse(value: &Value) -> Self {
        Self {
            name: text(&value["name"]),
            dev: value["kind"] == "dev",
            optional: value["optional"] == true,
            local: value["path"].is_string(),
        }
    }
}

impl Target {
    fn parse(value: &Value) -> Self {
        Self { name: text(&value["name"]), kinds: strings(&value["kind"]).into_iter().collect() }
    }

    /// Whether it is of that kind: `test`, `example`, `bin` …
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kinds.iter().any(|own| own == kind)
    }
}

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> BTreeSet<String> {
    array(value).map(text).collect()
}

#[cfg(test)]
pub(crate) mod fake {
    //! Workspaces made up for tests of the rules.

    use super::{Dependency, Metadata, Node, Package, Target};

    /// A member in a room, named as the project names its crates.
    pub(crate) fn member(room: &str) -> Package {
        let name = match room {
            "larder" | "xtask" => room.to_owned(),
            "benches/engines" => "larder-benches-engines".to_owned(),
            _ => format!("larder-{}", room.rsplit('/').next().unwrap_or(room)),
        };
        Package { id: name.clone(), name, room: room.to_owned(), member: true, ..Package::default() }
    }

    /// A package from a registry.
    pub(crate) fn foreign(name: &str, version: &str, license: &str) -> Package {
        Package {
            id: format!("{name} {version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some(license.to_owned()),
            ..Package::default()
        }
    }

    impl Package {
        pub(crate) fn needs(mut self, names: &[&str]) -> Self {
            self.dependencies.extend(names.iter().map(|name| dependency(name)));
            self
        }

        pub(crate) fn needs_for_tests(mut self, names: &[&str]) -> Self {
            let dev = names.iter().map(|name| Dependency { dev: true, ..dependency(name) });
            self.dependencies.extend(dev);
            self
        }

        pub(crate) fn offers(mut self, names: &[&str]) -> Self {
            let optional = names.iter().map(|name| Dependency { optional: true, ..dependency(name) });
            self.dependencies.extend(optional);
            self
        }

        pub(crate) fn builds(mut self, name: &str, kind: &str) -> Self {
            self.targets.push(Target { name: name.to_owned(), kinds: vec![kind.to_owned()] });
            self
        }
    }

    fn dependency(name: &str) -> Dependency {
        Dependency { name: name.to_owned(), local: name.starts_with("larder"), ..Dependency::default() }
    }

    /// A workspace of these packages; each edge is `(user, used)` by id.
    pub(crate) fn workspace(packages: Vec<Package>, edges: &[(&str, &str)]) -> Metadata {
        let mut metadata = Metadata { packages, ..Metadata::default() };
        for package in &metadata.packages {
            metadata.nodes.insert(package.id.clone(), Node::default());
        }
        for (user, used) in edges {
            metadata.nodes.entry((*user).to_owned()).or_default().uses.push((*used).to_owned());
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rooms_are_relative_to_the_root() {
        let answer = json!({
            "workspace_root": "/repo",
            "target_directory": "/repo/target",
            "workspace_members": ["m"],
            "packages": [
                {
                    "id": "m", "name": "larder-redb", "version": "0.1.0", "license": "MIT",
                    "manifest_path": "/repo/providers/redb/Cargo.toml",
                    "dependencies": [
                        {"name": "larder-core", "kind": null, "optional": false, "path": "/repo/core"},
                        {"name": "rstest", "kind": "dev", "optional": false},
                    ],
                    "targets": [{"name": "conformance", "kind": ["test"]}],
                    "features": {"default": []},
                },
                {"id": "redb 4", "name": "redb", "version": "4.4.0", "manifest_path": "/elsewhere/Cargo.toml"},
            ],
            "resolve": {"nodes": [{"id": "m", "features": ["default"], "deps": [{"pkg": "redb 4"}]}]},
        });
        let metadata = Metadata::parse(&answer);
        let redb = metadata.member("larder-redb").expect("the member");
        assert_eq!(redb.room, "providers/redb");
        assert_eq!(redb.manifest(), "providers/redb/Cargo.toml");
        assert!(redb.dependencies[0].local && !redb.dependencies[0].dev);
        assert!(redb.dependencies[1].dev && !redb.dependencies[1].local);
        assert_eq!(metadata.nodes["m"].uses, ["redb 4"]);
        assert_eq!(metadata.members().count(), 1);
        assert_eq!(metadata.providers_under_test().count(), 1);
    }
}
