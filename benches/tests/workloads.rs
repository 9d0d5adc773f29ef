//! Each workload runs, with a few rows, and reports what the table needs.

use larder_benches::paired::alternate;
use larder_benches::workload::{ALL, LARGE, Start};
use larder_benches::{Result, Setup, Side};
use rstest::rstest;

fn check(start: Start) -> Result<Vec<serde_json::Value>> {
    let directory = tempfile::tempdir()?;
    let setup = Setup { directory: directory.path().to_owned(), rows: 60, bulk: 40 };
    let mut workload = start(&setup)?;
    let plan = workload.plan().least(2);
    let rounds = alternate(&mut *workload, plan)?;
    let lines = workload.lines(&rounds);
    assert!(!lines.is_empty());
    assert_eq!(rounds.count(), 2);
    for line in &lines {
        line.save(&rounds, setup.rows, directory.path())?;
    }
    for side in workload.sides() {
        assert_eq!(workload.written(*side).is_some(), rounds.written(*side).is_some(), "{side:?}");
    }
    Ok(lines.iter().map(|line| line.json(&rounds, setup.rows)).collect())
}

#[rstest]
fn each_runs(#[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)] which: usize) {
    let (name, start) = ALL[which];
    for line in check(start).unwrap() {
        assert!(line["name"].as_str().unwrap().starts_with(name), "{line}");
        for number in ["larder_ns", "raw_ns", "ratio"] {
            assert!(line[number].as_f64().is_some_and(|value| value > 0.0), "{line}");
        }
    }
}

#[test]
fn those_with_many_rows_are_among_all() {
    assert!(LARGE.iter().all(|large| ALL.iter().any(|(name, _)| name == large)));
}

/// A commit is one sync on every side, and Larder's touches no more pages than separate tables do.
#[test]
fn an_upsert_is_one_commit() {
    let (_, start) = ALL.iter().find(|(name, _)| *name == "upsert, new row").unwrap();
    let line = &check(*start).unwrap()[0];
    let counted = |side: &str, what: &str| line["counted"][side][what].as_f64().unwrap();
    assert_eq!((counted("larder", "syncs"), counted("raw", "syncs")), (1.0, 1.0), "{line}");
    assert!(counted("larder", "pages") <= counted("raw", "pages"), "{line}");
    assert_ne!(Side::Larder.name(), Side::Raw.name());
}
