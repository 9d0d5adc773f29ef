//! The strategies hold to the laws; for each law there is a resolver that breaks it, and is found out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::conflict::custom;
use larder_core::{Conflict, ConflictDef, Resolution, Resolve, Strategy};
use larder_derive::Model;
use rstest::rstest;

use super::{Case, Law, Laws, replay};
use crate::models::SPECIMEN;

#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
struct Task {
    #[model(key)]
    id: u32,
    title: String,
    points: i64,
    done: bool,
    tag: Option<String>,
    edited: i64,
}

const fn by(strategy: Strategy) -> ConflictDef {
    ConflictDef { strategy, fields: &[] }
}

const FIELDS: ConflictDef = ConflictDef {
    strategy: Strategy::MergeFields,
    fields: &[(1, Strategy::ServerWins), (2, Strategy::ClientWins), (3, Strategy::Ask)],
};

const STAMPED: ConflictDef = ConflictDef {
    strategy: Strategy::MergeFields,
    fields: &[(1, Strategy::LastWriteWins { by: 5 }), (5, Strategy::LastWriteWins { by: 5 })],
};

// Rules: c-laws
#[rstest]
#[case::fields(by(Strategy::MergeFields), Laws::of::<Task>())]
#[case::each_its_own(FIELDS, Laws::of::<Task>())]
#[case::stamped(STAMPED, Laws::of::<Task>().together(&["title", "edited"]))]
#[case::server(by(Strategy::ServerWins), Laws::of::<Task>().whole_rows())]
#[case::client(by(Strategy::ClientWins), Laws::of::<Task>().whole_rows())]
#[case::last(by(Strategy::LastWriteWins { by: 5 }), Laws::of::<Task>().whole_rows().order_free())]
#[case::ask(by(Strategy::Ask), Laws::of::<Task>().whole_rows())]
#[case::every_type(by(Strategy::MergeFields), Laws::on(&SPECIMEN).cases(500))]
#[case::last_of_every_type(by(Strategy::LastWriteWins { by: 3 }), Laws::on(&SPECIMEN).cases(500).whole_rows().order_free())]
fn the_strategies_hold_to_the_laws(#[case] strategy: ConflictDef, #[case] laws: Laws) {
    laws.check_resolver(&strategy);
}

/// Both have counted.
fn sums(sides: Conflict<Task>) -> Resolution<Task> {
    if sides.base == sides.mine {
        return Resolution::Theirs;
    }
    if sides.base == sides.theirs {
        return Resolution::Mine;
    }
    match (sides.base, sides.mine, sides.theirs) {
        (Some(base), Some(mine), Some(theirs)) => {
            let points = theirs.points.wrapping_add(mine.points.wrapping_sub(base.points));
            let keep = |mine: bool, theirs: bool, base: bool| if mine == base { theirs } else { mine };
            let pick =
                |mine: String, theirs: &str, base: &str| if mine == base { theirs.to_owned() } else { mine };
            Resolution::Merged(Task {
                points,
                done: keep(mine.done, theirs.done, base.done),
                title: pick(mine.title, &theirs.title, &base.title),
                tag: if mine.tag == base.tag { theirs.tag } else { mine.tag },
                edited: if mine.edited == base.edited { theirs.edited } else { mine.edited },
                ..theirs
            })
        }
        (_, Some(_), None) => Resolution::Mine,
        _ => Resolution::Theirs,
    }
}

/// Of two that have changed the points, the one with more.
fn keeps_the_most(sides: Conflict<Task>) -> Resolution<Task> {
    let points = match (&sides.base, &sides.mine, &sides.theirs) {
        (Some(base), Some(mine), Some(theirs)) if mine.points == base.points => theirs.points,
        (Some(base), Some(mine), Some(theirs)) if theirs.points == base.points => mine.points,
        (_, Some(mine), Some(theirs)) => mine.points.max(theirs.points),
        _ => 0,
    };
    match sums(sides) {
        Resolution::Merged(merged) => Resolution::Merged(Task { points, ..merged }),
        other => other,
    }
}

// Rules: c-laws
#[test]
fn a_function_of_the_application_may_hold_to_them_too() {
    Laws::of::<Task>().conflicts_alone().check(keeps_the_most);
    Laws::of::<Task>().check(sums);
}

fn both(sides: Conflict<Task>, make: impl Fn(Task, Task, Task) -> Task) -> Resolution<Task> {
    match (sides.base, sides.mine, sides.theirs) {
        (Some(base), Some(mine), Some(theirs)) => Resolution::Merged(make(base, mine, theirs)),
        (_, Some(_), None) => Resolution::Mine,
        _ => Resolution::Theirs,
    }
}

fn renumbers(sides: Conflict<Task>) -> Resolution<Task> {
    both(sides, |_, mine, theirs| Task { id: mine.id.wrapping_add(1), ..theirs })
}

fn tosses(sides: Conflict<Task>) -> Resolution<Task> {
    static COIN: AtomicU64 = AtomicU64::new(0);
    let heads = COIN.fetch_add(1, Ordering::Relaxed).is_multiple_of(4);
    both(sides, |_, mine, theirs| if heads { mine } else { theirs })
}

fn is_stubborn(sides: Conflict<Task>) -> Resolution<Task> {
    both(sides, |_, mine, _| mine)
}

/// Where the remote's row is as wanted, it is not enough.
fn is_never_content(sides: Conflict<Task>) -> Resolution<Task> {
    let unchanged = sides.base == sides.mine;
    let known = sides.base == sides.theirs;
    both(sides, |_, mine, theirs| match (unchanged, known) {
        (true, _) => theirs,
        (_, true) if mine.points > 7 => Task { points: 7, ..mine },
        _ => mine,
    })
}

fn forgets_the_tag(sides: Conflict<Task>) -> Resolution<Task> {
    match sums(sides.clone()) {
        Resolution::Merged(merged) if sides.base != sides.theirs && sides.base != sides.mine => {
            Resolution::Merged(Task { tag: sides.theirs.and_then(|theirs| theirs.tag), ..merged })
        }
        other => other,
    }
}

fn writes_both_down(sides: Conflict<Task>) -> Resolution<Task> {
    both(sides, |base, mine, theirs| {
        let title = match (mine.title == base.title, theirs.title == base.title) {
            (true, _) => theirs.title.clone(),
            (_, true) => mine.title.clone(),
            _ => format!("{}, {}", theirs.title, mine.title),
        };
        Task { title, ..theirs }
    })
}

fn whoever_comes_last(sides: Conflict<Task>) -> Resolution<Task> {
    both(sides, |_, mine, _| mine)
}

/// The law that a resolver was found to break, and the fields that the smallest case is about.
fn broken(laws: &Laws, resolve: fn(Conflict<Task>) -> Resolution<Task>) -> (Law, Case) {
    let resolver: Arc<dyn Resolve> = custom(resolve);
    let (case, why) = laws.counterexample(&*resolver).expect("a law that is broken");
    assert!(!why.is_empty());
    (case.law, case)
}

// Rules: c-laws
#[rstest]
#[case::sound(renumbers, Law::Sound, Laws::of::<Task>())]
#[case::deterministic(tosses, Law::Deterministic, Laws::of::<Task>())]
#[case::unchanged(is_stubborn, Law::Unchanged, Laws::of::<Task>())]
#[case::unchanged_there(is_never_content, Law::Unchanged, Laws::of::<Task>())]
#[case::keeps(forgets_the_tag, Law::Keeps, Laws::of::<Task>().conflicts_alone())]
#[case::converges(writes_both_down, Law::Converges, Laws::of::<Task>().conflicts_alone().whole_rows())]
// By itself it is a good one; but two who count alike have made the same row, and it is not asked.
#[case::counting(sums, Law::Converges, Laws::of::<Task>().conflicts_alone())]
#[case::order_free(whoever_comes_last, Law::OrderFree, Laws::of::<Task>().conflicts_alone().whole_rows().order_free())]
fn a_resolver_that_breaks_a_law_is_found_out(
    #[case] resolve: fn(Conflict<Task>) -> Resolution<Task>,
    #[case] law: Law,
    #[case] laws: Laws,
) {
    let (found, case) = broken(&laws, resolve);
    assert_eq!(found, law, "{}", case.as_test());
    let fields = case.base.iter().flat_map(|base| {
        let rows = case.mine.iter().chain(case.theirs.iter().flatten());
        let differs = |at: &usize| rows.clone().any(|row| row[*at] != base[*at]);
        (0..base.len()).filter(differs).collect::<Vec<_>>()
    });
    assert!(fields.count() <= 2, "it is small: {}", case.as_test());
}

// Rules: c-laws
#[test]
fn a_case_that_does_not_settle_down_is_found_out() {
    // It answers with another row each time that the remote's comes.
    let shrinks = |sides: Conflict<Task>| match (sides.mine, sides.theirs) {
        (Some(mine), Some(theirs)) if mine != theirs => {
            Resolution::Merged(Task { points: theirs.points / 2, ..mine })
        }
        (Some(_), None) => Resolution::Mine,
        _ => Resolution::Theirs,
    };
    let laws = Laws::of::<Task>().whole_rows();
    let (case, _) = laws.counterexample(&*custom(shrinks)).expect("it is found out");
    assert!(matches!(case.law, Law::Unchanged | Law::Idempotent), "{}", case.as_test());
    let idempotent = Case { law: Law::Idempotent, ..case };
    assert!(idempotent.holds(&*custom(shrinks), false).is_err() || idempotent.base == idempotent.mine);
}

// Rules: c-laws
#[test]
#[should_panic(expected = "is not kept")]
fn a_case_is_replayed_as_it_was_printed() {
    let (_, case) = broken(&Laws::of::<Task>().conflicts_alone(), forgets_the_tag);
    let test = case.as_test();
    let text = test.split_once("r##\"").and_then(|(_, rest)| rest.split_once("\"##")).expect("the text").0;
    replay::<Task>(Law::Keeps, forgets_the_tag, text);
}

// Rules: c-laws
#[test]
fn a_model_with_checks_of_its_own_gets_cases_that_pass_them() {
    #[derive(Model, Clone, Debug)]
    #[model(crate = "larder_core", validate = "in_order")]
    struct Stay {
        #[model(key)]
        id: u32,
        from: i64,
        to: i64,
    }
    fn in_order(stay: &Stay) -> Result<(), larder_core::Invalid> {
        if stay.to < stay.from { Err("it ends before it begins".into()) } else { Ok(()) }
    }
    let samples = [Stay { id: 1, from: 1, to: 9 }, Stay { id: 2, from: 5, to: 6 }];
    let laws = Laws::of::<Stay>().samples(&samples);
    // Merged by field, a stay may end before it begins: that is what the checks are for.
    let (case, why) = laws.counterexample(&by(Strategy::MergeFields)).expect("it does");
    assert_eq!((case.law, why.contains("it ends before it begins")), (Law::Sound, true), "{why}");
    laws.whole_rows().check_resolver(&by(Strategy::ServerWins));
}
