//! `cargo xtask bench`: runs the benches, then compares their ratios with the targets.
//!
//! Each bench leaves `target/larder-bench/<name>.json` (the directory is in `LARDER_BENCH_DIR`):
//! `{"name", "rows", "larder_ns", "raw_ns", "ratio", "target", "counted", "kept", "note"}`, where `target` is the greatest
//! ratio allowed, `{"min": x}` for the least, or null, `counted` (optional) has `syncs`, `pages` and `bytes` for `larder`
//! and `raw`, and `kept` (or null) tells whether these are as few as they have to be. Benches of the engines leave `{"name", "rows", "unit", "larder", "redb", "sqlite", "note"}`, where
//! `unit` is `ns` or `bytes` and each engine has `value`, `ratio` and `target`. `--quick` sets `LARDER_BENCH_QUICK=1`, on which the benches take few samples.

mod command;
mod compared;
mod machine;
mod measured;

pub(crate) use command::{Options, run};
