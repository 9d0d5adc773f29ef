//! Where there is a conflict, and what a strategy or a function makes of one.

use super::{ConflictDef, Outcome, Resolve, Sides, Strategy, resolve};
use crate::error::Result;
use crate::kind::{IntKind, Kind};
use crate::row::{Record, Row};
use crate::schema::{FieldDef, KeyDef, Schema};
use crate::value::Value;

static NOTE: Schema = Schema::new(
    "Note",
    &[
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        FieldDef::new("text", Kind::Str),
        FieldDef::new("at", Kind::Int(IntKind::I64)),
    ],
    KeyDef::natural(&[0]),
);

fn note(text: &str, at: i128) -> Record {
    Record::new([Some(Value::Int(1)), Some(Value::Str(text.into())), Some(Value::Int(at))])
}

fn sides<'a>(base: Option<&'a Record>, mine: Option<&'a Record>, theirs: Option<&'a Record>) -> Sides<'a> {
    let row = |row: Option<&'a Record>| row.map(|row| row as &dyn Row);
    Sides { schema: &NOTE, base: row(base), mine: row(mine), theirs: row(theirs) }
}

/// Answers always the same.
#[derive(Debug)]
struct Says(Outcome);

impl Resolve for Says {
    fn resolve(&self, _: Sides<'_>) -> Result<Outcome> {
        Ok(self.0.clone())
    }
}

const WHOLE: [Strategy; 5] = [
    Strategy::MergeFields,
    Strategy::ServerWins,
    Strategy::ClientWins,
    Strategy::LastWriteWins { by: 2 },
    Strategy::Ask,
];

// Rules: c-strategies
#[test]
fn there_is_no_conflict_where_one_side_alone_has_changed_the_row_or_both_have_done_the_same() {
    let (base, new) = (note("base", 1), note("new", 2));
    let (base, new) = (Some(&base), Some(&new));
    let cases = [
        (sides(base, new, base), Outcome::Mine),
        (sides(base, base, new), Outcome::Theirs),
        (sides(base, new, new), Outcome::Theirs),
        (sides(base, None, base), Outcome::Mine),
        (sides(base, base, None), Outcome::Theirs),
        (sides(base, None, None), Outcome::Theirs),
        (sides(None, new, None), Outcome::Mine),
        (sides(None, new, new), Outcome::Theirs),
    ];
    for (sides, expected) in &cases {
        for strategy in WHOLE {
            let strategy = ConflictDef { strategy, fields: &[] };
            assert_eq!(resolve(&strategy, *sides).unwrap(), *expected, "{strategy:?} of {sides:?}");
            assert_eq!(strategy.resolve(*sides).unwrap(), *expected, "{strategy:?} by itself");
        }
        assert_eq!(resolve(&Says(Outcome::Ask), *sides).unwrap(), *expected, "nobody is asked");
    }
}

// Rules: c-strategies
#[test]
fn of_two_that_were_written_at_the_same_time_the_greater_one_stands_on_whichever_side_it_is() {
    let (base, less, greater) = (note("base", 1), note("less", 2), note("more", 2));
    let last = ConflictDef { strategy: Strategy::LastWriteWins { by: 2 }, fields: &[] };
    let of = |mine, theirs| resolve(&last, sides(Some(&base), Some(mine), Some(theirs))).unwrap();
    assert_eq!(of(&greater, &less), Outcome::Mine);
    assert_eq!(of(&less, &greater), Outcome::Theirs);
    // So it is where a field alone has the strategy.
    let field =
        ConflictDef { strategy: Strategy::MergeFields, fields: &[(1, Strategy::LastWriteWins { by: 2 })] };
    let of = |mine, theirs| resolve(&field, sides(Some(&base), Some(mine), Some(theirs))).unwrap();
    assert_eq!((of(&greater, &less), of(&less, &greater)), (Outcome::Mine, Outcome::Theirs));
}

// Rules: c-custom
#[test]
fn an_answer_that_is_one_of_the_sides_is_that_side() {
    let (base, mine, theirs) = (note("base", 1), note("mine", 2), note("theirs", 3));
    let (base, mine, theirs) = (Some(&base), Some(&mine), Some(&theirs));
    let of = |outcome: Outcome, sides| resolve(&Says(outcome), sides).unwrap();
    let all = sides(base, mine, theirs);
    assert_eq!(of(Outcome::Row(note("theirs", 3)), all), Outcome::Theirs);
    assert_eq!(of(Outcome::Row(note("mine", 2)), all), Outcome::Mine);
    assert_eq!(of(Outcome::Row(note("both", 3)), all), Outcome::Row(note("both", 3)));
    assert_eq!(of(Outcome::Delete, all), Outcome::Delete);
    assert_eq!(of(Outcome::Delete, sides(base, mine, None)), Outcome::Theirs);
    assert_eq!(of(Outcome::Delete, sides(base, None, theirs)), Outcome::Mine);
}

// Rules: c-fields
#[test]
fn of_a_row_that_both_have_made_each_field_that_differs_has_its_own_strategy() {
    let (mine, theirs) = (note("mine", 1), note("theirs", 2));
    let made = sides(None, Some(&mine), Some(&theirs));
    let text = |fields| ConflictDef { strategy: Strategy::MergeFields, fields };
    let served = resolve(&text(&[(1, Strategy::ServerWins)]), made).unwrap();
    assert_eq!(served, Outcome::Row(note("theirs", 1)));
    assert_eq!(resolve(&text(&[(1, Strategy::Ask)]), made).unwrap(), Outcome::Ask);
}
