//! The model that every workload uses: twelve fields, three indexes, about 200 bytes as a record.

use larder::{Datum, Model, Timestamp, Uuid};

/// How many cities there are: an indexed query for one finds a row in so many.
pub const CITIES: u64 = 200;

/// Ages are 0 to 99.
pub const AGES: u64 = 100;

/// How many rows a transaction takes where a file is filled before anything is measured: as many as a page of a pull.
pub const PAGE: usize = 1000;

/// Somebody.
#[derive(Clone, Debug, Model, PartialEq)]
pub struct User {
    /// The key: a UUIDv7, so rows that were made later lie behind those that were made before.
    #[model(key)]
    pub id: Uuid,
    /// A name.
    pub name: String,
    /// An address that nobody else has.
    #[model(unique)]
    pub email: String,
    /// One of [`CITIES`].
    #[model(index)]
    pub city: String,
    /// Not indexed.
    pub age: u32,
    /// A truth value.
    pub active: bool,
    /// Every other user has one.
    pub nickname: Option<String>,
    /// A nested struct.
    pub address: Address,
    /// A list.
    pub tags: Vec<String>,
    /// A float.
    pub score: f64,
    /// A moment.
    pub created: Timestamp,
    /// Another moment.
    #[model(index)]
    pub seen: Timestamp,
}

/// Where somebody lives.
#[derive(Clone, Debug, Datum, PartialEq)]
pub struct Address {
    /// The street, with a number.
    pub street: String,
    /// The postal code.
    pub zip: u32,
    /// The country.
    pub country: String,
}

impl User {
    /// The user with the number `n`: always the same one.
    #[must_use]
    pub fn nth(n: u64) -> Self {
        let noise = mix(n);
        let created = Timestamp::UNIX_EPOCH + std::time::Duration::from_millis(MILLIS + n);
        Self {
            id: id(n),
            name: format!("Ada Lovelace the {n}th"),
            email: format!("user-{n}@example.org"),
            city: city(noise % CITIES),
            age: ((noise >> 8) % AGES) as u32,
            active: noise & 1 == 0,
            nickname: (noise & 2 == 0).then(|| format!("ada{}", noise % 1000)),
            address: Address {
                street: format!("{} St James's Square", noise % 300),
                zip: (noise >> 16) as u32 % 100_000,
                country: "United Kingdom".to_owned(),
            },
            tags: vec!["mathematics".to_owned(), "engines".to_owned(), format!("tag-{}", noise % 40)],
            score: (noise >> 11) as f64 / 1e12,
            created,
            seen: created + std::time::Duration::from_secs(noise % 1_000_000),
        }
    }

    /// The same user after an edit: two plain fields and an indexed one differ.
    #[must_use]
    pub fn edited(&self, edit: u64) -> Self {
        let noise = mix(edit ^ 0x5eed);
        Self {
            age: (noise % AGES) as u32,
            city: city((noise >> 8) % CITIES),
            score: self.score + 1.0,
            ..self.clone()
        }
    }
}

/// The first user was made in November 2026.
const MILLIS: u64 = 1_795_000_000_000;

/// The key of the user with the number `n`.
#[must_use]
pub fn id(n: u64) -> Uuid {
    let (version, variant) = (7 << 76, 2 << 62);
    let (high, low) = (u128::from(mix(n) & 0xfff), u128::from(mix(!n) >> 2));
    Uuid::from_u128((u128::from(MILLIS + n) << 80) | version | (high << 64) | variant | low)
}

/// The name of a city.
#[must_use]
pub fn city(n: u64) -> String {
    format!("Newtown {n:03}")
}

/// Numbers that look random and are the same in every run (`SplitMix64`).
#[must_use]
pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The numbers below `count`, in an order that looks random.
#[must_use]
pub fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).collect();
    numbers.sort_by_key(|n| mix(*n));
    numbers
}
