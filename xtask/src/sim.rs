//! `cargo xtask sim`: the simulator's campaigns at full length, and the page of the book that says what they showed.
//!
//! Each campaign is a test of `larder-sim`; at full length it leaves a line with its name, what was run and what that
//! showed, separated by tabs.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::Result;
use crate::clock::{Stopwatch, show};
use crate::metadata::root;
use crate::process::{Event, cargo, stream};
use crate::progress::Progress;
use crate::table::Table;

/// Tells the campaigns where to leave their lines, and to run at full length.
const VARIABLE: &str = "LARDER_CAMPAIGNS";

/// Where the lines lie, from the root.
const LINES: &str = "target/campaigns";

/// The page of the book, from the root.
const PAGE: &str = "docs/src/simulated.md";

/// The campaigns: the target that each is in, and its test.
const CAMPAIGNS: [(&str, &str); 12] = [
    ("campaigns", "weather::seeded_schedules"),
    ("campaigns", "weather::disconnect_storms"),
    ("campaigns", "weather::clock_jumps"),
    ("campaigns", "single::keys_make_it_once"),
    ("campaigns", "single::at_most_once_is_never_repeated_blindly"),
    ("campaigns", "poison::poisoned_queues"),
    ("campaigns", "outage::clients_after_an_outage"),
    ("campaigns", "outage::clients_who_are_asked_to_come_back_at_one_moment_do_not_come_at_one_moment"),
    ("campaigns", "errands::requests"),
    ("campaigns", "errands::parted_hosts"),
    ("campaigns", "lists::lists_paged_by_number"),
    ("day", "offline_for_a_day"),
];

/// What stands above the table.
const HEAD: &str = "\
# Simulated campaigns

What `larder-sim` has shown at full length. Every world is decided by its seed; a rule that does not hold ends the campaign
with a test to paste. Times are of the worlds' own clocks; the day offline passes on a real disk. In the
tests each campaign runs at a hundredth of this length (clock jumps at 3 %). The busiest second after an outage is held to 1.5
times the mean in each world. To repeat all of it, or one by the name of its test:

```sh
cargo xtask sim
cargo xtask sim poisoned_queues
```

";

/// Options of `cargo xtask sim`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only the campaigns whose name contains this.
    campaign: Option<String>,
    /// Run them at a hundredth of their length, and keep nothing.
    #[arg(long)]
    short: bool,
    /// Build with optimisation: faster, and all of it is built once more.
    #[arg(long)]
    release: bool,
    /// Write what they showed, and what the others have shown before, into the book.
    #[arg(long, conflicts_with = "short")]
    write: bool,
}

/// Runs the campaigns. `false` if one of them failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let lines = root().join(LINES);
    fs::create_dir_all(&lines)?;
    let wanted =
        |(_, name): &&(&str, &str)| options.campaign.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let campaigns: Vec<_> = CAMPAIGNS.iter().filter(wanted).collect();
    if campaigns.is_empty() {
        return Err(format!(
            "no campaign is called so; there are {}",
            CAMPAIGNS.map(|(_, name)| name).join(", ")
        )
        .into());
    }
    let mut progress = Progress::new(campaigns.len());
    let mut held = true;
    for (target, campaign) in &campaigns {
        progress.step(campaign);
        let mut command = cargo(&["test", "-q", "-p", "larder-sim", "--all-features", "--test", target]);
        if options.release {
            command.arg("--release");
        }
        command.args([campaign, "--", "--exact", "--nocapture"]);
        if !options.short {
            command.env(VARIABLE, &lines);
        }
        let since = Stopwatch::start();
        let status = stream(command, |event| match event {
            Event::Line(line) => progress.line(line),
            Event::Tick => progress.busy(""),
        })?;
        progress.done(status.success(), &show(since.elapsed()));
        held &= status.success();
    }
    if !options.short {
        print!("{}", table(&read(&lines)?).markdown());
    }
    if options.write && held {
        fs::write(root().join(PAGE), page(&read(&lines)?)?)?;
        println!("wrote {PAGE}");
    }
    Ok(held)
}

/// The line that each campaign has left, in the order of the page.
fn read(folder: &Path) -> Result<Vec<Vec<String>>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut lines = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "tsv")) {
        let text = fs::read_to_string(file)?;
        lines.extend(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()));
    }
    Ok(lines)
}

fn table(lines: &[Vec<String>]) -> Table {
    let mut table = Table::new(["campaign", "run", "shown"]);
    for line in lines {
        table.row(line.iter().map(|cell| cell.replace('|', "\\|")));
    }
    table
}

/// The page, which is whole or not written.
fn page(lines: &[Vec<String>]) -> Result<String> {
    if lines.len() < CAMPAIGNS.len() {
        let missing =
            format!("{} of {} campaigns have been run: run the others", lines.len(), CAMPAIGNS.len());
        return Err(missing.into());
    }
    Ok(format!("{HEAD}{}", table(lines).markdown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<Vec<String>> {
        (0..count).map(|nth| vec![format!("campaign {nth}"), "10 worlds".into(), "lost: 0".into()]).collect()
    }

    #[test]
    fn a_page_has_every_campaign() {
        let page = page(&lines(CAMPAIGNS.len())).unwrap();
        assert!(page.starts_with("# Simulated campaigns\n"));
        assert!(page.contains("| campaign 10 | 10 worlds | lost: 0 |"), "{page}");
    }

    #[test]
    fn each_campaign_is_a_test() {
        for (target, campaign) in CAMPAIGNS {
            let (file, test) = campaign.split_once("::").unwrap_or(("main", campaign));
            let path = root().join(format!("harness/sim/tests/{target}/{file}.rs"));
            let source = fs::read_to_string(&path).unwrap();
            assert!(
                source.contains(&format!("#[test]\nfn {test}() {{")),
                "{campaign}: not in {}",
                path.display()
            );
        }
    }

    #[test]
    fn half_a_page_is_not_written() {
        assert!(page(&lines(2)).unwrap_err().to_string().contains(&format!("2 of {}", CAMPAIGNS.len())));
    }
}
