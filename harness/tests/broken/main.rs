//! Planted faults: a wrapper breaks one rule, and the suites must find it. What finds it is part of the expectation.

mod changes;
mod faults;
mod requests;
mod wrapper;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use faults::Fault;
use faults::Fault::{
    AppliesTwice, ClaimsFilter, CutsText, DeleteForgets, Expectations, HalfBatches, IgnoresCase, InNothing,
    IndexOrder, InsertReplaces, LacksNull, LateObservers, LendsLess, LendsTwice, LosesTail, LostOffset,
    Mixup, Names, NotNull, NullRule, OffByOne, OpenEnd, SeqsAgain, ShowsTombstones, Slash, TieBreak,
    UpdateCreates, UpsertsSecretly, Versions, Wildcard, WrongOrder, Zeros,
};
use larder_core::{OpenStore, Result};
use larder_harness::suites::{Case, cases};
use larder_harness::{Candidate, Outcome as Judged, Setup, Site, Subject, judge};
use larder_memory::Memory;
use requests::{ELSEWHERE, answers};
use rstest::rstest;
use wrapper::Broken;

fn memory(setup: &Setup, site: &Site) -> impl Future<Output = Result<Arc<dyn larder_core::Store>>> {
    // Small pages and a short memory: changes come on several pages, and some are forgotten.
    let memory = Memory::new().delta_page(7).changes(60);
    let memory = memory.answering(answers(site, false)).answering_at(ELSEWHERE, answers(site, true));
    let opening = setup.opening();
    async move { OpenStore::open(Box::new(memory), &opening).await }
}

/// The cases, of those that `among` lets through, that fail over a store with a fault.
fn found_by(fault: Fault, among: impl Fn(&Case) -> bool) -> Vec<String> {
    let make = move |setup: Setup| -> larder_core::runtime::BoxFuture<'static, Result<Subject>> {
        Box::pin(async move {
            let site = Site::new().elsewhere(ELSEWHERE);
            let inner = memory(&setup, &site).await?;
            // A third of the triples keeps this quick.
            let broken = Broken { inner, fault, told: Mutex::default() };
            let subject = Subject::store(Arc::new(broken)).site(site).dear();
            // What is never pushed is not waited for long.
            Ok(if fault == Fault::Nothing { subject } else { subject.patience(Duration::from_millis(100)) })
        })
    };
    let candidate = Candidate { provider: "broken", make: &make, exempt: &[] };
    let run = cases().filter(|case| among(case));
    let failed = run.filter(|case| matches!(judge(&candidate, case.suite, case.name), Judged::Failed(_)));
    failed.map(|case| format!("{}::{}", case.suite, case.name)).collect()
}

/// Whether a case is about what has changed.
fn is_of_changes(case: &Case) -> bool {
    ["delta", "realtime"].contains(&case.face)
}

/// Whether a case is about requests that are no models.
fn is_of_requests(case: &Case) -> bool {
    case.face == "requests"
}

#[track_caller]
fn check(fault: Fault, found: &[String], expected: &[&str]) {
    println!("{fault:?} is found by {found:?}");
    for case in expected {
        assert!(
            found.iter().any(|found| found == case),
            "{case} does not find {fault:?}; what does: {found:?}"
        );
    }
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
    let found =
        found_by(fault, |case| case.face != "durable" && !is_of_changes(case) && !is_of_requests(case));
    check(fault, &found, expected);
}

#[rstest]
#[case(Fault::LosesStones, &["delta::what_is_gone_is_told", "delta::what_changes_between_pages_is_told"])]
#[case(Fault::PassesMoment, &["delta::changes_of_one_moment_are_all_told"])]
#[case(Fault::RepeatsForEver, &["delta::it_ends_where_nothing_is_new", "delta::everything_comes_first"])]
#[case(Fault::ForgetsExpiry, &["delta::an_old_cursor_leaves_nothing_out", "delta::what_is_no_cursor_is_expired"])]
#[case(Fault::MissesMeanwhile, &["delta::what_changes_between_pages_is_told"])]
#[case(Fault::CountsWrongly, &["delta::a_total_is_what_comes"])]
#[case(Fault::TellsTwoFates, &["delta::everything_comes_first"])]
#[case(Fault::TellsOldRows, &["delta::changes_come_after_a_cursor", "delta::what_came_back_is_there"])]
#[case(Fault::ForgetsReturned, &["delta::what_came_back_is_there"])]
#[case(Fault::KeepsPlace, &["delta::every_cursor_leads_to_the_same", "delta::what_came_back_is_there"])]
#[case(Fault::BareRows, &["delta::rows_come_as_they_are_read", "realtime::rows_come_as_they_are_read"])]
#[case(Fault::DropsChanges, &["realtime::nothing_is_left_out", "realtime::changes_come_as_they_happen"])]
#[case(Fault::ReordersChanges, &["realtime::changes_come_in_order"])]
#[case(Fault::DropsHints, &["realtime::a_slow_reader_is_told_that_something_is_missing", "realtime::a_position_that_is_not_known_begins_with_a_hint"])]
#[case(Fault::HasNoEnd, &["realtime::it_ends_with_the_provider"])]
#[case(Fault::IgnoresPosition, &["realtime::it_goes_on_from_a_position"])]
#[case(Fault::TellsPast, &["realtime::what_was_before_is_not_told"])]
#[case(Fault::MixesModels, &["realtime::models_stay_apart"])]
fn a_planted_fault_of_changes_is_found(#[case] fault: Fault, #[case] expected: &[&str]) {
    check(fault, &found_by(fault, is_of_changes), expected);
}

#[rstest]
#[case(Fault::DropsBody, &["requests::a_request_arrives_as_it_was_made", "requests::any_body_arrives"])]
#[case(Fault::DropsHeaders, &["requests::headers_arrive"])]
#[case(Fault::CutsTarget, &["requests::a_request_arrives_as_it_was_made"])]
#[case(Fault::OneMethod, &["requests::every_method_goes"])]
#[case(Fault::SendsTwice, &["requests::it_is_sent_once"])]
#[case(Fault::TriesAgain, &["requests::it_is_sent_once"])]
#[case(Fault::TakesAnyAnswer, &["requests::what_is_no_success_is_an_error"])]
#[case(Fault::LosesStatus, &["requests::what_is_no_success_is_an_error"])]
#[case(Fault::ForgetsWait, &["requests::a_wait_that_is_asked_for_is_told"])]
#[case(Fault::GoneAtOnce, &["requests::a_repeated_delete_that_finds_nothing_is_done"])]
#[case(Fault::NewKeys, &["requests::the_key_is_the_same_at_a_repeat"])]
#[case(Fault::AdmitsAll, &["requests::what_can_not_be_sent_is_refused"])]
#[case(Fault::SendsEarly, &["requests::admission_sends_nothing"])]
#[case(Fault::OneHost, &["requests::another_host_is_told_apart"])]
#[case(Fault::AnyHost, &["requests::a_host_that_is_not_known_is_refused"])]
#[case(Fault::SendsWithdrawn, &["requests::what_was_withdrawn_is_not_sent"])]
#[case(Fault::MixesAnswers, &["requests::each_gets_its_own_answer"])]
fn a_planted_fault_of_requests_is_found(#[case] fault: Fault, #[case] expected: &[&str]) {
    check(fault, &found_by(fault, is_of_requests), expected);
}

/// Without a fault, the wrapper passes.
#[test]
fn nothing_is_found_where_nothing_is_broken() {
    let found = found_by(Fault::Nothing, |case| is_of_changes(case) || is_of_requests(case));
    assert_eq!(found, Vec::<String>::new());
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
            let inner = memory(&setup, &Site::new()).await?;
            Ok(Subject::store(Arc::new(Broken { inner, fault: OffByOne, told: Mutex::default() })))
        })
    };
    let exempt = [("window::limit", "known: one too many")];
    let candidate = Candidate { provider: "broken", make: &make, exempt: &exempt };
    assert_eq!(judge(&candidate, "window", "limit"), Judged::Exempt("known: one too many".into()));
}
