//! Runs cargo as a child and hands its output on, line by line, while it runs.

use std::io::{BufRead as _, BufReader, PipeReader, pipe};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::Result;
use crate::metadata::root;

/// How long a quiet child may leave the progress line as it is.
const TICK: Duration = Duration::from_millis(500);

/// Variables that `cargo run` sets for xtask itself. Handed on, they would make build scripts that watch them
/// (ring's does) run again at every change between a command typed by hand and one started here.
const OWN: [&str; 5] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// A cargo command in the workspace's root, with the environment a developer's shell would give it.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).stdin(Stdio::null()).env("CARGO_TERM_COLOR", "never");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OWN.iter().any(|own| name.starts_with(own))) {
            command.env_remove(name);
        }
    }
    command
}

/// What a running child has to say.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// One line of its output, from either stream, in the order of writing.
    Line(&'a str),
    /// Nothing for a while.
    Tick,
}

/// Runs the command to its end and shows each line as it comes.
pub(crate) fn stream(mut command: Command, mut on: impl FnMut(Event<'_>)) -> Result<ExitStatus> {
    // One pipe for both streams, so that cargo's "Running …" and the tests' own lines keep their order.
    let (reader, writer) = pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().map_err(|error| format!("failed to start {command:?}: {error}"))?;
    drop(command);
    let lines = read(reader)?;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => on(Event::Line(&line)),
            Err(RecvTimeoutError::Disconnected) => return Ok(child.wait()?),
            Err(RecvTimeoutError::Timeout) => {
                // A grandchild that was left running holds the pipe open; the child's end is what counts.
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
                on(Event::Tick);
            }
        }
    }
}

/// Runs the command and returns what it writes to its standard output.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("failed to start {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`cargo {}` failed:\n{}", arguments.join(" "), said.trim_end()).into())
}

/// Whether the command runs and succeeds; its output is dropped.
pub(crate) fn succeeds(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn read(reader: PipeReader) -> Result<Receiver<String>> {
    let (sender, lines) = channel();
    std::thread::Builder::new().name("output".into()).spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(lines)
}
