//! What a delete can be told.

use larder_core::{AsModel, Key, Model, Result, Select, Uuid, Where};

/// What is to be deleted: a key, several keys, a model, or all that answers a query.
pub trait Target<M> {
    /// The key or the query.
    ///
    /// # Errors
    /// `Serialization` if a model has no key.
    fn aim(self) -> Result<Aim<M>>;
}

/// Keys or a query.
#[derive(Debug)]
pub enum Aim<M> {
    /// One row.
    Key(Key),
    /// Several rows.
    Keys(Vec<Key>),
    /// All rows that answer.
    Select(Select<M>),
}

impl<A: AsModel> Target<A::Model> for &A {
    fn aim(self) -> Result<Aim<A::Model>> {
        self.as_model().key().map(Aim::Key)
    }
}

impl<M> Target<M> for Where<M> {
    fn aim(self) -> Result<Aim<M>> {
        Ok(Aim::Select(self.into()))
    }
}

impl<M> Target<M> for Select<M> {
    fn aim(self) -> Result<Aim<M>> {
        Ok(Aim::Select(self))
    }
}

impl<M: Model> Target<M> for Vec<Key> {
    fn aim(self) -> Result<Aim<M>> {
        Ok(Aim::Keys(self))
    }
}

impl<M: Model> Target<M> for &[Key] {
    fn aim(self) -> Result<Aim<M>> {
        Ok(Aim::Keys(self.to_vec()))
    }
}

macro_rules! keys {
    ($($key:ty),*) => {$(
        impl<M: Model> Target<M> for $key {
            fn aim(self) -> Result<Aim<M>> {
                Ok(Aim::Key(self.into()))
            }
        }
    )*};
}

keys!(Key, &str, String, Uuid, i32, i64, u32, u64);
