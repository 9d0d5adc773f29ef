//! How long a campaign is, and where it notes what it showed.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Where the full length notes what it showed; without it the campaigns are short.
const VARIABLE: &str = "LARDER_CAMPAIGNS";

/// By how much the short form is shorter.
const SHORTER: u64 = 100;

fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Whether campaigns are run at full length.
pub(crate) fn is_full() -> bool {
    folder().is_some()
}

/// The size of a campaign that has `full` at full length.
pub(crate) fn size(full: u64) -> u64 {
    if is_full() { full } else { full / SHORTER }
}

/// Notes a row: name, what was run, what it showed.
pub(crate) fn note(name: &str, ran: &str, showed: &[(&str, String)]) {
    let mut line = format!("{name}\t{ran}\t");
    for (at, (what, value)) in showed.iter().enumerate() {
        let _ = write!(line, "{}{what}: {value}", if at == 0 { "" } else { "; " });
    }
    println!("{line}");
    if let Some(folder) = folder() {
        std::fs::write(folder.join(format!("{}.tsv", name.replace(' ', "-"))), line + "\n").unwrap();
    }
}
