//! A provider from outside, at work: `cargo run --example custom-provider`.
//!
//! `plain/` is what somebody else would publish: a JSON file that stands as the remote, with a dialect of its own. This
//! program writes through a repository, looks into the file, edits it by hand and reads again. That the provider answers
//! like every other is tested in `tests/custom_provider.rs`.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

mod plain;

use larder::core::Serdes as _;
use larder::{Memory, Model, ReadPolicy, Repository, Select};
use plain::{Plain, PlainFile};

/// In the file, `pages` is called `length`, and what is `lent` is nobody else's business.
#[derive(Model, Clone, Debug, PartialEq)]
struct Book {
    #[model(key)]
    title: String,
    #[model(dialect(name = "plain", rename = "length", alias = "pages"))]
    pages: u32,
    #[model(default, dialect(name = "plain", skip))]
    lent: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shelf.json");
    let open = || {
        let remote = PlainFile::at(&path);
        Repository::builder().store(Memory::new()).remote(remote).model::<Book>().build()
    };

    let repo = open().await?;
    let book = Book { title: "Middlemarch".into(), pages: 880, lent: Some("Ada".into()) };
    let accepted = repo.upsert(&book).await?.accepted().await?;
    println!("accepted: {accepted:?}\nin the dialect `{}`:", Plain.dialect());
    let text = std::fs::read_to_string(&path)?;
    println!("{text}");
    assert!(text.contains(r#""length": 880"#) && !text.contains("Ada"));
    repo.close().await;

    println!("somebody edits the file by hand, and uses a former name");
    std::fs::write(&path, text.replace(r#""length": 880"#, r#""pages": 912"#))?;

    let repo = open().await?;
    let books = repo.get(Book::PAGES.gt(900).order_by(Book::TITLE.asc())).await?;
    println!("more than 900 pages: {:?}", books.iter().map(|book| &book.title).collect::<Vec<_>>());
    assert_eq!(books[0].pages, 912);
    assert_eq!(repo.reading(ReadPolicy::LocalOnly).count(Select::<Book>::all()).await?, 1);
    repo.close().await;
    Ok(())
}
