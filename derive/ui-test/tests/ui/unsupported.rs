//! Types that can't be stored, each with what to do about it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use larder_derive::{Datum, Model};

#[derive(Model)]
struct Fields {
    #[model(key)]
    id: u32,
    pair: (u8, String),
    nothing: (),
    borrowed: &'static str,
    slice: &'static [u8],
    other: &'static String,
    pointer: *const u8,
    callback: fn(u8) -> u8,
    object: Box<dyn Fn(u8)>,
    boxed: Box<[u8]>,
    shared: Rc<String>,
    cell: RefCell<u8>,
    locked: Vec<Mutex<u8>>,
    started: Instant,
    changed: SystemTime,
    took: Duration,
    path: std::path::PathBuf,
    by_float: HashMap<f64, String>,
    floats: Option<BTreeSet<f32>>,
    #[model(skip)]
    fine: Option<Rc<(u8, u8)>>,
}

#[derive(Datum)]
struct Value {
    pairs: Vec<(u8, u8)>,
}

#[derive(Datum)]
enum Choice {
    Pair((u8, u8)),
    Named { shared: Rc<u8> },
}

#[derive(Datum)]
struct Newtype(Rc<u8>);

fn main() {}

// Rules: m-unsupported
