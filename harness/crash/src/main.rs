//! Runs the campaigns and prints what they found; `cargo xtask crash` builds and starts it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use larder_crash::damaged::Left;
use larder_crash::report::{self, Outcome};
use larder_crash::{damaged, faults, full, kill, power, queue, salvage, world};

/// Crash campaigns against a whole data layer.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Sizes that take about two minutes.
    #[arg(long)]
    short: bool,
    /// Only this campaign.
    #[arg(long)]
    campaign: Option<Campaign>,
    /// What everything but the kills follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes a page of Markdown there.
    #[arg(long)]
    page: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The life of a process that is about to be killed.
    #[command(hide = true)]
    Child {
        /// The phase that it hurries to.
        mode: String,
        /// The store.
        file: PathBuf,
        /// Where the server listens.
        address: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Campaign {
    Faults,
    Compound,
    Power,
    Damaged,
    Salvage,
    Full,
    Kill,
    Queue,
}

impl Campaign {
    fn run(self, program: &Path, short: bool, seed: u64) -> Vec<Outcome> {
        let size = |long: u64, small: u64| if short { small } else { long };
        match self {
            Self::Faults => vec![faults::each(seed, size(4, 1), size(1, 7))],
            Self::Compound => vec![faults::compound(seed, size(2000, 200))],
            Self::Power => vec![power::cut(seed, size(150, 12))],
            Self::Damaged => {
                let runs = size(10_000, 250);
                [Left::Killed, Left::Closed].map(|left| damaged::files(seed, runs, left)).into()
            }
            Self::Salvage => vec![salvage::each(seed, size(1, 31), size(16, 9))],
            Self::Full => vec![full::disk(seed)],
            Self::Kill => vec![kill::processes(program, seed, size(1000, 60))],
            Self::Queue => vec![queue::pending(size(100_000, 2000))],
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Command::Child { mode, file, address }) = &options.command {
        return kill::live(mode, file, address);
    }
    world::count_panics();
    let Ok(program) = std::env::current_exe() else { return ExitCode::FAILURE };
    let mut outcomes = Vec::new();
    for campaign in Campaign::value_variants() {
        if options.campaign.is_none_or(|only| only == *campaign) {
            let (before, _) = world::panics();
            let mut of_campaign = campaign.run(&program, options.short, options.seed);
            let (after, _) = world::panics();
            if let Some(first) = of_campaign.first_mut()
                && after > before
                && first.panics == 0
            {
                first.panic(format!("{} panics in tasks", after - before));
            }
            for outcome in &of_campaign {
                eprintln!("{}: {} runs", outcome.name, outcome.runs);
                for told in &outcome.first {
                    eprintln!("  {told}");
                }
            }
            outcomes.extend(of_campaign);
        }
    }
    println!("{}\n{}", report::table(&outcomes), report::histogram(&outcomes));
    for note in outcomes.iter().flat_map(|outcome| &outcome.notes) {
        println!("- {note}");
    }
    if let Some(page) = &options.page {
        let command = if options.short { "cargo xtask crash --short" } else { "cargo xtask crash" };
        if let Err(error) = std::fs::write(page, report::page(&outcomes, command, options.seed)) {
            eprintln!("{} can't be written: {error}", page.display());
            return ExitCode::FAILURE;
        }
    }
    if outcomes.iter().all(Outcome::is_clean) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
