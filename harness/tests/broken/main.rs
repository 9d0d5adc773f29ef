//! Planted faults: a wrapper breaks one rule, and the suites must find it. What finds it is part of the expectation.

mod faults;
mod wrapper;

use std::sync::Arc;

use faults::Fault;
use faults::Fault::{
    AppliesTwice, ClaimsFilter, CutsText, DeleteForgets, Expectations, HalfBatches, IgnoresCase, InNothing,
    IndexOrder, InsertReplaces, LacksNull, LateObservers, LendsLess, LendsTwice, LosesTail, LostOffset,
    Mixup, Names, NotNull, NullRule, OffByOne, OpenEnd, SeqsAgain, ShowsTombstones, Slash, TieBreak,
    UpdateCreates, UpsertsSecretly, Versions, Wildcard, WrongOrder, Zeros,
};
use larder_core::{OpenStore, Result};
use larder_harness::suites::cases;
use larder_harness::{Candidate, Outcome as Judged, Setup, Subject, judge};
use larder_memory::Memory;
use rstest::rstest;
use wrapper::Broken;

/// The cases that fail over a store with a fault.
fn found_by(fault: Fault) -> Vec<String> {
    let make = move |setup: Setup| -> larder_core::runtime::BoxFuture<'static, Result<Subject>> {
        Box::pin(async move {
            let inner = OpenStore::open(Box::new(Memory::new()), &setup.opening()).await?;
            // A third of the triples keeps this quick.
            Ok(Subject::store(Arc::new(Broken { inner, fault })).dear())
        })
    };
    let candidate = Candidate { provider: "broken", make: &make, exempt: &[] };
    let run = cases().filter(|case| case.face != "durable");
    let failed = run.filter(|case| matches!(judge(&candidate, case.suite, case.name), Judged::Failed(_)));
    failed.map(|case| format!("{}::{}", case.suite, case.name)).collect()
}

#[rstest]
#[case(NullRule, &["nulls::ne_excludes_null", "type_i32::ne_null", "type_text::ne_null", "differential::comparisons"])]
#[case(OffByOne, &["window::limit", "differential::orders_and_windows"])]
#[case(TieBreak, &["ordering::the_key_breaks_ties_rising", "type_bool::order", "paging::pages_cover_all_once", "differential::orders_and_windows"])]
#[case(WrongOrder, &["ordering::rising_and_falling", "type_decimal::order_null", "differential::orders_and_windows"])]
#[case(InNothing, &["operators::is_in_nothing_matches_nothing", "differential::trees"])]
#[case(Wildcard, &["text::wildcards_are_ordinary", "differential::texts"])]
#[case(IgnoresCase, &["text::case_counts", "differential::texts"])]
#[case(OpenEnd, &["operators::between_includes_both_ends", "type_i32::between", "type_time::between_null", "differential::comparisons"])]
#[case(Zeros, &["floats::zeros_are_equal"])]
#[case(NotNull, &["nulls::not_includes_null", "differential::comparisons"])]
#[case(LacksNull, &["nulls::text_conditions_exclude_null", "nulls::membership_excludes_null", "differential::texts"])]
#[case(Names, &["operators::fields_are_not_mixed_up"])]
#[case(ClaimsFilter, &["operators::equality", "capabilities::what_a_page_claims_is_done", "differential::trees"])]
#[case(LostOffset, &["window::offset_without_limit", "differential::orders_and_windows"])]
#[case(InsertReplaces, &["crud::insert_again_conflicts"])]
#[case(UpdateCreates, &["crud::update_of_a_missing_row_is_not_found", "tombstones::they_are_no_rows_to_apply"])]
#[case(DeleteForgets, &["crud::delete_removes_the_row", "keys::text"])]
#[case(CutsText, &["crud::long_rows_round_trip"])]
#[case(UpsertsSecretly, &["crud::upsert_inserts_and_updates", "capabilities::what_it_can_not_do_it_refuses"])]
#[case(Slash, &["keys::hostile_text"])]
#[case(Expectations, &["revisions::a_row_that_has_not_moved", "batches::a_stale_batch_changes_nothing"])]
#[case(HalfBatches, &["batches::all_or_nothing"])]
#[case(LateObservers, &["observers::told_before_and_after_readers_see_it"])]
#[case(SeqsAgain, &["outbox::numbers_are_never_used_again"])]
#[case(LendsLess, &["operators::equality"])]
#[case(LendsTwice, &["operators::equality"])]
#[case(Fault::CountsAll, &["reads::a_count_is_the_number_of_rows"])]
#[case(ShowsTombstones, &["tombstones::queries_skip_them"])]
#[case(LosesTail, &["outbox::rows_point_to_their_entries"])]
#[case(AppliesTwice, &["repeats::insert"])]
#[case(IndexOrder, &["type_i8::order", "type_i64::lt", "type_i128::le_null", "differential::comparisons"])]
#[case(Mixup, &["associations::two_to_one_model_stay_apart", "associations::any_of_one", "differential::related"])]
#[case(Versions, &["versions::a_write_based_on_another_conflicts"])]
fn a_planted_fault_is_found(#[case] fault: Fault, #[case] expected: &[&str]) {
    let found = found_by(fault);
    println!("{fault:?} is found by {found:?}");
    for case in expected {
        assert!(
            found.iter().any(|found| found == case),
            "{case} does not find {fault:?}; what does: {found:?}"
        );
    }
}

/// An exemption holds as long as the case fails, and no longer.
#[test]
fn an_exemption_that_passes_is_a_failure() {
    let make = |setup: Setup| -> larder_core::runtime::BoxFuture<'static, Result<Subject>> {
        Box::pin(async move {
            Ok(Subject::store(OpenStore::open(Box::new(Memory::new()), &setup.opening()).await?))
        })
    };
    let candidate = Candidate { provider: "memory", make: &make, exempt: &[("window::limit", "no reason")] };
    let judged = judge(&candidate, "window", "limit");
    assert!(matches!(&judged, Judged::Failed(why) if why.contains("end the exemption")), "{judged:?}");
    assert_eq!(judge(&candidate, "window", "offset_and_limit"), Judged::Passed);
    let judged = judge(&candidate, "window", "no_such_case");
    assert!(matches!(judged, Judged::Failed(_)));
}

/// A fault that is exempt is on record with its reason, and a refusal with what was seen.
#[test]
fn exemptions_and_refusals_have_reasons() {
    let make = |setup: Setup| -> larder_core::runtime::BoxFuture<'static, Result<Subject>> {
        Box::pin(async move {
            let inner = OpenStore::open(Box::new(Memory::new()), &setup.opening()).await?;
            Ok(Subject::store(Arc::new(Broken { inner, fault: OffByOne })))
        })
    };
    let exempt = [("window::limit", "known: one too many")];
    let candidate = Candidate { provider: "broken", make: &make, exempt: &exempt };
    assert_eq!(judge(&candidate, "window", "limit"), Judged::Exempt("known: one too many".into()));
}
