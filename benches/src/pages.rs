//! What is on the pages that a commit writes: which trees they belong to, and how far from the leaves they are.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_redb::StorageBackend;

/// The type byte of a page with pairs.
const LEAF: u8 = 1;
/// The type byte of a page with children.
const BRANCH: u8 = 2;

/// Pages by their place in the file.
type Pages = HashMap<u64, Vec<u8>>;

/// What was written since it was last asked, by the sync that has made it durable.
#[derive(Debug, Default)]
pub struct Log(Mutex<(Pages, Vec<Pages>)>);

impl Log {
    /// The pages of each commit since.
    #[must_use]
    pub fn take(&self) -> Vec<HashMap<u64, Vec<u8>>> {
        std::mem::take(&mut self.lock().1)
    }

    fn lock(&self) -> MutexGuard<'_, (Pages, Vec<Pages>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what is written in a [`Log`].
#[derive(Debug)]
pub(crate) struct Logged(pub(crate) Box<dyn StorageBackend>, pub(crate) Arc<Log>);

impl StorageBackend for Logged {
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut log = self.1.lock();
        let pages = std::mem::take(&mut log.0);
        log.1.push(pages);
        drop(log);
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.1.lock().0.insert(offset, data.to_vec());
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// How many pages of each kind were written.
#[derive(Debug, Default)]
pub struct Kinds {
    counts: BTreeMap<String, (u64, u64)>,
    commits: u64,
}

impl Kinds {
    /// Counts the pages of one commit.
    pub fn add(&mut self, pages: &HashMap<u64, Vec<u8>>) {
        self.commits += 1;
        for page in pages.values() {
            let (count, bytes) = self.counts.entry(kind(page, pages)).or_default();
            *count += 1;
            *bytes += page.len() as u64;
        }
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commits = self.commits as f64;
        let mut all = (0, 0);
        for (kind, (count, bytes)) in &self.counts {
            all = (all.0 + count, all.1 + bytes);
            writeln!(f, "{:7.2} {:8.0} B  {kind}", *count as f64 / commits, *bytes as f64 / commits)?;
        }
        write!(
            f,
            "{:7.2} {:8.0} B  in all, of {} commits",
            all.0 as f64 / commits,
            all.1 as f64 / commits,
            self.commits
        )
    }
}

fn kind(page: &[u8], pages: &HashMap<u64, Vec<u8>>) -> String {
    match page.first() {
        Some(&LEAF) => format!("leaf of {}", space(first_key(page, 4))),
        Some(&BRANCH) => {
            let children = u16_at(page, 2) + 1;
            format!("branch {} of {}", height(page, pages), space(first_key(page, 8 + 24 * children)))
        }
        _ => "header".to_owned(),
    }
}

/// How far the leaves are below a branch: some of its children were written as well, or it would not have been.
fn height(page: &[u8], pages: &HashMap<u64, Vec<u8>>) -> usize {
    if page.first() != Some(&BRANCH) {
        return 0;
    }
    let children = u16_at(page, 2) + 1;
    let below = (0..children).filter_map(|at| {
        let at = 8 + 16 * children + 8 * at;
        pages.get(&place(u64::from_le_bytes(page.get(at..at + 8)?.try_into().ok()?)))
    });
    1 + below.map(|child| height(child, pages)).max().unwrap_or(0)
}

/// Where the page with this number lies, in a file whose first region it is in.
fn place(number: u64) -> u64 {
    let order = number >> 59;
    4096 + 4096 * REGION_HEADER + (number & 0xf_ffff) * (4096 << order)
}

/// The pages before those of a region.
const REGION_HEADER: u64 = 0;

fn u16_at(page: &[u8], at: usize) -> usize {
    page.get(at..at + 2).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

/// The first key of a page whose ends of keys lie from `ends` on; `None` if its keys have a fixed width.
fn first_key(page: &[u8], ends: usize) -> Option<&[u8]> {
    let count = u16_at(page, 2);
    let per = if page[0] == LEAF { 8 } else { 4 };
    let start = ends + per * count;
    let end = u32::from_le_bytes(page.get(ends..ends + 4)?.try_into().ok()?) as usize;
    (end > start).then(|| page.get(start..end)).flatten()
}

fn space(key: Option<&[u8]>) -> String {
    match key {
        Some([0x20, ..]) => "rows".to_owned(),
        Some([0x30, _, index, ..]) => format!("index {index}"),
        Some([0x50, ..]) => "outbox".to_owned(),
        Some([byte, rest @ ..]) if byte.is_ascii_alphabetic() && rest.iter().all(u8::is_ascii) => {
            "tables".to_owned()
        }
        _ => "others".to_owned(),
    }
}
