//! Each workload runs, with a few rows, all engines answer alike, and each line has what the table needs.

use larder_benches_engines::workload::{Effort, Setup, run};

#[test]
fn each_workload_has_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup { directory: directory.path().to_owned(), rows: 300, effort: Effort::Smoke };
    let mut names = Vec::new();
    run(&setup, None, &mut |line, json| {
        for number in
            [&json["larder"], &json["redb"]["value"], &json["redb"]["ratio"], &json["sqlite"]["ratio"]]
        {
            assert!(number.as_f64().is_some_and(|number| number > 0.0), "{json}");
        }
        names.push(line.name.clone());
        line.save(json, directory.path())
    })
    .unwrap();
    let expected = [
        "indexed equality",
        "range, order, limit 50",
        "range, order down, limit 50",
        "scan",
        "keyset paging",
        "to-one, 1,000 parents",
        "to-one, no row in memory",
        "to-many, 1,000 parents",
        "bulk insert, no index",
        "bulk insert, 2 indexes",
        "bulk insert, 8 indexes",
        "open and first query",
        "bytes per row on disk",
    ];
    assert_eq!(names, expected);
}
