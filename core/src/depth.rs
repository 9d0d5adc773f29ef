//! How deep what is written down or read may nest: a text of some kilobytes must not overflow the stack.

use std::cell::Cell;

/// Conditions and the values in them, together. JSON refuses what is much deeper by itself; other formats do not.
const DEEPEST: usize = 100;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A level that is being read.
struct Level;

impl Level {
    fn enter() -> Option<Self> {
        let depth = DEPTH.get();
        (depth < DEEPEST).then(|| {
            DEPTH.set(depth + 1);
            Self
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// What stands one level deeper.
pub(crate) mod nested {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use super::Level;

    pub(crate) fn serialize<S: Serializer, T: Serialize>(value: &T, out: S) -> Result<S::Ok, S::Error> {
        let _level = Level::enter().ok_or_else(|| ser::Error::custom("it nests too deep"))?;
        value.serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        let _level = Level::enter().ok_or_else(|| de::Error::custom("it nests too deep"))?;
        T::deserialize(from)
    }
}
