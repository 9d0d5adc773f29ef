//! Types with parameters.

use larder_derive::{Datum, Model};

#[derive(Model)]
struct Envelope<T> {
    #[model(key)]
    id: u32,
    content: T,
}

#[derive(Model)]
struct Borrowed<'a> {
    #[model(key)]
    id: &'a str,
}

#[derive(Model)]
struct Sized<const N: usize> {
    #[model(key)]
    id: u32,
}

#[derive(Datum)]
struct Pair<A, B> {
    a: A,
    b: B,
}

#[derive(Datum)]
enum Either<A> {
    Left(A),
    Right,
}

fn main() {}

// Rules: m-unsupported
