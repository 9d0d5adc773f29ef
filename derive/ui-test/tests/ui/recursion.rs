//! A value that contains itself has no finite shape.

use larder_derive::{Datum, Model};

#[derive(Datum)]
struct Tree {
    leaf: u8,
    children: Vec<Tree>,
}

#[derive(Datum)]
enum Expression {
    Number(u8),
    Sum(Box<Self>, Box<Expression>),
}

#[derive(Datum)]
struct Wrapper(Box<Wrapper>);

#[derive(Model)]
struct Folder {
    #[model(key)]
    id: u32,
    parent: Option<Box<Folder>>,
}

fn main() {}

// Rules: m-unsupported
