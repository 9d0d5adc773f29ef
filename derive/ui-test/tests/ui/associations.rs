//! Associations that lead nowhere.

use larder::{Many, One, Select};
use larder_derive::Model;

#[derive(Model)]
struct User {
    #[model(key)]
    id: u32,
    age: u8,
}

#[derive(Model)]
struct Order {
    #[model(key)]
    id: u32,
    customer: One<User>,
    #[model(on_delete = "set_null")]
    seller: One<User>,
    #[model(on_delete = "casacde")]
    buyer: Option<One<User>>,
    #[model(children = "order")]
    courier: Option<One<User>>,
    tags: Many<User>,
    #[model(keys, children = "order")]
    both: Many<User>,
    #[model(through = "Link")]
    half: Many<User>,
    #[model(keys, orphans = "delete")]
    orphans: Many<User>,
    #[model(on_delete = "cascade")]
    note: String,
    #[model(children = "order", index)]
    indexed: Many<User>,
}

/// What is named is not there, or is no reference to this model.
mod by_type {
    use super::*;

    #[derive(Model)]
    struct Parent {
        #[model(key)]
        id: u32,
        #[model(children = "parnt")]
        unknown: Many<Child>,
        #[model(children = "id")]
        no_reference: Many<Child>,
        #[model(children = "other")]
        to_another: Many<Child>,
        #[model(through = "Child", from = "parent", to = "parent")]
        wrong_end: Many<User>,
    }

    #[derive(Model)]
    struct Child {
        #[model(key)]
        id: u32,
        parent: One<Parent>,
        other: Option<One<User>>,
    }
}

/// A model with several key fields can't be referred to.
mod composite {
    use super::*;

    #[derive(Model)]
    struct Line {
        #[model(key)]
        order: u32,
        #[model(key)]
        number: u32,
    }

    #[derive(Model)]
    struct Remark {
        #[model(key)]
        id: u32,
        line: One<Line>,
    }
}

/// Queries that ask the wrong model.
mod queries {
    use super::*;

    #[derive(Model)]
    struct Note {
        #[model(key)]
        id: u32,
        text: String,
        author: Option<One<User>>,
        #[model(keys)]
        readers: Many<User>,
    }

    fn ask() {
        let _ = Note::AUTHOR.any(Note::TEXT.eq("x"));
        let _ = Note::TEXT.any(User::AGE.eq(1));
        let _ = Note::AUTHOR.is("x");
        let _ = Note::AUTHOR.by(Note::TEXT);
        let _ = Note::READERS.by(User::AGE);
        let _ = Select::<User>::all().with(Note::AUTHOR);
        let _ = Select::<Note>::all().with(Note::TEXT);
        let _ = Select::<Note>::all().with(Note::AUTHOR.with(Note::READERS));
    }
}

fn main() {}
