//! The conformance suite: what every backend must do, as its callers see it through the port.
//!
//! The suite owns the list of its cases, and each case is a test of its own for each backend, so none can be skipped. A backend brings
//! an `async fn() -> Rig`; where backends may differ (one that keeps nothing cannot be opened again) the rig says so.
//! Every case ends with a check of all invariants and, where the backend can, with a restart that must find everything again.

pub mod case;
mod hand;
mod mail;
mod rig;

pub use hand::{Hand, again, complete, complete_with, fail, finished};
pub use mail::Mail;
pub use rig::{Queue, Rig, START, eventually, id, ids, job, name};

/// All cases, as tests of the backend whose rig is given.
macro_rules! conformance_suite {
    ($rig:ident) => {
        cases! { $rig;
            add: {
                an_added_job_is_found_as_it_was_given,
                a_repeated_id_changes_nothing_whatever_state_its_job_is_in,
                an_id_given_twice_in_one_call_is_one_job,
                a_repeat_of_a_flow_s_root_adds_none_of_its_children,
                an_id_is_free_again_once_its_job_is_removed,
                an_empty_call_is_no_error,
                invariant_3_an_acknowledged_add_is_found_until_it_is_removed,
            }
            admin: {
                a_dead_letter_runs_again_with_all_attempts_and_other_data,
                only_failed_and_cancelled_jobs_can_be_retried,
                all_dead_letters_are_retried_oldest_first_in_bounded_steps,
                waiting_and_delayed_jobs_can_be_moved_in_time,
                the_data_of_a_job_that_does_not_run_can_be_changed,
                the_priority_of_a_job_that_runs_or_has_ended_stays,
                removing_spares_what_runs,
                discarding_removes_dead_letters_alone,
                invariant_7_a_removed_job_leaves_nothing_behind,
                cleaning_removes_what_is_old_enough_in_bounded_steps,
                cleaning_reaches_every_state_but_active,
                cleaning_finds_old_jobs_however_deep_they_wait,
                draining_removes_what_waits_and_what_is_delayed_if_asked,
                obliterating_spares_running_jobs_unless_forced_and_keeps_the_settings,
                obliterating_frees_every_key_in_bounded_steps,
            }
            bounds: {
                an_add_beyond_a_bound_names_it_and_adds_nothing,
                what_is_exactly_at_its_bound_is_taken,
                jobs_that_could_never_run_are_refused,
                a_result_beyond_its_bound_settles_nothing_of_its_call,
                follow_ups_are_held_to_the_bounds_of_any_add,
                a_worker_s_writes_are_held_to_their_bounds,
                every_call_is_held_to_the_bounds_of_a_call,
                log_lines_are_kept_up_to_their_bound_and_keep_their_numbers,
                a_step_stops_taking_at_the_byte_limit,
                a_step_takes_at_most_a_thousand,
                administrators_are_held_to_the_bounds_too,
            }
            calls: {
                a_repeated_call_gets_the_stored_answer,
                a_repeat_tells_again_what_was_refused,
                a_repeat_does_not_tell_again_what_was_settled_since,
                a_call_that_arrives_after_a_later_one_is_refused,
                a_hello_fences_the_calls_before_it,
                a_late_hello_is_refused_and_a_repeated_one_is_not,
                a_hello_returns_every_job_it_does_not_name_to_the_head,
                a_hello_is_told_which_jobs_the_worker_no_longer_holds,
                a_hello_that_names_an_old_take_does_not_keep_the_new_one,
                a_hello_that_names_an_old_take_beside_the_new_one_keeps_the_new_one,
                the_answer_to_a_repeat_carries_what_other_queues_must_still_be_told,
                invariant_8_repeating_any_command_is_harmless,
            }
            cancel: {
                a_job_that_has_not_started_is_cancelled_at_once,
                a_running_job_is_asked_to_stop_with_the_next_call_and_renewal,
                a_job_that_completes_before_its_stop_stays_completed,
                after_a_request_whatever_is_no_completion_ends_as_cancelled,
                a_cancelled_job_keeps_its_errors_however_many_there_are,
                a_rescued_or_returned_job_with_a_request_ends_as_cancelled,
                a_settle_after_a_cancel_took_effect_is_stale,
                cancelling_what_has_ended_or_never_was_is_told_apart,
                a_cancelled_job_can_be_retried,
            }
            close: {
                a_closed_backend_refuses_every_call_alike,
                a_close_ends_every_wait,
            }
            dedup: {
                a_held_key_keeps_a_second_job_out_and_names_its_holder,
                a_key_with_another_fingerprint_is_a_conflict,
                two_jobs_of_one_call_cannot_hold_one_key,
                a_key_without_a_time_is_free_once_its_job_has_ended,
                a_key_without_a_time_is_held_while_its_job_is_tried_again,
                a_key_with_a_time_outlives_its_job_and_ends_at_its_time,
                a_key_without_a_time_never_ends_while_its_job_is_pending,
                a_retried_dead_letter_takes_its_key_back_unless_somebody_holds_it,
                a_refused_add_leaves_no_key_behind,
            }
            delay: {
                a_delayed_job_starts_at_its_time_and_not_a_millisecond_before,
                a_time_in_the_past_means_now,
                due_jobs_run_in_the_order_of_their_times,
                a_worker_is_told_when_the_next_job_is_due,
                maintenance_makes_due_jobs_wait,
                fifty_thousand_jobs_due_at_the_same_instant_all_run_in_order,
                a_promoted_job_runs_at_once,
                a_job_far_in_the_future_harms_nobody,
            }
            events: {
                every_change_has_its_event_in_order,
                what_changes_nothing_has_no_event,
                events_carry_job_owner_and_time_and_their_positions_grow,
                a_reader_goes_on_where_it_was,
                a_reader_that_fell_out_of_the_window_is_told,
                a_queue_that_keeps_no_events_has_none_and_says_so_afterwards,
                a_reader_that_waits_is_woken_by_the_next_event,
                replaying_the_events_rebuilds_the_counts,
                a_reader_of_a_queue_that_nobody_made_misses_nothing_once_it_is_made,
                a_position_of_another_life_is_told_apart_in_a_queue_that_nobody_made,
                positions_are_never_issued_twice_however_soon_a_store_is_opened_again,
            }
            explain: {
                a_queue_without_workers_says_so,
                a_paused_queue_says_so,
                a_delayed_job_says_when_it_is_due,
                a_parent_says_how_many_children_it_waits_for,
                limits_say_until_when_and_how_many,
                a_group_that_is_held_back_says_so,
                a_job_behind_others_says_how_many,
                running_and_ended_jobs_say_so,
            }
            fencing: {
                a_zombie_s_writes_are_stale_and_change_nothing,
                a_write_to_a_job_that_was_removed_is_unknown_and_brings_nothing_back,
                a_repeated_settle_is_answered_ok_and_changes_nothing,
                a_settled_job_takes_no_progress_any_more,
                a_forged_token_is_stale,
                one_stale_token_does_not_spoil_the_others_of_its_call,
                tokens_of_a_job_grow_with_each_take_and_never_repeat,
            }
            flow: {
                a_parent_starts_when_its_last_child_has_settled_and_sees_the_results,
                a_failed_child_fails_its_parent_at_once_and_its_siblings_go_on,
                an_ignored_failure_counts_as_settled_and_the_parent_sees_it,
                a_parent_that_goes_on_starts_with_the_first_failure,
                a_child_that_is_tried_again_has_not_settled,
                a_delayed_parent_waits_for_its_time_too,
                a_deep_flow_ends_well,
                a_deep_flow_ends_well_when_every_delivery_comes_twice,
                a_deep_flow_ends_well_when_deliveries_come_in_reverse,
                a_deep_flow_ends_well_when_acknowledgements_get_lost,
                a_deep_flow_ends_well_when_deliveries_get_lost,
                a_repeated_delivery_of_an_ended_child_neither_runs_it_again_nor_forges_its_failure,
                a_child_whose_id_is_taken_fails_its_parent_instead_of_leaving_it_waiting,
                a_child_whose_key_is_held_fails_its_parent_instead_of_leaving_it_waiting,
                a_cancelled_parent_cancels_its_children_that_have_not_started,
                a_cancel_leaves_somebody_else_s_job_of_the_same_id_alone,
                invariant_8_a_child_that_is_delivered_again_when_it_is_gone_does_not_run_again,
                invariant_8_a_cancel_that_comes_before_its_child_is_not_lost,
                a_cancelled_or_removed_child_counts_as_failed,
                a_child_removed_with_its_whole_queue_is_not_waited_for,
                a_removed_parent_cancels_its_children_and_takes_no_news,
                invariant_6_only_a_valid_token_s_word_settles_a_child,
                the_first_word_about_a_child_counts,
                children_are_read_page_by_page,
                a_failed_parent_can_be_retried_without_its_children,
                a_flow_that_is_added_anew_does_not_wait_for_children_that_have_ended,
            }
            groups: {
                jobs_of_a_group_keep_their_order_when_the_default_priority_changes,
                groups_take_turns,
                turns_go_on_from_call_to_call,
                all_jobs_without_a_group_are_one_group,
                a_group_s_weight_is_how_many_it_gets_at_its_turn,
                a_group_s_cap_leaves_room_for_the_others,
                the_default_cap_holds_for_every_group_and_for_the_jobs_without_one,
                the_default_cap_holds_where_no_job_has_a_group,
                a_job_of_a_group_that_is_moved_in_time_runs_once_and_at_its_new_place,
                a_rescued_job_gives_its_place_under_the_cap_back,
                changed_caps_hold_from_the_next_take,
                a_tenant_s_hundred_thousand_jobs_do_not_starve_another_s_one,
                a_priority_together_with_a_group_is_refused,
                a_group_is_first_in_first_out,
                each_of_k_groups_is_served_within_any_k_takes,
            }
            history: {
                rollups_of_all_workers_are_summed_by_minute_and_hour,
                a_repeated_renewal_adds_nothing_twice,
                a_day_of_minutes_is_kept,
                the_history_survives_a_restart,
            }
            lease: {
                a_dead_worker_s_jobs_go_back_to_the_head_within_a_lease_and_five_seconds,
                a_worker_that_shows_life_keeps_its_jobs_however_long_they_take,
                nobody_is_rescued_within_the_grace_after_a_gap,
                whoever_stays_silent_through_the_grace_is_rescued_after_it,
                a_job_remembers_the_run_that_settled_it_through_runs_that_were_lost,
                a_job_that_loses_its_worker_too_often_fails_as_crashed,
                a_retried_dead_letter_starts_with_no_stalls,
                a_job_past_its_deadline_is_rescued_even_from_a_live_worker,
                a_worker_that_was_given_up_learns_it_and_goes_on,
                a_worker_that_has_not_said_hello_settles_and_takes_nothing,
                a_late_step_does_not_revive_a_worker_that_was_given_up,
                a_renewal_says_whether_the_worker_was_known,
                live_workers_are_listed_with_what_they_run,
                a_rescue_is_bounded_and_says_that_more_is_left,
                invariant_2_a_token_exists_exactly_while_a_job_is_active,
            }
            limits: {
                invariant_5_no_window_sees_more_starts_than_the_rate_allows,
                a_full_window_is_told_with_its_end_and_limited_jobs_stay_waiting,
                invariant_5_no_more_jobs_run_at_once_than_the_queue_allows,
                a_paused_queue_starts_nothing_and_still_settles,
                a_paused_queue_still_rescues,
                adds_beyond_the_depth_are_refused_and_leave_no_trace,
                follow_ups_children_retries_and_returns_are_exempt_from_the_depth,
                settings_that_cannot_be_used_are_refused_with_all_that_is_wrong,
                two_queues_do_not_know_each_other,
            }
            making: {
                what_leaves_something_makes_its_queue,
                what_fails_or_changes_nothing_makes_no_queue,
                reading_a_queue_that_nobody_made_does_not_make_it,
            }
            order: {
                jobs_run_in_the_order_in_which_they_came,
                smaller_priorities_run_first_from_0_to_2_to_the_21,
                a_job_without_a_priority_stands_between_4_and_6,
                a_queue_can_have_another_default_priority,
                a_lifo_job_runs_before_its_equals_and_after_its_betters,
                a_lifo_job_that_becomes_due_runs_before_its_equals,
                jobs_due_at_the_same_moment_run_by_id,
                removing_thousands_from_the_middle_leaves_the_rest_in_order,
                a_changed_priority_moves_a_waiting_job,
                the_oldest_waiting_job_is_told,
            }
            outbox: {
                a_follow_up_is_added_once_however_often_it_is_delivered,
                a_repeated_settle_posts_its_follow_ups_once,
                a_stale_completion_posts_nothing,
                invariant_8_an_entry_is_handed_out_until_it_is_acknowledged,
                the_outbox_survives_the_job_that_made_it,
                the_outbox_survives_the_removal_of_everything_else,
                the_outbox_survives_a_restart,
                a_follow_up_in_the_same_queue_goes_the_same_way,
                entries_keep_their_numbers_and_their_order,
            }
            pages: {
                every_state_is_read_page_by_page_newest_first,
                waiting_jobs_of_many_groups_and_priorities_are_all_read_once,
                a_cursor_stays_good_while_the_queue_moves_on,
                an_owner_s_jobs_are_read_newest_first_in_whatever_state,
                an_owner_s_index_reaches_the_newest_ten_thousand,
                filters_by_name_tag_text_and_time_show_what_fits,
                a_filtered_page_looks_at_ten_thousand_records_and_can_be_gone_on_with,
                a_page_holds_at_least_one_and_at_most_a_thousand,
                a_cursor_that_nobody_issued_is_refused,
                jobs_are_read_by_id_in_the_order_asked,
            }
            retention: {
                only_the_newest_are_kept_up_to_the_count,
                an_ended_job_goes_when_it_has_reached_its_age,
                nothing_is_kept_where_nothing_is_wanted,
                each_outcome_has_its_own_retention,
                trimming_is_bounded_in_a_call_and_in_a_pass,
                a_job_that_is_still_needed_is_never_trimmed,
                a_job_that_ended_anew_under_the_id_of_another_is_as_old_as_it_is,
            }
            schedules: {
                a_slot_adds_its_job_when_it_has_come_and_not_before,
                a_slot_fires_once_whoever_asks_and_however_often,
                a_slot_of_an_older_revision_does_not_fire,
                a_call_that_contradicts_itself_fires_nothing,
                what_is_put_as_it_is_changes_nothing,
                another_job_keeps_the_slot_and_another_timing_counts_anew,
                a_default_is_made_once_ever,
                a_put_at_a_revision_changes_that_one_and_no_other,
                a_disabled_schedule_stands_still_and_goes_on_from_the_moment_it_is_enabled,
                of_missed_slots_as_many_fire_as_the_policy_says,
                a_slot_is_skipped_while_the_last_job_has_not_ended,
                a_replaced_job_is_cancelled_or_asked_to_stop,
                a_limit_and_an_end_are_held_to,
                no_fate_of_its_jobs_stops_a_schedule,
                a_full_and_a_paused_queue_lose_no_slot,
                jitter_is_spread_and_the_same_for_whoever_fires,
                what_cannot_be_is_refused_and_changes_nothing,
                the_shortest_interval_is_the_queue_s,
                schedules_of_others_are_absent_and_stay_as_they_were,
                schedules_are_read_page_by_page,
                a_wait_ends_when_a_slot_comes_or_a_sooner_one_is_put,
                a_clock_that_jumps_back_fires_no_slot_again,
                an_obliterated_queue_has_no_schedules_and_knows_no_defaults,
                a_restart_keeps_schedules_as_they_stand,
                a_schedule_makes_its_queue_and_a_refused_one_does_not,
                many_tickers_fire_each_slot_once,
                a_thousand_schedules_due_at_once_all_fire,
                what_is_due_is_read_on_behind_a_place_that_stays_good,
                many_schedules_are_put_all_or_none,
                a_wait_behind_slots_that_have_come_ends_with_the_next_one,
                schedules_that_cannot_be_fired_hold_up_no_other,
                a_schedule_that_is_refused_spares_its_neighbours_in_the_same_call,
                a_ticker_tells_of_each_of_its_queues_and_of_all,
                a_schedule_that_catches_up_skips_and_replaces_within_one_call,
            }
            scope: {
                a_scope_admits_its_owner_s_jobs_and_nobody_else_s,
                what_is_outside_a_scope_is_as_unknown_and_stays_as_it_was,
                what_is_inside_a_scope_is_changed_as_by_an_administrator,
                a_command_for_the_whole_queue_takes_no_scope,
                a_tenant_s_pages_hold_the_jobs_of_its_users,
            }
            settle: {
                a_completed_job_keeps_its_result_and_its_times,
                a_job_is_tried_again_after_its_pause_until_its_attempts_are_used_up,
                a_pause_of_nothing_puts_a_failed_attempt_back_at_once,
                an_error_that_no_retry_can_help_is_final_at_once,
                a_snoozed_job_comes_back_without_an_attempt_used,
                a_released_job_goes_back_to_the_head_without_an_attempt_used,
                a_rate_limited_job_holds_its_queue_back_and_uses_no_attempt,
                a_rate_limited_job_of_a_group_holds_only_its_group_back,
                the_history_of_errors_is_bounded_and_messages_are_cut_at_a_character,
                one_call_settles_many_and_takes_what_fits,
                a_job_named_twice_in_one_call_is_settled_once,
                invariant_4_ended_jobs_say_how_and_when,
            }
            time: {
                a_clock_that_jumps_back_stands_still_until_it_has_caught_up,
                a_clock_that_jumps_back_rescues_nobody_and_breaks_no_rate,
                a_jump_ahead_opens_a_grace_before_anybody_is_rescued,
                the_backend_tells_its_time,
            }
            updates: {
                progress_log_and_data_are_found_on_the_job,
                invariant_8_log_lines_that_are_sent_again_stand_once,
                the_next_attempt_goes_on_from_the_data_the_last_one_wrote,
                payload_bytes_are_opaque_and_come_back_byte_for_byte,
                texts_come_back_as_they_were_written_whatever_is_in_them,
                a_retry_forgets_the_last_progress_and_result_and_keeps_errors_and_logs,
            }
            verify: {
                invariant_1_counts_equal_what_pages_show,
                a_sound_queue_is_checked_whole_in_slices_and_repaired_without_harm,
                a_group_whose_pause_is_over_is_no_finding,
                jobs_that_stalled_before_fewer_stalls_were_allowed_are_no_findings,
                a_restart_keeps_settings_limits_pauses_and_keys,
                a_restart_keeps_the_order_of_everything,
                a_restart_takes_back_what_ran_and_counts_a_stall,
                a_restart_does_not_bring_back_what_was_freed,
            }
            wait: {
                an_add_wakes_an_idle_worker,
                a_due_time_and_an_earlier_one_wake_an_idle_worker,
                a_freed_place_under_the_cap_wakes_an_idle_worker,
                a_freed_place_in_a_group_wakes_an_idle_worker,
                a_resumed_queue_wakes_an_idle_worker,
                the_end_of_a_limit_wakes_an_idle_worker,
                a_returned_or_rescued_job_wakes_an_idle_worker,
                every_job_of_a_batch_finds_one_of_many_idle_workers,
                a_worker_of_an_empty_queue_does_not_spin,
                a_worker_of_a_paused_queue_does_not_spin,
                a_worker_at_the_global_cap_does_not_spin,
                a_worker_at_a_group_s_cap_does_not_spin,
                a_worker_of_a_limited_queue_does_not_spin,
                waits_on_a_queue_that_nobody_made_end_when_work_comes,
                a_wait_ends_at_its_time,
            }
        }
    };
}

macro_rules! cases {
    ($rig:ident; $($topic:ident: { $($case:ident),+ $(,)? })+) => { $(
        mod $topic { $(
            #[tokio::test]
            async fn $case() {
                let mut rig = super::$rig().await;
                crate::suite::case::$topic::$case(&mut rig).await;
                rig.assert_sound().await;
            }
        )+ }
    )+ };
}
