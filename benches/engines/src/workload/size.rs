//! How many bytes a row takes on the disk, with its two indexes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Setup;
use crate::Result;
use crate::larder::runtime;
use crate::report::{Aim, Line};
use crate::stock::{Files, fill};

pub(super) const NAME: &str = "bytes per row on disk";

/// Fills a file of each engine, closes it and looks how long it is.
pub(super) fn measure(setup: &Setup) -> Result<(Line, Value)> {
    let scratch = tempfile::tempdir_in(&setup.directory)?;
    let files = Files::below(scratch.path());
    fill(&files, setup.rows, &runtime()?)?;
    let size = |file: &Path| Ok::<_, std::io::Error>(fs::metadata(file)?.len() as f64 / setup.rows as f64);
    let sizes = [size(&files.larder)?, size(&files.raw)?, size(&files.sqlite)?];
    let line = Line::new(NAME, setup.rows, Aim::NONE, "2 indexes; the file as it is after closing");
    let json = line.bytes(sizes);
    Ok((line, json))
}
