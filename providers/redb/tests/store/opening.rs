//! What opening does to the medium.

use larder_core::{Key, Query, ValueRef};

use crate::disk::Disk;
use crate::support::*;

/// Where two states of a medium differ.
fn differences(one: &[u8], other: &[u8]) -> Vec<usize> {
    assert_eq!(one.len(), other.len());
    (0..one.len()).filter(|at| one[*at] != other[*at]).collect()
}

// Rules: d-untouched
#[tokio::test]
async fn a_store_that_is_only_read_leaves_the_medium_as_it_was() {
    let disk = Disk::default();
    let store = open(&disk.config(), &[&PERSON]).await.unwrap();
    save(&*store, (1..200).map(|id| person(id, "Ada", "", 36))).await;
    drop(store);
    let (closed, _) = (disk.bytes(), disk.take_syncs());

    let store = open(&disk.config(), &[&PERSON]).await.unwrap();
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 199);
    assert!(store.load(&cx(), &PERSON, &Key::from(7)).await.unwrap().is_some());
    assert!(differences(&closed, &disk.bytes()).is_empty(), "nothing was written");
    assert!(disk.take_syncs().is_empty(), "nothing was waited for");

    save(&*store, [person(7, "Grace", "", 37)]).await;
    let syncs = disk.take_syncs();
    assert_eq!(differences(&closed, &syncs[0]), [9], "that it is open is durable before anything else");
    // A kill now leaves what has to be verified, and has the row.
    let left = open(&Disk::of(syncs.last().unwrap().clone()).config(), &[&PERSON]).await.unwrap();
    let row = left.load(&cx(), &PERSON, &Key::from(7)).await.unwrap().unwrap();
    assert!(matches!(row.row.unwrap().field(1), Ok(ValueRef::Str("Grace"))));
    drop(store);
    assert_ne!(disk.bytes()[9] & 2, 2, "it was closed");
}
