//! The list of all cases: what is not in it does not run, and what is in it runs over every provider of its face.
//!
//! A suite is the face, how it runs, its name, and its cases, each with the names of the rules that it pins; the
//! reference under `docs/src/reference` says what they are. The types' suites have the same cases each, so they are
//! listed once: see [`__cases_of_types`](crate::__cases_of_types).

/// Cases of every provider.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_provider {
    ($($then:tt)*) => {
        $($then)*! {
            "provider" once crud {
                insert_then_find: "p-insert q-find",
                insert_again_conflicts: "p-insert",
                update_changes_the_row: "p-update",
                update_of_a_missing_row_is_not_found: "p-update e-place",
                upsert_inserts_and_updates: "p-upsert p-refuse",
                delete_removes_the_row: "p-delete",
                delete_of_a_missing_row_is_no_error: "p-delete",
                a_deleted_key_is_free_again: "p-delete",
                every_type_round_trips: "m-scalars m-option m-containers m-structs m-enums m-enum-data",
                extremes_round_trip: "m-scalars",
                long_rows_round_trip: "m-long",
                exists_tells: "p-exists",
            }
            "provider" once operators {
                equality: "q-eq q-ne",
                comparisons: "q-compare",
                between_includes_both_ends: "q-between q-between-empty",
                is_in_takes_any_of_its_values: "q-in",
                is_in_nothing_matches_nothing: "q-in-empty",
                conditions_combine: "q-tree",
                empty_conditions: "q-tree",
                every_field_is_found_by_its_value: "q-eq q-in q-fields",
                fields_are_not_mixed_up: "q-fields",
                enums_compare_by_name: "q-type-enum",
                enums_with_data_compare_by_name_and_data: "q-type-enum",
                composites_compare_element_by_element: "q-type-composite",
                wide_integers_compare_as_numbers: "q-type-scalar",
            }
            "provider" once nulls {
                eq_null_is_null: "q-eq-null q-ne-null q-operands",
                ne_excludes_null: "q-ne-null",
                not_includes_null: "q-not",
                comparisons_exclude_null: "q-compare-null q-between-empty",
                is_in_finds_null_if_asked: "q-in",
                text_conditions_exclude_null: "q-text-null",
                membership_excludes_null: "q-lacks q-member",
                an_empty_text_is_not_null: "m-option",
                an_absent_field_is_null: "m-option",
            }
            "provider" once text {
                contains: "q-text",
                starts_with: "q-text",
                ends_with: "q-text",
                does_not_contain: "q-lacks",
                an_empty_needle_is_everywhere: "q-text",
                wildcards_are_ordinary: "q-text-plain",
                case_counts: "q-text-case",
                case_is_ignored_on_request: "q-text-fold",
                case_folds_by_unicode: "q-text-fold",
                any_character_can_be_looked_for: "q-text-plain",
            }
            "provider" once membership {
                a_list_contains_its_members: "q-member",
                does_not_contain_is_the_complement: "q-lacks",
                a_member_is_no_part_of_a_text: "q-member",
                numbers_and_structs_are_members: "q-member",
                bytes_contain_numbers: "q-member",
            }
            "provider" once floats {
                zeros_are_equal: "q-float-zero",
                zeros_are_ordered: "q-type-float",
                zeros_are_equal_within_composites: "q-float-zero",
                singles_compare_as_doubles: "q-type-float",
                an_operand_that_is_no_number_equals_nothing: "q-float-nan",
                what_is_no_number_can_be_stored: "q-float-nan q-type-float",
            }
            "provider" once ordering {
                without_an_order_by_key: "q-order-key",
                rising_and_falling: "q-order",
                nulls_first_rising_last_falling: "q-order-nulls",
                the_key_breaks_ties_rising: "q-order-key",
                several_fields: "q-order",
                text_by_code_point: "q-type-scalar",
                enums_by_name: "q-type-enum",
                other_types: "q-type-scalar q-type-composite",
            }
            "provider" once window {
                limit: "q-limit",
                limit_zero_gives_nothing: "q-limit-zero",
                offset_without_limit: "q-offset",
                offset_and_limit: "q-offset q-limit",
                after_filter_and_order: "q-limit q-offset",
                windows_of_equal_rows_cover_all_once: "q-order-key",
                more_rows_than_a_page: "q-limit q-offset",
            }
            "provider" once keys {
                text: "m-key-natural q-find",
                hostile_text: "m-key-natural q-find",
                empty_text: "m-key-natural q-find",
                dots: "m-key-natural q-find",
                numbers: "m-key-natural q-find",
                wide_numbers: "m-key-natural q-find",
                uuids: "m-key-client q-find",
                composites: "m-key-composite q-find",
                bytes: "m-key-natural q-find",
                moments: "m-key-natural q-find",
                singleton: "m-singleton q-find",
            }
            "provider" once capabilities {
                what_a_page_claims_is_done: "p-claims",
                what_it_pushes_down_it_claims: "p-claims",
                what_it_can_not_do_it_refuses: "p-refuse",
                a_total_is_what_comes: "p-total",
            }
            "provider" once errors {
                an_unknown_model_is_invalid: "e-model",
                a_row_that_does_not_fit_is_refused: "e-row e-place",
            }
            "provider" once refusals {
                an_unknown_field: "q-data e-place",
                a_value_of_another_type: "q-data e-place",
                an_operator_that_the_type_has_not: "q-data e-place",
                a_key_of_another_form: "q-find",
                a_condition_that_nests_too_deep: "q-deep",
            }
            "provider" once paging {
                it_goes_on_behind_the_last_row: "q-after",
                pages_cover_all_once: "q-after",
                ties_are_gone_on_from_by_key: "q-after q-order-key",
                nulls_have_a_place: "q-after q-order-nulls",
                what_is_written_meanwhile_moves_no_other_row: "q-after-stable",
                a_place_in_another_order_is_invalid: "q-after-foreign",
                a_cursor_of_another_query_or_version_is_invalid: "q-after-foreign",
            }
            "provider" once associations {
                any_of_one: "q-any",
                any_of_children: "q-any m-assoc-derived",
                any_of_a_list_of_keys: "q-any",
                any_through_a_link: "q-any",
                all_is_met_where_there_is_none: "q-all",
                all_of_null_conditions: "q-all",
                conditions_nest: "q-nesting",
                two_to_one_model_stay_apart: "q-apart",
                a_model_with_itself: "q-nesting",
                a_missing_row_is_none: "q-any q-all m-assoc-missing",
                they_combine_with_others: "q-any q-tree q-limit",
                orders_by_a_related_field: "q-order-association",
                keys_are_found_among_references: "q-among",
                a_provider_alone_refuses_them: "p-refuse",
                one_that_is_not_there_is_invalid: "q-data",
            }
            "provider" table parts_of_text {
                contains: "q-text",
                contains_null: "q-text q-text-null",
                starts_with: "q-text",
                starts_with_null: "q-text q-text-null",
                ends_with: "q-text",
                ends_with_null: "q-text q-text-null",
                does_not_contain: "q-lacks",
                does_not_contain_null: "q-lacks q-text-null",
                ignoring_case: "q-text-fold",
                ignoring_case_null: "q-text-fold q-text-null",
            }
            "provider" table members_of_list {
                contains: "q-member",
                contains_null: "q-member",
                does_not_contain: "q-lacks",
                does_not_contain_null: "q-lacks",
            }
            "provider" table members_of_bytes {
                contains: "q-member",
                contains_null: "q-member",
                does_not_contain: "q-lacks",
                does_not_contain_null: "q-lacks",
            }
            "provider" often differential {
                comparisons: "q-everywhere q-eq q-ne q-compare q-between q-in",
                texts: "q-everywhere q-text q-text-fold",
                members: "q-everywhere q-member q-lacks",
                trees: "q-everywhere q-tree q-not",
                orders_and_windows: "q-everywhere q-order q-order-key q-limit q-offset",
                keyed: "q-everywhere q-find",
                related: "q-everywhere q-any q-all q-nesting q-apart q-order-association",
            }
        }
    };
}

/// Cases of every type of field: each operator, on a field that is never null and (`_null`) on one that can be. Each
/// case pins the rule of its type too. What they expect stands in `types.txt`.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_types {
    ($($then:tt)*) => {
        $($then)*! {
            [
                type_bool "q-type-scalar",
                type_i8 "q-type-scalar",
                type_i16 "q-type-scalar",
                type_i32 "q-type-scalar",
                type_i64 "q-type-scalar",
                type_i128 "q-type-scalar",
                type_u8 "q-type-scalar",
                type_u16 "q-type-scalar",
                type_u32 "q-type-scalar",
                type_u64 "q-type-scalar",
                type_u128 "q-type-scalar",
                type_f32 "q-type-float",
                type_f64 "q-type-float",
                type_char "q-type-scalar",
                type_text "q-type-scalar",
                type_bytes "q-type-scalar",
                type_uuid "q-type-scalar",
                type_time "q-type-scalar",
                type_date "q-type-scalar",
                type_clock "q-type-scalar",
                type_datetime "q-type-scalar",
                type_decimal "q-type-scalar",
                type_enum "q-type-enum",
                type_number "q-type-enum",
                type_converted "m-convert-dialect",
                type_list "q-type-composite",
                type_struct "q-type-composite",
            ]
            {
                eq: "q-eq",
                eq_null: "q-eq q-eq-null",
                ne: "q-ne",
                ne_null: "q-ne q-ne-null",
                lt: "q-compare",
                lt_null: "q-compare q-compare-null",
                le: "q-compare",
                le_null: "q-compare q-compare-null",
                gt: "q-compare",
                gt_null: "q-compare q-compare-null",
                ge: "q-compare",
                ge_null: "q-compare q-compare-null",
                between: "q-between",
                between_null: "q-between q-compare-null",
                is_in: "q-in",
                is_in_null: "q-in",
                not: "q-not",
                not_null: "q-not",
                order: "q-order",
                order_null: "q-order q-order-nulls",
            }
        }
    };
}

/// Cases of a store.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_store {
    ($($then:tt)*) => {
        $($then)*! {
            "store" once batches {
                changes_are_applied_in_order: "p-batch",
                several_models_in_one: "p-batch",
                an_empty_batch_is_committed: "p-batch",
                all_or_nothing: "p-batch",
                a_stale_batch_changes_nothing: "p-expect",
                an_unknown_entry_of_the_batch_is_invalid: "p-batch",
                writers_at_the_same_time_lose_nothing: "p-isolation",
                readers_see_whole_batches: "p-isolation",
            }
            "store" once unique {
                a_collision_names_both_rows: "m-unique",
                two_collisions_name_both_rows: "m-unique-two",
                within_a_batch_too: "m-unique",
                null_never_collides: "m-unique-null",
                a_pair_collides_in_both_fields_only: "m-unique",
                a_row_does_not_collide_with_itself: "m-unique",
                values_can_be_swapped_in_a_batch: "m-unique",
                what_is_given_up_can_be_taken: "m-unique",
                a_refused_batch_takes_nothing: "m-unique",
                by_apply_too: "m-unique",
            }
            "store" once revisions {
                they_rise_and_rows_carry_them: "p-revision",
                a_row_that_has_not_moved: "p-expect",
                zero_is_nothing_stored: "p-expect",
                a_tombstone_counts_as_stored: "p-expect p-tombstone",
                a_model_that_was_not_written: "p-expect",
                each_expectation_must_hold: "p-expect",
            }
            "store" once tombstones {
                queries_skip_them: "p-tombstone",
                load_gives_them: "p-tombstone",
                a_row_can_take_their_place: "p-tombstone",
                remove_takes_them_away: "p-tombstone",
                they_are_no_rows_to_apply: "p-tombstone p-update",
            }
            "store" once outbox {
                entries_come_back_as_they_were_stored: "p-outbox",
                numbers_rise_in_the_order_of_the_batch: "p-outbox",
                numbers_are_never_used_again: "o-order",
                a_part_can_be_loaded: "p-outbox",
                an_entry_can_be_revised: "p-outbox",
                revising_what_is_gone_does_nothing: "p-outbox",
                a_batch_can_rely_on_how_often_an_entry_was_sent: "p-outbox-expect",
                entries_are_counted: "p-outbox",
                rows_point_to_their_entries: "p-outbox",
                what_stands_beside_a_row_comes_back: "m-extra",
            }
            "store" once cursors {
                a_value_is_kept_under_its_name: "p-cursor",
                it_can_be_replaced_and_removed: "p-cursor",
            }
            "store" once observers {
                told_before_and_after_readers_see_it: "p-observe",
                told_what_was_touched: "p-observe",
                not_told_of_what_did_not_happen: "p-observe",
                told_in_the_order_of_the_revisions: "p-observe",
                forgotten_when_they_are_gone: "p-observe",
                told_of_a_wipe: "p-observe p-wipe",
            }
            "store" once wipe {
                nothing_is_left: "p-wipe",
                the_store_goes_on: "p-wipe",
            }
            "store" once reads {
                an_error_of_the_sink_is_passed_on: "p-lend",
                a_sink_may_read_too: "p-lend",
                what_is_committed_is_read: "p-lend p-isolation",
                everything_is_done_by_the_store: "p-lend",
                a_count_is_the_number_of_rows: "r-count",
            }
        }
    };
}

/// Cases of a store that can be opened again.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_durable {
    ($($then:tt)*) => {
        $($then)*! {
            "durable" once durable {
                rows_stay: "p-durable",
                entries_and_cursors_stay: "p-durable",
                counters_go_on: "p-durable o-order",
                constraints_stay: "p-durable m-unique",
            }
            "durable" once evolution {
                added_removed_renamed_and_widened: "m-evolve m-alias m-default",
                queries_see_todays_fields: "m-evolve-query",
                both_versions_stand_side_by_side: "m-evolve",
                what_cannot_be_bridged_says_so: "m-evolve-fault",
                a_variant_that_is_gone_says_so: "m-evolve-fault",
                queued_entries_read_too: "m-evolve-queued",
            }
        }
    };
}

/// Cases of a provider that can stand as the remote.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_remote {
    ($($then:tt)*) => {
        $($then)*! {
            "remote" once versions {
                each_write_makes_one: "p-version",
                a_write_based_on_another_conflicts: "p-version c-detect",
                a_write_without_one_is_not_asked: "p-version",
            }
            "remote" once repeats {
                insert: "p-repeat",
                update: "p-repeat",
                upsert: "p-repeat",
                delete: "p-repeat",
                what_the_model_has_not_survives: "m-extra",
            }
        }
    };
}

/// Cases of a provider that tells what has changed.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_delta {
    ($($then:tt)*) => {
        $($then)*! {
            "delta" once delta {
                everything_comes_first: "p-delta",
                nothing_comes_of_nothing: "p-delta",
                rows_come_as_they_are_read: "p-delta",
                changes_come_after_a_cursor: "p-delta",
                changes_of_one_moment_are_all_told: "p-delta",
                a_refused_write_is_not_told: "p-delta",
                what_is_gone_is_told: "p-delta-gone",
                what_came_back_is_there: "p-delta-gone",
                what_came_and_went_is_not_there: "p-delta-gone",
                what_changes_between_pages_is_told: "p-delta-meanwhile",
                a_slow_reader_of_everything_misses_nothing: "p-delta-meanwhile p-delta-expired",
                every_cursor_leads_to_the_same: "p-delta-cursor",
                an_old_cursor_leaves_nothing_out: "p-delta-expired",
                what_is_no_cursor_is_expired: "p-delta-expired",
                it_ends_where_nothing_is_new: "p-delta-ends",
                models_stay_apart: "p-delta-scope",
                a_model_of_which_nothing_is_told_is_refused: "p-delta-scope",
                a_total_is_what_comes: "p-total",
            }
        }
    };
}

/// Cases of a provider that pushes changes.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_realtime {
    ($($then:tt)*) => {
        $($then)*! {
            "realtime" once realtime {
                changes_come_as_they_happen: "p-live",
                rows_come_as_they_are_read: "p-live",
                what_was_before_is_not_told: "p-live",
                a_refused_write_is_not_told: "p-live",
                nothing_is_left_out: "p-live p-live-order",
                changes_come_in_order: "p-live-order",
                it_goes_on_from_a_position: "p-live-position",
                a_position_that_is_not_known_begins_with_a_hint: "p-live-position",
                a_slow_reader_is_told_that_something_is_missing: "p-live-slow",
                readers_do_not_disturb_each_other: "p-live-apart",
                models_stay_apart: "p-live-apart",
                a_model_that_is_not_carried_is_refused: "p-live-apart",
                it_ends_with_the_provider: "p-live-end",
            }
        }
    };
}

/// Cases of a provider that takes requests which are no models.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_requests {
    ($($then:tt)*) => {
        $($then)*! {
            "requests" once requests {
                a_request_arrives_as_it_was_made: "p-requests",
                every_method_goes: "p-requests",
                any_body_arrives: "p-requests",
                headers_arrive: "p-requests",
                the_answer_is_given: "p-requests-answer",
                an_answer_may_have_no_body: "p-requests-answer",
                each_gets_its_own_answer: "p-requests-answer",
                what_is_no_success_is_an_error: "p-requests-refusal",
                a_wait_that_is_asked_for_is_told: "p-requests-refusal",
                a_repeated_delete_that_finds_nothing_is_done: "p-requests-gone",
                it_is_sent_once: "p-requests-once",
                the_key_is_the_same_at_a_repeat: "p-requests-key",
                admission_sends_nothing: "p-requests-admit",
                what_can_not_be_sent_is_refused: "p-requests-admit",
                a_host_that_is_not_known_is_refused: "p-requests-hosts",
                another_host_is_told_apart: "p-requests-hosts",
                what_was_withdrawn_is_not_sent: "p-requests-withdrawn",
            }
        }
    };
}

pub(crate) use {
    __cases_of_delta as delta, __cases_of_durable as durable, __cases_of_provider as provider,
    __cases_of_realtime as realtime, __cases_of_remote as remote, __cases_of_requests as requests,
    __cases_of_store as store, __cases_of_types as types,
};
