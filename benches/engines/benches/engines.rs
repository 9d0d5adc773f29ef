//! Larder, raw redb and SQLite in turn, for `cargo xtask bench`.
//!
//! - `cargo bench -p larder-benches-engines -- scan` runs the workloads whose names contain "scan".
//! - `LARDER_BENCH_ROWS=10000,100000` is how many rows there are, one after the other: these unless it is set.
//! - `LARDER_BENCH_QUICK=1` takes few rounds, and 10,000 rows alone unless others are named.
//! - `LARDER_BENCH_DIR` names the directory of the results; `target/larder-bench` unless it is set.

use std::env;
use std::path::{Path, PathBuf};

use larder_benches_engines::Result;
use larder_benches_engines::workload::{Effort, Setup, run};

/// The sizes of a whole run.
const ROWS: [u64; 2] = [10_000, 100_000];

fn main() -> Result<()> {
    // Without this word, `cargo test --benches` asks only whether it runs.
    let measure = env::args().any(|argument| argument == "--bench");
    let quick = env::var_os("LARDER_BENCH_QUICK").is_some();
    let filter = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let effort = match (measure, quick) {
        (false, _) => Effort::Smoke,
        (true, true) => Effort::Quick,
        (true, false) => Effort::Whole,
    };
    let sizes = match env::var("LARDER_BENCH_ROWS") {
        Ok(rows) => {
            let sizes =
                rows.split(',').map(|rows| rows.trim().parse()).collect::<std::result::Result<_, _>>();
            sizes.map_err(|_| "LARDER_BENCH_ROWS is no list of numbers")?
        }
        Err(_) if !measure => vec![100],
        Err(_) if quick => vec![ROWS[0]],
        Err(_) => ROWS.to_vec(),
    };
    let files = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let results =
        env::var_os("LARDER_BENCH_DIR").map_or_else(|| files.with_file_name("larder-bench"), PathBuf::from);
    for rows in sizes {
        let setup = Setup { directory: files.to_owned(), rows, effort };
        run(&setup, filter.as_deref(), &mut |line, json| {
            println!(
                "{}, {rows} rows: {:.2} of redb, {:.2} of SQLite",
                line.name,
                json["redb"]["ratio"].as_f64().unwrap_or(f64::NAN),
                json["sqlite"]["ratio"].as_f64().unwrap_or(f64::NAN)
            );
            if measure { line.save(json, &results) } else { Ok(()) }
        })?;
    }
    Ok(())
}
