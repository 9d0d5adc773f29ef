//! Damaged files.
//!
//! A file with rows and queued mutations is altered behind redb's back: one that was closed, which redb believes when it
//! opens it, or one as a kill leaves it, all of which redb verifies first. What has to hold:
//!
//! - opening it is a typed error or works; no panic gets out, and none ends the process, whatever is read, written, given
//!   back and closed;
//! - whatever is read was written once, byte for byte;
//! - if something that was there is missing, or is older than it was, opening or the check says so;
//! - what is salvaged was written once, and of the queue whatever lies on sound pages is there; requests are sent as they
//!   were made, or wait because their bodies are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::{
    Error, ErrorKind, Idempotency, MutationId, OnCorrupt, QueuedMutation, ReadPolicy, Redb, Repository,
    RequestSettings, Result, Select,
};

use crate::disk::Random;
use crate::report::Outcome;
use crate::server::{Server, wrong};
use crate::story::{Ticket, Verdict, first::Note};
use crate::world::{self, World};

/// How large a page is.
const PAGE: usize = 4096;

/// How a file was left before it was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its process was killed.
    Killed,
    /// It was closed.
    Closed,
}

/// What is in a file, and what it once was.
struct Sample {
    bytes: Vec<u8>,
    /// Whatever a note has ever said, by key.
    texts: BTreeMap<String, BTreeSet<String>>,
    /// What it says.
    current: BTreeMap<String, String>,
    queue: BTreeSet<MutationId>,
    /// The requests in it: the targets and the bodies.
    requests: BTreeMap<MutationId, (String, Vec<u8>)>,
}

async fn open(world: &Arc<World>, store: Redb, server: &Server) -> Result<Repository> {
    let runtime: Arc<dyn larder::Runtime> = Arc::<World>::clone(world);
    let builder = Repository::builder().store(store).remote(server.clone()).runtime(runtime);
    let builder = builder.requests(RequestSettings::new()).model::<Note>().model::<Ticket>();
    builder.cache_size(0).paused().build().await
}

/// A file with so many rows, a tenth of which is queued.
async fn sample(world: &Arc<World>, path: &Path, rows: usize, left: Left) -> Result<Sample> {
    let repo = open(world, Redb::at(path), &Server::default()).await?;
    let local = repo.writing(larder::WritePolicy::LocalOnly);
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = BTreeMap::new();
    for round in 0..3 {
        for first in (0..rows).step_by(50) {
            let note = |nth: usize| {
                let text = format!("round {round} of {nth}: {}", "lorem ipsum ".repeat(nth % 7));
                Note { id: format!("{nth:05}"), text, seen: i64::try_from(nth).unwrap_or_default() }
            };
            let notes: Vec<Note> = (first..rows.min(first + 50)).map(note).collect();
            for note in &notes {
                texts.entry(note.id.clone()).or_default().insert(note.text.clone());
                current.insert(note.id.clone(), note.text.clone());
            }
            // What is queued is queued in the last round.
            let repo = if round == 2 && first % 500 == 0 { &repo } else { &local };
            drop(repo.upsert_many(&notes).await?);
        }
    }
    let mut requests = BTreeMap::new();
    for nth in 0..rows / 20 {
        let (target, body) =
            (format!("/events/{nth}"), format!("body of {nth} ").repeat(nth % 90).into_bytes());
        let post = repo.http().post(target.as_str()).body(body.clone()).lane(target.as_str());
        requests.insert(post.idempotency(Idempotency::KEYED).send().await?.id(), (target, body));
    }
    // The last handle closes the file.
    drop(local);
    let queue = repo.outbox().list(0, usize::MAX).await?.iter().map(|entry| entry.id).collect();
    if left == Left::Closed {
        repo.close().await;
    }
    let bytes = std::fs::read(path).map_err(unread)?;
    Ok(Sample { bytes, texts, current, queue, requests })
}

fn unread(error: std::io::Error) -> Error {
    wrong("a file can't be read").because(error)
}

/// Alters the file in one of several ways, and says how.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let pages = bytes.len() / PAGE;
    let page = 1 + random.below(pages - 1);
    let at = page * PAGE;
    match random.below(8) {
        0 => {
            let (byte, bit) = (random.below(bytes.len()), random.below(8));
            bytes[byte] ^= 1 << bit;
            format!("bit {bit} of byte {byte}")
        }
        1 => {
            let count = 2 + random.below(20);
            for _ in 0..count {
                let byte = random.below(bytes.len());
                bytes[byte] ^= 1 << random.below(8);
            }
            format!("{count} bits")
        }
        2 => {
            bytes[at..at + PAGE].fill(0);
            format!("page {page} zeroed")
        }
        3 => {
            for byte in &mut bytes[at..at + PAGE] {
                *byte = u8::try_from(random.below(256)).unwrap_or_default();
            }
            format!("page {page} at random")
        }
        4 => {
            let other = 1 + random.below(pages - 1);
            let (one, two) =
                (bytes[at..at + PAGE].to_vec(), bytes[other * PAGE..(other + 1) * PAGE].to_vec());
            bytes[at..at + PAGE].copy_from_slice(&two);
            bytes[other * PAGE..(other + 1) * PAGE].copy_from_slice(&one);
            format!("pages {page} and {other} swapped")
        }
        5 => {
            let other = 1 + random.below(pages - 1);
            let two = bytes[other * PAGE..(other + 1) * PAGE].to_vec();
            bytes[at..at + PAGE].copy_from_slice(&two);
            format!("page {page} is page {other}")
        }
        6 => {
            // Nothing at all would be a new store.
            let len = 1 + random.below(bytes.len() - 1);
            bytes.truncate(len);
            format!("cut off at {len}")
        }
        _ => {
            let foreign: &[u8] =
                [&b"PK\x03\x04 an archive"[..], b"SQLite format 3\0", b"\x7fELF"][random.below(3)];
            *bytes = foreign.repeat(1 + random.below(2000));
            "a foreign file".to_owned()
        }
    }
}

/// What one damaged file comes to.
#[derive(Default)]
struct Looked {
    noticed: bool,
    salvaged: Option<(u64, usize)>,
    redb: u64,
}

/// `runs` damaged files that were left in this way; the rows of each by the seed.
#[must_use]
pub fn files(seed: u64, runs: u64, left: Left) -> Outcome {
    let what = match left {
        Left::Killed => "files as a kill leaves them are altered: bits, pages, length, foreign ones",
        Left::Closed => "files that were closed are altered in the same ways",
    };
    let mut outcome = Outcome::new("damaged", what);
    let Ok(folder) = tempfile::tempdir_in(shared_memory()) else {
        outcome.fault(Verdict::Wrong, "there is no place for files");
        return outcome;
    };
    world::count_panics();
    let (before, _) = world::panics();
    let mut noticed = 0;
    let (mut salvaged, mut kept, mut queued, mut redb) = (0, 0, 0, 0);
    let samples: Vec<(usize, Sample)> = [60, 600]
        .into_iter()
        .filter_map(|rows| {
            let path = folder.path().join(format!("sample-{rows}.redb"));
            let made = world::run(seed, async |world| sample(&world, &path, rows, left).await);
            made.ok()?.ok().map(|sample| (rows, sample))
        })
        .collect();
    if samples.len() != 2 {
        outcome.fault(Verdict::Wrong, "the samples can't be made");
        return outcome;
    }
    for run in 0..runs {
        let mut random = Random::new(seed ^ run);
        let (rows, sample) = &samples[random.below(samples.len())];
        let mut bytes = sample.bytes.clone();
        let how = format!("seed {}, {rows} rows, {}", seed ^ run, spoil(&mut bytes, &mut random));
        outcome.runs += 1;
        outcome.acknowledged += sample.current.len() as u64;
        let looked = world::run(seed, async |world| look(&world, folder.path(), &bytes, sample).await);
        match looked {
            Err(broken) => outcome.panic(format!("{how}: {broken:?}")),
            Ok(Err(error)) => outcome.fault(Verdict::of(&error), format!("{how}: {error}")),
            Ok(Ok(looked)) => {
                noticed += u64::from(looked.noticed);
                redb += looked.redb;
                if let Some((rows, entries)) = looked.salvaged {
                    salvaged += 1;
                    kept += rows;
                    queued += entries as u64;
                }
            }
        }
    }
    let (after, _) = world::panics();
    for _ in before..after {
        outcome.panic("a panic that is not redb's");
    }
    outcome.points = samples.iter().map(|(_, sample)| (sample.bytes.len() / PAGE) as u64).sum();
    outcome.notes.push(format!(
        "damaged: of {} files {} {noticed} were noticed; redb panicked {redb} times, contained each time; {salvaged} were \
         salvaged, with {kept} rows and {queued} queued mutations",
        outcome.runs,
        match left {
            Left::Killed => "as a kill leaves them",
            Left::Closed => "that were closed",
        },
    ));
    outcome
}

/// A place for files that is quick.
#[must_use]
pub fn shared_memory() -> PathBuf {
    let quick = PathBuf::from("/dev/shm");
    if quick.is_dir() { quick } else { std::env::temp_dir() }
}

async fn look(world: &Arc<World>, folder: &Path, bytes: &[u8], sample: &Sample) -> Result<Looked> {
    let path = folder.join("damaged.redb");
    std::fs::write(&path, bytes).map_err(unread)?;
    let (_, before) = world::panics();
    let mut looked = as_it_is(world, &path, sample).await?;
    std::fs::write(&path, bytes).map_err(unread)?;
    looked.salvaged = anew(world, &path, sample, looked.noticed).await?;
    let (_, after) = world::panics();
    looked.redb = after - before;
    for entry in std::fs::read_dir(folder).map_err(unread)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("damaged.redb") {
            std::fs::remove_file(entry.path()).map_err(unread)?;
        }
    }
    Ok(looked)
}

/// Whether an error is one that damage may lead to.
fn typed(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Storage | ErrorKind::Unsupported | ErrorKind::Serialization => Ok(()),
        _ => Err(error),
    }
}

/// Reads what can be read, and changes nothing.
async fn as_it_is(world: &Arc<World>, path: &Path, sample: &Sample) -> Result<Looked> {
    let mut looked = Looked::default();
    let repo = match open(world, Redb::at(path).on_corrupt(OnCorrupt::Fail), &Server::default()).await {
        Ok(repo) => repo,
        Err(error) => {
            typed(error)?;
            looked.noticed = true;
            return Ok(looked);
        }
    };
    let found = repo.check().await;
    looked.noticed = match &found {
        Ok(found) => !found.is_sound(),
        Err(error) => error.kind() == ErrorKind::Corrupt,
    };
    let here = repo.reading(ReadPolicy::LocalOnly);
    let mut missing = Vec::new();
    for (id, text) in &sample.current {
        match here.find::<Note>(id.as_str()).await {
            Ok(Some(note)) if note.text == *text => {}
            Ok(Some(note)) if sample.texts[id].contains(&note.text) => missing.push(id),
            Ok(Some(note)) => return Err(wrong(format!("lost: {id} was altered to {note:?}"))),
            Ok(None) => missing.push(id),
            Err(error) => {
                typed(error)?;
                looked.noticed |= true;
            }
        }
    }
    match here.get(Select::<Note>::all()).await {
        Ok(notes) => {
            let keys: BTreeSet<&str> = notes.iter().map(|note| note.id.as_str()).collect();
            missing.extend(sample.current.keys().filter(|id| !keys.contains(id.as_str())));
            for note in notes.iter() {
                if !sample.texts.get(&note.id).is_some_and(|texts| texts.contains(&note.text)) {
                    return Err(wrong(format!("lost: {note:?} was never written")));
                }
            }
        }
        Err(error) => {
            typed(error)?;
            looked.noticed |= true;
        }
    }
    let listed = repo.outbox().list(0, usize::MAX).await;
    if let Ok(listed) = &listed
        && let Some(stranger) = listed.iter().find(|entry| !sample.queue.contains(&entry.id))
    {
        return Err(wrong(format!("lost: {stranger:?} was never queued")));
    }
    let fewer = listed.is_ok_and(|listed| listed.len() < sample.queue.len());
    if (fewer || !missing.is_empty()) && !looked.noticed && !is_of_before(&here, sample).await {
        return Err(wrong(format!("nobody noticed that {missing:?} are not as they were: {found:?}")));
    }
    written_all_over(&repo, sample).await.or_else(typed)?;
    repo.close().await;
    Ok(looked)
}

/// Writes here and there, so that pages are split and joined, and gives space back: each of it may fail.
async fn written_all_over(repo: &Repository, sample: &Sample) -> Result<()> {
    let local = repo.writing(larder::WritePolicy::LocalOnly);
    let ids: Vec<&String> = sample.current.keys().collect();
    for round in 0..4 {
        let some = || ids.iter().skip(round).step_by(11);
        let text = "longer than before ".repeat(round * 20);
        let notes = some().map(|id| Note { id: (*id).clone(), text: text.clone(), seen: 0 });
        drop(local.upsert_many(&notes.collect::<Vec<_>>()).await?);
        for id in some().skip(round).step_by(7) {
            drop(local.delete::<Note>(id.as_str()).await?);
        }
    }
    repo.compact().await.map(drop)
}

/// After a kill redb goes back by one commit if the last one is damaged: then all is as it was before that.
async fn is_of_before(repo: &Repository, sample: &Sample) -> bool {
    match repo.get(Select::<Note>::all()).await {
        Ok(notes) => notes.len() + 50 >= sample.current.len(),
        Err(_) => false,
    }
}

/// Lets the store begin anew, and looks at what it has kept.
async fn anew(
    world: &Arc<World>,
    path: &Path,
    sample: &Sample,
    noticed: bool,
) -> Result<Option<(u64, usize)>> {
    let server = Server::default();
    let repo = match open(world, Redb::at(path), &server).await {
        Ok(repo) => repo,
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
        Err(error) => return typed(error).map(|()| None),
    };
    match repo.salvage().await {
        Ok(_) => {}
        Err(error) => return typed(error).map(|()| None),
    }
    let found = repo.check().await?;
    if !found.is_sound() {
        return Err(wrong(format!("what was salvaged is not sound: {:?}", found.findings)));
    }
    let notes = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await?;
    for note in notes.iter() {
        if !sample.texts.get(&note.id).is_some_and(|texts| texts.contains(&note.text)) {
            return Err(wrong(format!("lost: {note:?} was salvaged and never written")));
        }
    }
    let queue = repo.outbox().list(0, usize::MAX).await?;
    if let Some(stranger) = queue.iter().find(|entry| !sample.queue.contains(&entry.id)) {
        return Err(wrong(format!("lost: {stranger:?} was salvaged and never queued")));
    }
    let damage = repo.status().damage;
    if damage.is_none() && noticed && !is_of_before(&repo, sample).await {
        return Err(wrong("something is damaged, and nothing was salvaged"));
    }
    // What is lost lies on the pages that are damaged, and no more than fits on them.
    if let Some(damage) = &damage
        && damage.pages == 0
        && (queue.len() < sample.queue.len() || notes.len() < sample.current.len())
        && damage.lost == 0
    {
        return Err(wrong(format!(
            "lost: no page is damaged, and of the queue {} are left: {damage:?}",
            queue.len()
        )));
    }
    let kept = damage.map(|damage| (damage.rows, queue.len()));
    // It can be written to again.
    let note = Note { id: "new".into(), text: "new".into(), seen: 0 };
    drop(repo.upsert(&note).await?);
    came(&repo, &server, sample, &queue).await?;
    repo.close().await;
    Ok(kept)
}

/// Sends what is queued: requests come as they were made, or wait because their body is lost.
async fn came(repo: &Repository, server: &Server, sample: &Sample, queue: &[QueuedMutation]) -> Result<()> {
    repo.outbox().resume();
    repo.outbox().settled().await;
    let (came, waits) = (server.snapshot().requests, repo.outbox().parked().await?);
    for (id, request) in &came {
        if sample.requests.get(id) != Some(request) {
            return Err(wrong(format!("lost: the request {id} came as {request:?}")));
        }
    }
    let is_there = |entry: &&QueuedMutation| {
        came.contains_key(&entry.id) || waits.iter().any(|waits| waits.id == entry.id)
    };
    match queue.iter().filter(|entry| entry.request.is_some()).find(|entry| !is_there(entry)) {
        Some(lost) => Err(wrong(format!("lost: the request {lost:?} neither came nor waits"))),
        None => Ok(()),
    }
}
