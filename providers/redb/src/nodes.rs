//! What lies on one page of a redb file: a leaf with pairs, or a branch with keys and children.
//!
//! No length is believed before it is checked.

const LEAF: u8 = 1;
pub(crate) const BRANCH: u8 = 2;

/// How the keys and values of a tree are told apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Widths {
    pub(crate) key: Option<usize>,
    pub(crate) value: Option<usize>,
}

/// A page that is made as one.
pub(crate) enum Node<'a> {
    Leaf(Leaf<'a>),
    Branch(Branch<'a>),
}

impl<'a> Node<'a> {
    pub(crate) fn of(page: &'a [u8], widths: Widths) -> Option<Self> {
        let [kind, _, low, high] = *page.first_chunk()?;
        let count = usize::from(u16::from_le_bytes([low, high]));
        match kind {
            LEAF => Leaf::of(page, count, widths).map(Node::Leaf),
            BRANCH => Branch::of(page, count, widths).map(Node::Branch),
            _ => None,
        }
    }

    /// Where what the checksum is of ends.
    pub(crate) fn end(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.end,
            Self::Branch(branch) => branch.end,
        }
    }
}

pub(crate) struct Leaf<'a> {
    page: &'a [u8],
    count: usize,
    widths: Widths,
    end: usize,
}

impl<'a> Leaf<'a> {
    fn of(page: &'a [u8], count: usize, widths: Widths) -> Option<Self> {
        let mut leaf = Self { page, count, widths, end: 0 };
        leaf.end = leaf.value_end(count.checked_sub(1)?)?;
        (leaf.end <= page.len()).then_some(leaf)
    }

    fn ends(&self) -> usize {
        usize::from(self.widths.key.is_none()) + usize::from(self.widths.value.is_none())
    }

    fn key_end(&self, nth: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => Some(4 + 4 * self.ends() * self.count + width * (nth + 1)),
            None => usize::try_from(number(self.page, 4 + 4 * nth)?).ok(),
        }
    }

    fn value_end(&self, nth: usize) -> Option<usize> {
        match self.widths.value {
            Some(width) => Some(self.key_end(self.count - 1)? + width * (nth + 1)),
            None => {
                let before = if self.widths.key.is_none() { self.count } else { 0 };
                usize::try_from(number(self.page, 4 + 4 * (before + nth))?).ok()
            }
        }
    }

    /// The pairs whose places make sense.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        (0..self.count).filter_map(|nth| {
            let key_start = match nth {
                0 => 4 + 4 * self.ends() * self.count,
                nth => self.key_end(nth - 1)?,
            };
            let value_start = match nth {
                0 => self.key_end(self.count - 1)?,
                nth => self.value_end(nth - 1)?,
            };
            let key = self.page.get(key_start..self.key_end(nth)?)?;
            let value = self.page.get(value_start..self.value_end(nth)?)?;
            Some((key, value))
        })
    }
}

pub(crate) struct Branch<'a> {
    page: &'a [u8],
    keys: usize,
    widths: Widths,
    end: usize,
}

impl<'a> Branch<'a> {
    fn of(page: &'a [u8], keys: usize, widths: Widths) -> Option<Self> {
        let mut branch = Self { page, keys, widths, end: 0 };
        branch.end = branch.key_end(keys.checked_sub(1)?)?;
        (branch.end <= page.len()).then_some(branch)
    }

    /// Where the checksums and the numbers of the children end.
    fn fixed(&self) -> usize {
        8 + 24 * (self.keys + 1)
    }

    fn key_end(&self, nth: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => Some(self.fixed() + width * (nth + 1)),
            None => usize::try_from(number(self.page, self.fixed() + 4 * nth)?).ok(),
        }
    }

    pub(crate) fn key(&self, nth: usize) -> Option<&'a [u8]> {
        let start = match nth {
            0 => self.fixed() + if self.widths.key.is_none() { 4 * self.keys } else { 0 },
            nth => self.key_end(nth - 1)?,
        };
        if nth >= self.keys {
            return None;
        }
        self.page.get(start..self.key_end(nth)?)
    }

    /// The children: number and checksum.
    pub(crate) fn children(&self) -> impl Iterator<Item = (u64, u128)> + '_ {
        (0..=self.keys).filter_map(|nth| {
            let checksum = self.page.get(8 + 16 * nth..)?.first_chunk()?;
            let number = self.page.get(8 + 16 * (self.keys + 1) + 8 * nth..)?.first_chunk()?;
            Some((u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
        })
    }
}

pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
