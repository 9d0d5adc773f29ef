//! A shopping list that a household shares, on two devices: `cargo run --example shopping`.
//!
//! `list.rs` is the application's data layer. Here it is seen at work in a scene of a minute; `tests/shopping.rs` lets the
//! simulator play thousands of such scenes, with a bad network and phones that die, and looks whether anything is lost.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

mod list;

use std::sync::Arc;

use larder::core::{OpenProvider, Opening, Provider};
use larder::{Memory, Model, Redb, Result, TokioRuntime};
use list::{Item, List, repository};

/// A server in memory, for both devices.
async fn server() -> Result<Arc<dyn Provider>> {
    let opening =
        Opening { runtime: Arc::new(TokioRuntime::current()?), schemas: Arc::new([Item::schema()]) };
    OpenProvider::open(Box::new(Memory::new()), &opening).await
}

async fn tell(who: &str, list: &List) -> Result<()> {
    let missing = list.missing().await?;
    let items: Vec<_> = missing.iter().map(|item| format!("{} × {}", item.amount, item.name)).collect();
    println!("{who} needs {}", if items.is_empty() { "nothing".to_owned() } else { items.join(", ") });
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = server().await?;
    let open = || repository().store(Redb::in_memory()).remote(Arc::clone(&server)).build();
    let (at_home, at_the_shop) = (open().await?, open().await?);
    let (ada, bob) = (List::new(&at_home), List::new(&at_the_shop));

    at_home.outbox().pause();
    ada.needs("milk", 2).await?;
    ada.needs("tea", 1).await?;
    tell("Ada, who has no network,", &ada).await?;
    tell("Bob, who has not heard of it,", &bob).await?;

    at_home.outbox().resume();
    ada.syncs().await?;
    bob.syncs().await?;
    tell("Bob, once both are connected,", &bob).await?;

    assert!(bob.buys("milk").await?);
    bob.tidies().await?;
    bob.syncs().await?;
    ada.syncs().await?;
    tell("Ada, once he has been to the shop,", &ada).await?;
    assert_eq!(ada.missing().await?.len(), 1);
    at_home.close().await;
    at_the_shop.close().await;
    Ok(())
}
