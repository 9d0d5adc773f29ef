//! `cargo xtask test`: every check and every test, with visible progress, and the matrix at the end.

mod cases;
mod command;
mod follow;

pub(crate) use command::{Options, run};
