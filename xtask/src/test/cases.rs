//! Builds the workspace's tests and runs them once, whatever fails.

use std::path::Path;

use serde_json::Value;

use super::follow::{Executables, Follower, Outcome, Unit, file_name};
use crate::Result;
use crate::libtest::{Line, parse};
use crate::matrix::VARIABLE;
use crate::metadata::Metadata;
use crate::process::{Event, cargo, stream};
use crate::progress::Progress;

/// Builds the selected tests. `None` if they do not build, and then the diagnostics are printed.
pub(super) fn build(
    metadata: &Metadata,
    select: &[&str],
    progress: &mut Progress,
) -> Result<Option<Executables>> {
    let arguments = [&["test", "--no-run", "--message-format=json-render-diagnostics"], select].concat();
    let mut executables = Executables::new();
    let mut last = String::new();
    let mut units = 0;
    let status = stream(cargo(&arguments), |event| match event {
        Event::Line(line) if line.starts_with('{') => {
            units += 1;
            if let Some((file, unit)) = executable(metadata, line) {
                executables.insert(file, unit);
            }
        }
        Event::Line(line) => match parse(line) {
            Line::Busy(what) => {
                what.clone_into(&mut last);
                progress.busy(&format!("{units} units · {last}"));
            }
            Line::Other if line.trim_start().starts_with("Executable ") => {}
            _ => progress.line(line),
        },
        Event::Tick => progress.busy(&format!("{units} units · {last}")),
    })?;
    progress.done(status.success(), &format!("{} test executables", executables.len()));
    Ok(status.success().then_some(executables))
}

/// The test executable that one of cargo's messages announces.
fn executable(metadata: &Metadata, message: &str) -> Option<(String, Unit)> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let file = file_name(message["executable"].as_str()?).to_owned();
    let package = metadata.package(message["package_id"].as_str()?)?;
    let target = message["target"]["name"].as_str()?;
    let test = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
    let conformance = test && target == "conformance" && package.room.starts_with("providers/");
    let target = if test { target } else { "unit tests" }.to_owned();
    Some((file, Unit { package: package.name.clone(), target, conformance }))
}

/// Runs the selected tests to the end, whatever fails.
pub(super) fn run(
    executables: &Executables,
    select: &[&str],
    records: &Path,
    progress: &mut Progress,
) -> Result<Outcome> {
    let mut command = cargo(&[&["test", "--no-fail-fast"], select].concat());
    command.env(VARIABLE, records);
    let mut follower = Follower::new(executables);
    let status = stream(command, |event| match event {
        Event::Line(line) => {
            for said in follower.line(line) {
                progress.line(&said);
            }
            if matches!(parse(line), Line::Case(..)) {
                progress.busy(&follower.now());
            }
        }
        Event::Tick => progress.busy(&follower.now()),
    })?;
    for said in follower.finish() {
        progress.line(&said);
    }
    let mut outcome = follower.outcome;
    if !status.success() && outcome.count.failed + outcome.conformance_failed == 0 {
        outcome.count.failed = 1;
    }
    let failed = outcome.count.failed + outcome.conformance_failed;
    progress.done(failed == 0, &format!("{} tests beside the conformance cases", outcome.count.passed));
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metadata::fake;

    #[test]
    fn cargo_announces_test_executables() {
        let metadata = fake::workspace(vec![fake::member("providers/redb")], &[]);
        let message = json!({
            "reason": "compiler-artifact",
            "package_id": "larder-redb",
            "target": {"name": "conformance", "kind": ["test"]},
            "profile": {"test": true},
            "executable": "/repo/target/debug/deps/conformance-22",
        });
        let (file, unit) = executable(&metadata, &message.to_string()).expect("an executable");
        let expected =
            Unit { package: "larder-redb".to_owned(), target: "conformance".to_owned(), conformance: true };
        assert_eq!((file.as_str(), unit), ("conformance-22", expected));
        assert!(executable(&metadata, r#"{"reason":"build-finished","success":true}"#).is_none());
    }
}
