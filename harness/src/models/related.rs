//! Models that hang together: in each way that an association can, with two associations to one model, and to itself.
//!
//! These are derived, so that the numbers of the associations are those that the derive gives.

use larder_core::{Many, Model as _, One, Schema};
use larder_derive::Model;

/// Somebody who has a boss, friends, and books that he wrote, edited and read.
#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
pub struct Person {
    /// The key.
    #[model(key, json(rename = "p_id"), row(rename = "k"))]
    pub id: i64,
    /// May be unknown.
    #[model(json(rename = "age"), row(rename = "f1"))]
    pub name: Option<String>,
    /// In JSON it has the model's name of another field.
    #[model(json(rename = "name"), row(rename = "f2"))]
    pub age: i32,
    /// The model itself.
    #[model(json(rename = "p_boss"), row(rename = "f3"))]
    pub boss: Option<One<Person>>,
    /// A list of keys.
    #[model(keys, json(rename = "p_friends"), row(rename = "f4"))]
    pub friends: Many<Person>,
    /// The other way round.
    #[model(children = "boss")]
    pub reports: Many<Person>,
    /// By one field of a book.
    #[model(children = "author")]
    pub written: Many<Book>,
    /// By another field of a book.
    #[model(children = "editor")]
    pub edited: Many<Book>,
    /// By a third model.
    #[model(through = "Loan", from = "reader", to = "book")]
    pub borrowed: Many<Book>,
}

/// A book has an author and may have an editor: two associations to one model.
#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
pub struct Book {
    /// The key.
    #[model(key, json(rename = "b_id"), row(rename = "k"))]
    pub id: String,
    /// In JSON it has the model's name of another field.
    #[model(json(rename = "author"), row(rename = "f1"))]
    pub title: String,
    /// There is one, unless the row is missing.
    #[model(json(rename = "editor"), row(rename = "f2"))]
    pub author: One<Person>,
    /// There may be one.
    #[model(json(rename = "title"), row(rename = "f3"))]
    pub editor: Option<One<Person>>,
    /// By a third model.
    #[model(through = "Loan", from = "book", to = "reader")]
    pub readers: Many<Person>,
}

/// Who has borrowed which book.
#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
pub struct Loan {
    /// The key.
    #[model(key, json(rename = "l_id"), row(rename = "k"))]
    pub id: i64,
    /// Who.
    #[model(json(rename = "book"), row(rename = "f1"))]
    pub reader: One<Person>,
    /// What.
    #[model(json(rename = "reader"), row(rename = "f2"))]
    pub book: One<Book>,
}

/// The three.
#[must_use]
pub fn related() -> [&'static Schema; 3] {
    [Person::schema(), Book::schema(), Loan::schema()]
}
