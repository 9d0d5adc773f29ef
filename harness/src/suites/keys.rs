//! Every kind of key: written, found, listed in order, deleted.

use jiff::Timestamp;
use larder_core::{Key, Operation, Predicate, Query, Schema};
use uuid::Uuid;

use crate::models::{BLOB, MOMENT, NAMED, NUMBERED, PROFILE, SEAT, TAGGED, keyed};
use crate::plain::plain;
use crate::trial::{Trial, Verdict};

/// Keys in their order; written in another.
async fn check(trial: &Trial, schema: &'static Schema, keys: &[Key]) -> Verdict {
    trial.put(schema, keys.iter().rev().map(|key| keyed(schema, key, "old"))).await;
    assert_eq!(trial.keys(schema, &Query::all()).await, keys);
    for key in keys {
        let found = trial.find(schema, key).await.unwrap_or_else(|| panic!("{key:?} is not found"));
        assert_eq!(plain(schema, &*found.row), plain(schema, &keyed(schema, key, "old")), "{key:?}");
    }
    let (first, last) = (keys[0].clone(), keys[keys.len() - 1].clone());
    let some = Predicate::Keys(vec![last.clone(), first.clone(), first.clone()]);
    let expected = if first == last { vec![first.clone()] } else { vec![first.clone(), last] };
    assert_eq!(trial.keys(schema, &Query::filter(some.clone())).await, expected);
    let others = Query::filter(Predicate::Not(Box::new(some)));
    assert_eq!(trial.keys(schema, &others).await.len(), keys.len() - expected.len());
    assert!(trial.keys(schema, &Query::filter(Predicate::Keys(Vec::new()))).await.is_empty());
    delete_and_change(trial, schema, keys).await
}

async fn delete_and_change(trial: &Trial, schema: &'static Schema, keys: &[Key]) -> Verdict {
    let capabilities = trial.capabilities();
    for key in keys {
        let changed = keyed(schema, key, "new");
        if capabilities.update {
            trial
                .apply(Operation::Update, schema, &changed)
                .await
                .unwrap_or_else(|error| panic!("{key:?}: {error}"));
            let found = trial.find(schema, key).await.unwrap_or_else(|| panic!("{key:?} is not found"));
            assert_eq!(plain(schema, &*found.row), plain(schema, &changed), "{key:?}");
        }
        if capabilities.delete {
            trial
                .apply(Operation::Delete, schema, &changed)
                .await
                .unwrap_or_else(|error| panic!("{key:?}: {error}"));
            assert!(trial.find(schema, key).await.is_none(), "{key:?} is deleted");
        }
    }
    let left = if capabilities.delete { 0 } else { keys.len() };
    assert_eq!(trial.keys(schema, &Query::all()).await.len(), left);
    Verdict::Passed
}

pub(super) async fn text(trial: Trial) -> Verdict {
    check(&trial, &NAMED, &["10", "9", "Zoe", "a", "a b", "ab", "b"].map(Key::from)).await
}

/// Keys that would leave their place in a path, a query or a file if they were not encoded.
pub(super) async fn hostile_text(trial: Trial) -> Verdict {
    let keys = [
        "\0",
        "\r\nx: y",
        "%2e%2e%2f",
        "../x",
        "/",
        "?a=b",
        "\\",
        "a#b",
        "a&b=c",
        "a/../b",
        "a/b",
        "a;b",
        "{key}",
        "\u{e9}",
        "\u{1f600}",
    ];
    check(&trial, &NAMED, &keys.map(Key::from)).await
}

pub(super) async fn empty_text(trial: Trial) -> Verdict {
    check(&trial, &NAMED, &["", "a"].map(Key::from)).await
}

pub(super) async fn dots(trial: Trial) -> Verdict {
    check(&trial, &NAMED, &[".", "..", "..."].map(Key::from)).await
}

pub(super) async fn numbers(trial: Trial) -> Verdict {
    let keys = [-300, -10, -9, 0, 2, 10, 255, 256, 1 << 40];
    check(&trial, &NUMBERED, &keys.map(|n: i64| Key::from(n))).await
}

pub(super) async fn wide_numbers(trial: Trial) -> Verdict {
    let keys = [i128::MIN, i128::from(i64::MIN) - 1, i128::from(u64::MAX), i128::MAX];
    check(&trial, &NUMBERED, &keys.map(Key::from)).await
}

pub(super) async fn uuids(trial: Trial) -> Verdict {
    let keys = [0, 1, 0x0191_0000_0000_7000_8000_0000_0000_0000, u128::MAX];
    check(&trial, &TAGGED, &keys.map(|n| Key::from(Uuid::from_u128(n)))).await
}

pub(super) async fn composites(trial: Trial) -> Verdict {
    let keys = [("A", 2), ("A", 10), ("A/1", 1), ("AB", -1), ("B", 0)];
    check(&trial, &SEAT, &keys.map(|(line, place)| Key::Composite([line.into(), place.into()].into()))).await
}

pub(super) async fn bytes(trial: Trial) -> Verdict {
    let keys: [&[u8]; 5] = [&[0], &[0, 0], &[0, 1], &[1], &[255, 0]];
    check(&trial, &BLOB, &keys.map(|bytes| Key::Bytes(bytes.into()))).await
}

pub(super) async fn moments(trial: Trial) -> Verdict {
    let keys = [Timestamp::from_nanosecond(-1), Timestamp::from_second(0), Timestamp::from_nanosecond(1)];
    check(&trial, &MOMENT, &keys.map(|at| Key::Int(at.unwrap_or_default().as_nanosecond()))).await
}

pub(super) async fn singleton(trial: Trial) -> Verdict {
    check(&trial, &PROFILE, &[Key::Singleton]).await
}
