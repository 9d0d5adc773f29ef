//! One workload on one side, so often: for counting instructions where time can't be trusted.
//!
//! `valgrind --tool=callgrind …/count <directory> <rows> <workload> <side> <operations>`; the difference between two
//! numbers of operations is what that many more cost. The files are made if they are not there.

use std::path::Path;

use larder_benches::Side;
use larder_benches_engines::Result;
use larder_benches_engines::larder::runtime;
use larder_benches_engines::stock::{Files, Stock, fill};
use larder_benches_engines::workload::{Effort, Setup, alone};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, rows, workload, side, ops] = arguments.as_slice() else {
        return Err("count <directory> <rows> <workload> <larder | raw | sqlite> <operations>".into());
    };
    let (files, rows, runtime) = (Files::below(Path::new(directory)), rows.parse()?, runtime()?);
    let side = match side.as_str() {
        "larder" => Side::Larder,
        "raw" => Side::Raw,
        _ => Side::Sqlite,
    };
    let setup = Setup { directory: directory.into(), rows, effort: Effort::Smoke };
    std::fs::create_dir_all(directory)?;
    let stock = || {
        if !files.larder.exists() {
            fill(&files, rows, &runtime)?;
        }
        Stock::open(&files, rows, &runtime)
    };
    alone(workload, &setup, stock, side, ops.parse()?)
}
