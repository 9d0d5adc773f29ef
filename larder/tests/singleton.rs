//! A resource of one row: an endpoint without an id, a key without fields.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use larder::{Key, Model, OutboxSettings, ReadPolicy, Redb, Repository, RowState, Select};
use rstest::rstest;
use support::{Net, Switches, settled};

#[derive(Model, Clone, Debug, PartialEq)]
#[model(singleton)]
struct Profile {
    name: String,
    dark: bool,
}

fn profile(name: &str, dark: bool) -> Profile {
    Profile { name: name.into(), dark }
}

// Rules: m-singleton
#[rstest]
#[case::memory(false)]
#[case::redb(true)]
#[tokio::test]
async fn there_is_one_row_whatever_is_written(#[case] durable: bool) {
    let net = Switches::new();
    let folder = tempfile::tempdir().unwrap();
    let builder = Repository::builder()
        .outbox(OutboxSettings::new().without_coalescing())
        .remote(Net(net.clone()))
        .model::<Profile>();
    let builder = if durable {
        builder.store(Redb::at(folder.path().join("one.redb")))
    } else {
        builder.store(larder::Memory::new())
    };
    let repo = builder.build().await.unwrap();
    net.offline(true);
    assert!(repo.reading(ReadPolicy::LocalOnly).find::<Profile>(Key::Singleton).await.unwrap().is_none());
    let first = repo.upsert(&profile("Ada", false)).await.unwrap().into_row();
    let _ = repo.upsert(&profile("Ada Lovelace", false)).await.unwrap();
    let _ = repo.update(&first, |profile| profile.dark = true).await.unwrap();
    let there = repo.find::<Profile>(Key::Singleton).await.unwrap().unwrap();
    assert_eq!(*there, profile("Ada Lovelace", true));
    assert_eq!(repo.get(Select::<Profile>::all()).await.unwrap().len(), 1);
    net.offline(false);
    settled(&repo).await;
    assert_eq!(repo.sync_state::<Profile>(Key::Singleton).await.unwrap().unwrap().state, RowState::Synced);
    assert_eq!(net.seen(), ["insert (singleton)", "update (singleton)", "update (singleton)"]);
    let _ = repo.delete(&*there).await.unwrap();
    settled(&repo).await;
    assert!(repo.reading(ReadPolicy::RemoteOnly).get(Select::<Profile>::all()).await.unwrap().is_empty());
}
