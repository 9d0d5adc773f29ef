//! A salvage in which something goes wrong.
//!
//! A file with rows, queued mutations and queued requests is damaged; part of what is queued has reached the server
//! before. It is opened, read and salvaged, and written to, while what is queued is sent, over a file system of which each
//! operation fails once, or fails from then on, or finds no room, or is the last one before a kill or a power cut. What has to
//! hold:
//!
//! - the error is typed, and once the fault is gone the repository works, without a restart if it was open;
//! - whatever a salvage without faults keeps is there after one with them, or has reached the server if it was queued, and what
//!   was written meanwhile is there as well;
//! - nothing takes effect twice, and requests arrive as they were made;
//! - what was known of the server is forgotten, and indexes lead to every row;
//! - the application is told, until it acknowledges it; the damaged file is beside as it was, once, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use larder::{
    Error, ErrorKind, Idempotency, MutationId, ReadPolicy, Redb, Repository, RequestSettings, Result, Select,
    WritePolicy,
};

use crate::disk::Random;
use crate::folder::{Fault, Folder};
use crate::report::Outcome;
use crate::server::{Phase, Server, State, wrong};
use crate::story::{Verdict, first::Note};
use crate::world::{self, Broken, World};

const PATH: &str = "app.redb";

/// How long the part of a file is that a database writes whenever it is opened and closed.
const HEADER: usize = 4096;

/// When the damage is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The file can't be opened.
    Opening,
    /// Rows can't be read.
    Reading,
}

/// A damaged file, and what it was before.
struct Sample {
    bytes: Vec<u8>,
    /// The server, which knows some of what is queued.
    server: State,
    queue: BTreeSet<MutationId>,
    /// The bodies of the requests among them.
    bodies: BTreeMap<MutationId, Vec<u8>>,
}

/// What is here: what waits, and what the notes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    queue: Vec<MutationId>,
    notes: BTreeMap<String, String>,
}

/// How a first life goes.
#[derive(Clone, Copy, Debug)]
struct How {
    met: Met,
    /// What is queued is sent while it is salvaged, and not after it alone.
    beside: bool,
    /// The file system is healed in the end.
    heals: bool,
}

/// What a first life comes to.
#[derive(Clone, Debug, Default)]
struct Life {
    /// A note was stored.
    written: bool,
    /// Something was stored in the damaged file.
    in_damaged: bool,
    operations: u64,
    /// Those of them that have to do with names.
    of_names: Vec<u64>,
}

async fn open(world: &Arc<World>, folder: &Folder, server: &Server) -> Result<Repository> {
    let runtime: Arc<dyn larder::Runtime> = Arc::<World>::clone(world);
    let store = Redb::at(PATH).files(Arc::new(folder.clone()));
    let builder = Repository::builder().store(store).remote(server.clone()).runtime(runtime);
    builder.requests(RequestSettings::new()).model::<Note>().cache_size(0).paused().build().await
}

fn note(id: &str, text: &str) -> Note {
    Note { id: id.to_owned(), text: text.to_owned(), seen: 0 }
}

/// Queues some mutations and requests; gives the bodies of these.
async fn queued(repo: &Repository, from: usize) -> Result<Vec<(MutationId, Vec<u8>)>> {
    let mut bodies = Vec::new();
    for nth in from..from + 4 {
        drop(repo.upsert(&note(&format!("m{nth}"), &format!("mine {nth}"))).await?);
        let body = format!("the body of {nth} ").repeat(20 * nth).into_bytes();
        let request = repo.http().post(format!("/events/{nth}")).body(body.clone());
        let sent = request.idempotency(Idempotency::KEYED).send().await?;
        bodies.push((sent.id(), body));
    }
    Ok(bodies)
}

async fn sample(world: &Arc<World>, met: Met) -> Result<Sample> {
    let (path, server) = (Path::new(PATH), Server::default());
    let folder = Folder::of(path, &[], true);
    for nth in 0..20 {
        server.elsewhere(
            <Note as larder::Model>::schema(),
            &note(&format!("e{nth:02}"), &format!("elsewhere {nth}")),
        )?;
    }
    let repo = open(world, &folder, &server).await?;
    repo.reading(ReadPolicy::RemoteFirst).get(Select::<Note>::all()).await?;
    let local: Vec<Note> = (0..40).map(|nth| note(&format!("l{nth:02}"), &format!("local {nth}"))).collect();
    drop(repo.writing(WritePolicy::LocalOnly).upsert_many(&local).await?);
    let mut bodies = queued(&repo, 1).await?;
    repo.close().await;
    // What is queued by now reaches the server, and a kill takes back that it did.
    let other = folder.killed();
    let repo = open(world, &other, &server).await?;
    repo.outbox().resume();
    repo.outbox().drain().await;
    repo.close().await;
    let repo = open(world, &folder, &server).await?;
    bodies.extend(queued(&repo, 5).await?);
    let queue = repo.outbox().list(0, usize::MAX).await?.iter().map(|entry| entry.id).collect();
    repo.close().await;
    let mut bytes = folder.files().remove(path).ok_or_else(|| wrong("there is no file"))?;
    // A row, and a row with its entry; and what says whose file it is.
    let mut spoilt: Vec<&[u8]> = vec![b"local 17", b"mine 6"];
    if met == Met::Opening {
        spoilt.push(b"larder\x02\x00");
    }
    for text in spoilt {
        let places: Vec<usize> =
            (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
        if places.is_empty() {
            return Err(wrong("what is to be damaged is not there"));
        }
        places.into_iter().for_each(|at| bytes[at] ^= 1);
    }
    Ok(Sample { bytes, server: server.snapshot(), queue, bodies: bodies.into_iter().collect() })
}

/// Whether an error is one that a salvage may come to.
fn typed(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Storage | ErrorKind::Full => Ok(()),
        _ => Err(error),
    }
}

/// Opens the file, reads, salvages, writes and sends while the file system fails; then it is healed, if it may be, and all of
/// it has to work.
async fn life(
    world: &Arc<World>,
    folder: &Folder,
    server: &Server,
    kept: &Kept,
    How { met, beside, heals }: How,
) -> Result<Life> {
    let mut life = Life::default();
    server.enter(if met == Met::Opening { Phase::Salvage } else { Phase::Open });
    folder.attend(server);
    let repo = match open(world, folder, server).await {
        Ok(repo) => repo,
        Err(error) => {
            (life.operations, life.of_names) = (folder.operations(), folder.of_names());
            return typed(error).map(|()| life);
        }
    };
    let here = repo.reading(ReadPolicy::LocalOnly);
    server.enter(if met == Met::Opening { Phase::Read } else { Phase::Salvage });
    // Whatever is sent is marked, and removed.
    life.in_damaged = beside && repo.status().damage.is_none();
    let salvaging = async {
        here.get(Select::<Note>::all()).await.map(drop).or_else(typed)?;
        repo.salvage().await.map(drop).or_else(typed)
    };
    match beside {
        true => join(salvaging, sent_meanwhile(&repo)).await.0?,
        false => salvaging.await?,
    }
    server.enter(Phase::Enqueue);
    let local = repo.writing(WritePolicy::LocalOnly);
    let written = local.upsert(&note("new", "meanwhile")).await;
    life.written = written.is_ok();
    written.map(drop).or_else(typed)?;
    server.enter(Phase::Send);
    life.in_damaged |= repo.status().damage.is_none();
    sent_meanwhile(&repo).await;
    server.enter(Phase::Read);
    here.get(Select::<Note>::all()).await.map(drop).or_else(typed)?;
    (life.operations, life.of_names) = (folder.operations(), folder.of_names());
    if !heals {
        return Ok(life);
    }
    folder.fail(Fault::None);
    repo.salvage().await?;
    complete(&repo, server, kept, life.written).await?;
    drop(local.upsert(&note("new", "meanwhile")).await?);
    life.written = true;
    told(&repo)?;
    repo.close().await;
    Ok(life)
}

/// Sends what is queued, as far as that goes: it may be stuck for as long as the file system fails. What is on its way comes to
/// its end.
async fn sent_meanwhile(repo: &Repository) {
    repo.outbox().resume();
    drop(tokio::time::timeout(Duration::from_secs(5), repo.outbox().drain()).await);
    repo.outbox().pause();
}

fn told(repo: &Repository) -> Result<larder::Damage> {
    repo.status().damage.ok_or_else(|| wrong("the file was salvaged, and nobody is told"))
}

async fn found(repo: &Repository) -> Result<Kept> {
    let queue = repo.outbox().list(0, usize::MAX).await?.iter().map(|entry| entry.id).collect();
    let notes = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await?;
    let notes = notes.iter().map(|note| (note.id.clone(), note.text.clone())).collect();
    Ok(Kept { queue, notes })
}

/// Whether all is there, or has reached the server.
async fn complete(repo: &Repository, server: &Server, kept: &Kept, written: bool) -> Result<()> {
    let mut found = found(repo).await?;
    let new = found.notes.remove("new");
    if written && new.as_deref() != Some("meanwhile") {
        return Err(wrong(format!("lost: what was written meanwhile is {new:?}")));
    }
    let effects = server.snapshot().effects;
    let is_queued = |id: &MutationId| found.queue.contains(id);
    let left: Vec<MutationId> = kept.queue.iter().copied().filter(is_queued).collect();
    let is_lost = |id: &&MutationId| !is_queued(id) && !effects.contains_key(id);
    if found.queue != left || found.notes != kept.notes || kept.queue.iter().any(|id| is_lost(&id)) {
        return Err(wrong(format!("lost: {kept:?} was to be kept, and {found:?} is there")));
    }
    let here = repo.reading(ReadPolicy::LocalOnly);
    for (id, text) in kept.notes.iter().step_by(7) {
        let by_text = here.get(Select::<Note>::from(Note::TEXT.eq(text.as_str()))).await?;
        if by_text.iter().all(|note| note.id != *id) {
            return Err(wrong(format!("lost: no index leads to {id}")));
        }
    }
    if repo.coverage(Select::<Note>::all()).await?.is_some() {
        return Err(wrong("rows are lost, and all of the server's still count as known"));
    }
    let checked = repo.check().await?;
    if checked.is_sound() { Ok(()) } else { Err(wrong(format!("the check found {:?}", checked.findings))) }
}

/// What the next start finds.
async fn after(
    world: &Arc<World>,
    folder: &Folder,
    server: State,
    sample: &Sample,
    kept: &Kept,
    life: &Life,
) -> Result<()> {
    folder.fail(Fault::None);
    let server = Server::of(server);
    let reopen =
        async || open(world, folder, &server).await.map_err(|error| wrong(format!("unopenable: {error}")));
    let repo = reopen().await?;
    repo.salvage().await?;
    complete(&repo, &server, kept, life.written).await?;
    let damage = told(&repo)?;
    let files = folder.files();
    let expected = [PathBuf::from(PATH), PathBuf::from(&damage.aside)];
    if !files.keys().eq(&expected) {
        return Err(wrong(format!("there should be {expected:?}, and there are {:?}", files.keys())));
    }
    // Its header says by then that all of it is to be verified by whoever opens it.
    let is_as_it_was = files[&expected[1]].get(HEADER..) == sample.bytes.get(HEADER..);
    if !is_as_it_was && !life.in_damaged {
        return Err(wrong("lost: the damaged file is not beside as it was"));
    }
    repo.close().await;
    let repo = reopen().await?;
    if told(&repo)? != damage {
        return Err(wrong("another report is told after a restart"));
    }
    repo.acknowledge(&damage).await?;
    repo.close().await;
    let repo = reopen().await?;
    if let Some(damage) = repo.status().damage {
        return Err(wrong(format!("it is told again: {damage:?}")));
    }
    complete(&repo, &server, kept, life.written).await?;
    repo.outbox().resume();
    repo.outbox().drain().await;
    sent(&server.snapshot(), sample, kept)?;
    repo.close().await;
    Ok(())
}

/// Whether the server has all of it, once.
fn sent(state: &State, sample: &Sample, kept: &Kept) -> Result<()> {
    for (id, times) in &state.effects {
        if *times != 1 || !sample.queue.contains(id) {
            return Err(wrong(format!("doubled: {id} had {times} effects, or is another one's twin")));
        }
    }
    for id in &kept.queue {
        if !state.effects.contains_key(id) {
            return Err(wrong(format!("lost: {id} never came")));
        }
        let body = sample.bodies.get(id);
        if body.is_some_and(|body| state.requests.get(id).is_none_or(|(_, came)| came != body)) {
            return Err(wrong(format!("lost: the request {id} came with another body")));
        }
    }
    Ok(())
}

/// What a salvage without faults keeps, and what it comes to.
async fn without_faults(
    world: &Arc<World>,
    sample: &Sample,
    folder: &Folder,
    how: How,
) -> Result<(Kept, Life)> {
    let server = Server::of(sample.server.clone());
    let first = folder.killed();
    let repo = open(world, &first, &server).await?;
    repo.salvage().await?;
    let kept = found(&repo).await?;
    repo.close().await;
    if kept.queue.len() + 1 != sample.queue.len() {
        return Err(wrong(format!("of the queue one is damaged, and {} are left", kept.queue.len())));
    }
    folder.fail(Fault::None);
    let life = life(world, folder, &server, &kept, how).await?;
    after(world, folder, server.snapshot(), sample, &kept, &life).await?;
    Ok((kept, life))
}

fn judge(
    outcome: &mut Outcome,
    how: &str,
    kept: &Kept,
    hit: Option<Phase>,
    run: std::result::Result<Result<()>, Broken>,
) {
    outcome.runs += 1;
    hit.into_iter().for_each(|phase| outcome.hit(phase));
    outcome.acknowledged += (kept.queue.len() + kept.notes.len()) as u64;
    match run {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.message().starts_with("unopenable") => {
            outcome.fault(Verdict::Unopenable, format!("{how}: {error}"));
        }
        Ok(Err(error)) => outcome.fault(Verdict::of(&error), format!("{how}: {error}")),
        Err(broken) => outcome.panic(format!("{how}: {broken:?}")),
    }
}

/// Every `stride`-th operation of a salvage, and each that has to do with names, goes wrong in each way, with so many images
/// of each power cut.
#[must_use]
pub fn each(seed: u64, stride: u64, images: u64) -> Outcome {
    let what =
        "each operation of a salvage fails once, from then on, or for want of room, or is the last one";
    let mut outcome = Outcome::new("salvage", what);
    for met in [Met::Opening, Met::Reading] {
        for links in [true, false] {
            over(&mut outcome, seed, (met, links), stride, images);
        }
    }
    outcome
}

/// What a life that was stopped leaves.
struct Stopped {
    folder: Folder,
    server: State,
    life: Life,
}

fn over(outcome: &mut Outcome, seed: u64, (met, links): (Met, bool), stride: u64, images: u64) {
    let way = How { met, beside: links, heals: true };
    let made = world::run(seed, async |world| {
        let sample = sample(&world, met).await?;
        let folder = Folder::of(Path::new(PATH), &sample.bytes, links);
        let (kept, life) = without_faults(&world, &sample, &folder, way).await?;
        Ok::<_, Error>((sample, kept, life))
    });
    let (sample, kept, Life { operations, of_names, .. }) = match made {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => {
            return outcome
                .fault(Verdict::of(&error), format!("{met:?}, links {links}, without faults: {error}"));
        }
        Err(broken) => return outcome.panic(format!("{met:?}, links {links}, without faults: {broken:?}")),
    };
    outcome.points += operations;
    let is_tried = |at: &u64| at % stride == seed % stride || of_names.contains(at);
    // The last is none any more: it all went well, and then it ends.
    for at in (0..operations).filter(is_tried).chain([operations]) {
        let how = |what: &str| format!("seed {seed}, {met:?}, links {links}, operation {at} {what}");
        let begun = |fault: Fault| {
            let folder = Folder::of(Path::new(PATH), &sample.bytes, links);
            folder.fail(fault);
            (folder, Server::of(sample.server.clone()))
        };
        for fault in [Fault::Once(at), Fault::From(at), Fault::Full(at)] {
            let (folder, server) = begun(fault);
            let run = world::run(seed, async |world| {
                let life = life(&world, &folder, &server, &kept, way).await?;
                after(&world, &folder.killed(), server.snapshot(), &sample, &kept, &life).await
            });
            judge(outcome, &how(&format!("{fault:?}")), &kept, folder.hit(), run);
        }
        let (folder, server) = begun(Fault::Stop(at));
        let stopped = world::run(seed, async |world| {
            let life = life(&world, &folder, &server, &kept, How { heals: false, ..way }).await?;
            Ok(Stopped { folder: folder.killed(), server: server.snapshot(), life })
        });
        let hit = folder.hit();
        let stopped = match stopped {
            Ok(Ok(stopped)) => stopped,
            Ok(Err(error)) => {
                judge(outcome, &how("stops it"), &kept, hit, Ok(Err(error)));
                continue;
            }
            Err(broken) => {
                judge(outcome, &how("stops it"), &kept, hit, Err(broken));
                continue;
            }
        };
        let left = |folder: Folder| {
            let Stopped { server, life, .. } = &stopped;
            world::run(seed, async |world| after(&world, &folder, server.clone(), &sample, &kept, life).await)
        };
        judge(outcome, &how("is the last before a kill"), &kept, hit, left(stopped.folder.killed()));
        let mut random = Random::new(seed ^ at);
        for way in 0..images {
            let cut = stopped.folder.cut(way, &mut random);
            judge(
                outcome,
                &how(&format!("is the last before a power cut, way {way}")),
                &kept,
                hit,
                left(cut),
            );
        }
    }
}
