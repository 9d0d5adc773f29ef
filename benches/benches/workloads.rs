//! All workloads: in turn with raw redb, for `cargo xtask bench`, and by criterion, for whoever looks at one.
//!
//! - `cargo bench -p larder-benches -- scan` runs the workloads whose names contain "scan".
//! - `LARDER_BENCH_ROWS=100000` is how many rows there are; 10,000 unless it is set.
//! - `LARDER_BENCH_QUICK=1` takes few rounds and leaves criterion out.
//! - `LARDER_BENCH_DIR` names the directory of the results; `target/larder-bench` unless it is set.
//!
//! On a machine that is busy otherwise, build first and then measure with precedence: `chrt -f 50 cargo xtask bench`.
//! Without it, a thread that a sync has woken waits for a processor until the next tick, and 0.3 ms become 4.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use larder_benches::paired::alternate;
use larder_benches::workload::{ALL, Plan};
use larder_benches::{Result, Setup, Workload};

/// Which part of the rounds is enough for a first look, and how many at least.
const QUICK: (usize, usize) = (6, 3);

fn main() -> Result<()> {
    // Without this word, `cargo test --benches` asks only whether it runs.
    let measure = env::args().any(|argument| argument == "--bench");
    let quick = !measure || env::var_os("LARDER_BENCH_QUICK").is_some();
    let filter = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let rows = match env::var("LARDER_BENCH_ROWS") {
        // The engines take several sizes, this takes the first.
        Ok(rows) => {
            let first = rows.split(',').next().unwrap_or_default();
            first.trim().parse().map_err(|_| "LARDER_BENCH_ROWS does not begin with a number")?
        }
        Err(_) if measure => 10_000,
        Err(_) => 100,
    };
    let files = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let setup = Setup { directory: files.to_owned(), rows, bulk: if measure { 10_000 } else { 100 } };
    let results =
        env::var_os("LARDER_BENCH_DIR").map_or_else(|| files.with_file_name("larder-bench"), PathBuf::from);
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for (name, start) in ALL {
        // What follows a slash names a side, for criterion.
        let asked = filter.as_deref().and_then(|filter| filter.split('/').next());
        if asked.is_some_and(|asked| !name.contains(asked)) {
            continue;
        }
        let mut workload = start(&setup)?;
        let plan = workload.plan();
        let plan = match (measure, quick) {
            (false, _) => plan.least(1),
            (true, true) => plan.at_most((plan.rounds / QUICK.0).max(QUICK.1)),
            (true, false) => plan,
        };
        compare(&mut *workload, plan, measure.then_some(&*results))?;
        if !quick {
            show(&mut criterion, name, &mut *workload);
        }
    }
    criterion.final_summary();
    Ok(())
}

/// Runs the sides in turn, prints what came of it and, for a measurement, leaves it in `results`.
fn compare(workload: &mut dyn Workload, plan: Plan, results: Option<&Path>) -> Result<()> {
    let rounds = alternate(workload, plan)?;
    for line in workload.lines(&rounds) {
        let [low, ratio, high] = rounds.ratio(line.ratio.0, line.ratio.1);
        println!("{}: {ratio:.2} ({low:.2}–{high:.2})", line.name);
        if let Some(results) = results {
            line.save(&rounds, results)?;
        }
    }
    Ok(())
}

/// Criterion's view: each side by itself.
fn show(criterion: &mut Criterion, name: &str, workload: &mut dyn Workload) {
    let unit = workload.plan().unit;
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(unit));
    for side in workload.sides() {
        group.bench_function(side.name(), |bencher| {
            bencher.iter_custom(|iterations| {
                workload.run(*side, iterations * unit).expect("the workload ran before")
            });
        });
    }
    group.finish();
}
