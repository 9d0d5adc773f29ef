//! What a mutation or the sending of an entry costs beside redb by hand: time, processor time and changes of threads.
//!
//! - `cargo run --release -p larder-benches --example cost -- known 10000 151` compares both sides, round by round;
//!   `… new …` and `… drain …` likewise.
//! - `… known 10000 2000 larder` does so many on one side alone, `… raw` on the other: for `callgrind`, where the difference
//!   between two numbers is what that many more cost, and for `strace -f -c -e futex`.

use std::path::Path;
use std::time::Duration;

use larder::{Builder, OutboxSettings};
use larder_benches::Result;
use larder_benches::medium::Medium;
use larder_benches::model::{User, shuffled};
use larder_benches::paired::timed;
use larder_benches::raw::Tables;
use larder_benches::remote::{Client, serve};
use larder_benches::subject::{Config, Subject};
use tokio::runtime::Runtime;

/// Who does it.
struct Sides {
    what: String,
    rows: u64,
    order: Vec<u64>,
    subject: Option<Subject>,
    raw: Option<Tables>,
    client: Client,
    runtime: Runtime,
    done: [u64; 2],
}

/// What it took.
#[derive(Clone, Copy, Default)]
struct Cost {
    time: Duration,
    /// In nanoseconds.
    processor: u64,
    switches: u64,
}

impl Sides {
    fn open(what: &str, rows: u64, directory: &Path, side: Option<&str>) -> Result<Self> {
        let users: Vec<User> = (0..rows).map(User::nth).collect();
        let medium = |name: &str| Medium::settled(directory.join(name));
        let client = Client::to(serve(Duration::ZERO)?);
        let subject = || match what {
            "drain" => {
                let settings = OutboxSettings::new().serial().strict();
                Subject::sending(medium("larder.redb"), &users, client.clone(), settings)
            }
            _ => {
                let config = Config { cache: Builder::CACHE_SIZE, remote: true, inline: false };
                Subject::filled(medium("larder.redb"), &users, config)
            }
        };
        let subject = if side == Some("raw") { None } else { Some(subject()?) };
        let raw = || Tables::filled(&medium("raw.redb"), &users);
        let raw = if side == Some("larder") { None } else { Some(raw()?) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_io().build()?;
        let (what, order, done) = (what.to_owned(), shuffled(rows), [0; 2]);
        Ok(Self { what, rows, order, subject, raw, client, runtime, done })
    }

    fn run(&mut self, raw: bool, ops: u64) -> Result<Cost> {
        let done = &mut self.done[usize::from(raw)];
        let numbers = *done..*done + ops;
        *done += ops;
        let (rows, fresh) = (self.rows, self.what == "new");
        let user = |n: u64| match fresh {
            true => User::nth(rows + n),
            false => User::nth(self.order[(n % rows) as usize]).edited(n),
        };
        let users: Vec<User> = numbers.map(user).collect();
        let drains = self.what == "drain";
        if let (true, Some(tables)) = (raw, &mut self.raw) {
            if !drains {
                return cost(|| tables.write(&users));
            }
            tables.queue(&users)?;
            return cost(|| self.runtime.block_on(tables.drain(&self.client)));
        }
        let subject = self.subject.as_ref().ok_or("that side was not opened")?;
        if !drains {
            return cost(|| subject.write(&users));
        }
        subject.repo.outbox().pause();
        subject.fill(&users)?;
        cost(|| {
            subject.repo.outbox().resume();
            let status = subject.runtime.block_on(subject.repo.outbox().settled());
            if status.is_settled() { Ok(()) } else { Err(format!("something is left: {status:?}").into()) }
        })
    }
}

/// Does `work` and tells what it took, all threads together.
fn cost(work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let before = used()?;
    let time = timed(work)?;
    let after = used()?;
    Ok(Cost { time, processor: after.0.saturating_sub(before.0), switches: after.1.saturating_sub(before.1) })
}

/// The processor time of the process so far in nanoseconds, and how often its threads have given up a processor by
/// themselves. What threads that have ended did is not in it.
fn used() -> Result<(u64, u64)> {
    let (mut processor, mut switches) = (0, 0);
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread may end meanwhile.
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        let (status, schedule) = (read("status"), read("schedstat"));
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        switches += line.map_or(Ok(0), |line| line.trim().parse::<u64>())?;
        processor += schedule.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok((processor, switches))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, rows, count, side) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [what, rows, count] => (what, rows.parse()?, count.parse()?, None),
        [what, rows, count, side] => (what, rows.parse()?, count.parse()?, Some(side)),
        _ => return Err("cost <known | new | drain> <rows> <rounds or operations> [larder | raw]".into()),
    };
    let scratch = tempfile::tempdir()?;
    let mut sides = Sides::open(what, rows, scratch.path(), side)?;
    if let Some(side) = side {
        sides.run(side == "raw", count)?;
        return Ok(());
    }
    let slice = if what == "drain" { 256 } else { 4 };
    let (mut ratios, mut sums) = (Vec::new(), [Cost::default(); 2]);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=count {
        for raw in [round % 2 == 0, round % 2 != 0] {
            let cost = sides.run(raw, slice)?;
            if round > 0 {
                let (sum, at) = (&mut sums[usize::from(raw)], usize::from(raw));
                *sum = Cost {
                    time: sum.time + cost.time,
                    processor: sum.processor + cost.processor,
                    switches: sum.switches + cost.switches,
                };
                times[at].push(cost.time.as_secs_f64() * 1e6 / slice as f64);
            }
        }
    }
    ratios.extend(times[0].iter().zip(&times[1]).map(|(larder, raw)| larder / raw));
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share) as usize];
    println!("{what}, {rows} rows: {:.2} ({:.2}–{:.2})", at(0.5), at(0.25), at(0.75));
    for (name, mut times, sum) in [("larder", times[0].clone(), sums[0]), ("raw", times[1].clone(), sums[1])]
    {
        times.sort_by(f64::total_cmp);
        let each = (count * slice) as f64;
        println!(
            "  {name}: {:.0} µs, {:.0} µs of a processor, {:.1} changes of threads",
            times[times.len() / 2],
            sum.processor as f64 / 1e3 / each,
            sum.switches as f64 / each,
        );
    }
    Ok(())
}
