//! Queries that ask something of related rows, answered over a provider that knows one row at a time.

use larder_core::association::{Asking, answer};
use larder_core::{
    ErrorKind, Many, Model, One, OrderBy, Predicate, Query, Record, Select, Where, association,
};

use crate::models::{Book, Loan, Person};
use crate::trial::{Trial, Verdict, fails};

/// The one that nobody is.
const NOBODY: i64 = 9;

fn person(id: i64, name: Option<&str>, age: i32, boss: Option<i64>, friends: &[i64]) -> Person {
    Person {
        id,
        name: name.map(Into::into),
        age,
        boss: boss.map(One::to),
        friends: Many::to(friends.iter().copied()),
        reports: Many::new(),
        written: Many::new(),
        edited: Many::new(),
        borrowed: Many::new(),
    }
}

fn book(id: &str, author: i64, editor: Option<i64>) -> Book {
    let (title, readers) = (format!("title {id}"), Many::new());
    Book { id: id.into(), title, author: One::to(author), editor: editor.map(One::to), readers }
}

fn loan(id: i64, reader: i64, book: &str) -> Loan {
    Loan { id, reader: One::to(reader), book: One::to(book.into()) }
}

/// Five people, four books and four loans, with a missing person and a missing book.
async fn library(trial: &Trial) {
    let people = [
        person(1, Some("Ada"), 50, None, &[2, 3]),
        person(2, Some("Bob"), 30, Some(1), &[]),
        person(3, None, 20, Some(1), &[1]),
        person(4, Some("Di"), 40, Some(2), &[NOBODY]),
        person(5, Some("Eve"), 60, Some(NOBODY), &[]),
    ];
    let books =
        [book("a", 1, Some(2)), book("b", 1, None), book("c", 2, Some(1)), book("d", NOBODY, Some(4))];
    let loans = [loan(1, 3, "a"), loan(2, 3, "c"), loan(3, 4, "a"), loan(4, 5, "gone")];
    put(trial, &people).await;
    put(trial, &books).await;
    put(trial, &loans).await;
}

async fn put<M: Model>(trial: &Trial, rows: &[M]) {
    let copy = |row: &M| Record::copy(M::schema(), row).expect("a row");
    trial.put(M::schema(), rows.iter().map(copy).collect::<Vec<_>>()).await;
}

/// Asserts which rows answer, by their keys and in order.
async fn check<M: Model>(trial: &Trial, query: impl Into<Select<M>>, expected: &[&str]) {
    let query = query.into().into_query();
    let mut asking = Asking { provider: &**trial.provider(), cx: trial.cx.clone() };
    let rows = answer(&mut asking, M::schema(), &query).await.expect("an answer").rows;
    let keys: Vec<_> =
        rows.iter().map(|row| M::schema().key_of(&*row.row).expect("a key").to_string()).collect();
    assert_eq!(keys, expected, "{query:?}");
}

fn anybody<M>() -> Where<M> {
    Where::new(Predicate::All)
}

pub(super) async fn any_of_one(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Book::AUTHOR.any(Person::AGE.gt(40)), &["a", "b"]).await;
    check(&trial, Book::EDITOR.any(Person::AGE.gt(30)), &["c", "d"]).await;
    check(&trial, Book::AUTHOR.any(Person::AGE.gt(60)), &[]).await;
    check(&trial, !Book::AUTHOR.any(Person::AGE.gt(40)), &["c", "d"]).await;
    Verdict::Passed
}

pub(super) async fn any_of_children(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Person::WRITTEN.any(Book::TITLE.ends_with("b")), &["1"]).await;
    check(&trial, Person::WRITTEN.any(anybody()), &["1", "2"]).await;
    check(&trial, !Person::WRITTEN.any(anybody()), &["3", "4", "5"]).await;
    Verdict::Passed
}

pub(super) async fn any_of_a_list_of_keys(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Person::FRIENDS.any(Person::AGE.lt(35)), &["1"]).await;
    check(&trial, Person::FRIENDS.any(anybody()), &["1", "3"]).await;
    Verdict::Passed
}

pub(super) async fn any_through_a_link(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Person::BORROWED.any(Book::ID.eq("c")), &["3"]).await;
    check(&trial, Book::READERS.any(Person::AGE.gt(30)), &["a"]).await;
    check(&trial, Book::READERS.any(anybody()), &["a", "c"]).await;
    Verdict::Passed
}

pub(super) async fn all_is_met_where_there_is_none(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Person::REPORTS.all(Person::AGE.ge(25)), &["2", "3", "4", "5"]).await;
    check(&trial, Person::REPORTS.all(Person::AGE.ge(20)), &["1", "2", "3", "4", "5"]).await;
    check(&trial, Person::FRIENDS.all(Person::AGE.lt(35)), &["1", "2", "4", "5"]).await;
    check(&trial, Book::READERS.all(Person::AGE.gt(30)), &["b", "d"]).await;
    check(&trial, !Book::READERS.all(Person::AGE.gt(30)), &["a", "c"]).await;
    Verdict::Passed
}

pub(super) async fn all_of_null_conditions(trial: Trial) -> Verdict {
    library(&trial).await;
    // The third has no name: `ne` excludes null, and `not` includes it.
    check(&trial, Person::REPORTS.all(Person::NAME.ne("Zoe")), &["2", "3", "4", "5"]).await;
    check(&trial, Person::REPORTS.all(!Person::NAME.eq("Zoe")), &["1", "2", "3", "4", "5"]).await;
    check(&trial, Person::REPORTS.any(Person::NAME.is_null()), &["1"]).await;
    Verdict::Passed
}

pub(super) async fn conditions_nest(trial: Trial) -> Verdict {
    library(&trial).await;
    let young_boss = Person::BOSS.any(Person::AGE.lt(35));
    check(&trial, Person::WRITTEN.any(Book::READERS.any(young_boss)), &["1"]).await;
    check(&trial, Person::WRITTEN.all(Book::READERS.any(anybody())), &["2", "3", "4", "5"]).await;
    let deep = Book::EDITOR.any(Person::BOSS.any(Person::WRITTEN.any(Book::EDITOR.any(anybody()))));
    check(&trial, deep, &["a", "d"]).await;
    Verdict::Passed
}

pub(super) async fn two_to_one_model_stay_apart(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Book::AUTHOR.any(Person::NAME.eq("Bob")), &["c"]).await;
    check(&trial, Book::EDITOR.any(Person::NAME.eq("Bob")), &["a"]).await;
    check(&trial, Person::WRITTEN.any(Book::ID.eq("c")), &["2"]).await;
    check(&trial, Person::EDITED.any(Book::ID.eq("c")), &["1"]).await;
    let both = Person::WRITTEN.any(Book::ID.eq("a")).and(Person::EDITED.any(Book::ID.eq("c")));
    check(&trial, both, &["1"]).await;
    Verdict::Passed
}

pub(super) async fn a_model_with_itself(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Person::BOSS.any(Person::BOSS.any(Person::AGE.gt(45))), &["4"]).await;
    check(&trial, Person::REPORTS.any(Person::REPORTS.any(anybody())), &["1"]).await;
    check(&trial, Person::BOSS.is(1), &["2", "3"]).await;
    Verdict::Passed
}

pub(super) async fn a_missing_row_is_none(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, Book::AUTHOR.any(anybody()), &["a", "b", "c"]).await;
    check(&trial, Book::AUTHOR.all(Person::AGE.gt(1_000)), &["d"]).await;
    check(&trial, Person::BORROWED.any(anybody()), &["3", "4"]).await;
    // The reference is there, though the row is not.
    check(&trial, Person::BOSS.is(NOBODY), &["5"]).await;
    Verdict::Passed
}

pub(super) async fn they_combine_with_others(trial: Trial) -> Verdict {
    library(&trial).await;
    let old_author = || Book::AUTHOR.any(Person::AGE.gt(40));
    check(&trial, old_author().and(Book::TITLE.eq("title b")), &["b"]).await;
    check(&trial, old_author().or(Book::ID.eq("d")), &["a", "b", "d"]).await;
    check(&trial, old_author().order_by(Book::TITLE.desc()).limit(1), &["b"]).await;
    check(&trial, old_author().offset(1), &["b"]).await;
    Verdict::Passed
}

fn by<M>(order: OrderBy<M>) -> Select<M> {
    Select::new(Query::all()).order_by(order)
}

pub(super) async fn orders_by_a_related_field(trial: Trial) -> Verdict {
    library(&trial).await;
    check(&trial, by(Book::AUTHOR.by(Person::NAME).asc()), &["d", "a", "b", "c"]).await;
    check(&trial, by(Book::AUTHOR.by(Person::NAME).desc()), &["c", "a", "b", "d"]).await;
    check(&trial, by(Book::EDITOR.by(Person::AGE).asc()), &["b", "a", "d", "c"]).await;
    let two = by(Book::AUTHOR.by(Person::AGE).desc()).order_by(Book::ID.desc());
    check(&trial, two, &["b", "a", "c", "d"]).await;
    check(&trial, by(Person::BOSS.by(Person::NAME).asc()), &["1", "5", "2", "3", "4"]).await;
    let window = by(Book::AUTHOR.by(Person::NAME).asc()).offset(1).limit(2);
    check(&trial, window, &["a", "b"]).await;
    Verdict::Passed
}

pub(super) async fn keys_are_found_among_references(trial: Trial) -> Verdict {
    library(&trial).await;
    let among = |field: u16, keys: &[i64]| {
        let keys = keys.iter().map(|key| (*key).into()).collect();
        Where::<Person>::new(Predicate::Among { field, keys })
    };
    let (boss, friends) = (Person::BOSS.position(), Person::FRIENDS.position());
    check(&trial, among(boss, &[1, NOBODY]), &["2", "3", "5"]).await;
    check(&trial, !among(boss, &[1, NOBODY]), &["1", "4"]).await;
    check(&trial, among(boss, &[]), &[]).await;
    check(&trial, among(friends, &[3, NOBODY]), &["1", "4"]).await;
    check(&trial, among(Person::ID.position(), &[2, 7]), &["2"]).await;
    Verdict::Passed
}

pub(super) async fn a_provider_alone_refuses_them(trial: Trial) -> Verdict {
    library(&trial).await;
    let condition = Select::from(Book::AUTHOR.any(anybody())).into_query();
    let order = by(Book::AUTHOR.by(Person::NAME).asc()).into_query();
    for query in [condition, order] {
        let answered = trial.provider().get(&trial.cx, Book::schema(), &query).await;
        fails(answered, ErrorKind::Unsupported);
    }
    Verdict::Passed
}

pub(super) async fn one_that_is_not_there_is_invalid(trial: Trial) -> Verdict {
    library(&trial).await;
    let filter = Predicate::Related { assoc: 999, all: false, filter: Box::new(Predicate::All) };
    let mut asking = Asking { provider: &**trial.provider(), cx: trial.cx.clone() };
    let answered = association::answer(&mut asking, Book::schema(), &Query::filter(filter)).await;
    fails(answered, ErrorKind::Invalid);
    Verdict::Passed
}
