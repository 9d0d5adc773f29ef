//! Keys of new rows.

use larder_core::{
    Datum, Error, ErrorKind, Field, IntKind, Key, KeyKind, Kind, Model, Result, RuntimeExt, Schema, Value,
};

use super::Repository;

/// How often a temporary key is drawn anew because a row has it.
const ATTEMPTS: usize = 100;

impl Repository {
    /// Makes the key of a new row of a model whose keys are made here, or given by the server.
    ///
    /// - `key(client)`: a UUIDv7.
    /// - `key(server)`: a temporary key that no row here has. It is never sent; when the server has taken the row, the
    ///   row and what is queued for it get the key that the server gave, and [`accepted`](crate::Stored::accepted) gives
    ///   the row with it. A temporary number is negative (of an unsigned type: in the upper half of its range), a
    ///   temporary text begins with `new-`, a temporary UUID is a UUIDv7.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// #[derive(Model, Debug)]
    /// struct Ticket {
    ///     #[model(key(server))]
    ///     number: i64,
    ///     title: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Ticket>().build().await?;
    /// let number = repo.new_key(Ticket::NUMBER).await?;
    /// let stored = repo.upsert(&Ticket { number, title: "leaks".into() }).await?;
    /// assert!(stored.number < 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the model is not registered, if `field` is not its key, or if its keys come with the data;
    /// `Storage` or `Corrupt`.
    pub async fn new_key<M: Model, T: Datum>(&self, field: Field<M, T>) -> Result<T> {
        let schema = self.schema::<M>()?;
        let at = usize::from(field.position());
        let invalid =
            |what: &str| Error::new(ErrorKind::Invalid, what).during("make a key").model(schema.model);
        if schema.key.fields != [at] {
            return Err(invalid("the field is not the key of the model"));
        }
        let take = |value: &Value| T::take(value.show()).map_err(|fault| schema.fault(at, fault));
        match schema.key.kind {
            KeyKind::Client => take(&Value::Uuid(self.shared.runtime.uuid())),
            KeyKind::Server => take(&self.temporary(schema, &schema.fields[at].kind).await?),
            _ => Err(invalid("the keys of the model come with its data")),
        }
    }

    async fn temporary(&self, schema: &'static Schema, kind: &Kind) -> Result<Value> {
        for _ in 0..ATTEMPTS {
            let value = match kind.inner() {
                Kind::Int(of) => number(*of, self.shared.runtime.random()),
                Kind::Str => Value::Str(format!("new-{}", self.shared.runtime.uuid()).into()),
                _ => Value::Uuid(self.shared.runtime.uuid()),
            };
            let key = larder_core::Key::take(value.show()).map_err(|fault| schema.fault(0, fault))?;
            if self.shared.store.load(&self.cx(), schema, &key).await?.is_none() {
                return Ok(value);
            }
        }
        let what = "all temporary keys that were drawn are taken: send what is queued first";
        Err(Error::new(ErrorKind::Full, what).during("make a key").model(schema.model))
    }
}

/// A negative number, or one in the upper half of an unsigned type.
fn number(of: IntKind, random: u64) -> Value {
    let (half, whole) = (i128::from(random >> 33), i128::from(random >> 1));
    Value::Int(match of {
        IntKind::I32 => -1 - half,
        IntKind::U32 => (1 << 31) + half,
        IntKind::U64 => (1 << 63) + whole,
        IntKind::U128 => (1 << 126) + whole,
        _ => -1 - whole,
    })
}

/// True if the key has the form of those that [`Repository::new_key`] makes and no server gives. A UUID does not tell.
pub(crate) fn looks_temporary(schema: &'static Schema, key: &Key) -> bool {
    let [at] = schema.key.fields else { return false };
    let kind = schema.fields.get(*at).map(|field| field.kind.inner());
    match (key, kind) {
        (Key::Int(number), Some(Kind::Int(of))) => {
            let (least, greatest) = of.range();
            if least < 0 { *number < 0 } else { *number > greatest / 2 }
        }
        (Key::Str(text), _) => text.starts_with("new-"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_numbers_are_in_their_half() {
        for random in [0, u64::MAX, 1 << 63, 12_345_678_901_234_567_890] {
            for of in [IntKind::I32, IntKind::I64, IntKind::I128, IntKind::U32, IntKind::U64, IntKind::U128] {
                let Value::Int(number) = number(of, random) else { panic!("a number") };
                let (least, greatest) = of.range();
                assert!((least..=greatest).contains(&number), "{of:?} {number}");
                assert!(if least < 0 { number < 0 } else { number > greatest / 2 }, "{of:?} {number}");
            }
        }
    }
}
