//! All workloads: in turn with raw redb, for `cargo xtask bench`, and by criterion, for whoever looks at one.
//!
//! - `cargo bench -p larder-benches -- scan` runs the workloads whose names contain "scan".
//! - `LARDER_BENCH_ROWS=10000,100000` is how many rows there are, one after the other: these unless it is set. Beyond the
//!   first, those are run that depend on it most.
//! - `LARDER_BENCH_QUICK=1` takes few rounds, of the first size, and leaves criterion out.
//! - `LARDER_BENCH_PAIRED=1` leaves criterion out.
//! - `LARDER_BENCH_DIR` names the directory of the results; `target/larder-bench` unless it is set.
//!
//! On a machine that is busy otherwise, build first and then measure with precedence: `chrt -f 50 cargo xtask bench`.
//! Without it, a thread that a sync has woken waits for a processor until the next tick, and 0.3 ms become 4.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use larder_benches::paired::alternate;
use larder_benches::workload::{ALL, LARGE, Plan};
use larder_benches::{Result, Setup, Workload};

/// Which part of the rounds is enough for a first look, and how many at least.
const QUICK: (usize, usize) = (6, 3);

fn main() -> Result<()> {
    // Without this word, `cargo test --benches` asks only whether it runs.
    let measure = env::args().any(|argument| argument == "--bench");
    let quick = !measure || env::var_os("LARDER_BENCH_QUICK").is_some();
    let filter = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let paired = quick || env::var_os("LARDER_BENCH_PAIRED").is_some();
    let sizes: Vec<u64> = match env::var("LARDER_BENCH_ROWS") {
        Ok(rows) => {
            let sizes: Result<_, _> = rows.split(',').map(|rows| rows.trim().parse()).collect();
            sizes.map_err(|_| "LARDER_BENCH_ROWS is no list of numbers")?
        }
        Err(_) if !measure => vec![100],
        Err(_) if quick => vec![10_000],
        Err(_) => vec![10_000, 100_000],
    };
    let files = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let results =
        env::var_os("LARDER_BENCH_DIR").map_or_else(|| files.with_file_name("larder-bench"), PathBuf::from);
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let runs =
        sizes.iter().enumerate().flat_map(|(nth, rows)| ALL.map(|(name, start)| (nth, *rows, name, start)));
    for (nth, rows, name, start) in runs {
        // What follows a slash names a side, for criterion.
        let asked = filter.as_deref().and_then(|filter| filter.split('/').next());
        if asked.is_some_and(|asked| !name.contains(asked)) || (nth > 0 && !LARGE.contains(&name)) {
            continue;
        }
        let setup = Setup { directory: files.to_owned(), rows, bulk: if measure { 10_000 } else { 100 } };
        let mut workload = start(&setup)?;
        let plan = workload.plan();
        let plan = match (measure, quick) {
            (false, _) => plan.least(1),
            (true, true) => plan.at_most((plan.rounds / QUICK.0).max(QUICK.1)),
            (true, false) => plan,
        };
        compare(&mut *workload, plan, rows, measure.then_some(&*results))?;
        if !paired {
            show(&mut criterion, &format!("{name}, {rows} rows"), &mut *workload);
        }
    }
    criterion.final_summary();
    Ok(())
}

/// Runs the sides in turn, prints what came of it and, for a measurement, leaves it in `results`.
fn compare(workload: &mut dyn Workload, plan: Plan, rows: u64, results: Option<&Path>) -> Result<()> {
    let rounds = alternate(workload, plan)?;
    for line in workload.lines(&rounds) {
        let [low, ratio, high] = rounds.ratio(line.ratio.0, line.ratio.1);
        println!("{}, {rows} rows: {ratio:.2} ({low:.2}–{high:.2})", line.name);
        if let Some(results) = results {
            line.save(&rounds, rows, results)?;
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
