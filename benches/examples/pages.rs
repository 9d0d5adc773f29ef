//! Which pages a single mutation writes, or the removal of what was sent, commit by commit:
//! `cargo run -p larder-benches --example pages -- 100000 known 1000`, `… new …`, `… drain …`.
//!
//! The numbers are: rows, rows that go into one transaction when the file is filled, rows that are edited before, and
//! mutations; the letters are sides: Larder, five tables, one table.

use std::sync::Arc;
use std::time::Duration;

use larder::{Builder, OutboxSettings};
use larder_benches::Result;
use larder_benches::medium::Medium;
use larder_benches::model::{User, shuffled};
use larder_benches::pages::{Kinds, Log};
use larder_benches::raw::{OneTable, Tables};
use larder_benches::remote::{Client, serve};
use larder_benches::subject::{Config, Subject};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().unwrap_or_else(|| "10000".to_owned()).parse()?;
    let what = arguments.next().unwrap_or_else(|| "known".to_owned());
    let chunk: usize = arguments.next().unwrap_or_else(|| "0".to_owned()).parse()?;
    let warm: u64 = arguments.next().unwrap_or_else(|| "0".to_owned()).parse()?;
    let ops: u64 = arguments.next().unwrap_or_else(|| "600".to_owned()).parse()?;
    let sides = arguments.next().unwrap_or_else(|| "lto".to_owned());
    let users: Vec<User> = (0..rows).map(User::nth).collect();
    let order = shuffled(rows);
    let next = |n: u64| match what.as_str() {
        "known" => User::nth(order[(n % rows) as usize]).edited(n),
        _ => User::nth(rows + n),
    };
    let scratch = tempfile::tempdir()?;
    let log = Arc::<Log>::default();
    let medium =
        |name: &str| Medium { log: Some(Arc::clone(&log)), ..Medium::plain(scratch.path().join(name)) };
    let chunk = if chunk == 0 { users.len() } else { chunk };
    let warmed: Vec<User> = (0..warm).map(next).collect();
    let measure = |name: &str, write: &mut dyn FnMut(&[User]) -> Result<()>| -> Result<()> {
        let mut kinds = Kinds::default();
        for n in warm..warm + ops {
            drop(log.take());
            write(&[next(n)])?;
            log.take().iter().for_each(|pages| kinds.add(pages));
        }
        println!("{name}\n{kinds}");
        Ok(())
    };
    if what == "drain" {
        let client = Client::to(serve(Duration::ZERO)?);
        let settings = OutboxSettings::new().serial().strict();
        let subject = Subject::sending(medium("drain.redb"), &users, client, settings)?;
        let queued: Vec<User> = (0..ops).map(|n| User::nth(order[(n % rows) as usize]).edited(n)).collect();
        subject.fill(&queued)?;
        drop(log.take());
        subject.repo.outbox().resume();
        let status = subject.runtime.block_on(subject.repo.outbox().settled());
        let mut kinds = Kinds::default();
        log.take().iter().for_each(|pages| kinds.add(pages));
        println!("strict drain: {status:?}\n{kinds}");
    } else if sides.contains('l') {
        let medium = medium("larder.redb");
        let filling = Subject::open(medium.clone(), Config::default())?;
        for users in users.chunks(chunk).chain(warmed.chunks(1000)) {
            filling.fill(users)?;
        }
        drop(filling);
        let subject =
            Subject::open(medium, Config { cache: Builder::CACHE_SIZE, remote: true, inline: false })?;
        measure("larder", &mut |users| subject.write(users))?;
    }
    if what != "drain" && sides.contains('t') {
        let mut tables = Tables::open(&medium("tables.redb"))?;
        for users in users.chunks(chunk).chain(warmed.chunks(1000)) {
            tables.fill(users)?;
        }
        measure("tables", &mut |users| tables.write(users))?;
    }
    if what != "drain" && sides.contains('o') {
        let mut one = OneTable::open(&medium("one.redb"))?;
        for users in users.chunks(chunk).chain(warmed.chunks(1000)) {
            one.fill(users)?;
        }
        measure("one table", &mut |users| one.write(users))?;
    }
    Ok(())
}
