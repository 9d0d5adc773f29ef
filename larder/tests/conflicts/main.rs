//! Rows that are changed here and at the remote.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "../support/mod.rs"]
mod support;

mod asking;
mod histories;
mod rebase;
mod strategies;
mod table;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use larder::{ReadPolicy, Repository};
use support::{Note, Switches, builder, note};

/// A repository that has the row `1` as the remote has it: "base", one star, no tag.
async fn with_row(
    net: &Arc<Switches>,
    configure: impl FnOnce(larder::Builder) -> larder::Builder,
) -> Repository {
    let repo = configure(builder(net)).build().await.unwrap();
    net.elsewhere(note("1", "base", 1)).await;
    repo.sync().await.unwrap();
    repo
}

async fn plain(net: &Arc<Switches>) -> Repository {
    with_row(net, |builder| builder).await
}

/// The row here.
async fn here(repo: &Repository) -> Option<Note> {
    repo.reading(ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap().map(|note| Note::clone(&note))
}

/// The row there.
async fn there(net: &Switches) -> Option<Note> {
    use larder::Model;
    use larder::core::{Context, Query};
    let page = net.server().get(&Context::new(), Note::schema(), &Query::key("1".into())).await.unwrap();
    page.rows.first().map(|row| Note::from_row(&*row.row).unwrap())
}

/// Pulls and sends nothing.
async fn pull(repo: &Repository) {
    repo.outbox().pause();
    repo.sync().await.unwrap();
}

fn tagged(text: &str, stars: i64, tag: &str) -> Note {
    Note { tag: Some(tag.into()), ..note("1", text, stars) }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it comes to an end")
}
