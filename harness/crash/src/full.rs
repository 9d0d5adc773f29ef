//! A disk without room: at each operation, and a real one where it can be mounted.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use larder::{ErrorKind, ReadPolicy, Redb, Repository, Result, Select};

use crate::disk::{Disk, Fault};
use crate::report::Outcome;
use crate::server::{Server, wrong};
use crate::story::{Verdict, first::Note};
use crate::world::{self, World};

async fn open(world: &Arc<World>, store: Redb) -> Result<Repository> {
    let runtime: Arc<dyn larder::Runtime> = Arc::<World>::clone(world);
    let builder = Repository::builder().store(store).remote(Server::default()).runtime(runtime);
    builder.model::<Note>().cache_size(0).paused().build().await
}

fn note(nth: usize) -> Note {
    Note { id: format!("{nth:06}"), text: "x".repeat(3000), seen: 0 }
}

/// Writes until there is no room, reads, makes room, and writes again.
async fn fill(world: &Arc<World>, store: Redb, full: impl Fn(), room: impl Fn()) -> Result<u64> {
    let repo = open(world, store).await?;
    let here = repo.reading(ReadPolicy::LocalOnly);
    let mut stored = 0;
    for nth in 0..40 {
        drop(repo.upsert(&note(nth)).await?);
        stored += 1;
    }
    full();
    let mut refused = 0;
    for nth in 40..4000 {
        match repo.upsert(&note(nth)).await {
            Ok(_) => stored += 1,
            Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::Storage) => refused += 1,
            Err(error) => return Err(error),
        }
        if refused == 5 {
            break;
        }
        // Reads go on, whatever becomes of the writes.
        if refused > 0 {
            let read = here
                .get(Select::<Note>::all())
                .await
                .map_err(|error| wrong(format!("reads do not go on after {refused} refusals: {error}")))?;
            if (read.len() as u64) < stored {
                return Err(wrong(format!("lost: {stored} were stored, and {} are read", read.len())));
            }
        }
    }
    if refused < 5 {
        return Err(wrong(format!("the disk does not become full: {stored} were stored")));
    }
    room();
    for nth in 5000..5010 {
        drop(repo.upsert(&note(nth)).await.map_err(|error| wrong(format!("writes do not go on: {error}")))?);
        stored += 1;
    }
    let read = here.get(Select::<Note>::all()).await?;
    if (read.len() as u64) < stored {
        return Err(wrong(format!("lost: {stored} were stored, and {} are read", read.len())));
    }
    let found = repo.check().await?;
    repo.close().await;
    if found.is_sound() { Ok(stored) } else { Err(wrong(format!("{:?}", found.findings))) }
}

fn judge(outcome: &mut Outcome, how: &str, run: std::result::Result<Result<u64>, world::Broken>) {
    outcome.runs += 1;
    match run {
        Ok(Ok(stored)) => outcome.acknowledged += stored,
        Ok(Err(error)) => outcome.fault(Verdict::of(&error), format!("{how}: {error}")),
        Err(broken) => outcome.panic(format!("{how}: {broken:?}")),
    }
}

/// A disk in memory that is full, and a real one of two megabytes.
#[must_use]
pub fn disk(seed: u64) -> Outcome {
    let mut outcome =
        Outcome::new("full", "a disk without room, one that can't be written to, and a tmpfs of 2 MiB");
    outcome.points = 3;
    let disk = Disk::default();
    let run = world::run(seed, async |world| {
        fill(&world, disk.store(), || disk.fail(Fault::Full), || disk.fail(Fault::None)).await
    });
    judge(&mut outcome, "in memory", run);
    let disk = Disk::default();
    let run = world::run(seed, async |world| {
        fill(&world, disk.store(), || disk.fail(Fault::Unwritable), || disk.fail(Fault::None)).await
    });
    judge(&mut outcome, "in memory, where nothing can be written", run);
    match Mounted::new() {
        Err(why) => {
            outcome
                .notes
                .push(format!("full: no tmpfs could be mounted, so no real disk was filled ({why})"));
        }
        Ok(mounted) => {
            let (path, ballast) = (mounted.0.path().join("a.redb"), mounted.0.path().join("ballast"));
            let run = world::run(seed, async |world| {
                // Something else takes the room, and lets go of it again.
                let full = || drop(std::fs::write(&ballast, vec![1; 64 << 10]));
                let room = || drop(std::fs::remove_file(&ballast).and_then(|()| mounted.grow()));
                fill(&world, Redb::at(&path), full, room).await
            });
            judge(&mut outcome, "a tmpfs", run);
        }
    }
    outcome
}

/// A small file system in memory.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> std::result::Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        mount(folder.path(), "size=2m")?;
        Ok(Self(folder))
    }

    fn grow(&self) -> std::io::Result<()> {
        mount(self.0.path(), "remount,size=64m").map_err(std::io::Error::other)
    }
}

fn mount(at: &Path, options: &str) -> std::result::Result<(), String> {
    let told = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).output();
    match told {
        Err(error) => Err(error.to_string()),
        Ok(told) if told.status.success() => Ok(()),
        Ok(told) => Err(String::from_utf8_lossy(&told.stderr).trim().to_owned()),
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).output());
    }
}
