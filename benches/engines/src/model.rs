//! The models: one struct, with no, two and eight indexes.

use larder::{Model, Timestamp, Uuid};
use larder_benches::model::{self, Address};

/// The fields of a user; the indexes are the model's own.
macro_rules! user {
    ($(#[$meta:meta])* $name:ident) => {
        #[derive(Clone, Debug, Model, PartialEq)]
        $(#[$meta])*
        pub struct $name {
            /// The key: a UUIDv7, so rows that were made later lie behind those that were made before.
            #[model(key)]
            pub id: Uuid,
            /// A name.
            pub name: String,
            /// An address that nobody else has.
            pub email: String,
            /// One of [`CITIES`](model::CITIES).
            pub city: String,
            /// Below [`AGES`](model::AGES).
            pub age: u32,
            /// A truth value.
            pub active: bool,
            /// Every other user has one.
            pub nickname: Option<String>,
            /// A nested struct.
            pub address: Address,
            /// A list.
            pub tags: Vec<String>,
            /// From 0 to [`SCORES`].
            pub score: f64,
            /// A moment.
            pub created: Timestamp,
            /// Another moment.
            pub seen: Timestamp,
        }

        impl From<model::User> for $name {
            fn from(user: model::User) -> Self {
                let model::User {
                    id, name, email, city, age, active, nickname, address, tags, score, created, seen,
                } = user;
                Self { id, name, email, city, age, active, nickname, address, tags, score, created, seen }
            }
        }

        impl $name {
            /// The user with the number `n`: always the same one.
            #[must_use]
            pub fn nth(n: u64) -> Self {
                model::User::nth(n).into()
            }
        }
    };
}

user! {
    /// Somebody, without an index.
    Bare
}

user! {
    /// Somebody, with two indexes; the one that is read.
    #[model(index(city), index(score))]
    User
}

user! {
    /// Somebody, with eight indexes.
    #[model(index(city), index(score), index(email), index(name), index(age), index(created), index(seen),
        index(nickname))]
    Full
}

/// Scores are below this.
pub const SCORES: f64 = 9007.2;

/// How many indexes each model has.
pub const INDEXES: [usize; 3] = [0, 2, 8];
