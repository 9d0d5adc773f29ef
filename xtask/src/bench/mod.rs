//! `cargo xtask bench`: runs the benches, then compares their ratios with the targets.
//!
//! Each bench leaves `target/larder-bench/<name>.json` (the directory is in `LARDER_BENCH_DIR`):
//! `{"name", "larder_ns", "raw_ns", "ratio", "target", "counted", "note"}`, where `target` is the greatest ratio
//! allowed, `{"min": x}` for the least, or null, and `counted` (optional) has `syncs`, `pages` and `bytes` for
//! `larder` and `raw`. Benches of the engines leave `{"name", "rows", "unit", "larder", "redb", "sqlite", "note"}`, where
//! `unit` is `ns` or `bytes` and each engine has `value`, `ratio` and `target`. `--quick` sets `LARDER_BENCH_QUICK=1`, on which the benches take few samples.

mod command;
mod compared;
mod machine;
mod measured;

pub(crate) use command::{Options, run};
