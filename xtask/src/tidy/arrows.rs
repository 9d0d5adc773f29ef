//! The arrows of ARCHITECTURE.md: which room of the workspace may use which.

use super::finding::Finding;
use super::sources::Files;
use crate::metadata::{Dependency, Metadata, Package};

const RULE: &str = "arrows";

/// Rooms that nothing may depend on, but for what stands below `benches` and shares its tools.
const LAST: [&str; 4] = ["benches", "xtask", "examples", "harness/crash"];

/// What a room may use. In the lists, `providers/*` is every room below, and `!x` takes one out again.
#[derive(Debug)]
struct Room {
    at: &'static str,
    uses: &'static [&'static str],
    /// What its tests may use beside that.
    tests: &'static [&'static str],
    why: &'static str,
}

/// The first room that fits is the one that counts.
const ROOMS: [Room; 15] = [
    Room {
        at: "core",
        uses: &[],
        tests: &["derive", "harness", "providers/memory"],
        why: "the contracts know nobody",
    },
    Room {
        at: "derive",
        uses: &[],
        tests: &["core", "larder"],
        why: "the derive writes paths, it uses none of ours",
    },
    Room {
        at: "derive/*",
        uses: &["core", "derive", "larder"],
        tests: &[],
        why: "a test of the derive from outside",
    },
    Room {
        at: "providers/rest-surf",
        uses: &["core", "providers/rest"],
        tests: &["derive", "harness", "stubs"],
        why: "a transport of rest, and nothing else",
    },
    Room {
        at: "providers/*",
        uses: &["core"],
        tests: &["derive", "harness", "stubs"],
        why: "a provider knows neither larder nor another provider; harness and stubs are for its tests",
    },
    Room {
        at: "monitors/*",
        uses: &["core"],
        tests: &["harness"],
        why: "a monitor watches the device and knows of no data",
    },
    Room {
        at: "stubs",
        uses: &["core"],
        tests: &["derive", "harness", "larder", "providers/*"],
        why: "stubs are a transport for tests",
    },
    Room {
        at: "harness/crash",
        uses: &["core", "derive", "harness", "larder", "providers/*"],
        tests: &[],
        why: "campaigns against a whole data layer; xtask runs its program",
    },
    Room {
        at: "harness/sim",
        uses: &["core", "derive", "harness", "larder", "providers/*", "stubs"],
        tests: &[],
        why: "the simulator drives a whole data layer",
    },
    Room {
        at: "harness",
        uses: &["core", "derive"],
        tests: &["larder", "providers/*", "stubs"],
        why: "the suites see a provider through core only",
    },
    Room {
        at: "larder",
        uses: &["core", "derive", "monitors/*", "providers/*", "!providers/rest-surf"],
        tests: &["harness", "harness/sim", "stubs"],
        why: "larder uses neither harness nor sim nor stubs, and nobody gets surf through it",
    },
    Room {
        at: "benches",
        uses: &["core", "derive", "harness", "larder", "providers/*", "stubs"],
        tests: &[],
        why: "benches stand outside",
    },
    Room {
        at: "benches/*",
        uses: &["benches", "core", "derive", "larder", "providers/*"],
        tests: &[],
        why: "engines to compare with stand outside, and are measured by the tools of the benches",
    },
    Room {
        at: "examples",
        uses: &["core", "derive", "harness", "harness/sim", "larder", "providers/*", "stubs"],
        tests: &[],
        why: "examples stand outside",
    },
    Room {
        at: "xtask",
        uses: &[],
        tests: &[],
        why: "the project's commands run before anything of it builds",
    },
];

pub(super) fn check(metadata: &Metadata, files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let Some(room) = ROOMS.iter().find(|room| matches(room.at, &package.room)) else {
            let message = "a room without arrows: say in xtask/src/tidy/arrows.rs what it may use";
            findings.push(Finding::at(RULE, package.manifest(), message));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.local) {
            if let Some(used) = metadata.member(&dependency.name)
                && let Err(message) = judge(room, package, dependency, used)
            {
                let line = files.line_of(&package.manifest(), &dependency.name);
                findings.push(Finding::on(RULE, &package.manifest(), line, message));
            }
        }
    }
    findings
}

/// Whether the package may use the other in that way.
fn judge(room: &Room, package: &Package, dependency: &Dependency, used: &Package) -> Result<(), String> {
    let (from, to) = (&package.room, &used.room);
    let shares_tools = from.starts_with("benches/") && to == "benches";
    if !shares_tools && LAST.iter().any(|last| matches(last, to) || to.starts_with(&format!("{last}/"))) {
        return Err(format!("`{from}` uses `{to}`: nothing depends on {}", LAST.join(", ")));
    }
    let test = dependency.dev && allows(room.tests, to);
    if !test && !allows(room.uses, to) {
        let kind = if dependency.dev { "in its tests " } else { "" };
        let hint = if allows(room.tests, to) { "; move it to [dev-dependencies]" } else { "; remove it" };
        return Err(format!("`{from}` may not use `{to}` {kind}({}){hint}", room.why));
    }
    if from == "larder" && to.starts_with("providers/") && !dependency.dev && !dependency.optional {
        return Err(format!("`{to}` stands behind a feature of larder: make it optional"));
    }
    Ok(())
}

fn allows(list: &[&str], room: &str) -> bool {
    list.iter().any(|pattern| matches(pattern, room))
        && !list.iter().any(|pattern| pattern.strip_prefix('!').is_some_and(|pattern| matches(pattern, room)))
}

/// Whether the room is the pattern, or stands below it where that ends in `/*`.
fn matches(pattern: &str, room: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(above) => room.starts_with(above),
        None => pattern == room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fake::{member, workspace};

    #[track_caller]
    fn check_packages(packages: Vec<Package>, expected: &[&str]) {
        let found = check(&workspace(packages, &[]), &Files::default());
        let found: Vec<String> = found.into_iter().map(|f| format!("{}: {}", f.place, f.message)).collect();
        assert_eq!(found, expected);
    }

    fn house() -> Vec<Package> {
        vec![
            member("core").needs_for_tests(&["larder-derive"]),
            member("derive"),
            member("providers/redb").needs(&["larder-core"]).needs_for_tests(&["larder-harness"]),
            member("providers/rest")
                .needs(&["larder-core"])
                .needs_for_tests(&["larder-harness", "larder-stubs"]),
            member("providers/rest-surf").needs(&["larder-core", "larder-rest"]),
            member("stubs").needs(&["larder-core"]),
            member("harness").needs(&["larder-core", "larder-derive"]).needs_for_tests(&["larder-redb"]),
            member("larder").needs(&["larder-core", "larder-derive"]).offers(&["larder-redb", "larder-rest"]),
            member("benches").needs(&["larder", "larder-redb"]),
            member("examples").needs(&["larder", "larder-rest-surf", "larder-stubs"]),
            member("xtask"),
        ]
    }

    fn house_but(package: Package) -> Vec<Package> {
        let mut house: Vec<Package> =
            house().into_iter().filter(|other| other.room != package.room).collect();
        house.push(package);
        house
    }

    #[test]
    fn the_house_as_drawn_is_in_order() {
        check_packages(house(), &[]);
    }

    #[test]
    fn core_and_derive_use_none_of_ours() {
        check_packages(
            house_but(member("core").needs(&["larder-derive"])),
            &[
                "core/Cargo.toml:1: `core` may not use `derive` (the contracts know nobody); move it to [dev-dependencies]",
            ],
        );
        check_packages(
            house_but(member("derive").needs(&["larder-stubs"])),
            &["derive/Cargo.toml:1: `derive` may not use `stubs` \
                 (the derive writes paths, it uses none of ours); remove it"],
        );
    }

    #[test]
    fn a_provider_knows_neither_larder_nor_another() {
        let why = "a provider knows neither larder nor another provider; harness and stubs are for its tests";
        check_packages(
            house_but(member("providers/redb").needs(&[
                "larder-core",
                "larder",
                "larder-rest",
                "larder-harness",
            ])),
            &[
                &format!(
                    "providers/redb/Cargo.toml:1: `providers/redb` may not use `larder` ({why}); remove it"
                ),
                &format!(
                    "providers/redb/Cargo.toml:1: `providers/redb` may not use `providers/rest` ({why}); remove it"
                ),
                &format!(
                    "providers/redb/Cargo.toml:1: `providers/redb` may not use `harness` ({why}); \
                     move it to [dev-dependencies]"
                ),
            ],
        );
    }

    #[test]
    fn larder_takes_providers_behind_features_and_never_surf() {
        let why = "larder uses neither harness nor sim nor stubs, and nobody gets surf through it";
        check_packages(
            house_but(
                member("larder")
                    .needs(&["larder-redb"])
                    .offers(&["larder-rest-surf"])
                    .needs_for_tests(&["larder-stubs"]),
            ),
            &[
                "larder/Cargo.toml:1: `providers/redb` stands behind a feature of larder: make it optional",
                &format!(
                    "larder/Cargo.toml:1: `larder` may not use `providers/rest-surf` ({why}); remove it"
                ),
            ],
        );
    }

    #[test]
    fn nothing_uses_benches_or_examples_even_in_tests() {
        check_packages(
            house_but(member("stubs").needs_for_tests(&["larder-examples"])),
            &[
                "stubs/Cargo.toml:1: `stubs` uses `examples`: nothing depends on benches, xtask, examples, harness/crash",
            ],
        );
    }

    #[test]
    fn engines_use_the_tools_of_the_benches_and_nobody_uses_engines() {
        check_packages(house_but(member("benches/engines").needs(&["larder-benches", "larder-redb"])), &[]);
        let mut house = house_but(member("stubs").needs_for_tests(&["larder-benches-engines"]));
        house.push(member("benches/engines"));
        check_packages(
            house,
            &[
                "stubs/Cargo.toml:1: `stubs` uses `benches/engines`: nothing depends on benches, xtask, examples, harness/crash",
            ],
        );
    }

    #[test]
    fn a_new_room_needs_arrows() {
        check_packages(
            house_but(member("attic")),
            &["attic/Cargo.toml: a room without arrows: say in xtask/src/tidy/arrows.rs what it may use"],
        );
    }
}
