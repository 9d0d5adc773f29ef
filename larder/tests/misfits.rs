//! Rows from elsewhere that look right and that no model can be made of.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;

use larder::core::{Context, Convert, Fault, Kind, Mutation, Record, Value, ValueRef};
use larder::{
    Datum, ErrorKind, Key, Model, MutationId, Operation, ReadPolicy, Repository, Select, Uuid, WritePolicy,
};
use rstest::rstest;
use support::{Switches, Turn, builder, parked};

#[derive(Model, Clone, Debug, PartialEq)]
struct Photo {
    #[model(key)]
    id: u32,
    hash: [u8; 4],
    corners: [i32; 2],
    #[model(with = "Even")]
    number: i64,
}

struct Even;

impl Convert<i64> for Even {
    const KIND: Kind = <i64 as Datum>::KIND;

    fn show(value: &i64) -> ValueRef<'_> {
        Datum::show(value)
    }

    fn take(value: ValueRef<'_>) -> Result<i64, Fault> {
        <i64 as Datum>::take(value)
            .and_then(|number| if number % 2 == 0 { Ok(number) } else { Err(Fault::Refused) })
    }
}

fn record(hash: &[u8], corners: &[i32], number: i64) -> Record {
    let corners = corners.iter().map(|at| Value::Int((*at).into())).collect();
    let hash = Value::Bytes(hash.into());
    Record::new([Value::Int(1), hash, Value::List(corners), Value::Int(number.into())].map(Some))
}

/// Somebody else's write, the `nth`.
async fn put(net: &Switches, nth: u128, row: Record) {
    let mutation = Mutation {
        id: MutationId(Uuid::from_u128(nth)),
        schema: Photo::schema(),
        key: Key::from(1),
        operation: Operation::Upsert,
        row: Some(Arc::new(row)),
        changed: None,
        base_version: None,
        extra: None,
        repeated: false,
        nested: Vec::new(),
    };
    net.server().apply(&Context::new(), &mutation).await.unwrap();
}

async fn repo(net: &Arc<Switches>) -> Repository {
    builder(net).model::<Photo>().build().await.unwrap()
}

// Rules: m-arrays, m-convert
#[rstest]
#[case::bytes(record(&[1, 2, 3], &[1, 2], 0), "hash", "expected 4 elements, found 3")]
#[case::list(record(&[1, 2, 3, 4], &[1, 2, 3], 0), "corners", "expected 2 elements, found 3")]
#[case::converter(record(&[1, 2, 3, 4], &[1, 2], 1), "number", "refused by its converter")]
#[tokio::test]
async fn what_no_model_can_be_made_of_is_told_and_not_stored(
    #[case] row: Record,
    #[case] path: &str,
    #[case] message: &str,
) {
    let net = Switches::new();
    let repo = repo(&net).await;
    put(&net, 1, row).await;
    let error = repo.get(Select::<Photo>::all()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.path(), error.message()),
        (ErrorKind::Serialization, Some(path), message)
    );
    assert_eq!((error.model_name(), error.row_key()), (Some("Photo"), Some("1")));
    let local = repo.reading(ReadPolicy::LocalOnly);
    assert!(local.get(Select::<Photo>::all()).await.unwrap().is_empty(), "nobody could read it");
    put(&net, 2, record(&[1, 2, 3, 4], &[1, 2], 2)).await;
    assert_eq!(repo.get(Select::<Photo>::all()).await.unwrap()[0].hash, [1, 2, 3, 4]);
}

// Rules: m-arrays
#[tokio::test]
async fn a_local_write_is_made_of_a_model_and_fits() {
    let net = Switches::new();
    let repo = repo(&net).await.writing(WritePolicy::RequireRemote);
    let photo = Photo { id: 1, hash: [1; 4], corners: [0; 2], number: 4 };
    assert_eq!(*repo.upsert(&photo).await.unwrap().into_row(), photo);
}

// Rules: m-arrays, c-kept
#[tokio::test]
async fn a_row_that_no_model_can_be_made_of_resolves_no_conflict() {
    let net = Switches::new();
    let repo = repo(&net).await;
    put(&net, 1, record(&[1, 2, 3, 4], &[1, 2], 2)).await;
    let photo = repo.get(Select::<Photo>::all()).await.unwrap()[0].clone();
    repo.outbox().pause();
    drop(repo.update(&photo, |photo| photo.number = 4).await.unwrap());
    put(&net, 2, record(&[1, 2, 3], &[1, 2], 2)).await;
    net.next(Turn::Say(ErrorKind::Conflict, 412));
    repo.outbox().resume();
    assert_eq!(parked(&repo, 1).await[0].parked, Some(larder::ParkReason::Conflict));
    let conflicts = repo.conflicts::<Photo>().list().await.unwrap();
    assert!(!conflicts[0].asked, "what is known of the remote is what it was made from");
    assert_eq!(conflicts[0].sides.theirs.as_ref().map(|photo| photo.number), Some(2));
    assert_eq!(conflicts[0].failure.as_ref().unwrap().status, Some(412));
}
