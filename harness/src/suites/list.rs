//! The list of all cases: what is not in it does not run, and what is in it runs over every provider of its face.
//!
//! Each line is the face, how it runs, the suite, and its cases.

/// Cases of every provider.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_provider {
    ($($then:tt)*) => {
        $($then)*! {
            "provider" once crud {
                insert_then_find, insert_again_conflicts, update_changes_the_row,
                update_of_a_missing_row_is_not_found, upsert_inserts_and_updates, delete_removes_the_row,
                delete_of_a_missing_row_is_no_error, a_deleted_key_is_free_again, every_type_round_trips,
                extremes_round_trip, long_rows_round_trip, exists_tells,
            }
            "provider" once operators {
                equality, comparisons, between_includes_both_ends, is_in_takes_any_of_its_values,
                is_in_nothing_matches_nothing, conditions_combine, empty_conditions, every_field_is_found_by_its_value,
                fields_are_not_mixed_up, enums_compare_by_name, enums_with_data_compare_by_name_and_data,
                composites_compare_element_by_element, wide_integers_compare_as_numbers,
            }
            "provider" once nulls {
                eq_null_is_null, ne_excludes_null, not_includes_null, comparisons_exclude_null,
                is_in_finds_null_if_asked, text_conditions_exclude_null, membership_excludes_null,
                an_empty_text_is_not_null, an_absent_field_is_null,
            }
            "provider" once text {
                contains, starts_with, ends_with, does_not_contain, an_empty_needle_is_everywhere,
                wildcards_are_ordinary, case_counts, case_is_ignored_on_request, case_folds_by_unicode,
                any_character_can_be_looked_for,
            }
            "provider" once membership {
                a_list_contains_its_members, does_not_contain_is_the_complement, a_member_is_no_part_of_a_text,
                numbers_and_structs_are_members, bytes_contain_numbers,
            }
            "provider" once floats {
                zeros_are_equal, zeros_are_ordered, zeros_are_equal_within_composites, singles_compare_as_doubles,
                an_operand_that_is_no_number_equals_nothing, what_is_no_number_can_be_stored,
            }
            "provider" once ordering {
                without_an_order_by_key, rising_and_falling, nulls_first_rising_last_falling,
                the_key_breaks_ties_rising, several_fields, text_by_code_point, enums_by_name, other_types,
            }
            "provider" once window {
                limit, limit_zero_gives_nothing, offset_without_limit, offset_and_limit, after_filter_and_order,
                windows_of_equal_rows_cover_all_once, more_rows_than_a_page,
            }
            "provider" once keys {
                text, hostile_text, empty_text, dots, numbers, wide_numbers, uuids, composites, bytes, moments, singleton,
            }
            "provider" once capabilities {
                what_a_page_claims_is_done, what_it_pushes_down_it_claims, what_it_can_not_do_it_refuses,
            }
            "provider" once errors { an_unknown_model_is_invalid, a_row_that_does_not_fit_is_refused }
            "provider" often differential {
                comparisons, texts, members, trees, orders_and_windows, keyed,
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
                changes_are_applied_in_order, several_models_in_one, an_empty_batch_is_committed, all_or_nothing,
                a_stale_batch_changes_nothing, an_unknown_entry_of_the_batch_is_invalid,
                writers_at_the_same_time_lose_nothing, readers_see_whole_batches,
            }
            "store" once unique {
                a_collision_names_both_rows, within_a_batch_too, null_never_collides,
                a_pair_collides_in_both_fields_only, a_row_does_not_collide_with_itself,
                values_can_be_swapped_in_a_batch, what_is_given_up_can_be_taken, a_refused_batch_takes_nothing,
                by_apply_too,
            }
            "store" once revisions {
                they_rise_and_rows_carry_them, a_row_that_has_not_moved, zero_is_nothing_stored,
                a_tombstone_counts_as_stored, a_model_that_was_not_written, each_expectation_must_hold,
            }
            "store" once tombstones {
                queries_skip_them, load_gives_them, a_row_can_take_their_place, remove_takes_them_away,
                they_are_no_rows_to_apply,
            }
            "store" once outbox {
                entries_come_back_as_they_were_stored, numbers_rise_in_the_order_of_the_batch,
                numbers_are_never_used_again, a_part_can_be_loaded, an_entry_can_be_revised,
                revising_what_is_gone_does_nothing, entries_are_counted, rows_point_to_their_entries,
                what_stands_beside_a_row_comes_back,
            }
            "store" once cursors { a_value_is_kept_under_its_name, it_can_be_replaced_and_removed }
            "store" once observers {
                told_before_and_after_readers_see_it, told_what_was_touched, not_told_of_what_did_not_happen,
                told_in_the_order_of_the_revisions, forgotten_when_they_are_gone, told_of_a_wipe,
            }
            "store" once wipe { nothing_is_left, the_store_goes_on }
            "store" once reads {
                an_error_of_the_sink_is_passed_on, a_sink_may_read_too, what_is_committed_is_read,
                everything_is_done_by_the_store,
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
            "durable" once durable { rows_stay, entries_and_cursors_stay, counters_go_on, constraints_stay }
            "durable" once evolution {
                added_removed_renamed_and_widened, queries_see_todays_fields, both_versions_stand_side_by_side,
                what_cannot_be_bridged_says_so, a_variant_that_is_gone_says_so, queued_entries_read_too,
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
                each_write_makes_one, a_write_based_on_another_conflicts, a_write_without_one_is_not_asked,
            }
            "remote" once repeats { insert, update, upsert, delete, what_the_model_has_not_survives }
        }
    };
}

pub(crate) use {
    __cases_of_durable as durable, __cases_of_provider as provider, __cases_of_remote as remote,
    __cases_of_store as store,
};
