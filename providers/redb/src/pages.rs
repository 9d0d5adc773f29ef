//! The pages of a redb file, read without redb: which of them are as they were written, and what lies on them.
//!
//! redb verifies pages when it opens a file that was not closed, and when it is asked; then it repairs what it can or
//! refuses all of it. Here nothing is repaired. What is read is the format 3 of redb's files, and no more of it than
//! this takes: a header with two commit slots, and B-trees whose branches hold the checksums of their children.
//! [`Pages::open`] refuses any other format.
//!
//! No length is believed before it is checked, and no page is visited more often than there are pages.

use std::io;

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use crate::nodes::{Node, Widths, number};

const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const FORMAT: u8 = 3;
/// The part of the file that holds the header.
const HEADER: usize = SLOTS + 2 * SLOT;
/// Where in it the two commit slots are, and the flags: which slot counts, whether the file was not closed, and whether the
/// slot that counts is known to be durable, so that it is not verified.
const SLOTS: usize = 64;
const FLAGS: usize = MAGIC.len();
const UNCLEAN: u8 = 2;
const TRUSTED: u8 = 4;
const SLOT: usize = 128;
/// The type byte of a table that holds pairs.
const PAIRS: u8 = 3;
/// The most bytes that are read for a page whose number is not verified.
const UNVERIFIED: u64 = 1 << 20;
/// How many bytes are read at a time where all of a file is looked through.
const CHUNK: usize = 1 << 20;
/// No tree is this deep.
const DEEPEST: usize = 64;

/// Where a tree begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    page: u64,
    checksum: u128,
    /// How many pairs the tree has.
    pub(crate) length: u64,
}

/// A committed state, as its slot in the header describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    transaction: u64,
    user: Option<Root>,
    system: Option<Root>,
}

/// What a walk has come across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Pages that are as they were written.
    pub(crate) sound: u64,
    /// Pages that are not, or can't be read.
    pub(crate) damaged: u64,
    /// Those of them that the medium failed to give: they may be as they were written.
    pub(crate) unread: u64,
    /// Pairs that were shown.
    pub(crate) pairs: u64,
}

impl Walked {
    fn add(&mut self, other: Self) {
        self.sound += other.sound;
        self.damaged += other.damaged;
        self.unread += other.unread;
        self.pairs += other.pairs;
    }

    /// The same, if all of it was read: what was not may be as it was written.
    ///
    /// # Errors
    /// That the medium has failed.
    pub(crate) fn whole(self) -> io::Result<Self> {
        if self.unread > 0 { Err(io::Error::other("the medium can't be read")) } else { Ok(self) }
    }
}

/// Is shown each pair; the flag says whether its page is as it was written.
pub(crate) type See<'f> = &'f mut dyn FnMut(&[u8], &[u8], bool) -> larder_core::Result<()>;

/// What leads to a page, and what that says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lead {
    number: u64,
    checksum: u128,
    widths: Widths,
    /// How many levels lie below it, at most: none below a leaf.
    height: usize,
}

/// How the pages lie in a file. That stays as it is for as long as there is the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    page: u64,
    region_header: u64,
    region: u64,
}

/// A file, opened for reading alone.
pub(crate) struct Pages {
    medium: Box<dyn StorageBackend>,
    len: u64,
    pub(crate) layout: Layout,
    /// True if whoever wrote it last has closed it.
    pub(crate) is_closed: bool,
    /// The committed states that the file may be in: the one that counts first.
    pub(crate) slots: Vec<Slot>,
    /// The state that a database goes on from which is open over the file: the header says which. After a commit that
    /// failed, it may be the older one.
    pub(crate) current: Option<Slot>,
}

impl Pages {
    /// Reads the header. `None`: it can't be made out, or is of another format.
    ///
    /// # Errors
    /// Those of the medium, which is asked twice.
    pub(crate) fn open(medium: Box<dyn StorageBackend>) -> io::Result<Option<Self>> {
        let len = twice(|| medium.len())?;
        let mut header = [0; HEADER];
        if len < HEADER as u64 {
            return Ok(None);
        }
        twice(|| medium.read(0, &mut header))?;
        Ok(Self::of(medium, len, &header))
    }

    fn of(medium: Box<dyn StorageBackend>, len: u64, header: &[u8]) -> Option<Self> {
        let rest = header.strip_prefix(MAGIC)?;
        let flags = *rest.first()?;
        let page = u64::from(number(header, 12)?);
        let (region_header, region_pages) = (u64::from(number(header, 16)?), u64::from(number(header, 20)?));
        if page != 4096 || region_pages == 0 || region_pages > 1 << 20 || region_header > 1 << 20 {
            return None;
        }
        let primary = usize::from(flags & 1);
        let unclean = flags & UNCLEAN != 0;
        let slots = [primary, 1 - primary].map(|at| slot(header.get(SLOTS + at * SLOT..)?.get(..SLOT)?));
        let current = slots[0];
        // After a power cut the other slot may be the newer one, or the only one whose pages had been written.
        let mut slots: Vec<Slot> = match slots {
            [Some(first), Some(second)] if unclean => vec![first, second],
            [Some(first), _] => vec![first],
            [None, second] => second.into_iter().collect(),
        };
        if unclean {
            slots.sort_by_key(|slot| std::cmp::Reverse(slot.transaction));
        }
        (!slots.is_empty()).then_some(Self {
            medium,
            len,
            layout: Layout {
                page,
                region_header: region_header * page,
                region: (region_header + region_pages) * page,
            },
            is_closed: !unclean,
            slots,
            current,
        })
    }

    /// The state of which the fewest pages with rows and entries are damaged, the newest of them, and what a walk over all
    /// of it comes across. The damaged pages of a newer one that is passed over count too: what they held is gone.
    pub(crate) fn best(&self) -> Option<(Slot, Walked)> {
        let (mut best, mut passed_over): (Option<(Slot, Walked)>, _) = (None, Walked::default());
        for slot in &self.slots {
            let walked = self.verify_rows(slot);
            if best.is_none_or(|(_, other)| walked.damaged < other.damaged) {
                let (_, other) = best.unwrap_or((*slot, Walked::default()));
                passed_over.add(Walked { sound: 0, pairs: 0, ..other });
                best = Some((*slot, walked));
            }
            if walked.damaged == 0 {
                break;
            }
        }
        best.map(|(slot, mut walked)| {
            walked.add(self.verify_own(&slot));
            walked.add(passed_over);
            (slot, walked)
        })
    }

    /// Verifies every page of a state.
    pub(crate) fn verify(&self, slot: &Slot) -> Walked {
        let (mut all, own) = (self.verify_rows(slot), self.verify_own(slot));
        all.add(own);
        all
    }

    /// Verifies the pages of the tables. They stay as they are for as long as a read transaction of the state lives.
    pub(crate) fn verify_rows(&self, slot: &Slot) -> Walked {
        self.verify_tables(slot.user)
    }

    /// Verifies the pages of redb's own tables. They stay as they are until the next commit.
    pub(crate) fn verify_own(&self, slot: &Slot) -> Walked {
        self.verify_tables(slot.system)
    }

    fn verify_tables(&self, root: Option<Root>) -> Walked {
        let mut all = Walked::default();
        for (_, tree, widths) in root.iter().flat_map(|root| self.tables(root, &mut all)).collect::<Vec<_>>()
        {
            let seen = self.walk(&tree, widths, &[], None, &mut |_, _, _| Ok(()));
            all.add(seen.unwrap_or_default());
        }
        all
    }

    /// The tree of the table that is called `name`.
    pub(crate) fn table(&self, slot: &Slot, name: &str) -> Option<Root> {
        let tables = self.tables(&slot.user?, &mut Walked::default());
        let ours = |(other, _, widths): &(Vec<u8>, Root, Widths)| {
            other == name.as_bytes() && widths.key.is_none() && widths.value.is_none()
        };
        tables.into_iter().find(ours).map(|(_, tree, _)| tree)
    }

    /// The tables of a tree of tables, by name.
    fn tables(&self, root: &Root, walked: &mut Walked) -> Vec<(Vec<u8>, Root, Widths)> {
        let mut tables = Vec::new();
        let seen = self.walk(root, Widths::default(), &[], None, &mut |name, definition, _| {
            tables.extend(table(definition).map(|(tree, widths)| (name.to_vec(), tree, widths)));
            Ok(())
        });
        walked.add(Walked { pairs: 0, ..seen.unwrap_or_default() });
        tables
    }

    /// Shows the pairs from `low` on and below `high`, in order where the pages are sound.
    ///
    /// # Errors
    /// Whatever `see` says.
    pub(crate) fn pairs(
        &self,
        root: &Root,
        low: &[u8],
        high: &[u8],
        see: See<'_>,
    ) -> larder_core::Result<Walked> {
        self.walk(root, Widths::default(), low, Some(high), see)
    }

    fn walk(
        &self,
        root: &Root,
        widths: Widths,
        low: &[u8],
        high: Option<&[u8]>,
        see: See<'_>,
    ) -> larder_core::Result<Walked> {
        let mut walk = Walk {
            pages: self,
            widths,
            low,
            high,
            budget: self.len / self.layout.page + 1,
            walked: Walked::default(),
        };
        walk.visit(root.page, root.checksum, true, 0, see)?;
        Ok(walk.walked)
    }

    /// What leads to the trees of a state: to those of its tables, and to those that say which tables there are.
    pub(crate) fn leads(&self, slot: &Slot) -> Vec<Lead> {
        let mut trees = Vec::new();
        for root in [slot.user, slot.system].iter().flatten() {
            trees.push((*root, Widths::default()));
            let tables = self.tables(root, &mut Walked::default());
            trees.extend(tables.into_iter().map(|(_, tree, widths)| (tree, widths)));
        }
        let lead = |(root, widths): (Root, Widths)| {
            let lead = Lead { number: root.page, checksum: root.checksum, widths, height: DEEPEST };
            Lead { height: self.height(lead), ..lead }
        };
        trees.into_iter().map(lead).collect()
    }

    /// How deep the first leaf lies. Of a tree of which that can't be told, no level is known to be that of the leaves.
    fn height(&self, mut lead: Lead) -> usize {
        for depth in 0..DEEPEST {
            let Ok(Some(page)) = self.read(lead.number, true) else { break };
            match lead.node(&page) {
                Some(Node::Leaf(_)) => return depth,
                Some(Node::Branch(branch)) => {
                    let Some((number, checksum)) = branch.children().next() else { break };
                    lead = Lead { number, checksum, ..lead };
                }
                None => break,
            }
        }
        DEEPEST
    }

    /// What a branch leads to, if it is as it was written.
    pub(crate) fn below(&self, lead: &Lead) -> Option<Vec<Lead>> {
        let page = self.read(lead.number, true).ok().flatten()?;
        lead.below(&page)
    }

    /// Has redb verify all of the newest state when it opens the file, and none but that one, if it is the wanted one: the
    /// older one becomes the same, and the mark goes that says that the newest need not be looked at.
    ///
    /// # Errors
    /// Those of the medium.
    pub(crate) fn keep_newest(&self, is_wanted: impl FnOnce(&Slot) -> bool) -> io::Result<()> {
        let mut header = [0; HEADER];
        self.medium.read(0, &mut header)?;
        let at = |nth: usize| SLOTS + nth * SLOT..SLOTS + (nth + 1) * SLOT;
        let states = [0, 1].map(|nth| header.get(at(nth)).and_then(slot));
        let newest = match states {
            [Some(one), Some(other)] => usize::from(other.transaction > one.transaction),
            [one, _] => usize::from(one.is_none()),
        };
        if states[newest].is_some_and(|slot| is_wanted(&slot)) {
            header.copy_within(at(newest), at(1 - newest).start);
            header[FLAGS] = header[FLAGS] & !TRUSTED | UNCLEAN;
            self.medium.write(0, &header)?;
            self.medium.sync_data()?;
        }
        Ok(())
    }

    /// The bytes of a page; `None` if it lies outside of the file.
    ///
    /// # Errors
    /// Those of the medium, which is asked twice.
    fn read(&self, number: u64, verified: bool) -> io::Result<Option<Vec<u8>>> {
        let Some((start, size)) = self.place(number, verified) else { return Ok(None) };
        let mut bytes = vec![0; size];
        twice(|| self.medium.read(start, &mut bytes))?;
        Ok(Some(bytes))
    }

    /// Where a page lies, and how long it is; `None` if it lies outside of the file.
    fn place(&self, number: u64, verified: bool) -> Option<(u64, usize)> {
        let (start, size) = self.layout.place(number)?;
        if start.checked_add(size)? > self.len || (!verified && size > UNVERIFIED) {
            return None;
        }
        Some((start, usize::try_from(size).ok()?))
    }
}

impl Layout {
    fn place(&self, number: u64) -> Option<(u64, u64)> {
        let order = u32::try_from(number >> 59).ok()?;
        let size = self.page.checked_shl(order)?;
        let index = number & (0xf_ffff_u64 >> order.min(20));
        let region = (number >> 20) & 0xf_ffff;
        Some((self.page + region * self.region + self.region_header + index * size, size))
    }

    /// Where the page begins.
    pub(crate) fn start(&self, lead: &Lead) -> Option<u64> {
        self.place(lead.number).map(|(start, _)| start)
    }
}

impl Lead {
    pub(crate) fn is_to_leaf(&self) -> bool {
        self.height == 0
    }

    /// The same, with as many levels below it as there may be.
    pub(crate) fn to_any_depth(self) -> Self {
        Self { height: DEEPEST, ..self }
    }

    /// What lies on the page, if that is as it was written.
    fn node<'a>(&self, page: &'a [u8]) -> Option<Node<'a>> {
        let node = Node::of(page, self.widths)?;
        (XxHash3_128::oneshot(&page[..node.end()]) == self.checksum).then_some(node)
    }

    /// What the page leads to but leaves; `None` unless it is a branch, as it was written.
    pub(crate) fn below(&self, page: &[u8]) -> Option<Vec<Self>> {
        let Some(Node::Branch(branch)) = self.node(page) else { return None };
        let height = self.height.saturating_sub(1);
        if height == 0 {
            return Some(Vec::new());
        }
        let child = |(number, checksum)| Self { number, checksum, height, ..*self };
        Some(branch.children().map(child).collect())
    }
}

/// One walk over a tree.
struct Walk<'a> {
    pages: &'a Pages,
    widths: Widths,
    low: &'a [u8],
    high: Option<&'a [u8]>,
    /// How many pages may still be visited: damaged branches may lead in circles.
    budget: u64,
    walked: Walked,
}

impl Walk<'_> {
    fn visit(
        &mut self,
        number: u64,
        checksum: u128,
        above: bool,
        depth: usize,
        see: See<'_>,
    ) -> larder_core::Result<()> {
        if self.budget == 0 || depth > DEEPEST {
            return Ok(());
        }
        self.budget -= 1;
        let page = match self.pages.read(number, above) {
            Ok(Some(page)) => page,
            other => {
                self.walked.damaged += 1;
                self.walked.unread += u64::from(other.is_err());
                return Ok(());
            }
        };
        let node = Node::of(&page, self.widths);
        let own = node.as_ref().is_some_and(|node| XxHash3_128::oneshot(&page[..node.end()]) == checksum);
        if own {
            self.walked.sound += 1;
        } else {
            self.walked.damaged += 1;
        }
        let sound = own && above;
        match node {
            None => Ok(()),
            Some(Node::Leaf(leaf)) => {
                for (key, value) in leaf.pairs() {
                    if key >= self.low && self.high.is_none_or(|high| key < high) {
                        self.walked.pairs += 1;
                        see(key, value, sound)?;
                    }
                }
                Ok(())
            }
            Some(Node::Branch(branch)) => {
                for (at, (child, checksum)) in branch.children().enumerate() {
                    // A sound branch says what lies below it.
                    let before = |key: Option<&[u8]>| key.is_some_and(|key| key < self.low);
                    let beyond =
                        |key: Option<&[u8]>| key.zip(self.high).is_some_and(|(key, high)| key >= high);
                    if sound && (before(branch.key(at)) || (at > 0 && beyond(branch.key(at - 1)))) {
                        continue;
                    }
                    self.visit(child, checksum, sound, depth + 1, see)?;
                }
                Ok(())
            }
        }
    }
}

/// True for what is left of a database whose making was cut short: without the first mark, and without `name` anywhere.
///
/// # Errors
/// Those of the medium.
pub(crate) fn is_unfinished(medium: &dyn StorageBackend, name: &str) -> io::Result<bool> {
    let len = medium.len()?;
    let mut before: Vec<u8> = Vec::new();
    for at in (0..len).step_by(CHUNK) {
        let mut chunk = vec![0; usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK)];
        medium.read(at, &mut chunk)?;
        if at == 0 && chunk.iter().take(MAGIC.len()).any(|byte| *byte != 0) {
            return Ok(false);
        }
        // It may lie across the border of two chunks.
        before.extend_from_slice(&chunk);
        if before.windows(name.len()).any(|window| window == name.as_bytes()) {
            return Ok(false);
        }
        let tail = before.len().saturating_sub(name.len());
        before.drain(..tail);
    }
    Ok(true)
}

fn root(bytes: &[u8]) -> Option<Root> {
    let page = u64::from_le_bytes(*bytes.first_chunk()?);
    let checksum = u128::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    let length = u64::from_le_bytes(*bytes.get(24..)?.first_chunk()?);
    Some(Root { page, checksum, length })
}

/// A slot whose checksum fits.
fn slot(bytes: &[u8]) -> Option<Slot> {
    let (body, sum) = bytes.split_at_checked(SLOT - 16)?;
    let fits = XxHash3_128::oneshot(body) == u128::from_le_bytes(*sum.first_chunk()?);
    if !fits || *body.first()? != FORMAT {
        return None;
    }
    let there = |at: usize| body.get(at).is_some_and(|flag| *flag != 0);
    Some(Slot {
        transaction: u64::from_le_bytes(*body.get(8 + 3 * 32..)?.first_chunk()?),
        user: if there(1) { Some(root(body.get(8..)?)?) } else { None },
        system: if there(2) { Some(root(body.get(40..)?)?) } else { None },
    })
}

/// The tree of a table, and how its pairs lie; `None` if it is empty, or holds no pairs.
fn table(definition: &[u8]) -> Option<(Root, Widths)> {
    if *definition.first()? != PAIRS || *definition.get(9)? == 0 {
        return None;
    }
    let width = |at: usize| -> Option<Option<usize>> {
        let width = usize::try_from(number(definition, at + 1)?).ok()?;
        Some((*definition.get(at)? != 0).then_some(width))
    };
    Some((root(definition.get(10..)?)?, Widths { key: width(42)?, value: width(47)? }))
}

/// Asks a medium, and once more if it fails: a read that fails once says nothing of what is there, and whoever took it for
/// damage would write over it, or begin anew without need.
pub(crate) fn twice<T>(mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    ask().or_else(|_| ask())
}

#[cfg(test)]
mod tests;
