//! The tracker from outside, as its user sees it: what it prints and how it exits.
#![allow(clippy::disallowed_methods, reason = "a test of a process: the clock is tokio's")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rstest::rstest;
use tokio::process::Command;

const FIXTURES: &str = "LARDER_REAL_FIXTURES";
const WELL: &str = "Nothing was lost, nothing was done twice.";

/// What a run came to.
struct Told {
    code: Option<i32>,
    text: String,
    problem: String,
}

impl Told {
    #[track_caller]
    fn check(&self, code: i32, says: &[&str]) {
        let whole = || format!("{}\n{}", self.text, self.problem);
        assert_eq!(self.code, Some(code), "{}", whole());
        for part in says {
            assert!(self.text.contains(part) || self.problem.contains(part), "no “{part}” in\n{}", whole());
        }
        assert_eq!(self.text.contains(WELL), code == 0, "{}", whole());
    }

    fn count(&self, part: &str) -> usize {
        self.text.matches(part).count()
    }
}

/// The built example: cargo builds it with the tests of its package, beside them.
fn tracker() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.parent().and_then(Path::parent).expect("a test is two levels below the target folder");
    let path = target.join("examples").join(format!("tracker{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: cargo build -p larder-examples --examples", path.display());
    path
}

/// Runs the tracker, for at most a minute, and looks at what it leaves behind.
async fn tell(args: &[&str], fixtures: Option<&Path>) -> Told {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(tracker());
    command.args(args).env("TMPDIR", temp.path()).env_remove(FIXTURES);
    command.stdin(Stdio::null()).kill_on_drop(true);
    if let Some(dir) = fixtures {
        command.env(FIXTURES, dir);
    }
    let run = tokio::time::timeout(Duration::from_secs(60), command.output());
    let output = run.await.expect("it ends within a minute").expect("it starts");
    let left: Vec<_> = std::fs::read_dir(temp.path()).expect("the folder is still there").collect();
    assert!(left.is_empty(), "it leaves files behind: {left:?}");
    Told {
        code: output.status.code(),
        text: String::from_utf8(output.stdout).expect("UTF-8"),
        problem: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

#[rstest]
#[tokio::test]
async fn every_store_and_transport_ends_well(
    #[values("redb", "memory")] store: &str,
    #[values("hyper", "surf")] transport: &str,
) {
    let told = tell(&["--store", store, "--transport", transport], None).await;
    told.check(0, &["14 issues and 10 labels", "16 mutations were made, and each was applied exactly once"]);
    let (kills, left_out) = if store == "memory" { (0, 3) } else { (4, 0) };
    assert_eq!(told.count("is killed (SIGKILL)"), kills);
    assert_eq!(told.count("left out: a memory store goes with its process"), left_out);
    assert_eq!(told.count("≠"), 0);
    assert_eq!(
        told.count("of its requests went through surf's middleware"),
        usize::from(transport == "surf")
    );
}

#[rstest]
#[tokio::test]
async fn what_waits_for_the_user_is_shown_and_settled(#[values("redb", "memory")] store: &str) {
    let told = tell(&["--store", store], None).await;
    let refused = r#"422 {"errors":[{"code":"invalid","field":"color","message":"color must be six"#;
    told.check(0, &["a watch has told of 1 conflict", "3 mutations are parked, 1 in a conflict", refused]);
    told.check(0, &["0 mutations are parked, 0 are queued"]);
    let (_, waits) = told.text.split_once("What waits for you").expect("there is such a chapter");
    let (waits, rest) = waits.split_once("What happened on the ground arrives").expect("it goes on");
    let sides = ["“Let a checklist be signed offline”", "“Renamed in the air”", "“Renamed on the ground”"];
    let at = sides.map(|side| waits.find(side).unwrap_or_else(|| panic!("no {side} in{waits}")));
    assert!(at.is_sorted(), "base, mine and theirs in{waits}");
    // What was settled stands on both sides; what was given up is as it was.
    let row = |key: &str| rest.lines().find(|line| line.starts_with(&format!("      {key:<18} ")));
    for (key, shown) in [
        ("10", "Renamed in the air and on the grou…"),
        ("area/sync", "#ffa500"),
        ("9", "Airspace overlay flickers when zoo…"),
    ] {
        let line = row(key).unwrap_or_else(|| panic!("no row {key} in{rest}"));
        assert_eq!((line.matches(shown).count(), line.ends_with('=')), (2, true), "{line}");
    }
}

#[rstest]
#[case::lose("lose", "PROBLEM    lost: ")]
#[case::double("double", "PROBLEM    applied twice: ")]
#[case::differ("differ", "PROBLEM    server and client differ in 1 of ")]
#[tokio::test]
async fn a_planted_fault_is_noticed(
    #[case] fault: &str,
    #[case] problem: &str,
    #[values("redb", "memory")] store: &str,
) {
    let told = tell(&["--break", fault, "--store", store], None).await;
    told.check(1, &[problem, "This did not end well."]);
    assert_eq!(told.count("PROBLEM"), 1, "{}", told.text);
}

#[tokio::test]
async fn a_client_that_hangs_is_given_up() {
    let told = tell(&["--hang", "--patience-ms", "1500"], None).await;
    told.check(1, &["tracker: client 1 should obey Sync: nothing for 1500 ms"]);
}

#[tokio::test]
async fn absent_recordings_are_said_to_be_absent() {
    let nowhere = Path::new("/nowhere/at/all");
    let told = tell(&["--store", "memory"], Some(nowhere)).await;
    told.check(0, &["no recordings in /nowhere/at/all: seeded from the data that the example ships"]);
}

#[tokio::test]
async fn the_recordings_appear_in_the_table() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os(FIXTURES).map_or(beside, PathBuf::from);
    if !dir.join("github-api/paginate-issues.json").exists() {
        eprintln!("no recordings in {}: not tested", dir.display());
        return;
    }
    let told = tell(&[], Some(&dir)).await;
    told.check(0, &["13 issues and 9 labels"]);
    let (_, table) = told.text.split_once("Both sides, row by row").expect("there is a table");
    let row = |key: &str| {
        table.lines().any(|line| line.starts_with(&format!("      {key:<18} ")) && line.ends_with('='))
    };
    for number in 1..=13 {
        assert!(row(&number.to_string()), "issue {number} in\n{table}");
    }
    for label in ["test-label", "test-label-updated", "bug", "good first issue"] {
        assert!(row(label), "label {label} in\n{table}");
    }
}
