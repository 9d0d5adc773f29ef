//! What is promised about allocations, counted: a filter or an order reads one field of a stored row and allocates
//! nothing; a model becomes bytes without a block beside the buffer, and comes back with the blocks that it consists of.
//!
//! One test, as the counter is the process's.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use larder_core::packed::{Bound, PackedRow, Shape, parse_body, write_body, write_record};
use larder_core::query::eval;
use larder_core::{
    Decimal, Fault, Meta, Model, OrderBy, Predicate, Row, Select, Timestamp, Uuid, ValueRef, Where,
};
use larder_derive::{Datum, Model};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", version = 2)]
struct User {
    #[model(key)]
    id: Uuid,
    name: String,
    nick: Option<String>,
    city: String,
    age: u8,
    score: f64,
    active: bool,
    letter: char,
    huge: i128,
    created: Timestamp,
    avatar: Vec<u8>,
    tags: Vec<String>,
    numbers: Vec<Option<i32>>,
    marks: BTreeSet<u16>,
    limits: BTreeMap<String, i64>,
    home: Place,
    places: Vec<Place>,
    maybe_home: Option<Box<Place>>,
    color: Color,
    level: Level,
    shapes: Vec<Figure>,
    count: u128,
    price: Decimal,
    day: jiff::civil::Date,
    hash: [u8; 4],
    corners: [Option<i32>; 3],
    title: Box<str>,
    #[model(default = "String::from(\"added\")")]
    added: String,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Place {
    street: String,
    zip: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
enum Color {
    Red,
    Green,
}

#[derive(Clone, Copy, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", by = "index")]
enum Level {
    Low = 1,
    High = 5,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
enum Figure {
    Circle { ray: f64, note: String },
    Label(String),
    Nothing,
}

/// Maps without an order: what they need to be sorted is the exception on the way out, and none on the way in.
#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core")]
struct Hashed {
    #[model(key)]
    id: u8,
    set: HashSet<u32>,
    map: HashMap<String, Vec<u8>>,
}

fn place(street: &str) -> Place {
    Place { street: street.to_owned(), zip: Some(155) }
}

fn user() -> User {
    User {
        id: Uuid::from_u128(7),
        name: "Ada Lovelace".to_owned(),
        nick: Some("ada".to_owned()),
        city: "Zürich".to_owned(),
        age: 36,
        score: 1.5,
        active: true,
        letter: 'ä',
        huge: 1 << 100,
        created: Timestamp::UNIX_EPOCH,
        avatar: vec![1; 40],
        tags: ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(str::to_owned).to_vec(),
        numbers: vec![Some(1), None, Some(-3)],
        marks: (0..9).collect(),
        limits: [("high".to_owned(), 9), ("low".to_owned(), 1)].into(),
        home: place("Bahnhofstrasse"),
        places: vec![place("x"), place("y")],
        maybe_home: Some(Box::new(place("z"))),
        color: Color::Green,
        level: Level::High,
        count: u128::MAX,
        price: "-12.340".parse().expect("a price"),
        day: jiff::civil::date(2024, 2, 29),
        hash: [1, 2, 3, 4],
        corners: [Some(1), None, Some(-1)],
        title: "title".into(),
        shapes: vec![
            Figure::Circle { ray: 2.0, note: "round".to_owned() },
            Figure::Label("l".to_owned()),
            Figure::Nothing,
        ],
        added: "added".to_owned(),
    }
}

/// How many blocks and bytes `f` allocates: the least of three runs, for the thread that waits for the test's end
/// allocates beside it now and then.
fn allocated<T>(mut f: impl FnMut() -> T) -> ((u64, u64), T) {
    let mut run = || {
        let before = dhat::HeapStats::get();
        let result = f();
        let after = dhat::HeapStats::get();
        ((after.total_blocks - before.total_blocks, after.total_bytes - before.total_bytes), result)
    };
    let (first, result) = run();
    let least = [run().0, run().0].into_iter().fold(first, Ord::min);
    (least, result)
}

/// How many blocks `f` allocates.
fn blocks<T>(f: impl FnMut() -> T) -> (u64, T) {
    let ((blocks, _), result) = allocated(f);
    (blocks, result)
}

fn pack<M: Model>(model: &M) -> Vec<u8> {
    let mut body = Vec::new();
    write_body(&mut body, M::schema(), 1, model).expect("a row");
    body
}

fn bound<M: Model>() -> Bound {
    Bound::new(&Shape::of(M::schema()).expect("a shape"), M::schema())
}

fn row<'a>(body: &'a [u8], bound: &'a Bound) -> PackedRow<'a> {
    let (_, layout) = parse_body(body).expect("a body");
    PackedRow::new(body, layout, bound).expect("a row")
}

/// Where the fields of a body are: see the page of `larder_core::packed`.
fn fields_of(body: &[u8]) -> Vec<std::ops::Range<usize>> {
    let count = usize::from(u16::from_le_bytes([body[3], body[4]]));
    let values = 5 + 2 * count;
    let end = |at: usize| values + usize::from(u16::from_le_bytes([body[5 + 2 * at], body[6 + 2 * at]]));
    (0..count).map(|at| if at == 0 { values..end(0) } else { end(at - 1)..end(at) }).collect()
}

/// Conditions, each on one field, that the user meets; with the field's position.
fn conditions() -> Vec<(u16, Where<User>)> {
    let ada = user();
    vec![
        (User::ID.position(), User::ID.eq(ada.id)),
        (User::ID.position(), Where::new(Predicate::Key(ada.id.into()))),
        (User::NAME.position(), User::NAME.eq("Ada Lovelace")),
        (User::NAME.position(), User::NAME.is_in(["Bob", "Ada Lovelace"])),
        (User::NAME.position(), User::NAME.contains("Love")),
        (User::NAME.position(), User::NAME.does_not_contain("Hate")),
        (User::NICK.position(), User::NICK.is_not_null().and(User::NICK.ne("bob"))),
        (User::CITY.position(), User::CITY.starts_with("ZÜ").ignore_case()),
        (User::CITY.position(), User::CITY.ends_with("RICH").ignore_case()),
        (User::AGE.position(), User::AGE.between(18, 40).and(!User::AGE.eq(37))),
        (User::SCORE.position(), User::SCORE.ge(1.5)),
        (User::ACTIVE.position(), User::ACTIVE.eq(true)),
        (User::LETTER.position(), User::LETTER.gt('z')),
        (User::HUGE.position(), User::HUGE.gt(i128::from(u64::MAX))),
        (User::CREATED.position(), User::CREATED.le(Timestamp::UNIX_EPOCH)),
        (User::AVATAR.position(), User::AVATAR.contains(1_u8)),
        (User::TAGS.position(), User::TAGS.contains("b").and(User::TAGS.does_not_contain("z"))),
        (User::TAGS.position(), User::TAGS.eq(ada.tags.clone())),
        (User::NUMBERS.position(), User::NUMBERS.contains(None)),
        (User::MARKS.position(), User::MARKS.contains(8)),
        (User::LIMITS.position(), User::LIMITS.eq(ada.limits.clone())),
        (User::HOME.position(), User::HOME.eq(ada.home.clone())),
        (User::PLACES.position(), User::PLACES.contains(ada.places[1].clone())),
        (User::COLOR.position(), User::COLOR.eq(Color::Green)),
        (User::LEVEL.position(), User::LEVEL.gt(Level::Low)),
        (User::COUNT.position(), User::COUNT.gt(u128::MAX - 1)),
        (
            User::PRICE.position(),
            User::PRICE.between(ada.price, "-12.34".parse::<Decimal>().expect("a price")),
        ),
        (User::DAY.position(), User::DAY.lt(jiff::civil::date(2024, 3, 1))),
        (User::HASH.position(), User::HASH.eq([1, 2, 3, 4])),
        (User::CORNERS.position(), User::CORNERS.contains(None)),
        (User::TITLE.position(), User::TITLE.starts_with("ti")),
        (User::SHAPES.position(), User::SHAPES.contains(Figure::Nothing)),
    ]
}

fn orders() -> Vec<(u16, OrderBy<User>)> {
    vec![
        (User::NAME.position(), User::NAME.asc()),
        (User::NICK.position(), User::NICK.desc()),
        (User::AGE.position(), User::AGE.asc()),
        (User::CREATED.position(), User::CREATED.desc()),
        (User::TAGS.position(), User::TAGS.asc()),
        (User::HOME.position(), User::HOME.asc()),
        (User::PRICE.position(), User::PRICE.asc()),
        (User::DAY.position(), User::DAY.desc()),
        (User::LIMITS.position(), User::LIMITS.asc()),
        (User::SHAPES.position(), User::SHAPES.desc()),
    ]
}

fn a_filter_allocates_nothing_and_reads_its_field_alone() {
    let (ada, bound) = (user(), bound::<User>());
    let body = pack(&ada);
    for (field, condition) in conditions() {
        let predicate = condition.into_predicate();
        for (form, shown) in [("stored", &row(&body, &bound) as &dyn Row), ("model", &ada)] {
            let (count, answer) = blocks(|| predicate.matches(User::schema(), shown));
            assert!(answer.expect("an answer"), "{predicate:?} on the {form} row");
            assert_eq!(count, 0, "{predicate:?} on the {form} row");
        }
        let spoilt = spoil_all_but(&body, &bound, &[field]);
        let answer = predicate.matches(User::schema(), &row(&spoilt, &bound));
        assert!(answer.expect("an answer although all else is broken"), "{predicate:?}");
    }
}

/// Breaks every field that is not in `kept`, and makes sure of it.
fn spoil_all_but(body: &[u8], bound: &Bound, kept: &[u16]) -> Vec<u8> {
    let mut spoilt = body.to_vec();
    for (at, range) in fields_of(body).into_iter().enumerate() {
        if !kept.iter().any(|field| usize::from(*field) == at) {
            spoilt[range].fill(0xc1);
        }
    }
    let shown = row(&spoilt, bound);
    for at in 0..User::schema().fields.len() {
        // A list shows what is broken when it is gone through.
        let broken = shown.field(at).and_then(ValueRef::to_value) == Err(Fault::Malformed);
        assert_eq!(broken, !kept.iter().any(|field| usize::from(*field) == at));
    }
    assert!(User::from_row(&shown).is_err());
    spoilt
}

fn an_order_allocates_nothing_and_reads_its_fields_alone() {
    let bound = bound::<User>();
    let (a, b) = (pack(&user()), pack(&user()));
    for (field, order) in orders() {
        let query = Select::all().order_by(order).into_query();
        let (count, ordering) =
            blocks(|| eval::compare(User::schema(), &query.order, &row(&a, &bound), &row(&b, &bound)));
        assert!(ordering.expect("an order").is_eq());
        assert_eq!(count, 0, "by field {field}");
        // The key is the last tie-break.
        let kept = [field, User::ID.position()];
        let (a, b) = (spoil_all_but(&a, &bound, &kept), spoil_all_but(&b, &bound, &kept));
        let ordering = eval::compare(User::schema(), &query.order, &row(&a, &bound), &row(&b, &bound));
        assert!(ordering.expect("an order although all else is broken").is_eq());
    }
}

fn a_model_becomes_bytes_in_the_buffer_alone() {
    let ada = user();
    let meta = Meta::synced(Timestamp::UNIX_EPOCH);
    let mut buffer = Vec::with_capacity(4096);
    let (count, written) = blocks(|| {
        buffer.clear();
        write_body(&mut buffer, User::schema(), 1, &ada)
    });
    written.expect("a row");
    assert_eq!(count, 0, "a body");
    let (count, written) = blocks(|| {
        buffer.clear();
        write_record(&mut buffer, User::schema(), 1, &ada, meta.show())
    });
    written.expect("a record");
    assert_eq!(count, 0, "a record");
}

fn bytes_become_a_model_of_as_many_blocks_as_it_has() {
    let (ada, bound) = (user(), bound::<User>());
    let body = pack(&ada);
    let (read, copy) = allocated(|| User::from_row(&row(&body, &bound)));
    let copy = copy.expect("a row");
    assert_eq!(copy, ada);
    let (cloned, _clone) = allocated(|| copy.clone());
    assert!(cloned.0 > 20, "the model has many blocks, and not {}", cloned.0);
    assert_eq!(read, cloned);
}

fn hash_maps_come_back_in_as_many_blocks_as_they_have() {
    let bound = bound::<Hashed>();
    let text = |at: u32| (at.to_string(), vec![7; 3]);
    let model = Hashed { id: 1, set: (0..100).collect(), map: (0..50).map(text).collect() };
    let body = pack(&model);
    let (read, copy) = blocks(|| Hashed::from_row(&row(&body, &bound)));
    let copy = copy.expect("a row");
    assert_eq!(copy, model);
    let (cloned, _clone) = blocks(|| copy.clone());
    assert_eq!(read, cloned);
    let mut buffer = Vec::with_capacity(4096);
    let (count, written) = blocks(|| {
        buffer.clear();
        write_body(&mut buffer, Hashed::schema(), 1, &model)
    });
    written.expect("a row");
    assert_eq!(count, 2, "one block for each map that has to be sorted");
}

#[test]
fn nothing_is_allocated_beyond_what_is_promised() {
    let _profiler = dhat::Profiler::builder().testing().build();
    a_filter_allocates_nothing_and_reads_its_field_alone();
    an_order_allocates_nothing_and_reads_its_fields_alone();
    a_model_becomes_bytes_in_the_buffer_alone();
    bytes_become_a_model_of_as_many_blocks_as_it_has();
    hash_maps_come_back_in_as_many_blocks_as_they_have();
}
