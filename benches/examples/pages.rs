//! Which pages a single mutation writes: `cargo run -p larder-benches --example pages -- 100000 known`.

use std::sync::Arc;

use larder_benches::Result;
use larder_benches::medium::Medium;
use larder_benches::model::{User, shuffled};
use larder_benches::pages::{Kinds, Log};
use larder_benches::raw::{OneTable, Tables};
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
            kinds.add(&log.take());
        }
        println!("{name}\n{kinds}");
        Ok(())
    };
    if sides.contains('l') {
        let medium = medium("larder.redb");
        let filling = Subject::open(medium.clone(), Config::default())?;
        for users in users.chunks(chunk).chain(warmed.chunks(1000)) {
            filling.fill(users)?;
        }
        drop(filling);
        let subject = Subject::open(medium, Config { cache: 10_000, remote: true, inline: false })?;
        measure("larder", &mut |users| subject.write(users))?;
    }
    if sides.contains('t') {
        let mut tables = Tables::open(&medium("tables.redb"))?;
        for users in users.chunks(chunk).chain(warmed.chunks(1000)) {
            tables.fill(users)?;
        }
        measure("tables", &mut |users| tables.write(users))?;
    }
    if sides.contains('o') {
        let mut one = OneTable::open(&medium("one.redb"))?;
        for users in users.chunks(chunk).chain(warmed.chunks(1000)) {
            one.fill(users)?;
        }
        measure("one table", &mut |users| one.write(users))?;
    }
    Ok(())
}
